//! Where what is delivered goes: all of it into one queue, or each source's into its own.

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

/// A queue for each source, and one in which they are handed over.
#[derive(Debug)]
pub(super) struct Apart {
    found: Outlet<Found>,
    queues: Vec<Queue>,
    len: usize,
    weight_max: usize,
}

/// A source that was found, and what comes of it.
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
    /// Queues of `len` events, no heavier than `weight_max`, the one of sources included.
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
            // What it holds is still to be taken.
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

    /// The queue of a source; one that is over may be there still beside it.
    fn queue(&mut self, tsi: Tsi) -> Option<&mut Queue> {
        self.queues.iter_mut().rev().find(|queue| queue.tsi == tsi && !queue.is_over)
    }
}

impl Delivery {
    /// Whether there is room for an event, of whatever source.
    pub(super) fn is_ready(&mut self) -> bool {
        match self {
            Delivery::Together(outlet) => outlet.is_ready(),
            Delivery::Apart(apart) => apart.is_ready(),
        }
    }

    /// Gives the application what there is of a source, when it is handed over.
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

    /// Nothing more will come of a source.
    pub(super) fn close(&mut self, tsi: Tsi) {
        if let Delivery::Apart(apart) = self
            && let Some(queue) = apart.queue(tsi)
        {
            queue.is_over = true;
        }
    }

    /// Bytes that still find room.
    pub(super) fn room(&self) -> usize {
        match self {
            Delivery::Together(outlet) => outlet.room(),
            Delivery::Apart(Apart { queues, weight_max, .. }) => {
                queues.iter().map(|queue| queue.outlet.room()).min().unwrap_or(*weight_max)
            }
        }
    }

    /// Tells the application that there is no more of anything, and why.
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
