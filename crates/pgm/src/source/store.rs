//! Where the data of the window are kept.

use super::cache::{Cache, Purpose};
use super::config::{Derived, Kept};
use super::slots::Slots;
use super::window::Window;
use crate::wire::{Fragment, Sum};

/// The data of the window: all in memory, or a few groups of data that are kept elsewhere.
#[derive(Debug)]
pub(super) enum Store {
    Here(Slots),
    Elsewhere(Cache),
}

/// The payload of a data packet of the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a> {
    pub(super) bytes: &'a [u8],
    /// The sum of the bytes, where it is known.
    pub(super) sum: Option<Sum>,
    /// The packet's position in its APDU.
    pub(super) fragment: Option<Fragment>,
}

impl Store {
    pub(super) fn new(kept: Kept, derived: &Derived) -> Self {
        match kept {
            Kept::Here => Store::Here(Slots::new(derived.packets)),
            Kept::Elsewhere { groups } => {
                Store::Elsewhere(Cache::new(groups, derived.tsdu_len, derived.group_len))
            }
        }
    }

    /// Whether the data of a group are in memory; if not, requests them.
    pub(super) fn want(&mut self, purpose: Purpose, group: u64) -> bool {
        match self {
            Store::Here(_) => true,
            Store::Elsewhere(cache) => cache.want(purpose, group),
        }
    }

    /// The payload of the packet at a position; `None` when there is no packet, or it is not in memory.
    #[inline(always)]
    pub(super) fn packet(&self, window: &Window, position: u64) -> Option<Payload<'_>> {
        let packet = window.packet(position)?;
        match self {
            Store::Here(slots) => {
                let tsdu = slots.tsdu(packet);
                let bytes = slots.payload(packet)?;
                Some(Payload { bytes, sum: Some(tsdu.sum), fragment: tsdu.fragment })
            }
            Store::Elsewhere(cache) => {
                let bytes = cache.payload(packet, window.group_of(position))?;
                Some(Payload { bytes, sum: None, fragment: None })
            }
        }
    }
}
