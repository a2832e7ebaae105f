//! `campanile load`: measures an echo server.

mod again;
mod live;
mod log;
mod spread;
mod summary;
mod verdict;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use campanile::load::{Load, LoadConfig, LoadError, LoadReport, Number, OddReplies, Pace, ServerKind};
use campanile::{Choice, amount};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::figures::Count;
use crate::interrupt::Interrupt;
use crate::{arguments, output, system_error};
use log::Log;
use spread::Spread;
use summary::{Reason, Summary};
use verdict::Verdict;

/// Measure an echo server: rates, loss and round trips.
///
/// Each socket keeps a window of packets in flight and sends the next one when one was answered or given up: the server sets the
/// pace. With --rate the clock does: packets are due at even intervals however the server is doing, and latency counts from when a
/// packet was due. Any server that sends packets back unchanged will do. A Campanile server is also asked for its counters, ten times
/// a second: they show in which direction packets were lost.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Arguments {
    /// Name or address of the server
    host: String,
    /// Its UDP port, 1 to 65535
    #[arg(value_parser = arguments::port)]
    port: u16,
    /// Bytes of each packet, 16 to 65507 (65527 over IPv6)
    #[arg(value_parser = arguments::number, default_value_t = 64)]
    payload: usize,
    /// Number of cores, one worker on each [default: all that this process may use]
    #[arg(value_parser = arguments::number)]
    cores: Option<usize>,
    /// How long to send and measure, in seconds, or as 500ms or 10min
    #[arg(value_parser = amount::time, default_value = "10")]
    seconds: Duration,
    /// Packets in flight on each socket, 1 to 4096
    #[arg(long, value_name = "PACKETS", value_parser = arguments::number, default_value_t = 32)]
    window: usize,
    /// Packets per second in total, sent by the clock, 1 to 100m; k and m stand for thousands and millions
    #[arg(long, value_name = "PACKETS", value_parser = arguments::rate, conflicts_with = "window")]
    rate: Option<u64>,
    /// Packets that leave together, 1 to 64: less work for each, and not comparable with single packets
    #[arg(long, value_name = "PACKETS", value_parser = arguments::number, default_value_t = 1)]
    train: usize,
    /// Sockets on each core, 1 to 1024
    #[arg(long, value_name = "NUMBER", value_parser = arguments::number, default_value_t = 4)]
    sockets: usize,
    /// Send for this long, such as 2s, before the measurement begins
    #[arg(long, value_name = "TIME", value_parser = amount::time)]
    warm_up: Option<Duration>,
    /// Measure this many times, 1 to 1000, and report the spread
    #[arg(long, value_name = "TIMES", value_parser = arguments::repeats, default_value_t = 1)]
    repeat: usize,
    /// Spin between packets instead of sleeping: --rate then lags least, but takes all of each core
    #[arg(long, requires = "rate")]
    spin: bool,
    /// I/O backend: auto, epoll or uring (Linux), iocp (Windows)
    #[arg(long, value_name = "NAME", default_value_t)]
    backend: Choice,
    /// How long until a packet that is not answered counts as lost
    #[arg(long, value_name = "TIME", value_parser = amount::time, default_value = "1s")]
    timeout: Duration,
    /// Do not ask the server for its counters: nothing is sent but the packets that are measured
    #[arg(long)]
    no_probe: bool,
    /// Write the latencies as an HdrHistogram log, for its tools
    #[arg(long, value_name = "FILE", value_parser = arguments::path())]
    histogram: Option<PathBuf>,
    /// Print the report as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campanile load 192.0.2.1 5000                   64 bytes, all cores, 10 s
  campanile load server 5000 1400 2 30            1400 bytes, 2 cores, 30 s
  campanile load ::1 5000 --window 1 --sockets 1  round trips, one at a time
  campanile load server 5000 --rate 20k           latency as users feel it
  campanile load server 5000 --rate 20k --warm-up 2 --repeat 7
                                                  seven times, and their spread
  campanile load server 5000 --json               for scripts

Exit codes: 0 done, 1 no reply, or a run that is INVALID because of this
client's own lag.";

/// Runs the load to its end, or up to Ctrl-C, and reports.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = arguments.config()?;
    let log = arguments.histogram.as_deref().map(Log::open).transpose()?;
    let mut runs = Vec::new();
    let ended = measure(arguments, &config, &mut runs);
    if runs.is_empty() {
        return ended;
    }
    // The runs measured before a failure are still valid, and reported also if their log cannot be written.
    let written = log.map_or(Ok(()), |log| log.write(&runs));
    let concluded = conclude(arguments, &runs);
    ended.and(written).and(concluded)
}

/// Measures as often as was asked, or up to Ctrl-C.
fn measure(
    arguments: &Arguments,
    config: &LoadConfig,
    runs: &mut Vec<LoadReport>,
) -> Result<(), CommandError> {
    let interrupt = Interrupt::new()?;
    while runs.len() < arguments.repeat && !interrupt.is_pressed() {
        let mut load = Load::start(config).map_err(error)?;
        interrupt.stops(load.stopper());
        if !arguments.json {
            output::line(Started(&load))?;
            live::follow(&mut load)?;
        }
        let (report, ended) = match load.join() {
            Err(LoadError::Unmeasured) if !runs.is_empty() => break,
            Err(LoadError::Gone(report)) => (LoadReport::clone(&report), Err(error(LoadError::Gone(report)))),
            joined => (joined.map_err(error)?, Ok(())),
        };
        if !arguments.json {
            output::line(Summary(&report))?;
            output::line(Verdict { report: &report, arguments })?;
        }
        runs.push(report);
        ended?;
    }
    Ok(())
}

/// Reports what concerns all runs, after the last one.
fn conclude(arguments: &Arguments, runs: &[LoadReport]) -> Result<(), CommandError> {
    match (runs, arguments.json) {
        ([one], true) if arguments.repeat == 1 => output::json(one)?,
        ([_], false) if arguments.repeat == 1 => {}
        (runs, true) => output::json(&Repeated { runs, spread: Spread::of(runs) })?,
        (runs, false) => {
            let (count, asked) = (runs.len(), arguments.repeat);
            output::line(format_args!("{count} of {asked} runs\n{}", Spread::of(runs)))?;
        }
    }
    let spoiled = runs.iter().filter(|run| !run.spoiled.is_empty()).count();
    match runs.iter().find_map(|run| run.spoiled.first()) {
        None => Ok(()),
        Some(reason) => {
            Err(CommandError::failed(format!("{} INVALID: {}", which(spoiled, runs.len()), Reason(reason)))
                .hint(LESS))
        }
    }
}

/// Some or all of the runs, as the subject of a sentence.
fn which(some: usize, all: usize) -> String {
    match (some, all) {
        (_, 1) => "the run is".to_owned(),
        (1, all) => format!("1 of {all} runs is"),
        (some, all) => format!("{some} of {all} runs are"),
    }
}

/// What to do about a client that lags.
const LESS: &str = "ask for less, give it more cores or --spin, and stop what else runs here";

/// Several runs as data.
#[derive(Serialize)]
struct Repeated<'a> {
    runs: &'a [LoadReport],
    spread: Spread,
}

impl Arguments {
    fn config(&self) -> Result<LoadConfig, CommandError> {
        let target = resolve(&self.host, self.port)?;
        Ok(LoadConfig {
            payload: self.payload,
            cores: arguments::cores(self.cores)?,
            duration: self.seconds,
            warm_up: self.warm_up.unwrap_or_default(),
            pace: self.rate.map_or(Pace::Window(self.window), Pace::Rate),
            train: self.train,
            sockets: self.sockets,
            timeout: self.timeout,
            backend: self.backend,
            spin: self.spin,
            probe: !self.no_probe,
            ..LoadConfig::new(target)
        })
    }
}

/// The first address that the host's name resolves to.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, CommandError> {
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let unknown = |why: &str, hint: &str| {
        CommandError::bad_input(format!("host '{host}' cannot be found{why}")).hint(hint)
    };
    // Checked here: a resolver of Windows may take a port behind an address for part of it.
    let address = name.split('%').next().unwrap_or_default();
    if name.contains('/') || (address.contains(':') && address.parse::<Ipv6Addr>().is_err()) {
        let alone = "give its name or address alone, without scheme and port, and the port behind it";
        return Err(unknown("", alone));
    }
    let check = "check its name, or give its address";
    let mut addresses = (name, port)
        .to_socket_addrs()
        .map_err(|error| unknown(&format!(" ({error})"), check).hint_if(system_error::shortage(&error)))?;
    let address = addresses.next().ok_or_else(|| unknown("", check))?;
    if matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0) {
        let message = format!("host '{host}' is a link-local address, which needs its interface");
        return Err(CommandError::bad_input(message).hint(format!("name the interface: {name}%eth0")));
    }
    Ok(address)
}

/// Describes why there is no report.
pub(crate) fn error(error: LoadError) -> CommandError {
    match &error {
        LoadError::Range { number: Number::Train, .. } => CommandError::bad_input(error)
            .hint("a train is no longer than the window, 64 packets, or 65,507 bytes"),
        LoadError::Range { .. } => CommandError::bad_input(error),
        LoadError::Many(_) => CommandError::bad_input(error)
            .hint("give the address of one server; campanile beacon measures what a group hears"),
        LoadError::Refused(target) => CommandError::failed(&error)
            .hint(format!("start a server there: campanile echo {}", target.port())),
        LoadError::NoReply { target, odd, server_kind, unreachable, .. } => {
            let hint = unanswered(*odd, *server_kind, *unreachable, target.port());
            CommandError::failed(error).hint(hint)
        }
        LoadError::NoneDue => {
            CommandError::failed(error).hint("measure for longer, or ask for more packets a second")
        }
        LoadError::Late => CommandError::failed(error).hint(LESS),
        LoadError::Socket { target, error: why } => {
            let hint = unconnected(*target, why);
            CommandError::failed(error).hint(hint)
        }
        LoadError::Worker(worker) => system_error::worker(worker),
        LoadError::Watch(why) => {
            let hint = system_error::shortage(why);
            CommandError::failed(error).hint_if(hint)
        }
        LoadError::Gone(_) | LoadError::Unmeasured | LoadError::Cores(_) => CommandError::failed(error),
    }
}

/// What to do when no packet is answered in time.
fn unanswered(odd: OddReplies, server_kind: ServerKind, unreachable: u64, port: u16) -> String {
    match (odd, server_kind) {
        (OddReplies { late: 1.., .. }, _) => "wait longer for each, with --timeout".to_owned(),
        (OddReplies { foreign: 1.., .. }, _) => {
            "give the port of a server that sends packets back unchanged".to_owned()
        }
        (_, ServerKind::Campanile | ServerKind::Mirror) => {
            "a server there answers probes of 256 bytes: see what keeps these packets away, such as another MTU at one end"
                .to_owned()
        }
        _ if unreachable > 0 => {
            format!("start a server there: campanile echo {port}; or see which firewall or router refuses")
        }
        _ => "see that a server runs there, and that no firewall stands between".to_owned(),
    }
}

/// What to do when a socket cannot be connected to the server.
fn unconnected(target: SocketAddr, why: &io::Error) -> &'static str {
    match why.kind() {
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable if target.ip().is_loopback() => {
            "see that loopback is up and has that address (Linux: ip address show lo)"
        }
        // Only connecting to a broadcast address is not permitted.
        ErrorKind::PermissionDenied => "give the address of one server, and not one for all of a network",
        // The errors of Linux and of Windows when ports are exhausted, for connecting and for binding.
        ErrorKind::WouldBlock | ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => {
            "give fewer --sockets: the system has no more ports"
        }
        _ => system_error::shortage(why).unwrap_or("see that there is a way to that address"),
    }
}

/// The line that is printed when a load starts.
struct Started<'a>(&'a Load);

impl fmt::Display for Started<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadConfig { target, payload, cores, sockets, pace, duration, .. } = self.0.config();
        let (backend, seconds) = (self.0.backend(), duration.as_secs_f64());
        write!(f, "load on {target} for {seconds} s: {payload} bytes, ")?;
        match pace {
            Pace::Window(window) => write!(f, "{window} in flight on each of ")?,
            Pace::Rate(rate) => write!(f, "{} packets/s over ", Count(*rate))?,
        }
        write!(f, "{} x {sockets} sockets, backend {backend}", cores.len())?;
        match self.0.fallback() {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_of_several_is_not_the_run() {
        let told = [which(1, 1), which(1, 3), which(2, 3)];
        assert_eq!(told, ["the run is", "1 of 3 runs is", "2 of 3 runs are"]);
    }

    #[test]
    fn a_server_that_answers_probes_is_there() {
        let hint = |late, foreign, server_kind| {
            unanswered(OddReplies { late, foreign, ..OddReplies::default() }, server_kind, 0, 5000)
        };
        assert!(hint(0, 0, ServerKind::Silent).starts_with("see that a server runs there"));
        assert!(hint(0, 0, ServerKind::Mirror).starts_with("a server there answers probes"));
        assert!(hint(3, 4, ServerKind::Mirror).ends_with("--timeout"));
        assert!(hint(0, 4, ServerKind::NotAsked).ends_with("unchanged"));
    }

    #[test]
    fn a_host_with_its_port_gets_a_hint() {
        for host in ["127.0.0.1:5000", "udp://127.0.0.1", "[::1]:5000"] {
            let told = resolve(host, 5000).expect_err("it is no host").to_string();
            assert!(told.ends_with("alone, without scheme and port, and the port behind it"), "{told}");
        }
    }

    #[test]
    fn addresses_are_hosts_with_or_without_brackets() {
        let expected = "[::1]:5000".parse().expect("a literal address");
        assert_eq!(resolve("::1", 5000).expect("an address"), expected);
        assert_eq!(resolve("[::1]", 5000).expect("an address"), expected);
    }
}
