//! UDP sockets: made and bound by one thread, used by the engine of another.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::multicast::{self, Sending};
use crate::sys;

/// How a UDP socket is made.
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// The local address; port 0 lets the system choose. `[::]` hears IPv4 too.
    pub bind: SocketAddr,
    /// The only peer, if there is one: the kernel drops what others send, and sending costs less.
    pub connect: Option<SocketAddr>,
    /// The receive buffer asked for, in bytes; see [`UdpSocket::granted`] for what it became.
    pub receive_buffer: Option<usize>,
    /// The send buffer asked for, in bytes.
    pub send_buffer: Option<usize>,
    /// Let datagrams of one peer arrive together where the system can do that.
    pub trains: bool,
    /// Stamp each train with the time the kernel received it, where the system can do that.
    pub timestamps: bool,
    /// Share the address with other sockets that ask for the same (what multicast receivers do).
    pub reuse_address: bool,
    /// May send to broadcast addresses.
    pub broadcast: bool,
    /// How it sends to groups.
    pub multicast: Sending,
    /// Another protocol of IP than UDP, by its number: a raw socket, which needs a privilege. It has no ports and no trains, and over
    /// IPv4 what it receives begins with the IP header.
    pub protocol: Option<u8>,
}

impl UdpConfig {
    /// A plain socket at an address, with trains and the system's buffers.
    #[must_use]
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            connect: None,
            receive_buffer: None,
            send_buffer: None,
            trains: true,
            timestamps: false,
            reuse_address: false,
            broadcast: false,
            multicast: Sending::default(),
            protocol: None,
        }
    }
}

/// A bound UDP socket that no engine has taken yet.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
    peer: Option<SocketAddr>,
    granted: Granted,
    features: sys::Features,
    hears_only: Option<IpAddr>,
    /// The interfaces on which groups of IPv6 were joined, by number; 0 is the system's choice. Only the owner of a socket joins
    /// groups.
    joined_v6: RefCell<Vec<u32>>,
}

/// The buffer sizes that the system granted, in bytes, measured as the request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The receive buffer.
    pub receive: usize,
    /// The send buffer.
    pub send: usize,
}

impl UdpSocket {
    /// The address it is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The peer it is connected to.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The buffer sizes that the system granted.
    #[must_use]
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// Whether this is an IPv6 socket, which takes IPv4 addresses in their mapped form (RFC 4291 section 2.5.5.2).
    pub(crate) fn is_v6(&self) -> bool {
        self.local.is_ipv6()
    }

    /// Whether the socket may send from any local address, so that a reply must name one.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    pub(crate) fn features(&self) -> sys::Features {
        self.features
    }

    pub(crate) fn inner(&self) -> &Socket {
        &self.socket
    }

    /// Drops what was sent to any other address.
    pub(crate) fn hear_only(&mut self, address: IpAddr) {
        self.hears_only = Some(address);
    }

    /// Whether something sent to this address is for this socket.
    pub(crate) fn hears(&self, to: IpAddr) -> bool {
        self.hears_only.is_none_or(|only| only == to)
    }

    /// Notes that an IPv6 group was joined or left on an interface.
    pub(crate) fn note_v6(&self, interface: u32, is_joined: bool) {
        let mut joined = self.joined_v6.borrow_mut();
        if is_joined {
            joined.push(interface);
        } else if let Some(at) = joined.iter().position(|&known| known == interface) {
            joined.swap_remove(at);
        }
    }

    /// Whether the socket joined a group on the interface that a datagram to `to` arrived on (0: unknown). Linux delivers an IPv6 group
    /// to sockets that joined it on any interface, even with `IPV6_MULTICAST_ALL` off.
    #[allow(dead_code, reason = "Windows asks by itself on which interface a group was joined")]
    pub(crate) fn hears_by(&self, to: IpAddr, interface: u32) -> bool {
        let is_certain = matches!(to, IpAddr::V6(to) if to.is_multicast()) && interface != 0;
        let joined = self.joined_v6.borrow();
        !is_certain || joined.is_empty() || joined.contains(&0) || joined.contains(&interface)
    }

    /// A second handle on the same socket, for another engine.
    #[allow(dead_code, reason = "on Windows a socket belongs to one engine for good")]
    pub(crate) fn share(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, joined_v6: self.joined_v6.clone(), ..*self })
    }
}

/// Reads, from any thread, how much a socket has dropped because its receive buffer was full. It keeps the socket open.
#[derive(Debug)]
pub struct DropMeter(Option<Socket>);

impl DropMeter {
    /// The meter of a socket.
    ///
    /// # Errors
    /// The system has no handles left.
    pub fn new(socket: &UdpSocket) -> io::Result<Self> {
        sys::metered(&socket.socket).map(Self)
    }

    /// What the socket has dropped since it was made, a train counted as one; `None` where the system does not report it. An engine's
    /// [`crate::Stats`] include a drop only once something has arrived after it.
    #[must_use]
    pub fn read(&self) -> Option<u64> {
        self.0.as_ref().and_then(sys::dropped).map(u64::from)
    }
}

/// Makes and binds one socket.
///
/// # Errors
/// The address is taken or not this machine's, the port needs a privilege, or an interface does not exist.
pub fn bind(config: &UdpConfig) -> io::Result<UdpSocket> {
    bind_prepared(config, |_| Ok(()))
}

/// Makes and binds one socket whose address no other may share. On Linux other programs may have the port on the wildcard address, if
/// they share it; what is sent to this socket's address still comes to this socket alone.
///
/// # Errors
/// As [`bind`].
pub fn bind_alone(config: &UdpConfig) -> io::Result<UdpSocket> {
    sys::bind_alone(config)
}

/// As [`bind`], with one more step on the socket before it is bound.
pub(crate) fn bind_prepared(
    config: &UdpConfig,
    prepare: impl FnOnce(&Socket) -> io::Result<()>,
) -> io::Result<UdpSocket> {
    let v6 = config.bind.is_ipv6();
    let (kind, protocol) = match config.protocol {
        Some(number) => (Type::RAW, Protocol::from(i32::from(number))),
        None => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(config.bind), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    // A raw IPv6 socket receives no IPv4, and Linux rejects the option on it.
    if v6 && config.protocol.is_none() {
        socket.set_only_v6(!config.bind.ip().is_unspecified())?;
    }
    if config.reuse_address {
        socket.set_reuse_address(true)?;
    }
    socket.set_broadcast(config.broadcast)?;
    multicast::apply(&socket, &config.multicast, v6)?;
    if let Some(bytes) = config.receive_buffer {
        socket.set_recv_buffer_size(bytes.min(BUFFER_MAX))?;
    }
    if let Some(bytes) = config.send_buffer {
        socket.set_send_buffer_size(bytes.min(BUFFER_MAX))?;
    }
    let features = sys::prepare(&socket, config)?;
    prepare(&socket)?;
    socket.bind(&config.bind.into())?;
    if let Some(peer) = config.connect {
        socket.connect(&peer.into())?;
    }
    let granted = Granted {
        receive: sys::granted(socket.recv_buffer_size()?),
        send: sys::granted(socket.send_buffer_size()?),
    };
    let local = socket.local_addr()?.as_socket().expect("an IP socket has an IP address");
    let joined_v6 = RefCell::default();
    Ok(UdpSocket { socket, local, peer: config.connect, granted, features, hears_only: None, joined_v6 })
}

/// The most bytes of a buffer that a system can be asked for: of a greater number it would see the lower 32 bits.
const BUFFER_MAX: usize = i32::MAX as usize;

/// How the datagrams of one port are divided among sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shard {
    /// By processor where the system can, otherwise the best it can do.
    #[default]
    Auto,
    /// The socket of the processor that the datagram arrived on. Only for services where any core may answer any packet.
    Cpu,
    /// By a hash of the addresses: a flow stays with its socket.
    Hash,
    /// One socket for all.
    None,
}

impl Shard {
    /// The name used on command lines and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Hash => "hash",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Shard {
    type Err = UnknownShard;

    fn from_str(text: &str) -> Result<Self, UnknownShard> {
        [Self::Auto, Self::Cpu, Self::Hash, Self::None]
            .into_iter()
            .find(|shard| shard.name() == text)
            .ok_or(UnknownShard)
    }
}

/// The text names no way to divide a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownShard;

impl fmt::Display for UnknownShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port is divided by cpu, hash or none; auto takes the best")
    }
}

impl std::error::Error for UnknownShard {}

/// Sockets on one port, one for each engine.
#[derive(Debug)]
pub struct Group {
    /// In the order of the processors. Fewer than asked for where the system cannot share a port among engines.
    pub sockets: Vec<UdpSocket>,
    /// How the system divides the port; never [`Shard::Auto`].
    pub shard: Shard,
    /// Why the port is not divided as asked for, if it is not.
    pub note: Option<String>,
}

/// Binds a socket for each of `cpus` to one port, in their order.
///
/// # Errors
/// As [`bind`]; also when another socket holds the port already, even one that would share it.
///
/// # Panics
/// If `cpus` is empty.
pub fn bind_group(config: &UdpConfig, cpus: &[usize], shard: Shard) -> io::Result<Group> {
    assert!(!cpus.is_empty(), "a group has a processor");
    sys::bind_group(config, cpus, shard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_and_found_by_name() {
        for shard in [Shard::Auto, Shard::Cpu, Shard::Hash, Shard::None] {
            assert_eq!(shard.to_string().parse(), Ok(shard));
        }
        assert_eq!("rss".parse::<Shard>(), Err(UnknownShard));
    }
}
