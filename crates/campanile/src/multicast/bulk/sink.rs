//! The node's side of a bulk subscriber's queues.

use std::io;

use async_channel::{Receiver, Sender};
use campanile_pgm::receiver::{self, Event, Packets};
use campanile_pgm::{Instant, Seq, Tsi};

use super::{Batch, BulkReceived, Progress};
use crate::multicast::node::receiver::Sink;
use crate::multicast::node::reporter::Reporter;
use crate::multicast::queue::EventSender;

/// A command of a bulk subscriber's application.
#[derive(Debug)]
pub(super) enum Command {
    Have(Tsi, Seq, Seq),
    Supply { tsi: Tsi, first: Seq, stride: usize, bytes: Vec<u8> },
    Report(Tsi, Progress),
    Leave(Tsi),
}

/// Passes packets to the application, and its commands to the machine.
#[derive(Debug)]
pub(super) struct BulkSink {
    events: EventSender<BulkReceived>,
    commands: Receiver<Command>,
    /// Where used buffers of commands go.
    recycle: Sender<Vec<u8>>,
    /// The channel through which the memory of dropped batches comes back; each batch has a sender.
    recycle_batch: Sender<Packets>,
    recycled: Receiver<Packets>,
    /// Memory that came back.
    spare: Vec<Packets>,
}

impl BulkSink {
    pub(super) fn new(
        events: EventSender<BulkReceived>,
        commands: Receiver<Command>,
        recycle: Sender<Vec<u8>>,
    ) -> Self {
        let (recycle_batch, recycled) = async_channel::bounded(BUFFERS);
        BulkSink { events, commands, recycle, recycle_batch, recycled, spare: Vec::new() }
    }

    /// Makes a batch of the packets without copying them, and gives the machine other memory for the next ones.
    fn batch(&mut self, tsi: Tsi, packets: &mut Packets) -> Batch {
        // The memory that came back last is the likeliest to be in the cache.
        while let Ok(used) = self.recycled.try_recv() {
            if self.spare.len() < BUFFERS {
                self.spare.push(used);
            }
        }
        let unused = self.spare.pop().unwrap_or_default();
        let packets = std::mem::replace(packets, unused);
        Batch { tsi, packets, recycle: self.recycle_batch.clone() }
    }
}

impl Sink for BulkSink {
    fn handle_commands(&mut self, now: Instant, machine: &mut receiver::Receiver, reporter: &mut Reporter) {
        while let Ok(command) = self.commands.try_recv() {
            // A command may come too late: its source may be gone, or packets may have completed its group.
            match command {
                Command::Have(tsi, first, last) => {
                    let _ = machine.have(now, tsi, first, last);
                }
                Command::Supply { tsi, first, stride, mut bytes } => {
                    let _ = machine.supply(now, tsi, first, stride, &bytes);
                    bytes.clear();
                    let _ = self.recycle.try_send(bytes);
                }
                Command::Report(tsi, progress) => reporter.set(now, tsi, progress),
                Command::Leave(tsi) => {
                    let _ = machine.leave(tsi);
                }
            }
        }
    }

    fn is_ready(&mut self, _machine: &mut receiver::Receiver) -> bool {
        self.events.is_ready()
    }

    fn take(&mut self, event: Event<'_>) {
        let event = match event {
            Event::Packets { tsi, packets } => BulkReceived::Packets(self.batch(tsi, packets)),
            Event::Start { tsi, source, first } => BulkReceived::Start { tsi, source, first },
            Event::Need { tsi, first, count } => BulkReceived::Need { tsi, first, count },
            Event::Lost { tsi, first, last } => BulkReceived::Lost { tsi, first, last },
            Event::End { tsi, cause } => BulkReceived::End { tsi, cause },
            // The others are events of receivers in order.
            _ => return,
        };
        self.events.gather(event);
    }

    fn flush(&mut self, _now: Instant, _machine: &mut receiver::Receiver, _reporter: &mut Reporter) {
        self.events.hand_over();
    }

    fn acknowledge(&mut self, tsi: Tsi) {
        self.events.gather(BulkReceived::Acknowledged { tsi });
    }

    fn headroom(&self, _tsi: &Tsi) -> usize {
        self.events.room()
    }

    fn fail(&mut self, error: &io::Error) {
        self.events.end_with(BulkReceived::Failed(error.to_string()));
    }
}

/// How many batches' memory is kept for reuse.
const BUFFERS: usize = 32;
