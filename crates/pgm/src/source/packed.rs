//! Packets on their way from a [`super::Packer`] to a [`super::Source`].

use std::collections::VecDeque;
use std::mem;

use bytes::BytesMut;

use crate::wire::{DataHead, Fragment, Sum};

/// Packets that a [`super::Packer`] has filled, in their order.
///
/// They lie one behind the other in a few runs of memory, each with room for its head in front of its payload, so that packets in a
/// row can leave as they lie.
#[derive(Debug, Default)]
pub struct Packed {
    tsdus: VecDeque<PackedTsdu>,
    /// The memory that they lie in, without gaps; none lies in two of them.
    runs: VecDeque<BytesMut>,
}

/// What is known of a packet's TSDU before the window has given the packet a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedTsdu {
    /// Bytes of its payload, and their sum.
    pub(super) len: usize,
    pub(super) sum: Sum,
    /// Its place in its APDU, but for the number that this begins with.
    pub(super) fragment: Option<Fragment>,
    /// Whether a burst was over with the last message in it.
    pub(super) ends_burst: bool,
}

impl PackedTsdu {
    /// The room in front of its payload: its head, as long as nothing but its place in its APDU is said in it.
    #[inline]
    pub(super) fn head_len(&self) -> usize {
        if self.fragment.is_some() { DataHead::LEN_OF_FRAGMENT } else { DataHead::LEN_MIN }
    }

    /// Bytes of the packet where it lies, with the room for its head.
    #[inline]
    pub(super) fn packet_len(&self) -> usize {
        self.head_len() + self.len
    }

    /// Whether a burst is over with it; said once.
    pub(super) fn take_end_of_burst(&mut self) -> bool {
        mem::take(&mut self.ends_burst)
    }
}

impl Packed {
    /// How many packets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tsdus.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tsdus.is_empty()
    }

    /// Gives them up.
    pub fn clear(&mut self) {
        self.tsdus.clear();
        self.runs.clear();
    }

    /// What the packets hold.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let mut runs = self.runs.iter();
        let mut rest = &[][..];
        self.tsdus.iter().map(move |tsdu| {
            if rest.is_empty() {
                rest = runs.next().expect("packets lie in the runs");
            }
            let (packet, behind) = rest.split_at(tsdu.packet_len());
            rest = behind;
            &packet[tsdu.head_len()..]
        })
    }

    /// What is known of the packets.
    #[cfg(test)]
    pub(super) fn tsdus(&self) -> impl Iterator<Item = &PackedTsdu> {
        self.tsdus.iter()
    }

    /// Adds a packet whose memory follows.
    pub(super) fn push(&mut self, tsdu: PackedTsdu) {
        self.tsdus.push_back(tsdu);
    }

    /// Adds the memory of packets.
    pub(super) fn push_run(&mut self, run: BytesMut) {
        if !run.is_empty() {
            self.runs.push_back(run);
        }
    }

    pub(super) fn first(&self) -> Option<&PackedTsdu> {
        self.tsdus.front()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut PackedTsdu> {
        self.tsdus.back_mut()
    }

    /// Takes the first packet, whose memory is taken later, and together with that of others.
    pub(super) fn pop(&mut self) -> Option<PackedTsdu> {
        self.tsdus.pop_front()
    }

    /// Takes memory off the front: `len` bytes of packets, or the first run of them.
    pub(super) fn pop_run(&mut self, len: usize) -> Option<BytesMut> {
        match self.runs.front_mut() {
            Some(run) if run.len() > len => Some(run.split_to(len)),
            _ => self.runs.pop_front(),
        }
    }
}
