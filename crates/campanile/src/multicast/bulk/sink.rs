//! The application of a bulk receiver, as its node sees it.

use std::io;

use async_channel::{Receiver as Orders, Sender};
use campanile_pgm::receiver::{Event, Packets, Receiver};
use campanile_pgm::{Instant, Seq, Tsi};

use super::{Batch, BulkReceived, Progress};
use crate::multicast::node::receiver::Sink;
use crate::multicast::node::reporter::Reporter;
use crate::multicast::queue::Outlet;

/// What the application of a bulk subscriber commands.
#[derive(Debug)]
pub(super) enum Command {
    Have(Tsi, Seq, Seq),
    Supply { tsi: Tsi, first: Seq, stride: usize, bytes: Vec<u8> },
    Report(Tsi, Progress),
    Leave(Tsi),
}

/// Carries packets to the application, and back what it has and gives.
#[derive(Debug)]
pub(super) struct BulkSink {
    events: Outlet<BulkReceived>,
    commands: Orders<Command>,
    /// Where buffers of commands go that were used.
    home: Sender<Vec<u8>>,
    /// Memory of packets that came back, and the way on which it comes.
    used: (Sender<Packets>, Orders<Packets>),
    spare: Vec<Packets>,
}

impl BulkSink {
    pub(super) fn new(
        events: Outlet<BulkReceived>,
        commands: Orders<Command>,
        home: Sender<Vec<u8>>,
    ) -> Self {
        BulkSink { events, commands, home, used: async_channel::bounded(BUFFERS), spare: Vec::new() }
    }

    /// Takes the packets as they are, and leaves memory for the next ones.
    fn batch(&mut self, tsi: Tsi, packets: &mut Packets) -> Batch {
        // What came back last is the likeliest to be in a cache.
        while let Ok(used) = self.used.1.try_recv() {
            if self.spare.len() < BUFFERS {
                self.spare.push(used);
            }
        }
        let unused = self.spare.pop().unwrap_or_default();
        let packets = std::mem::replace(packets, unused);
        Batch { tsi, packets, home: self.used.0.clone() }
    }
}

impl Sink for BulkSink {
    fn handle_commands(&mut self, now: Instant, machine: &mut Receiver, reporter: &mut Reporter) {
        while let Ok(command) = self.commands.try_recv() {
            // A command may come late: its source may have gone, or its group may have been completed by packets.
            match command {
                Command::Have(tsi, first, last) => {
                    let _ = machine.have(now, tsi, first, last);
                }
                Command::Supply { tsi, first, stride, mut bytes } => {
                    let _ = machine.supply(now, tsi, first, stride, &bytes);
                    bytes.clear();
                    let _ = self.home.try_send(bytes);
                }
                Command::Report(tsi, progress) => reporter.set(now, tsi, progress),
                Command::Leave(tsi) => {
                    let _ = machine.leave(tsi);
                }
            }
        }
    }

    fn is_ready(&mut self) -> bool {
        self.events.is_ready()
    }

    fn take(&mut self, event: Event<'_>) {
        let event = match event {
            Event::Packets { tsi, packets } => BulkReceived::Packets(self.batch(tsi, packets)),
            Event::Start { tsi, source, first } => BulkReceived::Start { tsi, source, first },
            Event::Need { tsi, first, count } => BulkReceived::Need { tsi, first, count },
            Event::Lost { tsi, first, last } => BulkReceived::Lost { tsi, first, last },
            Event::End { tsi, cause } => BulkReceived::End { tsi, cause },
            // These are of receivers in order.
            _ => return,
        };
        self.events.gather(event);
    }

    fn pause(&mut self, _now: Instant, _machine: &mut Receiver, _reporter: &mut Reporter) {
        self.events.hand_over();
    }

    fn acknowledge(&mut self, tsi: Tsi) {
        self.events.gather(BulkReceived::Acknowledged { tsi });
    }

    fn headroom(&self) -> usize {
        self.events.room()
    }

    fn fail(&mut self, error: &io::Error) {
        self.events.end_with(BulkReceived::Failed(error.to_string()));
    }
}

/// Memory of batches that is kept for reuse.
const BUFFERS: usize = 32;
