//! Session channels: each source's messages through a channel of its own.

use std::net::IpAddr;
#[cfg(feature = "futures")]
use std::task::Poll;
use std::time::Duration;

use campanile_engine::Waker;
use campanile_pgm::{Seq, Tsi};

use super::Received;
use super::delivery::{Delivery, FoundSource, SourceQueues};
use crate::multicast::counts::Counts;
use crate::multicast::node::{Node, StartError};
use crate::multicast::options::Options;
use crate::multicast::queue::{self, EventReceiver};
#[cfg(feature = "futures")]
use crate::multicast::waiting::Waiter;

/// Receives messages, or streams of bytes, of all sources of a group, each source's through a [`SessionChannel`] of its own.
///
/// # Order of calls
///
/// [`SessionSubscriber::accept`] returns a channel for each source that is found; channels may go to threads or tasks of their own.
/// Dropping a channel leaves its session; dropping the subscriber ends them all, but what they hold can still be taken.
///
/// # Bounds
///
/// Each channel holds as much as the queue of a [`super::Subscriber`]. A full one that is not read holds up its own session alone. But
/// as many channels that are not accepted as the option `sources` allows hold up all, whether their sessions go on or not: accept all,
/// and drop those that are not wanted.
#[derive(Debug)]
pub struct SessionSubscriber {
    found: EventReceiver<FoundSource>,
    node: Node,
}

impl SessionSubscriber {
    /// Starts to listen.
    ///
    /// # Errors
    ///
    /// The sockets or the directory for diagnostics cannot be opened.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let receiving = &options.receiving;
        let (sender, found) = queue::events(receiving.limits.sources.max(1), 1);
        let delivery =
            Delivery::PerSource(SourceQueues::new(sender, receiving.queue, receiving.limits.bytes));
        let (node, _) = super::listen(options, delivery)?;
        Ok(SessionSubscriber { found, node })
    }

    /// The channel of the next source; `None` if none is found within `timeout`, or no more will be.
    pub fn accept(&self, timeout: Duration) -> Option<SessionChannel> {
        self.found.next(timeout, self.node.waker()).map(|found| self.channel(found))
    }

    /// The channel of the next source, if one was found already.
    pub fn try_accept(&self) -> Option<SessionChannel> {
        self.accept(Duration::ZERO)
    }

    /// Waits for the next source and returns its channel; `None` if no more will be found. Dropping the future loses no source.
    pub async fn accepted(&self) -> Option<SessionChannel> {
        self.found.recv(self.node.waker()).await.map(|found| self.channel(found))
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.counts()
    }

    fn channel(&self, found: FoundSource) -> SessionChannel {
        SessionChannel { found, node: WakeOnDrop(self.node.waker().clone()) }
    }
}

/// The events of one source: all that a [`super::Subscriber`] would report except [`Received::Start`].
#[derive(Debug)]
pub struct SessionChannel {
    found: FoundSource,
    // Dropped last: the node then finds the queue deserted, and leaves the session.
    node: WakeOnDrop,
}

/// Wakes a node when it is dropped.
#[derive(Debug)]
struct WakeOnDrop(Waker);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl SessionChannel {
    /// The source.
    #[must_use]
    pub fn tsi(&self) -> Tsi {
        self.found.tsi
    }

    /// Its address.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.found.source
    }

    /// The first sequence number that will be delivered or reported as lost; 0 at the beginning of a session.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.found.first
    }

    /// The next event; `None` if there is none within `timeout`, or there will be no more.
    pub fn next(&self, timeout: Duration) -> Option<Received> {
        self.found.events.next(timeout, &self.node.0)
    }

    /// What has come, if anything has.
    pub fn try_next(&self) -> Option<Received> {
        self.next(Duration::ZERO)
    }

    /// Waits for the next event; `None` if there will be no more. Dropping the future loses no event.
    pub async fn recv(&self) -> Option<Received> {
        self.found.events.recv(&self.node.0).await
    }

    /// As [`SessionChannel::recv`], for a caller that polls.
    #[cfg(feature = "futures")]
    pub(in crate::multicast) fn poll(&self, waiter: Waiter<'_>) -> Poll<Option<Received>> {
        self.found.events.poll(Some(waiter), &self.node.0)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use campanile_engine::{Config, Engine};
    use campanile_pgm::receiver::EndCause;

    use super::*;
    use crate::multicast::options::Mode;
    use crate::multicast::profile::{ContentKind, Profile};
    use crate::multicast::subscriber::rig::Rig;

    /// A source of messages, and the channels of its sessions.
    struct Sessions {
        rig: Rig,
        found: EventReceiver<FoundSource>,
        node: Waker,
    }

    impl Sessions {
        fn new() -> Self {
            let (sender, found) = queue::events(8, 1);
            let delivery = Delivery::PerSource(SourceQueues::new(sender, 1000, 1 << 20));
            let node = Engine::new(&Config::default()).expect("some backend works").waker();
            Sessions { rig: Rig::new(Mode::Messages, delivery), found, node }
        }

        /// The channel of a session that is found within the next turns.
        fn accept(&mut self) -> SessionChannel {
            loop {
                if let Poll::Ready(Some(found)) = self.found.poll(None, &self.node) {
                    return SessionChannel { found, node: WakeOnDrop(self.node.clone()) };
                }
                self.rig.pass();
            }
        }
    }

    /// What has come through a channel.
    fn heard(channel: &SessionChannel) -> Vec<Received> {
        std::iter::from_fn(|| channel.try_next()).collect()
    }

    fn has_ended(heard: &[Received]) -> bool {
        heard.iter().any(|event| matches!(event, Received::End { cause: EndCause::Expired, .. }))
    }

    #[test]
    fn a_channel_ends_though_its_source_is_gone() {
        let mut sessions = Sessions::new();
        sessions.rig.say(&Profile::new(ContentKind::Messages).emit());
        let channel = sessions.accept();
        let mut told = Vec::new();
        // The source acknowledges nothing any more.
        loop {
            match channel.found.events.poll(None, &sessions.node) {
                Poll::Pending => sessions.rig.pass(),
                Poll::Ready(Some(event)) => told.push(event),
                Poll::Ready(None) => break,
            }
        }
        assert!(has_ended(&told), "{told:?}");
    }

    #[test]
    fn a_session_that_begins_again_has_a_channel_of_its_own() {
        let mut sessions = Sessions::new();
        sessions.rig.say(&Profile::new(ContentKind::Messages).emit());
        let first = sessions.accept();
        while !has_ended(&heard(&first)) {
            sessions.rig.pass();
        }
        sessions.rig.say(b"again");
        let second = sessions.accept();
        drop(first);
        sessions.rig.turn();
        sessions.rig.say(b"and again");
        let told = heard(&second);
        let is_last =
            |event: &Received| matches!(event, Received::Message { bytes, .. } if bytes == b"and again");
        assert!(told.last().is_some_and(is_last), "{told:?}");
    }
}
