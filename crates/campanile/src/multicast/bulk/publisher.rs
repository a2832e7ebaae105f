//! Publishers of bulk sessions.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use campanile_engine::Waker;
use campanile_pgm::Tsi;
use campanile_pgm::source::ConfigError;

use super::feed::{BulkFeed, Command};
use super::{BYTES, COMMANDS, EVENTS};
use crate::multicast::counts::Counts;
use crate::multicast::node::source::{self, SourceDriver};
use crate::multicast::node::{Node, StartError};
use crate::multicast::options::Options;
use crate::multicast::profile::Profile;
use crate::multicast::queue::{self, EventReceiver, Weight};
use crate::multicast::report::Report;
use crate::multicast::sockets;

/// Sends what is kept elsewhere.
///
/// # Order of calls
///
/// Call [`BulkPublisher::next`] until it returns [`BulkSent::Finished`], and answer each [`BulkSent::Need`] with
/// [`BulkPublisher::supply`].
/// [`BulkPublisher::finish`] may be called at any time: what was offered is sent first, then repair goes on through the linger.
/// Dropping a publisher ends repair at once.
#[derive(Debug)]
pub struct BulkPublisher {
    tsi: Tsi,
    block_len: usize,
    supplier: Supplier,
    node: Node,
}

impl BulkPublisher {
    /// Starts a session that offers these bytes.
    ///
    /// # Errors
    ///
    /// The options are contradictory, the sockets cannot be opened, or the offer is empty or larger than 2^30 packets.
    pub fn start(options: &Options, offer: Offer) -> Result<Self, StartError> {
        let interfaces = sockets::interfaces(options)?;
        let session = source::session(options);
        let config = source::bulk_config(options, session, &interfaces, offer.bytes)?;
        let block_len = config.tsdu_len().ok_or(StartError::Config(ConfigError::PacketLen))?;
        let (sender, events) = queue::events(EVENTS, BYTES);
        let (commands, orders) = async_channel::bounded(COMMANDS);
        let (recycle, spare) = async_channel::bounded(COMMANDS);
        let rate = options.sending.rate;
        let node = Node::of_source(options, &interfaces, move |now| {
            let feed = BulkFeed::new(sender, orders, recycle);
            let mut driver = SourceDriver::new(now, config, rate, offer.profile.cookie, feed)?;
            driver.machine_mut().offer(now, offer.bytes).map_err(|_| ConfigError::Window)?;
            Ok(driver)
        })?;
        let supplier = Supplier { events: Arc::new(events), commands, spare, waker: node.waker().clone() };
        Ok(BulkPublisher { tsi: session.tsi, block_len, supplier, node })
    }

    /// The session's identifier.
    #[must_use]
    pub fn tsi(&self) -> Tsi {
        self.tsi
    }

    /// The payload length of every packet but the last: packet i begins at i times this.
    #[must_use]
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// The next event; `None` if there is none within `timeout`, or the session is over and all events were taken.
    pub fn next(&self, timeout: Duration) -> Option<BulkSent> {
        self.supplier.events.next(timeout, self.node.waker())
    }

    /// The next event, if there is one already.
    pub fn try_next(&self) -> Option<BulkSent> {
        self.next(Duration::ZERO)
    }

    /// Waits for the next event; `None` when the session is over and all events were taken. Dropping the future loses no event.
    pub async fn recv(&self) -> Option<BulkSent> {
        self.supplier.events.recv(self.node.waker()).await
    }

    /// A handle for the thread that supplies the node.
    pub(crate) fn supplier(&self) -> Supplier {
        self.supplier.clone()
    }

    /// Supplies the bytes that [`BulkSent::Need`] asked for. Any other range is ignored.
    pub fn supply(&self, range: Range<u64>, bytes: Vec<u8>) {
        self.supplier.supply(range, bytes);
    }

    /// An empty buffer for [`BulkPublisher::supply`], a reused one if possible.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        self.supplier.buffer()
    }

    /// Ends the session once everything is sent; repair goes on for the linger time.
    pub fn finish(&self) {
        self.supplier.command(Command::Finish);
    }

    /// Changes how long repair goes on after the end; if the session has ended, counted from now.
    pub fn set_linger(&self, linger: Duration) {
        self.supplier.set_linger(linger);
    }

    /// Ends the session now. Receivers are told so, with a reason chosen by the application, from 0 to 63; a greater one counts as 63.
    pub fn abort(&self, reason: u8) {
        self.supplier.abort(reason);
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.counts()
    }
}

/// A handle on a bulk publisher's node, for another thread. It ends with the publisher.
#[derive(Debug, Clone)]
pub(crate) struct Supplier {
    events: Arc<EventReceiver<BulkSent>>,
    commands: Sender<Command>,
    spare: Receiver<Vec<u8>>,
    waker: Waker,
}

impl Supplier {
    /// The next event; `None` when there will be no more.
    pub(crate) fn next(&self) -> Option<BulkSent> {
        self.events.next(Duration::MAX, &self.waker)
    }

    /// As [`BulkPublisher::supply`].
    pub(crate) fn supply(&self, range: Range<u64>, bytes: Vec<u8>) {
        self.command(Command::Supply(range, bytes));
    }

    /// As [`BulkPublisher::buffer`].
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    /// As [`BulkPublisher::set_linger`].
    pub(crate) fn set_linger(&self, linger: Duration) {
        self.command(Command::Linger(linger));
    }

    /// As [`BulkPublisher::abort`].
    pub(crate) fn abort(&self, reason: u8) {
        self.command(Command::Abort(reason));
    }

    fn command(&self, command: Command) {
        // This fails only if the node has, which its events report.
        let _ = self.commands.send_blocking(command);
        self.waker.wake();
    }
}

/// An event of a bulk publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkSent {
    /// These bytes of what was offered are needed: [`BulkPublisher::supply`] them.
    Need(Range<u64>),
    /// A receiver reports.
    Report {
        /// Its address.
        from: IpAddr,
        /// What it says.
        report: Report,
    },
    /// All that was offered was sent once.
    Drained,
    /// The session is over, and its linger, too.
    Finished,
    /// The session cannot go on, for this reason: its node stopped, or its address is gone.
    Failed(String),
}

impl Weight for BulkSent {
    fn weight(&self) -> usize {
        0
    }
}

/// What a bulk session offers to its receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The session's profile. Its bytes ([`Profile::emit`]) are the first ones of the offer.
    pub profile: Profile,
    /// How many bytes there are in all, the profile's included.
    pub bytes: u64,
}
