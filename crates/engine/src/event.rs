//! Events: what an engine reports to its user.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use crate::core::Core;
use crate::operation::Operation;
use crate::outgoing::{Outgoing, Transmit};
use crate::pool::Buffer;
use crate::slots::SocketId;
use crate::stats::datagrams;

/// Something that happened. It borrows the engine, so it is handled before the next one is taken.
#[derive(Debug)]
pub enum Event<'e> {
    /// Datagrams arrived, whole.
    Train(Train<'e>),
    /// A datagram larger than the receive buffer arrived; its bytes are lost.
    Truncated {
        /// The socket it arrived on.
        socket: SocketId,
        /// Where it came from.
        path: Path,
    },
    /// The kernel reported an error for a socket. The socket goes on.
    Failed(Failure),
    /// Another thread called [`crate::Waker::wake`].
    Woken,
    /// Another thread called [`crate::Waker::stop`].
    Stopped,
}

/// Where a datagram came from, and how it was addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The sender; an IPv4 peer of a dual-stack socket is shown as IPv4.
    pub from: SocketAddr,
    /// The address it was sent to (which may be a multicast group), or the unspecified one where the system did not say.
    pub to: IpAddr,
    /// Whether it was sent to this host alone.
    pub cast: Cast,
    /// The index of the interface it arrived on; 0 where the system did not say.
    pub interface: u32,
    /// Type of service or traffic class; the low two bits are ECN.
    pub tos: u8,
}

/// Whom a datagram was sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cast {
    /// This host alone.
    #[default]
    Unicast,
    /// The members of a group.
    Multicast,
    /// Everyone on a link.
    Broadcast,
}

/// An error that the kernel reported for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The socket.
    pub socket: SocketId,
    /// What failed.
    pub operation: Operation,
    /// The destination of a failed send; `None` for a receive or on a connected socket.
    pub to: Option<SocketAddr>,
    /// The system's error number: see [`Failure::error`].
    pub code: i32,
}

impl Failure {
    /// The error as the standard library knows it.
    #[must_use]
    pub fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.code)
    }
}

/// Received datagrams of one size from one peer, in the memory they arrived in. Dropping it returns the memory.
#[derive(Debug)]
pub struct Train<'e> {
    core: &'e mut Core,
    facts: Facts,
    /// Held until [`Train::reply`] or the drop.
    buffer: Option<Buffer>,
}

/// What is known of a received train besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) socket: SocketId,
    pub(crate) path: Path,
    pub(crate) stride: usize,
    pub(crate) len: usize,
    pub(crate) kernel_drops: u32,
    pub(crate) arrived: Option<SystemTime>,
}

/// An event that has not been taken yet, with its buffer if it has one.
#[derive(Debug)]
pub(crate) enum Pending {
    Train(Facts, Buffer),
    Truncated { socket: SocketId, path: Path },
    Failed(Failure),
}

impl<'e> Train<'e> {
    pub(crate) fn new(core: &'e mut Core, facts: Facts, buffer: Buffer) -> Self {
        Self { core, facts, buffer: Some(buffer) }
    }

    /// The socket it arrived on.
    #[must_use]
    pub fn socket(&self) -> SocketId {
        self.facts.socket
    }

    /// Sender, local address, interface and type of service.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.facts.path
    }

    /// Bytes of every datagram but the last, which may be shorter. 0 for an empty datagram.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.facts.stride
    }

    /// The number of datagrams.
    #[must_use]
    pub fn count(&self) -> usize {
        datagrams(self.facts.len, self.facts.stride)
    }

    /// Datagrams that the kernel has dropped at this socket so far, modulo 2^32; 0 where it does not report that.
    #[must_use]
    pub fn kernel_drops(&self) -> u32 {
        self.facts.kernel_drops
    }

    /// When the kernel received it, if the socket was made with timestamps.
    #[must_use]
    pub fn arrived(&self) -> Option<SystemTime> {
        self.facts.arrived
    }

    /// All bytes of the train.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.core.pool.bytes(held(&self.buffer), self.facts.len)
    }

    /// All bytes of the train, to change before a reply.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.core.pool.bytes_mut(held(&self.buffer), self.facts.len)
    }

    /// Each datagram of the train; an empty train is one empty datagram.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let empty = self.bytes().is_empty().then_some(&[][..]);
        self.bytes().chunks(self.facts.stride.max(1)).chain(empty)
    }

    /// Sends the train back to its sender, in datagrams of the same size, from the memory it arrived in.
    pub fn reply(mut self) {
        let Some(buffer) = self.buffer.take() else { return };
        let Facts { socket, path, stride, len, .. } = self.facts;
        let from = (path.cast == Cast::Unicast).then_some(path.to);
        let transmit = Transmit { from, ..Transmit::train(Some(path.from), stride, len) };
        self.core.outbox.push_back(Outgoing { socket, buffer, shared: None, transmit, sent: 0 });
    }
}

impl Drop for Train<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.core.pool.release(buffer);
        }
    }
}

fn held(buffer: &Option<Buffer>) -> &Buffer {
    buffer.as_ref().expect("a train gives its buffer up only in reply and drop")
}
