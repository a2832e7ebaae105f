//! The raw epoll echo: `epoll_wait`, `recvfrom`, `sendto`, one datagram per wake-up. `epoll_echo PORT`

use std::os::fd::AsRawFd;
use std::{io, mem};

use campanile_bench::arguments::Arguments;
use campanile_bench::socket::{Wait, check, serve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = Arguments::parse(std::env::args().skip(1));
    let port = arguments.word("port")?;
    arguments.end()?;
    let socket = serve(port)?;
    let wait = Wait::new(&socket, true)?;
    let (fd, flag) = (socket.as_raw_fd(), wait.receive_flag());
    let mut bytes = [0u8; 65536];
    let start = bytes.as_mut_ptr().cast();
    loop {
        wait.wait()?;
        // SAFETY: an address is plain numbers, and zero is a value of each.
        let mut peer: libc::sockaddr_in = unsafe { mem::zeroed() };
        let mut peer_len = size_of_val(&peer) as libc::socklen_t;
        let name = (&raw mut peer).cast();
        // SAFETY: the buffer and the address are locals of the lengths given.
        let received =
            check(unsafe { libc::recvfrom(fd, start, bytes.len(), flag, name, &raw mut peer_len) } as i64);
        let len = match received {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        // SAFETY: the buffer holds `len` bytes, and the address is a local of the length given.
        check(unsafe { libc::sendto(fd, start, len, 0, name, peer_len) } as i64)?;
    }
}
