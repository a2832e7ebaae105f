//! The queue of future events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// Events by time; those of one moment in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    order: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A copy of a packet reaches a party.
    Arrival { party: u32, packet: u32 },
    /// A party may have a deadline now.
    Timer { party: u32 },
    /// A party is handed the packets that were collected for it.
    Drain { party: u32 },
    /// An alarm of the world's user.
    Alarm { alarm: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Time,
    order: u64,
    event: Event,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.heap.push(Reverse(Entry { at, order: self.order, event }));
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, Event)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }

    pub(crate) fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }
}
