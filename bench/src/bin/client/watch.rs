//! What both sides used during a measurement, and what anybody else took from their cores.

use std::io;
use std::time::Instant;

use campanile_bench::cores::{self, TICKS_PER_SECOND, Times};
use campanile_bench::process::Usage;

/// Whom to watch.
pub(crate) struct Watch {
    server: u32,
    cores: Vec<usize>,
}

/// The counters at the start of a measurement.
pub(crate) struct Start {
    server: Usage,
    client: Usage,
    cores: Times,
    at: Instant,
}

/// What was used between start and stop.
pub(crate) struct Used {
    pub(crate) server: Usage,
    pub(crate) client: Usage,
    /// As shares of one core.
    pub(crate) others: f64,
    pub(crate) stolen: f64,
    pub(crate) seconds: f64,
}

impl Watch {
    pub(crate) fn new(server: u32, cores: Vec<usize>) -> Self {
        Self { server, cores }
    }

    pub(crate) fn start(&self) -> io::Result<Start> {
        Ok(Start {
            cores: cores::times(&self.cores)?,
            client: Usage::of(std::process::id())?,
            server: Usage::of(self.server)?,
            at: Instant::now(),
        })
    }

    pub(crate) fn stop(&self, start: &Start) -> io::Result<Used> {
        let seconds = start.at.elapsed().as_secs_f64();
        let server = Usage::of(self.server)? - start.server;
        let client = Usage::of(std::process::id())? - start.client;
        let cores = cores::times(&self.cores)?;
        let share = |ticks: u64| ticks as f64 / TICKS_PER_SECOND as f64 / seconds;
        let own = (server.ran_ns + client.ran_ns) as f64 / 1e9 / seconds;
        let others = (share(cores.busy - start.cores.busy) - own).max(0.0);
        Ok(Used { server, client, others, stolen: share(cores.stolen - start.cores.stolen), seconds })
    }
}
