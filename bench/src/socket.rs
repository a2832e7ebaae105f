//! Sockets for all programs here, with the same buffers for all.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The buffer size that every program asks for, in each direction; the kernel doubles it for its own overhead.
pub const BUFFER_BYTES: usize = 4 << 20;

/// A server's socket on loopback.
///
/// # Errors
/// The port is taken.
pub fn serve(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    enlarge(&socket)?;
    Ok(socket)
}

/// A client's socket: connected, non-blocking, and receiving trains whole.
///
/// # Errors
/// The system refuses.
pub fn dial(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    enlarge(&socket)?;
    socket.set_nonblocking(true)?;
    set_option(&socket, libc::SOL_UDP, libc::UDP_GRO, 1)?;
    socket.connect(to)?;
    Ok(socket)
}

/// Asks for the common buffer sizes.
///
/// # Errors
/// The system refuses.
pub fn enlarge(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER_BYTES as libc::c_int)?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, BUFFER_BYTES as libc::c_int)
}

/// Sets an integer option.
///
/// # Errors
/// The kernel does not know it, or refuses the value.
pub fn set_option(
    socket: &UdpSocket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is a local of the length given.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) })
        .map(drop)
}

/// Turns the -1 of a system call into its error, and any other result into a count.
///
/// # Errors
/// The result was -1; the error is the thread's `errno`.
pub fn check(result: impl Into<i64>) -> io::Result<usize> {
    usize::try_from(result.into()).map_err(|_| io::Error::last_os_error())
}

/// How a raw peer waits for data.
#[derive(Debug)]
pub enum Wait {
    /// In a blocking receive.
    Blocking,
    /// In `epoll_wait`, level-triggered, with a non-blocking receive.
    Epoll(OwnedFd),
}

impl Wait {
    /// Waits by a poller for this socket, or in the receive.
    ///
    /// # Errors
    /// The system refuses a poller.
    pub fn new(socket: &UdpSocket, epoll: bool) -> io::Result<Self> {
        if !epoll {
            return Ok(Self::Blocking);
        }
        // SAFETY: takes no pointer.
        let poller = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the call above made this descriptor, and nothing else knows it.
        let poller = unsafe { OwnedFd::from_raw_fd(poller as libc::c_int) };
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        let (operation, socket) = (libc::EPOLL_CTL_ADD, socket.as_raw_fd());
        // SAFETY: the event is a local that the kernel reads during the call.
        check(unsafe { libc::epoll_ctl(poller.as_raw_fd(), operation, socket, &raw mut event) })?;
        Ok(Self::Epoll(poller))
    }

    /// The flag that a receive needs.
    #[must_use]
    pub fn receive_flag(&self) -> libc::c_int {
        match self {
            Self::Blocking => 0,
            Self::Epoll(_) => libc::MSG_DONTWAIT,
        }
    }

    /// Waits for data, unless the receive itself does.
    ///
    /// # Errors
    /// The poller fails.
    pub fn wait(&self) -> io::Result<()> {
        let Self::Epoll(poller) = self else { return Ok(()) };
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: the event is a local, and room for one is what the call is told.
        match check(unsafe { libc::epoll_wait(poller.as_raw_fd(), &raw mut event, 1, -1) }) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}
