//! Where the data of the window are.

use super::cache::{Cache, Purpose};
use super::config::{Derived, Kept};
use super::slots::Slots;
use super::window::Window;
use crate::wire::Fragment;

/// The data of the window: in memory, or a few groups of what is kept elsewhere.
#[derive(Debug)]
pub(super) enum Store {
    Here(Slots),
    Elsewhere(Cache),
}

impl Store {
    pub(super) fn new(kept: Kept, derived: &Derived) -> Self {
        match kept {
            Kept::Here => Store::Here(Slots::new(derived.packets, derived.tsdu_len)),
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

    /// The payload at a position, and its place in its APDU; `None` when there is none, or it is not at hand.
    #[inline(always)]
    pub(super) fn packet(&self, window: &Window, position: u64) -> Option<(&[u8], Option<Fragment>)> {
        let packet = window.packet(position)?;
        match self {
            Store::Here(slots) => Some(slots.packet(packet)),
            Store::Elsewhere(cache) => Some((cache.payload(packet, window.group_of(position))?, None)),
        }
    }
}
