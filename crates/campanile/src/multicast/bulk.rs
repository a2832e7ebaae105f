//! Sessions whose data are kept elsewhere, such as in files: the basis of the file transfer.
//!
//! A [`BulkPublisher`] offers a number of bytes and asks for ranges of them when they are to be sent. A [`BulkSubscriber`] hands over
//! packets as they come, with their sequence numbers, and asks for a group of them when it can be decoded. Neither ever waits for the
//! application: what it does not take in time is repaired later. And a command of the application waits for one turn of the node at
//! most.

mod feed;
mod sink;

use std::future::poll_fn;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use campanile_engine::Waker;
use campanile_pgm::receiver::{Consumer, EndCause, JoinWish, NakConfig, Packets};
use campanile_pgm::source::ConfigError;
use campanile_pgm::{Seq, Tsi};

use super::counts::Counts;
use super::node::receiver::ReceiverDriver;
use super::node::source::{self, SourceDriver};
use super::node::{Node, StartError};
use super::options::Options;
use super::profile::Profile;
use super::queue::{self, EventReceiver, Weight};
use super::report::{ReceiverId, Report, Standing};
use super::sockets::{self, BoundSockets};

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
    /// The node cannot go on.
    Failed(String),
}

/// An event of a bulk subscriber.
#[derive(Debug)]
pub enum BulkReceived {
    /// A source was found.
    Start {
        /// The source.
        tsi: Tsi,
        /// Its address.
        source: IpAddr,
        /// The first sequence number that will be delivered or reported as lost; 0 at the beginning of a session.
        first: Seq,
    },
    /// Packets.
    Packets(Batch),
    /// The packets of a group are needed to decode the missing ones: [`BulkSubscriber::supply`] them.
    Need {
        /// The source.
        tsi: Tsi,
        /// The first sequence number of the group.
        first: Seq,
        /// How many packets it has. The contents of those that were not delivered yet do not matter.
        count: u8,
    },
    /// Packets are lost for good.
    Lost {
        /// The source.
        tsi: Tsi,
        /// The first of them.
        first: Seq,
        /// The last of them.
        last: Seq,
    },
    /// The source knows the final standing that was reported.
    Acknowledged {
        /// The source.
        tsi: Tsi,
    },
    /// Nothing more will come of a source.
    End {
        /// The source.
        tsi: Tsi,
        /// Why.
        cause: EndCause,
    },
    /// The node cannot go on.
    Failed(String),
}

/// Packets of one source, in the memory that the state machine wrote them to. The memory goes back to the node when the batch is
/// dropped.
#[derive(Debug)]
pub struct Batch {
    tsi: Tsi,
    packets: Packets,
    home: Sender<Packets>,
}

impl Batch {
    /// The source.
    #[must_use]
    pub fn tsi(&self) -> Tsi {
        self.tsi
    }

    /// The packets.
    #[must_use]
    pub fn packets(&self) -> &Packets {
        &self.packets
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut packets = std::mem::take(&mut self.packets);
        packets.clear();
        // This fails if the node is gone or has enough spare memory.
        let _ = self.home.try_send(packets);
    }
}

/// Which of two things came first.
#[derive(Debug)]
pub(crate) enum First<T> {
    /// An event; `None` when there will be no more.
    Event(Option<BulkReceived>),
    Other(T),
}

/// How far the application has got with a source, for reports to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The cookie of the session's profile.
    pub cookie: u64,
    /// Its standing. A final one is reported at once, and repeated until the source acknowledges it.
    pub standing: Standing,
    /// Data packets that it has, of `total`.
    pub had: u32,
    /// Data packets of the session; 0 when that is not known.
    pub total: u32,
}

/// What a bulk session offers to its receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The session's profile. Its bytes ([`Profile::emit`]) are the first ones of the offer.
    pub profile: Profile,
    /// How many bytes there are in all, the profile's included.
    pub bytes: u64,
}

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

/// A handle on a bulk publisher's node, for another thread. It ends with the publisher.
#[derive(Debug, Clone)]
pub(crate) struct Supplier {
    events: Arc<EventReceiver<BulkSent>>,
    commands: Sender<feed::Command>,
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
        self.command(feed::Command::Supply(range, bytes));
    }

    /// As [`BulkPublisher::buffer`].
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    /// As [`BulkPublisher::abort`].
    pub(crate) fn abort(&self, reason: u8) {
        self.command(feed::Command::Abort(reason));
    }

    fn command(&self, command: feed::Command) {
        // This fails only if the node has, which its events report.
        let _ = self.commands.send_blocking(command);
        self.waker.wake();
    }
}

impl BulkPublisher {
    /// Starts a session that offers these bytes.
    ///
    /// # Errors
    ///
    /// The options are contradictory, the sockets cannot be opened, or the offer is empty or larger than 2^24 packets.
    pub fn start(options: &Options, offer: Offer) -> Result<Self, StartError> {
        let interfaces = sockets::interfaces(options)?;
        let session = source::session(options);
        let config = source::bulk_config(options, session, &interfaces, offer.bytes)?;
        let block_len = config.tsdu_len().ok_or(StartError::Config(ConfigError::PacketLen))?;
        let (sender, events) = queue::events(EVENTS, BYTES);
        let (commands, orders) = async_channel::bounded(COMMANDS);
        let (home, spare) = async_channel::bounded(COMMANDS);
        let rate = options.sending.rate;
        let node = Node::of_source(options, &interfaces, move |now| {
            let feed = feed::BulkFeed::new(sender, orders, home);
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

    /// Waits for the next event; `None` when the session is over and all events were taken.
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
        self.supplier.command(feed::Command::Finish);
    }

    /// Changes how long repair goes on after the end; if the session has ended, counted from now.
    pub fn set_linger(&self, linger: Duration) {
        self.supplier.command(feed::Command::Linger(linger));
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

/// Receives packets for what is kept elsewhere.
///
/// # Order of calls
///
/// Call [`BulkSubscriber::next`] as long as there is something to wait for. After [`BulkReceived::Start`] the application says what it
/// has already ([`BulkSubscriber::have`]), and it answers each [`BulkReceived::Need`] with [`BulkSubscriber::supply`]. Its progress
/// ([`BulkSubscriber::report`]) is sent to the source when the source wants a report.
#[derive(Debug)]
pub struct BulkSubscriber {
    events: EventReceiver<BulkReceived>,
    commands: Sender<sink::Command>,
    spare: Receiver<Vec<u8>>,
    node: Node,
}

impl BulkSubscriber {
    /// Starts to listen. Sessions are received from their beginning, whatever the option `join` says. `place` is where the data are
    /// kept: to the sources, a receiver that is restarted with the same place and address is the same receiver.
    ///
    /// # Errors
    ///
    /// The sockets or the directory for diagnostics cannot be opened.
    pub fn start(options: &Options, place: &Path) -> Result<Self, StartError> {
        let receiver = ReceiverId::keeping(sockets::interfaces(options)?[0].address, place);
        let sockets = BoundSockets::of_receiver(options)?;
        let (sender, events) = queue::events(EVENTS, BYTES);
        let (commands, orders) = async_channel::bounded(COMMANDS);
        let (home, spare) = async_channel::bounded(COMMANDS);
        let mut listening = options.clone();
        // Without its beginning a session is useless, so wait to learn how far back it can be repaired.
        listening.receiving.join = JoinWish::History { wait: BEGINNING };
        // Confirmed repairs will come as long as the session goes on, however much is repaired for others first.
        listening.receiving.nak.data_retries = NakConfig::WITHOUT_END;
        let node = Node::of_receiver(options, sockets, move |held| {
            let sink = sink::BulkSink::new(sender, orders, home);
            ReceiverDriver::new(&listening, receiver, held, Consumer::Bulk, sink)
        })?;
        Ok(BulkSubscriber { events, commands, spare, node })
    }

    /// The next event; `None` if there is none within `timeout`.
    pub fn next(&self, timeout: Duration) -> Option<BulkReceived> {
        self.events.next(timeout, self.node.waker())
    }

    /// The next event, if there is one already.
    pub fn try_next(&self) -> Option<BulkReceived> {
        self.next(Duration::ZERO)
    }

    /// Waits for the next event; `None` if there will be no more.
    pub async fn recv(&self) -> Option<BulkReceived> {
        self.events.recv(self.node.waker()).await
    }

    /// As [`BulkSubscriber::next`], unless something else comes first; `None` if neither comes within `timeout`.
    pub(crate) fn next_or<T>(&self, other: impl Future<Output = T>, timeout: Duration) -> Option<First<T>> {
        let (mut event, mut other) = (pin!(self.events.recv(self.node.waker())), pin!(other));
        // The other is polled first, since events may come without end.
        let first = poll_fn(|context| match other.as_mut().poll(context) {
            Poll::Ready(other) => Poll::Ready(First::Other(other)),
            Poll::Pending => event.as_mut().poll(context).map(First::Event),
        });
        queue::wait(first, timeout)
    }

    /// Says which packets of a source are there already: from `first` to `last`, both included. A range that makes no sense is
    /// ignored.
    ///
    /// A subscriber that joins late does not know at first what is there already, and for a second at most asks only for the front of
    /// the session. From that the application learns what the session holds, and says which packets it has; a range with the session's
    /// first packet comes last and ends the wait.
    pub fn have(&self, tsi: Tsi, first: Seq, last: Seq) {
        self.command(sink::Command::Have(tsi, first, last));
    }

    /// Supplies the packets of the group that [`BulkReceived::Need`] asked for, packet n at n times `stride` bytes. The places of
    /// packets that were not delivered may hold anything. The bytes end with the last packet, which may be shorter than `stride`. A
    /// group that was not asked for is ignored.
    ///
    /// Each [`BulkReceived::Need`] must be answered, since other groups wait for it. An application that cannot read the packets any
    /// more supplies no bytes; then the group is repaired without them.
    pub fn supply(&self, tsi: Tsi, first: Seq, stride: usize, bytes: Vec<u8>) {
        self.command(sink::Command::Supply { tsi, first, stride, bytes });
    }

    /// An empty buffer for [`BulkSubscriber::supply`], a reused one if possible.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    /// Sets how far the application has got with a source.
    pub fn report(&self, tsi: Tsi, progress: Progress) {
        self.command(sink::Command::Report(tsi, progress));
    }

    /// Leaves a source. Its packets are ignored from now on; the last progress is still reported.
    pub fn leave(&self, tsi: Tsi) {
        self.command(sink::Command::Leave(tsi));
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.counts()
    }

    fn command(&self, command: sink::Command) {
        // This fails only if the node has, which its events report.
        let _ = self.commands.send_blocking(command);
        self.node.waker().wake();
    }
}

impl Weight for BulkSent {
    fn weight(&self) -> usize {
        0
    }
}

impl Weight for BulkReceived {
    fn weight(&self) -> usize {
        match self {
            BulkReceived::Packets(batch) => batch.packets.bytes_len(),
            _ => 0,
        }
    }
}

/// The most events that wait for the application; a batch of packets counts as one.
const EVENTS: usize = 1024;
/// The most bytes of packets that wait for the application.
const BYTES: usize = 8 << 20;
/// How long to wait to learn where a session begins. SPMs are requested all that time.
const BEGINNING: Duration = Duration::from_secs(30);
/// The most commands that wait for the node.
const COMMANDS: usize = 64;
