//! The queues for what is delivered: one for all sources, or one for each.

use std::net::IpAddr;

use campanile_pgm::{Seq, Tsi};

use super::Received;
use super::bytes::Delivered;
use crate::multicast::queue::{self, Inlet, Outlet, Weight};

/// The queues to the application.
#[derive(Debug)]
pub(super) enum Delivery {
    /// All sources in one queue.
    Together(Outlet<Delivered>),
    /// A queue for each source.
    Apart(Apart),
}

/// A queue for each source, and one through which these queues are handed over.
#[derive(Debug)]
pub(super) struct Apart {
    found: Outlet<Found>,
    queues: Vec<Queue>,
    len: usize,
    weight_max: usize,
}

/// A source that was found, and the queue of its events.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) tsi: Tsi,
    pub(super) source: IpAddr,
    pub(super) first: Seq,
    pub(super) events: Inlet<Delivered>,
}

impl Weight for Found {
    fn weight(&self) -> usize {
        0
    }
}

#[derive(Debug)]
struct Queue {
    tsi: Tsi,
    outlet: Outlet<Delivered>,
    /// Nothing more will be put into it.
    is_over: bool,
}

impl Apart {
    /// Queues of `len` events and `weight_max` bytes each. `found` hands them over.
    pub(super) fn new(found: Outlet<Found>, len: usize, weight_max: usize) -> Self {
        Apart { found, queues: Vec::new(), len, weight_max }
    }

    fn is_ready(&mut self) -> bool {
        let mut is_ready = self.found.is_ready();
        self.queues.retain_mut(|queue| {
            if queue.outlet.is_deserted() {
                return false;
            }
            let has_room = queue.outlet.is_ready();
            is_ready &= has_room || queue.is_over;
            // Until it has handed over what it holds, it is still needed.
            !(queue.is_over && queue.outlet.is_handed_over())
        });
        is_ready
    }

    fn put(&mut self, tsi: Tsi, event: Delivered) {
        if let Delivered::Event(Received::Start { source, first, .. }) = event {
            let (outlet, events) = queue::events(self.len, self.weight_max);
            self.queues.push(Queue { tsi, outlet, is_over: false });
            self.found.gather(Found { tsi, source, first, events });
        } else if let Some(queue) = self.queue(tsi) {
            queue.outlet.gather(event);
        }
    }

    fn hand_over(&mut self) {
        self.found.hand_over();
        self.queues.iter_mut().for_each(|queue| queue.outlet.hand_over());
    }

    /// The queue of a source; an earlier one that is over may still be there, too.
    fn queue(&mut self, tsi: Tsi) -> Option<&mut Queue> {
        self.queues.iter_mut().rev().find(|queue| queue.tsi == tsi && !queue.is_over)
    }
}

impl Delivery {
    /// Whether there is room for an event of any source.
    pub(super) fn is_ready(&mut self) -> bool {
        match self {
            Delivery::Together(outlet) => outlet.is_ready(),
            Delivery::Apart(apart) => apart.is_ready(),
        }
    }

    /// Puts an event of a source into its queue, to be handed over later.
    pub(super) fn put(&mut self, tsi: Tsi, event: Delivered) {
        match self {
            Delivery::Together(outlet) => outlet.gather(event),
            Delivery::Apart(apart) => apart.put(tsi, event),
        }
    }

    /// Hands over the events that were put.
    pub(super) fn hand_over(&mut self) {
        match self {
            Delivery::Together(outlet) => outlet.hand_over(),
            Delivery::Apart(apart) => apart.hand_over(),
        }
    }

    /// Notes that nothing more will come of a source.
    pub(super) fn close(&mut self, tsi: Tsi) {
        if let Delivery::Apart(apart) = self
            && let Some(queue) = apart.queue(tsi)
        {
            queue.is_over = true;
        }
    }

    /// The room that is left, in bytes.
    pub(super) fn room(&self) -> usize {
        match self {
            Delivery::Together(outlet) => outlet.room(),
            Delivery::Apart(Apart { queues, weight_max, .. }) => {
                queues.iter().map(|queue| queue.outlet.room()).min().unwrap_or(*weight_max)
            }
        }
    }

    /// Tells the application that nothing more will come, and why.
    pub(super) fn fail(&mut self, why: &str) {
        let failed = || Delivered::Event(Received::Failed(why.to_owned()));
        match self {
            Delivery::Together(outlet) => outlet.end_with(failed()),
            Delivery::Apart(apart) => {
                apart.queues.iter_mut().for_each(|queue| queue.outlet.end_with(failed()));
            }
        }
    }
}
