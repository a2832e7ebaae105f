//! The run that receives files.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::arrival::{Arrival, ArrivalError, Refusal};
use super::digest::Digest;
use super::error::FileError;
use super::filling::{Filling, Outcome};
use super::hasher::{Hasher, Verdict};
use super::inbox::Inbox;
use super::layout::Layout;
use super::manifest::Manifest;
use super::name::FileName;
use crate::multicast::{
    Batch, BulkReceived, BulkSubscriber, Counts, EndCause, First, Options, Progress, Seq, Standing,
    StartError, Tsi,
};

/// Receives the files of a group into a directory.
///
/// # Order of calls
///
/// [`FileReceiver::next`] as long as there is something to wait for: it writes to the disk what has come, so nobody else should wait on
/// its thread. What is complete is hashed by a thread of the receiver's own meanwhile. A session that has come to its end,
/// [`ReceiveEvent::Complete`] or [`ReceiveEvent::Incomplete`], is followed by [`ReceiveEvent::Acknowledged`] when its source knows that,
/// if it still lives.
///
/// # Trust
///
/// Whatever a session says, only plain files appear, below the directory, under names that were free, and only if their hash is right.
/// Of two sessions that bring one content the later one counts: a sender that was started again takes over from itself.
#[derive(Debug)]
pub struct FileReceiver {
    subscriber: BulkSubscriber,
    hasher: Hasher,
    // Behind the sessions, so that their files are closed when it is given up.
    sessions: BTreeMap<Tsi, Session>,
    inbox: Inbox,
    /// Sessions that are over here, and whose sources do not know it yet.
    owed: BTreeSet<Tsi>,
    /// Numbers the spools.
    begun: u64,
    events: VecDeque<ReceiveEvent>,
}

/// Where files are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveConfig {
    /// The directory.
    pub into: PathBuf,
    /// Whether a file that is there gives way to one that is received under its name.
    pub replaces: bool,
}

#[derive(Debug)]
struct Session {
    number: u64,
    /// `None` once everything is there.
    arrival: Option<Arrival>,
    /// Why nothing more will come, while what has come is still hashed.
    ended: Option<EndCause>,
    progress: ReceiveProgress,
    cookie: Option<u64>,
    standing: Standing,
    /// When progress is told next.
    report_at: Instant,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveProgress {
    /// Packets that have come, or were there already.
    pub had: u64,
    /// Packets of the session; 0 until its manifest is known.
    pub total: u64,
    /// Bytes of a packet.
    pub block_len: usize,
}

/// What happened to a receiver.
#[derive(Debug)]
pub enum ReceiveEvent {
    /// A session was found.
    Found {
        /// The session.
        tsi: Tsi,
        /// Its sender's address.
        source: IpAddr,
    },
    /// A session's manifest is known.
    Begun {
        /// The session.
        tsi: Tsi,
        /// What it brings.
        manifest: Manifest,
        /// What is there of it already, from an earlier session.
        progress: ReceiveProgress,
    },
    /// A file is complete and has its name.
    Placed {
        /// The session.
        tsi: Tsi,
        /// The name.
        name: FileName,
    },
    /// A file does not come to its name in this session.
    Failed {
        /// The session.
        tsi: Tsi,
        /// The name.
        name: FileName,
        /// Why.
        failing: Failing,
    },
    /// Every file of a session has its name.
    Complete {
        /// The session.
        tsi: Tsi,
    },
    /// A session is over, and not every file of it has its name.
    Incomplete {
        /// The session.
        tsi: Tsi,
        /// Why.
        why: Incomplete,
        /// Packets that are missing, as far as is known.
        missing: u64,
    },
    /// The source of a session knows how it ended here.
    Acknowledged {
        /// The session.
        tsi: Tsi,
    },
}

/// Why a file has no name.
#[derive(Debug)]
pub enum Failing {
    /// The system does not give it one. Its content is complete, and kept.
    Name(FileError),
    /// Its content is not what the manifest says, and was thrown away.
    Wrong,
}

/// Why a session did not bring all of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// Everything has come, but a file could not be placed or was wrong.
    Files,
    /// The session ended before everything had come.
    Ended(EndCause),
    /// The session is not taken.
    Refused(Refusal),
    /// A later session brings the same content.
    Replaced(Tsi),
}

/// Why receiving cannot begin.
#[derive(Debug)]
pub enum ReceiveStartError {
    /// The directory cannot be used.
    Directory(FileError),
    /// The network does not let it begin.
    Network(StartError),
}

/// Why receiving cannot go on.
#[derive(Debug)]
pub enum ReceiveError {
    /// The disk does not take what has come. What it took is kept.
    File(FileError),
    /// The network node failed.
    Network(String),
}

impl FileReceiver {
    /// Takes the directory and listens to the group.
    ///
    /// # Errors
    /// The directory is not to be had, or the network.
    pub fn start(options: &Options, config: &ReceiveConfig) -> Result<Self, ReceiveStartError> {
        let inbox = Inbox::open(&config.into, config.replaces).map_err(ReceiveStartError::Directory)?;
        let subscriber = BulkSubscriber::start(options, &inbox.dir()).map_err(ReceiveStartError::Network)?;
        let hasher =
            Hasher::start().map_err(|error| ReceiveStartError::Network(StartError::Engine(error)))?;
        Ok(Self {
            subscriber,
            hasher,
            sessions: BTreeMap::new(),
            inbox,
            owed: BTreeSet::new(),
            begun: 0,
            events: VecDeque::new(),
        })
    }

    /// Serves the group for this long, or until something happened.
    ///
    /// # Errors
    /// What keeps it from going on.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<ReceiveEvent>, ReceiveError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        if !self.hasher.is_busy() {
            self.handle(self.subscriber.next(timeout))?;
        } else {
            match self.subscriber.next_or(self.hasher.verdict(), timeout) {
                Some(First::Event(event)) => self.handle(event)?,
                Some(First::Other(verdict)) => self.judge(verdict)?,
                None => {}
            }
        }
        Ok(self.events.pop_front())
    }

    fn handle(&mut self, event: Option<BulkReceived>) -> Result<(), ReceiveError> {
        match event {
            None => {}
            Some(BulkReceived::Start { tsi, source, .. }) => self.begin(tsi, source),
            Some(BulkReceived::Packets(batch)) => self.take(&batch)?,
            Some(BulkReceived::Need { tsi, first, count }) => self.give(tsi, first, count),
            // It may be sent again by another session: what matters is what is missing at the end.
            Some(BulkReceived::Lost { .. }) => {}
            Some(BulkReceived::Acknowledged { tsi }) => {
                self.owed.remove(&tsi);
                self.events.push_back(ReceiveEvent::Acknowledged { tsi });
            }
            Some(BulkReceived::End { tsi, cause }) => self.end(tsi, cause),
            Some(BulkReceived::Failed(why)) => return Err(ReceiveError::Network(why)),
        }
        Ok(())
    }

    /// Takes what was found of a content.
    fn judge(&mut self, Verdict { session: number, content, is_right }: Verdict) -> Result<(), ReceiveError> {
        self.hasher.taken();
        self.feed_hasher();
        // Its session may have gone.
        let found = self.sessions.iter_mut().find(|(_, session)| session.number == number);
        let Some((&tsi, session)) = found else { return Ok(()) };
        let Some(arrival) = &mut session.arrival else { return Ok(()) };
        let judged = is_right.and_then(|is_right| arrival.judge(content, is_right, &self.inbox));
        if let Err(error) = judged {
            return self.refuse(tsi, ArrivalError::File(error));
        }
        let ended = session.ended;
        self.advance(tsi);
        ended.into_iter().for_each(|cause| self.end(tsi, cause));
        Ok(())
    }

    /// Gives the hasher what is complete, as far as it has room.
    fn feed_hasher(&mut self) {
        for session in self.sessions.values_mut() {
            let Some(arrival) = &mut session.arrival else { continue };
            while self.hasher.has_room()
                && let Some(filled) = arrival.next_filled(&self.inbox)
            {
                self.hasher.put(session.number, filled);
            }
        }
    }

    /// Tells all senders that this receiver goes. They are served until they know, or for as long as the caller goes on.
    pub fn leave(&mut self) {
        self.end_all(Standing::Left);
    }

    /// Whether a sender is yet to say that it knows how its session ended here.
    #[must_use]
    pub fn is_owing(&self) -> bool {
        !self.owed.is_empty()
    }

    /// How far each session is that still goes on.
    pub fn progress(&self) -> impl Iterator<Item = (Tsi, ReceiveProgress)> {
        let live = self.sessions.iter().filter(|(_, session)| session.arrival.is_some());
        live.map(|(&tsi, session)| (tsi, session.progress))
    }

    /// What the network counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.subscriber.counts()
    }

    fn begin(&mut self, tsi: Tsi, source: IpAddr) {
        self.begun += 1;
        let spool = self.inbox.passing(&format!("session-{}", self.begun));
        let session = Session {
            number: self.begun,
            arrival: Some(Arrival::begin(spool)),
            ended: None,
            progress: ReceiveProgress::default(),
            cookie: None,
            standing: Standing::Joined,
            report_at: Instant::now(),
        };
        self.sessions.insert(tsi, session);
        self.events.push_back(ReceiveEvent::Found { tsi, source });
    }

    fn take(&mut self, batch: &Batch) -> Result<(), ReceiveError> {
        let tsi = batch.tsi();
        let Some(session) = self.sessions.get_mut(&tsi) else { return Ok(()) };
        let Some(arrival) = &mut session.arrival else { return Ok(()) };
        match arrival.put(batch.packets(), &self.inbox) {
            Ok(false) => {}
            Ok(true) => return self.fill(tsi),
            Err(error) => return self.refuse(tsi, error),
        }
        self.advance(tsi);
        Ok(())
    }

    /// A session's manifest is known: what is there already is looked for, once no other session writes it.
    fn fill(&mut self, tsi: Tsi) -> Result<(), ReceiveError> {
        self.supersede(tsi);
        let Some(session) = self.sessions.get_mut(&tsi) else { return Ok(()) };
        let Some(arrival) = &mut session.arrival else { return Ok(()) };
        let had = match arrival.fill(&self.inbox) {
            Ok(had) => had,
            Err(error) => return self.refuse(tsi, error),
        };
        for run in had {
            self.subscriber.have(tsi, sqn(run.start), sqn(run.end - 1));
        }
        session.look();
        if let Some(filling) = session.filling() {
            let (manifest, progress) = (filling.manifest().clone(), session.progress);
            self.events.push_back(ReceiveEvent::Begun { tsi, manifest, progress });
        }
        self.advance(tsi);
        Ok(())
    }

    /// Ends earlier sessions that bring something which this one brings.
    fn supersede(&mut self, tsi: Tsi) {
        let layout = |session: &Session| session.arrival.as_ref().and_then(Arrival::found).cloned();
        let Some(new) = self.sessions.get(&tsi).and_then(layout) else { return };
        let key = |layout: &Layout| -> HashSet<Digest> {
            layout.contents().iter().map(|content| content.digest).collect()
        };
        let brought = key(&new);
        let is_rival = |session: &Session| {
            let other = session.filling().map(Filling::layout);
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

    /// Tells what became of files, and whether the session is complete.
    fn advance(&mut self, tsi: Tsi) {
        self.feed_hasher();
        let Some(session) = self.sessions.get_mut(&tsi) else { return };
        session.look();
        let Some(arrival) = &mut session.arrival else { return };
        while let Some(outcome) = arrival.outcome() {
            let Some(filling) = arrival.filling() else { break };
            self.events.push_back(told(tsi, filling.manifest(), outcome));
        }
        let files = arrival.filling().map(|filling| (filling.is_settled(), filling.is_complete()));
        match files {
            Some((true, true)) => {
                session.standing = Standing::Complete;
                session.arrival = None;
                self.events.push_back(ReceiveEvent::Complete { tsi });
            }
            Some((true, false)) => return self.drop_session(tsi, Incomplete::Files),
            _ if session.report_at > Instant::now() => return,
            _ => session.report_at = Instant::now() + REPORT_EVERY,
        }
        self.owed.extend(session.report(tsi, &self.subscriber));
    }

    /// Gives the packets of a group that can be decoded with them.
    fn give(&mut self, tsi: Tsi, first: Seq, count: u8) {
        let Some(arrival) = self.sessions.get_mut(&tsi).and_then(|session| session.arrival.as_mut()) else {
            return self.subscriber.supply(tsi, first, 0, Vec::new());
        };
        let blocks = u64::from(first.0)..u64::from(first.0) + u64::from(count);
        // What cannot be read any more is not decoded: it comes as repairs, or not at all. Saying nothing would hold up other groups.
        let read = arrival.read(blocks, self.subscriber.buffer(), &self.inbox);
        let (stride, bytes) = read.unwrap_or_default();
        self.subscriber.supply(tsi, first, stride, bytes);
    }

    fn end(&mut self, tsi: Tsi, cause: EndCause) {
        let Some(session) = self.sessions.get_mut(&tsi) else { return };
        if session.filling().is_some_and(Filling::is_hashing) {
            // What is found may make it complete.
            session.ended = Some(cause);
            return;
        }
        if session.arrival.is_some() {
            self.drop_session(tsi, Incomplete::Ended(cause));
        }
        self.sessions.remove(&tsi);
    }

    /// Takes no more of a session.
    fn drop_session(&mut self, tsi: Tsi, why: Incomplete) {
        let Some(mut session) = self.sessions.remove(&tsi) else { return };
        session.look();
        session.standing = Standing::Failed;
        self.owed.extend(session.report(tsi, &self.subscriber));
        self.subscriber.leave(tsi);
        let missing = session.progress.total.saturating_sub(session.progress.had);
        self.events.push_back(ReceiveEvent::Incomplete { tsi, why, missing });
    }

    /// Takes no more of any session.
    fn end_all(&mut self, standing: Standing) {
        for (&tsi, session) in &mut self.sessions {
            if session.arrival.take().is_some() {
                session.standing = standing;
                self.owed.extend(session.report(tsi, &self.subscriber));
                self.subscriber.leave(tsi);
            }
        }
    }

    fn refuse(&mut self, tsi: Tsi, error: ArrivalError) -> Result<(), ReceiveError> {
        match error {
            ArrivalError::Refused(refusal) => {
                self.drop_session(tsi, Incomplete::Refused(refusal));
                Ok(())
            }
            ArrivalError::File(error) => {
                self.end_all(Standing::Failed);
                Err(ReceiveError::File(error))
            }
        }
    }
}

impl Session {
    fn filling(&self) -> Option<&Filling> {
        self.arrival.as_ref().and_then(Arrival::filling)
    }

    /// Sees how far the session is.
    fn look(&mut self) {
        let Some(arrival) = &self.arrival else { return };
        self.cookie = arrival.profile().map(|profile| profile.cookie);
        let layout = arrival.filling().map(Filling::layout);
        self.progress = ReceiveProgress {
            had: arrival.had_blocks(),
            total: layout.map_or(0, Layout::blocks),
            block_len: layout.map_or(0, Layout::block_len),
        };
    }

    /// Tells the source how far the session is. Before the profile is known there is nothing to tell it by. Gives the session if that is
    /// over, and its source is to know it.
    fn report(&mut self, tsi: Tsi, subscriber: &BulkSubscriber) -> Option<Tsi> {
        let cookie = self.cookie?;
        let ReceiveProgress { had, total, .. } = self.progress;
        let narrow = |blocks: u64| u32::try_from(blocks).unwrap_or(u32::MAX);
        let standing = self.standing;
        let progress = Progress { cookie, standing, had: narrow(had), total: narrow(total) };
        subscriber.report(tsi, progress);
        standing.is_final().then_some(tsi)
    }
}

fn told(tsi: Tsi, manifest: &Manifest, outcome: Outcome) -> ReceiveEvent {
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
    Seq(u32::try_from(block).expect("a session has 2^30 blocks at most"))
}

/// How often the node is told of progress. It reports more rarely.
const REPORT_EVERY: Duration = Duration::from_millis(100);

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Wrong => f.write_str("what came is not what its manifest says, and was thrown away"),
        }
    }
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files => f.write_str("not every file could be placed"),
            Self::Ended(EndCause::Fin) => f.write_str("its sender ended it"),
            Self::Ended(EndCause::Reset(_)) => f.write_str("its sender broke it off"),
            Self::Ended(EndCause::Expired) => f.write_str("its sender fell silent"),
            Self::Ended(EndCause::Loss) => f.write_str("packets were lost for good"),
            Self::Refused(refusal) => write!(f, "it is refused: {refusal}"),
            Self::Replaced(tsi) => write!(f, "the later session {tsi} brings the same"),
        }
    }
}

impl From<FileError> for ReceiveError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for ReceiveStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(error) => error.fmt(f),
            Self::Network(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReceiveStartError {}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Network(why) => write!(f, "the network cannot be used any more: {why}"),
        }
    }
}

impl std::error::Error for ReceiveError {}
