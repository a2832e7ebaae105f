//! What limited a run, in words: the limit, the evidence, and a command that would move it.

use std::fmt;

use campanile::load::{Limit, LoadReport, Place};

use super::Arguments;
use super::summary::told;
use crate::figures::{Count, Memory, Things};

/// The last lines of a report.
pub(super) struct Verdict<'a> {
    pub(super) report: &'a LoadReport,
    /// The run's arguments.
    pub(super) arguments: &'a Arguments,
}

/// A command to try.
struct Advice {
    /// Where to type it.
    place: &'static str,
    command: String,
    /// What it would gain.
    gain: String,
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit       {}", self.sentence())?;
        for Advice { place, command, gain } in self.advice() {
            write!(f, "\ntry         {command}\n            ({place}: {gain})")?;
        }
        Ok(())
    }
}

impl Verdict<'_> {
    fn sentence(&self) -> String {
        match self.report.limit {
            Limit::SourceLimit { dropped } => {
                let packets = Things(dropped, "packet");
                format!("the server's limit for one source: it dropped {packets} for it")
            }
            Limit::ServerCpu { busy_percent, mean_percent } if is_uneven(busy_percent, mean_percent) => {
                format!(
                    "the server's processor: one of its threads was {busy_percent:.0} % busy, all of them \
                 {mean_percent:.0} % on average"
                )
            }
            Limit::ServerCpu { busy_percent, .. } => {
                format!("the server's processor: its threads were {busy_percent:.0} % busy")
            }
            Limit::ClientCpu { busy_percent } => {
                format!("this client's processor: its threads were {busy_percent:.0} % busy")
            }
            Limit::Machine { busy_percent, others_percent } if self.report.environment.loopback => format!(
                "this machine: client and server share it, and its processors were {busy_percent:.0} % busy, \
                 {others_percent:.0} % with other work"
            ),
            Limit::Machine { busy_percent, others_percent } => format!(
                "this machine: its processors were {busy_percent:.0} % busy, {others_percent:.0} % with other \
                 work than this client's"
            ),
            Limit::Processor { core, busy_percent } => format!(
                "processor {core} of this machine: it was {busy_percent:.0} % busy, and not with this client alone"
            ),
            Limit::WayOut { dropped: 0, waits } => format!(
                "the wire: interface {} takes no more: {} had to wait for it",
                self.interface(),
                Things(waits, "send")
            ),
            Limit::WayOut { dropped, .. } => format!(
                "the wire: interface {} takes no more: {} found its queue full",
                self.interface(),
                Things(dropped, "packet")
            ),
            Limit::ServerBuffer { dropped, bytes } => format!(
                "the receive buffer of the server's sockets, {} each: {} found it full",
                Memory(bytes as usize),
                Things(dropped, "packet")
            ),
            Limit::ClientBuffer { dropped, .. } => format!(
                "the receive buffers of this client's sockets, {} each: {} found them full",
                Memory(self.report.receive_buffer),
                Things(dropped, "packet")
            ),
            Limit::Place { place, packets } => {
                format!("loss, most of it at one place: {} {}", Things(packets, "packet"), told(place))
            }
            Limit::Wire { used_percent } => {
                format!("the wire: {used_percent:.0} % of the interface's speed, headers included")
            }
            Limit::Path { lost } => {
                format!("loss that no counter within reach explains: {}", Things(lost, "packet"))
            }
            Limit::ClientLag => "this client's own lag, though its processor had time left: something else \
                                 took it, or it slept too long"
                .to_owned(),
            Limit::Window { in_flight } => format!(
                "the closed loop itself: no more than {} in flight, each until its reply comes",
                Things(in_flight, "packet")
            ),
            Limit::Nothing => "nothing was reached: what was asked for was done".to_owned(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        match self.report.limit {
            Limit::SourceLimit { .. } => {
                self.on_server("--source-limit 0", "no packet is dropped for that".to_owned())
            }
            Limit::ServerCpu { busy_percent, mean_percent } => self.more_server(busy_percent, mean_percent),
            Limit::ServerBuffer { bytes, .. } => {
                let larger = (bytes.max(1 << 16) * 8).min(1 << 30);
                let gain = format!(
                    "bursts {} times as long find room; it says what to do if the system gives less",
                    larger / bytes.max(1)
                );
                self.on_server(&format!("--recv-buffer {larger}"), gain)
            }
            Limit::ClientBuffer { is_short, .. } => self.more_room(is_short),
            Limit::ClientCpu { .. } => self.more_client(),
            Limit::Processor { .. } => self.another_processor(),
            Limit::Machine { others_percent, .. } if others_percent > 50.0 => {
                here("here", "top".to_owned(), "shows what else runs; stop it, and measure again".to_owned())
            }
            Limit::Machine { .. } => self.other_machine().into_iter().chain(self.trains()).collect(),
            Limit::Place { place, .. } => self.at_place(place),
            Limit::Wire { .. } => self.larger_packets(),
            Limit::WayOut { .. } => {
                self.lower_rate("a little less than what came through: nothing finds it full, or waits")
            }
            Limit::Path { .. } => self.between(),
            Limit::ClientLag if !self.report.spin => here(
                "here",
                Arguments { spin: true, ..self.again() }.to_string(),
                "no sleep to wake up from".to_owned(),
            ),
            Limit::Window { .. } => self.wider_window(),
            Limit::ClientLag | Limit::Nothing => self.another_rate(),
        }
    }

    /// What to do about packets that are lost where nothing counts them.
    fn between(&self) -> Vec<Advice> {
        let command = "ip -s -s link".to_owned();
        let gain = "tells what the interfaces dropped".to_owned();
        vec![
            Advice { place: "at both ends", command, gain },
            self.firewall("on the server as root", "tells whether a firewall drops some"),
        ]
    }

    /// What to do about packets that end at a place.
    fn at_place(&self, place: Place) -> Vec<Advice> {
        match place {
            Place::OwnSend => vec![self.firewall("here as root", "tells whether a firewall drops them")],
            Place::ServerSend => {
                vec![self.firewall("on the server as root", "tells whether a firewall drops the replies")]
            }
            Place::ServerRules => self.on_server("--stats-interval 1", "shows which rule it is".to_owned()),
            Place::OwnBacklog => here(
                "here as root, then again",
                "sysctl -w net.core.netdev_max_backlog=10000".to_owned(),
                "longer bursts find room".to_owned(),
            ),
            _ => here(
                "here",
                format!("ip -s -s link show dev {}", self.interface()),
                "tells why the interface dropped them".to_owned(),
            ),
        }
    }

    /// What looks for rules against the server's port.
    fn firewall(&self, place: &'static str, gain: &str) -> Advice {
        let command = format!("campanile doctor --port {}", self.report.target.port());
        Advice { place, command, gain: gain.to_owned() }
    }

    fn interface(&self) -> &str {
        self.report.environment.interface.as_deref().unwrap_or("here")
    }

    /// The server's command, with the number of cores that it has and one more option.
    fn on_server(&self, option: &str, gain: String) -> Vec<Advice> {
        let workers = self.report.server.map_or(1, |server| server.workers);
        let command = format!("campanile echo {} {workers} {option}", self.report.target.port());
        vec![Advice { place: "on the server", command, gain }]
    }

    fn more_server(&self, busiest: f64, mean: f64) -> Vec<Advice> {
        let report = self.report;
        let workers = report.server.map_or(1, |server| server.workers);
        let up_to = |times: f64| Count::rounded(report.received.packets_per_second * times);
        if !is_uneven(busiest, mean) {
            let command = format!("campanile echo {} {}", report.target.port(), workers + 1);
            let gain = up_to((workers + 1) as f64 / workers as f64);
            let gain = format!("up to {gain} packets/s, if it has that core");
            return vec![Advice { place: "on the server", command, gain }];
        }
        let gain =
            format!("up to {} packets/s, if all of its threads get their share", up_to(busiest / mean));
        let sockets = (4 * workers as usize).min(1024);
        if report.sockets * report.cores < sockets {
            return here("here", Arguments { sockets, ..self.again() }.to_string(), gain);
        }
        self.on_server("--shard hash", gain)
    }

    fn more_room(&self, is_short: bool) -> Vec<Advice> {
        let report = self.report;
        if is_short {
            let command = format!("sysctl -w net.core.rmem_max={}", report.receive_buffer_asked);
            let gain = "this client asks for what its packets in flight need";
            return here("here as root, then again", command, gain.to_owned());
        }
        if self.arguments.rate.is_some() {
            return self.lower_rate("a little less than what came through");
        }
        let window = (self.arguments.window / 2).max(self.arguments.train);
        let command = Arguments { window, ..self.again() }.to_string();
        here("here", command, "half as many replies come at once".to_owned())
    }

    fn more_client(&self) -> Vec<Advice> {
        if self.report.environment.loopback { self.trains() } else { self.another_processor() }
    }

    /// The same command with one more core, if there is one.
    fn another_processor(&self) -> Vec<Advice> {
        let report = self.report;
        if report.environment.processors.is_none_or(|processors| processors <= report.cores) {
            return self.trains();
        }
        let cores = report.cores + 1;
        let gain = report.sent.packets_per_second * cores as f64 / report.cores as f64;
        let command = Arguments { cores: Some(cores), ..self.again() }.to_string();
        here("here", command, format!("up to {} packets/s", Count::rounded(gain)))
    }

    fn trains(&self) -> Vec<Advice> {
        let train = (65_507 / self.report.payload).clamp(1, 16);
        if self.report.train >= train {
            return Vec::new();
        }
        let window = self.arguments.window.max(train);
        let command = Arguments { train, window, ..self.again() }.to_string();
        here("here", command, "trains cost a fraction for each packet, and are not single packets".to_owned())
    }

    /// The same command on another machine, where a loopback address would be a different host.
    fn other_machine(&self) -> Vec<Advice> {
        let gain = "each has its processors for itself".to_owned();
        if !self.report.target.ip().is_loopback() {
            return here("on another machine", self.again().to_string(), gain);
        }
        let command = Arguments { host: "ADDRESS".to_owned(), ..self.again() }.to_string();
        here("on another machine, with an address of this one that the server listens on", command, gain)
    }

    fn larger_packets(&self) -> Vec<Advice> {
        let payload = self.report.mtu() - if self.report.target.is_ipv4() { 28 } else { 48 };
        if self.report.payload >= payload {
            return Vec::new();
        }
        let larger = LoadReport { payload, ..self.report.clone() };
        let gain = format!(
            "payload is {:.0} % of the wire then, not {:.0} %",
            payload_percent(&larger),
            payload_percent(self.report)
        );
        let train = self.arguments.train.min(65_507 / payload);
        here("here", Arguments { payload, train, ..self.again() }.to_string(), gain)
    }

    fn wider_window(&self) -> Vec<Advice> {
        let window = 2 * self.arguments.window;
        if window > 4096 {
            return Vec::new();
        }
        let command = Arguments { window, ..self.again() }.to_string();
        let gain = "up to twice as many packets, or only longer round trips, and then the limit is elsewhere";
        here("here", command, gain.to_owned())
    }

    fn another_rate(&self) -> Vec<Advice> {
        let Some(rate) = self.arguments.rate else { return Vec::new() };
        let (rate, gain) = match self.report.limit {
            Limit::Nothing => {
                ((2 * rate).min(100_000_000), "shows whether there is a limit at twice the rate")
            }
            _ => ((rate / 2).max(1), "a rate that this client can keep"),
        };
        here("here", Arguments { rate: Some(rate), ..self.again() }.to_string(), gain.to_owned())
    }

    /// The same run in an open loop, a little below the rate of replies; its time includes the round trip of those after the end.
    fn lower_rate(&self, gain: &str) -> Vec<Advice> {
        let report = self.report;
        let waited = report.round_trip.map_or(0.0, |latency| latency.p50_ns as f64 / 1e9);
        let rate = 0.95 * report.received.packets as f64 / (report.seconds + waited);
        let command = Arguments { rate: Some((rate as u64).max(1)), ..self.again() }.to_string();
        here("here", command, gain.to_owned())
    }

    /// The run's arguments with the values that were used, to be changed in one place.
    fn again(&self) -> Arguments {
        Arguments { cores: Some(self.report.cores), ..self.arguments.clone() }
    }
}

fn here(place: &'static str, command: String, gain: String) -> Vec<Advice> {
    vec![Advice { place, command, gain }]
}

/// Whether one thread is much busier than the others.
fn is_uneven(busiest_percent: f64, mean_percent: f64) -> bool {
    mean_percent < busiest_percent * 0.75
}

/// The payload's share of a packet's bytes on an Ethernet wire.
pub(super) fn payload_percent(report: &LoadReport) -> f64 {
    report.payload as f64 * 100.0 / report.wire_bytes() as f64
}
