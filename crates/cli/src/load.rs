//! `campanile load`: measures an echo server.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use campanile::Choice;
use campanile::load::{Load, LoadConfig, LoadCounts, LoadError, LoadReport, OddReplies, Rates, RoundTrip};

use crate::command_error::CommandError;
use crate::figures::{BitRate, Count, Span};
use crate::{arguments, interrupt, output};

/// Measure an echo server: rates, loss and round trips.
///
/// Each socket keeps a window of packets in flight and sends the next one when one was answered or given up. Any server that
/// sends packets back unchanged will do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Name or address of the server
    host: String,
    /// Its UDP port, 1 to 65535
    #[arg(value_parser = arguments::port)]
    port: u16,
    /// Bytes of each packet, 16 to 65507 (65527 over IPv6)
    #[arg(value_parser = arguments::number, default_value_t = 64)]
    payload: usize,
    /// Number of cores, a worker each [default: all that this process may use]
    #[arg(value_parser = arguments::number)]
    cores: Option<usize>,
    /// How long to send
    #[arg(value_parser = arguments::seconds, default_value = "10")]
    seconds: Duration,
    /// Packets in flight on each socket, 1 to 4096
    #[arg(long, value_name = "PACKETS", value_parser = arguments::number, default_value_t = 32)]
    window: usize,
    /// Sockets on each core, 1 to 1024
    #[arg(long, value_name = "NUMBER", value_parser = arguments::number, default_value_t = 4)]
    sockets: usize,
    /// I/O backend: auto, epoll or uring (Linux), iocp (Windows)
    #[arg(long, value_name = "NAME", default_value_t)]
    backend: Choice,
    /// A packet that is not answered for so long is lost
    #[arg(long, value_name = "SECONDS", value_parser = arguments::seconds, default_value = "1")]
    timeout: Duration,
    /// Print the report as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campanile load 192.0.2.1 5000                     64 bytes, all cores, 10 seconds
  campanile load server 5000 1400 2 30              1400 bytes, two cores, 30 seconds
  campanile load ::1 5000 --window 1 --sockets 1    one packet at a time on each core: the round trip
  campanile load server 5000 --json                 for scripts";

/// Runs the load to its end, or to Ctrl-C, and reports.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let target = resolve(&arguments.host, arguments.port)?;
    let config = LoadConfig {
        payload: arguments.payload,
        cores: arguments::cores(arguments.cores)?,
        duration: arguments.seconds,
        window: arguments.window,
        sockets: arguments.sockets,
        timeout: arguments.timeout,
        backend: arguments.backend,
        ..LoadConfig::new(target)
    };
    let mut load = Load::start(&config).map_err(error)?;
    interrupt::stops(load.stopper())?;
    if !arguments.json {
        output::line(Started(&load))?;
        follow(&mut load)?;
    }
    let report = load.join().map_err(error)?;
    if arguments.json { output::json(&report) } else { output::line(Summary(&report)) }
}

/// The first address that the host's name stands for.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, CommandError> {
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let unknown = |why: &str| {
        let message = format!("host '{host}' cannot be found{why}");
        CommandError::bad_input(message).hint("check its name, or give its address")
    };
    let mut addresses = (name, port).to_socket_addrs().map_err(|error| unknown(&format!(" ({error})")))?;
    addresses.next().ok_or_else(|| unknown(""))
}

/// Prints a line each second until the load has ended.
fn follow(load: &mut Load) -> Result<(), CommandError> {
    let mut last = (Instant::now(), LoadCounts::default());
    let mut second = 0;
    while !load.wait(Duration::from_secs(1)) {
        second += 1;
        let (at, counts) = (Instant::now(), load.progress());
        let answered = counts.answered - last.1.answered;
        let rate = Count::rounded(answered as f64 / at.duration_since(last.0).as_secs_f64());
        output::line(format_args!("{second:4} s  {rate:>11} packets/s  lost {}", Count(counts.lost)))?;
        last = (at, counts);
    }
    Ok(())
}

/// What to say when there is no report.
pub(crate) fn error(error: LoadError) -> CommandError {
    match &error {
        LoadError::Range { .. } => CommandError::bad_input(error),
        LoadError::Refused { target, answered: 0 } => CommandError::failed(&error)
            .hint(format!("start a server there: campanile echo {}", target.port())),
        LoadError::NoReply { .. } => CommandError::failed(error)
            .hint("see that a server runs there, and that no firewall stands between"),
        LoadError::Socket { .. } => CommandError::failed(error)
            .hint("see that there is a way to that address, and fewer --sockets if they are many"),
        LoadError::Refused { .. } | LoadError::Cores(_) | LoadError::Worker(_) => CommandError::failed(error),
    }
}

/// The line that a load starts with.
struct Started<'a>(&'a Load);

impl fmt::Display for Started<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadConfig { target, payload, cores, sockets, window, duration, .. } = self.0.config();
        let (backend, seconds) = (self.0.backend(), duration.as_secs_f64());
        write!(f, "load on {target} for {seconds} s: {payload} bytes, {window} in flight on each of ")?;
        write!(f, "{} x {sockets} sockets, backend {backend}", cores.len())?;
        match self.0.fallback() {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// The report as people read it.
pub(crate) struct Summary<'a>(pub(crate) &'a LoadReport);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadReport { sent, received, lost, lost_percent, odd, round_trip, .. } = self.0;
        writeln!(f, "sent        {}", Direction(sent))?;
        writeln!(f, "received    {}", Direction(received))?;
        write!(f, "lost        {} packets, {lost_percent:.3} %", Count(*lost))?;
        if let Some(RoundTrip { min_ns, mean_ns, max_ns }) = round_trip.as_ref().copied() {
            let (min, mean, max) = (Span::from_ns(min_ns), Span::from_ns(mean_ns), Span::from_ns(max_ns));
            write!(f, "\nround trip  min {min}, mean {mean}, max {max}")?;
        }
        let OddReplies { late, duplicate, foreign } = *odd;
        if *odd != OddReplies::default() {
            let (late, duplicate, foreign) = (Count(late), Count(duplicate), Count(foreign));
            write!(f, "\nother       {late} late, {duplicate} duplicate, {foreign} foreign replies")?;
        }
        Ok(())
    }
}

struct Direction<'a>(&'a Rates);

impl fmt::Display for Direction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rates { packets, packets_per_second, bits_per_second, .. } = *self.0;
        let (rate, bits) = (Count::rounded(packets_per_second), BitRate(bits_per_second));
        write!(f, "{} packets, {rate} packets/s, {bits}", Count(packets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_or_without_brackets() {
        let expected = "[::1]:5000".parse().expect("a literal address");
        assert_eq!(resolve("::1", 5000).expect("an address"), expected);
        assert_eq!(resolve("[::1]", 5000).expect("an address"), expected);
    }

    #[test]
    fn a_summary_names_odd_replies_only_if_there_are_any() {
        let plain = LoadReport {
            target: "127.0.0.1:5000".parse().expect("a literal address"),
            payload: 64,
            cores: 1,
            sockets: 1,
            window: 1,
            backend: "epoll",
            seconds: 1.0,
            sent: Rates { packets: 1000, bytes: 64_000, packets_per_second: 1000.0, bits_per_second: 512e3 },
            received: Rates {
                packets: 999,
                bytes: 63_936,
                packets_per_second: 999.0,
                bits_per_second: 511_488.0,
            },
            lost: 1,
            lost_percent: 0.1,
            odd: OddReplies::default(),
            round_trip: Some(RoundTrip { min_ns: 10_000, mean_ns: 20_000, max_ns: 3_000_000 }),
        };
        let expected = "\
sent        1,000 packets, 1,000 packets/s, 512.0 kbit/s
received    999 packets, 999 packets/s, 511.5 kbit/s
lost        1 packets, 0.100 %
round trip  min 10.0 µs, mean 20.0 µs, max 3.0 ms";
        assert_eq!(Summary(&plain).to_string(), expected);
        let odd = OddReplies { late: 1, ..OddReplies::default() };
        let with = Summary(&LoadReport { odd, ..plain }).to_string();
        assert_eq!(with, format!("{expected}\nother       1 late, 0 duplicate, 0 foreign replies"));
    }
}
