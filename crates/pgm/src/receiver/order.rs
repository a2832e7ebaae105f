//! Delivery in order: messages, or bytes of a stream, and what is lost between them.

use std::mem;
use std::ops::Range;

use super::assemble::{Assembly, Read};
use super::config::{Limits, OnLoss, Slow};
use super::event::EndCause;
use super::messages::Messages;
use super::packets::KEPT_MAX;
use super::peer::{Peer, Sink, Timer};
use super::shared::Shared;
use super::stats::ReceiverStats;
use super::window::Step;
use crate::wire::{Content, Data, Fragment};
use crate::{Framing, Instant};

/// The state of delivery in order.
#[derive(Debug)]
pub(super) struct Ordered {
    assembly: Assembly,
    pub(super) slow: Slow,
    on_loss: OnLoss,
    paused: bool,
    /// Whether data were refused for want of room, and whether that was told.
    pub(super) stalled: bool,
    told_stalled: bool,
    /// What was read and is still to be told, and bytes at which that is enough.
    messages: Messages,
    ahead_max: usize,
    /// What is being handed over. What is left of it after that is nobody's.
    told: Messages,
    /// What was found behind the messages, and is to be told after them.
    next: Option<Delivery>,
    /// What was given up because the application did not keep up, and is still to be told.
    skipped: Option<Range<u64>>,
}

/// What is delivered next; what has bytes is borrowed when nothing changes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The messages that were read.
    Messages,
    /// The packets that wait (bulk).
    Packets,
    /// A group is needed (bulk).
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
    Stalled,
    Resumed,
    End(EndCause),
}

impl Ordered {
    pub(super) fn new(framing: Framing, limits: &Limits, on_loss: OnLoss, slow: Slow) -> Self {
        Ordered {
            assembly: Assembly::new(framing, limits.message_len),
            ahead_max: KEPT_MAX.min(limits.bytes / 4),
            slow,
            on_loss,
            paused: false,
            stalled: false,
            told_stalled: false,
            messages: Messages::default(),
            told: Messages::default(),
            next: None,
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

    /// The messages that are being handed over. Who keeps them puts other memory in their place.
    pub(super) fn told_mut(&mut self) -> &mut Messages {
        &mut self.told
    }

    /// Notes what is given up, which follows on what was given up before.
    pub(super) fn skip(&mut self, range: Range<u64>) {
        let start = self.skipped.as_ref().map_or(range.start, |skipped| skipped.start);
        self.skipped = Some(start..range.end);
        self.assembly.interrupt(&mut self.messages);
    }

    /// Whether the next packet may be read: nothing is to be told before its messages, and they find room.
    fn may_read(&self) -> bool {
        let Ordered { messages, next, skipped, .. } = self;
        next.is_none()
            && skipped.is_none()
            && messages.len() < MESSAGES_MAX
            && messages.bytes_len() <= self.ahead_max
    }

    /// Reads the packet at a position; whether it was read to its end.
    fn read(&mut self, position: u64, packet: (&[u8], Option<Fragment>), stats: &mut ReceiverStats) -> bool {
        match self.assembly.read(position, packet, &mut self.messages, stats) {
            Read::Whole => true,
            Read::TooLong { begun_at, len } => {
                self.next = Some(Delivery::TooLong { position: begun_at, len });
                false
            }
        }
    }

    /// Hands over what was read, if there is anything. A message that is not whole stays.
    fn hand_over(&mut self) -> bool {
        if self.messages.is_empty() {
            return false;
        }
        self.told.clear();
        mem::swap(&mut self.messages, &mut self.told);
        self.told.move_begun(&mut self.messages);
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
        if self.end != Some(EndCause::Loss) {
            self.read_held(shared);
        }
        let Sink::Ordered(ordered) = &mut self.sink else { return None };
        if ordered.hand_over() {
            return Some(Delivery::Messages);
        }
        if self.end == Some(EndCause::Loss) {
            return self.ending(self.window.floor());
        }
        let skipped = |skipped: Range<u64>| Delivery::Lost { first: skipped.start, last: skipped.end - 1 };
        let missed = ordered.next.take().or_else(|| ordered.skipped.take().map(skipped));
        missed.map(|missed| self.missed(missed)).or_else(|| self.resume_or_end())
    }

    /// Reads a packet that came next in order where it lies, instead of keeping it. False when it has to be kept: for what is behind it
    /// or before it, for the parity of its group, or for want of room.
    pub(super) fn read_at_once(&mut self, position: u64, data: &Data<'_>, shared: &mut Shared) -> bool {
        let Content::Source { fragment } = data.head.content else { return false };
        if position != self.window.floor() || !self.announced || self.parity.is_some() || self.end.is_some() {
            return false;
        }
        let block = self.window.block(self.window.key(position));
        let is_alone = block.is_none_or(|block| block.hold.is_none() && block.repair.is_idle());
        let Sink::Ordered(ordered) = &mut self.sink else { return false };
        if !is_alone || ordered.paused || !ordered.may_read() {
            return false;
        }
        // What is told in the middle of a packet is told before the rest is read.
        if !ordered.read(position, (data.payload, fragment), &mut shared.stats) {
            return false;
        }
        self.window.arrived(position, true);
        self.raise_floor(position + 1, shared);
        true
    }

    /// Reads what is kept, packet by packet, until something else comes up.
    fn read_held(&mut self, shared: &mut Shared) {
        loop {
            let Sink::Ordered(ordered) = &mut self.sink else { return };
            if !ordered.may_read() {
                return;
            }
            let (held_blocks, held_bytes) = (&mut self.held_blocks, &mut self.held_bytes);
            let mut recycle = |hold: Box<super::hold::Hold>| {
                *held_blocks -= 1;
                *held_bytes -= hold.len();
                shared.pool.put(hold);
            };
            match self.window.step(&mut recycle) {
                Step::Packet { key, index } => {
                    let held = self.window.block(key).and_then(|block| block.hold.as_ref());
                    let packet = held.and_then(|hold| hold.data(index)).unwrap_or((&[], None));
                    if !ordered.read(self.window.floor(), packet, &mut shared.stats) {
                        return;
                    }
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

    /// The packet at the floor was read to its end. Its memory is used again, unless it may help to decode the group.
    fn pass(&mut self, key: u64, index: u8, shared: &mut Shared) {
        self.raise_floor(self.window.floor() + 1, shared);
        if mem::take(&mut self.waits_for_room) {
            // There is more room now: a time-out that is due at once looks for what is missing.
            self.timers.set(Timer::Repair as usize, Instant::ZERO);
        }
        if self.parity.is_some() {
            return;
        }
        let Some(block) = self.window.block_mut(key) else { return };
        let undelivered = block.present >> index >> 1;
        if undelivered == 0
            && let Some(hold) = block.hold.take()
        {
            self.release(hold, shared);
        }
    }

    /// Something will not be delivered, which may be the end of it all.
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

    /// The end of the session, when it has come: all up to `reached` was delivered.
    pub(super) fn ending(&mut self, reached: u64) -> Option<Delivery> {
        let is_finished = self.fin.is_some_and(|fin| reached > fin);
        let cause = self.end.or(is_finished.then_some(EndCause::Fin))?;
        if mem::replace(&mut self.ended, true) {
            return None;
        }
        Some(Delivery::End(cause))
    }
}

/// Messages that are read ahead at most, and what one packet has more.
const MESSAGES_MAX: usize = 1024;
