//! The tasks that wait at a queue.

use std::mem;
use std::task::{Context, Waker};

/// Tasks that wait, and are woken all at once. One that gives up before that leaves: otherwise an application that waits for a short
/// time, again and again, would fill the memory of a queue in which nothing happens.
#[derive(Debug, Default)]
pub(super) struct WaitingTasks {
    /// Each has a place of its own, since several futures of one task may wait.
    tasks: Vec<(u64, Waker)>,
    /// How many places were given, which numbers them.
    places: u64,
}

/// A place among waiting tasks; none at first.
#[derive(Debug, Default)]
pub(super) struct Place(Option<u64>);

/// A task that is to be woken, and its place.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    pub(super) place: &'a mut Place,
    pub(super) waker: &'a Waker,
}

impl WaitingTasks {
    /// Lets a task wait, at the place that it has or at a new one.
    pub(super) fn enter(&mut self, waiter: Waiter<'_>) {
        let Waiter { place, waker } = waiter;
        if let Some((_, known)) = self.tasks.iter_mut().find(|(number, _)| Some(*number) == place.0) {
            known.clone_from(waker);
            return;
        }
        self.places += 1;
        place.0 = Some(self.places);
        self.tasks.push((self.places, waker.clone()));
    }

    /// Gives up a place.
    pub(super) fn leave(&mut self, place: &Place) {
        self.tasks.retain(|(number, _)| Some(*number) != place.0);
    }

    /// All that wait, to be woken once no lock is held any more.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        mem::take(&mut self.tasks).into_iter().map(|(_, waker)| waker)
    }
}

/// The place of a future, which is given up when the future is dropped.
pub(super) struct HeldPlace<L: FnMut(&Place)> {
    place: Place,
    leave: L,
}

impl<L: FnMut(&Place)> HeldPlace<L> {
    /// A place that `leave` gives up.
    pub(super) fn new(leave: L) -> Self {
        HeldPlace { place: Place::default(), leave }
    }

    /// The task that polls the future.
    pub(super) fn waiter<'a>(&'a mut self, context: &'a Context<'_>) -> Waiter<'a> {
        Waiter { place: &mut self.place, waker: context.waker() }
    }
}

impl<L: FnMut(&Place)> Drop for HeldPlace<L> {
    fn drop(&mut self) {
        if self.place.0.is_some() {
            (self.leave)(&self.place);
        }
    }
}
