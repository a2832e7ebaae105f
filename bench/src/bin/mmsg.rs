//! The raw batch loop: `recvmmsg` of up to 64 datagrams, `sendmmsg` of what came. `mmsg PORT [--epoll]`
//!
//! Uses blocking receives by default (`MSG_WAITFORONE`): at a fixed load they cost less than polling first.

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::{io, mem, ptr};

use campanile_bench::arguments::Arguments;
use campanile_bench::socket::{Wait, check, serve};

/// The most datagrams in one system call.
const BATCH: usize = 64;

/// The longest datagram.
const LEN: usize = 2048;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = Arguments::parse(std::env::args().skip(1));
    let (port, epoll) = (arguments.word("port")?, arguments.flag("epoll")?);
    arguments.end()?;
    let socket = serve(port)?;
    let wait = Wait::new(&socket, epoll)?;
    let mut batch = Batch::new();
    loop {
        match batch.receive(&socket, wait.receive_flag() | libc::MSG_WAITFORONE) {
            Ok(count) => {
                batch.send(&socket, count)?;
                if count < BATCH {
                    wait.wait()?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait.wait()?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The headers of a batch, which point into memory that lives as long as the process.
struct Batch {
    received: [libc::mmsghdr; BATCH],
    sent: [libc::mmsghdr; BATCH],
}

impl Batch {
    fn new() -> Self {
        let received = [(); BATCH].map(|()| message(LEN));
        let mut sent = received;
        for message in &mut sent {
            // The address and the bytes are shared with the received message; the length is not.
            // SAFETY: the slice was leaked by `message`.
            let slice = unsafe { *message.msg_hdr.msg_iov };
            message.msg_hdr.msg_iov = Box::leak(Box::new(slice));
        }
        Self { received, sent }
    }

    fn receive(&mut self, socket: &UdpSocket, flags: libc::c_int) -> io::Result<usize> {
        let (headers, timeout) = (self.received.as_mut_ptr(), ptr::null_mut());
        // SAFETY: there are as many headers as it says, and they point at leaked memory of the lengths they say.
        check(unsafe { libc::recvmmsg(socket.as_raw_fd(), headers, BATCH as u32, flags, timeout) })
    }

    fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<()> {
        for (sent, received) in self.sent.iter_mut().zip(&self.received[..count]) {
            // SAFETY: the slice was leaked by `new`, and only this thread knows it.
            unsafe { (*sent.msg_hdr.msg_iov).iov_len = received.msg_len as usize };
        }
        let mut rest = &mut self.sent[..count];
        while !rest.is_empty() {
            let (headers, len) = (rest.as_mut_ptr(), rest.len() as u32);
            // SAFETY: there are as many headers as it says, and they point at leaked memory of the lengths they say.
            let taken = check(unsafe { libc::sendmmsg(socket.as_raw_fd(), headers, len, 0) })?;
            rest = &mut rest[taken..];
        }
        Ok(())
    }
}

/// A message header with its own address, slice and buffer.
fn message(len: usize) -> libc::mmsghdr {
    let bytes: &'static mut [u8] = Box::leak(vec![0; len].into_boxed_slice());
    let slice = Box::leak(Box::new(libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len }));
    // SAFETY: an address is plain numbers, and zero is a value of each.
    let peer: &'static mut libc::sockaddr_in = Box::leak(Box::new(unsafe { mem::zeroed() }));
    // SAFETY: a message header is numbers and pointers, and zero is a value of each.
    let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
    message.msg_hdr.msg_namelen = size_of_val(peer) as libc::socklen_t;
    message.msg_hdr.msg_name = ptr::from_mut(peer).cast();
    message.msg_hdr.msg_iov = slice;
    message.msg_hdr.msg_iovlen = 1;
    message
}
