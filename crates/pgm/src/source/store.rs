//! Where the data of the window are.

use super::cache::{Cache, Purpose};
use super::config::{Derived, Kept};
use super::slots::Slots;
use super::window::Window;
use crate::wire::{Fragment, Sum};

/// The data of the window: in memory, or a few groups of what is kept elsewhere.
#[derive(Debug)]
pub(super) enum Store {
    Here(Slots),
    Elsewhere(Cache),
}

/// What a data packet of the window holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload<'a> {
    pub(super) bytes: &'a [u8],
    /// Their sum, where it is known.
    pub(super) sum: Option<Sum>,
    /// Their place in their APDU.
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

    /// Whether the data of a group are at hand; if not they are asked for.
    pub(super) fn want(&mut self, purpose: Purpose, group: u64) -> bool {
        match self {
            Store::Here(_) => true,
            Store::Elsewhere(cache) => cache.want(purpose, group),
        }
    }

    /// What the packet at a position holds; `None` when there is none, or it is not at hand.
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
