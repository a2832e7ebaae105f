//! What the application has said and the node has not yet taken.
//!
//! It lies in one piece of memory that changes hands as a whole, so that a message costs neither an allocation nor a wait for the
//! other side: the application writes on one pile while the node reads from another, which it gives back empty.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::task::{Poll, Waker as TaskWaker};

use campanile_engine::Waker;

/// What kind of thing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// The whole, or the last part, of a message; or bytes of a stream.
    Message,
    /// A part of a message that goes on.
    Part,
    /// A burst is over.
    Flush,
    /// The session is.
    Finish,
}

/// Why something was not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SayError {
    /// There is no room now.
    Full,
    /// The node listens no more.
    Closed,
}

/// Two ends of a pile of at most so many things, of no more than [`BYTES`] and one message more. As much again may be in the node's hand.
pub(super) fn pile(len_max: usize) -> (Speaker, Listener) {
    let shared = Arc::new(Shared { len_max, open: Mutex::default() });
    (Speaker { shared: Arc::clone(&shared) }, Listener { shared, hand: Pile::default(), read: 0 })
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
    hand: Pile,
    /// How many things of the pile in the hand were taken.
    read: usize,
}

#[derive(Debug)]
struct Shared {
    len_max: usize,
    open: Mutex<Open>,
}

/// What both ends write to.
#[derive(Debug, Default)]
struct Open {
    pile: Pile,
    is_closed: bool,
    /// Who waits for room.
    waiting: Vec<TaskWaker>,
}

/// Things said, with their bytes one after the other.
#[derive(Debug, Default)]
struct Pile {
    /// Each with the end of its bytes.
    things: Vec<(Said, usize)>,
    bytes: Vec<u8>,
}

/// Bytes of a pile at which it is full: few enough to be still in the processor's cache when the node comes to read them.
const BYTES: usize = 1 << 20;

impl Speaker {
    /// Says something, if there is room now.
    pub(super) fn try_say(&self, said: Said, bytes: &[u8], node: &Waker) -> Result<(), SayError> {
        let done = self.write(said, bytes, None);
        // Even where there was no room: the node does not wait for who looks, but comes again when it is woken.
        node.wake();
        done
    }

    /// Says something once there is room.
    pub(super) async fn say(&self, said: Said, bytes: &[u8], node: &Waker) -> Result<(), SayError> {
        poll_fn(|context| {
            let done = self.write(said, bytes, Some(context.waker()));
            node.wake();
            match done {
                Err(SayError::Full) => Poll::Pending,
                done => Poll::Ready(done),
            }
        })
        .await
    }

    /// Nothing more is said.
    pub(super) fn close(&self, node: &Waker) {
        let waiting = {
            let mut open = self.shared.lock();
            open.is_closed = true;
            mem::take(&mut open.waiting)
        };
        waiting.into_iter().for_each(TaskWaker::wake);
        node.wake();
    }

    /// Writes on the pile; where it is full, `waiting` is told when it may be no more.
    fn write(&self, said: Said, bytes: &[u8], waiting: Option<&TaskWaker>) -> Result<(), SayError> {
        let mut open = self.shared.lock();
        if open.is_closed {
            return Err(SayError::Closed);
        }
        let pile = &mut open.pile;
        if pile.things.len() >= self.shared.len_max || pile.bytes.len() >= BYTES {
            if let Some(waker) = waiting
                && !open.waiting.iter().any(|other| other.will_wake(waker))
            {
                open.waiting.push(waker.clone());
            }
            return Err(SayError::Full);
        }
        pile.bytes.extend_from_slice(bytes);
        pile.things.push((said, pile.bytes.len()));
        Ok(())
    }
}

impl Listener {
    /// The next thing that was said, with its bytes. It stays the next one until it is [taken](Self::take).
    pub(super) fn next(&mut self) -> Option<(Said, &[u8])> {
        if self.read == self.hand.things.len() {
            self.reach();
        }
        let &(said, end) = self.hand.things.get(self.read)?;
        let start = self.read.checked_sub(1).map_or(0, |before| self.hand.things[before].1);
        Some((said, &self.hand.bytes[start..end]))
    }

    /// Takes the next thing.
    pub(super) fn take(&mut self) {
        self.read += 1;
    }

    /// Puts something before all that is said.
    ///
    /// # Panics
    /// If something was taken already.
    pub(super) fn begin_with(&mut self, said: Said, bytes: &[u8]) {
        assert!(self.hand.things.is_empty(), "nothing was taken");
        self.hand.bytes.extend_from_slice(bytes);
        self.hand.things.push((said, bytes.len()));
    }

    /// Takes the pile in exchange for the one in the hand, which was read to its end.
    fn reach(&mut self) {
        let waiting = {
            // Who is at the pile wakes the node when it leaves.
            let mut open = match self.shared.open.try_lock() {
                Ok(open) => open,
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(_)) => unreachable!("nothing panics at a pile"),
            };
            if open.pile.things.is_empty() {
                return;
            }
            self.read = 0;
            self.hand.clear();
            mem::swap(&mut open.pile, &mut self.hand);
            mem::take(&mut open.waiting)
        };
        waiting.into_iter().for_each(TaskWaker::wake);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let waiting = {
            let mut open = self.shared.lock();
            open.is_closed = true;
            mem::take(&mut open.waiting)
        };
        waiting.into_iter().for_each(TaskWaker::wake);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("nothing panics at a pile")
    }
}

impl Pile {
    /// Empties it. What one message of unusual length made it grow to is given back.
    fn clear(&mut self) {
        self.things.clear();
        self.bytes.clear();
        self.bytes.shrink_to(2 * BYTES);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use campanile_engine::{Config, Engine, Event};

    use super::*;
    use crate::multicast::queue::wait;

    fn all(listener: &mut Listener) -> Vec<(Said, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some((said, bytes)) = listener.next() {
            all.push((said, bytes.to_vec()));
            listener.take();
        }
        all
    }

    #[test]
    fn what_is_said_is_heard_in_order() {
        let waker = Engine::new(&Config::default()).expect("some backend works").waker();
        let (speaker, mut listener) = pile(3);
        listener.begin_with(Said::Message, b"first");
        for round in [b"a", b"b"] {
            speaker.try_say(Said::Part, round, &waker).expect("room");
            speaker.try_say(Said::Message, b"", &waker).expect("room");
            speaker.try_say(Said::Flush, b"", &waker).expect("room");
            assert_eq!(speaker.try_say(Said::Message, b"more", &waker), Err(SayError::Full));
            let mut expected =
                vec![(Said::Part, round.to_vec()), (Said::Message, vec![]), (Said::Flush, vec![])];
            if round == b"a" {
                expected.insert(0, (Said::Message, b"first".to_vec()));
            }
            assert_eq!(listener.next().map(|(said, _)| said), Some(expected[0].0), "not taken yet");
            assert_eq!(all(&mut listener), expected);
        }
        speaker.close(&waker);
        assert_eq!(speaker.try_say(Said::Finish, b"", &waker), Err(SayError::Closed));
    }

    #[test]
    fn who_finds_no_room_wakes_the_node() {
        let mut engine = Engine::new(&Config::default()).expect("some backend works");
        let waker = engine.waker();
        let (speaker, mut listener) = pile(1);
        speaker.try_say(Said::Message, b"", &waker).expect("room");
        let patience = || Some(Instant::now() + Duration::from_secs(60));
        engine.poll(patience()).expect("polls");
        assert!(matches!(engine.next_event(), Some(Event::Woken)));
        // The node came while somebody was at the pile.
        let open = speaker.shared.lock();
        assert_eq!(listener.next(), None);
        drop(open);
        assert_eq!(speaker.try_say(Said::Message, b"", &waker), Err(SayError::Full));
        engine.poll(patience()).expect("polls");
        assert!(matches!(engine.next_event(), Some(Event::Woken)));
        assert!(listener.next().is_some());
    }

    #[test]
    fn a_heavy_pile_is_full_and_one_message_fits_always() {
        let waker = Engine::new(&Config::default()).expect("some backend works").waker();
        let (speaker, mut listener) = pile(100);
        let heavy = vec![7; 3 * BYTES];
        speaker.try_say(Said::Message, &heavy, &waker).expect("an empty pile takes anything");
        assert_eq!(speaker.try_say(Said::Message, b"", &waker), Err(SayError::Full));
        assert_eq!(all(&mut listener), [(Said::Message, heavy)]);
        speaker.try_say(Said::Message, b"", &waker).expect("room again");
        assert_eq!(all(&mut listener).len(), 1);
        assert!(listener.hand.bytes.capacity() + listener.shared.lock().pile.bytes.capacity() <= 5 * BYTES);
    }

    #[test]
    fn who_waits_for_room_is_told_of_it_and_of_the_end() {
        let waker = Engine::new(&Config::default()).expect("some backend works").waker();
        let (speaker, mut listener) = pile(1);
        let speaker = Arc::new(speaker);
        let count = 1000;
        let speakers: Vec<_> = (0..3)
            .map(|_| {
                let (speaker, waker) = (Arc::clone(&speaker), waker.clone());
                thread::spawn(move || {
                    let say = || wait(speaker.say(Said::Message, b"x", &waker), Duration::MAX);
                    (0..count).map(|_| say().expect("no end of time")).take_while(Result::is_ok).count()
                })
            })
            .collect();
        let mut heard = 0;
        while heard < count {
            match listener.next() {
                Some(_) => listener.take(),
                None => continue,
            }
            heard += 1;
        }
        drop(listener);
        let said: usize = speakers.into_iter().map(|speaker| speaker.join().expect("no panic")).sum();
        assert!((count..=count + 1).contains(&said), "{said}");
    }
}
