//! `campanile recv --into DIR`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::mem;
use std::path::Path;
use std::time::{Duration, Instant};

use campanile::files::{
    Failing, FileReceiver, Incomplete, ReceiveConfig, ReceiveError, ReceiveEvent, ReceiveProgress,
    ReceiveStartError,
};
use campanile::multicast::{EndCause, Options, Tsi};

use super::events::{Begun, Complete, Failed, Finished, Found, Missed, Placed, Receiving, Started};
use super::{Arguments, Lull, Silence};
use crate::command_error::CommandError;
use crate::figures::Things;
use crate::interrupt::Interrupt;
use crate::progress::{Printer, Ticker};
use crate::system_error::room;
use crate::{file_error, session};

/// Receives files into a directory, and reports the progress.
pub(super) fn run(arguments: &Arguments, into: &Path, options: &Options) -> Result<(), CommandError> {
    let config = ReceiveConfig { into: into.to_owned(), replaces: arguments.replace };
    let receiver = FileReceiver::start(options, &config).map_err(start_error)?;
    session::opened()?;
    let interrupt = Interrupt::new()?;
    let mut run = Run {
        receiver,
        printer: Printer::new(arguments.json),
        stays: arguments.stay,
        started: Instant::now(),
        lull: Lull::begin(),
        had: 0,
        hashed: 0,
        silence: Some(Silence::of(options)),
        found: BTreeMap::new(),
        shown: None,
        is_taken: false,
    };
    run.printer.print(&Started::new(into, options))?;
    run.serve(arguments.wait, &interrupt)
}

struct Run {
    receiver: FileReceiver,
    printer: Printer,
    stays: bool,
    started: Instant,
    /// Since something was last received or hashed, and how much of both there was then.
    lull: Lull,
    had: u64,
    hashed: u64,
    /// Until something is heard.
    silence: Option<Silence>,
    /// When each session that is not over was found.
    found: BTreeMap<Tsi, Instant>,
    /// The session that the bar shows.
    shown: Option<Tsi>,
    /// Whether the name of a file was taken already.
    is_taken: bool,
}

/// How a run ends.
type Ending = Result<(), CommandError>;

impl Run {
    /// Receives until the run ends; however that is, the senders are told, and there is a summary.
    fn serve(&mut self, wait: Option<Duration>, interrupt: &Interrupt) -> Ending {
        let end = self.receive(wait, interrupt);
        let left = self.leave(LEAVE, interrupt);
        end.and(left).and(self.summary(interrupt.is_pressed()))
    }

    fn receive(&mut self, wait: Option<Duration>, interrupt: &Interrupt) -> Ending {
        let mut second = Ticker::new(Duration::from_secs(1));
        loop {
            let event = match self.receiver.next(TICK) {
                Ok(event) => event,
                Err(error) => {
                    // What a disk refuses, the senders can still be told.
                    if let ReceiveError::File(_) = error {
                        self.part(PATIENCE, interrupt);
                    }
                    return Err(receive_error(error));
                }
            };
            if let Some(event) = event {
                self.lull = Lull::begin();
                if let Some(end) = self.handle(event)? {
                    // The senders have time to learn how all of their sessions ended here.
                    let left = self.leave(PATIENCE, interrupt);
                    return end.and(left);
                }
            }
            self.look();
            if self.printer.is_json() && second.is_due() {
                self.progress()?;
            }
            let silence = self.lull.lasting();
            if let Some(note) = self.silence.as_mut().and_then(|quiet| quiet.note(silence)) {
                self.printer.note(&note);
            }
            if interrupt.is_pressed() {
                let error = CommandError::incomplete("interrupted").hint(AGAIN);
                return if self.stays { Ok(()) } else { Err(error) };
            }
            if wait.is_some_and(|wait| silence > wait) {
                let message = format!("nothing came for {:.1} s", silence.as_secs_f64());
                let hint = self.silence.as_ref().map_or_else(|| AGAIN.to_owned(), Silence::hint);
                return Err(CommandError::incomplete(message).hint(hint));
            }
        }
    }

    /// Reports an event; returns how the run ends, if it ends with that.
    fn handle(&mut self, event: ReceiveEvent) -> Result<Option<Ending>, CommandError> {
        match event {
            ReceiveEvent::Found { tsi, source } => {
                self.silence = None;
                self.found.insert(tsi, Instant::now());
                let found = Found { session: tsi.to_string(), source: source.to_string() };
                self.printer.print(&found)?;
            }
            ReceiveEvent::Begun { tsi, manifest, progress } => {
                self.printer.print(&Begun::new(tsi, &manifest, progress))?;
                self.printer.begin(bytes(progress), total(progress));
                self.shown = Some(tsi);
            }
            ReceiveEvent::Placed { tsi, name } => {
                self.printer.print(&Placed { session: tsi.to_string(), name: name.to_string() })?;
            }
            ReceiveEvent::Failed { tsi, name, failing } => {
                let error = match &failing {
                    Failing::Name(error) => {
                        self.is_taken |= error.error.kind() == ErrorKind::AlreadyExists;
                        format!("{error}; {}", file_error::cure(error))
                    }
                    Failing::Wrong => failing.to_string(),
                };
                self.printer.print(&Failed { session: tsi.to_string(), name: name.to_string(), error })?;
            }
            ReceiveEvent::Complete { tsi } => {
                let seconds = self.found.remove(&tsi).map_or(0.0, |found| found.elapsed().as_secs_f64());
                self.printer.print(&Complete { session: tsi.to_string(), seconds })?;
                return Ok((!self.stays).then_some(Ok(())));
            }
            ReceiveEvent::Incomplete { tsi, why, missing } => {
                self.found.remove(&tsi);
                let missed = Missed { session: tsi.to_string(), why: why.to_string(), missing };
                self.printer.print(&missed)?;
                if matches!(why, Incomplete::Ended(_)) && !self.stays && !is_final(&why) {
                    self.printer.note("what was received is kept; waiting for it to be sent again");
                }
                if !self.stays && is_final(&why) {
                    let message = match missing {
                        0 => why.to_string(),
                        _ => format!("{why}; {} missing", Things(missing, "packet")),
                    };
                    return Ok(Some(Err(CommandError::incomplete(message).hint(self.again()))));
                }
            }
            ReceiveEvent::Acknowledged { .. } => {}
        }
        Ok(None)
    }

    /// Updates the display and the time of the last progress in receiving, hashing and storing.
    fn look(&mut self) {
        let (mut had, hashed) = (0, self.receiver.hashed());
        let is_hashing = hashed != self.hashed;
        let mut is_finishing = false;
        for (tsi, progress) in self.receiver.progress() {
            had += progress.had;
            // Everything has come, and a disk may take long to store it.
            is_finishing |= progress.is_whole();
            // Hashing files that are there already may take long, before anything else is known of the session.
            if self.shown.is_none() && is_hashing && progress.total > 0 {
                self.shown = Some(tsi);
                self.printer.begin(bytes(progress), total(progress));
            }
            if self.shown == Some(tsi) {
                let message = || if is_hashing { ", hashing" } else { "" }.to_owned();
                self.printer.show(bytes(progress), message);
            }
        }
        if is_finishing || (had, hashed) != (self.had, self.hashed) {
            (self.had, self.hashed, self.lull) = (had, hashed, Lull::begin());
        }
    }

    fn progress(&self) -> Result<(), CommandError> {
        for (tsi, progress) in self.receiver.progress() {
            let ReceiveProgress { had, total, block_len } = progress;
            let session = tsi.to_string();
            self.printer.print(&Receiving { seconds: self.seconds(), session, had, total, block_len })?;
        }
        Ok(())
    }

    /// Leaves the sessions that are not over.
    fn leave(&mut self, patience: Duration, interrupt: &Interrupt) -> Result<(), CommandError> {
        let progress: BTreeMap<_, _> = self.receiver.progress().collect();
        let mut said = Ok(());
        for tsi in mem::take(&mut self.found).into_keys() {
            let missing =
                progress.get(&tsi).map_or(0, |progress| progress.total.saturating_sub(progress.had));
            let left = Missed { session: tsi.to_string(), why: LEFT.to_owned(), missing };
            said = said.and(self.printer.print(&left));
        }
        self.receiver.leave();
        self.part(patience, interrupt);
        said
    }

    /// Continues until the senders know how the sessions ended here, at most for `patience`, and for less after Ctrl-C.
    fn part(&mut self, patience: Duration, interrupt: &Interrupt) {
        let begun = Instant::now();
        let patience = || if interrupt.is_pressed() { LEAVE } else { patience };
        // Only the first error is reported.
        while self.receiver.is_owing() && begun.elapsed() < patience() && self.receiver.next(TICK).is_ok() {}
    }

    fn summary(&mut self, interrupted: bool) -> Result<(), CommandError> {
        self.printer.end();
        let (seconds, counts) = (self.seconds(), self.receiver.counts());
        self.printer.print(&Finished { interrupted, seconds, counts })
    }

    /// What to do about missing files.
    fn again(&self) -> &'static str {
        if self.is_taken { TAKEN } else { AGAIN }
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

/// Whether waiting for more is pointless: the sender has finished properly, or the fault is on this side.
fn is_final(why: &Incomplete) -> bool {
    matches!(why, Incomplete::Files | Incomplete::Ended(EndCause::Fin | EndCause::Loss))
}

fn bytes(progress: ReceiveProgress) -> u64 {
    progress.had * progress.block_len as u64
}

fn total(progress: ReceiveProgress) -> u64 {
    progress.total * progress.block_len as u64
}

const LEFT: &str = "this receiver left it";
const AGAIN: &str = "run it again: what was received is kept";
const TAKEN: &str = "run it again with --replace, or once the files that were there are moved away: what was received is kept";

/// How often to check for Ctrl-C and to update the bar.
const TICK: Duration = Duration::from_millis(100);

/// How long to wait for a sender's acknowledgement.
const PATIENCE: Duration = Duration::from_secs(4);

/// The longest time that leaving may take.
const LEAVE: Duration = Duration::from_secs(1);

fn start_error(error: ReceiveStartError) -> CommandError {
    match &error {
        ReceiveStartError::Directory(error) => {
            if let Some(hint) = room(&error.error) {
                return CommandError::failed(error).hint(hint);
            }
            let hint = match error.error.kind() {
                ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::NotFound => {
                    "give a directory with --into"
                }
                _ => file_error::cure(error),
            };
            CommandError::bad_input(error).hint(hint)
        }
        ReceiveStartError::Network(error) => session::start_error(error),
    }
}

fn receive_error(error: ReceiveError) -> CommandError {
    match &error {
        ReceiveError::File(file) => CommandError::failed(file).hint(file_error::cure(file)),
        ReceiveError::Network(_) => CommandError::failed(error),
    }
}
