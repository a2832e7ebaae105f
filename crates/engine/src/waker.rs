//! How other threads reach an engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::sys::Doorbell;

/// Wakes or stops an engine from any thread. Clones reach the same engine; they may outlive it.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    asked: AtomicU8,
    doorbell: Doorbell,
}

/// What was requested since the engine last looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked(u8);

const WAKE: u8 = 1;
const STOP: u8 = 2;

impl Asked {
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn take_wake(&mut self) -> bool {
        self.take(WAKE)
    }

    pub(crate) fn take_stop(&mut self) -> bool {
        self.take(STOP)
    }

    fn take(&mut self, what: u8) -> bool {
        let asked = self.0 & what != 0;
        self.0 &= !what;
        asked
    }
}

impl std::ops::BitOrAssign for Asked {
    fn bitor_assign(&mut self, more: Self) {
        self.0 |= more.0;
    }
}

impl Waker {
    pub(crate) fn new(doorbell: Doorbell) -> Self {
        Self { shared: Arc::new(Shared { asked: AtomicU8::new(0), doorbell }) }
    }

    /// Ends the engine's wait; the engine reports [`crate::Event::Woken`], once for all calls since it last looked.
    pub fn wake(&self) {
        self.ask(WAKE);
    }

    /// Ends the engine's wait; the engine reports [`crate::Event::Stopped`]. What that means is up to its user.
    pub fn stop(&self) {
        self.ask(STOP);
    }

    fn ask(&self, what: u8) {
        // Only the first request rings: until the engine takes the bits, the doorbell has been rung already.
        if self.shared.asked.fetch_or(what, Ordering::AcqRel) == 0 {
            self.shared.doorbell.ring();
        }
    }

    pub(crate) fn doorbell(&self) -> &Doorbell {
        &self.shared.doorbell
    }

    /// Takes the requests. The doorbell must have been reset before, so that a later request is noticed.
    pub(crate) fn take(&self) -> Asked {
        Asked(self.shared.asked.swap(0, Ordering::AcqRel))
    }
}
