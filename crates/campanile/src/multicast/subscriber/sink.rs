//! The node's side of a subscriber's queues: it passes on messages and bytes, and takes profiles off the front of sessions.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use async_channel::Receiver as Orders;
use campanile_pgm::receiver::{EndCause, Event, Messages, Receiver};
use campanile_pgm::{Instant, Seq, Tsi};

use super::bytes::{Batch, Delivered};
use super::delivery::Delivery;
use super::{Foreign, Received};
use crate::multicast::bulk::Progress;
use crate::multicast::node::receiver::Sink;
use crate::multicast::node::reporter::Reporter;
use crate::multicast::options::Mode;
use crate::multicast::profile::{ContentKind, Profile, ProfileError};
use crate::multicast::report::Standing;

/// A command of a subscriber's application.
#[derive(Debug)]
pub(super) enum Command {
    Leave(Tsi),
    Rejoin(Tsi),
}

/// Passes what is delivered in order to the application.
#[derive(Debug)]
pub(super) struct OrderedSink {
    delivery: Delivery,
    commands: Orders<Command>,
    mode: Mode,
    sessions: HashMap<Tsi, Session>,
    /// The source of the last message, if the front of its session has been read: the next one is most likely from the same source.
    settled: Option<Tsi>,
    /// Foreign sessions to leave, once all of the machine's events have been taken.
    leaving: Vec<Tsi>,
    /// Progress to report to sources, likewise.
    progress: Vec<(Tsi, Progress)>,
    /// Sessions that have ended, and whose sources may still acknowledge that.
    ended: Vec<Tsi>,
}

/// What is known of a session.
#[derive(Debug)]
struct Session {
    front: Front,
    lost: bool,
}

/// How far the front of a session has been read.
#[derive(Debug)]
enum Front {
    /// The profile has not come completely; its bytes so far.
    Awaited(Vec<u8>),
    /// It was read; its cookie.
    Known(u64),
    /// There is none, or it was missed: the configuration is trusted.
    None,
    /// It is not what this subscriber is configured for.
    Foreign,
}

impl OrderedSink {
    pub(super) fn new(delivery: Delivery, commands: Orders<Command>, mode: Mode) -> Self {
        OrderedSink {
            delivery,
            commands,
            mode,
            sessions: HashMap::new(),
            settled: None,
            leaving: Vec::new(),
            progress: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn begin(&mut self, tsi: Tsi, first: Seq) {
        // Only a subscriber that receives from the first packet on is sure to see the profile.
        let front = if first == Seq(0) { Front::Awaited(Vec::new()) } else { Front::None };
        self.sessions.insert(tsi, Session { front, lost: false });
        self.ended.retain(|ended| *ended != tsi);
        self.settled = None;
    }

    /// Takes the profile off the front of a session; returns how many of the bytes belonged to it, or `None` if all are to be dropped.
    fn front(&mut self, tsi: Tsi, bytes: &[u8]) -> Option<usize> {
        if self.settled == Some(tsi) {
            return Some(0);
        }
        let Some(session) = self.sessions.get_mut(&tsi) else { return Some(0) };
        let Front::Awaited(so_far) = &mut session.front else {
            let is_foreign = matches!(session.front, Front::Foreign);
            self.settled = (!is_foreign).then_some(tsi);
            return (!is_foreign).then_some(0);
        };
        let taken = bytes.len().min(Profile::LEN - so_far.len());
        so_far.extend_from_slice(&bytes[..taken]);
        if so_far.len() < Profile::LEN && self.mode == Mode::Stream {
            return Some(taken);
        }
        let verdict = match Profile::parse(so_far) {
            // Other programs send none.
            Err(ProfileError::None) if self.mode.is_foreign() => {
                session.front = Front::None;
                return Some(0);
            }
            Ok(profile) if !is_of(profile.content, self.mode) => Err(Foreign::Content(profile.content)),
            // A message that is longer than a profile is not one.
            Ok(_) if self.mode != Mode::Stream && bytes.len() > taken => {
                Err(Foreign::Profile(ProfileError::None))
            }
            Ok(profile) => Ok(profile),
            Err(error) => Err(Foreign::Profile(error)),
        };
        match verdict {
            Ok(profile) => {
                session.front = Front::Known(profile.cookie);
                self.tell(tsi, Standing::Joined);
                Some(taken)
            }
            Err(why) => {
                self.refuse(tsi, why);
                None
            }
        }
    }

    /// Leaves a session that is not what this subscriber is configured for.
    fn refuse(&mut self, tsi: Tsi, why: Foreign) {
        if let Some(session) = self.sessions.get_mut(&tsi) {
            session.front = Front::Foreign;
        }
        self.leaving.push(tsi);
        self.put(tsi, Received::Foreign { tsi, why });
    }

    /// A packet does not fit the framing: the first one of a session of another kind, or one that brings nothing.
    fn unreadable(&mut self, tsi: Tsi, sqn: Seq, payload: &[u8]) {
        let front = self.sessions.get(&tsi).map(|session| &session.front);
        match (front, Profile::parse(payload)) {
            (Some(Front::Foreign), _) => {}
            (Some(Front::Awaited(_)), Ok(Profile { content, .. })) if !is_of(content, self.mode) => {
                self.refuse(tsi, Foreign::Content(content));
            }
            _ => {
                self.lose(tsi);
                self.put(tsi, Received::Lost { tsi, first: sqn, last: sqn });
            }
        }
    }

    /// Reports to a source how far we have got with it, if its cookie is known.
    fn tell(&mut self, tsi: Tsi, standing: Standing) {
        if let Some(Session { front: Front::Known(cookie), .. }) = self.sessions.get(&tsi) {
            let progress = Progress { cookie: *cookie, standing, had: 0, total: 0 };
            self.progress.push((tsi, progress));
        }
    }

    /// Passes messages to the application, except the front of their session.
    fn messages(&mut self, tsi: Tsi, messages: &Arc<Messages>) {
        let mut taken = 0;
        while self.settled != Some(tsi)
            && let Some((bytes, _)) = messages.get(taken)
        {
            match self.front(tsi, bytes) {
                None => return,
                Some(0) => break,
                Some(_) => taken += 1,
            }
        }
        if taken < messages.len() {
            let memory = Arc::clone(messages);
            self.delivery
                .put(tsi, Delivered::Batch(Batch { tsi, memory, taken, front: 0, is_stream: false }));
        }
    }

    /// Passes bytes of a stream to the application, except the front of its session.
    fn stream(&mut self, tsi: Tsi, bytes: &Arc<Messages>) {
        let front = bytes.get(0).and_then(|(stream, _)| self.front(tsi, stream));
        let Some(front) = front else { return };
        if front < bytes.bytes_len() {
            let memory = Arc::clone(bytes);
            self.delivery.put(tsi, Delivered::Batch(Batch { tsi, memory, taken: 0, front, is_stream: true }));
        }
    }

    fn put(&mut self, tsi: Tsi, event: Received) {
        self.delivery.put(tsi, Delivered::Event(event));
    }

    fn end(&mut self, tsi: Tsi, cause: EndCause) {
        let lost = self.sessions.get(&tsi).is_some_and(|session| session.lost);
        let standing = if cause == EndCause::Fin && !lost { Standing::Complete } else { Standing::Failed };
        self.tell(tsi, standing);
        let session = self.sessions.remove(&tsi);
        let front = session.as_ref().map(|session| &session.front);
        // Bytes that are too few for a profile, and no more will come.
        let is_foreign = matches!(front, Some(Front::Awaited(so_far)) if !so_far.is_empty());
        self.put(
            tsi,
            if is_foreign {
                Received::Foreign { tsi, why: Foreign::Profile(ProfileError::None) }
            } else {
                Received::End { tsi, cause }
            },
        );
        self.ended.push(tsi);
    }

    fn leave(&mut self, tsi: Tsi, machine: &mut Receiver) {
        self.tell(tsi, Standing::Left);
        self.sessions.remove(&tsi);
        // The session may have ended by itself.
        let _ = machine.leave(tsi);
    }

    fn lose(&mut self, tsi: Tsi) {
        if let Some(session) = self.sessions.get_mut(&tsi) {
            session.lost = true;
            if matches!(session.front, Front::Awaited(_)) {
                session.front = Front::None;
            }
        }
    }
}

impl Sink for OrderedSink {
    fn handle_commands(&mut self, _now: Instant, machine: &mut Receiver, _reporter: &mut Reporter) {
        for tsi in self.delivery.take_deserted() {
            // What has ended may have begun again, which nobody wants to leave.
            if self.sessions.contains_key(&tsi) {
                self.leave(tsi, machine);
            }
        }
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Leave(tsi) => self.leave(tsi, machine),
                Command::Rejoin(tsi) => machine.rejoin(tsi),
            }
        }
    }

    fn is_ready(&mut self, machine: &mut Receiver) -> bool {
        self.delivery.is_ready(machine)
    }

    fn take(&mut self, event: Event<'_>) {
        let (tsi, event) = match event {
            Event::Start { tsi, source, first } => {
                self.begin(tsi, first);
                (tsi, Received::Start { tsi, source, first })
            }
            Event::Messages { tsi, messages } => return self.messages(tsi, messages),
            Event::Bytes { tsi, bytes } => return self.stream(tsi, bytes),
            Event::Lost { tsi, first, last } => {
                self.lose(tsi);
                (tsi, Received::Lost { tsi, first, last })
            }
            Event::TooLong { tsi, sqn, len } => {
                self.lose(tsi);
                (tsi, Received::TooLong { tsi, sqn, len })
            }
            Event::Unreadable { tsi, sqn, payload } => return self.unreadable(tsi, sqn, payload),
            Event::Stalled { tsi } => (tsi, Received::Stalled { tsi }),
            Event::Resumed { tsi } => (tsi, Received::Resumed { tsi }),
            Event::End { tsi, cause } => return self.end(tsi, cause),
            // The others are events of bulk receivers.
            _ => return,
        };
        self.put(tsi, event);
    }

    fn flush(&mut self, now: Instant, machine: &mut Receiver, reporter: &mut Reporter) {
        for tsi in self.leaving.drain(..) {
            // The machine reports no end of a session that it was told to leave.
            self.sessions.remove(&tsi);
            self.delivery.close(tsi);
            let _ = machine.leave(tsi);
        }
        for (tsi, progress) in self.progress.drain(..) {
            reporter.set(now, tsi, progress);
        }
        let delivery = &mut self.delivery;
        self.ended.retain(|tsi| {
            let awaits_receipt = reporter.awaits_receipt(*tsi);
            if !awaits_receipt {
                delivery.close(*tsi);
            }
            awaits_receipt
        });
        delivery.hand_over();
    }

    fn acknowledge(&mut self, tsi: Tsi) {
        self.put(tsi, Received::Acknowledged { tsi });
        self.delivery.close(tsi);
    }

    fn headroom(&self, tsi: &Tsi) -> usize {
        self.delivery.room(tsi)
    }

    fn fail(&mut self, error: &io::Error) {
        self.delivery.fail(&error.to_string());
    }
}

/// Whether a session of this content is for a subscriber in this mode.
fn is_of(content: ContentKind, mode: Mode) -> bool {
    matches!(
        (content, mode),
        (ContentKind::Messages, Mode::Messages)
            | (ContentKind::Apdu, Mode::Apdu)
            | (ContentKind::Stream, Mode::Stream)
    )
}
