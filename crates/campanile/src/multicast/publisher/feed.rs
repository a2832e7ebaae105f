//! The application of a publisher, as its node sees it.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use async_channel::Receiver;
use campanile_pgm::Instant;
use campanile_pgm::source::{PublishError, Source, SourceEvent};
use campanile_pgm::wire::Reset;

use super::Published;
use super::outbox::{Listener, Said};
use crate::multicast::node::source::Feed;
use crate::multicast::queue::Outlet;
use crate::multicast::report::Report;

/// What the application orders, whatever it has said.
#[derive(Debug)]
pub(super) enum Order {
    Rate(u64),
    Linger(Duration),
    Abort(u8),
}

/// Carries the packets that the application fills to a source.
#[derive(Debug)]
pub(super) struct MessageFeed {
    events: Outlet<Published>,
    said: Listener,
    orders: Receiver<Order>,
    /// The source said that it has none.
    is_full: bool,
}

impl MessageFeed {
    pub(super) fn new(events: Outlet<Published>, said: Listener, orders: Receiver<Order>) -> Self {
        MessageFeed { events, said, orders, is_full: false }
    }

    /// Hands to the machine what it has room for.
    fn feed(&mut self, now: Instant, machine: &mut Source) {
        while !self.is_full {
            let Some(said) = self.said.next(|| !machine.is_drained()) else { return };
            match said {
                Said::Packets(packed) => match machine.push(now, packed) {
                    Ok(()) => {}
                    Err(PublishError::Full) => self.is_full = true,
                    // After an abort nothing is taken.
                    Err(_) => packed.clear(),
                },
                Said::Flush => machine.flush(now),
                Said::Finish => machine.finish(now),
            }
        }
    }
}

impl Feed for MessageFeed {
    fn handle_commands(&mut self, now: Instant, machine: &mut Source) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Rate(rate_bps) => machine.set_rate(now, rate_bps / 8),
                Order::Linger(linger) => machine.set_linger(now, linger),
                Order::Abort(reason) => {
                    let reset = Reset::new(true, reason.min(63)).expect("63 is the greatest reason");
                    machine.reset(now, reset);
                }
            }
        }
        self.feed(now, machine);
    }

    fn serve(&mut self, now: Instant, machine: &mut Source) {
        self.events.hand_over();
        // Not held up by an application that does not ask: but for the one end, nothing here is for it.
        while let Some(event) = machine.poll_event() {
            match event {
                SourceEvent::Writable => self.is_full = false,
                SourceEvent::Finished => self.events.put(Published::Finished),
                SourceEvent::Drained | SourceEvent::Need(_) => {}
            }
        }
        self.feed(now, machine);
    }

    fn is_ready(&mut self) -> bool {
        true
    }

    fn tell(&mut self, from: IpAddr, report: Report) {
        if self.events.is_ready() {
            self.events.put(Published::Report { from, report });
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.events.end_with(Published::Failed(error.to_string()));
    }
}
