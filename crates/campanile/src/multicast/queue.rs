//! Bounded queues between a node and the application. Neither side ever holds a lock while it does something else.
//!
//! The node puts events into an [`EventSender`] and never blocks: it gathers them and hands them over many at a time, and if the
//! application holds the lock at that moment it tries again later. An [`EventReceiver`] takes everything that was handed over at once,
//! and gives it to the application one event after the other. A queue is bounded in events and in their bytes, including those that
//! were taken and not given yet.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Context, Poll, Wake, Waker as TaskWaker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use campanile_engine::Waker;

use super::waiting::{HeldPlace, Waiter, WaitingTasks};

/// An event in a queue, which may hold much memory.
pub(super) trait Weight {
    /// Bytes that it holds; 0 where only the number of events has to be bounded.
    fn weight(&self) -> usize;
}

/// What a node puts into a queue: one event, or many at once.
pub(super) trait EventBatch: Sized {
    /// What the application takes.
    type Event: Weight;
    /// How many events it holds.
    fn len(&self) -> usize;
    /// Their bytes, if these are bounded.
    fn weight(&self) -> usize;
    /// Takes the next event out of the waiting batches, none of which is empty.
    fn next(waiting: &mut VecDeque<Self>) -> Option<Self::Event>;
}

impl<T: Weight> EventBatch for T {
    type Event = T;

    fn len(&self) -> usize {
        1
    }

    fn weight(&self) -> usize {
        Weight::weight(self)
    }

    fn next(waiting: &mut VecDeque<Self>) -> Option<T> {
        waiting.pop_front()
    }
}

/// A queue of events from a node. It is full with `len_max` events, or with events of `weight_max` bytes or more; there is always room
/// for one.
pub(super) fn events<T: EventBatch>(len_max: usize, weight_max: usize) -> (EventSender<T>, EventReceiver<T>) {
    let (len_max, weight_max) = (len_max.max(1), weight_max.max(1));
    let shared = Arc::new(Shared {
        handed: Mutex::new(Handed {
            events: VecDeque::new(),
            is_closed: false,
            waiting: WaitingTasks::default(),
        }),
        taken: Mutex::new(Taken { events: VecDeque::new(), len: 0, weight: 0 }),
        is_blocked: AtomicBool::new(false),
        len: AtomicUsize::new(0),
        weight: AtomicUsize::new(0),
    });
    let sender = EventSender {
        gathered: Gathered { batches: VecDeque::new(), len: 0, weight: 0, is_last: false },
        was_refused: false,
        shared: Arc::clone(&shared),
        len_max,
        weight_max,
    };
    (sender, EventReceiver { shared, len_max, weight_max })
}

/// What both ends share.
#[derive(Debug)]
struct Shared<T> {
    handed: Mutex<Handed<T>>,
    /// What the application has taken and not yet returned to its caller. The node never locks this.
    taken: Mutex<Taken<T>>,
    /// Whether the node waits for room, or for the lock: then the application wakes it.
    is_blocked: AtomicBool,
    /// Events that were handed over and not yet counted as taken, and their bytes.
    len: AtomicUsize,
    weight: AtomicUsize,
}

/// What the node has handed over.
#[derive(Debug)]
struct Handed<T> {
    events: VecDeque<T>,
    /// No more will come.
    is_closed: bool,
    /// The tasks that wait for an event.
    waiting: WaitingTasks,
}

/// What the application has taken.
#[derive(Debug)]
struct Taken<T> {
    events: VecDeque<T>,
    /// Events that were given to the caller and not yet counted in `Shared`, and their bytes: counting each one there costs more than
    /// taking it.
    len: usize,
    weight: usize,
}

/// The node's end. After it is dropped, the application still gets what was put.
#[derive(Debug)]
pub(super) struct EventSender<T> {
    gathered: Gathered<T>,
    /// The application held the lock when something was to be handed over.
    was_refused: bool,
    shared: Arc<Shared<T>>,
    len_max: usize,
    weight_max: usize,
}

/// What was not handed over yet.
#[derive(Debug)]
struct Gathered<T> {
    batches: VecDeque<T>,
    /// The events in the batches, and their bytes.
    len: usize,
    weight: usize,
    /// No more will come.
    is_last: bool,
}

/// With this many events gathered, they are handed over before the turn's end, so that the application can begin.
const GATHERED_MAX: usize = 256;

impl<T: EventBatch> EventSender<T> {
    /// Whether there is room for an event, or the application's end is gone. What could not be handed over before is handed over first.
    pub(super) fn is_ready(&mut self) -> bool {
        if self.gathered.len >= GATHERED_MAX || self.was_refused {
            self.hand_over();
        }
        if self.has_room() {
            return true;
        }
        self.hand_over();
        // Set before the second check, so that an application that takes something in between sees it.
        self.shared.is_blocked.store(true, Ordering::SeqCst);
        self.has_room()
    }

    /// Whether half of the events that there is room for wait.
    pub(super) fn is_half_full(&self) -> bool {
        self.len() >= self.len_max.div_ceil(2)
    }

    /// Whether the application's end is gone.
    pub(super) fn is_deserted(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// Whether all that was gathered has been handed over.
    pub(super) fn is_handed_over(&self) -> bool {
        self.gathered.batches.is_empty()
    }

    /// The room that is left, in bytes.
    pub(super) fn room(&self) -> usize {
        self.weight_max.saturating_sub(self.gathered.weight + self.shared.weight.load(Ordering::SeqCst))
    }

    /// Gives an event to the application.
    pub(super) fn put(&mut self, event: T) {
        self.gather(event);
        self.hand_over();
    }

    /// Gives the last event to the application: those that are put later are dropped.
    pub(super) fn put_last(&mut self, event: T) {
        self.gather(event);
        self.gathered.is_last = true;
        self.hand_over();
    }

    /// As [`EventSender::put`], but the application gets it only when [`EventSender::hand_over`] is called.
    pub(super) fn gather(&mut self, event: T) {
        if self.gathered.is_last {
            return;
        }
        self.gathered.len += event.len();
        self.gathered.weight += event.weight();
        self.gathered.batches.push_back(event);
    }

    /// Hands over what was gathered. If the application holds the lock, that waits for the next time, and the application wakes the
    /// node for it.
    pub(super) fn hand_over(&mut self) {
        self.was_refused = false;
        if self.gathered.batches.is_empty() {
            return;
        }
        if self.is_deserted() {
            self.forget();
            return;
        }
        let waiting = {
            let Some(mut handed) = self.shared.try_lock() else {
                self.was_refused = true;
                return;
            };
            self.shared.take_in(&mut handed, &mut self.gathered);
            handed.waiting.take()
        };
        waiting.for_each(TaskWaker::wake);
    }

    /// Replaces everything that was not handed over yet by one last event, unless there was a last one, and closes the queue.
    pub(super) fn end_with(&mut self, event: T) {
        if !self.gathered.is_last {
            self.forget();
            self.gather(event);
        }
        self.close();
    }

    /// With how many events it is full.
    pub(super) fn len_max(&self) -> usize {
        self.len_max
    }

    fn has_room(&self) -> bool {
        self.len() < self.len_max && self.room() > 0 || self.is_deserted()
    }

    fn len(&self) -> usize {
        self.gathered.len + self.shared.len.load(Ordering::SeqCst)
    }

    fn forget(&mut self) {
        self.gathered.batches.clear();
        (self.gathered.len, self.gathered.weight) = (0, 0);
    }
}

impl<T> EventSender<T> {
    fn close(&mut self) {
        let waiting = {
            // The node is about to end: only here it may wait for the application to release the lock.
            let mut handed = self.shared.lock();
            self.shared.take_in(&mut handed, &mut self.gathered);
            handed.is_closed = true;
            handed.waiting.take()
        };
        waiting.for_each(TaskWaker::wake);
    }
}

impl<T> Drop for EventSender<T> {
    fn drop(&mut self) {
        self.close();
    }
}

/// The application's end.
#[derive(Debug)]
pub(super) struct EventReceiver<T> {
    shared: Arc<Shared<T>>,
    len_max: usize,
    weight_max: usize,
}

impl<T: EventBatch> EventReceiver<T> {
    /// The next event; `None` if there is none within `timeout`, or there will be no more.
    pub(super) fn next(&self, timeout: Duration, node: &Waker) -> Option<T::Event> {
        match self.poll(None, node) {
            Poll::Ready(next) => next,
            Poll::Pending if timeout.is_zero() => None,
            Poll::Pending => wait(self.recv(node), timeout)?,
        }
    }

    /// Waits for the next event; `None` if there will be no more.
    pub(super) async fn recv(&self, node: &Waker) -> Option<T::Event> {
        let mut place = HeldPlace::new(|place| {
            self.shared.lock().waiting.leave(place);
            self.released(node);
        });
        poll_fn(|context| self.poll(Some(place.waiter(context)), node)).await
    }

    /// The next event, if there is one; if there is none yet, the waiter is woken for the next.
    pub(super) fn poll(&self, waiter: Option<Waiter<'_>>, node: &Waker) -> Poll<Option<T::Event>> {
        let mut taken = self.shared.taken.lock().expect("nothing panics at a queue");
        if taken.events.is_empty() {
            let is_closed = self.take_all(&mut taken.events, waiter, node);
            if taken.events.is_empty() {
                return if is_closed { Poll::Ready(None) } else { Poll::Pending };
            }
        }
        let next = T::next(&mut taken.events);
        taken.len += 1;
        taken.weight += next.as_ref().map_or(0, Weight::weight);
        let is_much = taken.len >= self.len_max / 8 || taken.weight >= self.weight_max / 8;
        if is_much || taken.events.is_empty() {
            self.count(&mut taken, node);
        }
        Poll::Ready(next)
    }

    /// Takes everything that was handed over into `taken`, which is empty; returns whether no more will come.
    fn take_all(&self, taken: &mut VecDeque<T>, waiter: Option<Waiter<'_>>, node: &Waker) -> bool {
        let mut handed = self.shared.lock();
        mem::swap(&mut handed.events, taken);
        let is_closed = handed.is_closed;
        if let Some(waiter) = waiter
            && taken.is_empty()
            && !is_closed
        {
            handed.waiting.enter(waiter);
        }
        drop(handed);
        self.released(node);
        is_closed
    }

    /// Frees the room of the events that were taken. A blocked node is woken when half of the queue is free, so that it is not woken
    /// too often.
    fn count(&self, taken: &mut Taken<T>, node: &Waker) {
        let (len, weight) = (mem::take(&mut taken.len), mem::take(&mut taken.weight));
        let left_len = self.shared.len.fetch_sub(len, Ordering::SeqCst) - len;
        let left_weight = self.shared.weight.fetch_sub(weight, Ordering::SeqCst) - weight;
        if left_len <= self.len_max / 2 && left_weight <= self.weight_max / 2 {
            self.unblock(node);
        }
    }

    /// Wakes a node that found the lock held which was just released.
    fn released(&self, node: &Waker) {
        fence(Ordering::SeqCst);
        self.unblock(node);
    }

    fn unblock(&self, node: &Waker) {
        let is_blocked = &self.shared.is_blocked;
        if is_blocked.load(Ordering::SeqCst) && is_blocked.swap(false, Ordering::SeqCst) {
            node.wake();
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Handed<T>> {
        self.handed.lock().expect("nothing panics at a queue")
    }

    /// Takes in what the node has gathered, and counts it before the application can count it as taken.
    fn take_in(&self, handed: &mut Handed<T>, gathered: &mut Gathered<T>) {
        self.len.fetch_add(mem::take(&mut gathered.len), Ordering::SeqCst);
        self.weight.fetch_add(mem::take(&mut gathered.weight), Ordering::SeqCst);
        handed.events.append(&mut gathered.batches);
        handed.is_closed |= gathered.is_last;
    }

    /// Locks what was handed over, unless the application holds the lock: then it will wake the node.
    fn try_lock(&self) -> Option<MutexGuard<'_, Handed<T>>> {
        for _ in 0..2 {
            match self.handed.try_lock() {
                Ok(handed) => return Some(handed),
                Err(TryLockError::Poisoned(_)) => unreachable!("nothing panics at a queue"),
                Err(TryLockError::WouldBlock) => {}
            }
            // Set before the second try, so that an application that releases the lock in between sees it.
            self.is_blocked.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
        }
        None
    }
}

/// Waits for a future; `None` if it takes longer than `timeout`.
pub(crate) fn wait<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
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

/// Wakes the waiting thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use campanile_engine::{Config, Engine, Event};

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
        let (mut sender, receiver) = events(2, 100);
        for number in 0..2 {
            assert!(sender.is_ready());
            sender.put(number);
        }
        assert!(!sender.is_ready());
        sender.put(2);
        assert_eq!(receiver.next(Duration::ZERO, &waker), Some(0));
        assert!(!sender.is_ready(), "two still wait");
        assert_eq!(receiver.next(Duration::ZERO, &waker), Some(1));
        assert!(sender.is_ready());
        assert_eq!(receiver.next(Duration::ZERO, &waker), Some(2));
        assert_eq!(receiver.next(Duration::from_millis(1), &waker), None);
        drop(sender);
        assert_eq!(receiver.next(Duration::MAX, &waker), None);
    }

    #[test]
    fn what_is_refused_is_handed_over_when_the_node_comes_again() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut sender, receiver) = events(4, 100);
        let application = receiver.shared.lock();
        sender.put(1);
        assert!(!sender.is_handed_over());
        assert!(receiver.shared.is_blocked.load(Ordering::SeqCst), "the application is to wake the node");
        drop(application);
        assert!(sender.is_ready());
        assert!(sender.is_handed_over());
        assert_eq!(receiver.next(Duration::ZERO, &waker), Some(1));
    }

    #[test]
    fn a_heavy_queue_is_full() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut sender, receiver) = events(10, 100);
        sender.put(70);
        assert!(sender.is_ready());
        assert_eq!(sender.room(), 30);
        sender.put(40);
        assert!(!sender.is_ready());
        assert_eq!(sender.room(), 0);
        assert_eq!(receiver.next(Duration::ZERO, &waker), Some(70));
        assert!(sender.is_ready());
    }

    #[test]
    fn any_queue_has_room_for_one() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut sender, receiver) = events(0, 0);
        assert!(sender.is_ready());
        sender.put(7);
        assert!(!sender.is_ready());
        assert_eq!(receiver.next(Duration::ZERO, &waker), Some(7));
        assert!(sender.is_ready());
    }

    #[test]
    fn the_last_event_finds_room() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut sender, receiver) = events(1, 100);
        sender.put(1);
        sender.gather(2);
        sender.end_with(3);
        assert_eq!(receiver.next(Duration::MAX, &waker), Some(1));
        assert_eq!(receiver.next(Duration::MAX, &waker), Some(3));
        assert_eq!(receiver.next(Duration::MAX, &waker), None);
    }

    #[test]
    fn nothing_comes_after_the_last_event() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut sender, receiver) = events(10, 100);
        let application = receiver.shared.lock();
        sender.put(1);
        sender.put_last(2);
        sender.put(3);
        drop(application);
        sender.hand_over();
        sender.end_with(4);
        assert_eq!(receiver.next(Duration::MAX, &waker), Some(1));
        assert_eq!(receiver.next(Duration::MAX, &waker), Some(2));
        assert_eq!(receiver.next(Duration::MAX, &waker), None);
    }

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn one_that_gives_up_waiting_leaves_nothing_behind() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut sender, receiver) = events(1, 100);
        (0..100).for_each(|_| assert_eq!(receiver.next(Duration::from_nanos(1), &waker), None));
        assert_eq!(receiver.shared.lock().waiting.take().count(), 0);

        // Of two futures of one task, one gives up, and the other is still woken.
        let task = Arc::new(Task::default());
        let task_waker = TaskWaker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&task_waker);
        let mut patient = pin!(receiver.recv(&waker));
        let mut other = Box::pin(receiver.recv(&waker));
        assert!(
            patient.as_mut().poll(&mut context).is_pending()
                && other.as_mut().poll(&mut context).is_pending()
        );
        drop(other);
        sender.put(7);
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
        assert_eq!(patient.poll(&mut context), Poll::Ready(Some(7)));
    }

    #[test]
    fn one_that_gives_up_waiting_wakes_the_node_that_it_refused() {
        let mut engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut sender, receiver) = events(4, 100);
        let mut waiting = Box::pin(receiver.recv(&waker));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(TaskWaker::noop())).is_pending());
        // The node comes while the lock is held to give up the place.
        let application = receiver.shared.lock();
        sender.put(1);
        drop(application);
        drop(waiting);
        engine.poll(Some(Instant::now() + Duration::from_secs(60))).unwrap();
        assert!(matches!(engine.next_event(), Some(Event::Woken)));
    }

    #[test]
    fn a_wait_ends_when_something_comes() {
        let engine = Engine::new(&Config::default()).unwrap();
        let waker = engine.waker();
        let (mut sender, receiver) = events(1, 100);
        let giver = thread::spawn(move || sender.put(7));
        assert_eq!(receiver.next(Duration::MAX, &waker), Some(7));
        giver.join().unwrap();
    }
}
