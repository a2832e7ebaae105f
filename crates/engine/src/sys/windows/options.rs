//! Socket options that only Windows has, or names differently.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::windows::io::AsRawSocket;
use std::ptr;

use socket2::{Domain, Protocol, Socket, Type};
use windows_sys::Win32::Foundation::{ERROR_BUFFER_OVERFLOW, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{GetAdaptersAddresses, IP_ADAPTER_ADDRESSES_LH};
use windows_sys::Win32::Networking::WinSock::{
    AF_INET, AF_INET6, GROUP_SOURCE_REQ, IP_PKTINFO, IP_RECVECN, IP_RECVTOS, IPPROTO_IP, IPPROTO_IPV6,
    IPPROTO_UDP, IPV6_PKTINFO, IPV6_RECVECN, IPV6_RECVTCLASS, MCAST_JOIN_SOURCE_GROUP,
    MCAST_LEAVE_SOURCE_GROUP, SIO_GET_EXTENSION_FUNCTION_POINTER, SIO_UDP_CONNRESET, SIO_UDP_NETRESET,
    SO_EXCLUSIVEADDRUSE, SOCKADDR_STORAGE, SOCKET, SOL_SOCKET, UDP_SEND_MSG_SIZE, WSABUF, WSAID_WSARECVMSG,
    WSAIoctl, WSAMSG, WSASendMsg, getsockopt, setsockopt,
};

use super::address::Name;
use super::check;
use super::control::Control;
use super::operations::ReceiveMessage;
use crate::udp::UdpConfig;

/// What a socket can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    /// The most datagrams in one send.
    pub(crate) segments: usize,
    /// The type of service is received and sent whole; otherwise only its congestion mark is.
    pub(super) tos: bool,
}

/// The limit of Linux, so that a train has the same pieces on both systems; Windows takes more.
const SEGMENTS: usize = 64;

/// What sockets can do on this system.
#[derive(Clone, Copy, Debug)]
pub(super) struct System {
    pub(super) receive_message: ReceiveMessage,
    /// The most datagrams in one send.
    pub(super) segments: usize,
    /// A send reads its control messages.
    pub(super) send_options: bool,
}

/// Finds out what sockets can do on this system.
pub(super) fn probe() -> io::Result<System> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    Ok(System {
        receive_message: receive_message(&socket)?,
        segments: segments(&socket),
        send_options: reads_control(&socket)?,
    })
}

/// Whether a send reads its control messages. A system that does refuses to send from an address that no machine has (RFC 5737
/// section 3). One that does not (Wine) sends a datagram without bytes from the socket to itself, which nobody reads.
fn reads_control(socket: &Socket) -> io::Result<bool> {
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let own = socket.local_addr()?;
    let mut control = Control::EMPTY;
    control.put_source(Ipv4Addr::new(192, 0, 2, 1).into());
    let mut nothing = WSABUF::default();
    let message = WSAMSG {
        name: own.as_ptr().cast_mut().cast(),
        namelen: own.len(),
        lpBuffers: &raw mut nothing,
        dwBufferCount: 1,
        Control: WSABUF { len: control.written().len() as u32, buf: control.bytes.as_mut_ptr() },
        dwFlags: 0,
    };
    let mut sent = 0;
    // SAFETY: the message points at locals; the call is not overlapped.
    let result =
        unsafe { WSASendMsg(raw(socket), &raw const message, 0, &raw mut sent, ptr::null_mut(), None) };
    Ok(check(result).is_err())
}

/// Only a system that knows the option cuts trains up: one that does not may ignore it and send one long datagram.
fn segments(socket: &Socket) -> usize {
    let (mut value, mut len) = (0_u32, size_of::<u32>() as i32);
    // SAFETY: value and length are locals of the size that is named.
    let known = check(unsafe {
        getsockopt(raw(socket), IPPROTO_UDP, UDP_SEND_MSG_SIZE, (&raw mut value).cast(), &raw mut len)
    });
    if known.is_ok() { SEGMENTS } else { 1 }
}

fn receive_message(socket: &Socket) -> io::Result<ReceiveMessage> {
    let (name, mut function) = (WSAID_WSARECVMSG, ReceiveMessage::None);
    control(socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &name, Some(&mut function))?;
    Ok(function)
}

/// Sets what must be set before the bind, and finds out what the socket can do.
pub(crate) fn prepare(socket: &Socket, config: &UdpConfig) -> io::Result<Features> {
    if !config.reuse_address {
        exclusive(socket, true)?;
    }
    let tos = if config.bind.is_ipv6() {
        set(socket, IPPROTO_IPV6, IPV6_PKTINFO, 1)?;
        // IPv4 on a dual-stack socket is reported by control messages of IPv4. On a socket for IPv6 alone these options fail, and are
        // not needed.
        let _ = set(socket, IPPROTO_IP, IP_PKTINFO, 1);
        let _ = set(socket, IPPROTO_IP, IP_RECVTOS, 1).or_else(|_| set(socket, IPPROTO_IP, IP_RECVECN, 1));
        set(socket, IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
            .inspect_err(|_| drop(set(socket, IPPROTO_IPV6, IPV6_RECVECN, 1)))
    } else {
        set(socket, IPPROTO_IP, IP_PKTINFO, 1)?;
        set(socket, IPPROTO_IP, IP_RECVTOS, 1).inspect_err(|_| drop(set(socket, IPPROTO_IP, IP_RECVECN, 1)))
    };
    // ICMP errors would end receives that have nothing to do with them.
    control::<_, ()>(socket, SIO_UDP_CONNRESET, &0_u32, None)?;
    // Not every system knows this one.
    let _ = control::<_, ()>(socket, SIO_UDP_NETRESET, &0_u32, None);
    Ok(Features { segments: segments(socket), tos: tos.is_ok() })
}

/// Sets whether the address is for this socket alone, even against sockets that would share it.
pub(super) fn exclusive(socket: &Socket, alone: bool) -> io::Result<()> {
    set(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, i32::from(alone))
}

/// A buffer size in the terms of the caller: Windows reports what it was asked for.
pub(crate) fn granted(reported: usize) -> usize {
    reported
}

/// Windows has no drop counter for a socket, and with a second handle the socket's receives would outlive it.
pub(crate) fn metered(_: &Socket) -> io::Result<Option<Socket>> {
    Ok(None)
}

/// What a socket has dropped: Windows does not count it.
pub(crate) fn dropped(_: &Socket) -> Option<u32> {
    None
}

/// The MTU of an interface that has the group's family.
pub(crate) fn mtu(group: IpAddr, interface: u32) -> io::Result<u32> {
    let family = u32::from(if group.is_ipv4() { AF_INET } else { AF_INET6 });
    let mut len = 16 << 10;
    let memory = loop {
        // Words, for the alignment of the structure.
        let mut memory = vec![0_u64; (len as usize).div_ceil(size_of::<u64>())];
        let place = memory.as_mut_ptr().cast();
        // SAFETY: the place has room for `len` bytes, and lives longer than the call.
        match unsafe { GetAdaptersAddresses(family, 0, ptr::null(), place, &raw mut len) } {
            NO_ERROR => break memory,
            ERROR_BUFFER_OVERFLOW => {}
            error => return Err(io::Error::from_raw_os_error(error as i32)),
        }
    };
    let mut next = memory.as_ptr().cast::<IP_ADAPTER_ADDRESSES_LH>();
    // SAFETY: the system has linked the entries that it wrote into `memory`, which stays in place; the last one's `Next` is null.
    while let Some(adapter) = unsafe { next.as_ref() } {
        // SAFETY: both sides of the union are plain numbers.
        let index = unsafe { adapter.Anonymous1.Anonymous.IfIndex };
        if [index, adapter.Ipv6IfIndex].contains(&interface) {
            return Ok(adapter.Mtu);
        }
        next = adapter.Next;
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Joins or leaves a group for one source (RFC 3678 section 5.1), for which `socket2` has no call.
pub(crate) fn source_membership_v6(
    socket: &Socket,
    source: Ipv6Addr,
    group: Ipv6Addr,
    interface: u32,
    join: bool,
) -> io::Result<()> {
    let option = if join { MCAST_JOIN_SOURCE_GROUP } else { MCAST_LEAVE_SOURCE_GROUP };
    let mut request = GROUP_SOURCE_REQ { gsr_interface: interface, ..Default::default() };
    put(&mut request.gsr_group, group);
    put(&mut request.gsr_source, source);
    set(socket, IPPROTO_IPV6, option as i32, request)
}

fn put(storage: &mut SOCKADDR_STORAGE, address: Ipv6Addr) {
    let mut name = Name::EMPTY;
    let len = name.write(SocketAddrV6::new(address, 0, 0, 0).into(), true);
    // SAFETY: a storage is larger than any address and plain bytes; `name` holds `len` of them.
    unsafe { ptr::copy_nonoverlapping(name.0.as_ptr(), (&raw mut *storage).cast(), len) };
}

/// Sets an option whose value is `value`, as it lies in memory.
fn set<T: Copy>(socket: &Socket, level: i32, option: i32, value: T) -> io::Result<()> {
    let value = (&raw const value).cast();
    // SAFETY: pointer and length are those of `value`, which lives through the call; the kernel copies it.
    check(unsafe { setsockopt(raw(socket), level, option, value, size_of::<T>() as i32) })
}

/// A control call of the socket that reads `value`, as it lies in memory, and writes `answer`.
pub(super) fn control<T: Copy, A>(
    socket: &Socket,
    code: u32,
    value: &T,
    answer: Option<&mut A>,
) -> io::Result<()> {
    let (answer, answer_len) =
        answer.map_or((ptr::null_mut(), 0), |answer| ((&raw mut *answer).cast(), size_of::<A>() as u32));
    let (value, len) = ((&raw const *value).cast(), size_of::<T>() as u32);
    let mut written = 0;
    // SAFETY: the pointers and lengths are those of the arguments, which live through the call: it is not overlapped.
    check(unsafe {
        let written = &raw mut written;
        WSAIoctl(raw(socket), code, value, len, answer, answer_len, written, ptr::null_mut(), None)
    })
}

fn raw(socket: &Socket) -> SOCKET {
    socket.as_raw_socket() as SOCKET
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_windows_receives_messages() {
        let system = probe().expect("a socket can be asked");
        assert!(system.receive_message.is_some());
        assert!(system.segments == 1 || system.segments == SEGMENTS);
    }
}
