//! `campanile decode`: the PGM packets of a capture.

mod piped;

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use campanile::capture::{Capture, CaptureError, Carrier, Classifier, Datagram, Frame, Seen, Verdict};
use campanile::multicast::{Receipt, Report};
use campanile::utc::Utc;
use serde::Serialize;

use crate::command_error::CommandError;
use crate::figures::{Count, Things};
use crate::interrupt::Interrupt;
use crate::{arguments, output, system_error};
use piped::Piped;

/// Show the PGM packets of a capture, one per line, and what is wrong with them.
///
/// Reads pcap and pcapng with Ethernet, Linux cooked, loopback or raw IP frames. PGM is recognised as IP protocol 113, and in UDP on
/// any port that has carried a packet with a correct checksum. The reports of Campanile's receivers, and their receipts, are shown and
/// counted separately.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Arguments {
    /// The capture, or - for standard input, to its end or Ctrl-C
    #[arg(value_parser = arguments::path())]
    file: PathBuf,
    /// UDP port on which every packet is PGM, even a broken one; may be given several times
    #[arg(long, value_name = "PORT", value_parser = arguments::port)]
    port: Vec<u16>,
    /// Show only broken packets
    #[arg(long)]
    broken: bool,
    /// Print JSON, one value per line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campanile decode session.pcap
  campanile decode session.pcap --port 7500 --broken    only what breaks a rule
  tcpdump -i eth0 -U -w - udp port 7500 | campanile decode -
  campanile decode session.pcapng --json                for scripts

Exit codes: 0 no packet is broken, 1 some are, or the capture is cut short,
2 not a capture.";

impl Arguments {
    fn name(&self) -> String {
        if self.file == Path::new("-") {
            "standard input".to_owned()
        } else {
            self.file.display().to_string()
        }
    }
}

/// Prints the packets of the capture, up to its end or, when it is piped in, up to Ctrl-C.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    if arguments.file != Path::new("-") {
        return decode(arguments, open(&arguments.file)?, None);
    }
    let interrupt = Interrupt::new()?;
    let input = Piped::start(interrupt.clone()).map_err(system_error::thread)?;
    decode(arguments, input, Some(&interrupt))
}

fn decode(
    arguments: &Arguments,
    input: impl Read,
    interrupt: Option<&Interrupt>,
) -> Result<(), CommandError> {
    let is_interrupted = || interrupt.is_some_and(Interrupt::is_pressed);
    let mut printer = Printer { json: arguments.json, only_broken: arguments.broken, began: None };
    let mut counts = Counts::default();
    let mut capture = match Capture::open(input) {
        Ok(capture) => capture,
        // Nothing was read yet.
        Err(_) if is_interrupted() => return printer.summary(&counts),
        Err(error) => return Err(unreadable(arguments, error)),
    };
    let mut classifier = Classifier::new(&arguments.port);
    let ended = loop {
        let frame = match capture.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break Ok(()),
            // A frame cut short by Ctrl-C is not an error of the capture.
            Err(_) if is_interrupted() => break Ok(()),
            Err(error) => break Err(error),
        };
        counts.frames += 1;
        counts.unknown_links += u64::from(!frame.link.is_known());
        printer.began = printer.began.or(frame.time);
        let Some(datagram) = Datagram::of_frame(&frame) else { continue };
        for datagram in datagram.train() {
            let Some(verdict) = classifier.classify(&datagram) else {
                counts.unknown_parts += u64::from(datagram.missing > 0 || datagram.is_fragment);
                continue;
            };
            counts.add(&verdict);
            printer.packet(&frame, &datagram, &verdict)?;
        }
    };
    printer.summary(&counts)?;
    if counts.unknown_links > 0 {
        let frames = Things(counts.unknown_links, "frame");
        output::note(format_args!("{frames} left out, of a link type that is not read"));
    }
    if counts.unknown_parts > 0 {
        let parts = Things(counts.unknown_parts, "datagram");
        output::note(format_args!(
            "{parts} left out, of which a frame holds only a part; with --port they are shown"
        ));
    }
    ended.map_err(|error| CommandError::failed(format!("{}: {error}", arguments.name())))?;
    if counts.broken > 0 {
        let message = format!("broken: {} of {}", Count(counts.broken), Things(counts.packets, "packet"));
        return Err(CommandError::failed(message));
    }
    Ok(())
}

fn open(path: &Path) -> Result<impl Read, CommandError> {
    let file = File::open(path).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        match system_error::shortage(&error) {
            Some(hint) => CommandError::failed(message).hint(hint),
            None => CommandError::bad_input(message).hint("give a capture file, or -"),
        }
    })?;
    Ok(BufReader::with_capacity(1 << 18, file))
}

fn unreadable(arguments: &Arguments, error: CaptureError) -> CommandError {
    let hint = match error {
        CaptureError::Read(_) => "give a capture file, or -",
        _ => "make one with tcpdump -w, tshark -w or Wireshark",
    };
    CommandError::bad_input(format!("{}: {error}", arguments.name())).hint(hint)
}

/// The counts over the whole capture.
#[derive(Debug, Default, Serialize)]
struct Counts {
    frames: u64,
    /// Packets of RFC 3208, including broken ones.
    packets: u64,
    broken: u64,
    reports: u64,
    receipts: u64,
    #[serde(skip)]
    unknown_links: u64,
    /// Datagrams that are not whole, so that their checksum does not tell whether they are PGM.
    #[serde(skip)]
    unknown_parts: u64,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict<'_>) {
        match verdict {
            Ok(Seen::Packet(_)) => self.packets += 1,
            Ok(Seen::Report(..)) => self.reports += 1,
            Ok(Seen::Receipt(..)) => self.receipts += 1,
            Err(_) => {
                self.packets += 1;
                self.broken += 1;
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, packets, broken, reports, receipts, .. } = *self;
        write!(f, "{}", Things(packets, "PGM packet"))?;
        if reports + receipts > 0 {
            write!(f, ", {} and {}", Things(reports, "report"), Things(receipts, "receipt"))?;
        }
        write!(f, " in {}, {} broken", Things(frames, "frame"), Count(broken))
    }
}

struct Printer {
    json: bool,
    only_broken: bool,
    /// The time of the first frame; other times are shown relative to it.
    began: Option<Duration>,
}

impl Printer {
    fn packet(
        &self,
        frame: &Frame<'_>,
        datagram: &Datagram<'_>,
        verdict: &Verdict<'_>,
    ) -> Result<(), CommandError> {
        if self.only_broken && verdict.is_ok() {
            return Ok(());
        }
        if self.json {
            return output::event("packet", &Line::new(frame, datagram, verdict));
        }
        let since = frame.time.zip(self.began).map(|(time, began)| time.saturating_sub(began));
        let since = since.unwrap_or_default().as_secs_f64();
        let what = What(verdict);
        output::line(format_args!("{:>6} {since:>12.6}  {datagram}  {what}", frame.number))
    }

    fn summary(&self, counts: &Counts) -> Result<(), CommandError> {
        if self.json {
            return output::event("end", counts);
        }
        output::line(counts)
    }
}

/// A packet, or what is wrong with it.
struct What<'v, 'a>(&'v Verdict<'a>);

impl fmt::Display for What<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(seen) => seen.fmt(f),
            Err(flaw) => {
                write!(f, "broken: {flaw}")?;
                flaw.section().iter().try_for_each(|section| write!(f, " (RFC 3208 §{section})"))
            }
        }
    }
}

/// A packet as a line of JSON.
#[derive(Serialize)]
struct Line {
    /// The number of its frame.
    frame: u64,
    time: Option<String>,
    from: IpAddr,
    to: IpAddr,
    udp: Option<Ports>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<Whole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Reported>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Received>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<Broken>,
}

#[derive(Serialize)]
struct Ports {
    from: u16,
    to: u16,
}

#[derive(Serialize)]
struct Whole {
    r#type: String,
    tsi: String,
    destination_port: u16,
    text: String,
}

#[derive(Serialize)]
struct Reported {
    receiver: String,
    standing: String,
    had: u32,
    total: u32,
    loss_percent: f64,
    headroom: u64,
}

impl Reported {
    fn new(report: &Report) -> Self {
        Self {
            receiver: report.receiver.to_string(),
            standing: report.standing.to_string(),
            had: report.had,
            total: report.total,
            loss_percent: report.loss_percent(),
            headroom: report.headroom,
        }
    }
}

#[derive(Serialize)]
struct Received {
    receiver: String,
    last: bool,
    next_seconds: f64,
    receivers: u32,
}

impl Received {
    fn new(receipt: &Receipt) -> Self {
        Self {
            receiver: receipt.receiver.to_string(),
            last: receipt.is_final,
            next_seconds: receipt.interval.as_secs_f64(),
            receivers: receipt.receivers,
        }
    }
}

#[derive(Serialize)]
struct Broken {
    rule: String,
    section: Option<&'static str>,
}

impl Line {
    fn new(frame: &Frame<'_>, datagram: &Datagram<'_>, verdict: &Verdict<'_>) -> Self {
        let seen = verdict.as_ref().ok();
        let whole = seen.map(|seen| Whole {
            r#type: match seen {
                Seen::Packet(packet) => packet.packet_type().to_string(),
                Seen::Report(..) => "report".to_owned(),
                Seen::Receipt(..) => "receipt".to_owned(),
            },
            tsi: seen.session().tsi.to_string(),
            destination_port: seen.session().destination_port,
            text: seen.to_string(),
        });
        let (report, receipt) = match seen {
            Some(Seen::Report(_, report)) => (Some(Reported::new(report)), None),
            Some(Seen::Receipt(_, receipt)) => (None, Some(Received::new(receipt))),
            Some(Seen::Packet(_)) | None => (None, None),
        };
        let flaw = verdict.as_ref().err();
        Self {
            frame: frame.number,
            time: frame.time.map(|time| Utc::since_1970(time).to_string()),
            from: datagram.from,
            to: datagram.to,
            udp: match datagram.carrier {
                Carrier::Ip => None,
                Carrier::Udp { from, to } => Some(Ports { from, to }),
            },
            bytes: datagram.payload.len() + datagram.missing,
            packet: whole,
            report,
            receipt,
            broken: flaw.map(|flaw| Broken { rule: flaw.to_string(), section: flaw.section() }),
        }
    }
}
