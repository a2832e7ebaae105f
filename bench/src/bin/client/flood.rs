//! The closed loop: as much as the server takes, with a bounded number of datagrams in flight.

use std::io;
use std::time::{Duration, Instant};

use campanile_bench::report::Report;

use crate::counts::Counts;
use crate::line::Line;
use crate::watch::Watch;

pub(crate) struct Flood {
    line: Line,
    segments: usize,
    window: usize,
    on_their_way: usize,
    last_reply: Instant,
    counts: Counts,
}

impl Flood {
    pub(crate) fn new(line: Line, segments: usize, window: usize) -> Result<Self, String> {
        if window < segments {
            return Err(format!("a window of {window} datagrams holds no train of {segments}"));
        }
        let counts = Counts::default();
        Ok(Self { line, segments, window, on_their_way: 0, last_reply: Instant::now(), counts })
    }

    pub(crate) fn run(mut self, warm_up: Duration, measure: Duration, watch: Watch) -> io::Result<Report> {
        let cost_of_nothing = self.line.cost_of_nothing()?;
        self.run_until(Instant::now() + warm_up)?;
        let (start, before) = (watch.start()?, self.counts);
        self.run_until(Instant::now() + measure)?;
        let (used, after) = (watch.stop(&start)?, self.counts);
        let came = self.line.drain()?;
        Ok(after.report(&before, used, came, cost_of_nothing))
    }

    fn run_until(&mut self, end: Instant) -> io::Result<()> {
        self.last_reply = Instant::now();
        loop {
            let room = self.on_their_way + self.segments <= self.window;
            if room && self.line.send(0)? {
                self.counts.sent += self.segments as u64;
                self.on_their_way += self.segments;
            }
            let now = Instant::now();
            match self.line.receive()? {
                Some(reply) => {
                    self.counts.note(&reply);
                    self.on_their_way = self.on_their_way.saturating_sub(reply.datagrams);
                    self.last_reply = now;
                }
                None => {
                    self.counts.fruitless += u64::from(!room);
                    if now.duration_since(self.last_reply) > GIVEN_UP {
                        self.on_their_way = 0;
                        self.last_reply = now;
                    }
                }
            }
            if now >= end {
                return Ok(());
            }
        }
    }
}

/// After this long without any reply the datagrams in flight count as lost, and the loop starts again.
const GIVEN_UP: Duration = Duration::from_millis(100);
