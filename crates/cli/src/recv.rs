//! `campanile recv`: receives files from a group, or what a sender read from standard input.

mod events;
mod files;
mod messages;
mod parts;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use campanile::amount;
use campanile::doctor::quoted;
use campanile::multicast::{Options, Side};
use clap::Arg;

use crate::arguments;
use crate::command_error::CommandError;
use crate::session::{self, Kind, KindArguments, SessionArguments};

/// Receive files, lines or a stream that are sent to many machines at once.
///
/// A file appears under its name when it is complete and its hash matches. What is incomplete is kept in .campanile inside the
/// directory: a run that was stopped, even killed, resumes from there, and so does one whose sender was restarted.
#[derive(Debug, clap::Args)]
#[command(after_long_help = session::reference(EXAMPLES, Side::Receiving), after_help = EXAMPLES, allow_negative_numbers = true)]
#[command(arg = stray_word())]
pub(crate) struct Arguments {
    /// Directory to put the files in, created if it is missing
    #[arg(long, value_name = "DIR", required_unless_present_any = INSTEAD, conflicts_with_all = INSTEAD, value_parser = arguments::path())]
    into: Option<PathBuf>,
    #[command(flatten)]
    session: SessionArguments,
    #[command(flatten)]
    kind: KindArguments,
    /// Hear only these senders, by address, separated by commas [default: any]
    #[arg(long, value_name = "ADDRESS", value_parser = arguments::senders)]
    source: Option<String>,
    /// Replace existing files by received ones of the same name
    #[arg(long, conflicts_with_all = INSTEAD)]
    replace: bool,
    /// Receive one session after another [default: end with the first one]
    #[arg(long)]
    stay: bool,
    /// Give up when nothing has come for this long, such as 30s [default: wait forever]
    #[arg(long, value_name = "TIME", value_parser = amount::time)]
    wait: Option<Duration>,
    /// Print JSON, one value per line
    #[arg(long, conflicts_with = "stream")]
    json: bool,
}

/// A word by itself, which is refused: it is mostly meant as the directory.
fn stray_word() -> Arg {
    let refused = |_: &str| Err::<String, _>("give the directory with --into, and only one");
    Arg::new("DIR").hide(true).value_parser(refused)
}

/// What is received instead of files.
const INSTEAD: [&str; 3] = ["stream", "lines", "zmq"];

const EXAMPLES: &str = "\
Examples:
  campanile recv --into downloads                     until all files are there
  campanile recv --into downloads --wait 60           ends after a silent minute
  campanile recv --into downloads --stay --replace    keeps a directory current
  campanile recv --into downloads --source 192.0.2.1  from one sender alone
  campanile recv --stream | tar x                     what the sender pipes in
  campanile recv --lines --stay                       lines, of all senders
  campanile recv --zmq --group 239.192.7.1:5555       from ZeroMQ publishers

Exit codes: 0 everything is there, 1 the run failed, 2 bad input,
3 not everything is there.";

/// A group of which nothing was heard yet.
struct Silence {
    group: SocketAddr,
    is_told: bool,
}

impl Silence {
    fn of(options: &Options) -> Self {
        Self { group: options.network.group, is_told: false }
    }

    /// What to say of it, once, when it has lasted for long.
    fn note(&mut self, lasting: Duration) -> Option<String> {
        if lasting <= LONG || self.is_told {
            return None;
        }
        self.is_told = true;
        Some(format!("nothing was heard of {} yet; {}", self.group, self.hint()))
    }

    /// What to do about it.
    fn hint(&self) -> String {
        format!("`campanile doctor --group {}` looks for what may keep it away", quoted(self.group))
    }
}

/// The time since something last came, without that in which this process was stopped.
struct Lull {
    lasting: Duration,
    /// When this was last asked for.
    looked: Instant,
}

impl Lull {
    fn begin() -> Self {
        Self { lasting: Duration::ZERO, looked: Instant::now() }
    }

    /// How long it has lasted. To be asked for several times a second.
    fn lasting(&mut self) -> Duration {
        let now = Instant::now();
        self.lasting += (now - self.looked).min(RUNNING);
        self.looked = now;
        self.lasting
    }
}

/// The longest time between two looks of a process that runs; what goes beyond it, it was stopped.
const RUNNING: Duration = Duration::from_secs(1);

/// How long a silence is worth a note.
const LONG: Duration = Duration::from_secs(15);

/// Receives, and reports the progress.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let kind = arguments.kind.kind();
    let options =
        arguments.session.options(Side::Receiving, kind, &[("source", arguments.source.as_deref())])?;
    match (kind, &arguments.into) {
        (Kind::Files, Some(into)) => files::run(arguments, into, &options),
        (Kind::Files, None) => {
            Err(CommandError::bad_input("there is no directory to receive into").hint("give --into"))
        }
        (Kind::Stream | Kind::Lines | Kind::Zmq, _) => messages::run(arguments, kind, &options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_stopped_has_not_waited() {
        let looked = Instant::now() - Duration::from_secs(20);
        let mut lull = Lull { lasting: Duration::from_secs(10), looked };
        assert_eq!(lull.lasting(), Duration::from_secs(10) + RUNNING);
    }

    #[test]
    fn a_long_silence_is_reported() {
        let mut silence = Silence::of(&Options::default());
        assert_eq!(silence.note(LONG), None);
        let note = silence.note(LONG * 2).expect("it is long");
        assert!(
            note.starts_with("nothing was heard of 239.192.7.1:7500 yet; `campanile doctor --group "),
            "{note}"
        );
        assert_eq!(silence.note(LONG * 3), None);
    }
}
