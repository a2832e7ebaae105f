//! What a run ran into.

use serde::Serialize;

use super::account::Place;
use super::cost::Busiest;
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
    /// The server's busiest thread had no time left.
    ServerCpu {
        /// How busy it was.
        busy_percent: f64,
        /// How busy all of them were on average.
        mean_percent: f64,
    },
    /// This client's threads had no time left.
    ClientCpu {
        /// How busy they were.
        busy_percent: f64,
    },
    /// All processors of this machine were busy, with the server's work too if it is on this machine.
    Machine {
        /// How busy they were.
        busy_percent: f64,
        /// How busy with something other than this load's threads and software interrupts.
        others_percent: f64,
    },
    /// A processor that a thread of this client is pinned to was busy, and not only with that thread.
    Processor {
        /// The system's number of it.
        core: usize,
        /// How busy it was.
        busy_percent: f64,
    },
    /// The way out of this machine: its interface, or what comes after it, takes no more.
    WayOut {
        /// Packets that found the interface's queue full.
        dropped: u64,
        /// Sends that found a socket's send buffer full, and waited.
        waits: u64,
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
        /// The system gave less than was asked for.
        is_short: bool,
    },
    /// A place without a limit of its own here counted the loss: a filter, a backlog, an interface, or a rule of the server.
    Place {
        /// Where most packets ended.
        place: Place,
        /// How many.
        packets: u64,
    },
    /// The interface's speed.
    Wire {
        /// How much of it was used in one direction, headers included.
        used_percent: f64,
    },
    /// Packets are lost between the two machines, or where nothing counts them.
    Path {
        /// How many.
        lost: u64,
    },
    /// This client sent late for another reason.
    ClientLag,
    /// The closed loop itself: with so many packets in flight, the round trip allows no higher rate.
    Window {
        /// Packets in flight.
        in_flight: u64,
    },
    /// Nothing: what was asked for was done.
    Nothing,
}

/// At this percentage and above, something counts as busy.
const BUSY: f64 = 90.0;
/// A loss of more than this share of the packets limits a run.
const LOSS: f64 = 0.001;
/// So does a loss in a closed loop whose packets, until they were given up, held more than this share of the window.
const HELD: f64 = 0.1;

/// Places that refuse packets, however little else there is to do.
const REFUSALS: [Place; 4] = [Place::OwnSend, Place::OwnInterfaceOut, Place::ServerRules, Place::ServerSend];
/// Places, beside sockets, where packets find no room because nobody takes them away in time.
const OVERRUNS: [Place; 2] = [Place::OwnBacklog, Place::OwnInterfaceIn];

impl Limit {
    /// The first of these limits that the evidence shows. Their order matters: what a server refuses comes before how busy it is, and
    /// packets lost at an unknown place come last.
    pub(super) fn find(report: &LoadReport) -> Self {
        let (account, server, cost) = (&report.account, report.server.as_ref(), &report.cost);
        let matters = |packets: u64| matters(report, packets);
        // What others sent at the same time may have been dropped too.
        let source_limit = server.map_or(0, |server| server.dropped.of(Cause::SourceLimit)).min(report.lost);
        let server_busy = server.map_or(0.0, |server| server.busiest_percent);
        let busy = cost.busy_percent.unwrap_or(0.0);
        let machine = cost.machine_busy_percent.unwrap_or(0.0);
        let [at_server, here, queue] =
            [Place::ServerSocket, Place::OwnSocket, Place::OwnQueue].map(|place| account.at(place));
        let lost = account.at(Place::WayUp) + account.at(Place::WayDown) + account.unexplained;
        let used_percent = report.wire_used_percent().unwrap_or(0.0);
        let is_behind = report.spoiled.iter().any(|reason| matches!(reason, Spoiled::Rate { .. }));
        // An open loop that was not late sent all it was asked for, and what others lose of that is not for want of processors here. A
        // worker that spins is always busy.
        let overrun: u64 = here + OVERRUNS.map(|place| account.at(place)).iter().sum::<u64>();
        let lost_here = if report.environment.loopback { report.lost } else { overrun };
        let is_content = report.rate.is_some() && report.spoiled.is_empty() && !matters(lost_here);
        let is_full = |percent: f64| percent >= BUSY && !report.spin && !is_content;
        let whole_machine = Self::Machine { busy_percent: machine, others_percent: report.others_percent() };

        if matters(source_limit) {
            return Self::SourceLimit { dropped: source_limit };
        }
        if matters(queue) || matters(report.waits) && !is_content {
            return Self::WayOut { dropped: queue, waits: report.waits };
        }
        if let Some(refusal) = Self::place(report, &REFUSALS) {
            return refusal;
        }
        // Where the server is on this machine too, neither of the two could have another processor.
        if report.environment.loopback && is_full(machine) {
            return whole_machine;
        }
        if server_busy >= BUSY {
            let mean_percent = server.map_or(0.0, |server| server.busy_percent);
            return Self::ServerCpu { busy_percent: server_busy, mean_percent };
        }
        if busy >= BUSY && (!report.spin || is_behind) {
            return Self::ClientCpu { busy_percent: busy };
        }
        if matters(at_server) {
            let bytes = server.map_or(0, |server| server.receive_buffer);
            return Self::ServerBuffer { dropped: at_server, bytes };
        }
        if is_full(machine) {
            return whole_machine;
        }
        if matters(here) {
            let is_short = report.receive_buffer < report.receive_buffer_asked;
            return Self::ClientBuffer { dropped: here, is_short };
        }
        if let Some(overrun) = Self::place(report, &OVERRUNS) {
            return overrun;
        }
        if used_percent >= BUSY {
            return Self::Wire { used_percent };
        }
        if matters(lost) {
            return Self::Path { lost };
        }
        Self::left(report, is_full)
    }

    /// Where most packets ended of those that ended at these places, if that matters.
    fn place(report: &LoadReport, places: &[Place]) -> Option<Self> {
        let counted = places.iter().map(|&place| (report.account.at(place), place));
        let (packets, place) = counted.max_by_key(|(packets, _)| *packets)?;
        matters(report, packets).then_some(Self::Place { place, packets })
    }

    /// The limit where nothing was lost and no thread was busy.
    fn left(report: &LoadReport, is_full: impl Fn(f64) -> bool) -> Self {
        if let Some(Busiest { core, busy_percent }) = report.cost.busiest
            && is_full(busy_percent)
        {
            return Self::Processor { core, busy_percent };
        }
        if !report.spoiled.is_empty() {
            return Self::ClientLag;
        }
        in_flight(report).map_or(Self::Nothing, |in_flight| Self::Window { in_flight })
    }
}

/// Whether the loss of this many packets limits a run.
fn matters(report: &LoadReport, packets: u64) -> bool {
    let (packets, sent) = (packets as f64, report.account.sent as f64);
    let is_held = in_flight(report)
        .is_some_and(|in_flight| packets * report.timeout_seconds > in_flight as f64 * report.seconds * HELD);
    packets > sent * LOSS || is_held
}

/// Packets that a closed loop has in flight at most; `None` in an open one.
fn in_flight(report: &LoadReport) -> Option<u64> {
    report.window.map(|window| (window * report.sockets * report.cores) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::Drops;
    use crate::host::{Counters, Environment, Processors};
    use crate::load::account::Entry;
    use crate::load::latency::{Histograms, Timings};
    use crate::load::report::Findings;
    use crate::load::watch::Watched;
    use crate::load::{LoadConfig, LoadCounts, Pace, ServerKind, ServerShare};
    use campanile_engine::Choice;
    use std::time::{Duration, SystemTime};

    const SECOND: Duration = Duration::from_secs(1);

    /// One worker, 1000 packets in a second; the server received `received` of them, and `kernel` found its buffer full.
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
            found_full: kernel,
            busy_percent: 50.0,
            busiest_percent: 50.0,
            cpu_ns_per_packet: 1000.0,
            received,
            replied: received,
            dropped,
            lost_up: Some(1000 - received),
            lost_down: Some(0),
        };
        let environment =
            Environment { loopback: false, speed_mbps: None, mtu: None, ..Environment::read(target) };
        let histograms =
            Histograms { timings: Timings::new(SECOND), began: SystemTime::UNIX_EPOCH, lasted: SECOND };
        let findings = Findings {
            backend: Choice::Auto,
            fallback: None,
            histograms,
            receive_buffer: config.receive_buffer(),
            server_kind: ServerKind::Campanile,
            server: Some(server),
            system: Counters::default(),
            processors: Watched { before: Processors::default(), after: Processors::default() },
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
        server_busy.server.iter_mut().for_each(|server| server.busiest_percent = 99.0);
        let one_thread = Limit::ServerCpu { busy_percent: 99.0, mean_percent: 50.0 };
        assert_eq!(Limit::find(&server_busy), one_thread);
    }

    #[test]
    fn processors_are_a_limit_whoever_keeps_them_busy() {
        let full = |core_percent: f64, machine_percent: f64, loopback: bool, pace: Pace| {
            let mut report = report(pace, 1000, 0, 1);
            report.environment.loopback = loopback;
            report.cost.machine_busy_percent = Some(machine_percent);
            report.cost.busiest = Some(Busiest { core: 3, busy_percent: core_percent });
            report
                .server
                .iter_mut()
                .for_each(|server| server.busiest_percent = 95.0 * f64::from(u8::from(loopback)));
            Limit::find(&report)
        };
        let mut elsewhere = report(Pace::Rate(1000), 900, 0, 1);
        (elsewhere.lost, elsewhere.cost.machine_busy_percent) = (100, Some(99.0));
        assert_eq!(Limit::find(&elsewhere), Limit::Path { lost: 100 }, "it was sent on time");
        elsewhere.spoiled.push(Spoiled::Rate { asked: 2000.0, achieved: 1000.0 });
        assert!(matches!(Limit::find(&elsewhere), Limit::Machine { .. }));
        let mut at_server = report(Pace::Window(8), 900, 90, 1);
        at_server.cost.machine_busy_percent = Some(99.0);
        assert!(matches!(Limit::find(&at_server), Limit::ServerBuffer { .. }), "the server's own");
        let closed = Pace::Window(8);
        assert_eq!(full(99.0, 60.0, false, closed), Limit::Processor { core: 3, busy_percent: 99.0 });
        assert!(matches!(full(99.0, 98.0, false, closed), Limit::Machine { busy_percent: 98.0, .. }));
        assert!(
            matches!(full(99.0, 98.0, true, closed), Limit::Machine { .. }),
            "no processor is left for the server"
        );
        assert!(matches!(full(99.0, 60.0, true, closed), Limit::ServerCpu { .. }));
        assert_eq!(
            full(99.0, 98.0, false, Pace::Rate(1000)),
            Limit::Nothing,
            "all that was asked for was done"
        );
    }

    #[test]
    fn a_way_out_that_takes_no_more_is_named() {
        let rate = Pace::Rate(1000);
        let mut dropping = report(rate, 900, 0, 1);
        dropping.account.entries = vec![Entry { place: Place::OwnQueue, packets: 100 }];
        assert_eq!(Limit::find(&dropping), Limit::WayOut { dropped: 100, waits: 0 });
        let mut waiting = report(rate, 1000, 0, 1);
        waiting.waits = 40;
        assert_eq!(Limit::find(&waiting), Limit::Nothing, "it waited, and was not late");
        waiting.spoiled.push(Spoiled::Rate { asked: 2000.0, achieved: 1000.0 });
        assert_eq!(Limit::find(&waiting), Limit::WayOut { dropped: 0, waits: 40 });
    }

    #[test]
    fn a_place_that_counts_the_loss_is_named() {
        for place in REFUSALS.into_iter().chain(OVERRUNS) {
            let mut dropping = report(Pace::Rate(1000), 900, 0, 1);
            let entry = |place, packets| Entry { place, packets };
            dropping.account.entries = vec![entry(Place::WayUp, 3), entry(place, 97)];
            assert_eq!(Limit::find(&dropping), Limit::Place { place, packets: 97 });
            dropping.lost = 100;
            dropping.cost.machine_busy_percent = Some(99.0);
            let is_named = matches!(Limit::find(&dropping), Limit::Place { .. });
            assert_eq!(is_named, REFUSALS.contains(&place), "a busy machine overruns, and does not refuse");
        }
    }

    #[test]
    fn what_a_server_dropped_of_others_limits_nobody_else() {
        let mut alone = report(Pace::Rate(1000), 900, 0, 1);
        alone.server.iter_mut().for_each(|server| server.dropped.set(Cause::SourceLimit, 5000));
        assert_eq!(Limit::find(&alone), Limit::Path { lost: 100 }, "none is lost");
        alone.lost = 100;
        assert_eq!(Limit::find(&alone), Limit::SourceLimit { dropped: 100 });
    }

    /// 32 in flight for a second: two packets that are waited for that long hold less than a tenth of the window, four hold more.
    #[test]
    fn in_a_closed_loop_each_loss_holds_a_place() {
        let mut report = report(Pace::Window(8), 1000, 0, 1);
        report.account.sent = 1_000_000;
        report.account.entries = vec![Entry { place: Place::OwnSocket, packets: 2 }];
        assert_eq!(Limit::find(&report), Limit::Window { in_flight: 32 });
        report.account.entries[0].packets = 4;
        assert_eq!(Limit::find(&report), Limit::ClientBuffer { dropped: 4, is_short: false });
        report.receive_buffer -= 1;
        assert_eq!(Limit::find(&report), Limit::ClientBuffer { dropped: 4, is_short: true });
    }

    #[test]
    fn a_wire_is_full_with_its_headers() {
        let mut report = report(Pace::Rate(1000), 1000, 0, 1);
        // 64 bytes of payload take 130 on the wire.
        assert_eq!((report.wire_bytes(), report.wire_used_percent()), (130, None));
        (report.environment.speed_mbps, report.sent.packets_per_second) = (Some(1), 912.0);
        assert!(matches!(Limit::find(&report), Limit::Wire { used_percent } if used_percent > 94.0));
        report.sent.packets_per_second = 2000.0;
        assert_eq!(
            (report.wire_used_percent(), Limit::find(&report)),
            (None, Limit::Nothing),
            "no wire takes that"
        );
        report.payload = 1472;
        assert_eq!(report.wire_bytes(), 1538, "the largest frame");
        report.payload = 1473;
        assert_eq!(report.wire_bytes(), 1481 + 2 * 58, "two fragments");
        report.environment.mtu = Some(9000);
        assert_eq!(report.wire_bytes(), 1539, "a larger frame");
        report.payload = 16;
        assert_eq!(report.wire_bytes(), 84, "the smallest frame");
    }
}
