//! A train on its way out.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::pool::{Buffer, Pool};
use crate::slots::SocketId;

/// Where and how the bytes of a transmit slot are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The destination; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// The source address, where the socket is bound to the wildcard and the system should not choose.
    pub from: Option<IpAddr>,
    /// Time to live or hop limit, where it differs from the socket's.
    pub ttl: Option<u8>,
    /// Type of service or traffic class (DSCP and ECN), where it differs from the socket's.
    pub tos: Option<u8>,
    /// Whether an IPv4 datagram carries the Router Alert option (RFC 2113), where the system allows that for single datagrams.
    pub router_alert: bool,
    /// Bytes of every datagram but the last, which may be shorter.
    pub stride: usize,
    /// Bytes of the whole train.
    pub len: usize,
}

impl Transmit {
    /// One datagram of `len` bytes; `to` is `None` on a connected socket.
    #[must_use]
    pub fn datagram(to: Option<SocketAddr>, len: usize) -> Self {
        Self::train(to, len, len)
    }

    /// A train of `len` bytes in datagrams of `stride`.
    #[must_use]
    pub fn train(to: Option<SocketAddr>, stride: usize, len: usize) -> Self {
        Self { to, from: None, ttl: None, tos: None, router_alert: false, stride, len }
    }
}

/// A train with its memory, queued for a socket or with the kernel.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) socket: SocketId,
    /// Its memory. If its bytes are shared, the buffer only gives the operation its number.
    pub(crate) buffer: Buffer,
    /// Bytes that others may read too, sent instead of the buffer's: held until the kernel is done with them.
    pub(crate) shared: Option<Bytes>,
    pub(crate) transmit: Transmit,
    /// Bytes that the kernel has taken.
    pub(crate) sent: usize,
}

/// The part of a train that one operation carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// More than one datagram: the operation must say the stride.
    pub(crate) segmented: bool,
}

impl Outgoing {
    /// Where the train starts. Shared bytes must not be written to; a send only reads.
    pub(crate) fn address(&self, pool: &Pool) -> *mut u8 {
        match &self.shared {
            Some(bytes) => bytes.as_ptr().cast_mut(),
            None => pool.address(&self.buffer),
        }
    }

    /// The largest payload that one operation may carry, in the worse case of an IPv4 header: 65535 - 20 - 8.
    const PAYLOAD_MAX: usize = 65_507;

    /// What the next operation carries, given the most datagrams that the system takes in one.
    pub(crate) fn piece(&self, segments: usize) -> Piece {
        let Transmit { stride, len, .. } = self.transmit;
        let rest = len - self.sent;
        let whole = stride * segments.min(Self::PAYLOAD_MAX / stride.max(1)).max(1);
        let len = rest.min(whole);
        Piece { start: self.sent, len, segmented: len > stride }
    }

    /// Counts a piece as taken by the kernel and returns whether the train is done.
    pub(crate) fn advance(&mut self, piece: Piece) -> bool {
        self.sent += piece.len;
        self.sent >= self.transmit.len
    }

    /// Whether the piece is the whole train.
    pub(crate) fn is_whole(&self, piece: Piece) -> bool {
        piece.len == self.transmit.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn outgoing(stride: usize, len: usize) -> Outgoing {
        let mut pool = Pool::new(&Config::default()).expect("a little memory");
        Outgoing {
            socket: SocketId::from_bits(0),
            buffer: pool.take_transmit().expect("a new pool is full"),
            shared: None,
            transmit: Transmit::train(None, stride, len),
            sent: 0,
        }
    }

    fn pieces(stride: usize, len: usize, segments: usize) -> Vec<(usize, usize)> {
        let mut train = outgoing(stride, len);
        let mut out = Vec::new();
        loop {
            let piece = train.piece(segments);
            out.push((piece.start, piece.len));
            if train.advance(piece) {
                return out;
            }
        }
    }

    #[test]
    fn a_train_within_the_limit_is_one_piece() {
        assert_eq!(pieces(100, 6400, 64), [(0, 6400)]);
        assert_eq!(pieces(100, 250, 64), [(0, 250)]);
        assert_eq!(pieces(0, 0, 64), [(0, 0)]);
    }

    #[test]
    fn a_train_beyond_the_limit_is_cut_between_datagrams() {
        assert_eq!(pieces(100, 450, 2), [(0, 200), (200, 200), (400, 50)]);
        assert_eq!(pieces(100, 250, 1), [(0, 100), (100, 100), (200, 50)]);
        assert_eq!(pieces(1000, 65_536, 128), [(0, 65_000), (65_000, 536)]);
    }

    #[test]
    fn a_single_datagram_names_no_stride() {
        assert!(!outgoing(100, 100).piece(64).segmented);
        assert!(outgoing(100, 101).piece(64).segmented);
        assert!(!outgoing(100, 300).piece(1).segmented);
    }
}
