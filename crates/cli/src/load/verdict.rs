//! What a run ran into, in words: the limit, the evidence, and the command that would move it.

use std::fmt;

use campanile::load::{Limit, LoadReport};

use super::Arguments;
use crate::figures::{Count, Memory};

/// The last lines of a report.
pub(super) struct Verdict<'a> {
    pub(super) report: &'a LoadReport,
    /// What the run was told.
    pub(super) arguments: &'a Arguments,
}

/// A command to try.
struct Advice {
    /// Where it is typed.
    place: &'static str,
    command: String,
    /// What it would buy.
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
                format!("the server's limit for one source: it dropped {} packets for it", Count(dropped))
            }
            Limit::ServerCpu { busy_percent } => {
                format!("the server's processor: its threads were {busy_percent:.0} % busy")
            }
            Limit::ClientCpu { busy_percent } => {
                format!("this client's processor: its threads were {busy_percent:.0} % busy")
            }
            Limit::Machine { busy_percent, others_percent } => format!(
                "this machine: client and server share it, and its processors were {busy_percent:.0} % busy, \
                 {others_percent:.0} % with other work"
            ),
            Limit::ServerBuffer { dropped, bytes } => format!(
                "the receive buffer of the server's sockets, {} each: {} packets found it full",
                Memory(bytes as usize),
                Count(dropped)
            ),
            Limit::ClientBuffer { dropped } => format!(
                "the receive buffers of this client's sockets: {} replies found them full",
                Count(dropped)
            ),
            Limit::Wire { used_percent } => {
                format!("the wire: {used_percent:.0} % of the interface's speed, headers included")
            }
            Limit::Path { lost } => {
                format!("loss that no counter within reach explains: {} packets", Count(lost))
            }
            Limit::ClientLag => "this client's own lag, though its processor had time left: something else \
                                 took it, or it slept too long"
                .to_owned(),
            Limit::Window { in_flight } => format!(
                "the closed loop itself: {} packets in flight, and no more, wait for their replies",
                Count(in_flight)
            ),
            Limit::Nothing => "nothing was reached: what was asked for was done".to_owned(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        let report = self.report;
        let port = report.target.port();
        let on_server =
            |command: String, gain: String| vec![Advice { place: "on the server", command, gain }];
        match report.limit {
            Limit::SourceLimit { .. } => on_server(
                format!("campanile echo {port} --source-limit 0"),
                "no packet is dropped for that".to_owned(),
            ),
            Limit::ServerCpu { .. } => {
                let workers = report.server.map_or(1, |server| server.workers);
                let gain = report.received.packets_per_second * (workers + 1) as f64 / workers as f64;
                let gain = format!("up to {} packets/s, if it has that core", Count::rounded(gain));
                on_server(format!("campanile echo {port} {}", workers + 1), gain)
            }
            Limit::ServerBuffer { bytes, .. } => {
                let bytes = (bytes.max(1 << 16) * 8).min(1 << 30);
                let command = format!(
                    "sysctl -w net.core.rmem_max={bytes} && campanile echo {port} --recv-buffer {bytes}"
                );
                on_server(command, "bursts eight times as long find room".to_owned())
            }
            Limit::ClientBuffer { .. } => self.more_room(),
            Limit::ClientCpu { .. } => self.more_client(),
            Limit::Machine { others_percent, .. } if others_percent > 50.0 => {
                here("here", "top".to_owned(), "shows what else runs; stop it, and measure again".to_owned())
            }
            Limit::Machine { .. } => self.other_machine().into_iter().chain(self.trains()).collect(),
            Limit::Wire { .. } => self.larger_packets(),
            Limit::Path { .. } => {
                let device = report.environment.interface.as_deref().unwrap_or("lo");
                let command = format!("ip -s -s link show dev {device}");
                here("at both ends", command, "tells what the interfaces dropped".to_owned())
            }
            Limit::ClientLag if !report.spin => here(
                "here",
                Arguments { spin: true, ..self.again() }.to_string(),
                "no sleep to wake up from".to_owned(),
            ),
            Limit::Window { .. } => self.wider_window(),
            Limit::ClientLag | Limit::Nothing => self.another_rate(),
        }
    }

    fn more_room(&self) -> Vec<Advice> {
        let command = "sysctl -w net.core.rmem_max=67108864".to_owned();
        here("here, then again", command, "this client asks for what its packets in flight need".to_owned())
    }

    fn more_client(&self) -> Vec<Advice> {
        let report = self.report;
        let free = report.environment.processors.is_some_and(|processors| processors > report.cores);
        if free && !report.environment.loopback {
            let cores = report.cores + 1;
            let gain = report.sent.packets_per_second * cores as f64 / report.cores as f64;
            let command = Arguments { cores: Some(cores), ..self.again() }.to_string();
            return here("here", command, format!("up to {} packets/s", Count::rounded(gain)));
        }
        self.trains()
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

    /// The same from elsewhere, where an address of loopback means another machine.
    fn other_machine(&self) -> Vec<Advice> {
        let gain = "each has its processors for itself".to_owned();
        if !self.report.target.ip().is_loopback() {
            return here("on another machine", self.again().to_string(), gain);
        }
        let command = Arguments { host: "ADDRESS".to_owned(), ..self.again() }.to_string();
        here("on another machine, with an address of this one that the server listens on", command, gain)
    }

    fn larger_packets(&self) -> Vec<Advice> {
        let payload = if self.report.target.is_ipv4() { 1472 } else { 1452 };
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
        let gain =
            "up to twice as many packets, or only longer round trips, and then the limit is the server's";
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

    /// What the run was told, as it turned out: to be changed in one thing.
    fn again(&self) -> Arguments {
        Arguments { cores: Some(self.report.cores), ..self.arguments.clone() }
    }
}

fn here(place: &'static str, command: String, gain: String) -> Vec<Advice> {
    vec![Advice { place, command, gain }]
}

/// The share of the payload in what a packet takes on an Ethernet wire.
pub(super) fn payload_percent(report: &LoadReport) -> f64 {
    report.payload as f64 * 100.0 / report.wire_bytes() as f64
}
