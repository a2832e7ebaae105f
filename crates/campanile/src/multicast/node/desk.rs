//! Where a source takes reports and answers them.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use campanile_pgm::wire::Session;

use super::{Arrival, Departure, To};
use crate::multicast::counts::{Counter, Counts};
use crate::multicast::report::{Receipt, ReceiverId, Report};

/// Takes the reports of one session.
///
/// It asks for reports at intervals that keep those of the whole group under [`REPORTS_A_SECOND`], and knows at most
/// [`RECEIVERS_MAX`] receivers by name; what others say is counted.
#[derive(Debug)]
pub(crate) struct Desk {
    session: Session,
    cookie: u64,
    known: HashSet<ReceiverId>,
    receipts: VecDeque<(To, Receipt)>,
    reports: u64,
    forged: u64,
    put_off: u64,
}

impl Desk {
    pub(super) fn new(session: Session, cookie: u64) -> Self {
        Desk {
            session,
            cookie,
            known: HashSet::new(),
            receipts: VecDeque::new(),
            reports: 0,
            forged: 0,
            put_off: 0,
        }
    }

    /// Reads a report, and answers it if the application can be told of it now: else it comes again.
    pub(super) fn take(&mut self, arrival: &Arrival, datagram: &[u8], can_tell: bool) -> Option<Report> {
        let Some((session, report)) = Report::parse(datagram) else {
            self.forged += 1;
            return None;
        };
        if session != self.session || report.cookie != self.cookie {
            self.forged += 1;
            return None;
        }
        if !can_tell || self.receipts.len() == RECEIPTS_MAX {
            self.put_off += 1;
            return None;
        }
        self.reports += 1;
        let is_known = self.known.contains(&report.receiver);
        if !is_known && self.known.len() < RECEIVERS_MAX {
            self.known.insert(report.receiver);
        }
        let receipt = Receipt {
            cookie: self.cookie,
            receiver: report.receiver,
            is_final: report.standing.is_final(),
            interval: self.interval(),
            receivers: self.known.len() as u32,
        };
        self.receipts.push_back((To::Back(arrival.socket, arrival.path.from), receipt));
        Some(report)
    }

    /// The next receipt to send.
    pub(super) fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Departure> {
        let (to, receipt) = self.receipts.pop_front()?;
        let packet = receipt.emit(self.session);
        buffer[..packet.len()].copy_from_slice(&packet);
        Some(Departure::datagram(to, packet.len()))
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        counts.set(Counter::Reports, self.reports);
        counts.set(Counter::ReportsForged, self.forged);
        counts.set(Counter::ReportsPutOff, self.put_off);
        counts.set(Counter::Receivers, self.known.len() as u64);
    }

    /// When a receiver is to report again.
    fn interval(&self) -> Duration {
        let group = Duration::from_secs(self.known.len() as u64) / REPORTS_A_SECOND;
        group.max(INTERVAL_MIN)
    }
}

/// Reports that come from the whole group, however large it is.
const REPORTS_A_SECOND: u32 = 50;
/// How often a single receiver reports.
const INTERVAL_MIN: Duration = Duration::from_millis(500);
/// Receivers that are known by name.
const RECEIVERS_MAX: usize = 4096;
/// Receipts that wait to be sent.
const RECEIPTS_MAX: usize = 256;
