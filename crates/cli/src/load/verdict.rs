//! What a run ran into, in words: the limit, the evidence, and the command that would move it.

use std::fmt;
use std::net::SocketAddr;

use campanile::load::{Limit, LoadReport};

use crate::figures::{Count, Memory};

/// The last lines of a report.
pub(super) struct Verdict<'a>(pub(super) &'a LoadReport);

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
        match self.0.limit {
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
        let report = self.0;
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
            Limit::Machine { .. } => {
                let command = self.command(report.payload, report.cores, &self.pace());
                here("from another machine", command, "each has its processors for itself".to_owned())
            }
            Limit::Wire { .. } => self.larger_packets(),
            Limit::Path { .. } => {
                let device = report.environment.interface.as_deref().unwrap_or("lo");
                let command = format!("ip -s -s link show dev {device}");
                here("at both ends", command, "tells what the interfaces dropped".to_owned())
            }
            Limit::ClientLag if !report.spin => {
                let command = self.command(report.payload, report.cores, &format!("{} --spin", self.pace()));
                here("here", command, "no sleep to wake up from".to_owned())
            }
            Limit::Window { .. } => self.wider_window(),
            Limit::ClientLag | Limit::Nothing => self.another_rate(),
        }
    }

    fn more_room(&self) -> Vec<Advice> {
        let command = "sysctl -w net.core.rmem_max=67108864".to_owned();
        here("here, then again", command, "this client asks for what its packets in flight need".to_owned())
    }

    fn more_client(&self) -> Vec<Advice> {
        let report = self.0;
        let free = report.environment.processors.is_some_and(|processors| processors > report.cores);
        if free && !report.environment.loopback {
            let gain = report.sent.packets_per_second * (report.cores + 1) as f64 / report.cores as f64;
            let command = self.command(report.payload, report.cores + 1, &self.pace());
            return here("here", command, format!("up to {} packets/s", Count::rounded(gain)));
        }
        let train = (65_507 / report.payload).clamp(1, 16);
        if report.train >= train {
            return Vec::new();
        }
        let command = self.command(report.payload, report.cores, &format!("{} --train {train}", self.pace()));
        here("here", command, "trains cost a fraction for each packet, and are not single packets".to_owned())
    }

    fn larger_packets(&self) -> Vec<Advice> {
        let payload = if self.0.target.is_ipv4() { 1472 } else { 1452 };
        if self.0.payload >= payload {
            return Vec::new();
        }
        let larger = LoadReport { payload, ..self.0.clone() };
        let gain = format!(
            "payload is {:.0} % of the wire then, not {:.0} %",
            payload_percent(&larger),
            payload_percent(self.0)
        );
        here("here", self.command(payload, self.0.cores, &self.pace()), gain)
    }

    fn wider_window(&self) -> Vec<Advice> {
        let Some(window) = self.0.window.filter(|window| 2 * window <= 4096) else { return Vec::new() };
        let command = self.command(self.0.payload, self.0.cores, &format!("--window {}", 2 * window));
        let gain =
            "up to twice as many packets, or only longer round trips, and then the limit is the server's";
        here("here", command, gain.to_owned())
    }

    fn another_rate(&self) -> Vec<Advice> {
        let Some(rate) = self.0.rate else { return Vec::new() };
        let (rate, gain) = match self.0.limit {
            Limit::Nothing => {
                ((2 * rate).min(100_000_000), "shows whether there is a limit at twice the rate")
            }
            _ => ((rate / 2).max(1), "a rate that this client can keep"),
        };
        here("here", self.command(self.0.payload, self.0.cores, &format!("--rate {rate}")), gain.to_owned())
    }

    /// The options that set the pace of this run.
    fn pace(&self) -> String {
        match (self.0.rate, self.0.window) {
            (Some(rate), _) => format!("--rate {rate}"),
            (None, window) => format!("--window {}", window.unwrap_or(32)),
        }
    }

    fn command(&self, payload: usize, cores: usize, options: &str) -> String {
        let (host, port) = (host(self.0.target), self.0.target.port());
        let seconds = self.0.seconds.round().max(1.0);
        format!("campanile load {host} {port} {payload} {cores} {seconds} {options}")
    }
}

fn here(place: &'static str, command: String, gain: String) -> Vec<Advice> {
    vec![Advice { place, command, gain }]
}

/// An address as the command takes it: one of a link goes with its interface (RFC 4007 section 11).
fn host(target: SocketAddr) -> String {
    match target {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => target.ip().to_string(),
    }
}

/// The share of the payload in what a packet takes on an Ethernet wire.
pub(super) fn payload_percent(report: &LoadReport) -> f64 {
    report.payload as f64 * 100.0 / report.wire_bytes() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_as_it_can_be_given() {
        let cases = [
            ("192.0.2.1:5000", "192.0.2.1"),
            ("[2001:db8::1]:5000", "2001:db8::1"),
            ("[fe80::1%3]:5000", "fe80::1%3"),
        ];
        for (target, name) in cases {
            assert_eq!(host(target.parse().expect("a literal address")), name);
        }
    }
}
