//! The thread that writes what comes into files.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_channel::Receiver;

use super::contents::{IncomingContents, Outcome};
use super::digest::Digest;
use super::error::FileError;
use super::finisher::{Finisher, JobTarget, Verdict};
use super::inbox::Inbox;
use super::incoming::{IncomingError, IncomingSession, Refusal};
use super::layout::Layout;
use super::manifest::Manifest;
use super::meter::Meter;
use super::receiving::{Failing, Incomplete, ReceiveError, ReceiveEvent, ReceiveProgress};
use crate::multicast::{Batch, BulkReceived, BulkSubscriber, EndCause, First, Progress, Seq, Standing, Tsi};

/// Serves the sessions of a group, and reports what becomes of them.
///
/// It takes the node's events from a queue, and fills the queues of the finisher's jobs and of events for the application; all are
/// bounded. It ends when the application has dropped its end of a queue.
#[derive(Debug)]
pub(super) struct Writer {
    subscriber: Arc<BulkSubscriber>,
    finisher: Finisher,
    sessions: BTreeMap<Tsi, Session>,
    // Dropped after the finisher and the sessions, so that all files are closed when the directory is given up.
    inbox: Arc<Inbox>,
    /// How many sessions have begun, which numbers them.
    begun: u64,
    orders: Receiver<Leave>,
    events: SyncSender<WriterEvent>,
    /// Nobody receives events any more, or the network has failed.
    is_over: bool,
}

/// The order to leave all sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave;

/// What is reported to the application.
#[derive(Debug)]
pub(super) enum WriterEvent {
    Received(ReceiveEvent),
    /// How far a session is.
    Progress(Tsi, ReceiveProgress),
    /// A session is over here, and its source has yet to acknowledge that.
    Owed(Tsi),
    /// All sessions were left, and all of that was reported.
    Left,
    Failed(ReceiveError),
}

/// What came from other queues than the node's.
enum OtherInput {
    /// An order; `None` when there will be no more.
    Order(Option<Leave>),
    Verdict(Verdict),
}

#[derive(Debug)]
struct Session {
    number: u64,
    /// `None` once everything is complete.
    incoming: Option<IncomingSession>,
    /// Whether the manifest was reported to the application.
    is_begun: bool,
    /// Why nothing more will come of its source, if so. Findings may still be awaited.
    ended: Option<EndCause>,
    progress: ReceiveProgress,
    cookie: Option<u64>,
    standing: Standing,
    /// When progress is reported next.
    report_at: Instant,
}

impl Writer {
    /// The work of a thread that is started later.
    ///
    /// # Errors
    /// The finisher's thread cannot start.
    pub(super) fn new(
        subscriber: Arc<BulkSubscriber>,
        inbox: Inbox,
        meter: Arc<Meter>,
        orders: Receiver<Leave>,
        events: SyncSender<WriterEvent>,
    ) -> io::Result<Self> {
        let inbox = Arc::new(inbox);
        Ok(Self {
            subscriber,
            finisher: Finisher::start(Arc::clone(&inbox), meter)?,
            sessions: BTreeMap::new(),
            inbox,
            begun: 0,
            orders,
            events,
            is_over: false,
        })
    }

    /// Goes on until it is over, and keeps what is complete then.
    pub(super) fn run(mut self) {
        self.serve();
        self.sessions.values().filter_map(|session| session.incoming.as_ref()).for_each(|incoming| {
            incoming.leave(&self.inbox);
        });
    }

    fn serve(&mut self) {
        while !self.is_over {
            let handled = match self.subscriber.next_or(self.other_input(), Duration::MAX) {
                Some(First::Event(Some(event))) => self.handle(event),
                Some(First::Other(OtherInput::Verdict(verdict))) => self.judge(verdict),
                Some(First::Other(OtherInput::Order(Some(Leave)))) => {
                    self.end_all(Standing::Left);
                    self.emit(WriterEvent::Left);
                    Ok(())
                }
                Some(First::Event(None) | First::Other(OtherInput::Order(None))) | None => return,
            };
            if let Err(error) = handled {
                self.end_all(Standing::Failed);
                self.emit(WriterEvent::Failed(ReceiveError::File(error)));
            }
        }
    }

    /// What comes next from the other queues. Orders go first.
    async fn other_input(&self) -> OtherInput {
        let (mut order, mut verdict) = (pin!(self.orders.recv()), pin!(self.finisher.verdict()));
        std::future::poll_fn(|context| match order.as_mut().poll(context) {
            Poll::Ready(order) => Poll::Ready(OtherInput::Order(order.ok())),
            Poll::Pending => verdict.as_mut().poll(context).map(OtherInput::Verdict),
        })
        .await
    }

    fn emit(&mut self, event: WriterEvent) {
        self.is_over |= self.events.send(event).is_err();
    }

    fn handle(&mut self, event: BulkReceived) -> Result<(), FileError> {
        match event {
            BulkReceived::Start { tsi, source, first } => {
                self.begin(tsi);
                self.emit(WriterEvent::Received(ReceiveEvent::Found { tsi, source }));
                if first != Seq(0) {
                    self.drop_session(tsi, Incomplete::Refused(Refusal::Beginning));
                }
            }
            BulkReceived::Packets(batch) => self.take(&batch)?,
            BulkReceived::Need { tsi, first, count } => self.give(tsi, first, count),
            // Another session may bring it: what matters is what is missing at the end.
            BulkReceived::Lost { .. } => {}
            BulkReceived::Acknowledged { tsi } => {
                self.emit(WriterEvent::Received(ReceiveEvent::Acknowledged { tsi }))
            }
            BulkReceived::End { tsi, cause } => self.end(tsi, cause),
            BulkReceived::Failed(why) => {
                self.emit(WriterEvent::Failed(ReceiveError::Network(why)));
                self.is_over = true;
            }
        }
        Ok(())
    }

    /// Takes a verdict of the finisher.
    fn judge(&mut self, Verdict { target, finding }: Verdict) -> Result<(), FileError> {
        self.finisher.taken();
        // Its session may be gone.
        let found = self.sessions.iter_mut().find(|(_, session)| session.number == target.session);
        if let Some((&tsi, session)) = found
            && let Some(incoming) = &mut session.incoming
        {
            incoming.judge(target.content, finding?, &self.inbox)?;
            self.advance(tsi)?;
            self.end_at_last(tsi);
        }
        self.feed();
        self.fill_waiting()
    }

    /// Gives the finisher jobs, as far as it has room.
    fn feed(&mut self) {
        for session in self.sessions.values_mut() {
            let Some(incoming) = &mut session.incoming else { continue };
            while self.finisher.has_room()
                && let Some((content, job)) = incoming.next_job(&self.inbox)
            {
                self.finisher.put(JobTarget { session: session.number, content }, job);
            }
        }
    }

    fn begin(&mut self, tsi: Tsi) {
        self.begun += 1;
        let spool = self.inbox.temporary(&format!("session-{}", self.begun));
        let session = Session {
            number: self.begun,
            incoming: Some(IncomingSession::begin(spool)),
            is_begun: false,
            ended: None,
            progress: ReceiveProgress::default(),
            cookie: None,
            standing: Standing::Joined,
            report_at: Instant::now(),
        };
        self.sessions.insert(tsi, session);
    }

    fn take(&mut self, batch: &Batch) -> Result<(), FileError> {
        let tsi = batch.tsi();
        let Some(session) = self.sessions.get_mut(&tsi) else { return Ok(()) };
        let Some(incoming) = &mut session.incoming else { return Ok(()) };
        match incoming.put(batch.packets(), &self.inbox) {
            Ok(false) => self.advance(tsi),
            Ok(true) => self.fill(tsi),
            Err(error) => self.refuse(tsi, error),
        }
    }

    /// Begins to fill a session whose manifest is known, once no earlier session or job uses its contents.
    fn fill(&mut self, tsi: Tsi) -> Result<(), FileError> {
        self.supersede(tsi);
        let Some(session) = self.sessions.get_mut(&tsi) else { return Ok(()) };
        let Some(incoming) = &mut session.incoming else { return Ok(()) };
        let Some(layout) = incoming.found() else { return Ok(()) };
        if layout.contents().iter().any(|content| self.finisher.finishes(&content.digest)) {
            return Ok(());
        }
        match incoming.fill(&self.inbox) {
            Ok(()) => self.advance(tsi),
            Err(error) => self.refuse(tsi, error),
        }
    }

    /// Fills sessions that had to wait for the finisher, in the order in which they began: a later one ends those before it.
    fn fill_waiting(&mut self) -> Result<(), FileError> {
        let waiting = self.sessions.iter().filter(|(_, session)| session.found().is_some());
        let waiting: BTreeMap<u64, Tsi> = waiting.map(|(&tsi, session)| (session.number, tsi)).collect();
        for tsi in waiting.into_values() {
            self.fill(tsi)?;
            self.end_at_last(tsi);
        }
        Ok(())
    }

    /// Ends earlier sessions that bring a content which this one brings too.
    fn supersede(&mut self, tsi: Tsi) {
        let Some(new) = self.sessions.get(&tsi).and_then(Session::found).cloned() else { return };
        let key = |layout: &Layout| -> HashSet<Digest> {
            layout.contents().iter().map(|content| content.digest).collect()
        };
        let brought = key(&new);
        let is_rival = |session: &Session| {
            let other = session.contents().map(IncomingContents::layout);
            let other = other.filter(|other| other.block_len() == new.block_len());
            other
                .is_some_and(|other| other.contents().iter().any(|content| brought.contains(&content.digest)))
        };
        let rivals: Vec<Tsi> =
            self.sessions.iter().filter(|(_, session)| is_rival(session)).map(|(&rival, _)| rival).collect();
        for rival in rivals {
            self.drop_session(rival, Incomplete::Replaced(tsi));
        }
    }

    /// Reports what became of files, and whether the session is complete.
    fn advance(&mut self, tsi: Tsi) -> Result<(), FileError> {
        self.feed();
        let Some(session) = self.sessions.get_mut(&tsi) else { return Ok(()) };
        let was_whole = session.progress.is_whole();
        session.look();
        if session.progress.is_whole() && !was_whole {
            // Nothing more may come that would be followed by a report.
            session.report_at = Instant::now();
        }
        let contents = session.contents();
        // Until it is known what is there already, nothing else is reported.
        if contents.is_some_and(|contents| !contents.is_looking()) {
            if !session.is_begun {
                self.tell_begin(tsi)?;
            }
            self.tell_outcomes(tsi);
        }
        let Some(session) = self.sessions.get_mut(&tsi) else { return Ok(()) };
        if session.incoming.is_none() || session.report_at > Instant::now() {
            return Ok(());
        }
        session.report_at = Instant::now() + REPORT_EVERY;
        let progress = session.progress;
        session.report(tsi, &self.subscriber);
        self.emit(WriterEvent::Progress(tsi, progress));
        Ok(())
    }

    /// Reports a session's manifest, and tells the receiver which packets are there already.
    fn tell_begin(&mut self, tsi: Tsi) -> Result<(), FileError> {
        let Some(session) = self.sessions.get_mut(&tsi) else { return Ok(()) };
        session.is_begun = true;
        let progress = session.progress;
        let Some(incoming) = &mut session.incoming else { return Ok(()) };
        for run in incoming.had_ranges(&self.inbox)? {
            self.subscriber.have(tsi, sqn(run.start), sqn(run.end - 1));
        }
        let manifest = incoming.contents().map(|contents| contents.manifest().clone());
        if let Some(manifest) = manifest {
            self.emit(WriterEvent::Progress(tsi, progress));
            self.emit(WriterEvent::Received(ReceiveEvent::Begun { tsi, manifest, progress }));
        }
        Ok(())
    }

    fn tell_outcomes(&mut self, tsi: Tsi) {
        loop {
            let Some(session) = self.sessions.get_mut(&tsi) else { return };
            let Some(incoming) = &mut session.incoming else { return };
            let outcome = incoming.outcome();
            let Some(contents) = incoming.contents() else { return };
            if let Some(outcome) = outcome {
                let event = outcome_event(tsi, contents.manifest(), outcome);
                self.emit(WriterEvent::Received(event));
                continue;
            }
            if contents.is_complete() {
                session.standing = Standing::Complete;
                session.incoming = None;
                if session.report(tsi, &self.subscriber) {
                    self.emit(WriterEvent::Owed(tsi));
                }
                self.emit(WriterEvent::Received(ReceiveEvent::Complete { tsi }));
            } else if contents.is_settled() {
                self.drop_session(tsi, Incomplete::Files);
            }
            return;
        }
    }

    /// Supplies the packets of a group that is to be decoded.
    fn give(&mut self, tsi: Tsi, first: Seq, count: u8) {
        let Some(incoming) = self.sessions.get_mut(&tsi).and_then(|session| session.incoming.as_mut()) else {
            return self.subscriber.supply(tsi, first, 0, Vec::new());
        };
        let blocks = u64::from(first.0)..u64::from(first.0) + u64::from(count);
        if incoming.contents().is_some_and(|contents| contents.lacks_for_good(&blocks)) {
            // The source's repairs assume packets that were deleted here. What has come of the other files is kept for another session.
            return self.drop_session(tsi, Incomplete::Files);
        }
        // If they cannot be read the group is not decoded, but an answer is due: without one other groups would wait.
        let read = incoming.read(blocks, self.subscriber.buffer(), &self.inbox);
        let (stride, bytes) = read.unwrap_or_default();
        self.subscriber.supply(tsi, first, stride, bytes);
    }

    fn end(&mut self, tsi: Tsi, cause: EndCause) {
        let Some(session) = self.sessions.get_mut(&tsi) else { return };
        session.ended = Some(cause);
        if session.is_waiting() {
            // Findings that are awaited may still complete it.
            return;
        }
        if session.incoming.is_some() {
            self.drop_session(tsi, Incomplete::Ended(cause));
        }
        self.sessions.remove(&tsi);
    }

    /// Ends a session whose source has ended it, if no finding is awaited any more.
    fn end_at_last(&mut self, tsi: Tsi) {
        let ended = self.sessions.get(&tsi).and_then(|session| session.ended);
        ended.into_iter().for_each(|cause| self.end(tsi, cause));
    }

    /// Leaves a session.
    fn drop_session(&mut self, tsi: Tsi, why: Incomplete) {
        let Some(mut session) = self.sessions.remove(&tsi) else { return };
        session.look();
        if let Some(incoming) = session.incoming.take() {
            incoming.leave(&self.inbox);
        }
        session.standing = Standing::Failed;
        let is_owed = session.report(tsi, &self.subscriber);
        session.leave(tsi, &self.subscriber);
        let missing = session.progress.total.saturating_sub(session.progress.had);
        if is_owed {
            self.emit(WriterEvent::Owed(tsi));
        }
        self.emit(WriterEvent::Received(ReceiveEvent::Incomplete { tsi, why, missing }));
    }

    /// Leaves all sessions.
    fn end_all(&mut self, standing: Standing) {
        let mut owed = Vec::new();
        for (&tsi, session) in &mut self.sessions {
            // A session that ends before its manifest is used has not been looked at, and its source has to know, too.
            session.look();
            if let Some(incoming) = session.incoming.take() {
                incoming.leave(&self.inbox);
                session.standing = standing;
                if session.report(tsi, &self.subscriber) {
                    owed.push(tsi);
                }
                session.leave(tsi, &self.subscriber);
            }
        }
        owed.into_iter().for_each(|tsi| self.emit(WriterEvent::Owed(tsi)));
    }

    /// Leaves a session that is at fault; an error of a file is passed on.
    fn refuse(&mut self, tsi: Tsi, error: IncomingError) -> Result<(), FileError> {
        match error {
            IncomingError::Refused(refusal) => {
                self.drop_session(tsi, Incomplete::Refused(refusal));
                Ok(())
            }
            IncomingError::File(error) => Err(error),
        }
    }
}

impl Session {
    fn contents(&self) -> Option<&IncomingContents> {
        self.incoming.as_ref().and_then(IncomingSession::contents)
    }

    /// Its layout, while it waits to be filled.
    fn found(&self) -> Option<&Layout> {
        self.incoming.as_ref().and_then(IncomingSession::found)
    }

    /// Whether a finding may still make it complete.
    fn is_waiting(&self) -> bool {
        self.found().is_some() || self.contents().is_some_and(IncomingContents::is_waiting)
    }

    /// Leaves the source. One whose session has ended may have begun it again, which is not to be left.
    fn leave(&self, tsi: Tsi, subscriber: &BulkSubscriber) {
        if self.ended.is_none() {
            subscriber.leave(tsi);
        }
    }

    /// Updates the progress.
    fn look(&mut self) {
        let Some(incoming) = &self.incoming else { return };
        self.cookie = incoming.profile().map(|profile| profile.cookie);
        let layout = incoming.contents().map(IncomingContents::layout);
        self.progress = ReceiveProgress {
            had: incoming.had_blocks(),
            total: layout.map_or(0, Layout::blocks),
            block_len: layout.map_or(0, Layout::block_len),
        };
    }

    /// Reports the progress to the source, which needs the profile's cookie. Returns `true` if the session is over and its source has
    /// yet to acknowledge that.
    fn report(&self, tsi: Tsi, subscriber: &BulkSubscriber) -> bool {
        let Some(cookie) = self.cookie else { return false };
        let ReceiveProgress { had, total, .. } = self.progress;
        let narrow = |blocks: u64| u32::try_from(blocks).unwrap_or(u32::MAX);
        let standing = self.standing;
        let progress = Progress { cookie, standing, had: narrow(had), total: narrow(total) };
        subscriber.report(tsi, progress);
        standing.is_final()
    }
}

fn outcome_event(tsi: Tsi, manifest: &Manifest, outcome: Outcome) -> ReceiveEvent {
    let name = |file: usize| manifest.entries()[file].name.clone();
    match outcome {
        Outcome::Placed { file } => ReceiveEvent::Placed { tsi, name: name(file) },
        Outcome::Refused { file, error } => {
            ReceiveEvent::Failed { tsi, name: name(file), failing: Failing::Name(error) }
        }
        Outcome::Wrong { file } => ReceiveEvent::Failed { tsi, name: name(file), failing: Failing::Wrong },
    }
}

fn sqn(block: u64) -> Seq {
    Seq(u32::try_from(block).expect("a session has less than 2^30 blocks"))
}

/// How often progress is reported, to the application and to the node, which sends it on less often.
const REPORT_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
