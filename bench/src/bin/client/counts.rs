//! What a load counts, and the report of a measurement.

use std::time::Duration;

use campanile_bench::report::Report;

use crate::line::Reply;
use crate::watch::Used;

/// Counters since the load began.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Datagrams received that were not ours.
    pub(crate) foreign: u64,
    /// Datagrams sent long after they were due; none where there are no due times.
    pub(crate) late: u64,
    /// Receives that found nothing when there was nothing else to do.
    pub(crate) fruitless: u64,
}

impl Counts {
    pub(crate) fn note(&mut self, reply: &Reply) {
        self.received += reply.datagrams as u64;
        self.foreign += u64::from(!reply.ours);
    }

    /// The report of a measurement that began at `before` and ended here. `came` datagrams came back after its end; a receive without
    /// data takes `cost_of_nothing`.
    pub(crate) fn report(&self, before: &Self, used: Used, came: u64, cost_of_nothing: Duration) -> Report {
        let fruitless = (self.fruitless - before.fruitless) as f64;
        Report {
            seconds: used.seconds,
            sent: self.sent - before.sent,
            received: self.received - before.received,
            lost: self.sent.saturating_sub(self.received + came),
            foreign: self.foreign,
            late: self.late - before.late,
            idle: fruitless * cost_of_nothing.as_secs_f64() / used.seconds,
            server: used.server,
            client: used.client,
            others: used.others,
            stolen: used.stolen,
            round_trip: None,
        }
    }
}
