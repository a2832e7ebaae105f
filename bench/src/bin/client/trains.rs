//! Trains in a file of memory, which the kernel sends from where they are.
//!
//! A plain `send` copies each byte, and with large trains the client would be the limit instead of the server. `sendfile` lets the
//! packets point into the file. So there are several trains in turn: one must not be written again while it is on its way.

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;

use campanile_bench::packet;
use campanile_bench::socket::check;

pub(crate) struct Trains {
    file: File,
    /// The file as memory: `COUNT` trains, each at the start of a page.
    memory: *mut u8,
    /// Bytes from one train to the next.
    distance: usize,
    len: usize,
    current: usize,
}

impl Trains {
    pub(crate) fn new(size: usize, segments: usize) -> io::Result<Self> {
        let len = size * segments;
        let distance = len.next_multiple_of(PAGE);
        // SAFETY: the name is a constant string.
        let fd = check(unsafe { libc::memfd_create(c"trains".as_ptr(), libc::MFD_CLOEXEC) })?;
        // SAFETY: the call above made this descriptor, and nothing else knows it.
        let file = unsafe { File::from_raw_fd(fd as libc::c_int) };
        let bytes = distance * COUNT;
        file.set_len(bytes as u64)?;
        let (fd, rights) = (file.as_raw_fd(), libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping, of the length that the file was given above.
        let memory = unsafe { libc::mmap(ptr::null_mut(), bytes, rights, libc::MAP_SHARED, fd, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut trains = Self { file, memory: memory.cast(), distance, len, current: 0 };
        for _ in 0..COUNT {
            trains.turn().chunks_exact_mut(size).for_each(packet::prepare);
        }
        Ok(trains)
    }

    /// Goes on to the next train, to be written before it is sent.
    pub(crate) fn turn(&mut self) -> &mut [u8] {
        self.current = (self.current + 1) % COUNT;
        // SAFETY: the mapping has `COUNT` trains and lives as long as this process; only this struct knows its address, and the
        // kernel only reads it.
        unsafe { std::slice::from_raw_parts_mut(self.memory.add(self.current * self.distance), self.len) }
    }

    /// The train whose turn it is.
    pub(crate) fn current(&self) -> &[u8] {
        // SAFETY: as in `turn`.
        unsafe { std::slice::from_raw_parts(self.memory.add(self.current * self.distance), self.len) }
    }

    /// Sends the train whose turn it is, uncopied.
    pub(crate) fn lend(&self, socket: &UdpSocket) -> io::Result<usize> {
        let mut offset = (self.current * self.distance) as libc::off_t;
        let (to, from) = (socket.as_raw_fd(), self.file.as_raw_fd());
        // SAFETY: the offset is a local that the kernel moves on.
        let sent = check(unsafe { libc::sendfile(to, from, &raw mut offset, self.len) } as i64)?;
        if sent < self.len {
            return Err(io::Error::other("the kernel cut a train"));
        }
        Ok(sent)
    }
}

const PAGE: usize = 4096;

/// Twice as many as are on their way in any row, so that none is written while it is read.
const COUNT: usize = 16;
