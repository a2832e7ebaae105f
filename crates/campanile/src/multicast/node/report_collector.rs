//! How a source takes reports and answers them.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use campanile_pgm::Destination;
use campanile_pgm::wire::Session;

use super::{Arrival, Departure, To};
use crate::multicast::counts::{Counter, Counts};
use crate::multicast::report::{Receipt, ReceiverId, Report, Standing};

/// Takes the reports of one session.
///
/// It asks for reports at intervals that keep the whole group under [`REPORTS_A_SECOND`], and tracks at most [`RECEIVERS_MAX`]
/// receivers, until they leave; reports of others are only counted.
#[derive(Debug)]
pub(crate) struct ReportCollector {
    session: Session,
    cookie: u64,
    known: HashSet<ReceiverId>,
    receipts: VecDeque<(To, Receipt)>,
    reports: u64,
    forged: u64,
    put_off: u64,
    /// Reports to other sources on this host, which a raw socket receives, too.
    others: u64,
}

impl ReportCollector {
    pub(super) fn new(session: Session, cookie: u64) -> Self {
        ReportCollector {
            session,
            cookie,
            known: HashSet::new(),
            receipts: VecDeque::new(),
            reports: 0,
            forged: 0,
            put_off: 0,
            others: 0,
        }
    }

    /// Reads a report of this session.
    pub(super) fn read(&mut self, datagram: &[u8]) -> Option<Report> {
        let Some((session, report)) = Report::parse(datagram) else {
            self.forged += 1;
            return None;
        };
        if session.tsi != self.session.tsi {
            self.others += 1;
            return None;
        }
        if session != self.session || report.cookie != self.cookie {
            self.forged += 1;
            return None;
        }
        Some(report)
    }

    /// Answers a report. Its receiver is to report again after `interval`, or earlier if the size of the group allows. Returns `false`
    /// if the application has no room for the report, or too many receipts wait: then it is not answered, and is repeated.
    pub(super) fn answer(
        &mut self,
        arrival: &Arrival,
        report: &Report,
        interval: Duration,
        can_tell: bool,
    ) -> bool {
        if !can_tell || self.receipts.len() == RECEIPTS_MAX {
            self.put_off += 1;
            return false;
        }
        self.reports += 1;
        if report.standing == Standing::Left {
            self.known.remove(&report.receiver);
        } else if self.known.len() < RECEIVERS_MAX {
            self.known.insert(report.receiver);
        }
        let receipt = Receipt {
            cookie: self.cookie,
            receiver: report.receiver,
            is_final: report.standing.is_final(),
            interval: interval.min(self.interval()),
            receivers: self.known.len() as u32,
        };
        self.receipts.push_back((To::Peer(arrival.socket, arrival.path.from), receipt));
        true
    }

    /// Asks all receivers of a group to report from now on, each within `interval`.
    pub(super) fn request(&mut self, group: IpAddr, interval: Duration) {
        let request = Receipt {
            cookie: self.cookie,
            receiver: ReceiverId::ALL,
            is_final: false,
            interval,
            receivers: self.known.len() as u32,
        };
        if self.receipts.len() < RECEIPTS_MAX {
            self.receipts.push_back((To::Destination(Destination::Group(group)), request));
        }
    }

    /// The next receipt to send.
    pub(super) fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Departure> {
        let (to, receipt) = self.receipts.pop_front()?;
        let packet = receipt.emit(self.session);
        buffer[..packet.len()].copy_from_slice(&packet);
        Some(Departure::datagram(to, packet.len()))
    }

    /// Reports that were for other sources.
    pub(super) fn others(&self) -> u64 {
        self.others
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        counts.set(Counter::Reports, self.reports);
        counts.set(Counter::ReportsForged, self.forged);
        counts.set(Counter::ReportsPutOff, self.put_off);
        counts.set(Counter::Receivers, self.known.len() as u64);
    }

    /// After what time a receiver is to report again.
    fn interval(&self) -> Duration {
        let group = Duration::from_secs(self.known.len() as u64) / REPORTS_A_SECOND;
        group.max(INTERVAL_MIN)
    }
}

/// The most reports a second of the whole group, however large it is.
const REPORTS_A_SECOND: u32 = 20;
/// The shortest interval of a single receiver.
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// The most receivers that are tracked.
const RECEIVERS_MAX: usize = 4096;
/// The most receipts that wait to be sent.
const RECEIPTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use campanile_engine::{Cast, Config, Engine, Path, udp};
    use campanile_pgm::{Gsi, Tsi};

    use super::*;

    const COOKIE: u64 = 5;

    fn session() -> Session {
        Session { tsi: Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 9 }, destination_port: 7500 }
    }

    fn arrival() -> Arrival {
        let any = "127.0.0.1:0".parse().unwrap();
        let mut engine = Engine::new(&Config::default()).unwrap();
        let socket = engine.add(udp::bind(&udp::UdpConfig::new(any)).unwrap()).unwrap();
        let path = Path { from: any, to: any.ip(), cast: Cast::Unicast, interface: 1, tos: 0 };
        Arrival { socket, path }
    }

    fn report(receiver: u128) -> Report {
        let receiver = ReceiverId(receiver);
        Report {
            cookie: COOKIE,
            receiver,
            standing: Standing::Joined,
            had: 1,
            total: 2,
            loss: 0,
            headroom: 0,
            lead: campanile_pgm::Seq(0),
            heard: 1,
            needs: campanile_pgm::Seq(0),
            socket: 0,
        }
    }

    /// Reads a report and answers it, as a driver with a fixed rate does.
    fn take(
        collector: &mut ReportCollector,
        arrival: &Arrival,
        datagram: &[u8],
        can_tell: bool,
    ) -> Option<Report> {
        let report = collector.read(datagram)?;
        collector.answer(arrival, &report, Duration::MAX, can_tell).then_some(report)
    }

    /// The waiting receipt.
    fn receipt(collector: &mut ReportCollector) -> Option<Receipt> {
        let mut buffer = [0; 512];
        let departure = collector.poll_transmit(&mut buffer)?;
        Some(Receipt::parse(&buffer[..departure.len]).unwrap().1)
    }

    #[test]
    fn only_those_who_know_the_cookie_are_answered() {
        let (mut collector, arrival) = (ReportCollector::new(session(), COOKIE), arrival());
        let forged = Report { cookie: COOKIE + 1, ..report(1) };
        assert_eq!(take(&mut collector, &arrival, &forged.emit(session()), true), None);
        let other = Session { destination_port: 7501, ..session() };
        assert_eq!(take(&mut collector, &arrival, &report(1).emit(other), true), None);
        assert_eq!(take(&mut collector, &arrival, &[0x0f; 60], true), None);
        assert_eq!((collector.forged, receipt(&mut collector)), (3, None));
        let tsi = Tsi { port: 10, ..session().tsi };
        assert_eq!(take(&mut collector, &arrival, &report(1).emit(Session { tsi, ..session() }), true), None);
        assert_eq!((collector.forged, collector.others(), receipt(&mut collector)), (3, 1, None));
        assert_eq!(take(&mut collector, &arrival, &report(1).emit(session()), true), Some(report(1)));
        let answer = receipt(&mut collector).unwrap();
        assert_eq!((answer.receiver, answer.is_final, answer.interval), (ReceiverId(1), false, INTERVAL_MIN));
    }

    #[test]
    fn a_report_that_cannot_be_passed_on_is_not_answered() {
        let (mut collector, arrival) = (ReportCollector::new(session(), COOKIE), arrival());
        assert_eq!(take(&mut collector, &arrival, &report(1).emit(session()), false), None);
        assert_eq!((collector.put_off, receipt(&mut collector)), (1, None));
    }

    #[test]
    fn a_large_group_reports_seldom_and_takes_bounded_memory() {
        let (mut collector, arrival) = (ReportCollector::new(session(), COOKIE), arrival());
        let mut interval = Duration::ZERO;
        for receiver in 0..2 * RECEIVERS_MAX as u128 {
            assert!(take(&mut collector, &arrival, &report(receiver).emit(session()), true).is_some());
            interval = receipt(&mut collector).unwrap().interval;
        }
        assert_eq!((collector.known.len(), collector.reports), (RECEIVERS_MAX, 2 * RECEIVERS_MAX as u64));
        assert_eq!(interval, Duration::from_secs(RECEIVERS_MAX as u64) / 20);
        let taken = (0..1000)
            .filter_map(|receiver| take(&mut collector, &arrival, &report(receiver).emit(session()), true));
        assert_eq!((taken.count(), collector.receipts.len()), (RECEIPTS_MAX, RECEIPTS_MAX));
    }

    #[test]
    fn receivers_that_left_do_not_make_the_others_report_seldom() {
        let (mut collector, arrival) = (ReportCollector::new(session(), COOKIE), arrival());
        let mut interval = Duration::ZERO;
        for receiver in 0..1000 {
            for standing in [Standing::Joined, Standing::Left] {
                let datagram = Report { standing, ..report(receiver) }.emit(session());
                assert!(take(&mut collector, &arrival, &datagram, true).is_some());
                interval = receipt(&mut collector).unwrap().interval;
            }
        }
        assert_eq!(interval, INTERVAL_MIN);
    }
}
