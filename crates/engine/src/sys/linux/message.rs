//! Message headers: what `recvmmsg`, `sendmmsg` and their io_uring forms are given besides the bytes.

use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::ptr;

use super::address::{self, NAME_LEN, Name};
use super::control::{Ancillary, Control, RECEIVE_LEN};
use crate::core::Core;
use crate::event::{Facts, Path, Pending};
use crate::outgoing::{Outgoing, Piece};
use crate::pool::Buffer;
use crate::slots::SocketId;
use crate::udp::UdpSocket;

/// An empty header.
pub(super) fn header() -> libc::msghdr {
    // SAFETY: a message header is pointers and lengths; all zeros is the header without anything.
    unsafe { zeroed() }
}

/// What the header of one send points at: destination, control messages, where the bytes are.
#[derive(Debug)]
pub(super) struct SendParts {
    name: Name,
    control: Control,
    vector: libc::iovec,
}

impl SendParts {
    pub(super) const EMPTY: Self = Self {
        name: Name::EMPTY,
        control: Control::EMPTY,
        vector: libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
    };

    /// Fills the parts and points `header` at them: they must stay where they are until the send is done. `bytes` is where
    /// the train starts.
    pub(super) fn write(
        &mut self,
        header: &mut libc::msghdr,
        socket: &UdpSocket,
        outgoing: &Outgoing,
        piece: Piece,
        bytes: *mut u8,
    ) {
        let transmit = &outgoing.transmit;
        let v6_socket = socket.is_v6();
        let to = transmit.to.filter(|_| socket.peer_addr().is_none());
        header.msg_namelen = to.map_or(0, |to| self.name.write(to, v6_socket)) as libc::socklen_t;
        header.msg_name = if to.is_some() { (&raw mut self.name).cast() } else { ptr::null_mut() };

        self.control.clear();
        if piece.segmented {
            self.control.put_stride(transmit.stride);
        }
        if let Some(from) = transmit.from.filter(|from| socket.is_wildcard() && !from.is_unspecified()) {
            self.control.put_source(from, v6_socket);
        }
        if transmit.ttl.is_some() || transmit.tos.is_some() {
            let v6 = transmit.to.or(socket.peer_addr()).is_some_and(|to| to.ip().to_canonical().is_ipv6());
            transmit.ttl.inspect(|&ttl| self.control.put_ttl(ttl, v6));
            transmit.tos.inspect(|&tos| self.control.put_tos(tos, v6));
        }
        if transmit.router_alert && !v6_socket {
            self.control.put_router_alert();
        }
        header.msg_controllen = self.control.written().len() as _;
        header.msg_control = match self.control.written() {
            [] => ptr::null_mut(),
            bytes => bytes.as_ptr().cast_mut().cast(),
        };

        self.vector = libc::iovec { iov_base: bytes.wrapping_add(piece.start).cast(), iov_len: piece.len };
        header.msg_iov = &raw mut self.vector;
        header.msg_iovlen = 1;
    }

    /// Where the bytes are.
    pub(super) fn bytes(&self) -> libc::iovec {
        self.vector
    }
}

/// The result of sending the rest of a train.
#[derive(Debug)]
pub(super) enum Sent {
    Done,
    /// The socket's buffer is full: the rest waits.
    Blocked(Outgoing),
}

/// Sends the rest of a train piece by piece, now: the slow way, for routes and systems without trains of that size.
pub(super) fn send_now(core: &mut Core, socket: &UdpSocket, mut outgoing: Outgoing) -> Sent {
    let mut parts = SendParts::EMPTY;
    let mut segments = socket.features().segments;
    loop {
        let piece = outgoing.piece(segments);
        let mut header = header();
        parts.write(&mut header, socket, &outgoing, piece, outgoing.address(&core.pool));
        // SAFETY: the header points at `parts` and at the train's bytes, which `outgoing` holds; all outlive the call.
        let sent =
            unsafe { libc::sendmsg(socket.inner().as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
        if sent >= 0 {
            match core.sent(outgoing, piece) {
                Some(rest) => outgoing = rest,
                None => return Sent::Done,
            }
            continue;
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return Sent::Blocked(outgoing),
            _ if piece.segmented && route_refuses_trains(&error) => segments = 1,
            _ => {
                core.refused(outgoing, error.raw_os_error().unwrap_or(0));
                return Sent::Done;
            }
        }
    }
}

/// The kernel says that this route takes no trains: no checksum offload (EIO), an older limit (EINVAL), or datagrams that are to be
/// fragmented (EMSGSIZE).
fn route_refuses_trains(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

/// What the header of one receive points at: where the kernel writes sender and control messages.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct ReceiveParts {
    pub(super) control: [u8; RECEIVE_LEN],
    pub(super) name: Name,
    pub(super) vector: libc::iovec,
}

impl ReceiveParts {
    pub(super) const EMPTY: Self = Self {
        control: [0; RECEIVE_LEN],
        name: Name::EMPTY,
        vector: libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
    };

    /// Points `header` at these parts and at a buffer: all of them must stay in place until the receive is done.
    pub(super) fn address(&mut self, header: &mut libc::msghdr, bytes: *mut u8, len: usize) {
        self.vector = libc::iovec { iov_base: bytes.cast(), iov_len: len };
        header.msg_name = (&raw mut self.name).cast();
        header.msg_namelen = NAME_LEN as libc::socklen_t;
        header.msg_iov = &raw mut self.vector;
        header.msg_iovlen = 1;
        header.msg_control = self.control.as_mut_ptr().cast();
        header.msg_controllen = RECEIVE_LEN as _;
        header.msg_flags = 0;
    }
}

/// A received message as the kernel describes it.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) name: &'a [u8],
    pub(super) control: &'a [u8],
    pub(super) len: usize,
    pub(super) flags: libc::c_int,
}

/// Turns a received message into an event, or counts why there is none. `drops` is the socket's drop counter so far.
pub(super) fn deliver(
    core: &mut Core,
    id: SocketId,
    socket: &UdpSocket,
    drops: &mut u32,
    buffer: Buffer,
    arrival: &Arrival<'_>,
) {
    core.stats.completions += 1;
    let told = Ancillary::read(arrival.control);
    if let Some(total) = told.drops {
        core.stats.dropped.kernel += u64::from(total.wrapping_sub(*drops));
        *drops = total;
    }
    let local = socket.local_addr().ip();
    let to = told.to.unwrap_or(local);
    let from = address::read(arrival.name).or(socket.peer_addr());
    let is_for_us = socket.hears(to) && socket.hears_by(to, told.interface);
    let Some(from) = from.filter(|_| is_for_us) else {
        core.stats.dropped.filtered += 1;
        core.pool.release(buffer);
        return;
    };
    let path = Path { from, to, cast: told.cast, interface: told.interface, tos: told.tos };
    if arrival.flags & libc::MSG_TRUNC != 0 {
        core.stats.dropped.truncated += 1;
        core.pool.release(buffer);
        core.notice(Pending::Truncated { socket: id, path });
        return;
    }
    let stride = told.stride.filter(|&stride| stride > 0).unwrap_or(arrival.len);
    let facts = Facts {
        socket: id,
        path,
        stride: stride.min(arrival.len),
        len: arrival.len,
        kernel_drops: *drops,
        arrived: told.arrived,
    };
    core.arrived(facts, buffer);
}
