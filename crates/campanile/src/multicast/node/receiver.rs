//! A receiver's driver: the state machine, the sink for what it delivers, and the reporter.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use campanile_pgm::receiver::{Consumer, Event, Receiver, ReceiverConfig};
use campanile_pgm::wire::PrivateType;
use campanile_pgm::{Instant, Tsi};

use super::reporter::Reporter;
use super::runs::runs;
use super::{Arrival, Departure, Driver};
use crate::multicast::counts::{Counter, Counts};
use crate::multicast::diagnostics::SourceEntry;
use crate::multicast::options::Options;
use crate::multicast::report::ReceiverId;
use crate::random;

/// Takes what a receiver delivers.
pub(crate) trait Sink {
    /// Handles the application's commands.
    fn handle_commands(&mut self, now: Instant, machine: &mut Receiver, reporter: &mut Reporter);
    /// Whether there is room for the machine's next event. A sink may pause sources, so that there is.
    fn is_ready(&mut self, machine: &mut Receiver) -> bool;
    /// Takes an event; there must be room for it.
    fn take(&mut self, event: Event<'_>);
    /// Hands over what it has taken: there are no more events in this turn, or there is no more room.
    fn flush(&mut self, now: Instant, machine: &mut Receiver, reporter: &mut Reporter);
    /// A source has acknowledged a final standing.
    fn acknowledge(&mut self, tsi: Tsi);
    /// Room on a source's way to the application, in bytes.
    fn headroom(&self, tsi: &Tsi) -> usize;
    /// Tells the application that the node cannot go on.
    fn fail(&mut self, error: &io::Error);
}

/// A receiver's driver.
#[derive(Debug)]
pub(crate) struct ReceiverDriver<S> {
    machine: Receiver,
    reporter: Reporter,
    sink: S,
    /// Sources that have acknowledged a final standing, which the application was not told yet.
    acknowledged: Vec<Tsi>,
    /// The only sources to receive from; any if empty. A system may deliver packets that only another socket joined for.
    sources: Vec<IpAddr>,
    /// The interface that the last train arrived on.
    interface: u32,
}

impl<S: Sink> ReceiverDriver<S> {
    /// A receiver with this id, whose sockets' receive buffers hold `held` bytes.
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
        ReceiverDriver {
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
            // At most once for each source that is reported to, whose number is bounded.
            self.acknowledged.push(tsi);
        }
    }
}

impl<S: Sink> Driver for ReceiverDriver<S> {
    /// A receiver has its sockets to itself.
    fn is_for(&self, _datagram: &[u8]) -> bool {
        true
    }

    fn handle_train(&mut self, now: Instant, arrival: &Arrival, stride: usize, bytes: &[u8]) {
        if !self.sources.is_empty() && !self.sources.contains(&arrival.path.from.ip().to_canonical()) {
            return;
        }
        self.interface = arrival.path.interface;
        // A source sends to the group; to a single receiver it sends only receipts. If the system does not report the destination
        // address, it is one of the two.
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
            self.reporter.count(run.chunks(stride.max(1)));
            self.machine.handle_train(now, &arrival.path(), stride, run);
        }
    }

    fn handle_commands(&mut self, now: Instant) {
        self.sink.handle_commands(now, &mut self.machine, &mut self.reporter);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        self.reporter.handle_timeout(now);
    }

    fn take_events(&mut self, _now: Instant) {
        while self.sink.is_ready(&mut self.machine) {
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

    fn exchange(&mut self, now: Instant) {
        self.take_events(now);
        self.sink.flush(now, &mut self.machine, &mut self.reporter);
    }

    fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Departure> {
        if let Some(transmit) = self.machine.poll_transmit(now, buffer) {
            return Some(Departure::of(&transmit));
        }
        let look = |tsi: &Tsi| {
            let headroom = self.machine.room(tsi, self.sink.headroom(tsi));
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

/// How long bulk receivers that join late ask only for the front of a session: it says what the session brings, much of which may be
/// there already. The limit keeps a front that is lost again and again from holding up the rest.
const FRONT: Duration = Duration::from_secs(1);
