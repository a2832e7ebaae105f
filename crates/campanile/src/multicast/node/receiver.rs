//! A receiver at its node: the machine, who takes what it delivers, and the reporter.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use campanile_pgm::receiver::{Consumer, Event, Receiver, ReceiverConfig};
use campanile_pgm::wire::PrivateType;
use campanile_pgm::{Instant, Tsi};

use super::reporter::Reporter;
use super::running::runs;
use super::{Arrival, Departure, Seat};
use crate::multicast::counts::{Counter, Counts};
use crate::multicast::diary::SourceEntry;
use crate::multicast::options::Options;
use crate::multicast::random;
use crate::multicast::report::ReceiverId;

/// Takes what a receiver delivers.
pub(crate) trait Sink {
    /// Takes what the application commands.
    fn handle_commands(&mut self, now: Instant, machine: &mut Receiver, reporter: &mut Reporter);
    /// Whether there is room for an event.
    fn is_ready(&mut self) -> bool;
    /// Takes an event; there is room for it.
    fn take(&mut self, event: Event<'_>);
    /// There are no more events for this turn, or no more room.
    fn pause(&mut self, now: Instant, machine: &mut Receiver, reporter: &mut Reporter);
    /// A source knows the final standing that was reported.
    fn acknowledge(&mut self, tsi: Tsi);
    /// Bytes that still find room on the way to the application.
    fn headroom(&self) -> usize;
    /// Tells the application that the node cannot go on.
    fn fail(&mut self, error: &io::Error);
}

/// A receiver at its node.
#[derive(Debug)]
pub(crate) struct ReceiverSeat<S> {
    machine: Receiver,
    reporter: Reporter,
    sink: S,
    /// Sources that know their final standing, and of which the application does not know that yet.
    acknowledged: Vec<Tsi>,
    /// The only sources to hear; any if there is none. A system may hand over what another socket joined for.
    sources: Vec<IpAddr>,
    /// The interface that the last train came in by.
    interface: u32,
}

impl<S: Sink> ReceiverSeat<S> {
    /// A receiver by this name, whose sockets hold so many bytes.
    pub(crate) fn new(
        options: &Options,
        receiver: ReceiverId,
        held: u32,
        consumer: Consumer,
        sink: S,
    ) -> Self {
        let receiving = &options.receiving;
        let config = ReceiverConfig {
            seed: random::word(),
            consumer,
            join: receiving.join,
            front: FRONT,
            nak: receiving.nak,
            limits: receiving.limits,
            expiry: receiving.expiry,
            tos: options.network.tos,
            ..ReceiverConfig::new(options.data_port())
        };
        ReceiverSeat {
            machine: Receiver::new(config),
            reporter: Reporter::new(receiver, held, options.data_port(), receiving.limits.sources),
            sink,
            acknowledged: Vec::new(),
            sources: options.network.sources.clone(),
            interface: 0,
        }
    }

    fn take_receipt(&mut self, now: Instant, arrival: &Arrival, datagram: &[u8]) {
        if let Some(tsi) = self.reporter.take(now, arrival.path.from.ip(), datagram) {
            // At most once for each source that is reported to, of which there is a bounded number.
            self.acknowledged.push(tsi);
        }
    }
}

impl<S: Sink> Seat for ReceiverSeat<S> {
    /// A receiver has its sockets to itself.
    fn is_for(&self, _datagram: &[u8]) -> bool {
        true
    }

    fn handle_train(&mut self, now: Instant, arrival: &Arrival, stride: usize, bytes: &[u8]) {
        if !self.sources.is_empty() && !self.sources.contains(&arrival.path.from.ip().to_canonical()) {
            return;
        }
        self.interface = arrival.path.interface;
        // A source speaks to the group; to one receiver alone it says receipts only. Where the system does not tell the address,
        // there are none but these two.
        let to = arrival.path.to;
        let is_for_group = to.is_multicast() || to.is_unspecified();
        let is_receipt = |datagram: &[u8]| PrivateType::of(datagram) == Some(PrivateType::Downstream);
        for datagram in bytes.chunks(stride.max(1)).filter(|datagram| is_receipt(datagram)) {
            self.take_receipt(now, arrival, datagram);
        }
        if !is_for_group {
            return;
        }
        for run in runs(stride, bytes, |datagram| !is_receipt(datagram)) {
            self.reporter.hear(run.chunks(stride.max(1)));
            self.machine.handle_train(now, &arrival.path(), stride, run);
        }
    }

    fn handle_commands(&mut self, now: Instant) {
        self.sink.handle_commands(now, &mut self.machine, &mut self.reporter);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn settle(&mut self, _now: Instant) {
        while self.sink.is_ready() {
            if let Some(tsi) = self.acknowledged.pop() {
                self.sink.acknowledge(tsi);
                continue;
            }
            let Some(event) = self.machine.poll_event() else { break };
            if let Event::Start { tsi, source, .. } = event {
                self.reporter.begin(tsi, source, self.interface);
            }
            self.sink.take(event);
        }
    }

    fn serve(&mut self, now: Instant) {
        self.settle(now);
        self.sink.pause(now, &mut self.machine, &mut self.reporter);
    }

    fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Departure> {
        if let Some(transmit) = self.machine.poll_transmit(now, buffer) {
            return Some(Departure::of(&transmit));
        }
        let look = |tsi: &Tsi| {
            let headroom = self.machine.room(tsi, self.sink.headroom());
            (headroom.unwrap_or(0) as u64, self.machine.needs(tsi))
        };
        self.reporter.poll_transmit(now, buffer, look)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let next =
            self.machine.poll_timeout().unwrap_or(Instant::FAR_FUTURE).min(self.reporter.poll_timeout());
        (next != Instant::FAR_FUTURE).then_some(next)
    }

    fn count(&self, counts: &mut Counts) {
        let stats = self.machine.stats();
        let told = [
            (Counter::OdataReceived, stats.odata),
            (Counter::RdataReceived, stats.rdata),
            (Counter::ParityReceived, stats.parity),
            (Counter::Duplicates, stats.duplicates),
            (Counter::Recovered, stats.recovered),
            (Counter::Lost, stats.lost),
            (Counter::NaksSent, stats.naks),
            (Counter::NakSqns, stats.nak_sqns),
            (Counter::NaksSuppressed, stats.naks_suppressed),
            (Counter::DroppedFull, stats.dropped_full),
            (Counter::DroppedOverrun, stats.dropped_overrun),
            (Counter::Leaps, stats.leaps),
            (Counter::Strangers, stats.strangers),
            (Counter::SourcesRefused, stats.sources_refused),
            (
                Counter::Contradictions,
                stats.parity_mismatches + stats.framing_errors + stats.messages_too_long,
            ),
            (Counter::ReportsSent, self.reporter.sent()),
            (Counter::Sources, self.machine.sources().count() as u64),
            (Counter::HeldBytes, self.machine.held_bytes() as u64),
            (Counter::Malformed, stats.malformed.total()),
            (Counter::Ignored, stats.ignored),
            (Counter::Congested, stats.ecn_ce),
        ];
        told.into_iter().for_each(|(counter, value)| counts.set(counter, value));
    }

    fn sources(&self) -> Vec<SourceEntry> {
        self.reporter.sources()
    }

    fn fail(&mut self, error: &io::Error) {
        self.sink.fail(error);
    }
}

/// How long receivers in bulk that join late ask for the front of a session alone: it says what the session brings, and much of that may
/// be there. A front that is lost again and again does not hold up the rest for good.
const FRONT: Duration = Duration::from_secs(1);
