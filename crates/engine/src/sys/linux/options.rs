//! Socket options that only Linux has.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::address::Name;
use super::check;
use crate::udp::UdpConfig;

/// What a socket can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    pub(crate) receive_trains: bool,
    /// The most datagrams in one send.
    pub(crate) segments: usize,
    /// Some systems that take the place of a kernel count no drops.
    pub(crate) drop_counter: bool,
}

/// The limit of every kernel that has UDP_SEGMENT (later ones take 128); what GRO joins never exceeds it.
const SEGMENTS: usize = 64;

/// What sockets can do on this system.
pub(super) fn probe() -> io::Result<Features> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    Ok(Features {
        receive_trains: set(&socket, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok(),
        segments: segments(&socket),
        drop_counter: counts_drops(&socket),
    })
}

fn segments(socket: &Socket) -> usize {
    let has_gso = set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
    if has_gso { SEGMENTS } else { 1 }
}

/// Makes received packets tell how many were dropped before them.
fn counts_drops(socket: &Socket) -> bool {
    set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1).is_ok()
}

/// Sets what must be set before the bind, and finds out what the socket can do.
pub(crate) fn prepare(socket: &Socket, config: &UdpConfig) -> io::Result<Features> {
    let v6 = config.bind.is_ipv6();
    // A raw socket of IPv6 has no options of IPv4; others may hear both.
    if !v6 || config.protocol.is_none() {
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
        // Hear only what this very socket joined: the default lets another program's membership leak in.
        set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0)?;
    }
    if v6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
        // Since Linux 4.20; before it there is nothing to turn off.
        let _ = set(socket, libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
    }
    if config.reuse_address && config.protocol.is_none() {
        // Linux has two options for sharing a port, and a program may use only one: with both set, the port is shared with every such
        // program.
        socket.set_reuse_port(true)?;
    }
    if config.timestamps {
        set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    }
    let segments = segments(socket);
    // A train that comes in must be able to go out.
    let receive_trains =
        config.trains && segments > 1 && set(socket, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
    Ok(Features { receive_trains, segments, drop_counter: counts_drops(socket) })
}

const IPV6_MULTICAST_ALL: libc::c_int = 29;

/// A buffer size in the terms of the caller: the kernel doubles it for its own bookkeeping and reports the double (socket(7)).
pub(crate) fn granted(reported: usize) -> usize {
    reported / 2
}

/// A second handle on a socket, to read its drop counter.
pub(crate) fn metered(socket: &Socket) -> io::Result<Option<Socket>> {
    socket.try_clone().map(Some)
}

/// What a socket has dropped because its receive buffer was full (sock_diag(7), `SK_MEMINFO_DROPS`; since Linux 4.12).
pub(crate) fn dropped(socket: &Socket) -> Option<u32> {
    get::<{ DROPS + 1 }>(socket, libc::SOL_SOCKET, libc::SO_MEMINFO).ok().map(|words| words[DROPS])
}

/// The place of the drops among the words of `SO_MEMINFO`.
const DROPS: usize = 8;

/// The longest packet to a group by an interface: the MTU of the route, which may be less than the device's (ip(7), ipv6(7)).
pub(crate) fn mtu(group: IpAddr, interface: u32) -> io::Result<u32> {
    // Any port: nothing is sent.
    let to = SocketAddr::new(group, 9);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    let (level, option) = if group.is_ipv4() {
        // SAFETY: two addresses and an integer, all valid as zeros.
        let mut way: libc::ip_mreqn = unsafe { zeroed() };
        way.imr_ifindex = interface as libc::c_int;
        set(&socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, way)?;
        (libc::IPPROTO_IP, libc::IP_MTU)
    } else {
        socket.set_multicast_if_v6(interface)?;
        (libc::IPPROTO_IPV6, libc::IPV6_MTU)
    };
    socket.connect(&to.into())?;
    get::<1>(&socket, level, option).map(|[bytes]| bytes)
}

/// Joins or leaves a group for one source (RFC 3678 section 5.1), for which `socket2` has no call.
pub(crate) fn source_membership_v6(
    socket: &Socket,
    source: Ipv6Addr,
    group: Ipv6Addr,
    interface: u32,
    join: bool,
) -> io::Result<()> {
    let option = if join { libc::MCAST_JOIN_SOURCE_GROUP } else { libc::MCAST_LEAVE_SOURCE_GROUP };
    // SAFETY: the structure is an integer and two address storages, all valid as zeros.
    let mut request: libc::group_source_req = unsafe { zeroed() };
    request.gsr_interface = interface;
    put(&mut request.gsr_group, group);
    put(&mut request.gsr_source, source);
    set(socket, libc::IPPROTO_IPV6, option, request)
}

fn put(storage: &mut libc::sockaddr_storage, address: Ipv6Addr) {
    let mut name = Name::EMPTY;
    let len = name.write(SocketAddrV6::new(address, 0, 0, 0).into(), true);
    // SAFETY: a storage is larger than any address and plain bytes; `name` holds `len` of them.
    unsafe { std::ptr::copy_nonoverlapping(name.0.as_ptr(), (&raw mut *storage).cast(), len) };
}

/// Reads an option of at least `WORDS` words.
fn get<const WORDS: usize>(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
) -> io::Result<[u32; WORDS]> {
    let mut words = [0; WORDS];
    let mut len = size_of_val(&words) as libc::socklen_t;
    let place = (&raw mut words).cast();
    // SAFETY: pointer and length are those of `words`, which live through the call; the kernel writes no more than that.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, place, &raw mut len) })?;
    if len as usize == size_of_val(&words) { Ok(words) } else { Err(io::ErrorKind::Unsupported.into()) }
}

/// Sets an option whose value is `value`, as it lies in memory.
pub(super) fn set<T: Copy>(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: T,
) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value = (&raw const value).cast();
    // SAFETY: pointer and length are those of `value`, which lives through the call; the kernel copies it.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, len) }).map(drop)
}
