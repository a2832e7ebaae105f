//! Bounded queues between a node and the application. Neither side ever waits for the other while it holds something.
//!
//! The node puts events into an [`Outlet`] and never blocks: what finds no room is kept, and the node goes on when the application
//! has taken something. The application takes events from an [`Inlet`]. A queue is bounded in events and in their bytes.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker as TaskWaker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender, TrySendError};
use campanile_engine::Waker;

/// What lies in a queue and takes memory.
pub(super) trait Weight {
    /// Its bytes, where they count.
    fn weight(&self) -> usize;
}

/// A queue of events from a node, of `len` places. When the events weigh `weight_max` or more there is no room either.
pub(super) fn events<T: Weight>(len: usize, weight_max: usize) -> (Outlet<T>, Inlet<T>) {
    let (sender, receiver) = async_channel::bounded(len);
    let shared = Arc::new(Shared::default());
    let outlet = Outlet { sender, held: VecDeque::new(), shared: Arc::clone(&shared), weight_max };
    (outlet, Inlet { receiver, shared })
}

/// What both ends know.
#[derive(Debug, Default)]
struct Shared {
    /// The node waits for room.
    is_blocked: AtomicBool,
    /// Bytes in the queue.
    weight: AtomicUsize,
}

/// The node's end.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    sender: Sender<T>,
    /// What found no room: as much as the node gives between two questions whether there is some.
    held: VecDeque<T>,
    shared: Arc<Shared>,
    weight_max: usize,
}

impl<T: Weight> Outlet<T> {
    /// Whether an event would find room: what was held has been taken, or nobody listens any more.
    pub(super) fn is_ready(&mut self) -> bool {
        while let Some(held) = self.held.pop_front() {
            if let Some(held) = self.try_put(held) {
                self.held.push_front(held);
                return false;
            }
        }
        if self.is_light() {
            return true;
        }
        // Said before the second look, so that an application that took something in between sees it.
        self.shared.is_blocked.store(true, Ordering::SeqCst);
        self.is_light()
    }

    /// Whether nobody is left who could take anything.
    pub(super) fn is_deserted(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether nothing is held that found no room.
    pub(super) fn is_handed_over(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes that still find room.
    pub(super) fn room(&self) -> usize {
        self.weight_max.saturating_sub(self.shared.weight.load(Ordering::SeqCst))
    }

    /// Gives an event to the application. It may have to be held; then the outlet is not ready.
    pub(super) fn put(&mut self, event: T) {
        self.shared.weight.fetch_add(event.weight(), Ordering::SeqCst);
        let refused = if self.held.is_empty() { self.try_put(event) } else { Some(event) };
        self.held.extend(refused);
    }

    /// Gives the last event of all to the application, in the place of those that are held, and closes the queue.
    pub(super) fn end_with(&mut self, event: T) {
        self.held.clear();
        // A full queue loses its oldest event: it is over, and that is what counts.
        let _ = self.sender.force_send(event);
        self.sender.close();
    }

    fn is_light(&self) -> bool {
        self.shared.weight.load(Ordering::SeqCst) < self.weight_max
    }

    fn try_put(&mut self, event: T) -> Option<T> {
        let Err(TrySendError::Full(event)) = self.sender.try_send(event) else { return None };
        self.shared.is_blocked.store(true, Ordering::SeqCst);
        match self.sender.try_send(event) {
            Err(TrySendError::Full(event)) => Some(event),
            Ok(()) | Err(TrySendError::Closed(_)) => None,
        }
    }
}

/// The application's end.
#[derive(Debug, Clone)]
pub(super) struct Inlet<T> {
    receiver: Receiver<T>,
    shared: Arc<Shared>,
}

impl<T: Weight> Inlet<T> {
    /// The next event; `None` when there is none for this long, or there will be no more.
    pub(super) fn next(&self, timeout: Duration, node: &Waker) -> Option<T> {
        let event = match self.receiver.try_recv() {
            Ok(event) => event,
            Err(_) if timeout.is_zero() => return None,
            Err(_) => wait(self.receiver.recv(), timeout)?.ok()?,
        };
        Some(self.taken(event, node))
    }

    /// The next event, whenever it comes; `None` when there will be no more.
    pub(super) async fn recv(&self, node: &Waker) -> Option<T> {
        let event = self.receiver.recv().await.ok()?;
        Some(self.taken(event, node))
    }

    fn taken(&self, event: T, node: &Waker) -> T {
        // What ends a queue was never weighed.
        let weight = event.weight();
        let _ = self
            .shared
            .weight
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |all| Some(all.saturating_sub(weight)));
        if self.shared.is_blocked.swap(false, Ordering::SeqCst) {
            node.wake();
        }
        event
    }
}

/// Waits for a future, at most so long; `None` when it takes longer.
pub(super) fn wait<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    let until = Instant::now().checked_add(timeout);
    let mut future = pin!(future);
    let waker = TaskWaker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use campanile_engine::{Config, Engine};

    use super::*;

    impl Weight for usize {
        fn weight(&self) -> usize {
            *self
        }
    }

    #[test]
    fn a_full_queue_is_held_and_goes_on() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut outlet, inlet) = events(2, 100);
        for number in 0..3 {
            assert!(outlet.is_ready());
            outlet.put(number);
        }
        assert!(!outlet.is_ready());
        assert_eq!(inlet.next(Duration::ZERO, &waker), Some(0));
        assert!(outlet.is_ready());
        assert_eq!(inlet.next(Duration::ZERO, &waker), Some(1));
        assert_eq!(inlet.next(Duration::ZERO, &waker), Some(2));
        assert_eq!(inlet.next(Duration::from_millis(1), &waker), None);
        drop(outlet);
        assert_eq!(inlet.next(Duration::MAX, &waker), None);
    }

    #[test]
    fn a_heavy_queue_is_full() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut outlet, inlet) = events(10, 100);
        outlet.put(70);
        assert!(outlet.is_ready());
        assert_eq!(outlet.room(), 30);
        outlet.put(40);
        assert!(!outlet.is_ready());
        assert_eq!(outlet.room(), 0);
        assert_eq!(inlet.next(Duration::ZERO, &waker), Some(70));
        assert!(outlet.is_ready());
    }

    #[test]
    fn the_last_event_finds_room() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut outlet, inlet) = events(1, 100);
        outlet.put(1);
        outlet.put(2);
        outlet.end_with(3);
        assert_eq!(inlet.next(Duration::MAX, &waker), Some(3));
        assert_eq!(inlet.next(Duration::MAX, &waker), None);
    }

    #[test]
    fn a_wait_ends_when_something_comes() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut outlet, inlet) = events(1, 100);
        let giver = thread::spawn(move || outlet.put(7));
        assert_eq!(inlet.next(Duration::MAX, &waker), Some(7));
        giver.join().unwrap();
    }
}
