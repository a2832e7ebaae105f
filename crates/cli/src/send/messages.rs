//! `campanile send --stream`, `--lines` and `--zmq`: standard input to a group.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use campanile::files::FileSender;
use campanile::multicast::{Options, PublishError, Published, Publisher, ReceiverId, Report, Standing};

use super::events::{InputFinished, Receiver, Started};
use super::{Arguments, Awaited, NOBODY, Refused};
use crate::command_error::CommandError;
use crate::figures::Count;
use crate::interrupt::Interrupt;
use crate::progress::{Event, Printer};
use crate::session::{self, Kind};
use crate::system_error;

/// Sends standard input to its end, and reports the progress.
pub(super) fn run(arguments: &Arguments, kind: Kind, options: &Options) -> Result<(), CommandError> {
    let publisher = Publisher::start(options).map_err(|error| session::start_error(&error))?;
    session::opened()?;
    let interrupt = Interrupt::new()?;
    let printer = Printer::new(arguments.json);
    printer.print(&Started::input(publisher.tsi(), options, arguments.receivers))?;
    let run = Run {
        publisher: Arc::new(publisher),
        printer,
        started: Instant::now(),
        receivers: BTreeMap::new(),
        input: None,
        read: Arc::default(),
        ended: Ended::No,
        failure: None,
        is_foreign: options.mode.is_foreign(),
        awaited: Awaited::new(arguments.receivers, options),
        refused: Refused::of(options),
        linger: options.sending.linger,
    };
    run.serve(kind, &interrupt)
}

struct Run {
    publisher: Arc<Publisher>,
    printer: Printer,
    started: Instant,
    receivers: BTreeMap<ReceiverId, (IpAddr, Report)>,
    /// The result of the thread that reads, once that was started.
    input: Option<mpsc::Receiver<Result<(), InputError>>>,
    read: Arc<Tally>,
    ended: Ended,
    /// The error because of which the input was not sent to its end.
    failure: Option<CommandError>,
    /// Whether receivers are other programs, which do not report.
    is_foreign: bool,
    awaited: Awaited,
    refused: Refused,
    /// How long repair continues after the end.
    linger: Duration,
}

/// How the input came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    No,
    Whole,
    Interrupted,
    Failed,
}

/// What was read from standard input and sent, counted by the thread that reads.
#[derive(Debug, Default)]
struct Tally {
    bytes: AtomicU64,
    /// For a stream, lines are not counted.
    lines: AtomicU64,
}

impl Tally {
    fn count(&self, bytes: usize, lines: u64) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.lines.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Why standard input was not sent to its end.
enum InputError {
    Read(io::Error),
    Publish(PublishError),
}

impl Run {
    fn serve(mut self, kind: Kind, interrupt: &Interrupt) -> Result<(), CommandError> {
        loop {
            if self.input.is_none() && self.ended == Ended::No {
                self.begin(kind)?;
            }
            match self.publisher.next(TICK) {
                Some(Published::Report { from, report }) => self.heard(from, report)?,
                Some(Published::Finished) => break,
                Some(Published::Failed(why)) => {
                    return Err(CommandError::failed(format!("the network cannot be used any more: {why}")));
                }
                None => {}
            }
            if interrupt.is_pressed() && self.ended == Ended::No {
                // What was read is still sent; the reading thread then finds the session finished.
                self.printer.note("what was read is still sent and repaired; Ctrl-C again ends it at once");
                self.end(Ended::Interrupted);
            }
            if let Some(note) = self.refused.note(&self.publisher.counts()) {
                self.printer.note(&note);
            }
            self.look_at_input();
        }
        self.summary()
    }

    /// Begins to read once all expected receivers have reported.
    fn begin(&mut self, kind: Kind) -> Result<(), CommandError> {
        let is_there = |report: &Report| !report.standing.is_final();
        let there = self.receivers.values().filter(|(_, report)| is_there(report)).count();
        if self.awaited.are_there(there) {
            // Who has left already misses nothing.
            self.receivers.retain(|_, (_, report)| is_there(report));
            let input = read_apart(kind, Arc::clone(&self.publisher), Arc::clone(&self.read));
            self.input = Some(input.map_err(system_error::thread)?);
        } else if let Some(note) = self.awaited.note(there) {
            self.printer.note(&note);
        }
        Ok(())
    }

    /// Checks whether reading has ended.
    fn look_at_input(&mut self) {
        let Some(Ok(read)) = self.input.as_ref().map(mpsc::Receiver::try_recv) else { return };
        // The end of the session is an event of the publisher.
        if self.ended != Ended::No || matches!(read, Err(InputError::Publish(PublishError::Finished))) {
            return;
        }
        self.failure = read.err().map(|error| self.input_error(error));
        self.end(if self.failure.is_some() { Ended::Failed } else { Ended::Whole });
    }

    /// Ends the session after what was read.
    fn end(&mut self, ended: Ended) {
        self.ended = ended;
        // Other programs would take an aborted session for a fault of the network.
        if ended == Ended::Whole || self.is_foreign {
            self.publisher.finish();
        } else {
            self.publisher.cut(GONE);
        }
    }

    fn input_error(&self, error: InputError) -> CommandError {
        match error {
            InputError::Read(error) => {
                CommandError::failed(format!("standard input cannot be read: {error}"))
            }
            InputError::Publish(_) => {
                let line = Count(self.read.lines.load(Ordering::Relaxed) + 1);
                let error =
                    format!("line {line} is too long for a message, and nothing from there on was sent");
                CommandError::bad_input(error).hint("raise --set window, or send it as a stream")
            }
        }
    }

    fn heard(&mut self, from: IpAddr, report: Report) -> Result<(), CommandError> {
        let known = self.receivers.get(&report.receiver).map(|(_, known)| known.standing);
        if known.is_none() && self.receivers.len() == FileSender::RECEIVERS_MAX {
            return Ok(());
        }
        if !known.is_some_and(Standing::is_final) {
            self.receivers.insert(report.receiver, (from, report));
        }
        // Repeated reports count, too: the receiver has lost our receipt and waits for another one.
        self.hurry();
        if known.is_some_and(|known| known.is_final() || known == report.standing) {
            Ok(())
        } else {
            self.print(&Receiver::new(from, &report))
        }
    }

    /// Prints an event. A sender that cannot do so ends, and tells its receivers.
    fn print<T: Event>(&self, event: &T) -> Result<(), CommandError> {
        self.printer.print(event).inspect_err(|_| {
            self.publisher.abort(GONE);
            let until = Instant::now() + LEAVE;
            let goes_on = |event| !matches!(event, Some(Published::Finished | Published::Failed(_)));
            while Instant::now() < until && goes_on(self.publisher.next(TICK)) {}
        })
    }

    /// Shortens the linger once all expected receivers are done: then it only serves those whose receipt was lost.
    fn hurry(&self) {
        let is_over = |(_, report): &(IpAddr, Report)| report.standing.is_final();
        let are_there = self.awaited.wanted > 0 && self.awaited.are_there(self.receivers.len());
        if are_there && self.receivers.values().all(is_over) {
            self.publisher.set_linger(self.linger.min(LAST_RECEIPTS));
        }
    }

    fn summary(self) -> Result<(), CommandError> {
        let is_complete = |(_, report): &&(IpAddr, Report)| report.standing == Standing::Complete;
        let complete = self.receivers.values().filter(is_complete).count();
        let needed = self.awaited.wanted.max(self.receivers.len());
        let success = complete >= needed && self.ended == Ended::Whole;
        self.printer.print(&InputFinished {
            success,
            interrupted: self.ended == Ended::Interrupted,
            seconds: self.started.elapsed().as_secs_f64(),
            bytes: self.read.bytes.load(Ordering::Relaxed),
            lines: self.read.lines.load(Ordering::Relaxed),
            complete,
            receivers: self.receivers.values().map(|(from, report)| Receiver::new(*from, report)).collect(),
            counts: self.publisher.counts(),
            is_foreign: self.is_foreign,
        })?;
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if success {
            if self.receivers.is_empty() && !self.is_foreign {
                self.printer.note(NOBODY);
            }
            return Ok(());
        }
        if self.ended == Ended::Interrupted {
            return Err(CommandError::incomplete("interrupted before the end of standard input"));
        }
        Err(CommandError::incomplete(format!(
            "{complete} of {needed} receivers are known to have everything"
        )))
    }
}

/// Reads standard input in a thread of its own, which may block forever.
fn read_apart(
    kind: Kind,
    publisher: Arc<Publisher>,
    read: Arc<Tally>,
) -> io::Result<mpsc::Receiver<Result<(), InputError>>> {
    let (told, ended) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let to_the_end = if kind == Kind::Stream { read_bytes } else { read_lines };
        // The session may have ended before, and with it the receiving end.
        let _ = told.send(to_the_end(&publisher, &read));
    })?;
    Ok(ended)
}

fn read_bytes(publisher: &Publisher, read: &Tally) -> Result<(), InputError> {
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; PIECE];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                publisher.publish(&buffer[..len]).map_err(InputError::Publish)?;
                // A slow input is flushed, so that it can be repaired at once; a fast one fills packets by itself.
                if len < buffer.len() {
                    publisher.flush().map_err(InputError::Publish)?;
                }
                read.count(len, 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(InputError::Read(error)),
        }
    }
}

fn read_lines(publisher: &Publisher, read: &Tally) -> Result<(), InputError> {
    let mut input = io::stdin().lock();
    let most = publisher.message_len_max();
    let mut line = Vec::new();
    loop {
        line.clear();
        // Two bytes more than a message may have: the end of the line, and one that makes it too long.
        let len = input.by_ref().take(most.saturating_add(2)).read_until(b'\n', &mut line);
        let len = len.map_err(InputError::Read)?;
        if len == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        publisher.publish(&line).map_err(InputError::Publish)?;
        read.count(len, 1);
    }
}

/// How long to wait for receivers that have everything but lost the receipt for their report.
const LAST_RECEIPTS: Duration = Duration::from_millis(500);

/// The reason code in OPT_RST when the input was not sent to its end.
const GONE: u8 = 1;

/// The longest time that leaving may take.
const LEAVE: Duration = Duration::from_secs(1);

/// How often to check for Ctrl-C and the end of the input.
const TICK: Duration = Duration::from_millis(20);

/// How many bytes of a stream are read at a time.
const PIECE: usize = 64 << 10;
