//! Messages: what `WSARecvMsg` and `WSASendMsg` are given besides the bytes.

use std::net::IpAddr;
use std::ptr;

use windows_sys::Win32::Networking::WinSock::{MSG_BCAST, MSG_MCAST, WSABUF, WSAMSG};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::address::{self, NAME_LEN, Name};
use super::control::{Ancillary, CONTROL_LEN, Control};
use crate::core::Core;
use crate::event::{Cast, Facts, Path, Pending};
use crate::outgoing::{Outgoing, Piece};
use crate::pool::Buffer;
use crate::slots::SocketId;
use crate::udp::UdpSocket;

/// One operation's part of the kernel's memory. Once addressed it must stay where it is until the operation has ended.
#[repr(C)]
pub(super) struct Message {
    /// First: a completion names the message by this address.
    pub(super) overlapped: OVERLAPPED,
    pub(super) header: WSAMSG,
    vector: WSABUF,
    name: Name,
    control: Control,
}

impl Message {
    pub(super) fn empty() -> Self {
        Self {
            overlapped: OVERLAPPED::default(),
            header: WSAMSG::default(),
            vector: WSABUF::default(),
            name: Name::EMPTY,
            control: Control::EMPTY,
        }
    }

    /// Fills the message for a receive into `len` bytes.
    pub(super) fn address_receive(&mut self, bytes: *mut u8, len: usize) {
        self.overlapped = OVERLAPPED::default();
        self.vector = buffer(bytes, len);
        self.header = WSAMSG {
            name: (&raw mut self.name).cast(),
            namelen: NAME_LEN as i32,
            lpBuffers: &raw mut self.vector,
            dwBufferCount: 1,
            Control: buffer((&raw mut self.control.bytes).cast(), CONTROL_LEN),
            dwFlags: 0,
        };
    }

    /// Fills the message for a piece of a train; `bytes` is where the train starts.
    pub(super) fn address_send(
        &mut self,
        socket: &UdpSocket,
        train: &Outgoing,
        piece: Piece,
        bytes: *mut u8,
    ) {
        let transmit = &train.transmit;
        self.control.clear();
        if piece.segmented {
            self.control.put_stride(transmit.stride);
        }
        if let Some(from) = transmit.from.filter(|from| socket.is_wildcard() && !from.is_unspecified()) {
            self.control.put_source(from.to_canonical());
        }
        if transmit.ttl.is_some() || transmit.tos.is_some() {
            let v6 = transmit.to.or(socket.peer_addr()).is_some_and(|to| to.ip().to_canonical().is_ipv6());
            transmit.ttl.inspect(|&ttl| self.control.put_ttl(ttl, v6));
            let whole = socket.features().tos;
            transmit.tos.inspect(|&tos| self.control.put_tos(tos, v6, whole));
        }
        let control = match self.control.written().len() {
            0 => WSABUF::default(),
            len => buffer((&raw mut self.control.bytes).cast(), len),
        };

        let to = transmit.to.filter(|_| socket.peer_addr().is_none());
        let namelen = to.map_or(0, |to| self.name.write(to, socket.is_v6()));
        self.overlapped = OVERLAPPED::default();
        self.vector = buffer(bytes.wrapping_add(piece.start), piece.len);
        self.header = WSAMSG {
            name: if to.is_some() { (&raw mut self.name).cast() } else { ptr::null_mut() },
            namelen: namelen as i32,
            lpBuffers: &raw mut self.vector,
            dwBufferCount: 1,
            Control: control,
            dwFlags: 0,
        };
    }

    /// What a receive that has ended wrote here.
    pub(super) fn arrival(&self) -> Arrival<'_> {
        let name_len = (self.header.namelen.max(0) as usize).min(NAME_LEN);
        let control_len = (self.header.Control.len as usize).min(CONTROL_LEN);
        Arrival {
            name: &self.name.0[..name_len],
            control: &self.control.bytes[..control_len],
            flags: self.header.dwFlags,
        }
    }
}

fn buffer(bytes: *mut u8, len: usize) -> WSABUF {
    WSABUF { len: len as u32, buf: bytes }
}

/// A received datagram as the kernel describes it.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    name: &'a [u8],
    control: &'a [u8],
    flags: u32,
}

/// Turns a received datagram into an event, or counts why there is none. `len` is `None` for one larger than its buffer.
pub(super) fn deliver(
    core: &mut Core,
    id: SocketId,
    socket: &UdpSocket,
    buffer: Buffer,
    arrival: &Arrival<'_>,
    len: Option<usize>,
) {
    core.stats.completions += 1;
    let told = Ancillary::read(arrival.control);
    let to = told.to.unwrap_or(socket.local_addr().ip());
    let from = address::read(arrival.name).or(socket.peer_addr());
    let Some(from) = from.filter(|_| socket.hears(to)) else {
        core.stats.dropped.filtered += 1;
        core.pool.release(buffer);
        return;
    };
    let cast = cast(to, arrival.flags);
    let path = Path { from, to, cast, interface: told.interface, tos: told.tos };
    let Some(len) = len else {
        core.stats.dropped.truncated += 1;
        core.pool.release(buffer);
        core.notice(Pending::Truncated { socket: id, path });
        return;
    };
    let facts = Facts { socket: id, path, stride: len, len, kernel_drops: 0, arrived: None };
    core.arrived(facts, buffer);
}

fn cast(to: IpAddr, flags: u32) -> Cast {
    let everyone = matches!(to, IpAddr::V4(to) if to.is_broadcast());
    match to {
        _ if to.is_multicast() || flags & MSG_MCAST != 0 => Cast::Multicast,
        _ if everyone || flags & MSG_BCAST != 0 => Cast::Broadcast,
        _ => Cast::Unicast,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_and_multicast_are_told_from_unicast() {
        let of = |to: &str, flags| cast(to.parse().expect("a literal address"), flags);
        assert_eq!(of("10.0.0.1", 0), Cast::Unicast);
        assert_eq!(of("10.0.0.255", MSG_BCAST), Cast::Broadcast);
        assert_eq!(of("255.255.255.255", 0), Cast::Broadcast);
        assert_eq!(of("239.1.1.1", 0), Cast::Multicast);
        assert_eq!(of("ff02::1", MSG_MCAST), Cast::Multicast);
        assert_eq!(of("::1", 0), Cast::Unicast);
    }
}
