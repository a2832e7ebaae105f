//! Publishers: they send messages, or a stream of bytes, to a group.

mod feed;
mod outbox;

use std::fmt;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

use async_channel::Sender;
use campanile_pgm::source::{ConfigError, Packer};
use campanile_pgm::wire::Reset;
use campanile_pgm::{Instant, Tsi};

use self::feed::{MessageFeed, Order};
use self::outbox::{End, OutboxSender, SendError};
use super::counts::Counts;
use super::node::source::{self, SourceDriver};
use super::node::{LocalNode, Node, StartError};
use super::options::{Mode, Options, Rate};
use super::profile::{ContentKind, Profile};
use super::queue::{self, EventReceiver, Weight};
use super::report::Report;
use super::sockets::{self, LocalInterface};

/// Publishes messages, or a stream of bytes.
///
/// # Order of calls
///
/// Call [`Publisher::publish`] and the like, from any thread; then [`Publisher::finish`], and [`Publisher::next`] until it returns
/// [`Published::Finished`]. Repair goes on all that time in the node's thread. Dropping a publisher ends it at once. Only whole messages
/// may come from several threads at a time: the parts of messages, and the bytes of a stream, would be mixed.
///
/// # Bounds
///
/// The option `send-queue` bounds the messages that wait, none longer than [`Publisher::message_len_max`]; their packets take a MiB and
/// one more message at most. As many again may be on their way to the window. Beyond that publishing waits.
#[derive(Debug)]
pub struct Publisher {
    tsi: Tsi,
    mode: Mode,
    message_len_max: u64,
    outbox: OutboxSender,
    orders: Sender<Order>,
    events: EventReceiver<Published>,
    node: Node,
}

/// An event of a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// A receiver reports. If the application does not take its events, reports that are not final are dropped; a final one for which
    /// there is no room is not acknowledged, and so repeated.
    Report {
        /// Its address.
        from: IpAddr,
        /// What it says.
        report: Report,
    },
    /// The session is over, and its linger, too.
    Finished,
    /// The session cannot go on, for this reason: its node stopped, or its address is gone.
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
        let node =
            |interfaces: &[LocalInterface], make| Ok((Node::of_source(options, interfaces, make)?, ()));
        Ok(Self::start_at(options, node)?.0)
    }

    /// As [`Publisher::start`], with a node that runs in the caller's thread.
    pub(super) fn start_local(options: &Options) -> Result<(Self, LocalNode), StartError> {
        Self::start_at(options, |interfaces, make| LocalNode::of_source(options, interfaces, make))
    }

    /// Starts a session at the node that `node` makes for its driver, and passes on what else `node` returns.
    fn start_at<T>(
        options: &Options,
        node: impl FnOnce(&[LocalInterface], MakeDriver) -> Result<(Node, T), StartError>,
    ) -> Result<(Self, T), StartError> {
        let (mode, rate) = (options.mode, options.sending.rate);
        if mode.is_foreign() && !matches!(rate, Rate::Fixed(_)) {
            return Err(StartError::NoReports);
        }
        let interfaces = sockets::interfaces(options)?;
        let session = source::session(options);
        let config = source::config(options, session, &interfaces)?;
        let message_len_max = config.message_len_max().map_err(StartError::Config)?;
        let tsdu_len = config.tsdu_len().ok_or(StartError::Config(ConfigError::PacketLen))?;
        let profile = profile(mode);
        let first = profile.map(|profile| profile.emit());
        let packer = Packer::new(config.framing, tsdu_len);
        let (outbox, packets) =
            outbox::outbox(packer, options.sending.queue, first.as_ref().map(|it| &it[..]));
        let (sender, events) = queue::events(EVENTS, 1);
        let (orders, ordered) = async_channel::bounded(EVENTS);
        let make = move |now| {
            let feed = MessageFeed::new(sender, packets, ordered);
            SourceDriver::new(now, config, rate, profile.map_or(0, |profile| profile.cookie), feed)
        };
        let (node, other) = node(&interfaces, Box::new(make))?;
        Ok((Publisher { tsi: session.tsi, mode, message_len_max, outbox, orders, events, node }, other))
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
        self.pieces(message).try_for_each(|piece| self.send_piece(piece?, false))
    }

    /// Publishes a part of a message that is not the last; waits for room. Pass the last part to [`Publisher::publish`].
    ///
    /// # Errors
    ///
    /// It is too long, the mode has no messages of several parts, or the session is finished.
    pub fn publish_part(&self, part: &[u8]) -> Result<(), PublishError> {
        self.check_part(part)?;
        self.send_piece(part, true)
    }

    /// As [`Publisher::publish_part`], if there is room now.
    ///
    /// # Errors
    ///
    /// There is no room now ([`PublishError::Full`]); otherwise as there.
    pub fn try_publish_part(&self, part: &[u8]) -> Result<(), PublishError> {
        self.check_part(part)?;
        self.try_send_piece(part, true)
    }

    /// As [`Publisher::publish_part`], once there is room. If the future is dropped before that, nothing was published.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_part(&self, part: &[u8]) -> Result<(), PublishError> {
        self.check_part(part)?;
        Ok(self.outbox.send(part, true, self.node.waker()).await?)
    }

    /// Publishes a message, or bytes of a stream, if there is room now.
    ///
    /// # Errors
    ///
    /// There is no room now ([`PublishError::Full`]), it is too long, or the session is finished. Nothing of a message was taken then;
    /// nothing of a stream's bytes either, if they are no longer than 32 KiB and [`Publisher::message_len_max`].
    pub fn try_publish(&self, message: &[u8]) -> Result<(), PublishError> {
        for piece in self.pieces(message) {
            self.try_send_piece(piece?, false)?;
        }
        Ok(())
    }

    /// Publishes a message, or bytes of a stream, once there is room. If the future is dropped before that, nothing of a message was
    /// published, but perhaps the first bytes of a stream's.
    ///
    /// # Errors
    ///
    /// As [`Publisher::publish`].
    pub async fn send(&self, message: &[u8]) -> Result<(), PublishError> {
        for piece in self.pieces(message) {
            self.outbox.send(piece?, false, self.node.waker()).await?;
        }
        Ok(())
    }

    /// Ends a burst, so that its last packets can be repaired at once. Does not wait for room.
    ///
    /// # Errors
    ///
    /// The session is finished.
    pub fn flush(&self) -> Result<(), PublishError> {
        Ok(self.outbox.flush(self.node.waker())?)
    }

    /// Ends the session: what was published before is sent, and repaired for the linger time. Nothing more can be published. Returns
    /// without waiting.
    pub fn finish(&self) {
        self.outbox.finish(End::Whole, self.node.waker());
    }

    /// Ends a session that is incomplete: as [`Publisher::finish`], but receivers are told that more was meant to come, with a reason
    /// chosen by the application, from 0 to 63; a greater one counts as 63.
    pub fn cut(&self, reason: u8) {
        self.outbox.finish(End::Cut(reset(false, reason)), self.node.waker());
    }

    /// Ends the session now: what waits is not sent. Receivers are told so, with a reason chosen by the application, from 0 to 63; a
    /// greater one counts as 63.
    pub fn abort(&self, reason: u8) {
        self.order(Order::Abort(reset(true, reason)));
        self.outbox.abort(self.node.waker());
    }

    /// Changes the rate, in bits a second. Has no lasting effect on a rate that is found from reports.
    pub fn set_rate(&self, rate_bps: u64) {
        self.order(Order::Rate(rate_bps));
    }

    /// Changes how long repair goes on after the end; if the session has ended, counted from now.
    pub fn set_linger(&self, linger: Duration) {
        self.order(Order::Linger(linger));
    }

    /// The next event; `None` if there is none within `timeout`, or the session is over and all events were taken.
    pub fn next(&self, timeout: Duration) -> Option<Published> {
        self.events.next(timeout, self.node.waker())
    }

    /// The next event, if there is one already.
    pub fn try_next(&self) -> Option<Published> {
        self.next(Duration::ZERO)
    }

    /// Waits for the next event; `None` when the session is over and all events were taken. Dropping the future loses no event.
    pub async fn recv(&self) -> Option<Published> {
        self.events.recv(self.node.waker()).await
    }

    /// The next event, if there is one already.
    pub(super) fn poll(&self) -> Poll<Option<Published>> {
        self.events.poll(None, self.node.waker())
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.counts()
    }

    /// A message as a whole, or a stream's bytes in pieces.
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

    fn send_piece(&self, message: &[u8], more: bool) -> Result<(), PublishError> {
        match self.try_send_piece(message, more) {
            Err(PublishError::Full) => {
                let send = self.outbox.send(message, more, self.node.waker());
                queue::wait(send, Duration::MAX).expect("a wait without end has one only when it is done")?;
                Ok(())
            }
            done => done,
        }
    }

    fn try_send_piece(&self, message: &[u8], more: bool) -> Result<(), PublishError> {
        Ok(self.outbox.try_send(message, more, self.node.waker())?)
    }

    /// Packs a message, or a piece of a stream, without waking the node.
    pub(super) fn pack(&self, message: &[u8], more: bool) -> Result<(), PublishError> {
        Ok(self.outbox.pack(message, more, None)?)
    }

    fn order(&self, order: Order) {
        // This fails only if the node is gone.
        let _ = self.orders.send_blocking(order);
        self.node.waker().wake();
    }
}

fn reset(no_repair: bool, reason: u8) -> Reset {
    Reset::new(no_repair, reason.min(63)).expect("63 is the greatest reason")
}

/// Makes the driver of a source, on the thread that runs it.
type MakeDriver = Box<dyn FnOnce(Instant) -> Result<SourceDriver<MessageFeed>, ConfigError> + Send>;

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

impl From<SendError> for PublishError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full => PublishError::Full,
            SendError::Closed => PublishError::Finished,
        }
    }
}

/// The most events, and the most orders, that wait.
const EVENTS: usize = 64;
/// A stream goes to the node in pieces of this many bytes.
const PIECE: usize = 32 << 10;
