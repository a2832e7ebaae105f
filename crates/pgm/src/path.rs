use std::net::IpAddr;

/// The way a received train came.
///
/// PGM gives no meaning to UDP ports (RFC 3208 knows none): parties are told apart by session and address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The network source address.
    pub from: IpAddr,
    /// The network destination address: a group, or one of our own addresses.
    pub to: IpAddr,
    /// The number of the interface it came in by; 0 when that is not known.
    pub interface: u32,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
}

impl Path {
    /// Congestion experienced (RFC 3168 §5).
    pub(crate) const CE: u8 = 3;
}

/// Where a train goes. The driver adds the port of the encapsulation, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To a group, at the multicast port.
    Group(IpAddr),
    /// To a host, at the unicast port.
    Host {
        /// Its address.
        nla: IpAddr,
        /// The interface that leads to it; 0 leaves the choice to the system. Link-local addresses need it.
        interface: u32,
    },
}

/// A train to send: equal datagrams, one behind the other at the front of the buffer, the last one possibly shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub to: Destination,
    /// Time to live or hop limit, where it differs from the socket's.
    pub ttl: Option<u8>,
    /// Type of service or traffic class, where the configuration says one.
    pub tos: Option<u8>,
    /// Whether the packets should bear the IP Router Alert option for the sake of network elements (RFC 3208 §4).
    pub router_alert: bool,
    /// Whether each datagram is for another of the source's interfaces, in the order of its addresses; else all are for all.
    pub apart: bool,
    /// Bytes of every datagram but the last.
    pub stride: usize,
    /// Bytes of the whole train.
    pub len: usize,
}
