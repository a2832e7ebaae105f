//! Receiving files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use async_channel::Sender;

use super::error::FileError;
use super::inbox::Inbox;
use super::incoming::Refusal;
use super::manifest::Manifest;
use super::meter::Meter;
use super::name::FileName;
use super::thread::DiskThread;
use super::writer::{Leave, Writer, WriterEvent};
use crate::multicast::{BulkSubscriber, Counts, EndCause, Options, StartError, Tsi};

/// Receives the files of a group into a directory.
///
/// # Order of calls
///
/// Call [`FileReceiver::next`] as long as there is something to wait for. A thread of the receiver writes what comes to the disk,
/// whatever the application does, as long as the queue of events has room; another one looks for files that are there already, hashes,
/// and gives files their names. After the end of a session, [`ReceiveEvent::Complete`] or [`ReceiveEvent::Incomplete`], comes
/// [`ReceiveEvent::Acknowledged`] once its source knows that, if it is still running.
///
/// Dropping a receiver ends it at once: what was written is kept, hashing stops.
///
/// # Trust
///
/// Whatever a session says, only plain files appear, below the directory, under names that were free or may be replaced, and only if
/// their hash is right.
/// Of two sessions that bring the same content the later one counts: a restarted sender takes over from its earlier session.
#[derive(Debug)]
pub struct FileReceiver {
    // The thread ends when one of these is dropped.
    orders: Sender<Leave>,
    events: Receiver<WriterEvent>,
    _thread: DiskThread,
    subscriber: Arc<BulkSubscriber>,
    meter: Arc<Meter>,
    /// The latest progress of each session that is not over.
    progress: BTreeMap<Tsi, ReceiveProgress>,
    /// Sessions that are over here, and whose sources have not acknowledged that yet.
    owed: BTreeSet<Tsi>,
    /// [`FileReceiver::leave`] was called, and the thread has not yet reported which sources have to acknowledge it.
    is_leaving: bool,
}

/// Where files are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveConfig {
    /// The directory.
    pub into: PathBuf,
    /// Whether a received file may replace one of its name.
    pub replaces: bool,
}

/// The progress of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveProgress {
    /// Packets that have come, or were there already.
    pub had: u64,
    /// Packets of the session; 0 until its manifest is known.
    pub total: u64,
    /// Bytes of a packet.
    pub block_len: usize,
}

impl ReceiveProgress {
    /// Whether all packets are there: what is left is to check the files and to give them their names.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.total > 0 && self.had == self.total
    }
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
        /// How much of it is there already, from an earlier session.
        progress: ReceiveProgress,
    },
    /// A file is complete and has its name.
    Placed {
        /// The session.
        tsi: Tsi,
        /// The name.
        name: FileName,
    },
    /// A file does not get its name in this session.
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
    /// The system refused it. Its content is complete, and is kept.
    Name(FileError),
    /// Its content is not what the manifest says, and was deleted.
    Wrong,
}

/// Why a session did not bring all of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// Everything has come, but a file could not be placed or was wrong.
    Files,
    /// The session ended before everything had come.
    Ended(EndCause),
    /// The session is refused.
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
    /// The disk failed. What was written is kept.
    File(FileError),
    /// The network node failed.
    Network(String),
}

impl FileReceiver {
    /// Takes the directory and listens to the group.
    ///
    /// # Errors
    /// The directory cannot be used, or the network fails; then no directory is left behind.
    pub fn start(options: &Options, config: &ReceiveConfig) -> Result<Self, ReceiveStartError> {
        let inbox = Inbox::open(&config.into, config.replaces).map_err(ReceiveStartError::Directory)?;
        let subscriber = match BulkSubscriber::start(options, &inbox.dir()) {
            Ok(subscriber) => Arc::new(subscriber),
            Err(error) => {
                inbox.unmake();
                return Err(ReceiveStartError::Network(error));
            }
        };
        let (orders, taken) = async_channel::bounded(1);
        let (sender, events) = mpsc::sync_channel(EVENTS);
        let meter = Arc::new(Meter::default());
        let writer = Writer::new(Arc::clone(&subscriber), inbox, Arc::clone(&meter), taken, sender);
        let thread = writer.and_then(|writer| DiskThread::start("file-writer", || writer.run()));
        let thread = thread.map_err(|error| ReceiveStartError::Network(StartError::Engine(error)))?;
        Ok(Self {
            orders,
            events,
            _thread: thread,
            subscriber,
            meter,
            progress: BTreeMap::new(),
            owed: BTreeSet::new(),
            is_leaving: false,
        })
    }

    /// The next event; `None` if there was none within `timeout`, or only progress.
    ///
    /// # Errors
    /// What keeps it from going on.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<ReceiveEvent>, ReceiveError> {
        let event = match self.events.recv_timeout(timeout) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => return Err(ReceiveError::Network(OVER.to_owned())),
        };
        match event {
            WriterEvent::Received(event) => {
                match event {
                    ReceiveEvent::Complete { tsi } | ReceiveEvent::Incomplete { tsi, .. } => {
                        self.progress.remove(&tsi);
                    }
                    ReceiveEvent::Acknowledged { tsi } => {
                        self.owed.remove(&tsi);
                    }
                    _ => {}
                }
                return Ok(Some(event));
            }
            WriterEvent::Progress(tsi, progress) => {
                self.progress.insert(tsi, progress);
            }
            WriterEvent::Owed(tsi) => {
                self.owed.insert(tsi);
            }
            WriterEvent::Left => {
                self.progress.clear();
                self.is_leaving = false;
            }
            WriterEvent::Failed(error) => {
                self.progress.clear();
                return Err(error);
            }
        }
        Ok(None)
    }

    /// Tells all senders that this receiver leaves. The reports are repeated until they are acknowledged, for as long as the caller
    /// goes on.
    pub fn leave(&mut self) {
        // If this fails, the order is already queued, or the thread has failed and reported that.
        self.is_leaving |= self.orders.try_send(Leave).is_ok();
    }

    /// Whether a sender has yet to acknowledge how its session ended here, as far as [`FileReceiver::next`] has reported.
    #[must_use]
    pub fn is_owing(&self) -> bool {
        self.is_leaving || !self.owed.is_empty()
    }

    /// The progress of each session that is not over, as far as [`FileReceiver::next`] has reported.
    pub fn progress(&self) -> impl Iterator<Item = (Tsi, ReceiveProgress)> {
        self.progress.iter().map(|(&tsi, &progress)| (tsi, progress))
    }

    /// Bytes that were read to be hashed: of files that were there already, and of those that did not come in order.
    #[must_use]
    pub fn hashed(&self) -> u64 {
        self.meter.bytes()
    }

    /// What the network counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.subscriber.counts()
    }
}

/// The most events that wait for the application.
const EVENTS: usize = 1024;

/// Why a receiver does not go on after it failed.
const OVER: &str = "receiving is over";

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
