//! Delivery in order: messages or bytes of a stream, and the losses between them.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::assemble::{Assembly, Read};
use super::config::{Limits, OnLoss, Slow};
use super::delivered::{Delivered, Front};
use super::event::EndCause;
use super::hold::{Hold, Tsdu};
use super::lent::Lent;
use super::messages::Messages;
use super::packets::KEPT_MAX;
use super::peer::{Peer, Sink, Timer};
use super::shared::Shared;
use super::stats::ReceiverStats;
use super::window::{Place, Step};
use crate::{Framing, Instant};

/// The state of delivery in order.
#[derive(Debug)]
pub(super) struct Ordered {
    assembly: Assembly,
    pub(super) slow: Slow,
    on_loss: OnLoss,
    paused: bool,
    /// Whether data were refused because there was no room.
    pub(super) stalled: bool,
    /// Whether the application was told so.
    told_stalled: bool,
    /// The messages that were read and not handed over yet.
    messages: Messages,
    /// How many bytes may be read before no further packet is.
    ahead_max: usize,
    /// Whether reading the last packet stopped at a message that is too long, and continues after it.
    is_halfway: bool,
    /// The packets of the group at the floor that were read, in case the rest of it has to be decoded.
    delivered: Delivered,
    /// The messages that are being handed over.
    told: Option<Arc<Messages>>,
    /// What was found after the messages, and is to be reported after them.
    next: Option<Delivery>,
    /// The payload of the packet that is reported next as one that does not fit the framing.
    unreadable: Vec<u8>,
    /// What was given up because the application did not keep up, and is still to be reported.
    skipped: Option<Range<u64>>,
}

/// What is delivered next, without the bytes, which only the event borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The messages that were read.
    Messages,
    /// The packets that wait (bulk).
    Packets,
    /// The packets of a group are needed for decoding (bulk).
    Need {
        key: u64,
    },
    Lost {
        first: u64,
        last: u64,
    },
    TooLong {
        position: u64,
        len: u64,
    },
    /// A packet does not fit the framing.
    Unreadable {
        position: u64,
    },
    Stalled,
    Resumed,
    End(EndCause),
}

impl Ordered {
    pub(super) fn new(framing: Framing, limits: &Limits, on_loss: OnLoss, slow: Slow) -> Self {
        Ordered {
            assembly: Assembly::new(framing, limits.message_len),
            ahead_max: AHEAD_MAX.min(limits.bytes / 4),
            slow,
            on_loss,
            paused: false,
            stalled: false,
            told_stalled: false,
            messages: Messages::default(),
            is_halfway: false,
            delivered: Delivered::default(),
            told: None,
            next: None,
            unreadable: Vec::new(),
            skipped: None,
        }
    }

    pub(super) fn framing(&self) -> Framing {
        self.assembly.framing()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// The messages that are being handed over.
    pub(super) fn told(&self) -> Option<&Arc<Messages>> {
        self.told.as_ref()
    }

    /// Records a range that is given up, which continues the range that was given up before.
    pub(super) fn skip(&mut self, range: Range<u64>) {
        let start = self.skipped.as_ref().map_or(range.start, |skipped| skipped.start);
        self.skipped = Some(start..range.end);
        if !self.is_halfway {
            self.assembly.interrupt(&mut self.messages);
        }
    }

    /// Where the range begins that was given up and not told of yet.
    pub(super) fn skipped_from(&self) -> Option<u64> {
        self.skipped.as_ref().map(|skipped| skipped.start)
    }

    /// Whether the next packet may be read: there is room for its messages, and nothing has to be reported before them.
    fn may_read(&self) -> bool {
        self.has_room() && self.skipped.is_none() && !self.is_halfway
    }

    /// Whether there is room for more messages, and nothing was found after those that were read.
    fn has_room(&self) -> bool {
        let Ordered { messages, next, .. } = self;
        next.is_none() && messages.len() < MESSAGES_MAX && messages.read_len() <= self.ahead_max
    }

    /// Reads the packet at a position.
    fn read(&mut self, position: u64, tsdu: Tsdu<'_>, stats: &mut ReceiverStats) {
        let read = self.assembly.read(position, tsdu, &mut self.messages, stats);
        self.note(read, tsdu.payload);
    }

    /// Reads the rest of a packet after a message that is too long. Packets that were given up come after it.
    fn read_on(&mut self, stats: &mut ReceiverStats) {
        let read = self.assembly.read_on(&mut self.messages, stats);
        self.note(read, &[]);
        if !self.is_halfway && self.skipped.is_some() {
            self.assembly.interrupt(&mut self.messages);
        }
    }

    /// Records how far a packet was read; `payload` is the packet's, if it is still at hand.
    fn note(&mut self, read: Read, payload: &[u8]) {
        self.is_halfway = false;
        match read {
            Read::Whole => {}
            Read::TooLong { begun_at, len } => {
                self.is_halfway = true;
                self.next = Some(Delivery::TooLong { position: begun_at, len });
            }
            Read::Unreadable { position } => {
                self.unreadable.clear();
                self.unreadable.extend_from_slice(payload);
                self.next = Some(Delivery::Unreadable { position });
            }
        }
    }

    /// The payload of the packet that is reported as [`Delivery::Unreadable`].
    pub(super) fn unreadable(&self) -> &[u8] {
        &self.unreadable
    }

    /// Reads a packet of a group that may have to be decoded, and remembers where in the messages it is. False when the messages do
    /// not contain all of its payload, so that it must be kept elsewhere.
    pub(super) fn read_noting(&mut self, place: Place, tsdu: Tsdu<'_>, stats: &mut ReceiverStats) -> bool {
        let start = self.messages.bytes().len();
        self.read(place.position, tsdu, stats);
        let (front, rest) = match self.framing() {
            Framing::Packed => Front::split(tsdu.payload),
            Framing::Apdu | Framing::Stream => (Front::default(), tsdu.payload),
        };
        let is_there = self.messages.bytes().len() == start + rest.len();
        if is_there {
            self.delivered.note(place, front, tsdu.fragment, start, &self.messages);
        }
        is_there
    }

    /// Copies the packets of a group that were read to the group's own memory; returns how many bytes of payload they have.
    pub(super) fn move_delivered(&mut self, key: u64, hold: &mut Hold) -> usize {
        if self.delivered.key() != Some(key) {
            return 0;
        }
        self.delivered.move_to(hold, &self.messages)
    }

    /// Forgets the packets of groups before this one.
    #[inline]
    pub(super) fn forget_before(&mut self, key: u64) {
        if self.delivered.key().is_some_and(|delivered| delivered < key) {
            self.delivered.clear();
        }
    }

    /// Moves what was read to `told`; an incomplete message stays. False when nothing was read.
    fn hand_over(&mut self, lent: &mut Lent) -> bool {
        self.told = None;
        if self.messages.is_empty() && self.messages.read_len() == 0 {
            return false;
        }
        let told = lent.lend(&mut self.messages);
        self.delivered.lent(&told);
        self.told = Some(told);
        true
    }
}

impl Peer {
    pub(super) fn deliver_in_order(&mut self, shared: &mut Shared) -> Option<Delivery> {
        let Sink::Ordered(ordered) = &mut self.sink else { return None };
        if ordered.paused {
            let tells = ordered.stalled && !ordered.told_stalled;
            ordered.told_stalled |= tells;
            return tells.then_some(Delivery::Stalled);
        }
        loop {
            if self.end != Some(EndCause::Loss) {
                self.read_held(shared);
            }
            let Sink::Ordered(ordered) = &mut self.sink else { return None };
            if !ordered.hand_over(&mut shared.lent) {
                break;
            }
            self.bound_delivered(shared);
            let Sink::Ordered(ordered) = &self.sink else { return None };
            // What was read may contain no message.
            if ordered.told().is_some_and(|told| !told.is_empty()) {
                return Some(Delivery::Messages);
            }
        }
        let Sink::Ordered(ordered) = &mut self.sink else { return None };
        if self.end == Some(EndCause::Loss) {
            return self.ending(self.window.floor());
        }
        let skipped = |skipped: Range<u64>| Delivery::Lost { first: skipped.start, last: skipped.end - 1 };
        let missed = ordered.next.take().or_else(|| ordered.skipped.take().map(skipped));
        missed.map(|missed| self.missed(missed)).or_else(|| self.resume_or_end())
    }

    /// Reads the packet that is next in order at once, instead of keeping it. False when it has to be kept: if it is not the next one,
    /// the source provides parity, its block has packets in memory or under repair, or there is no room for its messages.
    pub(super) fn read_at_once(&mut self, position: u64, tsdu: Tsdu<'_>, shared: &mut Shared) -> bool {
        if self.parity.is_some() || !self.is_next(position) {
            return false;
        }
        let block = self.window.block(self.window.key(position));
        let is_alone = block.is_none_or(|block| block.hold.is_none() && block.repair.is_idle());
        let Sink::Ordered(ordered) = &mut self.sink else { return false };
        if !is_alone {
            return false;
        }
        ordered.read(position, tsdu, &mut shared.stats);
        self.window.arrived(position, true);
        self.raise_floor(position + 1, shared);
        true
    }

    /// Whether the packet at a position is the next one, and may be read when it comes.
    #[inline]
    pub(super) fn is_next(&self, position: u64) -> bool {
        let Sink::Ordered(ordered) = &self.sink else { return false };
        position == self.window.floor()
            && self.announced
            && self.end.is_none()
            && !ordered.paused
            && ordered.may_read()
    }

    /// Copies the packets that were read of a group to the group's own memory if they keep too much other memory from being reused.
    fn bound_delivered(&mut self, shared: &mut Shared) {
        let Sink::Ordered(ordered) = &mut self.sink else { return };
        if !ordered.delivered.is_large() {
            return;
        }
        let Some(block) = ordered.delivered.key().and_then(|key| self.window.block_mut(key)) else {
            return ordered.delivered.clear();
        };
        let hold = block.hold_mut(&mut self.held, &mut shared.pool);
        self.held.bytes += ordered.delivered.move_to(hold, &ordered.messages);
    }

    /// Reads the kept packets until one is missing, or something has to be reported first.
    fn read_held(&mut self, shared: &mut Shared) {
        loop {
            let Sink::Ordered(ordered) = &mut self.sink else { return };
            if ordered.is_halfway && ordered.has_room() {
                ordered.read_on(&mut shared.stats);
                continue;
            }
            if !ordered.may_read() {
                return;
            }
            match self.window.step(&mut |hold| self.held.give_back(hold, &mut shared.pool)) {
                Step::Packet { key, index } => {
                    let held = self.window.block(key).and_then(|block| block.hold.as_ref());
                    let tsdu = held.and_then(|hold| hold.data(index)).unwrap_or_default();
                    ordered.read(self.window.floor(), tsdu, &mut shared.stats);
                    self.pass(key, index, shared);
                }
                Step::Lost { first, last } => {
                    ordered.assembly.interrupt(&mut ordered.messages);
                    ordered.next = Some(Delivery::Lost { first, last });
                    shared.stats.lost += last - first + 1;
                }
                Step::Nothing => return,
            }
        }
    }

    /// Raises the floor over a packet that was read. The block's memory is given back when nothing in it is needed any more.
    pub(super) fn pass(&mut self, key: u64, index: u8, shared: &mut Shared) {
        self.raise_floor(self.window.floor() + 1, shared);
        if mem::take(&mut self.waits_for_room) {
            // There is more room now: an immediate time-out looks for gaps.
            self.timers.set(Timer::Repair, Instant::ZERO);
        }
        if self.parity.is_some() {
            return;
        }
        let Some(block) = self.window.block_mut(key) else { return };
        let undelivered = block.present >> index >> 1;
        if undelivered == 0
            && let Some(hold) = block.hold.take()
        {
            self.held.give_back(hold, &mut shared.pool);
        }
    }

    /// Returns a loss as it is, and ends the session if the configuration says so.
    fn missed(&mut self, what: Delivery) -> Delivery {
        if let Sink::Ordered(ordered) = &self.sink
            && ordered.on_loss == OnLoss::Stop
        {
            self.end = Some(EndCause::Loss);
        }
        what
    }

    fn resume_or_end(&mut self) -> Option<Delivery> {
        let Sink::Ordered(ordered) = &mut self.sink else { return None };
        ordered.stalled = false;
        if mem::take(&mut ordered.told_stalled) {
            return Some(Delivery::Resumed);
        }
        self.ending(self.window.floor())
    }

    /// The end of the session, if it has ended: everything below `reached` was delivered. What is complete is so however long the
    /// source has been silent since.
    pub(super) fn ending(&self, reached: u64) -> Option<Delivery> {
        let finished = self.fin.filter(|&(last, _)| reached > last).map(|(_, cause)| cause);
        let cause = match (self.end, finished) {
            (None | Some(EndCause::Expired), Some(cause)) => cause,
            (end, _) => end?,
        };
        Some(Delivery::End(cause))
    }
}

/// The limit of `ahead_max`: with one packet more, the bytes still fit into the memory that is kept.
const AHEAD_MAX: usize = KEPT_MAX - (64 << 10);
/// The number of messages at which no more packets are read ahead.
const MESSAGES_MAX: usize = 1024;
