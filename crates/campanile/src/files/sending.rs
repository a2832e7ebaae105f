//! Sending files.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::error::FileError;
use super::incoming::PREFIX;
use super::layout::{Layout, ManifestHeader, TooLarge};
use super::manifest::{Manifest, ManifestError};
use super::offering::Offering;
use super::reader::Reader;
use super::reading::Reading;
use crate::multicast::{
    BulkPublisher, BulkSent, ContentKind, Counts, Offer, Options, Profile, ReceiverId, Report, Standing,
    StartError, Tsi,
};

/// Sends files to a group.
///
/// # Order of calls
///
/// Call [`FileSender::next`] until it returns [`SendEvent::Finished`]. The session ends by itself, or after [`FileSender::finish`] or
/// [`FileSender::abort`]. A thread of the sender reads what is sent next from the disk, whatever the application does, as long as the
/// queue of events has room.
#[derive(Debug)]
pub struct FileSender {
    reader: Reader,
    manifest: Manifest,
    /// Bytes of the session.
    total: u64,
    /// How many receivers are waited for.
    wanted: Option<usize>,
    receivers: BTreeMap<ReceiverId, Listener>,
    /// When each receiver sent its final report, for those that have.
    ends: BTreeMap<ReceiverId, Instant>,
    /// Reports of receivers beyond [`FileSender::RECEIVERS_MAX`].
    unnamed: u64,
    /// Where in the session reading from the disk has got to.
    read: u64,
    is_drained: bool,
    is_ending: bool,
    /// How long repair goes on after the end.
    linger: Duration,
}

/// A receiver and its latest report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its address.
    pub address: IpAddr,
    /// Its latest report.
    pub report: Report,
    /// When that came.
    pub heard_at: Instant,
}

/// What happened to a sender.
#[derive(Debug)]
pub enum SendEvent {
    /// A receiver reported for the first time, or its standing changed.
    Receiver(Listener),
    /// All was sent once. Repair goes on.
    Drained,
    /// The session is over.
    Finished,
}

/// Why sending cannot begin.
#[derive(Debug)]
pub enum SendStartError {
    /// The files make too long a manifest.
    Manifest(ManifestError),
    /// The files are too large for packets of this size.
    TooLarge(TooLarge),
    /// The network does not let it begin.
    Network(StartError),
}

/// Why sending cannot go on.
#[derive(Debug)]
pub enum SendError {
    /// A file cannot be read, or has changed. The receivers were told that the session is over.
    File(FileError),
    /// The network node failed.
    Network(String),
}

/// How much of a session has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendProgress {
    /// Bytes that were sent at least once.
    pub sent: u64,
    /// Bytes of the session: the files and the head before them.
    pub total: u64,
}

impl FileSender {
    /// The most receivers that are tracked: more of them cannot be waited for.
    pub const RECEIVERS_MAX: usize = 4096;

    /// Starts to send. With `wanted` the session goes on until that many receivers have everything, or have ended otherwise while no
    /// other receiver goes on; without, it ends when all was sent once and nobody asks for more.
    ///
    /// # Errors
    /// There is too much to be sent, or the network does not let it begin.
    pub fn start(
        options: &Options,
        offering: Offering,
        wanted: Option<usize>,
    ) -> Result<Self, SendStartError> {
        let profile = Profile::new(ContentKind::Files);
        let manifest = offering.manifest().emit().map_err(SendStartError::Manifest)?;
        let mut head = Vec::with_capacity(PREFIX + manifest.len());
        head.extend(profile.emit());
        head.extend(ManifestHeader::of(&manifest).emit());
        head.extend(manifest);
        // An interface's MTU may change at any moment, but the layout and the session must use the same block length.
        let mut options = options.clone();
        options.network.mtu = Some(options.mtu().map_err(SendStartError::Network)?);
        let block_len = options.block_len().map_err(SendStartError::Network)?;
        let layout =
            Layout::new(offering.manifest(), head.len(), block_len).map_err(SendStartError::TooLarge)?;
        let offer = Offer { profile, bytes: layout.len() };
        let publisher = BulkPublisher::start(&options, offer).map_err(SendStartError::Network)?;
        assert_eq!(publisher.block_len(), block_len, "the options tell the length of blocks");
        let (manifest, total) = (offering.manifest().clone(), layout.len());
        let reading = Reading::new(offering, head, layout);
        let reader = Reader::start(publisher, reading)
            .map_err(|error| SendStartError::Network(StartError::Engine(error)))?;
        Ok(Self {
            reader,
            manifest,
            total,
            wanted,
            receivers: BTreeMap::new(),
            ends: BTreeMap::new(),
            unnamed: 0,
            read: 0,
            is_drained: false,
            is_ending: false,
            linger: options.sending.linger,
        })
    }

    /// The next event; `None` if there was none within `timeout`, or only internal ones.
    ///
    /// # Errors
    /// What keeps it from going on. The session is over then.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<SendEvent>, SendError> {
        match self.reader.next(timeout).transpose().map_err(SendError::File)? {
            None => Ok(None),
            Some(BulkSent::Need(range)) => {
                self.read = self.read.max(range.end);
                Ok(None)
            }
            Some(BulkSent::Report { from, report }) => Ok(self.heard(from, report)),
            Some(BulkSent::Drained) => {
                self.is_drained = true;
                self.end_if_done();
                Ok(Some(SendEvent::Drained))
            }
            Some(BulkSent::Finished) => Ok(Some(SendEvent::Finished)),
            Some(BulkSent::Failed(why)) => Err(SendError::Network(why)),
        }
    }

    /// Ends the session properly: the rest is still sent, and repair goes on for a while.
    pub fn finish(&mut self) {
        self.is_ending = true;
        self.reader.publisher().finish();
    }

    /// Ends the session at once. The receivers are told.
    pub fn abort(&mut self) {
        self.is_ending = true;
        self.reader.publisher().abort(ENDED);
    }

    /// Whether everything was sent at least once.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// The session's identifier.
    #[must_use]
    pub fn tsi(&self) -> Tsi {
        self.reader.publisher().tsi()
    }

    /// What is sent.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How much was sent.
    #[must_use]
    pub fn progress(&self) -> SendProgress {
        SendProgress { sent: self.read, total: self.total }
    }

    /// The receivers that reported, at most [`FileSender::RECEIVERS_MAX`] of them.
    pub fn receivers(&self) -> impl Iterator<Item = &Listener> {
        self.receivers.values()
    }

    /// Receivers that have everything.
    #[must_use]
    pub fn complete(&self) -> usize {
        let is_complete = |listener: &&Listener| listener.report.standing == Standing::Complete;
        self.receivers.values().filter(is_complete).count()
    }

    /// Receivers that have failed or left.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.ends.len() - self.complete()
    }

    /// Reports of receivers beyond [`FileSender::RECEIVERS_MAX`].
    #[must_use]
    pub fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// What the network counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.reader.publisher().counts()
    }

    fn heard(&mut self, address: IpAddr, report: Report) -> Option<SendEvent> {
        let known = self.receivers.get(&report.receiver).copied();
        if known.is_none() && self.receivers.len() == Self::RECEIVERS_MAX {
            self.unnamed += 1;
            return None;
        }
        if report.standing.is_final() {
            self.ends.entry(report.receiver).or_insert_with(Instant::now);
        } else if known.is_some_and(|known| known.report.standing == Standing::Complete)
            || self.ends.get(&report.receiver).is_some_and(|end| end.elapsed() < OVERTAKEN)
        {
            // Reports may overtake each other; a final one stays final.
            return None;
        } else {
            // A report long after the final one comes from a receiver that was restarted.
            self.ends.remove(&report.receiver);
        }
        let listener = Listener { address, report, heard_at: Instant::now() };
        self.receivers.insert(report.receiver, listener);
        self.end_if_done();
        self.shorten_linger();
        let is_news = known.is_none_or(|known| known.report.standing != report.standing);
        is_news.then_some(SendEvent::Receiver(listener))
    }

    /// Whether there is nobody left to wait for: `wanted` receivers have everything, or as many have ended and no other goes on.
    fn is_done(&self, wanted: usize) -> bool {
        let all_ended = self.ends.len() == self.receivers.len();
        self.complete() >= wanted || self.ends.len() >= wanted && all_ended
    }

    fn end_if_done(&mut self) {
        match self.wanted {
            _ if self.is_ending => {}
            Some(wanted) if !self.is_done(wanted) => {}
            // All of them have ended before everything was sent: nobody needs the rest.
            Some(_) if !self.is_drained => self.abort(),
            None if !self.is_drained => {}
            _ => self.finish(),
        }
    }

    /// Shortens the linger once all receivers that were waited for have ended and no other goes on. Then only lost receipts may have to
    /// be repeated: a receiver that repeats its last report is answered, and waited for again.
    fn shorten_linger(&mut self) {
        let all_ended = self.ends.len() == self.receivers.len();
        if self.is_ending && all_ended && self.wanted.is_some_and(|wanted| self.is_done(wanted)) {
            let spread = Duration::from_millis(self.receivers.len() as u64);
            self.reader.publisher().set_linger(self.linger.min(LAST_RECEIPTS + spread));
        }
    }
}

/// How long to wait for receivers whose final report was received but whose receipt was lost: they repeat the report every 0.2 seconds
/// plus a millisecond for each receiver.
const LAST_RECEIPTS: Duration = Duration::from_millis(500);

/// How long after a receiver's final report an earlier one may still arrive.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// The reason that OPT_RST tells receivers (RFC 3208 section 9.8): the sender has ended the session.
const ENDED: u8 = 1;

impl fmt::Display for SendStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(error) => error.fmt(f),
            Self::TooLarge(error) => error.fmt(f),
            Self::Network(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendStartError {}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Network(why) => write!(f, "the network cannot be used any more: {why}"),
        }
    }
}

impl std::error::Error for SendError {}
