//! The fixed rate: single datagrams in even steps, each at its time, none left out after a stall.

use std::io;
use std::time::Duration;

use campanile_bench::report::{Report, RoundTrip};

use crate::counts::Counts;
use crate::line::Line;
use crate::watch::Watch;

pub(crate) struct Paced {
    line: Line,
    step_ns: u64,
    due_ns: u64,
    counts: Counts,
    round_trips: Vec<u64>,
}

impl Paced {
    pub(crate) fn new(line: Line, rate: u64) -> Result<Self, String> {
        if !(1..=1_000_000).contains(&rate) {
            return Err(format!("a rate of {rate} a second is none of 1 to 1000000"));
        }
        let counts = Counts::default();
        Ok(Self { line, step_ns: 1_000_000_000 / rate, due_ns: 0, counts, round_trips: Vec::new() })
    }

    pub(crate) fn run(mut self, warm_up: Duration, measure: Duration, watch: Watch) -> io::Result<Report> {
        let cost_of_nothing = self.line.cost_of_nothing()?;
        // Memory is taken before the clock runs, with room for a stall that is caught up.
        self.round_trips.reserve(2 * (warm_up + measure).as_nanos() as usize / self.step_ns as usize);
        self.due_ns = self.line.now_ns();
        self.run_for(warm_up)?;
        self.round_trips.clear();
        let (start, before) = (watch.start()?, self.counts);
        self.due_ns = self.line.now_ns();
        self.run_for(measure)?;
        let (used, after) = (watch.stop(&start)?, self.counts);
        let came = self.line.drain()?;
        let report = after.report(&before, used, came, cost_of_nothing);
        Ok(Report { round_trip: RoundTrip::of(&mut self.round_trips), ..report })
    }

    fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let end = self.line.now_ns() + time.as_nanos() as u64;
        loop {
            let now = self.line.now_ns();
            if now >= end {
                return Ok(());
            }
            if now >= self.due_ns && self.line.send(now)? {
                self.counts.sent += 1;
                self.counts.late += u64::from(now - self.due_ns > LATE_NS);
                self.due_ns += self.step_ns;
            }
            match self.line.receive()? {
                Some(reply) => {
                    self.counts.note(&reply);
                    self.round_trips.push(self.line.now_ns().saturating_sub(reply.first.sent_ns));
                }
                None => self.counts.fruitless += 1,
            }
        }
    }
}

/// A send this long after it was due was held up by something.
const LATE_NS: u64 = 100_000;
