//! `campanile echo`: an echo server.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use campanile::echo::{EchoConfig, EchoCounts, EchoDescription, EchoError, EchoServer, Flow};
use campanile::{Choice, Shard, amount};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::figures::{self, BitRate, Count, Memory, Things};
use crate::system_error::{self, cure};
use crate::{arguments, interrupt, output};

/// Send UDP datagrams back to where they came from.
///
/// Trains of datagrams go back as they came. The server does not answer its own port, ports below 1024, broadcast or multicast, nor
/// what it sent back to the same source within the last second: so no forged packet can circle between two servers.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Arguments {
    /// UDP port to listen on, 1 to 65535
    #[arg(value_parser = arguments::port)]
    port: u16,
    /// Number of cores, one worker on each [default: all that this process may use]
    #[arg(value_parser = arguments::number)]
    cores: Option<usize>,
    /// Address to listen on [default: every address; with --rfc862, 127.0.0.1]
    #[arg(long, value_name = "ADDR", value_parser = arguments::address)]
    bind: Option<IpAddr>,
    /// I/O backend: auto, epoll or uring (Linux), iocp (Windows)
    #[arg(long, value_name = "NAME", default_value_t)]
    backend: Choice,
    /// How the port's traffic is divided among the cores: auto, cpu, hash or none
    #[arg(long, value_name = "HOW", default_value_t)]
    shard: Shard,
    /// Receive buffer of each core's socket in bytes, with k or m [default: the system's]
    #[arg(long, value_name = "BYTES", value_parser = arguments::bytes)]
    recv_buffer: Option<usize>,
    /// Stop after this time, such as 60s or 10min [default: at Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = amount::time)]
    duration: Option<Duration>,
    /// Raw echo (RFC 862): no cap on datagrams under 16 bytes, and only for this machine unless --bind says otherwise
    #[arg(long)]
    rfc862: bool,
    /// Packets per second that each core answers to one source, 0 for no limit; loopback has none
    #[arg(long, value_name = "PACKETS", value_parser = arguments::limit, default_value_t = EchoConfig::default().source_limit)]
    source_limit: u32,
    /// Report rates this often, such as 1s [default: only at the end]
    #[arg(long, value_name = "TIME", value_parser = arguments::interval)]
    stats_interval: Option<Duration>,
    /// Print JSON, one value per line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campanile echo 5000                        all cores, every address
  campanile echo 5000 2 --stats-interval 1   two cores, a line each second
  campanile echo 5000 --bind 127.0.0.1       for this machine only
  campanile echo 7007 --rfc862               raw echo on loopback, as for netcat
  campanile echo 5000 --duration 60 --json   for scripts";

/// Runs the server until Ctrl-C or the end of its time.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let mut server = EchoServer::start(&arguments.config()?).map_err(start_error)?;
    interrupt::stops(server.stopper())?;
    let description = server.description().clone();
    let printer = Printer { json: arguments.json };
    printer.started(&description)?;
    if let Some(asked) = arguments.recv_buffer.filter(|&asked| asked > description.receive_buffer) {
        output::note(Shortage { asked, granted: description.receive_buffer });
    }

    let started = Instant::now();
    let mut end = arguments.duration.map(|duration| started + duration);
    let mut due = arguments.stats_interval.map(|interval| started + interval);
    let mut last = Reading { at: started, counts: EchoCounts::default() };
    while !server.wait(pause([end, due])) {
        let now = Instant::now();
        if let (Some(interval), Some(at)) = (arguments.stats_interval, due.filter(|&due| due <= now)) {
            let reading = Reading { at: now, counts: server.snapshot().total };
            printer.rates("interval", started, &last, &reading)?;
            last = reading;
            due = Some(next(at, interval, now));
        }
        if end.is_some_and(|end| end <= now) {
            server.stop();
            end = None;
        }
    }
    let counts = server.join().map_err(|error| system_error::worker(&error))?.total;
    let whole = Reading { at: started, counts: EchoCounts::default() };
    printer.rates("stopped", started, &whole, &Reading { at: Instant::now(), counts })
}

impl Arguments {
    fn config(&self) -> Result<EchoConfig, CommandError> {
        Ok(EchoConfig {
            bind: self.bind,
            port: self.port,
            cores: arguments::cores(self.cores)?,
            backend: self.backend,
            shard: self.shard,
            receive_buffer: self.recv_buffer,
            source_limit: self.source_limit,
            rfc862: self.rfc862,
            ..EchoConfig::default()
        })
    }
}

/// When the next report is due. Reports that were missed while the process was stopped or the machine asleep are skipped.
fn next(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next > now { next } else { now + interval }
}

/// How long to wait for the earlier of two moments.
fn pause(moments: [Option<Instant>; 2]) -> Duration {
    let first = moments.into_iter().flatten().min();
    first.map_or(Duration::MAX, |first| first.saturating_duration_since(Instant::now()))
}

fn start_error(error: EchoError) -> CommandError {
    let (address, why) = match &error {
        EchoError::Bind { address, error } => (address, error),
        EchoError::Worker(worker) => return system_error::worker(worker),
        EchoError::Cores(_) => return CommandError::failed(error),
    };
    let (ip, port) = (address.ip(), address.port());
    match why.kind() {
        io::ErrorKind::AddrInUse => {
            CommandError::bad_input(format!("port {port} is in use on {ip}")).hint_if(cure(why))
        }
        io::ErrorKind::PermissionDenied => {
            CommandError::bad_input(format!("port {port} on {ip} needs a privilege")).hint_if(cure(why))
        }
        io::ErrorKind::AddrNotAvailable => {
            CommandError::bad_input(format!("{ip} is not an address of this machine"))
                .hint("give one of its own with --bind, or leave --bind out")
        }
        _ => CommandError::failed(&error).hint(cure(why).unwrap_or("give another address with --bind")),
    }
}

/// The system allowed a smaller receive buffer than was asked for.
struct Shortage {
    asked: usize,
    granted: usize,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, granted } = *self;
        let (asked_for, gave) = (Memory(asked), Memory(granted));
        write!(
            f,
            "the receive buffer is {gave}, not the {asked_for} asked for; \
             raise the system's limit (Linux: sysctl -w net.core.rmem_max={asked})"
        )
    }
}

/// Counters, and when they were read.
struct Reading {
    at: Instant,
    counts: EchoCounts,
}

/// The rates of the server over a span of time.
#[derive(Serialize)]
struct Rates {
    /// Seconds since the start, at the end of the span.
    seconds: f64,
    /// The length of the span in seconds.
    span: f64,
    received: Rate,
    replied: Rate,
    dropped: campanile::echo::Drops,
}

#[derive(Serialize)]
struct Rate {
    packets: u64,
    bytes: u64,
    packets_per_second: f64,
    bits_per_second: f64,
}

impl Rate {
    fn new(flow: Flow, span: f64) -> Self {
        let Flow { packets, bytes, .. } = flow;
        let per_second = |count: u64| if span > 0.0 { count as f64 / span } else { 0.0 };
        Self {
            packets,
            bytes,
            packets_per_second: per_second(packets),
            bits_per_second: per_second(bytes * 8),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (packets, bits) = (Count::rounded(self.packets_per_second), BitRate(self.bits_per_second));
        write!(f, "{packets:>11} packets/s {bits:>13}")
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in {}  out {}  ", self.received, self.replied)?;
        write!(f, "dropped {}", Count(self.dropped.total()))?;
        let causes: Vec<String> =
            self.dropped.iter().map(|(cause, count)| format!("{} {}", cause.name(), Count(count))).collect();
        if causes.is_empty() { Ok(()) } else { write!(f, " ({})", causes.join(", ")) }
    }
}

struct Printer {
    json: bool,
}

impl Printer {
    fn started(&self, description: &EchoDescription) -> Result<(), CommandError> {
        if self.json {
            return output::event("started", description);
        }
        output::line(Started(description))
    }

    fn rates(
        &self,
        event: &'static str,
        started: Instant,
        from: &Reading,
        to: &Reading,
    ) -> Result<(), CommandError> {
        let counts = to.counts.since(&from.counts);
        let span = to.at.duration_since(from.at).as_secs_f64();
        let rates = Rates {
            seconds: to.at.duration_since(started).as_secs_f64(),
            span,
            received: Rate::new(counts.received, span),
            replied: Rate::new(counts.replied, span),
            dropped: counts.dropped,
        };
        if self.json {
            return output::event(event, &rates);
        }
        if event != "stopped" {
            return output::line(format_args!("{:8.1} s  {rates}", rates.seconds));
        }
        let (received, replied) = (Things(rates.received.packets, "packet"), Count(rates.replied.packets));
        output::line(format_args!("on average over {:.1} s  {rates}", rates.seconds))?;
        output::line(format_args!("stopped: {received} received, {replied} sent back"))
    }
}

/// The line that is printed when a server starts.
struct Started<'a>(&'a EchoDescription);

impl fmt::Display for Started<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EchoDescription { address, backend, shard, .. } = self.0;
        let because = |reason: &Option<String>| reason.as_ref().map(|reason| format!(" ({reason})"));
        let fallback = because(&self.0.fallback).unwrap_or_default();
        let note = because(&self.0.note).unwrap_or_default();
        let trains = match (self.0.receives_trains, self.0.sends_trains) {
            (true, true) => "trains in and out",
            (true, false) => "trains in",
            (false, true) => "trains out",
            (false, false) => "no trains",
        };
        let cores = figures::cores(&self.0.cores);
        write!(
            f,
            "echo on {address}, {cores}, backend {backend}{fallback}, divided by {shard}{note}, {trains}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_bind_says_what_to_do() {
        let address = "[::]:80".parse().expect("a literal address");
        let told = |kind: io::ErrorKind| {
            start_error(EchoError::Bind { address, error: io::Error::from(kind) }).to_string()
        };
        let denied = told(io::ErrorKind::PermissionDenied);
        assert!(denied.starts_with("port 80 on :: needs a privilege; choose a port"), "{denied}");
        assert!(told(io::ErrorKind::AddrInUse).starts_with("port 80 is in use on ::; choose another port"));
        assert!(told(io::ErrorKind::Unsupported).contains("[::]:80"));
    }

    #[test]
    fn reports_keep_their_step_and_are_not_made_up_for() {
        let (due, second) = (Instant::now(), Duration::from_secs(1));
        let late = Duration::from_millis(300);
        assert_eq!(next(due, second, due + late), due + second);
        assert_eq!(next(due, second, due + second * 9 + late), due + second * 10 + late);
    }

    #[test]
    fn a_shortage_names_both_numbers_and_the_cure() {
        let text = Shortage { asked: 8 << 20, granted: 212_992 }.to_string();
        assert!(text.contains("is 208.0 KiB, not the 8.0 MiB asked for"), "{text}");
        assert!(text.contains("rmem_max=8388608"), "{text}");
    }
}
