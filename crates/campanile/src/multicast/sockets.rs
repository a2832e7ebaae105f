//! The sockets of one node, and the interfaces that they send by.
//!
//! A source binds its interface's address, and a receiver the group's: so a source gets its NAKs even if receivers on the same host
//! have the same port. A receiver sends from a socket of its own on each interface, to which answers come back.

mod error;

use std::io;
use std::iter;
use std::mem;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use campanile_engine::multicast::{self, Membership};
use campanile_engine::udp::{self, UdpConfig, UdpSocket};
use campanile_engine::{Engine, Interface, SocketId, interface};
use campanile_pgm::{Destination, Instant};

pub use self::error::SocketError;
use super::options::{MTU_MIN, Network, Options};

/// Bound sockets that were not added to an engine yet.
#[derive(Debug)]
pub(super) struct BoundSockets {
    /// The sockets to send from, one for each interface.
    send_sockets: Vec<(SendSocket, LocalInterface)>,
    /// The sockets that receive the group.
    group_sockets: Vec<UdpSocket>,
    /// The addresses that the session's packets go to.
    addressing: Addressing,
    /// What they were made from.
    options: Box<Options>,
}

/// A socket to send from.
#[derive(Debug)]
enum SendSocket {
    /// A socket of its own.
    New(UdpSocket),
    /// The socket at this address that the engine has already, for another source of this process.
    Shared(SocketAddr),
}

/// A local interface that packets leave by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalInterface {
    /// The system's number for it.
    pub(super) index: u32,
    /// Our address there.
    pub(super) address: IpAddr,
}

impl LocalInterface {
    /// The interface as socket options name it: by address for IPv4, by number for IPv6, where link-local addresses are not unique.
    fn as_interface(&self) -> Interface {
        match self.address {
            IpAddr::V4(_) => Interface::Address(self.address),
            IpAddr::V6(_) => Interface::Index(self.index),
        }
    }
}

impl BoundSockets {
    /// The sockets of a source, each bound to its interface's address and the port that NAKs come to. Those at the addresses of
    /// `shared` exist already.
    pub(super) fn of_source(
        options: &Options,
        interfaces: &[LocalInterface],
        shared: &[SocketAddr],
    ) -> Result<Self, SocketError> {
        let port = unicast_port(options);
        let send_socket = |local: &LocalInterface| {
            let config = config(options, *local, port);
            if shared.contains(&config.bind) {
                return Ok((SendSocket::Shared(config.bind), *local));
            }
            let socket = udp::bind_alone(&config).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => SocketError::PortTaken { local: local.address, port },
                _ => SocketError::bind(options, local.address, error),
            })?;
            Ok((SendSocket::New(socket), *local))
        };
        let send_sockets = interfaces.iter().map(send_socket).collect::<Result<_, _>>()?;
        Ok(Self::new(options, send_sockets, Vec::new()))
    }

    /// The sockets of a receiver: those bound to the groups, and one on each interface to send from.
    pub(super) fn of_receiver(options: &Options) -> Result<Self, SocketError> {
        Self::of_receiver_on(options, &interfaces(options)?)
    }

    fn of_receiver_on(options: &Options, interfaces: &[LocalInterface]) -> Result<Self, SocketError> {
        let bound = |local: LocalInterface| {
            let socket = udp::bind(&config(options, local, 0))
                .map_err(|error| SocketError::bind(options, local.address, error))?;
            Ok((SendSocket::New(socket), local))
        };
        let send_sockets = interfaces.iter().copied().map(bound).collect::<Result<Vec<_>, _>>()?;
        let group_sockets = group_sockets(options, interfaces)?;
        Ok(Self::new(options, send_sockets, group_sockets))
    }

    fn new(
        options: &Options,
        send_sockets: Vec<(SendSocket, LocalInterface)>,
        group_sockets: Vec<UdpSocket>,
    ) -> Self {
        BoundSockets {
            send_sockets,
            group_sockets,
            addressing: Addressing::new(options),
            options: Box::new(options.clone()),
        }
    }

    /// Bytes that the smallest receive buffer of the sockets that receive the group holds.
    pub(super) fn hold(&self) -> u32 {
        let held = self.group_sockets.iter().map(|socket| socket.granted().receive).min().unwrap_or(0);
        u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// Adds the sockets to an engine, and their ids to `known`, which has those of the shared ones already. If one cannot be had, none
    /// is added.
    pub(super) fn add_to(self, engine: &mut Engine, known: &mut Vec<SocketId>) -> io::Result<SessionSockets> {
        let before = known.len();
        let added = self.add_each_to(engine, known);
        added.inspect_err(|_| known.drain(before..).for_each(|socket| engine.close(socket)))
    }

    fn add_each_to(self, engine: &mut Engine, known: &mut Vec<SocketId>) -> io::Result<SessionSockets> {
        if self.addressing.alerts && !engine.capabilities().router_alert {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the system gives no packet Router Alert",
            ));
        }
        let group_sockets = self.group_sockets.into_iter().map(|socket| add(socket, engine, known));
        let group_sockets = group_sockets.collect::<io::Result<_>>()?;
        let mut send_sockets = Vec::with_capacity(self.send_sockets.len());
        let mut ttl = None;
        for (socket, local) in self.send_sockets {
            let id = match socket {
                SendSocket::New(socket) => add(socket, engine, known)?,
                SendSocket::Shared(address) => {
                    ttl = Some(self.addressing.ttl);
                    let is_there = |id: &&SocketId| {
                        engine.socket(**id).is_some_and(|socket| socket.local_addr() == address)
                    };
                    *known.iter().find(is_there).ok_or(io::ErrorKind::NotFound)?
                }
            };
            send_sockets.push((id, local));
        }
        Ok(SessionSockets {
            send_sockets,
            group_sockets,
            addressing: self.addressing,
            ttl,
            moved_at: None,
            options: self.options,
        })
    }
}

/// Where the packets of one session go, from whatever socket.
#[derive(Debug, Clone, Copy)]
struct Addressing {
    group: SocketAddr,
    unicast_port: u16,
    ttl: u8,
    /// Received datagrams begin with an IPv4 header.
    has_header: bool,
    /// Packets carry Router Alert where the state machine says so.
    alerts: bool,
}

impl Addressing {
    fn new(options: &Options) -> Self {
        let is_raw = options.network.carrier.is_raw();
        let group = options.network.group;
        // Raw IP has no ports.
        let port = |port: u16| if is_raw { 0 } else { port };
        Addressing {
            group: SocketAddr::new(group.ip(), port(group.port())),
            unicast_port: port(unicast_port(options)),
            ttl: options.network.ttl,
            has_header: is_raw && group.is_ipv4(),
            alerts: options.network.carrier.alerts(group),
        }
    }
}

/// The sockets of a session, by interface.
#[derive(Debug)]
pub(super) struct SessionSockets {
    send_sockets: Vec<(SocketId, LocalInterface)>,
    /// A receiver's; a source has none.
    group_sockets: Vec<SocketId>,
    addressing: Addressing,
    /// The session's time to live, if its packets leave from sockets that were made for another session.
    ttl: Option<u8>,
    /// When a source's interface was first seen with another address instead of its own.
    moved_at: Option<Instant>,
    options: Box<Options>,
}

impl SessionSockets {
    /// Makes sockets anew whose interfaces are not what they were: one that went and came back has another number, and nothing is heard or
    /// sent there by sockets from before. What cannot be had now is left for the next call.
    ///
    /// # Errors
    /// A source has lost its address to another one.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        engine: &mut Engine,
        known: &mut Vec<SocketId>,
    ) -> io::Result<()> {
        let interfaces = present(&self.options);
        if interfaces.is_empty() {
            return Ok(());
        }
        if self.send_sockets.iter().map(|(_, local)| local).eq(&interfaces) {
            self.moved_at = None;
        } else if self.hear_groups() {
            self.join_again(&interfaces, engine, known);
        } else {
            self.bind_again(&interfaces, engine, known);
            self.check_address(now, &interfaces)?;
        }
        Ok(())
    }

    /// Makes a receiver's sockets anew; it may also have another address now, or the system chooses another interface.
    fn join_again(&mut self, interfaces: &[LocalInterface], engine: &mut Engine, known: &mut Vec<SocketId>) {
        let Ok(bound) = BoundSockets::of_receiver_on(&self.options, interfaces) else { return };
        let Ok(sockets) = bound.add_to(engine, known) else { return };
        let before = mem::replace(self, sockets);
        let own = before.send_sockets.iter().map(|(id, _)| id).chain(&before.group_sockets);
        own.for_each(|id| close(*id, engine, known));
    }

    /// Makes a source's sockets anew. It keeps its addresses, which its SPMs tell; sources that share a socket share the new one.
    fn bind_again(&mut self, interfaces: &[LocalInterface], engine: &mut Engine, known: &mut Vec<SocketId>) {
        for (id, local) in &mut self.send_sockets {
            let Some(now) = interfaces.iter().find(|now| now.address == local.address) else { continue };
            // A raw socket takes a privilege that was given up.
            if now == local || self.options.network.carrier.is_raw() {
                continue;
            }
            close(*id, engine, known);
            let config = config(&self.options, *now, unicast_port(&self.options));
            let is_there =
                |id: &&SocketId| engine.socket(**id).is_some_and(|socket| socket.local_addr() == config.bind);
            if let Some(shared) = known.iter().find(is_there) {
                (*id, *local) = (*shared, *now);
            } else if let Ok(new) = udp::bind_alone(&config).and_then(|socket| add(socket, engine, known)) {
                (*id, *local) = (new, *now);
            }
        }
    }

    /// Fails once a source has been without its address for long, while its interface has another one: receivers know a session by its
    /// source's address. A source on several interfaces goes on with the others.
    fn check_address(&mut self, now: Instant, interfaces: &[LocalInterface]) -> io::Result<()> {
        let [(_, local)] = self.send_sockets[..] else { return Ok(()) };
        let other = interfaces.iter().find(|it| it.index == local.index && it.address != local.address);
        let is_gone = || {
            let has_it = |listed: &interface::Listed| listed.addresses.contains(&local.address);
            interface::list().is_ok_and(|all| !all.iter().any(has_it))
        };
        let Some(other) = other.filter(|_| is_gone()) else {
            self.moved_at = None;
            return Ok(());
        };
        if now.since(*self.moved_at.get_or_insert(now)) < MOVED {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!(
                "{} is no address of this machine any more, and its interface has {}; begin a new session",
                local.address, other.address
            ),
        ))
    }

    /// The payload of a received datagram: all of it, without the header that raw IPv4 sockets leave in front.
    pub(super) fn payload<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        if !self.addressing.has_header {
            return datagram;
        }
        // The header's length is in its first byte, in words of four bytes (RFC 791 section 3.1).
        let header = datagram.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
        datagram.get(header..).unwrap_or_default()
    }

    /// Whether they are a receiver's.
    pub(super) fn hear_groups(&self) -> bool {
        !self.group_sockets.is_empty()
    }

    /// From how many sockets a packet to the group leaves.
    pub(super) fn count(&self) -> usize {
        self.send_sockets.len()
    }

    /// The sockets to send from to a destination, each with the address to send to; for a group, one on each interface.
    pub(super) fn destinations(&self, to: Destination) -> impl Iterator<Item = (SocketId, SocketAddr)> {
        let (nla, port, interface) = match to {
            Destination::Group(group) => (group, self.addressing.group.port(), 0),
            Destination::Host { nla, interface } => (nla, self.addressing.unicast_port, interface),
        };
        let is_for_all = matches!(to, Destination::Group(_));
        let chosen = self.send_sockets.iter().position(|(_, local)| local.index == interface).unwrap_or(0);
        self.send_sockets
            .iter()
            .enumerate()
            .filter(move |(at, _)| is_for_all || *at == chosen)
            .map(move |(_, (socket, local))| (*socket, scoped(nla, port, local.index)))
    }

    /// Whether packets carry Router Alert where the state machine says so.
    pub(super) fn alerts(&self) -> bool {
        self.addressing.alerts
    }

    /// The time to live of packets to the group, if the socket was made for another session.
    pub(super) fn ttl(&self, to: Destination) -> Option<u8> {
        self.ttl.filter(|_| matches!(to, Destination::Group(_)))
    }
}

fn add(socket: UdpSocket, engine: &mut Engine, known: &mut Vec<SocketId>) -> io::Result<SocketId> {
    engine.add(socket).inspect(|id| known.push(*id))
}

fn close(socket: SocketId, engine: &mut Engine, known: &mut Vec<SocketId>) {
    engine.close(socket);
    known.retain(|id| *id != socket);
}

/// An address with the scope that link-local ones need.
fn scoped(address: IpAddr, port: u16, interface: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() || multicast::is_link_local(address) => {
            SocketAddrV6::new(v6, port, 0, interface).into()
        }
        other => SocketAddr::new(other, port),
    }
}

/// The addresses that the sockets of a source are bound to; sources of one process that have the same address share the socket. Raw IP
/// sockets are never shared: each of them receives everything.
pub(super) fn shared(options: &Options, interfaces: &[LocalInterface]) -> Vec<SocketAddr> {
    if options.network.carrier.is_raw() {
        return Vec::new();
    }
    interfaces.iter().map(|local| scoped(local.address, unicast_port(options), local.index)).collect()
}

/// The interfaces that the options name, each once, or the one that the system chooses.
pub(super) fn interfaces(options: &Options) -> Result<Vec<LocalInterface>, SocketError> {
    let interfaces = each_once(local_interfaces(options).collect::<Result<_, _>>()?);
    if interfaces.len() > INTERFACES_MAX { Err(SocketError::TooMany) } else { Ok(interfaces) }
}

/// Those of the interfaces that can be had now.
fn present(options: &Options) -> Vec<LocalInterface> {
    each_once(local_interfaces(options).flatten().collect())
}

/// What the system says of each interface that the options name.
fn local_interfaces(options: &Options) -> impl Iterator<Item = Result<LocalInterface, SocketError>> {
    let group = options.network.group.ip();
    let named = &options.network.interfaces;
    let chosen = named.is_empty().then_some(None);
    named.iter().map(Some).chain(chosen).map(move |interface| {
        let (index, address) = Interface::towards(interface, group).map_err(SocketError::Interface)?;
        Ok(LocalInterface { index, address })
    })
}

/// The interfaces without those that several of their addresses name.
fn each_once(mut interfaces: Vec<LocalInterface>) -> Vec<LocalInterface> {
    let mut known = Vec::new();
    interfaces.retain(|local| {
        let is_new = !known.contains(&local.index);
        known.push(local.index);
        is_new
    });
    interfaces
}

/// The largest IP packet that a source sends on these interfaces.
pub(super) fn mtu(options: &Options, interfaces: &[LocalInterface]) -> Result<u16, SocketError> {
    let group = options.network.group.ip();
    // Where the system does not report it, the requested value or the usual one is assumed.
    let takes =
        interfaces.iter().filter_map(|local| Some((multicast::mtu(group, local.index).ok()?, local.address)));
    let least = takes.min_by_key(|(takes, _)| *takes);
    match (options.network.mtu, least) {
        (Some(asked), Some((takes, local))) if takes < u32::from(asked) => {
            Err(SocketError::Mtu { asked, takes, local })
        }
        (Some(asked), _) => Ok(asked),
        (None, Some((takes, _))) => Ok(takes.clamp(MTU_MIN.into(), MTU.into()) as u16),
        (None, None) => Ok(MTU),
    }
}

/// How long a source's address may be replaced: an interface that comes back may have some other one until it has its own again.
const MOVED: Duration = Duration::from_secs(10);

fn unicast_port(options: &Options) -> u16 {
    options.network.unicast_port.unwrap_or(options.network.group.port())
}

/// A socket on one of our interfaces.
fn config(options: &Options, local: LocalInterface, port: u16) -> UdpConfig {
    let protocol = protocol(options);
    let port = if protocol.is_some() { 0 } else { port };
    let mut config = UdpConfig::new(scoped(local.address, port, local.index));
    config.protocol = protocol;
    config.receive_buffer = Some(options.network.receive_buffer);
    config.multicast.ttl = options.network.ttl;
    config.multicast.interface = Some(local.as_interface());
    config
}

/// The number of PGM among the protocols of IP (RFC 3208 §8), where it is not carried by UDP.
fn protocol(options: &Options) -> Option<u8> {
    const PGM: u8 = 113;
    options.network.carrier.is_raw().then_some(PGM)
}

/// The sockets that receive the groups on all interfaces, from any source or from the chosen ones.
fn group_sockets(options: &Options, interfaces: &[LocalInterface]) -> Result<Vec<UdpSocket>, SocketError> {
    let Network { group, groups, .. } = &options.network;
    let mut group_sockets = Vec::new();
    let mut known = Vec::new();
    for ip in iter::once(group.ip()).chain(groups.iter().copied()) {
        if known.contains(&ip) {
            continue;
        }
        known.push(ip);
        // What is asked of a source goes by the sockets of the first group's family.
        let heard = if ip.is_ipv4() == group.is_ipv4() {
            sockets_of_group(options, ip, interfaces)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "groups are of different families"))
        };
        let group = SocketAddr::new(ip, group.port());
        group_sockets.extend(heard.map_err(|error| SocketError::Join { group, error })?);
    }
    Ok(group_sockets)
}

/// The sockets that receive one group.
fn sockets_of_group(
    options: &Options,
    group: IpAddr,
    interfaces: &[LocalInterface],
) -> io::Result<Vec<UdpSocket>> {
    let network = &options.network;
    let sources: Vec<Option<IpAddr>> = match &network.sources[..] {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    };
    let mut config = UdpConfig::new(SocketAddr::new(group, network.group.port()));
    config.receive_buffer = Some(network.receive_buffer);
    config.protocol = protocol(options);
    let port = if config.protocol.is_some() { 0 } else { network.group.port() };
    let is_apart = multicast::is_link_local(group);
    let mut group_sockets: Vec<UdpSocket> = Vec::new();
    for local in interfaces {
        for (at, &source) in sources.iter().enumerate() {
            let interface = Some(local.as_interface());
            let membership = Membership { group, source, interface };
            match group_sockets.last() {
                // One socket receives the group on all interfaces, unless it is a different group on each.
                Some(socket) if at > 0 || !is_apart => socket.join(&membership)?,
                _ => group_sockets.push(multicast::bind(&membership, port, &config)?),
            }
        }
    }
    Ok(group_sockets)
}

/// The MTU of Ethernet, which all receivers can take unless something else is configured.
const MTU: u16 = 1500;

/// The most interfaces of a session: leaves enough transmit buffers for trains on their way.
const INTERFACES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use campanile_engine::Config;

    use super::*;

    #[test]
    fn of_sockets_that_cannot_all_be_had_none_is_kept() {
        let socket = udp::bind(&UdpConfig::new("127.0.0.1:0".parse().expect("an address")));
        let socket = socket.expect("loopback binds");
        let bound = socket.local_addr();
        let local = LocalInterface { index: 1, address: bound.ip() };
        // A socket that is to be shared, and is gone.
        let gone = SendSocket::Shared("127.0.0.1:1".parse().expect("an address"));
        let sockets = vec![(SendSocket::New(socket), local), (gone, local)];
        let sockets = BoundSockets::new(&Options::default(), sockets, Vec::new());
        let (mut engine, mut known) =
            (Engine::new(&Config::default()).expect("some backend works"), Vec::new());
        assert!(sockets.add_to(&mut engine, &mut known).is_err());
        assert!(known.is_empty());
        assert!(udp::bind(&UdpConfig::new(bound)).is_ok(), "its port is free again");
    }
}
