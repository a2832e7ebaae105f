//! One measurement: a fresh server on one core, the client on another, and a check for disturbances.

use std::error::Error;
use std::process::{Child, Command, Stdio};

use campanile_bench::cores;
use campanile_bench::report::Report;

use crate::plan::{Contestant, Load, Metric};
use crate::programs::Programs;
use crate::server::{Server, spawn_on};

/// What all measurements of a run have in common.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) effort: Effort,
    pub(crate) cores: Cores,
    /// Datagrams in flight in a closed loop, instead of the row's own number.
    window: Option<usize>,
}

/// The core of the server and the core of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// How often a disturbed measurement is taken again at most.
    pub(crate) repeats: usize,
    warm_up_ms: u64,
    flood_ms: u64,
    /// The duration at a fixed load, which is longer since that has fewer packets.
    paced_ms: u64,
    ping_ms: u64,
}

impl Effort {
    pub(crate) const FULL: Self =
        Self { rounds: 11, repeats: 3, warm_up_ms: 150, flood_ms: 500, paced_ms: 1500, ping_ms: 1500 };
    pub(crate) const QUICK: Self =
        Self { rounds: 1, repeats: 0, warm_up_ms: 20, flood_ms: 60, paced_ms: 60, ping_ms: 60 };

    /// Whether this is only a trial whose figures mean nothing, so that a core may be shared.
    fn is_quick(self) -> bool {
        self.repeats == 0
    }

    pub(crate) fn measure_ms(self, load: Load) -> u64 {
        match load {
            Load::Flood { .. } => self.flood_ms,
            Load::Paced { rate, .. } if rate >= 10_000 => self.paced_ms,
            Load::Paced { .. } => self.ping_ms,
        }
    }
}

/// A measurement with its verdict.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) report: Report,
    pub(crate) disturbance: Option<Disturbance>,
}

/// What makes a measurement worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// The client could not run when it wanted to.
    ClientWaited,
    /// The server could not run when it wanted to.
    ServerWaited,
    /// Other processes were busy on the two cores.
    Others,
    /// The hypervisor took time.
    Stolen,
    /// Datagrams were sent too late.
    Late,
    /// Datagrams did not come back.
    Lost,
}

impl Bench {
    /// # Errors
    /// There are fewer than two cores, and this is not a trial.
    pub(crate) fn new(
        programs: Programs,
        effort: Effort,
        window: Option<usize>,
    ) -> Result<Self, Box<dyn Error>> {
        let allowed = cores::allowed()?;
        let (Some(&server), Some(&client)) = (allowed.first(), allowed.last()) else {
            return Err("no core is allowed".into());
        };
        if server == client && !effort.is_quick() {
            return Err("server and client need a core each, and only one is allowed here".into());
        }
        Ok(Self { programs, effort, cores: Cores { server, client }, window })
    }

    /// Measures a server under a load; repeats disturbed measurements as often as the effort and the row's remaining repeats allow.
    pub(crate) fn measure(
        &self,
        contestant: Contestant,
        load: Load,
        left_for_row: &mut usize,
    ) -> Result<Sample, Box<dyn Error>> {
        let mut left = self.effort.repeats.min(*left_for_row);
        loop {
            let sample = self.measure_once(contestant, load)?;
            match sample.disturbance {
                Some(disturbance) if left > 0 => {
                    eprintln!("    {contestant}: disturbed ({disturbance:?}), again");
                    left -= 1;
                    *left_for_row -= 1;
                }
                _ => return Ok(sample),
            }
        }
    }

    fn measure_once(&self, contestant: Contestant, load: Load) -> Result<Sample, Box<dyn Error>> {
        let programs = &self.programs;
        // Nothing comes back if the system stalls for as long as a measurement; then it is tried again.
        for _ in 0..TRIES {
            let server = Server::start(&[self.cores.server], |port| programs.server(contestant, port))?;
            let measure_ms = self.effort.measure_ms(load);
            let client = self.client(&server, load, measure_ms, self.cores.client)?;
            let report = finish(client).map_err(|error| format!("{contestant}: {error}"))?;
            if report.received > 0 {
                let disturbance = Disturbance::find(&report, load);
                return Ok(Sample { report, disturbance });
            }
        }
        Err(format!("{contestant}: nothing came back, {TRIES} times").into())
    }

    /// Starts the client on a core.
    pub(crate) fn client(
        &self,
        server: &Server,
        load: Load,
        measure_ms: u64,
        core: usize,
    ) -> Result<Child, Box<dyn Error>> {
        let mut command = self.programs.client();
        match load {
            Load::Flood { size, segments, window } => {
                command.arg("flood");
                option(&mut command, "--size", size);
                option(&mut command, "--segments", segments);
                option(&mut command, "--window", self.window.unwrap_or(window));
            }
            Load::Paced { size, rate } => {
                command.arg("paced");
                option(&mut command, "--size", size);
                option(&mut command, "--rate", rate);
            }
        }
        option(&mut command, "--to", format_args!("127.0.0.1:{}", server.port));
        option(&mut command, "--warm-up", self.effort.warm_up_ms);
        option(&mut command, "--measure", measure_ms);
        option(&mut command, "--server", server.pid());
        option(&mut command, "--cores", format_args!("{},{}", self.cores.server, self.cores.client));
        spawn_on(&[core], command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }
}

/// How many measurements may fail because nothing came back.
pub(crate) const TRIES: usize = 10;

fn option(command: &mut Command, name: &str, value: impl ToString) {
    command.arg(name).arg(value.to_string());
}

/// Waits for the client and reads its report.
pub(crate) fn finish(client: Child) -> Result<Report, Box<dyn Error>> {
    let output = client.wait_with_output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    let report: Report = serde_json::from_slice(&output.stdout)?;
    if report.foreign > 0 {
        return Err(format!("{} replies were not what was sent", report.foreign).into());
    }
    Ok(report)
}

impl Disturbance {
    fn find(report: &Report, load: Load) -> Option<Self> {
        let window_ns = report.seconds * 1e9;
        let paced = matches!(load, Load::Paced { .. });
        // A server that sleeps waits a little each time it is woken, even undisturbed.
        let server_may_wait = (0.01 * window_ns).max(report.server.turns as f64 * 4_000.0);
        let checks = [
            (Self::ClientWaited, report.client.waited_ns as f64 > 0.01 * window_ns),
            (Self::ServerWaited, report.server.waited_ns as f64 > server_may_wait),
            (Self::Others, report.others > 0.1),
            (Self::Stolen, report.stolen > 0.02),
            (Self::Late, paced && report.late as f64 > 0.01 * report.sent as f64),
            (Self::Lost, report.lost as f64 > 0.001 * report.sent as f64),
        ];
        checks.into_iter().find_map(|(disturbance, is_there)| is_there.then_some(disturbance))
    }
}

impl Sample {
    pub(crate) fn value(&self, metric: Metric) -> f64 {
        match metric {
            Metric::PacketsPerSecond => self.report.packets_per_second(),
            Metric::ServerTimePerPacket => self.report.server_ns_per_packet(),
            Metric::RoundTripMedian => self.report.round_trip.map_or(f64::NAN, |times| times.p50_ns as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use campanile_bench::process::Usage;

    use super::*;

    const FLOOD: Load = Load::Flood { size: 64, segments: 1, window: 64 };
    const PACED: Load = Load::Paced { size: 64, rate: 50_000 };

    fn quiet() -> Report {
        Report {
            seconds: 1.0,
            sent: 50_000,
            received: 50_000,
            lost: 0,
            foreign: 0,
            late: 100,
            idle: 0.5,
            server: Usage { ran_ns: 400_000_000, waited_ns: 30_000_000, turns: 30_000 },
            client: Usage { ran_ns: 999_000_000, waited_ns: 1_000_000, turns: 100 },
            others: 0.05,
            stolen: 0.0,
            round_trip: None,
        }
    }

    #[test]
    fn quiet_is_not_disturbed() {
        assert_eq!(Disturbance::find(&quiet(), PACED), None);
        assert_eq!(Disturbance::find(&Report { late: 50_000, ..quiet() }, FLOOD), None);
    }

    #[test]
    fn each_disturbance_is_found() {
        let find = |report| Disturbance::find(&report, PACED);
        let client = Usage { waited_ns: 20_000_000, ..quiet().client };
        assert_eq!(find(Report { client, ..quiet() }), Some(Disturbance::ClientWaited));
        let server = Usage { turns: 10, ..quiet().server };
        assert_eq!(find(Report { server, ..quiet() }), Some(Disturbance::ServerWaited));
        assert_eq!(find(Report { others: 0.2, ..quiet() }), Some(Disturbance::Others));
        assert_eq!(find(Report { stolen: 0.03, ..quiet() }), Some(Disturbance::Stolen));
        assert_eq!(find(Report { late: 600, ..quiet() }), Some(Disturbance::Late));
        assert_eq!(find(Report { lost: 60, ..quiet() }), Some(Disturbance::Lost));
    }
}
