//! Delivery in order: messages, or bytes of a stream, and what is lost between them.

use std::ops::Range;

use super::assemble::{self, Assembly};
use super::config::{OnLoss, Slow};
use super::event::EndCause;
use super::peer::{Peer, Sink, Timer};
use super::shared::Shared;
use super::window::Step;
use crate::{Framing, Instant};

/// The state of delivery in order.
#[derive(Debug)]
pub(super) struct Ordered {
    pub(super) assembly: Assembly,
    pub(super) slow: Slow,
    on_loss: OnLoss,
    paused: bool,
    /// Whether data were refused for want of room, and whether that was told.
    pub(super) stalled: bool,
    told_stalled: bool,
    /// The packet in which the message begins that goes on in the next one.
    begun_at: u64,
    /// What was given up because the application did not keep up, and is still to be told.
    skipped: Option<Range<u64>>,
}

/// What is delivered next; bytes are pointed to, so that they can be borrowed when nothing changes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Bytes of a held packet.
    Held {
        key: u64,
        index: u8,
        range: Range<usize>,
        more: bool,
    },
    /// Bytes that were assembled from several packets.
    Assembled {
        range: Range<usize>,
        more: bool,
    },
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
    pub(super) fn new(framing: Framing, message_len_max: usize, on_loss: OnLoss, slow: Slow) -> Self {
        Ordered {
            assembly: Assembly::new(framing, message_len_max),
            slow,
            on_loss,
            paused: false,
            stalled: false,
            told_stalled: false,
            begun_at: 0,
            skipped: None,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Notes what is given up, which follows on what was given up before.
    pub(super) fn skip(&mut self, range: Range<u64>) {
        let start = self.skipped.as_ref().map_or(range.start, |skipped| skipped.start);
        self.skipped = Some(start..range.end);
        self.assembly.interrupt();
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
        if self.end == Some(EndCause::Loss) {
            return self.ending(self.window.floor());
        }
        if let Some(skipped) = ordered.skipped.take() {
            return Some(self.missed(Delivery::Lost { first: skipped.start, last: skipped.end - 1 }));
        }
        loop {
            let Sink::Ordered(ordered) = &mut self.sink else { return None };
            let (held_blocks, held_bytes) = (&mut self.held_blocks, &mut self.held_bytes);
            let mut recycle = |hold: Box<super::hold::Hold>| {
                *held_blocks -= 1;
                *held_bytes -= hold.len();
                shared.pool.put(hold);
            };
            match self.window.step(&mut recycle) {
                Step::Packet { key, index } => {
                    let held = self.window.block(key).and_then(|block| block.hold.as_ref());
                    let (payload, fragment) = held.and_then(|hold| hold.data(index)).unwrap_or((&[], None));
                    let was_under_way = ordered.assembly.is_under_way();
                    let found = ordered.assembly.next(payload, fragment, &mut shared.stats);
                    if !was_under_way && ordered.assembly.is_under_way() {
                        ordered.begun_at = self.window.floor();
                    }
                    match found {
                        assemble::Found::InPacket { range, more } => {
                            return Some(Delivery::Held { key, index, range, more });
                        }
                        assemble::Found::Assembled { range, more } => {
                            return Some(Delivery::Assembled { range, more });
                        }
                        assemble::Found::TooLong { len } => {
                            let position = if was_under_way { ordered.begun_at } else { self.window.floor() };
                            return Some(self.missed(Delivery::TooLong { position, len }));
                        }
                        assemble::Found::PacketEnds => self.pass(key, index, shared),
                    }
                }
                Step::Lost { first, last } => {
                    ordered.assembly.interrupt();
                    shared.stats.lost += last - first + 1;
                    return Some(self.missed(Delivery::Lost { first, last }));
                }
                Step::Nothing => return self.resume_or_end(),
            }
        }
    }

    /// The packet at the floor was read to its end. Its memory is used again, unless it may help to decode the group.
    fn pass(&mut self, key: u64, index: u8, shared: &mut Shared) {
        self.raise_floor(self.window.floor() + 1, shared);
        if std::mem::take(&mut self.waits_for_room) {
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
        if std::mem::take(&mut ordered.told_stalled) {
            return Some(Delivery::Resumed);
        }
        self.ending(self.window.floor())
    }

    /// The end of the session, when it has come: all up to `reached` was delivered.
    pub(super) fn ending(&mut self, reached: u64) -> Option<Delivery> {
        let is_finished = self.fin.is_some_and(|fin| reached > fin);
        let cause = self.end.or(is_finished.then_some(EndCause::Fin))?;
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        Some(Delivery::End(cause))
    }
}
