//! A party of the world of PGM.

use super::hostile::Hostile;
use super::receiver_node::ReceiverNode;
use super::source_node::SourceNode;
use super::violation::Promise;
use crate::{Party, Path, Time, Transmit};

/// A source, a receiver or a hostile peer.
#[derive(Debug)]
pub enum Node {
    /// A source.
    Source(Box<SourceNode>),
    /// A receiver.
    Receiver(Box<ReceiverNode>),
    /// A peer that forges packets.
    Hostile(Box<Hostile>),
}

impl Node {
    /// The promise that it broke first, if any.
    pub(crate) fn broken(&self) -> Option<&Promise> {
        match self {
            Self::Source(source) => source.broken(),
            Self::Receiver(receiver) => receiver.broken(),
            Self::Hostile(_) => None,
        }
    }
}

impl Party for Node {
    fn handle_train(&mut self, now: Time, path: Path, stride: usize, bytes: &[u8]) {
        match self {
            Self::Source(source) => source.handle_train(now, path, stride, bytes),
            Self::Receiver(receiver) => receiver.handle_train(now, path, stride, bytes),
            Self::Hostile(hostile) => hostile.handle(stride, bytes),
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        match self {
            Self::Source(source) => source.handle_timeout(now),
            Self::Receiver(receiver) => receiver.handle_timeout(now),
            Self::Hostile(hostile) => hostile.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self, now: Time, buf: &mut [u8]) -> Option<Transmit> {
        match self {
            Self::Source(source) => source.poll_transmit(now, buf),
            Self::Receiver(receiver) => receiver.poll_transmit(now, buf),
            Self::Hostile(hostile) => hostile.poll_transmit(buf),
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        match self {
            Self::Source(source) => source.poll_timeout(),
            Self::Receiver(receiver) => receiver.poll_timeout(),
            Self::Hostile(hostile) => hostile.poll_timeout(),
        }
    }
}
