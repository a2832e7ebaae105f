//! What a receiver reports to its sources, and when.

mod reception;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use campanile_pgm::wire::{HeaderView, Session};
use campanile_pgm::{Destination, Instant, Seq, Tsi};

use self::reception::Reception;
use super::{Departure, To};
use crate::multicast::bulk::Progress;
use crate::multicast::diagnostics::SourceEntry;
use crate::multicast::report::{Receipt, ReceiverId, Report, loss_percent};
use crate::random::{self, Rng};

/// Reports to every source that was found.
///
/// The source says when it wants the next report. A final standing is reported until the source acknowledges it.
#[derive(Debug)]
pub(crate) struct Reporter {
    receiver: ReceiverId,
    /// Bytes that its sockets' receive buffers hold.
    held: u32,
    destination_port: u16,
    sources: HashMap<Tsi, ReportedSource>,
    /// The most sources at a time.
    limit: usize,
    rng: Rng,
    next: Instant,
    sent: u64,
}

/// A source, and what is to be reported to it.
#[derive(Debug)]
struct ReportedSource {
    address: IpAddr,
    interface: u32,
    reception: Reception,
    progress: Option<Progress>,
    /// When the next report is due.
    due: Instant,
    interval: Duration,
    /// Within what time the source wants the first report, if it has asked for reports.
    requested: Option<Duration>,
    /// Receivers in the group, according to the source.
    receivers: u32,
    /// Reports since the last receipt.
    unanswered: u32,
    /// The source has acknowledged the final standing, or never will.
    is_known: bool,
}

impl Reporter {
    pub(super) fn new(receiver: ReceiverId, held: u32, destination_port: u16, limit: usize) -> Self {
        Reporter {
            receiver,
            held,
            destination_port,
            sources: HashMap::new(),
            limit,
            rng: Rng::new(random::word()),
            next: Instant::FAR_FUTURE,
            sent: 0,
        }
    }

    /// What was received of each source.
    pub(super) fn sources(&self) -> Vec<SourceEntry> {
        let entry = |(tsi, source): (&Tsi, &ReportedSource)| SourceEntry {
            tsi: tsi.to_string(),
            address: source.address,
            packets: source.reception.received(),
            loss_percent: Some(loss_percent(source.reception.loss())),
            rate_bps: None,
        };
        self.sources.iter().map(entry).collect()
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Adds a source that was found.
    pub(super) fn begin(&mut self, tsi: Tsi, address: IpAddr, interface: u32) {
        // If there is no room, a source that needs no more reports is removed.
        if self.sources.len() >= self.limit.max(1) {
            let spare = |source: &ReportedSource| source.is_known || source.progress.is_none();
            let spares = self.sources.iter().filter(|(_, source)| spare(source));
            // One without progress may have just begun.
            let gone = spares.max_by_key(|(_, source)| source.is_known).map(|(tsi, _)| *tsi);
            let Some(gone) = gone else { return };
            self.sources.remove(&gone);
        }
        let source = ReportedSource {
            address,
            interface,
            reception: Reception::default(),
            progress: None,
            due: Instant::FAR_FUTURE,
            interval: INTERVAL,
            requested: None,
            receivers: 1,
            unanswered: 0,
            is_known: false,
        };
        self.sources.insert(tsi, source);
    }

    /// Looks at datagrams that arrived together, to count what is reported as lost. The source is looked up only when it changes.
    pub(super) fn count<'a>(&mut self, datagrams: impl Iterator<Item = &'a [u8]>) {
        let mut latest: Option<(Tsi, Option<&mut ReportedSource>)> = None;
        for datagram in datagrams {
            let Some(header) = HeaderView::new(datagram) else { continue };
            let Some(Session { tsi, .. }) = header.session() else { continue };
            if latest.as_ref().is_none_or(|(latest, _)| *latest != tsi) {
                latest = Some((tsi, self.sources.get_mut(&tsi)));
            }
            if let Some((_, Some(source))) = &mut latest {
                source.reception.count(header, datagram);
            }
        }
    }

    /// Sets how far the application has got.
    pub(crate) fn set(&mut self, now: Instant, tsi: Tsi, progress: Progress) {
        let Some(source) = self.sources.get_mut(&tsi) else { return };
        let was_final = source.progress.is_some_and(|before| before.standing.is_final());
        let is_news = source.progress.is_none() || progress.standing.is_final() && !was_final;
        if was_final && !progress.standing.is_final() {
            return;
        }
        source.progress = Some(progress);
        if is_news {
            // All receivers of a group may get here at the same moment.
            let (spread, interval) = if progress.standing.is_final() {
                let spread = Duration::from_millis(source.receivers.clamp(10, 1000).into());
                (spread, AGAIN + spread)
            } else {
                (source.requested.unwrap_or(INTERVAL), INTERVAL)
            };
            let due = now.plus_nanos(self.rng.word() % spread.as_nanos() as u64);
            source.interval = interval;
            (source.due, source.unanswered) = (due, 0);
            self.next = self.next.min(due);
        }
    }

    /// Whether a source may still acknowledge what was reported to it.
    pub(crate) fn awaits_receipt(&self, tsi: Tsi) -> bool {
        self.sources.get(&tsi).is_some_and(|source| source.progress.is_some() && !source.is_known)
    }

    /// Takes a receipt. Returns the source if it has just acknowledged the final standing.
    pub(super) fn take(&mut self, now: Instant, from: IpAddr, datagram: &[u8]) -> Option<Tsi> {
        let (session, receipt) = Receipt::parse(datagram)?;
        let source = self.sources.get_mut(&session.tsi)?;
        if receipt.receiver == ReceiverId::ALL && source.address == from {
            let spread = receipt.interval.clamp(INTERVAL_MIN, INTERVAL);
            source.requested = Some(spread);
            let due = now.plus_nanos(self.rng.word() % spread.as_nanos() as u64);
            if source.is_joined() && due < source.due {
                source.due = due;
                self.next = self.next.min(due);
            }
            return None;
        }
        if receipt.receiver != self.receiver {
            return None;
        }
        let progress = source.progress?;
        if source.address != from || progress.cookie != receipt.cookie || source.is_known {
            return None;
        }
        (source.receivers, source.unanswered) = (receipt.receivers, 0);
        if progress.standing.is_final() {
            if receipt.is_final {
                source.is_known = true;
                source.due = Instant::FAR_FUTURE;
                return Some(session.tsi);
            }
            return None;
        }
        source.interval = receipt.interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
        source.due = now + source.interval;
        self.next = self.next.min(source.due);
        None
    }

    /// Gives up sources that have acknowledged none of many final reports: they are gone.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        let is_gone = |source: &&mut ReportedSource| {
            source.due <= now && source.unanswered >= FINAL_TRIES && !source.is_joined()
        };
        for source in self.sources.values_mut().filter(is_gone) {
            (source.is_known, source.due) = (true, Instant::FAR_FUTURE);
        }
    }

    /// The next report to send. For a source, `look` returns for how many bytes there is room, and the first packet that is needed.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        buffer: &mut [u8],
        look: impl FnOnce(&Tsi) -> (u64, Option<Seq>),
    ) -> Option<Departure> {
        if now < self.next {
            return None;
        }
        self.next = self.earliest();
        let (tsi, source) = self.sources.iter_mut().find(|(_, source)| source.due <= now)?;
        let (headroom, needs) = look(tsi);
        let report = source.report(self.receiver, self.held, headroom, needs)?;
        let packet = report.emit(Session { tsi: *tsi, destination_port: self.destination_port });
        buffer[..packet.len()].copy_from_slice(&packet);
        let jitter_ns = self.rng.word() % (source.interval.as_nanos() as u64 / 4).max(1);
        source.reported(now, jitter_ns);
        let to = Destination::Host { nla: source.address, interface: source.interface };
        self.sent += 1;
        self.next = self.earliest();
        Some(Departure::datagram(To::Destination(to), packet.len()))
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// When the earliest report is due.
    fn earliest(&self) -> Instant {
        self.sources.values().map(|source| source.due).min().unwrap_or(Instant::FAR_FUTURE)
    }
}

impl ReportedSource {
    fn is_joined(&self) -> bool {
        self.progress.is_some_and(|progress| !progress.standing.is_final())
    }

    /// The report to the source; `None` before the application has set its progress.
    fn report(&self, receiver: ReceiverId, held: u32, headroom: u64, needs: Option<Seq>) -> Option<Report> {
        let (progress, reception) = (self.progress?, &self.reception);
        let narrow = |packets: u64| u32::try_from(packets).unwrap_or(u32::MAX);
        let (had, total) = match progress.total {
            0 => (narrow(reception.received()), narrow(reception.expected())),
            total => (progress.had, total),
        };
        Some(Report {
            cookie: progress.cookie,
            receiver,
            standing: progress.standing,
            had,
            total,
            loss: reception.loss(),
            headroom,
            lead: reception.last(),
            heard: reception.received() as u32,
            needs: needs.unwrap_or(reception.last().next()),
            socket: held,
        })
    }

    /// Notes that a report was sent: the next one follows after the interval, unless a receipt says otherwise.
    fn reported(&mut self, now: Instant, jitter_ns: u64) {
        self.due = (now + self.interval).plus_nanos(jitter_ns);
        self.unanswered += 1;
        if self.unanswered >= PATIENCE {
            let most = if self.is_joined() { INTERVAL_MAX } else { AGAIN_MAX };
            self.interval = (self.interval * 2).min(most);
        }
    }
}

/// The interval of reports until the source sets another.
const INTERVAL: Duration = Duration::from_secs(1);
/// After this many reports without a receipt the interval grows.
const PATIENCE: u32 = 8;
const INTERVAL_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MAX: Duration = Duration::from_secs(600);
/// How soon a final report is repeated, at first and at most. A fifth of all packets may be lost each way, and the source lingers for
/// only a few seconds: eight tries within two seconds fail once in thousands of times.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(3);
/// After this many final reports without a receipt the source counts as gone: they take most of a minute.
const FINAL_TRIES: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multicast::report::Standing;

    const TSI: Tsi = Tsi { gsi: campanile_pgm::Gsi([1, 2, 3, 4, 5, 6]), port: 9 };
    const HEADROOM: u64 = 5;
    const COOKIE: u64 = 77;

    fn progress(standing: Standing) -> Progress {
        Progress { cookie: COOKIE, standing, had: 3, total: 9 }
    }

    /// Runs a reporter until a moment; returns its reports and their times.
    fn report(reporter: &mut Reporter, until: Instant) -> Vec<(Instant, Report)> {
        let mut said = Vec::new();
        while reporter.poll_timeout() <= until {
            let now = reporter.poll_timeout();
            reporter.handle_timeout(now);
            let mut buffer = [0; 512];
            if let Some(departure) = reporter.poll_transmit(now, &mut buffer, |_| (HEADROOM, None)) {
                said.push((now, Report::parse(&buffer[..departure.len]).unwrap().1));
            }
        }
        said
    }

    fn receipt(reporter: &Reporter, is_final: bool) -> Vec<u8> {
        let (cookie, receiver) = (COOKIE, reporter.receiver);
        let interval = Duration::from_secs(5);
        let session = Session { tsi: TSI, destination_port: 7500 };
        Receipt { cookie, receiver, is_final, interval, receivers: 1 }.emit(session).to_vec()
    }

    fn reporter() -> (Reporter, IpAddr) {
        let mut reporter = Reporter::new(ReceiverId(1), 0, 7500, 4);
        let source = "10.0.0.1".parse().unwrap();
        reporter.begin(TSI, source, 1);
        (reporter, source)
    }

    #[test]
    fn reports_come_when_the_source_wants_them() {
        let (mut reporter, source) = reporter();
        assert_eq!(report(&mut reporter, Instant(60_000_000_000)), []);
        reporter.set(Instant::ZERO, TSI, progress(Standing::Joined));
        let said = report(&mut reporter, Instant(1_000_000_000));
        assert_eq!(said.len(), 1);
        let now = said[0].0;
        let forged = receipt(&reporter, false);
        assert_eq!(reporter.take(now, "10.0.0.2".parse().unwrap(), &forged), None);
        assert!(
            reporter.poll_timeout() < now + Duration::from_secs(2),
            "another's receipt counts for nothing"
        );
        assert_eq!(reporter.take(now, source, &forged), None);
        assert_eq!(report(&mut reporter, now + Duration::from_millis(4999)), []);
        assert_eq!(report(&mut reporter, now + Duration::from_secs(6)).len(), 1);
    }

    #[test]
    fn a_request_brings_the_first_report_soon() {
        let (mut reporter, source) = reporter();
        let interval = Duration::from_millis(20);
        let session = Session { tsi: TSI, destination_port: 7500 };
        let receiver = ReceiverId::ALL;
        let request = Receipt { cookie: COOKIE, receiver, is_final: false, interval, receivers: 0 };
        let request = request.emit(session);
        assert_eq!(reporter.take(Instant::ZERO, "10.0.0.2".parse().unwrap(), &request), None);
        assert_eq!(reporter.sources[&TSI].requested, None, "another's request counts for nothing");
        assert_eq!(reporter.take(Instant::ZERO, source, &request), None);
        reporter.set(Instant::ZERO, TSI, progress(Standing::Joined));
        assert!(reporter.poll_timeout() < Instant::ZERO + interval, "asked before its cookie was known");

        let mut late = Reporter::new(ReceiverId(2), 0, 7500, 4);
        late.begin(TSI, source, 1);
        late.set(Instant::ZERO, TSI, progress(Standing::Joined));
        late.take(Instant::ZERO, source, &request);
        assert!(late.poll_timeout() < Instant::ZERO + interval, "asked when it had nothing to say before");
    }

    #[test]
    fn a_final_standing_is_reported_until_there_is_a_receipt() {
        let (mut reporter, source) = reporter();
        reporter.set(Instant::ZERO, TSI, progress(Standing::Complete));
        let said = report(&mut reporter, Instant(10_000_000_000));
        let soon = said.iter().filter(|(now, _)| *now < Instant(2_500_000_000)).count();
        assert!((8..=10).contains(&soon) && said.len() < 16, "{soon} soon of {}", said.len());
        assert!(said.iter().all(|(_, report)| report.standing == Standing::Complete));
        reporter.set(Instant(10_000_000_000), TSI, progress(Standing::Joined));
        assert_eq!(reporter.take(Instant(10_000_000_000), source, &receipt(&reporter, true)), Some(TSI));
        assert_eq!(report(&mut reporter, Instant(u64::MAX - 1)), []);
    }

    #[test]
    fn a_source_that_has_just_begun_stays_for_those_that_need_no_reports() {
        let source = "10.0.0.1".parse().unwrap();
        for number in 0..100 {
            let mut reporter = Reporter::new(ReceiverId(1), 0, 7500, 2);
            let [begun, next] = [100, 101].map(|port| Tsi { port: port + 2 * number, ..TSI });
            reporter.begin(TSI, source, 1);
            reporter.set(Instant::ZERO, TSI, progress(Standing::Complete));
            reporter.take(Instant::ZERO, source, &receipt(&reporter, true));
            reporter.begin(begun, source, 1);
            reporter.begin(next, source, 1);
            reporter.set(Instant::ZERO, begun, progress(Standing::Joined));
            assert!(reporter.awaits_receipt(begun), "it is reported to");
        }
    }

    #[test]
    fn a_source_that_has_gone_is_given_up() {
        let (mut reporter, _) = reporter();
        reporter.set(Instant::ZERO, TSI, progress(Standing::Failed));
        assert!(reporter.awaits_receipt(TSI));
        assert_eq!(report(&mut reporter, Instant(u64::MAX - 1)).len(), 24);
        assert!(!reporter.awaits_receipt(TSI));
    }
}
