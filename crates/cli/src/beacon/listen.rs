//! `campanile beacon listen`: what arrives from a group, and what did not.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use campanile::beacon::{Arrival, GROUP, Heard, Listener, ListenerConfig, SourceSummary};
use campanile::{Interface, amount};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::figures::{Count, Span, Things};
use crate::{arguments, interrupt, output};

/// Listen to a group: who sends, which number, when, and what was lost.
///
/// Every datagram on the port is shown, whoever sent it; numbers are those of `campanile beacon send`. The age of a datagram is only
/// as accurate as the clocks of the sender and of this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Arguments {
    /// Group and port
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = super::group, default_value_t = GROUP)]
    group: SocketAddr,
    /// Interface to listen on: its name, number or address; may be given several times [default: all]
    #[arg(long, value_name = "NAME", value_parser = arguments::interface)]
    interface: Vec<Interface>,
    /// Stop after this many datagrams [default: at Ctrl-C]
    #[arg(long, value_name = "NUMBER", value_parser = arguments::count)]
    count: Option<u64>,
    /// Stop after this time, such as 60s; with --count, fewer datagrams than that are a failure
    #[arg(long, value_name = "TIME", value_parser = amount::time)]
    duration: Option<Duration>,
    /// Print JSON, one value per line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campanile beacon listen                           on all interfaces
  campanile beacon listen --interface eth0 --interface eth1
  campanile beacon listen --group '[ff15::7]:9000' --json
  campanile beacon listen --count 1 --duration 5    is anything heard at all?";

/// Listens until it has heard enough, or until Ctrl-C.
pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = ListenerConfig { group: arguments.group, interfaces: arguments.interface.clone() };
    let mut listener = Listener::open(&config).map_err(super::error)?;
    interrupt::stops(listener.stopper())?;
    for unheard in listener.unheard() {
        output::note(format_args!("{} is left out: {}", unheard.interface, unheard.error));
    }
    let printer = Printer { json: arguments.json };
    printer.started(arguments.group, listener.interfaces())?;
    let end = arguments.duration.map(|duration| Instant::now() + duration);
    let mut heard_count = 0;
    while arguments.count.is_none_or(|count| heard_count < count) {
        let Some(heard) = listener.hear(end).map_err(super::error)? else { break };
        heard_count += 1;
        printer.heard(&heard)?;
    }
    printer.stopped(&listener)?;
    let is_over = end.is_some_and(|end| end <= Instant::now());
    match arguments.count.filter(|&count| heard_count < count && is_over) {
        Some(count) => {
            let message = format!("{heard_count} of {count} datagrams were heard");
            Err(CommandError::failed(message).hint("see that a beacon sends to this group and port"))
        }
        None => Ok(()),
    }
}

struct Printer {
    json: bool,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Started { group: SocketAddr, interfaces: &'a [String] },
    Heard(HeardLine<'a>),
    Stopped(Summary),
}

/// A datagram as a line of JSON.
#[derive(Serialize)]
struct HeardLine<'a> {
    from: SocketAddr,
    interface: Option<&'a str>,
    time: String,
    bytes: usize,
    #[serde(flatten)]
    number: Option<NumberFields>,
    text: Option<&'a str>,
}

#[derive(Serialize)]
struct NumberFields {
    sequence: u64,
    sent: String,
    age_ns: i64,
    /// How many datagrams are missing between the previous one and this one.
    missing: u64,
    late: bool,
    duplicate: bool,
}

#[derive(Serialize)]
struct Summary {
    sources: Vec<SourceFields>,
    foreign: u64,
    dropped_by_kernel: u64,
}

#[derive(Serialize)]
struct SourceFields {
    from: SocketAddr,
    first: u64,
    received: u64,
    lost: u64,
    late: u64,
    duplicates: u64,
}

impl From<SourceSummary> for SourceFields {
    fn from(source: SourceSummary) -> Self {
        let a = source.arrivals;
        let (first, received, lost, late, duplicates) = (a.first, a.received, a.lost, a.late, a.duplicates);
        Self { from: source.from, first, received, lost, late, duplicates }
    }
}

impl Printer {
    fn started(&self, group: SocketAddr, interfaces: &[String]) -> Result<(), CommandError> {
        if self.json {
            return output::json(&Line::Started { group, interfaces });
        }
        output::line(format_args!("listening to {group} on {}", interfaces.join(", ")))
    }

    fn heard(&self, heard: &Heard) -> Result<(), CommandError> {
        if !self.json {
            return output::line(Shown(heard));
        }
        let number = heard.number.map(|number| NumberFields {
            sequence: number.sequence,
            sent: number.sent.to_string(),
            age_ns: number.age_ns,
            missing: if let Arrival::Next { missing } = number.arrival { missing } else { 0 },
            late: number.arrival == Arrival::Late,
            duplicate: number.arrival == Arrival::Duplicate,
        });
        output::json(&Line::Heard(HeardLine {
            from: heard.from,
            interface: heard.interface.as_deref(),
            time: heard.time.to_string(),
            bytes: heard.bytes,
            number,
            text: text(&heard.payload),
        }))
    }

    fn stopped(&self, listener: &Listener) -> Result<(), CommandError> {
        let mut sources: Vec<SourceFields> = listener.summary().map(SourceFields::from).collect();
        sources.sort_by_key(|source| (source.from, source.first));
        let (foreign, dropped_by_kernel) = (listener.foreign(), listener.dropped_by_kernel());
        let summary = Summary { sources, foreign, dropped_by_kernel };
        if self.json { output::json(&Line::Stopped(summary)) } else { output::line(summary) }
    }
}

/// A datagram as text.
struct Shown<'a>(&'a Heard);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heard { from, interface, time, bytes, number, payload } = self.0;
        write!(f, "{from}")?;
        match number {
            Some(number) => {
                write!(f, "  {:>6}  {}  {bytes} bytes", number.sequence, number.sent)?;
                let age = Span::from_ns(number.age_ns.unsigned_abs());
                let sign = if number.age_ns < 0 { "-" } else { "" };
                write!(f, "  age {sign}{age}")?;
            }
            None => write!(f, "       -  {time}  {bytes} bytes")?,
        }
        interface.iter().try_for_each(|interface| write!(f, "  {interface}"))?;
        match number.map(|number| (number.arrival, number.sent)) {
            Some((Arrival::Next { missing }, _)) if missing > 0 => {
                write!(f, "  {} lost before it", Count(missing))?
            }
            Some((Arrival::Late, _)) => f.write_str("  late")?,
            Some((Arrival::Duplicate, _)) => f.write_str("  duplicate")?,
            Some((Arrival::Next { .. }, _)) | None => {}
        }
        let said = text(payload).filter(|text| number.is_none_or(|number| *text != number.sent.to_string()));
        said.iter().try_for_each(|text| write!(f, "  {text}"))
    }
}

/// The text in a payload, if it is a line of text; zeros after it are padding.
fn text(payload: &[u8]) -> Option<&str> {
    let end = payload.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&payload[..end]).ok()?.trim_end();
    let is_line = !text.is_empty() && text.len() <= TEXT_MAX && !text.chars().any(char::is_control);
    is_line.then_some(text)
}

/// The most bytes of text that are shown.
const TEXT_MAX: usize = 200;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received: u64 = self.sources.iter().map(|source| source.received).sum();
        let sources = Things(self.sources.len() as u64, "source");
        write!(f, "stopped: {} from {sources}", Things(received, "datagram"))?;
        for (count, what) in
            [(self.foreign, "not from a beacon"), (self.dropped_by_kernel, "dropped by the kernel")]
        {
            if count > 0 {
                write!(f, ", {} {what}", Count(count))?;
            }
        }
        for SourceFields { from, first, received, lost, late, duplicates } in &self.sources {
            let share = *lost as f64 * 100.0 / (*received as f64 + *lost as f64);
            let (received, lost) = (Count(*received), Count(*lost));
            write!(f, "\n  {from}  {received} from number {first} on, {lost} lost ({share:.3} %)")?;
            if *late > 0 || *duplicates > 0 {
                write!(f, ", {} late, {} duplicate", Count(*late), Count(*duplicates))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_of_text_is_shown() {
        assert_eq!(text(b"all is well\n\0\0\0"), Some("all is well"));
        assert_eq!(text("grüß dich".as_bytes()), Some("grüß dich"));
        for payload in [&b""[..], b"\0\0", b"\xff\xfe", b"\x1b[2J", b"a\nb"] {
            assert_eq!(text(payload), None, "{payload:?}");
        }
        assert_eq!(text(&[b'x'; TEXT_MAX + 1]), None);
    }
}
