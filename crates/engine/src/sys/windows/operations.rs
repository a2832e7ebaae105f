//! Operations in the kernel: a fixed slab with a place for each buffer of the pool.
//!
//! A buffer is in at most one operation, so its number is the operation's number too. Nothing is allocated after the start.

use std::fmt;
use std::os::windows::io::AsRawSocket;
use std::ptr::{self, NonNull};

use windows_sys::Win32::Foundation::{HANDLE, NTSTATUS, STATUS_BUFFER_OVERFLOW, STATUS_PENDING};
use windows_sys::Win32::Networking::WinSock::{
    LPFN_WSARECVMSG, SOCKET, WSA_IO_PENDING, WSAEMSGSIZE, WSAGetOverlappedResult, WSASendMsg,
};
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};

use super::last_error;
use super::message::{Arrival, Message};
use crate::outgoing::{Outgoing, Piece};
use crate::pool::{Buffer, Pool};
use crate::udp::UdpSocket;

/// `WSARecvMsg`: a function that a socket is asked for.
pub(super) type ReceiveMessage = LPFN_WSARECVMSG;

/// The slab.
pub(super) struct Operations {
    /// Where the kernel writes. An allocation of its own behind a raw pointer: no reference to it as a whole ever exists.
    messages: NonNull<Message>,
    /// What the kernel does with the message and buffer of the same number; `None`: nothing.
    states: Box<[Option<InKernel>]>,
    receive_message: ReceiveMessage,
    in_kernel: usize,
}

/// An operation that the kernel has.
#[derive(Debug)]
enum InKernel {
    Receive(SOCKET),
    Send(SOCKET, Outgoing, Piece),
}

/// The kernel's answer to the start of an operation on `T`.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// The kernel has it; a packet will report its end.
    Pending,
    /// It has ended already, and no packet comes.
    Ended(T, Ended),
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// Bytes received.
    pub(super) len: usize,
    /// 0, or the error.
    pub(super) code: i32,
}

/// An operation that has come back from the kernel.
#[derive(Debug)]
pub(super) enum Completed {
    Receive(Buffer, Ended),
    Send(Outgoing, Piece, Ended),
}

impl Operations {
    pub(super) fn new(pool: &Pool, receive_message: ReceiveMessage) -> Self {
        let messages: Box<[Message]> = (0..pool.count()).map(|_| Message::empty()).collect();
        let messages = NonNull::from(Box::leak(messages)).cast();
        let states = (0..pool.count()).map(|_| None).collect();
        Self { messages, states, receive_message, in_kernel: 0 }
    }

    /// Starts a receive into a buffer.
    pub(super) fn receive(&mut self, pool: &Pool, socket: &UdpSocket, buffer: Buffer) -> Answer<Buffer> {
        let (index, handle) = (buffer.index(), handle(socket));
        self.free_message(&buffer).address_receive(pool.address(&buffer), pool.buffer_len());
        let message = self.message(index);
        // SAFETY: the message and the buffer it names stay in place; the buffer's token goes into `states`, which keeps both
        // untouched until the packet of this operation.
        let ended = unsafe { self.call_receive(handle, message, &raw mut (*message).overlapped) };
        match ended.code {
            WSA_IO_PENDING => {
                let _lent = buffer.into_index();
                self.lend(index, InKernel::Receive(handle));
                Answer::Pending
            }
            _ => Answer::Ended(buffer, ended),
        }
    }

    /// Receives what waits at a socket; ends with `WSAEWOULDBLOCK` when nothing does.
    pub(super) fn receive_now(&mut self, pool: &Pool, socket: &UdpSocket, buffer: &Buffer) -> Ended {
        self.free_message(buffer).address_receive(pool.address(buffer), pool.buffer_len());
        let message = self.message(buffer.index());
        // SAFETY: the message and the buffer it names are this engine's, and outlive the call, which is not overlapped.
        unsafe { self.call_receive(handle(socket), message, ptr::null_mut()) }
    }

    /// # Safety
    /// The message is addressed; it and its buffer stay in place and are not touched until the operation has ended.
    unsafe fn call_receive(
        &self,
        socket: SOCKET,
        message: *mut Message,
        overlapped: *mut OVERLAPPED,
    ) -> Ended {
        let receive = self.receive_message.expect("the engine is made with it");
        let mut len = 0;
        // SAFETY: the caller's promise; `len` is written during the call alone.
        let result = unsafe { receive(socket, &raw mut (*message).header, &raw mut len, overlapped, None) };
        Ended { len: len as usize, code: if result == 0 { 0 } else { last_error() } }
    }

    /// Starts the send of a piece of a train.
    pub(super) fn send(
        &mut self,
        pool: &Pool,
        socket: &UdpSocket,
        train: Outgoing,
        piece: Piece,
    ) -> Answer<Outgoing> {
        let (index, handle) = (train.buffer.index(), handle(socket));
        self.free_message(&train.buffer).address_send(socket, &train, piece, train.address(pool));
        let message = self.message(index);
        let mut len = 0;
        // SAFETY: the message and the bytes it names stay in place; the train goes into `states`, which keeps both untouched
        // until the packet of this operation. `len` is written during the call alone.
        let result = unsafe {
            let overlapped = &raw mut (*message).overlapped;
            WSASendMsg(handle, &raw const (*message).header, 0, &raw mut len, overlapped, None)
        };
        match if result == 0 { 0 } else { last_error() } {
            WSA_IO_PENDING => {
                self.lend(index, InKernel::Send(handle, train, piece));
                Answer::Pending
            }
            code => Answer::Ended(train, Ended { len: len as usize, code }),
        }
    }

    /// Takes back the operation whose packet has come. `None` if the packet names no operation of this slab, or one that has not ended:
    /// whatever the packet says, memory is free only when the operation's own status says so.
    pub(super) fn complete(&mut self, overlapped: *mut OVERLAPPED) -> Option<Completed> {
        let offset = (overlapped as usize).checked_sub(self.messages.as_ptr() as usize)?;
        let index = offset / size_of::<Message>();
        if index >= self.states.len() || self.status(index) == STATUS_PENDING {
            return None;
        }
        let operation = self.states[index].take()?;
        self.in_kernel -= 1;
        Some(match operation {
            InKernel::Receive(socket) => {
                let ended = self.ended(index, socket);
                // SAFETY: the number came from `into_index` in `receive`; the packet says that the kernel is done.
                let buffer = unsafe { Buffer::from_index(index as u32) };
                Completed::Receive(buffer, ended)
            }
            InKernel::Send(socket, train, piece) => Completed::Send(train, piece, self.ended(index, socket)),
        })
    }

    /// How the operation of this message ended, once its packet has come.
    fn ended(&self, index: usize, socket: SOCKET) -> Ended {
        let message = self.message(index);
        // SAFETY: the operation has ended: the kernel has written here for the last time.
        let len = unsafe { (*message).overlapped.InternalHigh };
        let code = match self.status(index) {
            STATUS_BUFFER_OVERFLOW => WSAEMSGSIZE,
            0.. => 0,
            _ => {
                let (mut len, mut flags) = (0, 0);
                // SAFETY: the socket is open while it has operations, and the message is this operation's.
                unsafe {
                    let overlapped = &raw const (*message).overlapped;
                    WSAGetOverlappedResult(socket, overlapped, &raw mut len, 0, &raw mut flags)
                };
                last_error()
            }
        };
        Ended { len, code }
    }

    fn status(&self, index: usize) -> NTSTATUS {
        let message = self.message(index);
        // SAFETY: the message is in the slab. The kernel may be writing: an aligned read of this size cannot be torn.
        unsafe { (&raw const (*message).overlapped.Internal).read_volatile() as NTSTATUS }
    }

    /// Asks the kernel to end an operation early. Its packet comes in any case.
    pub(super) fn cancel(&self, socket: &UdpSocket, index: usize) {
        let message = self.message(index);
        // SAFETY: the pointer is only compared with those of the operations in the kernel. It does not matter if the operation has just
        // ended.
        unsafe { CancelIoEx(handle(socket) as HANDLE, &raw const (*message).overlapped) };
    }

    /// What was received into this buffer.
    pub(super) fn arrival(&self, buffer: &Buffer) -> Arrival<'_> {
        // SAFETY: the token proves that the kernel is done with the buffer, and so with its message. Writing to the message again takes
        // `&mut self`.
        unsafe { (*self.message(buffer.index())).arrival() }
    }

    fn free_message(&mut self, buffer: &Buffer) -> &mut Message {
        assert!(self.states[buffer.index()].is_none(), "a token and an operation for one buffer");
        // SAFETY: no operation uses the message, and this struct is borrowed for as long as the reference lives.
        unsafe { &mut *self.message(buffer.index()) }
    }

    fn lend(&mut self, index: usize, operation: InKernel) {
        self.states[index] = Some(operation);
        self.in_kernel += 1;
    }

    fn message(&self, index: usize) -> *mut Message {
        assert!(index < self.states.len(), "a message for each buffer");
        // SAFETY: there are as many messages in the allocation as states.
        unsafe { self.messages.as_ptr().add(index) }
    }
}

fn handle(socket: &UdpSocket) -> SOCKET {
    socket.inner().as_raw_socket() as SOCKET
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").field("in_kernel", &self.in_kernel).finish_non_exhaustive()
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        assert_eq!(self.in_kernel, 0, "the engine reaps every operation before the memory goes");
        let messages = ptr::slice_from_raw_parts_mut(self.messages.as_ptr(), self.states.len());
        // SAFETY: leaked from a box of this length in `new`; no operation is in the kernel.
        drop(unsafe { Box::from_raw(messages) });
    }
}
