//! Asks a socket whether something has come, without using a buffer.

use std::fmt;
use std::os::windows::io::AsRawSocket;
use std::ptr::{self, NonNull};

use windows_sys::Win32::Foundation::{NTSTATUS, STATUS_CANCELLED, STATUS_PENDING};
use windows_sys::Win32::Networking::WinSock::{MSG_PEEK, SOCKET, WSA_IO_PENDING, WSABUF, WSARecv};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::last_error;
use crate::udp::UdpSocket;

/// An overlapped receive of no bytes that leaves the datagram where it is: for sockets beyond the number of receive buffers.
pub(super) struct Probe {
    /// Behind a raw pointer, since the kernel writes there.
    question: NonNull<Question>,
    asked: bool,
}

struct Question {
    overlapped: OVERLAPPED,
    flags: u32,
}

impl Probe {
    pub(super) fn new() -> Self {
        let question = Box::new(Question { overlapped: OVERLAPPED::default(), flags: 0 });
        Self { question: NonNull::from(Box::leak(question)), asked: false }
    }

    /// Whether the kernel has the question; a packet will bring the answer.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// Asks, unless it is asked; returns whether the answer came at once.
    pub(super) fn ask(&mut self, socket: &UdpSocket) -> bool {
        if self.asked {
            return false;
        }
        let question = self.question.as_ptr();
        let nothing = WSABUF { len: 0, buf: ptr::null_mut() };
        let mut len = 0;
        // SAFETY: nothing is asked, so the memory is this struct's alone; it stays in place until the packet. The vector is read,
        // and `len` written, during the call alone.
        let result = unsafe {
            *question = Question { overlapped: OVERLAPPED::default(), flags: MSG_PEEK as u32 };
            let handle = socket.inner().as_raw_socket() as SOCKET;
            let (flags, overlapped) = (&raw mut (*question).flags, &raw mut (*question).overlapped);
            WSARecv(handle, &raw const nothing, 1, &raw mut len, flags, overlapped, None)
        };
        // An error at once is an answer too: a datagram does not fit into a buffer of no bytes.
        self.asked = result != 0 && last_error() == WSA_IO_PENDING;
        !self.asked
    }

    /// Takes the answer if this packet is it; says whether there is something to receive.
    pub(super) fn answered(&mut self, overlapped: *mut OVERLAPPED) -> bool {
        let question = self.question.as_ptr();
        // SAFETY: the memory is this struct's. The kernel may be writing: an aligned read of this size cannot be torn.
        let (own, status) = unsafe {
            let own = &raw mut (*question).overlapped;
            (own, (&raw const (*own).Internal).read_volatile() as NTSTATUS)
        };
        if !self.asked || overlapped != own || status == STATUS_PENDING {
            return false;
        }
        self.asked = false;
        status != STATUS_CANCELLED
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        assert!(!self.asked, "a socket is closed after its operations have ended");
        // SAFETY: leaked from a box in `new`; the kernel does not have it.
        drop(unsafe { Box::from_raw(self.question.as_ptr()) });
    }
}
