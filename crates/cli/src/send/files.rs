//! `campanile send FILE`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use campanile::files::{
    CollectProgress, Collecting, FileSender, ManifestError, Offering, OfferingError, SendError, SendEvent,
    SendStartError,
};
use campanile::multicast::{Counter, Options};

use super::events::{Drained, Finished, Receiver, Sending, Started};
use super::group::{Group, Silent};
use super::{Arguments, Awaited, NOBODY, Refused};
use crate::command_error::CommandError;
use crate::figures::Count;
use crate::interrupt::Interrupt;
use crate::progress::{Event, Printer, Ticker};
use crate::system_error::{self, shortage};
use crate::{output, session};

/// Sends files, and reports the progress.
pub(super) fn run(arguments: &Arguments, options: &Options) -> Result<(), CommandError> {
    // Hashing may take long: errors of the interfaces are reported before.
    options.mtu().map_err(|error| session::start_error(&error))?;
    let hashing = Printer::new(arguments.json);
    let offering = collected(&arguments.files, &hashing);
    hashing.end();
    let offering = offering?;
    for path in offering.skipped() {
        let why = match path {
            link if link.is_symlink() => "a link",
            directory if directory.is_dir() => "empty",
            _ => "neither a file nor a directory",
        };
        output::note(format_args!("{} is left out: it is {why}", path.display()));
    }
    let sender = FileSender::start(options, offering, arguments.receivers).map_err(start_error)?;
    session::opened()?;
    let interrupt = Interrupt::new()?;
    let run = Run {
        sender,
        printer: Printer::new(arguments.json),
        started: Instant::now(),
        awaited: Awaited::new(arguments.receivers, options),
        refused: Refused::of(options),
        silent: Silent::default(),
    };
    run.serve(options, arguments.receivers, &interrupt)
}

/// Hashes the files to send, and shows the progress. Ctrl-C just ends the process: there is no session yet.
fn collected(files: &[PathBuf], printer: &Printer) -> Result<Offering, CommandError> {
    let collecting = Collecting::start(files.to_vec()).map_err(system_error::thread)?;
    let mut is_begun = false;
    loop {
        if let Some(offering) = collecting.next(TICK).map_err(offering_error)? {
            return Ok(offering);
        }
        let CollectProgress { hashed, total } = collecting.progress();
        if total > 0 && !is_begun {
            is_begun = true;
            printer.begin(hashed, total);
        }
        printer.show(hashed, || ", hashing".to_owned());
    }
}

struct Run {
    sender: FileSender,
    printer: Printer,
    started: Instant,
    awaited: Awaited,
    refused: Refused,
    silent: Silent,
}

impl Run {
    fn serve(
        mut self,
        options: &Options,
        wanted: Option<usize>,
        interrupt: &Interrupt,
    ) -> Result<(), CommandError> {
        let started = Started::files(&self.sender, options, wanted);
        self.print(&started)?;
        self.printer.begin(0, self.sender.progress().total);
        let sent = self.send(interrupt);
        self.printer.end();
        self.conclude(wanted, sent)
    }

    /// Sends until the session is over; returns whether Ctrl-C ended it.
    fn send(&mut self, interrupt: &Interrupt) -> Result<bool, CommandError> {
        let mut second = Ticker::new(Duration::from_secs(1));
        let mut glance = Ticker::new(GLANCE);
        let mut is_interrupted = false;
        loop {
            let event = self.sender.next(TICK).map_err(send_error)?;
            match event {
                // Receivers that are not done have their lines below the bar, if there is one.
                Some(SendEvent::Receiver(listener))
                    if self.printer.is_shown() && !listener.report.standing.is_final() => {}
                Some(SendEvent::Receiver(listener)) => self.print(&Receiver::of(&listener))?,
                Some(SendEvent::Drained) => self.print(&Drained { seconds: self.seconds() })?,
                Some(SendEvent::Finished) => return Ok(is_interrupted),
                None => {}
            }
            if glance.is_due() {
                self.printer.show(self.sender.progress().sent, || self.message());
                if self.awaited.wanted > 0
                    && !self.printer.is_shown()
                    && let Some(note) = self.silent.note(self.sender.receivers())
                {
                    self.printer.note(&note);
                }
            }
            if let Some(note) = self.awaited.note(self.sender.receivers().count()) {
                self.printer.note(&note);
            }
            if let Some(note) = self.refused.note(&self.sender.counts()) {
                self.printer.note(&note);
            }
            if self.printer.is_json() && second.is_due() {
                self.print(&Sending::new(&self.sender, self.seconds()))?;
            }
            if interrupt.is_pressed() && !is_interrupted {
                is_interrupted = true;
                if self.sender.is_drained() {
                    self.printer.note("what was sent is still repaired; Ctrl-C again ends it at once");
                    self.sender.finish();
                } else {
                    self.sender.abort();
                }
            }
        }
    }

    /// Prints an event. A sender that cannot do so ends, and tells its receivers.
    fn print<T: Event>(&mut self, event: &T) -> Result<(), CommandError> {
        self.printer.print(event).inspect_err(|_| {
            self.sender.abort();
            let until = Instant::now() + LEAVE;
            let goes_on = |event| !matches!(event, Ok(Some(SendEvent::Finished)) | Err(_));
            while Instant::now() < until && goes_on(self.sender.next(TICK)) {}
        })
    }

    /// Reports the results; fails if some receiver does not have everything.
    fn conclude(self, wanted: Option<usize>, sent: Result<bool, CommandError>) -> Result<(), CommandError> {
        let end = Sending::new(&self.sender, self.seconds());
        let needed = wanted.unwrap_or(end.receivers.len());
        let all_sent = wanted.is_some() || self.sender.is_drained();
        let complete = sent.is_ok() && end.complete >= needed && all_sent;
        let interrupted = matches!(sent, Ok(true));
        self.printer.print(&Finished { success: complete, interrupted, wanted, end })?;
        let is_interrupted = sent?;
        if complete {
            if needed == 0 {
                self.printer.note(NOBODY);
            }
            return Ok(());
        }
        if is_interrupted && !self.sender.is_drained() {
            return Err(CommandError::incomplete("interrupted before all was sent").hint(AGAIN));
        }
        let mut message =
            format!("{} of {needed} receivers are known to have everything", self.sender.complete());
        match self.sender.failed() {
            0 => {}
            1 => message.push_str(", 1 has failed or left"),
            failed => message.push_str(&format!(", {failed} have failed or left")),
        }
        Err(CommandError::incomplete(message).hint(AGAIN))
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn message(&self) -> String {
        let counts = self.sender.counts();
        let repaired = counts.of(Counter::RdataSent) + counts.of(Counter::RdataParitySent);
        let group = Group::new(self.sender.receivers(), self.awaited.wanted, self.printer.room());
        format!(", {} repairs\n{group}", Count(repaired))
    }
}

const AGAIN: &str = "send it again: each receiver keeps what it has";

/// How often to check for Ctrl-C and to update the bar.
const TICK: Duration = Duration::from_millis(100);

/// The longest time that leaving may take.
const LEAVE: Duration = Duration::from_secs(1);

/// How often the display is updated.
const GLANCE: Duration = Duration::from_millis(200);

fn offering_error(error: OfferingError) -> CommandError {
    match &error {
        OfferingError::File(error) => match shortage(&error.error) {
            Some(hint) => CommandError::failed(error).hint(hint),
            None if error.path == Path::new("-") => {
                CommandError::bad_input(error).hint("give --stream or --lines for standard input")
            }
            None => CommandError::bad_input(error).hint("see that it is there and may be read"),
        },
        OfferingError::Kind(_) => CommandError::bad_input(error).hint("give files and directories"),
        OfferingError::Name(..) => CommandError::bad_input(error).hint("rename it, or send an archive"),
        OfferingError::Manifest(ManifestError::Count(0)) => {
            CommandError::bad_input(error).hint("give a file, or a directory with one in it")
        }
        OfferingError::Manifest(ManifestError::Collision(_)) => {
            CommandError::bad_input(error).hint("give each one once, rename one, or send an archive of them")
        }
        OfferingError::Manifest(_) => {
            CommandError::bad_input(error).hint("send an archive of them, or a part of them at a time")
        }
    }
}

fn start_error(error: SendStartError) -> CommandError {
    match &error {
        SendStartError::Manifest(_) => CommandError::bad_input(error).hint("send an archive of them"),
        SendStartError::TooLarge(_) => {
            CommandError::bad_input(error).hint("send parts of it one after the other")
        }
        SendStartError::Network(error) => session::start_error(error),
    }
}

fn send_error(error: SendError) -> CommandError {
    match error {
        SendError::File(error) => {
            let hint = match error.error.kind() {
                ErrorKind::Other | ErrorKind::NotFound => "send it again once it stays as it is",
                _ => shortage(&error.error).unwrap_or("see that it can be read, and send it again"),
            };
            CommandError::failed(error).hint(format!("{hint}: each receiver keeps what it has"))
        }
        SendError::Network(_) => CommandError::failed(error),
    }
}
