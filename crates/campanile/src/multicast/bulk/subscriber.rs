//! Subscribers of bulk sessions.

use std::future::poll_fn;
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use campanile_pgm::receiver::{Consumer, EndCause, JoinWish, NakConfig, Packets};
use campanile_pgm::{Seq, Tsi};

use super::sink::{BulkSink, Command};
use super::{BYTES, COMMANDS, EVENTS};
use crate::multicast::counts::Counts;
use crate::multicast::node::receiver::ReceiverDriver;
use crate::multicast::node::{Node, StartError};
use crate::multicast::options::Options;
use crate::multicast::queue::{self, EventReceiver, Weight};
use crate::multicast::report::{ReceiverId, Standing};
use crate::multicast::sockets::{self, BoundSockets};

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
    commands: Sender<Command>,
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
        let (recycle, spare) = async_channel::bounded(COMMANDS);
        let mut listening = options.clone();
        // Without its beginning a session is useless, so wait to learn how far back it can be repaired.
        listening.receiving.join = JoinWish::History { wait: BEGINNING };
        // Confirmed repairs will come as long as the session goes on, however much is repaired for others first.
        listening.receiving.nak.data_retries = NakConfig::WITHOUT_END;
        let node = Node::of_receiver(options, sockets, move |held| {
            let sink = BulkSink::new(sender, orders, recycle);
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

    /// Waits for the next event; `None` if there will be no more. Dropping the future loses no event.
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
        self.command(Command::Have(tsi, first, last));
    }

    /// Supplies the packets of the group that [`BulkReceived::Need`] asked for, packet n at n times `stride` bytes. The places of
    /// packets that were not delivered may hold anything. The bytes end with the last packet, which may be shorter than `stride`. A
    /// group that was not asked for is ignored.
    ///
    /// Each [`BulkReceived::Need`] must be answered, since other groups wait for it. An application that cannot read the packets any
    /// more supplies no bytes; then the group is repaired without them.
    pub fn supply(&self, tsi: Tsi, first: Seq, stride: usize, bytes: Vec<u8>) {
        self.command(Command::Supply { tsi, first, stride, bytes });
    }

    /// An empty buffer for [`BulkSubscriber::supply`], a reused one if possible.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    /// Sets how far the application has got with a source.
    pub fn report(&self, tsi: Tsi, progress: Progress) {
        self.command(Command::Report(tsi, progress));
    }

    /// Leaves a source. Its packets are ignored from now on; the last progress is still reported.
    pub fn leave(&self, tsi: Tsi) {
        self.command(Command::Leave(tsi));
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.counts()
    }

    fn command(&self, command: Command) {
        // This fails only if the node has, which its events report.
        let _ = self.commands.send_blocking(command);
        self.node.waker().wake();
    }
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

impl Weight for BulkReceived {
    fn weight(&self) -> usize {
        match self {
            BulkReceived::Packets(batch) => batch.packets.bytes_len(),
            _ => 0,
        }
    }
}

/// Packets of one source, in the memory that the state machine wrote them to. The memory goes back to the node when the batch is
/// dropped.
#[derive(Debug)]
pub struct Batch {
    pub(super) tsi: Tsi,
    pub(super) packets: Packets,
    pub(super) recycle: Sender<Packets>,
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
        let _ = self.recycle.try_send(packets);
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

/// How long to wait to learn where a session begins. SPMs are requested all that time.
const BEGINNING: Duration = Duration::from_secs(30);
