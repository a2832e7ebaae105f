//! A source's driver: the state machine, the feed of its data, and the collector of reports.

use std::io;
use std::time::Duration;

use campanile_pgm::Instant;
use campanile_pgm::source::{
    ConfigError, Endpoint, Join, Kept, Pace, RepairConfig, Source, SourceConfig, SpmConfig, WindowConfig,
    WindowSize,
};
use campanile_pgm::wire::{HeaderView, PrivateType, Session};
use campanile_pgm::{Framing, Gsi, Tsi};

use super::rate_controller::{Feedback, RateController, Sent};
use super::report_collector::ReportCollector;
use super::runs::runs;
use super::{Arrival, Departure, Driver, StartError};
use crate::multicast::counts::{Counter, Counts};
use crate::multicast::diagnostics::SourceEntry;
use crate::multicast::options::{Mode, Options, Rate};
use crate::multicast::report::Report;
use crate::multicast::sockets::{self, LocalInterface};
use crate::random;

/// Gives a source its data, and takes its events.
pub(crate) trait Feed {
    /// Handles the application's commands.
    fn handle_commands(&mut self, now: Instant, machine: &mut Source);
    /// Hands events to the application, as far as it has room for them, and takes what it has for the machine.
    fn exchange(&mut self, now: Instant, machine: &mut Source);
    /// Whether the application has room for a report, or can do without it.
    fn is_ready(&mut self, report: &Report) -> bool;
    /// Hands a report to the application, which must be ready for it.
    fn tell(&mut self, from: std::net::IpAddr, report: Report);
    /// When it will have more data for a machine that has nothing to send.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Tells the application that the session cannot go on.
    fn fail(&mut self, error: &io::Error);
}

/// A source's driver.
#[derive(Debug)]
pub(crate) struct SourceDriver<F> {
    machine: Source,
    endpoint: Endpoint,
    feed: F,
    reports: ReportCollector,
    auto_rate: Option<AutoRate>,
}

/// Finds the rate, if none is configured.
#[derive(Debug)]
struct AutoRate {
    controller: RateController,
    /// When all receivers are asked to report next, and the time until they are asked again after that.
    request_at: Instant,
    again: Duration,
}

impl<F: Feed> SourceDriver<F> {
    /// A source that begins at once; an error if its configuration is invalid.
    pub(crate) fn new(
        now: Instant,
        config: SourceConfig,
        rate: Rate,
        cookie: u64,
        feed: F,
    ) -> Result<Self, ConfigError> {
        let (endpoint, kept) = (config.endpoint, config.window.kept);
        let packet_len = config.packet_len as u64 + u64::from(config.pace.overhead);
        let machine = Source::new(now, config)?;
        let reports = ReportCollector::new(endpoint.session, cookie);
        let auto_rate = match rate {
            Rate::Fixed(_) => None,
            Rate::Auto { floor_bps, ceiling_bps } => {
                let bounds = floor_bps / 8..=ceiling_bps / 8;
                let window = match kept {
                    Kept::Here => machine.window_packets() * REPAIRABLE_PERCENT / 100,
                    Kept::Elsewhere { .. } => u64::MAX,
                };
                let controller =
                    RateController::new(now, bounds, machine.bytes_per_second(), packet_len, window);
                Some(AutoRate { controller, request_at: now + REQUEST_FIRST, again: REQUEST_FIRST })
            }
        };
        Ok(SourceDriver { machine, endpoint, feed, reports, auto_rate })
    }

    /// The machine, to prepare it before anything else.
    pub(crate) fn machine_mut(&mut self) -> &mut Source {
        &mut self.machine
    }

    fn take_report(&mut self, now: Instant, arrival: &Arrival, datagram: &[u8]) {
        let Some(report) = self.reports.read(datagram) else { return };
        let mut interval = Duration::MAX;
        if let Some(AutoRate { controller, .. }) = &mut self.auto_rate {
            if let Some(highest) = self.machine.packets_until(report.lead) {
                // Packets before the window can no longer be repaired for anybody.
                let acked = self.machine.packets_before(report.needs).unwrap_or(0);
                let age =
                    self.machine.sent_at(report.lead).map_or(Duration::ZERO, |sent_at| now.since(sent_at));
                controller.take(now, &report, Feedback { acked, highest, age });
            }
            interval = controller.interval();
        }
        let can_tell = self.feed.is_ready(&report);
        if self.reports.answer(arrival, &report, interval, can_tell) {
            self.feed.tell(arrival.path.from.ip(), report);
        }
    }

    fn poll_machine(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Departure> {
        let (transmit, lent) = self.machine.poll_train(now, buffer)?;
        Some(Departure { lent, ..Departure::of(&transmit) })
    }

    /// Adapts the machine to the rate that the receivers can take.
    fn adapt_rate(&mut self, now: Instant) {
        let Some(AutoRate { controller, request_at, again }) = &mut self.auto_rate else { return };
        let stats = self.machine.stats();
        let sent = Sent { packets: stats.odata, bytes: stats.bytes };
        let bytes_per_second = controller.rate(now, sent);
        if controller.take_back_off() {
            self.machine.forget_losses();
        }
        self.machine.set_sent_max(now, controller.sent_max(now, sent));
        // Steps too small to matter are not passed to the machine.
        if bytes_per_second.abs_diff(self.machine.bytes_per_second()) > self.machine.bytes_per_second() / 64 {
            self.machine.set_rate(now, bytes_per_second);
        }
        if *request_at <= now {
            self.reports.request(self.endpoint.group, controller.interval());
            (*request_at, *again) = (now + *again, (*again * 2).min(REQUEST_MAX));
        }
    }
}

impl<F: Feed> Driver for SourceDriver<F> {
    fn is_for(&self, datagram: &[u8]) -> bool {
        let private = || PrivateType::Upstream.parse(datagram).map(|(session, _)| session);
        let session = HeaderView::new(datagram).and_then(HeaderView::session).or_else(private);
        session.is_some_and(|session| session.tsi == self.endpoint.session.tsi)
    }

    fn handle_train(&mut self, now: Instant, arrival: &Arrival, stride: usize, bytes: &[u8]) {
        let is_report = |datagram: &[u8]| PrivateType::of(datagram) == Some(PrivateType::Upstream);
        for datagram in bytes.chunks(stride.max(1)).filter(|datagram| is_report(datagram)) {
            self.take_report(now, arrival, datagram);
        }
        for run in runs(stride, bytes, |datagram| !is_report(datagram)) {
            self.machine.handle_train(now, &arrival.path(), stride, run);
        }
    }

    fn handle_commands(&mut self, now: Instant) {
        self.feed.handle_commands(now, &mut self.machine);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        self.adapt_rate(now);
    }

    /// A source receives rarely, and what it receives may have made room.
    fn take_events(&mut self, now: Instant) {
        self.exchange(now);
    }

    fn exchange(&mut self, now: Instant) {
        self.feed.exchange(now, &mut self.machine);
    }

    fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Departure> {
        if let Some(receipt) = self.reports.poll_transmit(buffer) {
            return Some(receipt);
        }
        if let Some(departure) = self.poll_machine(now, buffer) {
            return Some(departure);
        }
        // There may be an event to be answered before there is more to send, or the application may have more data.
        self.feed.exchange(now, &mut self.machine);
        self.poll_machine(now, buffer)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let machine = self.machine.poll_timeout();
        let rate = self
            .auto_rate
            .as_ref()
            .map(|auto_rate| auto_rate.request_at.min(auto_rate.controller.poll_timeout()));
        machine.into_iter().chain(rate).chain(self.feed.poll_timeout()).min()
    }

    fn count(&self, counts: &mut Counts) {
        let stats = self.machine.stats();
        let window = self.machine.window();
        let told = [
            (Counter::OdataSent, stats.odata),
            (Counter::OdataParitySent, stats.odata_parity),
            (Counter::RdataSent, stats.rdata),
            (Counter::RdataParitySent, stats.rdata_parity),
            (Counter::NcfsSent, stats.ncfs),
            (Counter::SpmsSent, stats.spms),
            (Counter::BytesSent, stats.bytes),
            (Counter::PayloadSent, stats.payload_bytes),
            (Counter::NaksReceived, stats.naks),
            (Counter::NakSqns, stats.nak_sqns),
            (Counter::NakSqnsOutside, stats.nak_sqns_outside),
            (Counter::NakSqnsMerged, stats.nak_sqns_merged),
            (Counter::WindowPackets, window.len().into()),
            (Counter::Malformed, stats.malformed.total()),
            (Counter::Ignored, stats.ignored + stats.naks_misdirected + self.reports.others()),
            (Counter::Congested, stats.ecn_ce),
        ];
        told.into_iter().for_each(|(counter, value)| counts.set(counter, value));
        self.reports.count(counts);
    }

    fn sources(&self) -> Vec<SourceEntry> {
        vec![SourceEntry {
            tsi: self.endpoint.session.tsi.to_string(),
            address: self.endpoint.nla,
            packets: self.machine.stats().odata,
            loss_percent: None,
            rate_bps: Some(self.machine.bytes_per_second() * 8),
        }]
    }

    fn fail(&mut self, error: &io::Error) {
        self.feed.fail(error);
    }
}

/// A new session's identifier: drawn at random, so that publishers on one host, and those that begin at the same moment, differ.
pub(crate) fn session(options: &Options) -> Session {
    let [a, b, c, d, e, f, high, low] = random::word().to_be_bytes();
    let port = u16::from_be_bytes([high, low]).max(1);
    Session { tsi: Tsi { gsi: Gsi([a, b, c, d, e, f]), port }, destination_port: options.data_port() }
}

/// The configuration of a session's state machine, from the options.
pub(crate) fn config(
    options: &Options,
    session: Session,
    interfaces: &[LocalInterface],
) -> Result<SourceConfig, StartError> {
    let mtu = sockets::mtu(options, interfaces)?;
    let sending = &options.sending;
    if matches!(sending.rate, Rate::Auto { floor_bps, ceiling_bps } if floor_bps > ceiling_bps) {
        return Err(StartError::Config(ConfigError::Rate));
    }
    let endpoint = Endpoint { session, group: options.network.group.ip(), nla: interfaces[0].address };
    let defaults = SourceConfig::new(endpoint);
    Ok(SourceConfig {
        further: interfaces[1..].iter().map(|local| local.address).collect(),
        seed: random::word(),
        tos: options.network.tos,
        packet_len: mtu.saturating_sub(options.overhead()).into(),
        framing: options.mode.framing(),
        pace: Pace {
            bytes_per_second: sending.rate.initial_bps() / 8,
            overhead: options.overhead(),
            burst: sending.burst.unwrap_or(BURST),
        },
        window: WindowConfig {
            size: sending.window,
            advance: sending.advance,
            join: sending.join,
            join_in_data: options.mode == Mode::OpenPgm,
            ..WindowConfig::default()
        },
        spm: SpmConfig {
            // As many as OpenPGM's sources send, if its receivers may listen.
            opening: if options.mode.is_foreign() || options.mode == Mode::Stream { 3 } else { 1 },
            ambient: sending.ambient,
            heartbeat_min: sending.heartbeat,
            linger: sending.linger,
            ..SpmConfig::default()
        },
        repair: RepairConfig { share_percent: sending.repair_share_percent, eliminate: sending.eliminate },
        parity: sending.parity.filter(|_| !options.mode.is_foreign()),
        ..defaults
    })
}

/// As [`config`], for a session of `bytes` bytes that are kept elsewhere, all of which can be repaired.
pub(crate) fn bulk_config(
    options: &Options,
    session: Session,
    interfaces: &[LocalInterface],
    bytes: u64,
) -> Result<SourceConfig, StartError> {
    let mut config = config(options, session, interfaces)?;
    config.framing = Framing::Packed;
    config.pace.burst = options.sending.burst.unwrap_or_else(|| file_burst(options.sending.rate));
    let block_len = config.tsdu_len().ok_or(StartError::Config(ConfigError::PacketLen))? as u64;
    let group = config.parity.map_or(1, |parity| u64::from(parity.group));
    // The last group may be a short one, and two groups are the least.
    let packets = bytes.div_ceil(block_len).next_multiple_of(group).max(2 * group) + group;
    config.window = WindowConfig {
        size: WindowSize::Packets(
            u32::try_from(packets).map_err(|_| StartError::Config(ConfigError::Window))?,
        ),
        join: Join::All,
        kept: Kept::Elsewhere { groups: GROUPS },
        ..config.window
    };
    Ok(config)
}

/// The longest burst of a file at this rate. Nobody waits for a single packet of a file, so at low rates several leave at a time, but
/// no more than a small buffer on the path holds.
fn file_burst(rate: Rate) -> Duration {
    let most_bps = match rate {
        Rate::Fixed(rate_bps) => rate_bps,
        Rate::Auto { ceiling_bps, .. } => ceiling_bps,
    };
    Duration::from_nanos(BURST_LEN * 8 * 1_000_000_000 / most_bps.max(1)).clamp(BURST, FILE_BURST_MAX)
}

/// The longest burst if none is configured; for files at a low rate, this many bytes, but no longer than this.
const BURST: Duration = Duration::from_millis(2);
const BURST_LEN: u64 = 32 << 10;
const FILE_BURST_MAX: Duration = Duration::from_millis(10);

/// How soon after the start all receivers are asked to report, and the longest time between such requests.
const REQUEST_FIRST: Duration = Duration::from_millis(10);
const REQUEST_MAX: Duration = Duration::from_secs(1);

/// The part of a window that certainly holds packets already sent: half of the window may wait to be sent, it moves on in steps, and
/// reports take time.
const REPAIRABLE_PERCENT: u64 = 40;

/// Groups of data that are in memory at a time: several to be sent and several to be repaired.
const GROUPS: u8 = 16;

impl Options {
    /// The largest IP packet that a source sends, by its interfaces' present MTUs.
    ///
    /// # Errors
    /// There is no such interface, or it does not take the configured size.
    pub fn mtu(&self) -> Result<u16, StartError> {
        Ok(sockets::mtu(self, &sockets::interfaces(self)?)?)
    }

    /// The payload of a full packet of a bulk session, by its interfaces' present MTUs.
    ///
    /// # Errors
    /// As [`Options::mtu`], or it leaves no room for any.
    pub fn block_len(&self) -> Result<usize, StartError> {
        let mut config = config(self, Session::default(), &sockets::interfaces(self)?)?;
        config.framing = Framing::Packed;
        config.tsdu_len().ok_or(StartError::Config(ConfigError::PacketLen))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::multicast::bulk;

    #[test]
    fn slow_files_leave_in_trains() {
        let fixed = |mbit: u64| file_burst(Rate::Fixed(mbit * 1_000_000)).as_micros();
        assert_eq!([1, 16, 100, 1000, 100_000].map(fixed), [10_000, 10_000, 2621, 2000, 2000]);
        assert_eq!(file_burst(Rate::AUTO), BURST, "what may become fast keeps to short ones");
    }

    const NOWHERE: LocalInterface = LocalInterface { index: 0, address: IpAddr::V4(Ipv4Addr::LOCALHOST) };

    #[test]
    fn what_is_no_rate_is_refused() {
        for (floor_bps, ceiling_bps) in [(2, 1), (u64::MAX, 0), (0, 0), (7, 7)] {
            let mut options = Options::default();
            options.sending.rate = Rate::Auto { floor_bps, ceiling_bps };
            let is_refused = match config(&options, Session::default(), &[NOWHERE]) {
                Ok(config) => Source::new(Instant::ZERO, config).is_err(),
                Err(_) => true,
            };
            assert!(is_refused, "from {floor_bps} to {ceiling_bps}");
        }
    }

    #[test]
    fn the_longest_bulk_session_has_a_source() {
        for fec in ["off", "2", "64", "128"] {
            let mut options = Options::default();
            options.set("fec", fec).expect("an option");
            let config = |bytes| bulk_config(&options, Session::default(), &[NOWHERE], bytes);
            let block_len = config(1).expect("it is short").tsdu_len().expect("room") as u64;
            let longest = config(bulk::PACKETS_MAX * block_len).expect("it is not too long");
            assert!(longest.message_len_max().is_ok(), "fec {fec}");
        }
    }

    #[test]
    fn repairs_follow_the_options() {
        let mut options = Options::default();
        let repair = |options: &Options| {
            config(options, Session::default(), &[NOWHERE]).expect("it has a length").repair
        };
        assert_eq!(repair(&options), RepairConfig { share_percent: 50, ..RepairConfig::default() });
        options.set("nak-elimination", "700us").expect("an option");
        assert_eq!(repair(&options).eliminate, Duration::from_micros(700));
    }
}
