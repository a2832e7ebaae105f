//! The sockets of one node, and the ways that lead from them.
//!
//! A source binds its interface's address, and a receiver the group's: then a source beside receivers on one port keeps its NAKs.
//! What a receiver sends leaves from a socket of its own on each interface, to which answers come back.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use campanile_engine::multicast::{self, Membership};
use campanile_engine::udp::{self, UdpConfig, UdpSocket};
use campanile_engine::{Engine, Interface, SocketId, Transmit};
use campanile_pgm::Destination;

use super::options::{Carrier, Options};

/// Sockets that are bound and that no engine has taken yet.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Where what is sent leaves, one for each interface.
    ways: Vec<(UdpSocket, Way)>,
    /// Where the group is heard.
    ears: Vec<UdpSocket>,
    group: SocketAddr,
    unicast_port: u16,
    has_header: bool,
}

/// An interface of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// The system's number for it.
    pub(super) interface: u32,
    /// Our address there.
    pub(super) local: IpAddr,
}

impl Sockets {
    /// The socket of a source: bound to its interface's address and the port that NAKs come to.
    pub(super) fn of_source(options: &Options) -> Result<Self, SocketError> {
        if options.network.interfaces.len() > 1 {
            return Err(SocketError::OneInterface);
        }
        let way = way(options, options.network.interfaces.first())?;
        let port = unicast_port(options);
        let socket = udp::bind(&config(options, way, port)).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => SocketError::PortTaken { local: way.local, port },
            _ => SocketError::bind(options, way.local, error),
        })?;
        Ok(Sockets::new(options, vec![(socket, way)], Vec::new()))
    }

    /// The sockets of a receiver: one bound to the group, and one on each interface to speak from.
    pub(super) fn of_receiver(options: &Options) -> Result<Self, SocketError> {
        let network = &options.network;
        let asked: Vec<Option<&Interface>> = match &network.interfaces[..] {
            [] => vec![None],
            some => some.iter().map(Some).collect(),
        };
        let mut ways = Vec::new();
        for interface in asked {
            let way = way(options, interface)?;
            let socket = udp::bind(&config(options, way, 0))
                .map_err(|error| SocketError::bind(options, way.local, error))?;
            ways.push((socket, way));
        }
        let ears = ears(options, ways.iter().map(|(_, way)| *way))
            .map_err(|error| SocketError::Join { group: network.group, error })?;
        Ok(Sockets::new(options, ways, ears))
    }

    fn new(options: &Options, ways: Vec<(UdpSocket, Way)>, ears: Vec<UdpSocket>) -> Self {
        let is_raw = options.network.carrier == Carrier::Raw;
        let group = options.network.group;
        // Raw IP has no ports.
        let port = |port: u16| if is_raw { 0 } else { port };
        Sockets {
            ways,
            ears,
            group: SocketAddr::new(group.ip(), port(group.port())),
            unicast_port: port(unicast_port(options)),
            has_header: is_raw && group.is_ipv4(),
        }
    }

    /// The way that a source sends by.
    pub(super) fn first_way(&self) -> Way {
        self.ways[0].1
    }

    /// Gives the sockets to an engine.
    pub(super) fn settle(self, engine: &mut Engine) -> io::Result<Links> {
        for ear in self.ears {
            engine.add(ear)?;
        }
        let ways = self.ways.into_iter().map(|(socket, way)| Ok((engine.add(socket)?, way)));
        let ways = ways.collect::<io::Result<Vec<_>>>()?;
        let Sockets { group, unicast_port, has_header, .. } = self;
        Ok(Links { ways, group, unicast_port, has_header })
    }
}

/// The sockets of a node, by where they lead.
#[derive(Debug)]
pub(super) struct Links {
    ways: Vec<(SocketId, Way)>,
    group: SocketAddr,
    unicast_port: u16,
    /// What is received begins with an IPv4 header.
    has_header: bool,
}

impl Links {
    /// What a received datagram carries: all of it, but for the header that raw IPv4 leaves in front.
    pub(super) fn payload<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        if !self.has_header {
            return datagram;
        }
        // The header's length stands in its first byte, in words of four bytes (RFC 791 section 3.1).
        let header = datagram.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
        datagram.get(header..).unwrap_or_default()
    }

    /// The sockets that lead somewhere, each with the address to send to: to a group one on each interface.
    pub(super) fn ways(&self, to: Destination) -> impl Iterator<Item = (SocketId, SocketAddr)> {
        let (nla, port, interface) = match to {
            Destination::Group(group) => (group, self.group.port(), 0),
            Destination::Host { nla, interface } => (nla, self.unicast_port, interface),
        };
        let is_for_all = matches!(to, Destination::Group(_));
        let chosen = self.ways.iter().position(|(_, way)| way.interface == interface).unwrap_or(0);
        self.ways
            .iter()
            .enumerate()
            .filter(move |(at, _)| is_for_all || *at == chosen)
            .map(move |(_, (socket, way))| (*socket, scoped(nla, port, way.interface)))
    }
}

/// An address with the scope that link-local ones need.
fn scoped(address: IpAddr, port: u16, interface: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() || multicast::is_of_link(address) => {
            SocketAddrV6::new(v6, port, 0, interface).into()
        }
        other => SocketAddr::new(other, port),
    }
}

/// Puts the train in `slot` on its way, and copies of it where there are several ways.
pub(super) fn send(engine: &mut Engine, ways: &[(SocketId, SocketAddr)], transmit: Transmit, bytes: &[u8]) {
    for (socket, to) in ways {
        let Some(mut slot) = engine.transmit_slot() else { return };
        slot.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        slot.send(*socket, &Transmit { to: Some(*to), ..transmit });
    }
}

fn unicast_port(options: &Options) -> u16 {
    options.network.unicast_port.unwrap_or(options.network.group.port())
}

fn way(options: &Options, interface: Option<&Interface>) -> Result<Way, SocketError> {
    let group = options.network.group.ip();
    let (interface, local) = Interface::towards(interface, group).map_err(SocketError::Interface)?;
    Ok(Way { interface, local })
}

/// A socket on one of our interfaces.
fn config(options: &Options, way: Way, port: u16) -> UdpConfig {
    let protocol = protocol(options);
    let port = if protocol.is_some() { 0 } else { port };
    let mut config = UdpConfig::new(scoped(way.local, port, way.interface));
    config.protocol = protocol;
    config.receive_buffer = Some(options.network.receive_buffer);
    config.multicast.ttl = options.network.ttl;
    config.multicast.interface = Some(match way.local {
        IpAddr::V4(_) => Interface::Address(way.local),
        IpAddr::V6(_) => Interface::Index(way.interface),
    });
    config
}

/// The number of PGM among the protocols of IP (RFC 3208 §8), where it is not carried by UDP.
fn protocol(options: &Options) -> Option<u8> {
    const PGM: u8 = 113;
    (options.network.carrier == Carrier::Raw).then_some(PGM)
}

/// The sockets that hear the group on all ways, from any source or from those that are wished.
fn ears(options: &Options, ways: impl Iterator<Item = Way>) -> io::Result<Vec<UdpSocket>> {
    let network = &options.network;
    let sources: Vec<Option<IpAddr>> = match &network.sources[..] {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    let mut config = UdpConfig::new(network.group);
    config.receive_buffer = Some(network.receive_buffer);
    config.protocol = protocol(options);
    let port = if config.protocol.is_some() { 0 } else { network.group.port() };
    let mut ears: Vec<UdpSocket> = Vec::new();
    for way in ways {
        let is_apart = multicast::is_of_link(network.group.ip());
        for (at, &source) in sources.iter().enumerate() {
            let interface = Some(match way.local {
                IpAddr::V4(_) => Interface::Address(way.local),
                IpAddr::V6(_) => Interface::Index(way.interface),
            });
            let membership = Membership { group: network.group.ip(), source, interface };
            match ears.last() {
                // One socket hears the group on all interfaces, unless it is another group on each.
                Some(ear) if at > 0 || !is_apart => ear.join(&membership)?,
                _ => ears.push(multicast::bind(&membership, port, &config)?),
            }
        }
    }
    Ok(ears)
}

/// Why there are no sockets.
#[derive(Debug)]
pub enum SocketError {
    /// An interface is not there, or has no address of the group's family.
    Interface(io::Error),
    /// Another program's source holds the address and port.
    PortTaken {
        /// Our address.
        local: IpAddr,
        /// The port that NAKs come to.
        port: u16,
    },
    /// A source sends by one interface.
    OneInterface,
    /// Raw IP was asked for without the privilege for it.
    NotPermitted,
    /// A socket could not be bound.
    Bind {
        /// Our address.
        local: IpAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The group could not be joined.
    Join {
        /// The group.
        group: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

impl SocketError {
    fn bind(options: &Options, local: IpAddr, error: io::Error) -> Self {
        let is_raw = options.network.carrier == Carrier::Raw;
        if is_raw && error.kind() == io::ErrorKind::PermissionDenied {
            return SocketError::NotPermitted;
        }
        SocketError::Bind { local, error }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::Interface(error) => error.fmt(f),
            SocketError::PortTaken { local, port } => write!(
                f,
                "port {port} of {local} is taken by another source: choose another port for the group, or a unicast-port of its own"
            ),
            SocketError::OneInterface => {
                f.write_str("a source sends by one interface: name one, or start more")
            }
            SocketError::NotPermitted => {
                f.write_str("raw IP needs CAP_NET_RAW: grant it, run as root, or use the carrier udp")
            }
            SocketError::Bind { local, error } => write!(f, "no socket at {local}: {error}"),
            SocketError::Join { group, error } => write!(f, "group {group} cannot be joined: {error}"),
        }
    }
}

impl std::error::Error for SocketError {}
