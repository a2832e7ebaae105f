//! The table of sources, with queues of those that may have something to send or to report.

use std::collections::{BTreeMap, VecDeque};

use super::config::ReceiverConfig;
use super::event::{CommandError, EndCause};
use super::over::Over;
use super::peer::Peer;
use crate::{Instant, Tsi};

/// The sources that are known, and those that are over.
#[derive(Debug)]
pub(super) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    free: Vec<usize>,
    index: BTreeMap<Tsi, usize>,
    /// The source that was looked up last: packets of one source come in runs.
    latest: Option<(Tsi, usize)>,
    /// Sessions that are over.
    over: Over,
    /// Peers that may have an event.
    ready: VecDeque<usize>,
    /// Peers that may have something to send.
    sending: VecDeque<usize>,
    limit: usize,
    limit_heard_once: usize,
    /// Sources that were heard once and have made room for others since, oldest first.
    made_room: VecDeque<Tsi>,
}

impl Peers {
    pub(super) fn new(config: &ReceiverConfig) -> Self {
        let limits = &config.limits;
        Peers {
            slots: Vec::new(),
            free: Vec::new(),
            index: BTreeMap::new(),
            latest: None,
            over: Over::new(config.expiry),
            ready: VecDeque::new(),
            sending: VecDeque::new(),
            limit: limits.sources.max(1),
            limit_heard_once: limits.heard_once.max(1),
            made_room: VecDeque::new(),
        }
    }

    /// The number of slots, each of which may hold a peer.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Peer> {
        self.slots.get(at)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Peer> {
        self.slots.get_mut(at)?.as_deref_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.slots.iter().filter_map(Option::as_deref)
    }

    pub(super) fn find(&mut self, tsi: &Tsi) -> Option<usize> {
        if let Some((latest, at)) = self.latest
            && latest == *tsi
        {
            return Some(at);
        }
        let at = *self.index.get(tsi)?;
        self.latest = Some((*tsi, at));
        Some(at)
    }

    /// Adds a peer. If there are too many, or too many that were heard once, one that was heard once is removed; `None` if there is no
    /// such peer. Its TSI is remembered: a removed source that sends again was not heard once, which tells a source that sends
    /// seldom from a flood of forged ones.
    pub(super) fn add(&mut self, mut peer: Peer) -> Option<usize> {
        let heard_once = self.index.values().filter(|&&at| self.get(at).is_some_and(Peer::was_heard_once));
        let oldest = heard_once.clone().min_by_key(|&&at| self.get(at).map(|peer| peer.last_heard)).copied();
        if self.index.len() >= self.limit || heard_once.count() >= self.limit_heard_once {
            self.make_room(oldest?);
        }
        let tsi = peer.session.tsi;
        if let Some(before) = self.made_room.iter().position(|known| *known == tsi) {
            self.made_room.remove(before);
            peer.packets_heard += 1;
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[at] = Some(Box::new(peer));
        self.index.insert(tsi, at);
        Some(at)
    }

    /// Removes a peer that was heard once, but remembers its TSI.
    fn make_room(&mut self, at: usize) {
        if self.made_room.len() == MADE_ROOM_MAX {
            self.made_room.pop_front();
        }
        self.made_room.extend(self.get(at).map(|peer| peer.session.tsi));
        self.remove(at);
    }

    pub(super) fn remove(&mut self, at: usize) {
        let Some(peer) = self.slots.get_mut(at).and_then(Option::take) else { return };
        self.index.remove(&peer.session.tsi);
        self.latest = None;
        self.ready.retain(|&queued| queued != at);
        self.sending.retain(|&queued| queued != at);
        self.free.push(at);
    }

    /// Removes a peer whose session is over for us. From now on its packets are ignored, unless the session has ended by silence.
    pub(super) fn end(&mut self, at: usize, cause: EndCause) {
        let Some(peer) = self.get(at) else { return };
        let (tsi, heard) = (peer.session.tsi, peer.last_heard);
        self.remove(at);
        if cause != EndCause::Expired {
            self.over.add(tsi, heard);
        }
    }

    /// Whether a session that is heard now is over for us.
    pub(super) fn is_over(&mut self, tsi: Tsi, now: Instant) -> bool {
        self.over.contains(tsi, now)
    }

    /// Forgets that a session is over for us.
    pub(super) fn reopen(&mut self, tsi: Tsi) {
        self.over.forget(tsi);
    }

    /// Queues a peer that may have something to report or to send.
    pub(super) fn queue(&mut self, at: usize) {
        let Some(peer) = self.slots.get_mut(at).and_then(Option::as_deref_mut) else { return };
        if !std::mem::replace(&mut peer.is_ready, true) {
            self.ready.push_back(at);
        }
        if !std::mem::replace(&mut peer.is_sending, true) {
            self.sending.push_back(at);
        }
    }

    pub(super) fn ready(&self) -> Option<usize> {
        self.ready.front().copied()
    }

    /// Removes the peer at the front, which has nothing more to report.
    pub(super) fn done(&mut self, at: usize) {
        self.ready.pop_front();
        if let Some(peer) = self.get_mut(at) {
            peer.is_ready = false;
        }
    }

    pub(super) fn sending(&self) -> Option<usize> {
        self.sending.front().copied()
    }

    /// Removes the peer at the front, which has nothing more to send.
    pub(super) fn sent(&mut self, at: usize) {
        self.sending.pop_front();
        if let Some(peer) = self.get_mut(at) {
            peer.is_sending = false;
        }
    }

    /// Carries out a command of the application.
    pub(super) fn command<T>(
        &mut self,
        tsi: Tsi,
        command: impl FnOnce(&mut Peer) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let at = self.find(&tsi).ok_or(CommandError::UnknownSource)?;
        let result = command(self.get_mut(at).ok_or(CommandError::UnknownSource)?);
        self.queue(at);
        result
    }
}

/// The number of removed TSIs that are remembered: as many as come between two SPMs in a flood of a thousand forged sources a second.
const MADE_ROOM_MAX: usize = 1024;
