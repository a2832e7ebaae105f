//! The application of a bulk receiver, as its node sees it.

use std::io;

use async_channel::{Receiver as Orders, Sender};
use campanile_pgm::receiver::{Event, Receiver};
use campanile_pgm::{Instant, Seq, Tsi};

use super::{Batch, Buffer, BulkReceived, Progress};
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

/// Carries packets to the application in batches, and back what it has and gives.
#[derive(Debug)]
pub(super) struct BulkSink {
    events: Outlet<BulkReceived>,
    commands: Orders<Command>,
    /// Where buffers of commands go that were used.
    home: Sender<Vec<u8>>,
    /// The packets that are being put together, all of one source.
    batch: Option<(Tsi, Buffer)>,
    /// Buffers that came back, and the way on which they come.
    used: (Sender<Buffer>, Orders<Buffer>),
}

impl BulkSink {
    pub(super) fn new(
        events: Outlet<BulkReceived>,
        commands: Orders<Command>,
        home: Sender<Vec<u8>>,
    ) -> Self {
        BulkSink { events, commands, home, batch: None, used: async_channel::bounded(BUFFERS) }
    }

    fn add(&mut self, tsi: Tsi, sqn: Seq, bytes: &[u8]) {
        if self.batch.as_ref().is_some_and(|(of, _)| *of != tsi) {
            self.send_batch();
        }
        let (_, buffer) = self.batch.get_or_insert_with(|| (tsi, self.used.1.try_recv().unwrap_or_default()));
        buffer.bytes.extend_from_slice(bytes);
        buffer.packets.push((sqn, buffer.bytes.len()));
        if buffer.bytes.len() >= BATCH_LEN {
            self.send_batch();
        }
    }

    fn send_batch(&mut self) {
        if let Some((tsi, buffer)) = self.batch.take() {
            self.events.put(BulkReceived::Packets(Batch { tsi, buffer, home: self.used.0.clone() }));
        }
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
            Event::Packet { tsi, sqn, bytes } => return self.add(tsi, sqn, bytes),
            Event::Start { tsi, source, first } => BulkReceived::Start { tsi, source, first },
            Event::Need { tsi, first, count } => BulkReceived::Need { tsi, first, count },
            Event::Lost { tsi, first, last } => BulkReceived::Lost { tsi, first, last },
            Event::End { tsi, cause } => BulkReceived::End { tsi, cause },
            // These are of receivers in order.
            _ => return,
        };
        // The packets came before it.
        self.send_batch();
        self.events.put(event);
    }

    fn pause(&mut self, _now: Instant, _machine: &mut Receiver, _reporter: &mut Reporter) {
        if self.events.is_ready() {
            self.send_batch();
        }
    }

    fn acknowledge(&mut self, tsi: Tsi) {
        self.events.put(BulkReceived::Acknowledged { tsi });
    }

    fn headroom(&self) -> usize {
        self.events.room()
    }

    fn fail(&mut self, error: &io::Error) {
        self.events.end_with(BulkReceived::Failed(error.to_string()));
    }
}

/// Bytes of packets that make a batch.
const BATCH_LEN: usize = 64 << 10;
/// Buffers that are kept for reuse.
const BUFFERS: usize = 32;
