//! Publishers: messages, or a stream of bytes, to all who listen.

mod feed;
mod outbox;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_channel::Sender;
use campanile_pgm::source::{ConfigError, Packer};
use campanile_pgm::wire::Reset;
use campanile_pgm::{Instant, Tsi};

use self::feed::{MessageFeed, Order};
use self::outbox::{End, SayError, Speaker};
use super::counts::Counts;
use super::links::{self, Way};
use super::node::source::{self, SourceSeat};
use super::node::{Here, Node, StartError};
use super::options::{Mode, Options, Rate};
use super::profile::{ContentKind, Profile};
use super::queue::{self, Inlet, Weight};
use super::report::Report;

/// Publishes messages, or a stream of bytes.
///
/// # Order of calls
///
/// [`Publisher::publish`] and its sisters, from any thread; then [`Publisher::finish`], and [`Publisher::next`] until it says
/// [`Published::Finished`]. Repair goes on all that time in the node's thread. Dropping a publisher ends it at once.
///
/// # Bounds
///
/// As many messages wait as the option `send-queue` says, in packets of a MiB in all and of one message more, each no longer than
/// [`Publisher::message_len_max`]; and as many again on their way to the window. Then publishing waits.
#[derive(Debug)]
pub struct Publisher {
    tsi: Tsi,
    mode: Mode,
    message_len_max: u64,
    speaker: Speaker,
    orders: Sender<Order>,
    events: Inlet<Published>,
    node: Node,
}

/// What a publisher has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// A receiver reports. Reports that nobody asks for in time are left out.
    Report {
        /// Its address.
        from: IpAddr,
        /// What it says.
        report: Report,
    },
    /// The session is over, and its linger, too.
    Finished,
    /// The node cannot go on.
    Failed(String),
}

impl Weight for Published {
    fn weight(&self) -> usize {
        0
    }
}

impl Publisher {
    /// Starts a session.
    ///
    /// # Errors
    ///
    /// The options are contradictory, or the sockets or the directory for diagnostics cannot be opened.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let node = |ways: &[Way], seat| Ok((Node::of_source(options, ways, seat)?, ()));
        Ok(Self::start_at(options, node)?.0)
    }

    /// As [`Publisher::start`], with a node that the caller runs.
    pub(super) fn start_here(options: &Options) -> Result<(Self, Here), StartError> {
        Self::start_at(options, |ways, seat| Here::of_source(options, ways, seat))
    }

    /// Starts a session at the node that `node` makes for its seat, and returns what else that brings.
    fn start_at<T>(
        options: &Options,
        node: impl FnOnce(&[Way], SeatMaker) -> Result<(Node, T), StartError>,
    ) -> Result<(Self, T), StartError> {
        let (mode, rate) = (options.mode, options.sending.rate);
        if mode.is_foreign() && !matches!(rate, Rate::Fixed(_)) {
            return Err(StartError::NoReports);
        }
        let ways = links::ways(options)?;
        let session = source::session(options);
        let config = source::config(options, session, &ways)?;
        let message_len_max = config.message_len_max().map_err(StartError::Config)?;
        let tsdu_len = config.tsdu_len().ok_or(StartError::Config(ConfigError::PacketLen))?;
        let profile = profile(mode);
        let first = profile.map(|profile| profile.emit());
        let packer = Packer::new(config.framing, tsdu_len);
        let (speaker, said) = outbox::outbox(packer, options.sending.queue, first.as_ref().map(|it| &it[..]));
        let (outlet, events) = queue::events(EVENTS, 1);
        let (orders, ordered) = async_channel::bounded(EVENTS);
        let seat = move |now| {
            let feed = MessageFeed::new(outlet, said, ordered);
            SourceSeat::new(now, config, rate, profile.map_or(0, |profile| profile.cookie), feed)
        };
        let (node, other) = node(&ways, Box::new(seat))?;
        Ok((Publisher { tsi: session.tsi, mode, message_len_max, speaker, orders, events, node }, other))
    }

    /// The session's identifier.
    #[must_use]
    pub fn tsi(&self) -> Tsi {
        self.tsi
    }

    /// The length in bytes of the longest message, or part of one, that can be published.
    #[must_use]
    pub fn message_len_max(&self) -> u64 {
        self.message_len_max
    }

    /// Publishes a message, or bytes of a stream; waits for room.
    ///
    /// # Errors
    ///
    /// It is too long, or the session is finished.
    pub fn publish(&self, message: &[u8]) -> Result<(), PublishError> {
        self.pieces(message).try_for_each(|piece| self.say(piece?, false))
    }

    /// Publishes a part of a message that goes on; waits for room. The last part is published by [`Publisher::publish`].
    ///
    /// # Errors
    ///
    /// It is too long, the mode has no messages of several parts, or the session is finished.
    pub fn publish_part(&self, part: &[u8]) -> Result<(), PublishError> {
        self.check_part(part)?;
        self.say(part, true)
    }

    /// As [`Publisher::publish_part`], if there is room now.
    ///
    /// # Errors
    ///
    /// There is no room now ([`PublishError::Full`]), and else as there.
    pub fn try_publish_part(&self, part: &[u8]) -> Result<(), PublishError> {
        self.check_part(part)?;
        self.try_say(part, true)
    }

    /// As [`Publisher::publish_part`], once there is room.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_part(&self, part: &[u8]) -> Result<(), PublishError> {
        self.check_part(part)?;
        Ok(self.speaker.say(part, true, self.node.waker()).await?)
    }

    /// Publishes a message, or bytes of a stream, if there is room now.
    ///
    /// # Errors
    ///
    /// There is no room now ([`PublishError::Full`]), it is too long, or the session is finished. Nothing of a message was taken
    /// then; of a stream's bytes nothing either, if they are no more than 32 KiB and [`Publisher::message_len_max`].
    pub fn try_publish(&self, message: &[u8]) -> Result<(), PublishError> {
        for piece in self.pieces(message) {
            self.try_say(piece?, false)?;
        }
        Ok(())
    }

    /// Publishes a message, or bytes of a stream, once there is room.
    ///
    /// # Errors
    ///
    /// As [`Publisher::publish`].
    pub async fn send(&self, message: &[u8]) -> Result<(), PublishError> {
        for piece in self.pieces(message) {
            self.speaker.say(piece?, false, self.node.waker()).await?;
        }
        Ok(())
    }

    /// Says that a burst is over, so that what it ended with can be repaired at once. It does not wait for room.
    ///
    /// # Errors
    ///
    /// The session is finished.
    pub fn flush(&self) -> Result<(), PublishError> {
        Ok(self.speaker.flush(self.node.waker())?)
    }

    /// Ends the session: what was published before is sent, and repaired through the linger. Nothing can be published any more. It does
    /// not wait for anything.
    pub fn finish(&self) {
        self.speaker.finish(End::Whole, self.node.waker());
    }

    /// Ends a session that is not whole: as [`Publisher::finish`], but receivers are told that more was meant to come, with a reason of
    /// the application's from 0 to 63; a greater one counts as 63.
    pub fn cut(&self, reason: u8) {
        self.speaker.finish(End::Cut(reset(false, reason)), self.node.waker());
    }

    /// Ends the session now: what waits is not sent. Receivers are told so, with a reason of the application's from 0 to 63; a greater one
    /// counts as 63.
    pub fn abort(&self, reason: u8) {
        self.order(Order::Abort(reset(true, reason)));
        self.speaker.abort(self.node.waker());
    }

    /// Changes the rate, in bits a second. One that is found from reports stays what they make it.
    pub fn set_rate(&self, rate_bps: u64) {
        self.order(Order::Rate(rate_bps));
    }

    /// Changes how long repair goes on after the end; where it does so already, from now on.
    pub fn set_linger(&self, linger: Duration) {
        self.order(Order::Linger(linger));
    }

    /// What happened next; `None` when nothing does for this long, or the session is over and all was told.
    pub fn next(&self, timeout: Duration) -> Option<Published> {
        self.events.next(timeout, self.node.waker())
    }

    /// What has happened, if anything has.
    pub fn try_next(&self) -> Option<Published> {
        self.next(Duration::ZERO)
    }

    /// What happened next, whenever it does; `None` when the session is over and all was told.
    pub async fn recv(&self) -> Option<Published> {
        self.events.recv(self.node.waker()).await
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.counts()
    }

    /// A message whole, or a stream in pieces that leave room for each other.
    pub(super) fn pieces<'a>(
        &self,
        message: &'a [u8],
    ) -> impl Iterator<Item = Result<&'a [u8], PublishError>> + use<'a> {
        let is_stream = self.mode == Mode::Stream;
        let is_short = message.len() as u64 <= self.message_len_max;
        let pieces = is_stream.then(|| message.chunks(PIECE.min(self.message_len_max as usize)).map(Ok));
        let whole = (!is_stream).then_some(if is_short { Ok(message) } else { Err(PublishError::TooLong) });
        pieces.into_iter().flatten().chain(whole)
    }

    pub(super) fn check_part(&self, part: &[u8]) -> Result<(), PublishError> {
        if !matches!(self.mode, Mode::Messages | Mode::Zmq) {
            return Err(PublishError::NoParts);
        }
        if part.len() as u64 > self.message_len_max {
            return Err(PublishError::TooLong);
        }
        Ok(())
    }

    fn say(&self, message: &[u8], more: bool) -> Result<(), PublishError> {
        match self.try_say(message, more) {
            Err(PublishError::Full) => {
                let say = self.speaker.say(message, more, self.node.waker());
                queue::wait(say, Duration::MAX).expect("a wait without end has one only when it is done")?;
                Ok(())
            }
            done => done,
        }
    }

    fn try_say(&self, message: &[u8], more: bool) -> Result<(), PublishError> {
        Ok(self.speaker.try_say(message, more, self.node.waker())?)
    }

    /// Packs a message, or a piece of a stream, without a word to the node.
    pub(super) fn pack(&self, message: &[u8], more: bool) -> Result<(), PublishError> {
        Ok(self.speaker.pack(message, more, None)?)
    }

    fn order(&self, order: Order) {
        // A node that has gone needs no orders.
        let _ = self.orders.send_blocking(order);
        self.node.waker().wake();
    }
}

fn reset(no_repair: bool, reason: u8) -> Reset {
    Reset::new(no_repair, reason.min(63)).expect("63 is the greatest reason")
}

/// Makes the seat of a source, on the thread that runs it.
type SeatMaker = Box<dyn FnOnce(Instant) -> Result<SourceSeat<MessageFeed>, ConfigError> + Send>;

fn profile(mode: Mode) -> Option<Profile> {
    let content = match mode {
        Mode::Messages => ContentKind::Messages,
        Mode::Apdu => ContentKind::Apdu,
        Mode::Stream => ContentKind::Stream,
        Mode::Zmq | Mode::OpenPgm => return None,
    };
    Some(Profile::new(content))
}

/// Why something was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishError {
    /// There is no room now.
    Full,
    /// It is longer than [`Publisher::message_len_max`].
    TooLong,
    /// The mode has no messages of several parts.
    NoParts,
    /// The session is finished, or has failed.
    Finished,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublishError::Full => "no room for another message now",
            PublishError::TooLong => "message is longer than half the transmit window",
            PublishError::NoParts => "mode has no messages of several parts",
            PublishError::Finished => "session is finished",
        })
    }
}

impl std::error::Error for PublishError {}

impl From<SayError> for PublishError {
    fn from(error: SayError) -> Self {
        match error {
            SayError::Full => PublishError::Full,
            SayError::Closed => PublishError::Finished,
        }
    }
}

/// Events and orders that wait.
const EVENTS: usize = 64;
/// A stream goes to the node in pieces of this many bytes.
const PIECE: usize = 32 << 10;
