//! The node's side of a bulk publisher's queues.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use campanile_pgm::Instant;
use campanile_pgm::source::{Source, SourceEvent};
use campanile_pgm::wire::Reset;

use super::BulkSent;
use crate::multicast::node::source::Feed;
use crate::multicast::queue::EventSender;
use crate::multicast::report::Report;

/// A command of a bulk publisher's application.
#[derive(Debug)]
pub(super) enum Command {
    Supply(Range<u64>, Vec<u8>),
    Finish,
    Linger(Duration),
    Abort(u8),
}

/// Passes a source's requests to the application, and the supplied bytes back.
#[derive(Debug)]
pub(super) struct BulkFeed {
    events: EventSender<BulkSent>,
    commands: Receiver<Command>,
    /// Where used buffers go.
    recycle: Sender<Vec<u8>>,
}

impl BulkFeed {
    pub(super) fn new(
        events: EventSender<BulkSent>,
        commands: Receiver<Command>,
        recycle: Sender<Vec<u8>>,
    ) -> Self {
        BulkFeed { events, commands, recycle }
    }
}

impl Feed for BulkFeed {
    fn handle_commands(&mut self, now: Instant, machine: &mut Source) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Supply(range, mut bytes) => {
                    // A range that was not asked for is the application's mistake, and does no harm.
                    let _ = machine.supply(now, &range, &mut bytes);
                    bytes.clear();
                    let _ = self.recycle.try_send(bytes);
                }
                Command::Finish => machine.finish(now),
                Command::Linger(linger) => machine.set_linger(now, linger),
                Command::Abort(reason) => {
                    let reset = Reset::new(true, reason.min(63)).expect("63 is the greatest reason");
                    machine.reset(now, reset);
                }
            }
        }
    }

    fn exchange(&mut self, _now: Instant, machine: &mut Source) {
        while self.events.is_ready() {
            let Some(event) = machine.poll_event() else { return };
            match event {
                SourceEvent::Need(range) => self.events.put(BulkSent::Need(range)),
                SourceEvent::Drained => self.events.put(BulkSent::Drained),
                SourceEvent::Finished => self.events.put_last(BulkSent::Finished),
                SourceEvent::Writable => {}
            }
        }
    }

    fn is_ready(&mut self, _report: &Report) -> bool {
        self.events.is_ready()
    }

    /// Never: commands of the application come with a wake-up.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn tell(&mut self, from: IpAddr, report: Report) {
        self.events.put(BulkSent::Report { from, report });
    }

    fn fail(&mut self, error: &io::Error) {
        self.events.end_with(BulkSent::Failed(error.to_string()));
    }
}
