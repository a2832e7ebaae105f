//! Packets that the application has filled and the node has not taken yet.
//!
//! The application's threads pack what they publish into packets, which is the only copy. Packets change hands as a whole, many at a
//! time. Neither side holds the lock while it does something else, and no message costs an allocation.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Poll, Waker as TaskWaker};

use campanile_engine::Waker;
use campanile_pgm::source::{Packed, Packer};
use campanile_pgm::wire::Reset;

use crate::multicast::waiting::{HeldPlace, Waiter, WaitingTasks};

/// What the node takes next from the application.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// Packets, at least one. Those that are left in it are offered again.
    Packets(&'a mut Packed),
    /// A burst is over.
    Flush,
    /// The session is over.
    End(End),
}

/// How a session ends after what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Whole,
    /// More was meant to come.
    Cut(Reset),
}

/// Why something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendError {
    /// There is no room now.
    Full,
    /// The node takes no more.
    Closed,
}

/// The two ends of an outbox that begins with the messages `first`. It has room for `len_max` messages, at least one, or [`BYTES`] bytes
/// and one more message, each time until the node takes them; as much again may be with the node.
pub(super) fn outbox<'a>(
    mut packer: Packer,
    len_max: usize,
    first: impl IntoIterator<Item = &'a [u8]>,
) -> (OutboxSender, OutboxReceiver) {
    let packets_max = (BYTES / packer.tsdu_len()).max(1);
    first.into_iter().for_each(|message| packer.put(message, false));
    let waiting = WaitingTasks::default();
    let open = Open { packer, messages: 0, is_flushed: false, end: None, is_closed: false, waiting };
    let shared = Arc::new(Shared { len_max: len_max.max(1), packets_max, open: Mutex::new(open) });
    let receiver = OutboxReceiver {
        shared: Arc::clone(&shared),
        taken: Packed::default(),
        is_open: false,
        is_flushed: false,
        end: None,
    };
    (OutboxSender { shared }, receiver)
}

/// The application's end.
#[derive(Debug)]
pub(super) struct OutboxSender {
    shared: Arc<Shared>,
}

/// The node's end. After it is dropped, nothing more can be published.
#[derive(Debug)]
pub(super) struct OutboxReceiver {
    shared: Arc<Shared>,
    taken: Packed,
    /// Whether a packet that is still being filled was left when the node last took packets.
    is_open: bool,
    /// A burst ends with what was taken before.
    is_flushed: bool,
    /// The session ends with what was taken.
    end: Option<End>,
}

#[derive(Debug)]
struct Shared {
    len_max: usize,
    packets_max: usize,
    open: Mutex<Open>,
}

/// What both ends access.
#[derive(Debug)]
struct Open {
    packer: Packer,
    /// Messages, or parts of them, since the node last took packets.
    messages: usize,
    /// A burst ends with what the node has taken already.
    is_flushed: bool,
    end: Option<End>,
    is_closed: bool,
    /// The tasks that wait for room.
    waiting: WaitingTasks,
}

/// Bytes of packets at which an outbox is full: few enough to be still in the processor's cache when the node sends them.
const BYTES: usize = 1 << 20;

impl OutboxSender {
    /// Publishes a message, or a part of one that is not the last (`more`), if there is room now.
    pub(super) fn try_send(&self, message: &[u8], more: bool, node: &Waker) -> Result<(), SendError> {
        let done = self.pack(message, more, None);
        // Even if there was no room: the node does not wait for a thread that holds the lock, and tries again only when it is woken.
        node.wake();
        done
    }

    /// Publishes a message, or a part of one, once there is room.
    pub(super) async fn send(&self, message: &[u8], more: bool, node: &Waker) -> Result<(), SendError> {
        let mut place = HeldPlace::new(|place| {
            self.shared.lock().waiting.leave(place);
            node.wake();
        });
        poll_fn(|context| {
            let done = self.pack(message, more, Some(place.waiter(context)));
            node.wake();
            match done {
                Err(SendError::Full) => Poll::Pending,
                done => Poll::Ready(done),
            }
        })
        .await
    }

    /// Ends a burst, which needs no room.
    pub(super) fn flush(&self, node: &Waker) -> Result<(), SendError> {
        {
            let mut open = self.shared.lock();
            if open.is_closed {
                return Err(SendError::Closed);
            }
            open.is_flushed |= !open.packer.end_burst();
        }
        node.wake();
        Ok(())
    }

    /// Ends the session after what was published. Nothing more can be published.
    pub(super) fn finish(&self, end: End, node: &Waker) {
        self.close(node, Some(end));
    }

    /// Lets nothing more be published.
    pub(super) fn abort(&self, node: &Waker) {
        self.close(node, None);
    }

    fn close(&self, node: &Waker, end: Option<End>) {
        let waiting = {
            let mut open = self.shared.lock();
            open.end = open.end.or(end.filter(|_| !open.is_closed));
            open.close()
        };
        waiting.for_each(TaskWaker::wake);
        node.wake();
    }

    /// Packs a message; if there is no room, the waiter is woken when there may be some.
    pub(super) fn pack(
        &self,
        message: &[u8],
        more: bool,
        waiter: Option<Waiter<'_>>,
    ) -> Result<(), SendError> {
        let mut open = self.shared.lock();
        let Open { packer, messages, is_closed, waiting, .. } = &mut *open;
        if *is_closed {
            return Err(SendError::Closed);
        }
        if *messages >= self.shared.len_max || packer.filled() >= self.shared.packets_max {
            if let Some(waiter) = waiter {
                waiting.enter(waiter);
            }
            return Err(SendError::Full);
        }
        packer.put(message, more);
        *messages += 1;
        Ok(())
    }
}

impl OutboxReceiver {
    /// What comes next. With `waits`, something else is to be sent first, and a packet that is still being filled is left: it may well
    /// become full.
    pub(super) fn next(&mut self, waits: bool) -> Option<Next<'_>> {
        if self.taken.is_empty() && self.end.is_none() {
            self.reach(waits);
        }
        if mem::take(&mut self.is_flushed) {
            return Some(Next::Flush);
        }
        if self.taken.is_empty() {
            return self.end.take().map(Next::End);
        }
        Some(Next::Packets(&mut self.taken))
    }

    /// Whether a packet that is still being filled was left.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Takes what was packed; nothing may be left of what was taken before.
    fn reach(&mut self, waits: bool) {
        let waiting = {
            // A thread that holds the lock wakes the node afterwards.
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
            packer.give(&mut self.taken);
            waiting.take()
        };
        waiting.for_each(TaskWaker::wake);
    }
}

impl Drop for OutboxReceiver {
    fn drop(&mut self) {
        let waiting = self.shared.lock().close();
        waiting.for_each(TaskWaker::wake);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("nothing panics at an outbox")
    }
}

impl Open {
    /// Closes it; returns the tasks that wait for room in vain.
    fn close(&mut self) -> impl Iterator<Item = TaskWaker> + use<> {
        self.is_closed = true;
        self.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;
    use std::thread;
    use std::time::{Duration, Instant};

    use campanile_engine::{Config, Engine, Event};
    use campanile_pgm::Framing;

    use super::*;
    use crate::multicast::queue::wait;

    fn waker() -> Waker {
        Engine::new(&Config::default()).expect("some backend works").waker()
    }

    fn expect_woken(engine: &mut Engine) {
        engine.poll(Some(Instant::now() + Duration::from_secs(60))).expect("polls");
        assert!(matches!(engine.next_event(), Some(Event::Woken)));
    }

    /// An outbox in which each message is a packet.
    fn of_packets(len_max: usize) -> (OutboxSender, OutboxReceiver) {
        outbox(Packer::new(Framing::Apdu, 1000), len_max, None)
    }

    /// Everything that the receiver gets; `waits` as for `next`.
    fn heard(receiver: &mut OutboxReceiver, waits: bool) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        while let Some(said) = receiver.next(waits) {
            match said {
                Next::Packets(packed) => {
                    heard.extend(packed.payloads().map(<[u8]>::to_vec));
                    packed.clear();
                }
                Next::Flush => heard.push(b"flush".to_vec()),
                Next::End(_) => heard.push(b"finish".to_vec()),
            }
        }
        heard
    }

    #[test]
    fn what_is_said_is_heard_in_order() {
        let node = waker();
        let (sender, mut receiver) = outbox(Packer::new(Framing::Apdu, 4), 2, [&b"at first"[..]]);
        for round in [b"a", b"b"] {
            sender.try_send(round, false, &node).expect("room");
            sender.try_send(b"", false, &node).expect("room");
            assert_eq!(sender.try_send(b"more", false, &node), Err(SendError::Full));
            let mut expected = vec![round.to_vec(), vec![]];
            if round == b"a" {
                expected.splice(0..0, [b"at f".to_vec(), b"irst".to_vec()]);
            }
            assert!(matches!(receiver.next(true), Some(Next::Packets(_))), "not taken yet");
            assert_eq!(heard(&mut receiver, true), expected);
        }
        sender.flush(&node).expect("not closed");
        sender.try_send(b"last", false, &node).expect("room");
        sender.finish(End::Whole, &node);
        assert_eq!(sender.try_send(b"late", false, &node), Err(SendError::Closed));
        assert_eq!(sender.flush(&node), Err(SendError::Closed));
        assert_eq!(heard(&mut receiver, true), [b"flush".to_vec(), b"last".to_vec(), b"finish".to_vec()]);
        assert!(heard(&mut receiver, true).is_empty(), "it finishes once");
    }

    #[test]
    fn a_packet_is_filled_while_others_wait() {
        let node = waker();
        let (sender, mut receiver) = outbox(Packer::new(Framing::Stream, 4), 100, None);
        sender.try_send(b"abc", false, &node).expect("room");
        assert!(heard(&mut receiver, true).is_empty());
        sender.flush(&node).expect("not closed");
        sender.try_send(b"def", false, &node).expect("room");
        assert_eq!(heard(&mut receiver, true), [b"abcd".to_vec()], "the burst ends in this packet");
        assert_eq!(heard(&mut receiver, false), [b"ef".to_vec()]);
        sender.try_send(b"g", false, &node).expect("room");
        sender.finish(End::Whole, &node);
        assert_eq!(heard(&mut receiver, true), [b"g".to_vec(), b"finish".to_vec()]);
    }

    #[test]
    fn a_finish_after_an_abort_has_no_effect() {
        let node = waker();
        let (sender, mut receiver) = of_packets(3);
        sender.abort(&node);
        sender.finish(End::Whole, &node);
        assert!(heard(&mut receiver, false).is_empty());
    }

    #[test]
    fn a_full_outbox_wakes_the_node() {
        let mut engine = Engine::new(&Config::default()).expect("some backend works");
        let waker = engine.waker();
        let (sender, mut receiver) = of_packets(1);
        sender.try_send(b"", false, &waker).expect("room");
        expect_woken(&mut engine);
        // The node came while the lock was held.
        let open = sender.shared.lock();
        assert!(receiver.next(false).is_none());
        drop(open);
        assert_eq!(sender.try_send(b"", false, &waker), Err(SendError::Full));
        expect_woken(&mut engine);
        assert!(receiver.next(false).is_some());
    }

    #[test]
    fn a_heavy_outbox_is_full_and_one_message_fits_always() {
        let node = waker();
        let (sender, _receiver) = of_packets(0);
        sender.try_send(b"", false, &node).expect("there is room for one");
        let (sender, mut receiver) = of_packets(100);
        let heavy = vec![7; 3 * BYTES];
        sender.try_send(&heavy, false, &node).expect("an empty outbox takes anything");
        assert_eq!(sender.try_send(b"", false, &node), Err(SendError::Full));
        assert_eq!(heard(&mut receiver, true).concat(), heavy);
        sender.try_send(b"", false, &node).expect("room again");
        assert_eq!(heard(&mut receiver, true).len(), 1);
    }

    #[test]
    fn one_that_gives_up_waiting_leaves_nothing_behind() {
        let node = waker();
        let (sender, _receiver) = of_packets(1);
        sender.try_send(b"", false, &node).expect("room");
        (0..100).for_each(|_| {
            assert_eq!(wait(sender.send(b"x", false, &node), Duration::from_nanos(1)), None);
        });
        assert_eq!(sender.shared.lock().waiting.take().count(), 0);
    }

    #[test]
    fn one_that_gives_up_waiting_wakes_the_node() {
        let mut engine = Engine::new(&Config::default()).expect("some backend works");
        let waker = engine.waker();
        let (sender, mut receiver) = of_packets(1);
        sender.try_send(b"", false, &waker).expect("room");
        let mut waiting = Box::pin(sender.send(b"", false, &waker));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(TaskWaker::noop())).is_pending());
        expect_woken(&mut engine);
        // The node comes while the lock is held to give up the place.
        let open = sender.shared.lock();
        assert!(receiver.next(false).is_none());
        drop(open);
        drop(waiting);
        expect_woken(&mut engine);
        assert!(receiver.next(false).is_some());
    }

    #[test]
    fn waiting_for_room_ends_with_room_or_with_the_node() {
        let waker = waker();
        let (sender, mut receiver) = of_packets(1);
        let sender = Arc::new(sender);
        let count = 1000;
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (sender, waker) = (Arc::clone(&sender), waker.clone());
                thread::spawn(move || {
                    let send = || wait(sender.send(b"x", false, &waker), Duration::MAX);
                    (0..count).map(|_| send().expect("no end of time")).take_while(Result::is_ok).count()
                })
            })
            .collect();
        let mut heard = 0;
        while heard < count {
            match receiver.next(false) {
                Some(Next::Packets(packed)) => {
                    heard += packed.len();
                    packed.clear();
                }
                other => assert!(other.is_none(), "{other:?}"),
            }
        }
        drop(receiver);
        let said: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
        assert!((count..=count + 1).contains(&said), "{said}");
    }
}
