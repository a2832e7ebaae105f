//! The queues for what is delivered: one for all sources, or one for each.
//!
//! While a queue is full, its sources are paused: the machine then does with their data what the option `slow` says, and delivers only
//! events that come once for each source. There is room for these, but not for those of sessions without end: forged ones may begin and
//! end all the time.

use std::net::IpAddr;

use campanile_pgm::receiver::Receiver;
use campanile_pgm::{Seq, Tsi};

use super::Received;
use super::bytes::Delivered;
use crate::multicast::queue::{self, EventReceiver, EventSender, Weight};

/// The queues to the application.
#[derive(Debug)]
pub(super) enum Delivery {
    /// All sources in one queue.
    Shared(SharedQueue),
    /// A queue for each source.
    PerSource(SourceQueues),
}

/// A queue of all sources.
#[derive(Debug)]
pub(super) struct SharedQueue {
    sender: EventSender<Delivered>,
    /// Whether its sources are paused; `None` if that is to be looked at, since one has begun.
    is_paused: Option<bool>,
    /// How many events it has taken although it was full.
    beyond: usize,
}

/// A queue for each source, and one through which these queues are handed over.
#[derive(Debug)]
pub(super) struct SourceQueues {
    found: EventSender<FoundSource>,
    queues: Vec<Queue>,
    len: usize,
    weight_max: usize,
}

/// A source that was found, and the queue of its events.
#[derive(Debug)]
pub(super) struct FoundSource {
    pub(super) tsi: Tsi,
    pub(super) source: IpAddr,
    pub(super) first: Seq,
    pub(super) events: EventReceiver<Delivered>,
}

impl Weight for FoundSource {
    fn weight(&self) -> usize {
        0
    }
}

#[derive(Debug)]
struct Queue {
    tsi: Tsi,
    sender: EventSender<Delivered>,
    /// Whether its source is paused; `None` if it has just begun.
    is_paused: Option<bool>,
    /// Nothing more will be put into it.
    is_over: bool,
}

impl SharedQueue {
    fn pause_if_full(&mut self, machine: &mut Receiver) {
        let is_full = !self.sender.is_ready();
        if !is_full {
            self.beyond = 0;
        }
        if self.is_paused.replace(is_full) != Some(is_full) {
            let sources: Vec<Tsi> = machine.sources().collect();
            sources.into_iter().for_each(|tsi| set_paused(machine, tsi, is_full));
        }
    }
}

impl SourceQueues {
    /// Queues of `len` events and `weight_max` bytes each. `found` hands them over.
    pub(super) fn new(found: EventSender<FoundSource>, len: usize, weight_max: usize) -> Self {
        SourceQueues { found, queues: Vec::new(), len, weight_max }
    }

    fn pause_full(&mut self, machine: &mut Receiver) {
        for queue in self.queues.iter_mut().filter(|queue| !queue.is_over) {
            let is_full = !queue.sender.is_ready();
            if queue.is_paused.replace(is_full) != Some(is_full) {
                set_paused(machine, queue.tsi, is_full);
            }
        }
    }

    fn put(&mut self, tsi: Tsi, event: Delivered) {
        if let Delivered::Event(Received::Start { source, first, .. }) = event {
            // A session that was given up may begin again.
            if let Some(before) = self.queue(tsi) {
                before.is_over = true;
            }
            let (sender, events) = queue::events(self.len, self.weight_max);
            self.queues.push(Queue { tsi, sender, is_paused: None, is_over: false });
            self.found.gather(FoundSource { tsi, source, first, events });
        } else if let Some(queue) = self.queue(tsi) {
            queue.sender.gather(event);
        }
    }

    /// Hands over what was put, and closes the queues into which nothing more will be put.
    fn hand_over(&mut self) {
        self.found.hand_over();
        self.queues.retain_mut(|queue| {
            queue.sender.hand_over();
            !(queue.is_over && queue.sender.is_handed_over())
        });
    }

    /// Removes the queues whose other ends are gone; returns their sources, except those of which nothing more would have come.
    fn take_deserted(&mut self) -> Vec<Tsi> {
        let deserted = self.queues.extract_if(.., |queue| queue.sender.is_deserted());
        deserted.filter(|queue| !queue.is_over).map(|queue| queue.tsi).collect()
    }

    /// The queue of a source; an earlier one that is over may still be there, too.
    fn queue(&mut self, tsi: Tsi) -> Option<&mut Queue> {
        self.queues.iter_mut().rev().find(|queue| queue.tsi == tsi && !queue.is_over)
    }
}

impl Delivery {
    pub(super) fn shared(sender: EventSender<Delivered>) -> Self {
        Delivery::Shared(SharedQueue { sender, is_paused: None, beyond: 0 })
    }

    /// Pauses the sources whose queues are full, and resumes the others. Returns whether there is room for what the machine delivers
    /// then.
    pub(super) fn is_ready(&mut self, machine: &mut Receiver) -> bool {
        match self {
            Delivery::Shared(queue) => {
                queue.pause_if_full(machine);
                queue.beyond < queue.sender.len_max()
            }
            Delivery::PerSource(queues) => {
                queues.pause_full(machine);
                queues.found.is_ready()
            }
        }
    }

    /// Puts an event of a source into its queue, to be handed over later.
    pub(super) fn put(&mut self, tsi: Tsi, event: Delivered) {
        match self {
            Delivery::Shared(queue) => {
                queue.beyond += usize::from(queue.is_paused == Some(true));
                if matches!(event, Delivered::Event(Received::Start { .. })) {
                    queue.is_paused = None;
                }
                queue.sender.gather(event);
            }
            Delivery::PerSource(queues) => queues.put(tsi, event),
        }
    }

    /// Hands over the events that were put.
    pub(super) fn hand_over(&mut self) {
        match self {
            Delivery::Shared(queue) => queue.sender.hand_over(),
            Delivery::PerSource(queues) => queues.hand_over(),
        }
    }

    /// The sources whose queues the application has dropped, each once.
    pub(super) fn take_deserted(&mut self) -> Vec<Tsi> {
        match self {
            Delivery::Shared(_) => Vec::new(),
            Delivery::PerSource(queues) => queues.take_deserted(),
        }
    }

    /// Notes that nothing more will come of a source: its queue is closed once all was handed over.
    pub(super) fn close(&mut self, tsi: Tsi) {
        if let Delivery::PerSource(queues) = self
            && let Some(queue) = queues.queue(tsi)
        {
            queue.is_over = true;
        }
    }

    /// The room that is left for a source, in bytes.
    pub(super) fn room(&self, tsi: &Tsi) -> usize {
        match self {
            Delivery::Shared(queue) => queue.sender.room(),
            Delivery::PerSource(SourceQueues { queues, weight_max, .. }) => {
                let queue = queues.iter().rev().find(|queue| queue.tsi == *tsi);
                queue.map_or(*weight_max, |queue| queue.sender.room())
            }
        }
    }

    /// Tells the application that nothing more will come, and why.
    pub(super) fn fail(&mut self, why: &str) {
        let failed = || Delivered::Event(Received::Failed(why.to_owned()));
        match self {
            Delivery::Shared(queue) => queue.sender.end_with(failed()),
            Delivery::PerSource(queues) => {
                queues.queues.iter_mut().for_each(|queue| queue.sender.end_with(failed()));
            }
        }
    }
}

/// Pauses or resumes a source, unless its session has ended meanwhile.
fn set_paused(machine: &mut Receiver, tsi: Tsi, is_paused: bool) {
    let _ = if is_paused { machine.pause(tsi) } else { machine.resume(tsi) };
}

#[cfg(test)]
mod tests {
    use campanile_pgm::Gsi;
    use campanile_pgm::receiver::ReceiverConfig;

    use super::*;

    #[test]
    fn sessions_without_end_do_not_fill_the_queue_of_all() {
        let (sender, events) = queue::events(8, 1000);
        let mut delivery = Delivery::shared(sender);
        let mut machine = Receiver::new(ReceiverConfig::new(7500));
        let mut begun = 0;
        while delivery.is_ready(&mut machine) && begun < 100 {
            let tsi = Tsi { gsi: Gsi([0; 6]), port: begun };
            let source = IpAddr::from([127, 0, 0, 1]);
            delivery.put(tsi, Delivered::Event(Received::Start { tsi, source, first: Seq(0) }));
            begun += 1;
        }
        assert_eq!(begun, 16, "half of them beyond what data may fill");
        drop(events);
        assert!(delivery.is_ready(&mut machine), "nobody is there to read them");
    }
}
