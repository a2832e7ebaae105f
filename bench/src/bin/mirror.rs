//! The tuned raw mirror: a train is received whole into one buffer and sent back from there. `mirror PORT [--epoll]`
//!
//! Uses blocking receives by default: with one socket and nothing else to do they are never slower than polling first.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::{io, mem, ptr};

use campanile_bench::arguments::Arguments;
use campanile_bench::socket::{Wait, check, serve, set_option};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = Arguments::parse(std::env::args().skip(1));
    let (port, epoll) = (arguments.word("port")?, arguments.flag("epoll")?);
    arguments.end()?;
    let socket = serve(port)?;
    set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1)?;
    let wait = Wait::new(&socket, epoll)?;
    let mut mirror = Mirror::new();
    loop {
        match mirror.receive(&socket, wait.receive_flag()) {
            Ok(train) => mirror.send(&socket, train)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait.wait()?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The one buffer, and the peer of the train in it.
struct Mirror {
    bytes: Box<[u8; 65536]>,
    peer: libc::sockaddr_in,
    control: Control,
}

/// Room for one control message that holds a number; the alignment is a control header's.
#[repr(C, align(8))]
struct Control([u8; 32]);

/// A received train: its length, and the stride if it has more than one datagram.
struct Train {
    len: usize,
    stride: Option<u16>,
}

impl Mirror {
    fn new() -> Self {
        // SAFETY: an address is plain numbers, and zero is a value of each.
        let peer = unsafe { mem::zeroed() };
        Self { bytes: Box::new([0; 65536]), peer, control: Control([0; 32]) }
    }

    fn receive(&mut self, socket: &UdpSocket, flag: libc::c_int) -> io::Result<Train> {
        let mut slice = libc::iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: self.bytes.len() };
        let mut message = self.message(&mut slice, size_of::<Control>());
        // SAFETY: the message points at this struct and at a local, all of the lengths it says.
        let len = check(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flag) } as i64)?;
        // SAFETY: the kernel filled in the control data and its length.
        let control = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
        let stride = control.filter(|control| control.cmsg_type == libc::UDP_GRO).map(|control| {
            // SAFETY: the payload of UDP_GRO is an int behind the header.
            unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast::<libc::c_int>()) as u16 }
        });
        Ok(Train { len, stride: stride.filter(|&stride| usize::from(stride) < len) })
    }

    fn send(&mut self, socket: &UdpSocket, train: Train) -> io::Result<()> {
        let mut slice = libc::iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: train.len };
        // SAFETY: computes a length from a length.
        let space = unsafe { libc::CMSG_SPACE(size_of::<u16>() as u32) } as usize;
        let message = self.message(&mut slice, if train.stride.is_some() { space } else { 0 });
        if let Some(stride) = train.stride {
            // SAFETY: the control buffer has room for a header and two bytes, and is aligned for the header.
            unsafe {
                let header = libc::CMSG_FIRSTHDR(&raw const message);
                (*header).cmsg_level = libc::SOL_UDP;
                (*header).cmsg_type = libc::UDP_SEGMENT;
                (*header).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as usize;
                ptr::write_unaligned(libc::CMSG_DATA(header).cast::<u16>(), stride);
            }
        }
        // SAFETY: the message points at this struct and at a local, all of the lengths it says.
        check(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) } as i64).map(drop)
    }

    fn message(&mut self, slice: &mut libc::iovec, control_len: usize) -> libc::msghdr {
        // SAFETY: a message header is numbers and pointers, and zero is a value of each.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_name = (&raw mut self.peer).cast();
        message.msg_namelen = size_of_val(&self.peer) as libc::socklen_t;
        message.msg_iov = slice;
        message.msg_iovlen = 1;
        message.msg_control = self.control.0.as_mut_ptr().cast();
        message.msg_controllen = control_len;
        message
    }
}
