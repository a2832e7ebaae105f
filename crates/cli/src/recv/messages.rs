//! `campanile recv --stream`, `--lines` and `--zmq`: a group to standard output.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Stdout, Write};
use std::mem;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use campanile::multicast::{
    Bytes, ContentKind, EndCause, Foreign, Options, ProfileError, Received, Seq, Subscriber, Tsi,
};

use super::events::{Ended, Heard, Joined, Listening, Lost, Message, TooLong, Unheard};
use super::parts::{Parts, Whole};
use super::{Arguments, Lull, Silence};
use crate::command_error::CommandError;
use crate::interrupt::Interrupt;
use crate::progress::Event;
use crate::session::{self, Kind};
use crate::{figures::Things, output};

/// Writes what is received to standard output, until the session is over.
pub(super) fn run(arguments: &Arguments, kind: Kind, options: &Options) -> Result<(), CommandError> {
    let subscriber = Subscriber::start(options).map_err(|error| session::start_error(&error))?;
    session::opened()?;
    let interrupt = Interrupt::new()?;
    let mut run = Run {
        subscriber,
        kind,
        out: BufWriter::new(io::stdout()),
        json: arguments.json,
        stays: arguments.stay,
        is_foreign: options.mode.is_foreign(),
        started: Instant::now(),
        silence: Some(Silence::of(options)),
        live: BTreeMap::new(),
        waiting: BTreeSet::new(),
        ended: None,
        message_max: options.receiving.limits.message_len as u64,
        messages: 0,
        bytes: 0,
        lost: 0,
        flaw: None,
    };
    run.event(&Listening::to(options))?;
    run.serve(arguments.wait, &interrupt)
}

struct Run {
    subscriber: Subscriber,
    kind: Kind,
    /// The output, buffered while more arrives at once.
    out: BufWriter<Stdout>,
    json: bool,
    stays: bool,
    /// Whether the sources are other programs, which do not know reports.
    is_foreign: bool,
    started: Instant,
    /// Until something is heard.
    silence: Option<Silence>,
    live: BTreeMap<Tsi, Live>,
    /// Streams that wait for the present one to end.
    waiting: BTreeSet<Tsi>,
    /// The session whose end is that of the run, if its source has to learn how it ended here.
    ended: Option<Tsi>,
    /// The longest message that is accepted, in bytes.
    message_max: u64,
    /// Messages written.
    messages: u64,
    bytes: u64,
    /// Packets lost for good.
    lost: u64,
    /// Why something is missing, if it is.
    flaw: Option<String>,
}

/// A session that is being received.
struct Live {
    source: IpAddr,
    /// What has come of its present message.
    parts: Parts<Bytes>,
    /// Whether this receiver reports to its source.
    is_told: bool,
}

/// Whether there is more to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    More,
    Over,
}

impl Run {
    fn serve(mut self, wait: Option<Duration>, interrupt: &Interrupt) -> Result<(), CommandError> {
        let over = self.listen(wait, interrupt).and(self.out.flush().map_err(CommandError::from));
        let is_over = over.is_ok();
        self.leave(|| if is_over && !interrupt.is_pressed() { PATIENCE } else { LEAVE });
        over.and(self.summary(interrupt.is_pressed()))?;
        match self.flaw {
            Some(flaw) if !self.stays => Err(CommandError::incomplete(flaw)),
            _ => Ok(()),
        }
    }

    fn listen(&mut self, wait: Option<Duration>, interrupt: &Interrupt) -> Result<(), CommandError> {
        let mut lull = Lull::begin();
        loop {
            if let Some(event) = self.next()? {
                lull = Lull::begin();
                if self.handle(event)? == Next::Over {
                    return Ok(());
                }
            }
            let silence = lull.lasting();
            if let Some(note) = self.silence.as_mut().and_then(|quiet| quiet.note(silence)) {
                output::note(note);
            }
            if interrupt.is_pressed() {
                return if self.stays { Ok(()) } else { Err(CommandError::incomplete("interrupted")) };
            }
            if wait.is_some_and(|wait| silence > wait) {
                let message = format!("nothing came for {:.1} s", silence.as_secs_f64());
                let error = CommandError::incomplete(message);
                return Err(match &self.silence {
                    Some(quiet) => error.hint(quiet.hint()),
                    None => error,
                });
            }
        }
    }

    /// Leaves all sessions, and those that begin meanwhile, until their sources know how they ended here; nothing more is written.
    fn leave(&mut self, patience: impl Fn() -> Duration) {
        let live = mem::take(&mut self.live);
        live.keys().for_each(|tsi| self.subscriber.leave(*tsi));
        let told = |(tsi, live): (Tsi, Live)| live.is_told.then_some(tsi);
        let mut owing: BTreeSet<Tsi> = live.into_iter().filter_map(told).chain(self.ended).collect();
        let begun = Instant::now();
        while !owing.is_empty() && begun.elapsed() < patience() {
            match self.subscriber.next(TICK) {
                Some(Received::Acknowledged { tsi }) => _ = owing.remove(&tsi),
                Some(Received::Start { tsi, .. }) => self.subscriber.leave(tsi),
                Some(Received::Failed(_)) => return,
                _ => {}
            }
        }
    }

    /// Writes the summary: to standard error, or as the last event in JSON.
    fn summary(&mut self, interrupted: bool) -> Result<(), CommandError> {
        let heard = Heard {
            interrupted,
            seconds: self.started.elapsed().as_secs_f64(),
            messages: self.messages,
            bytes: self.bytes,
            counts: self.subscriber.counts(),
        };
        if self.json {
            return output::event(Heard::NAME, &heard);
        }
        output::aside(heard);
        Ok(())
    }

    /// The next event. Flushes the output before it waits.
    fn next(&mut self) -> Result<Option<Received>, CommandError> {
        if let Some(event) = self.subscriber.try_next() {
            return Ok(Some(event));
        }
        self.out.flush()?;
        Ok(self.subscriber.next(TICK))
    }

    fn handle(&mut self, event: Received) -> Result<Next, CommandError> {
        match event {
            Received::Start { tsi, source, first } => return self.begin(tsi, source, first),
            Received::Message { tsi, bytes, more } => {
                let parts = self.live.get_mut(&tsi).map(|live| &mut live.parts);
                match parts.and_then(|parts| parts.take(bytes, more, self.message_max)) {
                    Some(Whole::Message(parts)) => self.write_message(tsi, &parts)?,
                    Some(Whole::TooLong(len)) => self.leave_out(tsi, len)?,
                    None => {}
                }
            }
            Received::Bytes { bytes, .. } => {
                self.bytes += bytes.len() as u64;
                self.out.write_all(&bytes)?;
            }
            Received::Lost { tsi, first, last } => {
                self.cut(tsi);
                let packets = u64::from(last.distance_from(first)) + 1;
                self.lost += packets;
                self.tell(&Lost { session: tsi.to_string(), packets })?;
                self.flaw = Some(format!("{} lost for good", Things(self.lost, "packet")));
            }
            Received::TooLong { tsi, len, .. } => {
                self.cut(tsi);
                self.leave_out(tsi, len)?;
            }
            Received::Foreign { tsi, why } => {
                self.live.remove(&tsi);
                self.tell(&Unheard { session: tsi.to_string(), why: format!("{why}{}", taken_by(why)) })?;
            }
            Received::End { tsi, cause } => return self.end(tsi, cause),
            Received::Stalled { .. } | Received::Resumed { .. } | Received::Acknowledged { .. } => {}
            Received::Failed(why) => {
                self.live.clear();
                return Err(CommandError::failed(format!("the network cannot be used any more: {why}")));
            }
        }
        Ok(Next::More)
    }

    /// Writes an event, if the output is JSON.
    fn event<T: Event>(&mut self, event: &T) -> Result<(), CommandError> {
        if self.json { output::write_event(&mut self.out, T::NAME, event) } else { Ok(()) }
    }

    /// Writes an event if the output is JSON, and a note otherwise.
    fn tell<T: Event>(&mut self, event: &T) -> Result<(), CommandError> {
        if !self.json {
            output::note(event);
        }
        self.event(event)
    }

    fn begin(&mut self, tsi: Tsi, source: IpAddr, first: Seq) -> Result<Next, CommandError> {
        self.silence = None;
        let other = self.live.iter().next().filter(|_| self.kind == Kind::Stream);
        match other.map(|(&other, live)| (other, live.source == source)) {
            // Only one program at a time can have the port at an address, so the earlier one has ended.
            Some((other, true)) => {
                self.live.remove(&other);
                self.subscriber.leave(other);
                self.ended(other, Some("its sender restarted"))?;
                if !self.stays {
                    self.subscriber.leave(tsi);
                    return Ok(Next::Over);
                }
            }
            Some((_, false)) => {
                let fate = if self.stays { "has to wait" } else { "is not heard" };
                output::note(format_args!("session {tsi} from {source} {fate}: one stream at a time"));
                self.subscriber.leave(tsi);
                if self.stays && self.waiting.len() < WAITING_MAX {
                    self.waiting.insert(tsi);
                }
                return Ok(Next::More);
            }
            None => {}
        }
        let missed = (!self.is_foreign).then_some(first.0);
        self.live.insert(tsi, Live { source, parts: Parts::default(), is_told: missed == Some(0) });
        let joined = Joined { session: tsi.to_string(), source: source.to_string(), missed };
        let is_late = missed.is_some_and(|missed| missed > 0);
        if is_late && self.kind == Kind::Stream && !self.stays {
            self.flaw = Some(format!("session {tsi} had already begun: its beginning is missing"));
        } else if is_late && !self.json {
            output::note(&joined);
        }
        self.event(&joined)?;
        Ok(Next::More)
    }

    /// Drops what has come of a session's present message: the rest of it is lost.
    fn cut(&mut self, tsi: Tsi) {
        if let Some(live) = self.live.get_mut(&tsi) {
            live.parts = Parts::default();
        }
    }

    /// Reports that a message is too long to be written.
    fn leave_out(&mut self, tsi: Tsi, bytes: u64) -> Result<(), CommandError> {
        let flaw = TooLong { session: tsi.to_string(), bytes };
        self.tell(&flaw)?;
        self.flaw = Some(flaw.to_string());
        Ok(())
    }

    /// Reports that a session is over. If that is early (`why`), something is missing: it is reported at once with `--stay`, otherwise
    /// at the end.
    fn ended(&mut self, tsi: Tsi, why: Option<&'static str>) -> Result<(), CommandError> {
        let ended = Ended { session: tsi.to_string(), why };
        self.event(&ended)?;
        if why.is_some() {
            if self.stays && !self.json {
                output::note(&ended);
            }
            self.flaw = Some(ended.to_string());
        }
        Ok(())
    }

    fn end(&mut self, tsi: Tsi, cause: EndCause) -> Result<Next, CommandError> {
        let live = self.live.remove(&tsi);
        if live.is_some() {
            let why = match cause {
                EndCause::Fin => None,
                EndCause::Reset(_) => Some("its sender broke it off"),
                EndCause::Expired => Some("its sender fell silent"),
                EndCause::Loss => Some("packets were lost for good"),
            };
            self.ended(tsi, why)?;
        }
        if self.live.is_empty() {
            // The first of them that is heard comes next, and the others wait again.
            mem::take(&mut self.waiting).into_iter().for_each(|tsi| self.subscriber.rejoin(tsi));
        }
        Ok(match live {
            Some(live) if !self.stays && self.live.is_empty() => {
                self.ended = live.is_told.then_some(tsi);
                Next::Over
            }
            _ => Next::More,
        })
    }

    /// Writes a message as a line, with tabs between its parts.
    fn write_message(&mut self, tsi: Tsi, parts: &[Bytes]) -> Result<(), CommandError> {
        self.messages += 1;
        self.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        if self.json {
            return output::write_event(&mut self.out, "message", &Message::new(tsi, parts));
        }
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.out.write_all(b"\t")?;
            }
            self.out.write_all(part)?;
        }
        Ok(self.out.write_all(b"\n")?)
    }
}

/// Which command receives a session that this one cannot.
fn taken_by(why: Foreign) -> &'static str {
    match why {
        Foreign::Profile(ProfileError::Packed) => taken_by(Foreign::Content(ContentKind::Messages)),
        Foreign::Profile(_) => "",
        Foreign::Content(ContentKind::Files) => "; receive them with --into",
        Foreign::Content(ContentKind::Messages) => "; receive them with --lines",
        Foreign::Content(ContentKind::Apdu) => "; receive them with --lines --set mode=apdu",
        Foreign::Content(ContentKind::Stream) => "; receive it with --stream",
    }
}

/// How many streams may wait: forged sessions must not fill memory.
const WAITING_MAX: usize = 64;

/// How often to check for Ctrl-C.
const TICK: Duration = Duration::from_millis(20);

/// How long to wait for a sender's acknowledgement.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest time that leaving may take.
const LEAVE: Duration = Duration::from_secs(1);
