use std::net::IpAddr;

/// Where a received train came from, and how.
///
/// UDP ports are left out: they mean nothing to PGM, which tells sessions and hosts apart by TSI and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// The network source address.
    pub from: IpAddr,
    /// The network destination address: a group, or one of our own addresses.
    pub to: IpAddr,
    /// The index of the interface that received it; 0 when that is not known.
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

/// A train to send: datagrams of equal length, one after the other at the front of the buffer; the last one may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub to: Destination,
    /// Time to live or hop limit; `None` leaves the socket's.
    pub ttl: Option<u8>,
    /// Type of service or traffic class; `None` leaves the socket's.
    pub tos: Option<u8>,
    /// Whether the packets should carry the IP Router Alert option, for network elements (RFC 3208 §4).
    pub router_alert: bool,
    /// Whether each datagram is for one of the source's interfaces, in the order of its addresses; otherwise all are for all of them.
    pub apart: bool,
    /// The length of every datagram but the last.
    pub stride: usize,
    /// The length of the whole train.
    pub len: usize,
}
