//! A publisher that runs in its caller's thread.

use std::task::Poll;
use std::time::{Duration, Instant};

use campanile_pgm::Tsi;

use crate::multicast::counts::Counts;
use crate::multicast::node::{LocalNode, StartError};
use crate::multicast::options::Options;
use crate::multicast::publisher::{self, PublishError, Published};

/// Publishes messages, or a stream of bytes, from the caller's own thread.
///
/// # Order of calls
///
/// Call [`Publisher::publish`] when there is something to send, and [`Publisher::run_until`] as long as there is not; then
/// [`Publisher::finish`], and [`Publisher::next`] until it returns [`Published::Finished`]. Nothing is sent or repaired between calls:
/// see the [module](super). Dropping a publisher ends it at once.
///
/// # Bounds
///
/// As for a [`Publisher`](publisher::Publisher) with a thread.
#[derive(Debug)]
pub struct Publisher {
    publisher: publisher::Publisher,
    node: LocalNode,
    /// Bytes that were gathered since the node was last asked to send them.
    gathered: usize,
}

impl Publisher {
    /// Starts a session.
    ///
    /// # Errors
    ///
    /// The options are contradictory, or the sockets or the directory for diagnostics cannot be opened.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let (publisher, node) = publisher::Publisher::start_local(options)?;
        Ok(Publisher { publisher, node, gathered: 0 })
    }

    /// The session's identifier.
    #[must_use]
    pub fn tsi(&self) -> Tsi {
        self.publisher.tsi()
    }

    /// The longest message, or part of one, that can be published.
    #[must_use]
    pub fn message_len_max(&self) -> u64 {
        self.publisher.message_len_max()
    }

    /// Publishes a message, or bytes of a stream, and sends what the rate allows; while there is no room, runs the node.
    ///
    /// # Errors
    ///
    /// It is too long, or the session is finished.
    pub fn publish(&mut self, message: &[u8]) -> Result<(), PublishError> {
        self.publisher.pieces(message).try_for_each(|piece| self.send_piece(piece?, false))?;
        self.send();
        Ok(())
    }

    /// As [`Publisher::publish`], but the message may wait for the next call that sends, or until a train is full: gathered messages
    /// leave in full packets, many at a time.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn gather(&mut self, message: &[u8]) -> Result<(), PublishError> {
        self.publisher.pieces(message).try_for_each(|piece| self.send_piece(piece?, false))
    }

    /// Gathers a part of a message that is not the last. Pass the last part to [`Publisher::publish`] or [`Publisher::gather`].
    ///
    /// # Errors
    ///
    /// It is too long, the mode has no messages of several parts, or the session is finished.
    pub fn gather_part(&mut self, part: &[u8]) -> Result<(), PublishError> {
        self.publisher.check_part(part)?;
        self.send_piece(part, true)
    }

    /// Ends a burst, so that its last packets can be repaired at once, and sends what the rate allows.
    ///
    /// # Errors
    ///
    /// The session is finished.
    pub fn flush(&mut self) -> Result<(), PublishError> {
        self.publisher.flush()?;
        self.send();
        Ok(())
    }

    /// Ends the session: what was published before is sent, and repaired for the linger time, while the node is run. Nothing more can
    /// be published. Returns without waiting.
    pub fn finish(&mut self) {
        self.publisher.finish();
        self.node.turn_now();
    }

    /// Ends a session that is incomplete: as [`Publisher::finish`], but receivers are told that more was meant to come, with a reason
    /// chosen by the application, from 0 to 63; a greater one counts as 63.
    pub fn cut(&mut self, reason: u8) {
        self.publisher.cut(reason);
        self.node.turn_now();
    }

    /// Ends the session now: what waits is not sent. Receivers are told so, with a reason chosen by the application, from 0 to 63; a
    /// greater one counts as 63.
    pub fn abort(&mut self, reason: u8) {
        self.publisher.abort(reason);
        self.node.turn_now();
    }

    /// Changes the rate, in bits a second. Has no lasting effect on a rate that is found from reports.
    pub fn set_rate(&mut self, rate_bps: u64) {
        self.publisher.set_rate(rate_bps);
        self.node.turn_now();
    }

    /// Changes how long repair goes on after the end; if the session has ended, counted from now.
    pub fn set_linger(&mut self, linger: Duration) {
        self.publisher.set_linger(linger);
        self.node.turn_now();
    }

    /// Runs the node until then, at least one turn: sends what had to wait for the rate, and receives and answers NAKs. Returns early
    /// only if the node cannot go on, which [`Publisher::next`] reports.
    pub fn run_until(&mut self, until: Instant) {
        loop {
            self.node.turn(Some(until));
            if self.node.is_over() || until <= Instant::now() {
                return;
            }
        }
    }

    /// Runs the node, at least one turn, until there is an event; `None` if there is none within `timeout`, or the session is over and
    /// all events were taken.
    pub fn next(&mut self, timeout: Duration) -> Option<Published> {
        if let Poll::Ready(next) = self.publisher.poll() {
            self.node.turn_now();
            return next;
        }
        let until = Instant::now().checked_add(timeout);
        loop {
            self.node.turn(until);
            if let Poll::Ready(next) = self.publisher.poll() {
                return next;
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
        }
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.count();
        self.publisher.counts()
    }

    fn send(&mut self) {
        self.gathered = 0;
        self.node.turn_now();
    }

    fn send_piece(&mut self, piece: &[u8], more: bool) -> Result<(), PublishError> {
        let mut done = self.publisher.pack(piece, more);
        if done == Err(PublishError::Full) {
            self.node.turn_now();
            done = self.publisher.pack(piece, more);
        }
        while done == Err(PublishError::Full) {
            self.node.turn(None);
            done = self.publisher.pack(piece, more);
        }
        done?;
        self.gathered += piece.len();
        if self.gathered >= TRAIN {
            self.send();
        }
        Ok(())
    }
}

/// The most bytes that leave at once.
const TRAIN: usize = 64 << 10;
