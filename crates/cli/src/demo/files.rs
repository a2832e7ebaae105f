//! The part of the demo that sends a file to several receivers, through loss.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use campanile::files::{
    FileReceiver, FileSender, Offering, OfferingError, ReceiveConfig, ReceiveError, ReceiveEvent,
    ReceiveStartError, SendError, SendEvent, SendStartError,
};
use campanile::multicast::{Counter, Counts, Options, Standing, StartError};

use crate::command_error::CommandError;
use crate::figures::{BitRate, Size, Span, Things};
use crate::interrupt::Interrupt;
use crate::{output, session, system_error};

/// Sends a file to receivers in this process, and reports what it cost.
pub(super) fn run(interrupt: &Interrupt) -> Result<(), CommandError> {
    let scratch =
        tempfile::tempdir().map_err(|error| no_place(format!("no temporary directory: {error}"), &error))?;
    let file = scratch.path().join("part-of-this-program");
    let size = copy_of_this_program(&file)
        .map_err(|error| no_place(format!("a file for the demo cannot be written: {error}"), &error))?;
    let options = options()?;
    let (rate, group) = (BitRate(options.sending.rate.initial_bps() as f64), options.network.group);
    output::line("")?;
    output::line(format_args!(
        "One file goes to {RECEIVERS} receivers at once, by multicast; each loses {LOSS} of what comes."
    ))?;
    output::line(format_args!("  file        {}, a part of this program", Size(size)))?;
    output::line(format_args!("  group       {group} on loopback, at {rate}"))?;

    let started = Instant::now();
    let end = End { interrupt: interrupt.clone(), is_over: Arc::default(), failure: Arc::default() };
    let mut receivers = Vec::new();
    let sent = transfer(&file, scratch.path(), &options, &end, &mut receivers);
    if sent.is_err() {
        end.is_over.store(true, Ordering::Relaxed);
    }
    // The directory can be removed once they are over: they have files in it.
    let mut dropped = Vec::new();
    for receiver in receivers {
        let counts = receiver.join().map_err(|_| CommandError::failed("a receiver panicked"))?;
        let came = counts.of(Counter::OdataReceived) + counts.of(Counter::RdataReceived);
        let lost = counts.of(Counter::Injected);
        dropped.push(lost as f64 / (came + lost).max(1) as f64);
    }
    // The error of a receiver says more than that of a sender that gets no answers.
    if let Some(error) = Arc::into_inner(end.failure).and_then(OnceLock::into_inner) {
        return Err(error);
    }
    let Some((counts, last)) = sent? else { return Ok(()) };
    let wire = counts.of(Counter::BytesSent);
    let losses: Vec<String> = dropped.iter().map(|share| format!("{:.1} %", share * 100.0)).collect();
    let repairs = counts.of(Counter::RdataSent) + counts.of(Counter::RdataParitySent);
    let took = Span::from_ns(u64::try_from((last - started).as_nanos()).unwrap_or(u64::MAX));
    output::line("")?;
    output::line(format_args!("All {RECEIVERS} have it after {took}, each with the right hash."))?;
    output::line(format_args!("  lost        {}", losses.join(", ")))?;
    let times = wire as f64 / size as f64;
    output::line(format_args!(
        "  sent        {}: {times:.2} times the file, not {RECEIVERS} times",
        Size(wire)
    ))?;
    output::line(format_args!(
        "  repairs     {}, for {}",
        Things(repairs, "packet"),
        Things(counts.of(Counter::NaksReceived), "NAK")
    ))
}

/// Starts the receivers, and sends them the file. `None` if it ended early.
fn transfer(
    file: &Path,
    scratch: &Path,
    options: &Options,
    end: &End,
    receivers: &mut Vec<JoinHandle<Counts>>,
) -> Result<Option<(Counts, Instant)>, CommandError> {
    for number in 1..=RECEIVERS {
        receivers.push(receive(scratch, number, options, end)?);
    }
    let offering = Offering::collect(&[file.to_owned()]).map_err(offering_error)?;
    send(FileSender::start(options, offering, Some(RECEIVERS)).map_err(start_error)?, end)
}

/// Reasons to end early.
#[derive(Clone)]
struct End {
    interrupt: Interrupt,
    /// Nothing more is sent.
    is_over: Arc<AtomicBool>,
    /// The error of the first receiver that failed.
    failure: Arc<OnceLock<CommandError>>,
}

impl End {
    fn has_come(&self) -> bool {
        self.interrupt.is_pressed() || self.is_over.load(Ordering::Relaxed) || self.failure.get().is_some()
    }
}

/// Sends to the end; returns the counts and when the last receiver had everything, or `None` if it ended early.
fn send(mut sender: FileSender, end: &End) -> Result<Option<(Counts, Instant)>, CommandError> {
    let mut last = Instant::now();
    let until = last + PATIENCE;
    loop {
        match sender.next(TICK).map_err(send_error)? {
            Some(SendEvent::Receiver(listener)) if listener.report.standing == Standing::Complete => {
                last = Instant::now()
            }
            Some(SendEvent::Receiver(listener)) if listener.report.standing.is_final() => sender.abort(),
            Some(SendEvent::Finished) => break,
            _ => {}
        }
        if end.has_come() {
            return Ok(None);
        }
        if Instant::now() > until {
            break;
        }
    }
    if sender.complete() < RECEIVERS {
        return Err(CommandError::failed(format!(
            "{} of {RECEIVERS} receivers have the file",
            sender.complete()
        )));
    }
    Ok(Some((sender.counts(), last)))
}

/// Starts a receiver, whose thread ends once it has everything and the sender knows it, or soon after, or early.
fn receive(
    scratch: &Path,
    number: usize,
    options: &Options,
    end: &End,
) -> Result<JoinHandle<Counts>, CommandError> {
    let mut options = options.clone();
    options.set("inject-loss", LOSS).map_err(CommandError::failed)?;
    let config = ReceiveConfig { into: scratch.join(number.to_string()), replaces: false };
    let mut receiver = FileReceiver::start(&options, &config).map_err(|error| match &error {
        ReceiveStartError::Directory(file) => no_place(&error, &file.error),
        ReceiveStartError::Network(why) => no_session(why),
    })?;
    let end = end.clone();
    let receiving = thread::Builder::new().spawn(move || {
        if let Err(error) = receive_all(&mut receiver, &end) {
            // Only the first error is reported.
            let _ = end.failure.set(error);
        }
        receiver.counts()
    });
    receiving.map_err(system_error::thread)
}

/// Receives until the sender knows that everything arrived, or until it ends early.
fn receive_all(receiver: &mut FileReceiver, end: &End) -> Result<(), CommandError> {
    let mut until = Instant::now() + PATIENCE;
    let mut is_complete = false;
    while Instant::now() < until && !end.has_come() {
        match receiver.next(TICK).map_err(receive_error)? {
            Some(ReceiveEvent::Complete { .. }) => {
                // It only waits for its sender to know this.
                is_complete = true;
                until = Instant::now() + LINGER * 2;
            }
            Some(ReceiveEvent::Acknowledged { .. }) => break,
            Some(ReceiveEvent::Incomplete { why, .. }) => {
                return Err(CommandError::failed(format!("a receiver does not have everything: {why}")));
            }
            // Packets arrive without events.
            Some(_) | None => {}
        }
    }
    if is_complete || end.has_come() {
        Ok(())
    } else {
        let doctor = "see what `campanile doctor --group 239.192.7.1 --interface 127.0.0.1` finds";
        Err(CommandError::failed("a receiver waited in vain").hint(doctor))
    }
}

/// The demo's files cannot be written.
fn no_place(message: impl fmt::Display, why: &io::Error) -> CommandError {
    let elsewhere = "set TMPDIR (Windows: TEMP) to a directory that can be written and has room for 30 MB";
    CommandError::failed(message).hint(system_error::shortage(why).unwrap_or(elsewhere))
}

/// A session on loopback could not be started.
fn no_session(error: &StartError) -> CommandError {
    let hint = session::shortage_in(error).unwrap_or("see what `campanile doctor` finds");
    CommandError::failed(error).hint(hint)
}

fn offering_error(error: OfferingError) -> CommandError {
    match &error {
        OfferingError::File(file) => no_place(&error, &file.error),
        _ => CommandError::failed(error),
    }
}

fn start_error(error: SendStartError) -> CommandError {
    match &error {
        SendStartError::Network(why) => no_session(why),
        _ => CommandError::failed(error),
    }
}

fn send_error(error: SendError) -> CommandError {
    match &error {
        SendError::File(file) => no_place(&error, &file.error),
        SendError::Network(_) => CommandError::failed(error),
    }
}

fn receive_error(error: ReceiveError) -> CommandError {
    match &error {
        ReceiveError::File(file) => no_place(&error, &file.error),
        ReceiveError::Network(_) => CommandError::failed(error),
    }
}

fn options() -> Result<Options, CommandError> {
    // A port that is free gives a group that nobody else uses. NAKs need another one: on Windows receivers bind that of the group.
    let free = || UdpSocket::bind("127.0.0.1:0").and_then(|socket| Ok((socket.local_addr()?.port(), socket)));
    let (group, unicast) = free()
        .and_then(|first| Ok((first, free()?)))
        .map(|((group, _), (unicast, _))| (format!("239.192.7.1:{group}"), unicast.to_string()))
        .map_err(|error| {
            let hint = system_error::shortage(&error);
            CommandError::failed(format!("loopback has no free port: {error}")).hint_if(hint)
        })?;
    let mut options = Options::default();
    for (name, value) in [
        ("group", group.as_str()),
        ("unicast-port", unicast.as_str()),
        ("interface", "127.0.0.1"),
        ("rate", "40mbit"),
        ("linger", "500ms"),
    ] {
        options.set(name, value).map_err(CommandError::failed)?;
    }
    Ok(options)
}

/// Writes the beginning of this program to a file; returns its size.
fn copy_of_this_program(to: &Path) -> io::Result<u64> {
    let mut program = File::open(std::env::current_exe()?)?.take(SIZE);
    io::copy(&mut program, &mut File::create(to)?)
}

const RECEIVERS: usize = 4;
const LOSS: &str = "20%";
const SIZE: u64 = 4_000_000;
const TICK: Duration = Duration::from_millis(100);

/// How long repair continues after everything was sent.
const LINGER: Duration = Duration::from_millis(500);

/// The longest time that this part may take; it usually takes a second or two.
const PATIENCE: Duration = Duration::from_secs(20);
