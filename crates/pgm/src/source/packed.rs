//! Packets on their way from a [`super::Packer`] to a [`super::Source`].

use std::collections::VecDeque;
use std::mem;

use bytes::BytesMut;

use crate::wire::{DataHead, Fragment, Sum};

/// Packets that a [`super::Packer`] has filled, in order.
///
/// They are contiguous in a few runs of memory, each with room for its head in front of its payload, so that consecutive packets can
/// be sent without a copy.
#[derive(Debug, Default)]
pub struct Packed {
    tsdus: VecDeque<PackedTsdu>,
    /// The packets' memory, without gaps; no packet spans two runs.
    runs: VecDeque<BytesMut>,
}

/// What is known of a packet's TSDU before the window has given the packet a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedTsdu {
    /// The length of its payload, and the payload's sum.
    pub(super) len: usize,
    pub(super) sum: Sum,
    /// Its position in its APDU; the APDU's first sequence number is not known yet.
    pub(super) fragment: Option<Fragment>,
    /// Whether a burst ended with the last message in it.
    pub(super) ends_burst: bool,
}

impl PackedTsdu {
    /// The room in front of its payload: the length of a head without options other than OPT_FRAGMENT.
    #[inline]
    pub(super) fn head_len(&self) -> usize {
        if self.fragment.is_some() { DataHead::LEN_OF_FRAGMENT } else { DataHead::LEN_MIN }
    }

    /// The length of the packet in memory, with the room for its head.
    #[inline]
    pub(super) fn packet_len(&self) -> usize {
        self.head_len() + self.len
    }

    /// Whether a burst ends with it; true only once.
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

    /// Whether there are no packets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tsdus.is_empty()
    }

    /// Drops all packets.
    pub fn clear(&mut self) {
        self.tsdus.clear();
        self.runs.clear();
    }

    /// The payloads of the packets.
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

    /// Takes the first packet without its memory, which is taken later together with that of others.
    pub(super) fn pop(&mut self) -> Option<PackedTsdu> {
        self.tsdus.pop_front()
    }

    /// Takes memory from the front: `len` bytes, or the first run if it is shorter.
    pub(super) fn pop_run(&mut self, len: usize) -> Option<BytesMut> {
        match self.runs.front_mut() {
            Some(run) if run.len() > len => Some(run.split_to(len)),
            _ => self.runs.pop_front(),
        }
    }
}
