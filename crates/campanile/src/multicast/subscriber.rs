//! Subscribers: they receive messages, or streams of bytes, of all sources of a group.

mod bytes;
mod delivery;
#[cfg(test)]
mod rig;
mod sessions;
mod sink;

use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

use async_channel::Sender;
use campanile_pgm::receiver::{Consumer, EndCause};
use campanile_pgm::{Seq, Tsi};

pub use self::bytes::Bytes;
use self::bytes::Delivered;
use self::delivery::Delivery;
pub use self::sessions::{SessionChannel, SessionSubscriber};
use self::sink::{Command, OrderedSink};
use super::counts::Counts;
use super::node::receiver::ReceiverDriver;
use super::node::{LocalNode, Node, StartError};
use super::options::{Options, Receiving};
use super::profile::{ContentKind, ProfileError};
use super::queue::{self, EventReceiver, Weight};
use super::report::ReceiverId;
use super::sockets::BoundSockets;
use super::waiting::Waiter;

/// Receives messages, or streams of bytes, of all sources of a group.
///
/// # Order of calls
///
/// Call [`Subscriber::next`] as long as there is something to wait for. Repair goes on in the subscriber's own thread; the option
/// `slow` says what happens if the application does not keep up.
///
/// # Bounds
///
/// The option `receive-queue` bounds the events that wait, and the option `memory` their bytes, plus what arrived together: a thousand
/// messages and those of one more packet, or 256 KiB and one message.
#[derive(Debug)]
pub struct Subscriber {
    events: EventReceiver<Delivered>,
    commands: Sender<Command>,
    node: Node,
}

/// An event of a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A source was found. Its data follow.
    Start {
        /// The source.
        tsi: Tsi,
        /// Its address.
        source: IpAddr,
        /// The first sequence number that will be delivered or reported as lost; 0 at the beginning of a session.
        first: Seq,
    },
    /// A message, or a part of one.
    Message {
        /// The source.
        tsi: Tsi,
        /// The message.
        bytes: Bytes,
        /// Whether the message goes on in the next one of this source.
        more: bool,
    },
    /// The next bytes of a stream.
    Bytes {
        /// The source.
        tsi: Tsi,
        /// The bytes, at least one.
        bytes: Bytes,
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
    /// A message is longer than allowed, and is not delivered. Later ones are.
    TooLong {
        /// The source.
        tsi: Tsi,
        /// The packet in which it begins.
        sqn: Seq,
        /// Its length in bytes, as the source says.
        len: u64,
    },
    /// The application does not keep up with a source, and its window is full.
    Stalled {
        /// The source.
        tsi: Tsi,
    },
    /// There is room in the window again.
    Resumed {
        /// The source.
        tsi: Tsi,
    },
    /// A session is not one for this subscriber, which leaves it.
    Foreign {
        /// The source.
        tsi: Tsi,
        /// What is foreign about it.
        why: Foreign,
    },
    /// The source has acknowledged the final standing that was reported.
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

/// Why a session is foreign to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Foreign {
    /// It does not begin with a profile that can be read.
    Profile(ProfileError),
    /// It brings something other than what this subscriber is configured for.
    Content(ContentKind),
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Foreign::Profile(error) => error.fmt(f),
            Foreign::Content(content) => write!(f, "it brings {content}"),
        }
    }
}

impl Weight for Received {
    fn weight(&self) -> usize {
        match self {
            Received::Message { bytes, .. } | Received::Bytes { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

impl Subscriber {
    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// The sockets or the directory for diagnostics cannot be opened.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let (delivery, events) = shared_queue(options);
        let (node, commands) = listen(options, delivery)?;
        Ok(Subscriber { events, commands, node })
    }

    /// As [`Subscriber::start`], with a node that runs in the caller's thread.
    pub(super) fn start_local(options: &Options) -> Result<(Self, LocalNode), StartError> {
        let (delivery, events) = shared_queue(options);
        let (make, commands) = prepare(options, delivery);
        let (node, local) = LocalNode::of_receiver(options, make)?;
        Ok((Subscriber { events, commands, node }, local))
    }

    /// The next event; `None` if there is none within `timeout`.
    pub fn next(&self, timeout: Duration) -> Option<Received> {
        self.events.next(timeout, self.node.waker())
    }

    /// The next event, if there is one already.
    pub fn try_next(&self) -> Option<Received> {
        self.next(Duration::ZERO)
    }

    /// Waits for the next event; `None` if there will be no more. Dropping the future loses no event.
    pub async fn recv(&self) -> Option<Received> {
        self.events.recv(self.node.waker()).await
    }

    /// The next event, if there is one already; if not, the waiter is woken for it.
    pub(super) fn poll(&self, waiter: Option<Waiter<'_>>) -> Poll<Option<Received>> {
        self.events.poll(waiter, self.node.waker())
    }

    /// Leaves a source. Its packets are ignored until it has been silent for the option `expiry`, at least a minute.
    pub fn leave(&self, tsi: Tsi) {
        self.command(Command::Leave(tsi));
    }

    /// Accepts a source again that was left. If its session goes on, it is found as if for the first time.
    pub fn rejoin(&self, tsi: Tsi) {
        self.command(Command::Rejoin(tsi));
    }

    fn command(&self, command: Command) {
        // This fails only if the node has, which its events report.
        let _ = self.commands.send_blocking(command);
        self.node.waker().wake();
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.counts()
    }
}

/// All sources in one queue.
fn shared_queue(options: &Options) -> (Delivery, EventReceiver<Delivered>) {
    let receiving = &options.receiving;
    let (sender, events) = queue::events(receiving.queue, receiving.limits.bytes);
    (Delivery::shared(sender), events)
}

/// Starts the node of a subscriber.
fn listen(options: &Options, delivery: Delivery) -> Result<(Node, Sender<Command>), StartError> {
    let sockets = BoundSockets::of_receiver(options)?;
    let (make, commands) = prepare(options, delivery);
    Ok((Node::of_receiver(options, sockets, make)?, commands))
}

/// A function that makes a receiver's driver, and a sender of commands to it.
fn prepare(
    options: &Options,
    delivery: Delivery,
) -> (impl FnOnce(u32) -> ReceiverDriver<OrderedSink> + Send + 'static, Sender<Command>) {
    let Receiving { on_loss, slow, .. } = options.receiving;
    let (commands, orders) = async_channel::bounded(COMMANDS);
    let consumer = Consumer::Ordered { framing: options.mode.framing(), on_loss, slow };
    let listening = options.clone();
    let make = move |held| {
        let sink = OrderedSink::new(delivery, orders, listening.mode);
        ReceiverDriver::new(&listening, ReceiverId::random(), held, consumer, sink)
    };
    (make, commands)
}

/// The most commands that wait for the node.
const COMMANDS: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use campanile_engine::{Config, Engine};

    use super::rig::Rig;
    use super::*;
    use crate::multicast::options::Mode;
    use crate::multicast::waiting::Place;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn an_application_is_woken_once_a_turn() {
        let node = Engine::new(&Config::default()).expect("some backend works").waker();
        let (delivery, events) = shared_queue(&Options::default());
        let mut rig = Rig::new(Mode::Zmq, delivery);
        let wakes = Arc::new(Wakes::default());
        let (mut place, waker) = (Place::default(), Waker::from(Arc::clone(&wakes)));
        for turn in 1..4 {
            while events.poll(Some(Waiter { place: &mut place, waker: &waker }), &node).is_ready() {}
            (0..5).for_each(|_| rig.tell(b"a message"));
            assert_eq!(wakes.0.load(Ordering::SeqCst), turn - 1, "what comes is gathered");
            rig.turn();
            assert_eq!(wakes.0.load(Ordering::SeqCst), turn, "and handed over at once");
        }
        let told = std::iter::from_fn(|| match events.poll(None, &node) {
            Poll::Ready(event) => event,
            Poll::Pending => None,
        });
        assert_eq!(told.filter(|event| matches!(event, Received::Message { .. })).count(), 5);
    }
}
