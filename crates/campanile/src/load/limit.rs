//! What a run ran into.

use serde::Serialize;

use super::books::Place;
use super::report::LoadReport;
use super::spoiled::Spoiled;
use crate::echo::Cause;

/// What kept a run from going faster, as far as the evidence shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Limit {
    /// The server's limit for one source.
    SourceLimit {
        /// Packets that it dropped for that.
        dropped: u64,
    },
    /// The server's threads had no time left.
    ServerCpu {
        /// How busy they were.
        busy_percent: f64,
    },
    /// This client's threads had no time left.
    ClientCpu {
        /// How busy they were.
        busy_percent: f64,
    },
    /// Server and client share this machine, and all of its processors were busy.
    Machine {
        /// How busy they were.
        busy_percent: f64,
        /// How busy with something else than this load's threads and the software interrupts.
        others_percent: f64,
    },
    /// The receive buffers of the server's sockets.
    ServerBuffer {
        /// Packets that found them full.
        dropped: u64,
        /// Bytes of each.
        bytes: u64,
    },
    /// The receive buffers of this client's sockets.
    ClientBuffer {
        /// Packets that found them full.
        dropped: u64,
    },
    /// The interface's speed.
    Wire {
        /// How much of it was used in one direction, headers included.
        used_percent: f64,
    },
    /// Packets are lost between the two machines, or where no counter is.
    Path {
        /// So many.
        lost: u64,
    },
    /// This client was late for another reason.
    ClientLag,
    /// The closed loop itself: so many packets in flight bring no more than this in one round trip.
    Window {
        /// Packets in flight.
        in_flight: u64,
    },
    /// Nothing: what was asked for was done.
    Nothing,
}

/// From here on something is busy.
const BUSY: f64 = 90.0;
/// A loss below this share of the packets is not what limits a run.
const LOSS: f64 = 0.001;

impl Limit {
    pub(super) fn find(report: &LoadReport) -> Self {
        let (books, server) = (&report.books, report.server.as_ref());
        let matters = |packets: u64| packets as f64 > books.sent as f64 * LOSS;
        let source_limit = server.map_or(0, |server| server.dropped.of(Cause::SourceLimit));
        let server_busy = server.map_or(0.0, |server| server.busy_percent);
        let busy = report.cost.busy_percent.unwrap_or(0.0);
        let machine = report.cost.machine_busy_percent.unwrap_or(0.0);
        let [at_server, here] = [Place::ServerSocket, Place::OwnSocket].map(|place| books.at(place));
        let lost = books.at(Place::WayUp) + books.at(Place::WayDown) + books.unexplained;
        let used_percent = report.wire_used_percent().unwrap_or(0.0);
        let is_behind = report.spoiled.iter().any(|reason| matches!(reason, Spoiled::Rate { .. }));
        // An open loop that lost nothing and was not late has all it asked for.
        let is_content = report.rate.is_some()
            && report.spoiled.is_empty()
            && !matters(books.sent - books.received.min(books.sent));
        match report {
            _ if matters(source_limit) => Self::SourceLimit { dropped: source_limit },
            _ if server_busy >= BUSY => Self::ServerCpu { busy_percent: server_busy },
            // Who spins is always busy.
            _ if busy >= BUSY && (!report.spin || is_behind) => Self::ClientCpu { busy_percent: busy },
            _ if report.environment.loopback && machine >= BUSY && !report.spin && !is_content => {
                Self::Machine { busy_percent: machine, others_percent: report.others_percent() }
            }
            _ if matters(at_server) => Self::ServerBuffer {
                dropped: at_server,
                bytes: server.map_or(0, |server| server.receive_buffer),
            },
            _ if matters(here) => Self::ClientBuffer { dropped: here },
            _ if used_percent >= BUSY => Self::Wire { used_percent },
            _ if matters(lost) => Self::Path { lost },
            _ if !report.spoiled.is_empty() => Self::ClientLag,
            LoadReport { window: Some(window), .. } => {
                Self::Window { in_flight: (window * report.sockets * report.cores) as u64 }
            }
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::Drops;
    use crate::host::{Counters, Environment};
    use crate::load::latency::{Histograms, Timings};
    use crate::load::report::Findings;
    use crate::load::{LoadConfig, LoadCounts, Pace, ServerKind, ServerShare};
    use campanile_engine::Choice;
    use std::time::{Duration, SystemTime};

    const SECOND: Duration = Duration::from_secs(1);

    /// One worker, 1000 packets in a second, of which the server saw `received` and `kernel` found its buffer full.
    fn report(pace: Pace, received: u64, kernel: u64, cpu_ns: u64) -> LoadReport {
        let target = "192.0.2.1:5000".parse().expect("a literal address");
        let config = LoadConfig { cores: vec![0], pace, ..LoadConfig::new(target) };
        let counts = LoadCounts {
            sent: 1000,
            answered: received,
            all_sent: 1000,
            all_replies: received,
            sending_ns: 1_000_000_000,
            cpu_ns,
            ..LoadCounts::default()
        };
        let mut dropped = Drops::default();
        dropped.set(Cause::Kernel, kernel);
        let server = ServerShare {
            workers: 1,
            receive_buffer: 4096,
            busy_percent: 50.0,
            cpu_ns_per_packet: 1000.0,
            received,
            replied: received,
            dropped,
            lost_up: Some(1000 - received),
            lost_down: Some(0),
        };
        let environment = Environment { loopback: false, speed_mbps: None, ..Environment::read(target) };
        let histograms =
            Histograms { timings: Timings::new(SECOND), began: SystemTime::UNIX_EPOCH, lasted: SECOND };
        let findings = Findings {
            backend: Choice::Auto,
            histograms,
            server_kind: ServerKind::Campanile,
            server: Some(server),
            system: Counters::default(),
            environment,
        };
        LoadReport::new(&config, &counts, findings)
    }

    #[test]
    fn each_limit_has_its_evidence() {
        let rate = Pace::Rate(1000);
        assert_eq!(report(rate, 1000, 0, 1).limit, Limit::Nothing);
        assert_eq!(report(Pace::Window(8), 1000, 0, 1).limit, Limit::Window { in_flight: 32 });
        assert_eq!(report(rate, 900, 90, 1).limit, Limit::ServerBuffer { dropped: 90, bytes: 4096 });
        assert_eq!(report(rate, 900, 0, 1).limit, Limit::Path { lost: 100 });
        assert_eq!(report(rate, 999, 0, 1).limit, Limit::Nothing, "one of a thousand is none");
        let busy = Limit::ClientCpu { busy_percent: 95.0 };
        assert_eq!(report(rate, 1000, 0, 950_000_000).limit, busy);
        let mut spinning = report(rate, 1000, 0, 950_000_000);
        spinning.spin = true;
        assert_eq!(Limit::find(&spinning), Limit::Nothing, "who spins is always busy");
        spinning.spoiled.push(Spoiled::Rate { asked: 2000.0, achieved: 1000.0 });
        assert_eq!(Limit::find(&spinning), busy);
        let mut server_busy = report(rate, 900, 90, 950_000_000);
        server_busy.server.iter_mut().for_each(|server| server.busy_percent = 99.0);
        assert_eq!(Limit::find(&server_busy), Limit::ServerCpu { busy_percent: 99.0 });
    }

    #[test]
    fn a_wire_is_full_with_its_headers() {
        let mut report = report(Pace::Rate(1000), 1000, 0, 1);
        // 64 bytes of payload take 130 on the wire.
        assert_eq!((report.wire_bytes(), report.wire_used_percent()), (130, None));
        (report.environment.speed_mbps, report.sent.packets_per_second) = (Some(1), 912.0);
        assert!(matches!(Limit::find(&report), Limit::Wire { used_percent } if used_percent > 94.0));
        report.payload = 1472;
        assert_eq!(report.wire_bytes(), 1538, "the largest frame");
        report.payload = 1473;
        assert_eq!(report.wire_bytes(), 1481 + 2 * 58, "two fragments");
    }
}
