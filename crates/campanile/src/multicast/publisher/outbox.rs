//! What the application has packed and the node has not yet taken.
//!
//! The application's threads pack what they publish into packets, and that is the one time that it is copied. Packets change hands as
//! a whole, many at a time. Neither side waits for the other while it holds something, and no message costs an allocation.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Poll, Waker as TaskWaker};

use campanile_engine::Waker;
use campanile_pgm::source::{Packed, Packer};
use campanile_pgm::wire::Reset;

/// What the application has said, as its node hears it.
#[derive(Debug)]
pub(super) enum Said<'a> {
    /// Packets of it, at least one. Those that are left there come again.
    Packets(&'a mut Packed),
    /// A burst is over.
    Flush,
    /// The session is.
    End(End),
}

/// How a session ends with what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// More was meant to come.
    Cut(Reset),
}

/// Why something was not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SayError {
    /// There is no room now.
    Full,
    /// The node listens no more.
    Closed,
}

/// The two ends of an outbox that begins with the messages `first`. Each time that the node has been there it takes `len_max` more
/// messages, of no more than [`BYTES`] and one message; as much again may be in the node's hand.
pub(super) fn outbox<'a>(
    mut packer: Packer,
    len_max: usize,
    first: impl IntoIterator<Item = &'a [u8]>,
) -> (Speaker, Listener) {
    let packets_max = (BYTES / packer.tsdu_len()).max(1);
    first.into_iter().for_each(|message| packer.put(message, false));
    let open =
        Open { packer, messages: 0, is_flushed: false, end: None, is_closed: false, waiting: Vec::new() };
    let shared = Arc::new(Shared { len_max, packets_max, open: Mutex::new(open) });
    let listener = Listener {
        shared: Arc::clone(&shared),
        hand: Packed::default(),
        is_open: false,
        is_flushed: false,
        end: None,
    };
    (Speaker { shared }, listener)
}

/// The application's end.
#[derive(Debug)]
pub(super) struct Speaker {
    shared: Arc<Shared>,
}

/// The node's end. When it goes, nothing more can be said.
#[derive(Debug)]
pub(super) struct Listener {
    shared: Arc<Shared>,
    hand: Packed,
    /// Whether a packet that is still being filled stayed when the node was last there.
    is_open: bool,
    /// A burst is over with what was taken before.
    is_flushed: bool,
    /// The session is over with what is in the hand.
    end: Option<End>,
}

#[derive(Debug)]
struct Shared {
    len_max: usize,
    packets_max: usize,
    open: Mutex<Open>,
}

/// What both ends write to.
#[derive(Debug)]
struct Open {
    packer: Packer,
    /// Messages, or parts of them, since the node was last here.
    messages: usize,
    /// A burst is over with what the node has.
    is_flushed: bool,
    end: Option<End>,
    is_closed: bool,
    /// Those who wait for room.
    waiting: Vec<TaskWaker>,
}

/// Bytes of packets at which an outbox is full: few enough to be still in the processor's cache when the node comes to send them.
const BYTES: usize = 1 << 20;

impl Speaker {
    /// Publishes a message, or a part of one that goes on (`more`), if there is room now.
    pub(super) fn try_say(&self, message: &[u8], more: bool, node: &Waker) -> Result<(), SayError> {
        let done = self.pack(message, more, None);
        // Even where there was no room: the node does not wait for a thread that packs, but comes again when it is woken.
        node.wake();
        done
    }

    /// Publishes a message, or a part of one, once there is room.
    pub(super) async fn say(&self, message: &[u8], more: bool, node: &Waker) -> Result<(), SayError> {
        poll_fn(|context| {
            let done = self.pack(message, more, Some(context.waker()));
            node.wake();
            match done {
                Err(SayError::Full) => Poll::Pending,
                done => Poll::Ready(done),
            }
        })
        .await
    }

    /// Says that a burst is over, which needs no room.
    pub(super) fn flush(&self, node: &Waker) -> Result<(), SayError> {
        {
            let mut open = self.shared.lock();
            if open.is_closed {
                return Err(SayError::Closed);
            }
            open.is_flushed |= !open.packer.end_burst();
        }
        node.wake();
        Ok(())
    }

    /// Says that the session is over with what was published. Nothing more is.
    pub(super) fn finish(&self, end: End, node: &Waker) {
        self.close(node, Some(end));
    }

    /// Nothing more is published.
    pub(super) fn abort(&self, node: &Waker) {
        self.close(node, None);
    }

    fn close(&self, node: &Waker, end: Option<End>) {
        let waiting = {
            let mut open = self.shared.lock();
            open.end = open.end.or(end.filter(|_| !open.is_closed));
            open.close()
        };
        waiting.into_iter().for_each(TaskWaker::wake);
        node.wake();
    }

    /// Packs a message; where there is no room, `waiting` is told when there may be some.
    pub(super) fn pack(
        &self,
        message: &[u8],
        more: bool,
        waiting: Option<&TaskWaker>,
    ) -> Result<(), SayError> {
        let mut open = self.shared.lock();
        let Open { packer, messages, is_closed, waiting: others, .. } = &mut *open;
        if *is_closed {
            return Err(SayError::Closed);
        }
        if *messages >= self.shared.len_max || packer.filled() >= self.shared.packets_max {
            if let Some(waker) = waiting
                && !others.iter().any(|other| other.will_wake(waker))
            {
                others.push(waker.clone());
            }
            return Err(SayError::Full);
        }
        packer.put(message, more);
        *messages += 1;
        Ok(())
    }
}

impl Listener {
    /// What was said next. A packet that is still being filled stays while it `waits` for what is to be sent before it: it may well
    /// become full.
    pub(super) fn next(&mut self, waits: bool) -> Option<Said<'_>> {
        if self.hand.is_empty() && self.end.is_none() {
            self.reach(waits);
        }
        if mem::take(&mut self.is_flushed) {
            return Some(Said::Flush);
        }
        if self.hand.is_empty() {
            return self.end.take().map(Said::End);
        }
        Some(Said::Packets(&mut self.hand))
    }

    /// Whether a packet stayed that is still being filled.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Takes what was packed into the hand, which is empty.
    fn reach(&mut self, waits: bool) {
        let waiting = {
            // The thread that is at the outbox wakes the node when it leaves.
            let mut open = match self.shared.open.try_lock() {
                Ok(open) => open,
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(_)) => unreachable!("nothing panics at an outbox"),
            };
            let Open { packer, messages, is_flushed, end, waiting, .. } = &mut *open;
            *messages = 0;
            self.is_flushed = mem::take(is_flushed);
            self.end = end.take();
            if !waits || self.end.is_some() {
                packer.close();
            }
            self.is_open = packer.is_open();
            packer.give(&mut self.hand);
            mem::take(waiting)
        };
        waiting.into_iter().for_each(TaskWaker::wake);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let waiting = self.shared.lock().close();
        waiting.into_iter().for_each(TaskWaker::wake);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("nothing panics at an outbox")
    }
}

impl Open {
    /// Takes nothing more; returns those who wait for room in vain.
    fn close(&mut self) -> Vec<TaskWaker> {
        self.is_closed = true;
        mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use campanile_engine::{Config, Engine, Event};
    use campanile_pgm::Framing;

    use super::*;
    use crate::multicast::queue::wait;

    fn waker() -> Waker {
        Engine::new(&Config::default()).expect("some backend works").waker()
    }

    /// An outbox of which each message is a packet.
    fn of_packets(len_max: usize) -> (Speaker, Listener) {
        outbox(Packer::new(Framing::Apdu, 1000), len_max, None)
    }

    /// What is heard while something else waits, or nothing does.
    fn heard(listener: &mut Listener, waits: bool) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        while let Some(said) = listener.next(waits) {
            match said {
                Said::Packets(packed) => {
                    heard.extend(packed.payloads().map(<[u8]>::to_vec));
                    packed.clear();
                }
                Said::Flush => heard.push(b"flush".to_vec()),
                Said::End(_) => heard.push(b"finish".to_vec()),
            }
        }
        heard
    }

    #[test]
    fn what_is_said_is_heard_in_order() {
        let node = waker();
        let (speaker, mut listener) = outbox(Packer::new(Framing::Apdu, 4), 2, [&b"at first"[..]]);
        for round in [b"a", b"b"] {
            speaker.try_say(round, false, &node).expect("room");
            speaker.try_say(b"", false, &node).expect("room");
            assert_eq!(speaker.try_say(b"more", false, &node), Err(SayError::Full));
            let mut expected = vec![round.to_vec(), vec![]];
            if round == b"a" {
                expected.splice(0..0, [b"at f".to_vec(), b"irst".to_vec()]);
            }
            assert!(matches!(listener.next(true), Some(Said::Packets(_))), "not taken yet");
            assert_eq!(heard(&mut listener, true), expected);
        }
        speaker.flush(&node).expect("not closed");
        speaker.try_say(b"last", false, &node).expect("room");
        speaker.finish(End::Whole, &node);
        assert_eq!(speaker.try_say(b"late", false, &node), Err(SayError::Closed));
        assert_eq!(speaker.flush(&node), Err(SayError::Closed));
        assert_eq!(heard(&mut listener, true), [b"flush".to_vec(), b"last".to_vec(), b"finish".to_vec()]);
        assert!(heard(&mut listener, true).is_empty(), "it finishes once");
    }

    #[test]
    fn a_packet_is_filled_while_others_wait() {
        let node = waker();
        let (speaker, mut listener) = outbox(Packer::new(Framing::Stream, 4), 100, None);
        speaker.try_say(b"abc", false, &node).expect("room");
        assert!(heard(&mut listener, true).is_empty());
        speaker.flush(&node).expect("not closed");
        speaker.try_say(b"def", false, &node).expect("room");
        assert_eq!(heard(&mut listener, true), [b"abcd".to_vec()], "the burst ends in this packet");
        assert_eq!(heard(&mut listener, false), [b"ef".to_vec()]);
        speaker.try_say(b"g", false, &node).expect("room");
        speaker.finish(End::Whole, &node);
        assert_eq!(heard(&mut listener, true), [b"g".to_vec(), b"finish".to_vec()]);
    }

    #[test]
    fn who_aborts_does_not_finish() {
        let node = waker();
        let (speaker, mut listener) = of_packets(3);
        speaker.abort(&node);
        speaker.finish(End::Whole, &node);
        assert!(heard(&mut listener, false).is_empty());
    }

    #[test]
    fn who_finds_no_room_wakes_the_node() {
        let mut engine = Engine::new(&Config::default()).expect("some backend works");
        let waker = engine.waker();
        let (speaker, mut listener) = of_packets(1);
        speaker.try_say(b"", false, &waker).expect("room");
        let patience = || Some(Instant::now() + Duration::from_secs(60));
        engine.poll(patience()).expect("polls");
        assert!(matches!(engine.next_event(), Some(Event::Woken)));
        // The node came while somebody was at the outbox.
        let open = speaker.shared.lock();
        assert!(listener.next(false).is_none());
        drop(open);
        assert_eq!(speaker.try_say(b"", false, &waker), Err(SayError::Full));
        engine.poll(patience()).expect("polls");
        assert!(matches!(engine.next_event(), Some(Event::Woken)));
        assert!(listener.next(false).is_some());
    }

    #[test]
    fn a_heavy_outbox_is_full_and_one_message_fits_always() {
        let node = waker();
        let (speaker, mut listener) = of_packets(100);
        let heavy = vec![7; 3 * BYTES];
        speaker.try_say(&heavy, false, &node).expect("an empty outbox takes anything");
        assert_eq!(speaker.try_say(b"", false, &node), Err(SayError::Full));
        assert_eq!(heard(&mut listener, true).concat(), heavy);
        speaker.try_say(b"", false, &node).expect("room again");
        assert_eq!(heard(&mut listener, true).len(), 1);
    }

    #[test]
    fn who_waits_for_room_is_told_of_it_and_of_the_end() {
        let waker = waker();
        let (speaker, mut listener) = of_packets(1);
        let speaker = Arc::new(speaker);
        let count = 1000;
        let speakers: Vec<_> = (0..3)
            .map(|_| {
                let (speaker, waker) = (Arc::clone(&speaker), waker.clone());
                thread::spawn(move || {
                    let say = || wait(speaker.say(b"x", false, &waker), Duration::MAX);
                    (0..count).map(|_| say().expect("no end of time")).take_while(Result::is_ok).count()
                })
            })
            .collect();
        let mut heard = 0;
        while heard < count {
            match listener.next(false) {
                Some(Said::Packets(packed)) => {
                    heard += packed.len();
                    packed.clear();
                }
                other => assert!(other.is_none(), "{other:?}"),
            }
        }
        drop(listener);
        let said: usize = speakers.into_iter().map(|speaker| speaker.join().expect("no panic")).sum();
        assert!((count..=count + 1).contains(&said), "{said}");
    }
}
