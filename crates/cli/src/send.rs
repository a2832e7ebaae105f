//! `campanile send`: files, or standard input, to a group.

mod events;
mod files;
mod group;
mod messages;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use campanile::doctor::quoted;
use campanile::files::FileSender;
use campanile::multicast::{Counter, Counts, Options, Side};

use crate::arguments;
use crate::command_error::CommandError;
use crate::figures::Count;
use crate::session::{self, Kind, KindArguments, SessionArguments};

/// Send files, lines or a stream to many machines at once.
///
/// Everything is sent once, and what receivers miss is repaired. A receiver of files that joins late, or was killed and restarted,
/// gets the rest. A directory is sent with everything in it, except links.
#[derive(Debug, clap::Args)]
#[command(after_long_help = session::reference(EXAMPLES, Side::Sending), after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Arguments {
    /// Files and directories to send
    #[arg(required_unless_present_any = INSTEAD, conflicts_with_all = INSTEAD, value_name = "FILE", value_parser = arguments::path())]
    files: Vec<PathBuf>,
    #[command(flatten)]
    session: SessionArguments,
    #[command(flatten)]
    kind: KindArguments,
    /// Rate of everything sent, in bit/s, with kbit, mbit or gbit; auto for what the receivers can take [default: 5mbit]
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// Go on until this many receivers have all files or have given up; of standard input, begin once this many have joined [default: wait for none]
    #[arg(long, value_name = "NUMBER", value_parser = arguments::number)]
    receivers: Option<usize>,
    /// Print JSON, one value per line
    #[arg(long)]
    json: bool,
}

/// What is sent instead of files.
const INSTEAD: [&str; 3] = ["stream", "lines", "zmq"];

const EXAMPLES: &str = "\
Examples:
  campanile send image.iso                               once, at 5 Mbit/s
  campanile send --rate 80mbit --receivers 40 image.iso  until 40 have it
  campanile send --rate auto --receivers 40 image.iso    as fast as they take it
  campanile send --interface eth1 photos/ notes.txt      a directory and a file
  campanile send --set preset=lan --json image.iso       for scripts, on a LAN
  tar c photos | campanile send --stream --receivers 3   once three have joined
  campanile send --lines < messages.txt                  each line a message
  campanile send --zmq --group 239.192.7.1:5555          to ZeroMQ subscribers

Exit codes: 0 all receivers that reported have everything, 1 the run failed,
2 bad input, 3 some receivers do not have everything.";

/// What to tell the user when everything went well but no receiver has reported.
const NOBODY: &str = "no receiver has reported, so perhaps nobody has it; --receivers waits for them, and `campanile doctor` \
    on their machines looks for what keeps it away";

/// Receivers that are waited for.
struct Awaited {
    wanted: usize,
    group: SocketAddr,
    /// When to report next that not all of them are there.
    due: Instant,
}

impl Awaited {
    fn new(wanted: Option<usize>, options: &Options) -> Self {
        Self { wanted: wanted.unwrap_or(0), group: options.network.group, due: Instant::now() + LONG }
    }

    fn are_there(&self, there: usize) -> bool {
        there >= self.wanted
    }

    /// The note that is due now, if any, with `there` receivers.
    fn note(&mut self, there: usize) -> Option<String> {
        if self.are_there(there) || Instant::now() < self.due {
            return None;
        }
        self.due = Instant::now() + AGAIN;
        let (wanted, group) = (self.wanted, quoted(self.group));
        Some(format!(
            "receivers so far: {there} of {wanted}; `campanile doctor --group {group}` here and on the other machines looks for \
             what keeps them away"
        ))
    }
}

/// Packets that the system refuses to send, as where an interface has gone.
struct Refused {
    group: SocketAddr,
    is_told: bool,
}

impl Refused {
    fn of(options: &Options) -> Self {
        Self { group: options.network.group, is_told: false }
    }

    /// What to say of them, once.
    fn note(&mut self, counts: &Counts) -> Option<String> {
        if self.is_told || counts.of(Counter::SendErrors) == 0 {
            return None;
        }
        self.is_told = true;
        Some(format!(
            "the system refuses to send; `campanile doctor --group {}` here looks for the reason",
            quoted(self.group)
        ))
    }
}

/// How long receivers may take to appear, or be silent, before a note says so, and the interval of further notes of those that have
/// not come.
const LONG: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_secs(60);

/// Sends, and reports the progress.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let kind = arguments.kind.kind();
    let options = arguments.session.options(Side::Sending, kind, &[("rate", arguments.rate.as_deref())])?;
    if arguments.receivers == Some(0) {
        return Err(
            CommandError::bad_input("--receivers 0 waits for nobody").hint("give 1 or more, or leave it out")
        );
    }
    if arguments.receivers > Some(FileSender::RECEIVERS_MAX) {
        let error =
            format!("at most {} receivers can be kept track of", Count(FileSender::RECEIVERS_MAX as u64));
        return Err(CommandError::bad_input(error).hint("leave --receivers out"));
    }
    if options.mode.is_foreign() && arguments.receivers.is_some() {
        let error = CommandError::bad_input("receivers of ZeroMQ and OpenPGM do not report");
        return Err(error.hint("leave --receivers out"));
    }
    match kind {
        Kind::Files => files::run(arguments, &options),
        Kind::Stream | Kind::Lines | Kind::Zmq => messages::run(arguments, kind, &options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_now_and_then_how_many_receivers_are_missing() {
        let mut awaited = Awaited::new(Some(3), &Options::default());
        assert!(!awaited.are_there(2) && awaited.note(2).is_none(), "it has just begun");
        awaited.due = Instant::now();
        let note = awaited.note(1).expect("it is due");
        assert!(
            note.starts_with("receivers so far: 1 of 3; `campanile doctor --group 239.192.7.1:7500`"),
            "{note}"
        );
        assert!(awaited.note(1).is_none(), "once is enough for a while");
        awaited.due = Instant::now();
        assert!(awaited.note(3).is_none() && awaited.are_there(3));
        assert!(Awaited::new(None, &Options::default()).are_there(0));
    }
}
