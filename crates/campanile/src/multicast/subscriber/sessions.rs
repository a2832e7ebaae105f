//! Session channels: each source's messages through a channel of its own.

use std::net::IpAddr;
#[cfg(feature = "futures")]
use std::task::Poll;
use std::time::Duration;

use async_channel::Sender;
use campanile_engine::Waker;
use campanile_pgm::{Seq, Tsi};

use super::Received;
use super::delivery::{Delivery, FoundSource, SourceQueues};
use super::sink::Command;
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
/// Each channel holds as much as the queue of a [`super::Subscriber`]. A full one that is not read holds up the others, too.
#[derive(Debug)]
pub struct SessionSubscriber {
    found: EventReceiver<FoundSource>,
    commands: Sender<Command>,
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
        let (node, commands) = super::listen(options, delivery)?;
        Ok(SessionSubscriber { found, commands, node })
    }

    /// The channel of the next source; `None` if none is found within `timeout`, or no more will be.
    pub fn accept(&self, timeout: Duration) -> Option<SessionChannel> {
        self.found.next(timeout, self.node.waker()).map(|found| self.channel(found))
    }

    /// The channel of the next source, if one was found already.
    pub fn try_accept(&self) -> Option<SessionChannel> {
        self.accept(Duration::ZERO)
    }

    /// Waits for the next source and returns its channel; `None` if no more will be found.
    pub async fn accepted(&self) -> Option<SessionChannel> {
        self.found.recv(self.node.waker()).await.map(|found| self.channel(found))
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.node.counts()
    }

    fn channel(&self, found: FoundSource) -> SessionChannel {
        let (commands, waker) = (self.commands.clone(), self.node.waker().clone());
        SessionChannel { found, commands, waker }
    }
}

/// The events of one source: all that a [`super::Subscriber`] would report except [`Received::Start`].
#[derive(Debug)]
pub struct SessionChannel {
    found: FoundSource,
    commands: Sender<Command>,
    waker: Waker,
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
        self.found.events.next(timeout, &self.waker)
    }

    /// What has come, if anything has.
    pub fn try_next(&self) -> Option<Received> {
        self.next(Duration::ZERO)
    }

    /// Waits for the next event; `None` if there will be no more.
    pub async fn recv(&self) -> Option<Received> {
        self.found.events.recv(&self.waker).await
    }

    /// As [`SessionChannel::recv`], for a caller that polls.
    #[cfg(feature = "futures")]
    pub(in crate::multicast) fn poll(&self, waiter: Waiter<'_>) -> Poll<Option<Received>> {
        self.found.events.poll(Some(waiter), &self.waker)
    }
}

impl Drop for SessionChannel {
    fn drop(&mut self) {
        // This fails only if the node is gone.
        let _ = self.commands.send_blocking(Command::Leave(self.found.tsi));
        self.waker.wake();
    }
}
