//! Completions: many receives posted ahead, sends that end at once when the kernel takes them, one port for all completion packets.
//!
//! A poll sends what the outbox holds (`flush`), posts receives with the buffers that are free (`arm`), waits at the port, and takes
//! back the operations whose packets came (`complete`). An operation that ends at once sends no packet: its result is handled where it
//! was started. While the kernel has an operation its buffer and its message are in [`Operations`], and nothing else touches them.
//!
//! Packets come in any order, but the kernel fills receives in the order in which they were posted: each socket keeps that order in
//! `posted`, and delivers receives that have ended up to the first that has not. A socket for which no receive buffer is left asks with
//! a [`Probe`] whether something has come.

#[cfg(test)]
mod trials;

use std::collections::VecDeque;
use std::io;
use std::os::windows::io::AsRawSocket;
use std::time::Instant;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    WSA_OPERATION_ABORTED, WSAEINVAL, WSAEMSGSIZE, WSAENOTSOCK, WSAEOPNOTSUPP, WSAEWOULDBLOCK,
};
use windows_sys::Win32::System::IO::CancelIoEx;

use super::Doorbell;
use super::message::deliver;
use super::operations::{Answer, Completed, Ended, Operations};
use super::options::{self, System};
use super::port::{Packet, Port};
use super::probe::Probe;
use crate::config::{Capabilities, Choice, Config, Fallback};
use crate::core::Core;
use crate::event::{Failure, Pending};
use crate::operation::Operation;
use crate::outgoing::{Outgoing, Piece};
use crate::pool::Buffer;
use crate::slots::{Slots, SocketId};
use crate::udp::UdpSocket;

/// The most receives posted at one socket.
const POSTED_MAX: usize = 32;
/// The most receives of one socket that may end at once in one poll: then the other sockets have their turn.
const AT_ONCE_MAX: usize = 32;

/// The completion port backend.
#[derive(Debug)]
pub(crate) struct Iocp {
    // Dropped in this order, after `Drop::drop` has reaped every operation.
    operations: Operations,
    sockets: Slots<SocketState>,
    port: Port,
    system: System,
    /// Sockets in `sockets`.
    open: usize,
    /// Receive buffers in some socket's `posted`.
    lent: usize,
    /// There is more to receive without waiting.
    has_more: bool,
    /// The doorbell rang, and this has not been returned to the engine yet.
    rang: bool,
}

/// A socket and what the kernel does for it.
#[derive(Debug)]
struct SocketState {
    socket: UdpSocket,
    /// Receives in the order in which the kernel fills them. Packets may come in another order, and receives that end at once
    /// come before packets that wait in the port.
    posted: VecDeque<Posted>,
    probe: Probe,
    /// The probe found something to receive.
    readable: bool,
    /// Sends in the kernel.
    sending: usize,
    /// A piece of a train is in the kernel, and other trains wait until the rest of it has left.
    blocked: bool,
    /// A receive ended in an error: the next one counts as a re-arm.
    ended: bool,
}

#[derive(Debug)]
enum Posted {
    /// In the kernel, under the number of its buffer.
    Waiting(usize),
    /// Ended, but not the ones before it.
    Completed(Buffer, Ended),
}

impl Iocp {
    pub(crate) fn new(config: &Config, core: &Core) -> io::Result<(Self, Doorbell, Option<Fallback>)> {
        let system = options::probe()?;
        let port = Port::new()?;
        let doorbell = port.doorbell();
        let iocp = Self {
            operations: Operations::new(&core.pool, system.receive_message),
            sockets: Slots::new(),
            port,
            system,
            open: 0,
            lent: 0,
            has_more: false,
            rang: false,
        };
        let refused = config.backend;
        let fallback = matches!(refused, Choice::Epoll | Choice::Uring)
            .then(|| Fallback { refused, reason: "it is a part of Linux".to_owned() });
        Ok((iocp, doorbell, fallback))
    }

    pub(crate) fn choice(&self) -> Choice {
        Choice::Iocp
    }

    /// Received datagrams are not joined: Windows does it without telling their size on some machines.
    pub(crate) fn capabilities(&self) -> io::Result<Capabilities> {
        Ok(Capabilities {
            receive_trains: false,
            segments: self.system.segments,
            timestamps: false,
            drop_counter: false,
            send_options: self.system.send_options,
            router_alert: false,
            fine_deadlines: self.port.is_fine(),
        })
    }

    pub(crate) fn add(&mut self, core: &mut Core, socket: UdpSocket) -> io::Result<SocketId> {
        let state = SocketState {
            socket,
            posted: VecDeque::with_capacity(POSTED_MAX),
            probe: Probe::new(),
            readable: false,
            sending: 0,
            blocked: false,
            ended: false,
        };
        let id = self.sockets.insert(state).ok_or(io::ErrorKind::QuotaExceeded)?;
        let state = self.sockets.get(id).expect("inserted above");
        self.port.adopt(id, &state.socket).inspect_err(|_| drop(self.sockets.remove(id)))?;
        self.open += 1;
        self.trim(core);
        Ok(id)
    }

    pub(crate) fn close(&mut self, core: &mut Core, id: SocketId) {
        self.flush(core);
        let Some(state) = self.sockets.get(id) else { return };
        state.cancel();
        self.port.collect().expect(PORT_LASTS);
        self.complete(core);
        while self.sockets.get(id).is_some_and(SocketState::is_busy) {
            self.port.wait(None).expect(PORT_LASTS);
            self.complete(core);
        }
        self.sockets.remove(id);
        self.open -= 1;
    }

    pub(crate) fn socket(&self, id: SocketId) -> Option<&UdpSocket> {
        self.sockets.get(id).map(|state| &state.socket)
    }

    /// Receive buffers that wait for data.
    pub(crate) fn lent(&self) -> usize {
        self.lent
    }

    /// Sends, waits, collects; returns whether the doorbell rang. Its packet is silent once it is taken.
    pub(crate) fn poll(
        &mut self,
        core: &mut Core,
        deadline: Option<Instant>,
        _doorbell: &Doorbell,
    ) -> io::Result<bool> {
        self.has_more = false;
        self.flush(core);
        self.arm(core);
        if self.has_more || self.rang || !core.events.is_empty() {
            self.port.collect()?;
        } else {
            self.port.wait(deadline)?;
        }
        self.complete(core);
        Ok(std::mem::take(&mut self.rang))
    }

    /// How many receives each socket has posted: half of the buffers is kept for trains with the user and on their way back.
    fn share(&self, core: &Core) -> usize {
        (core.pool.receive_count() / 2 / self.open.max(1)).min(POSTED_MAX)
    }

    /// Cancels the receives that the sockets have posted beyond their share.
    fn trim(&mut self, core: &Core) {
        let share = self.share(core);
        for (_, state) in self.sockets.iter_mut() {
            for posted in state.posted.iter().skip(share) {
                if let Posted::Waiting(index) = posted {
                    self.operations.cancel(&state.socket, *index);
                }
            }
        }
    }

    /// Posts receives with the buffers that are free.
    fn arm(&mut self, core: &mut Core) {
        let share = self.share(core);
        for place in self.sockets.in_turn() {
            let Some((id, state)) = self.sockets.at_mut(place) else { continue };
            // A posted receive brings what the probe saw.
            state.readable &= state.posted.is_empty();
            let mut brought = 0;
            if state.readable {
                brought = receive_now(core, &mut self.operations, id, state);
            }
            if !state.readable {
                brought += post(core, &mut self.operations, id, state, share, &mut self.lent);
            }
            if state.posted.is_empty() && !state.readable {
                state.readable = state.probe.ask(&state.socket);
            }
            // If no buffer is free, there is no hurry: the end of a send, or the user, has to free one first.
            core.stats.starved += u64::from(state.readable && core.pool.receive_free() == 0);
            self.has_more |= brought >= AT_ONCE_MAX || (state.readable && core.pool.receive_free() > 0);
        }
    }

    /// Starts a send for each queued train whose socket is free for it.
    fn flush(&mut self, core: &mut Core) {
        for _ in 0..core.outbox.len() {
            let Some(train) = core.outbox.pop_front() else { return };
            match self.sockets.get_mut(train.socket) {
                None => core.refused(train, WSAENOTSOCK),
                // Rotating the whole queue once keeps the order within each socket.
                Some(state) if state.blocked => core.outbox.push_back(train),
                Some(state) => {
                    let segments = state.socket.features().segments;
                    send(core, &mut self.operations, state, train, segments);
                }
            }
        }
    }

    /// Handles the packets that the last wait brought.
    fn complete(&mut self, core: &mut Core) {
        for index in 0..self.port.count() {
            let (id, overlapped) = match self.port.packet(index) {
                Packet::Doorbell => {
                    self.rang = true;
                    continue;
                }
                Packet::Operation(id, overlapped) => (id, overlapped),
            };
            let Some(state) = self.sockets.get_mut(id) else { continue };
            match self.operations.complete(overlapped) {
                Some(Completed::Receive(buffer, ended)) => {
                    if ended.code == WSA_OPERATION_ABORTED {
                        // It is removed wherever it is in the queue: the ones before it go on.
                        state.remove(&buffer);
                        core.pool.release(buffer);
                        self.lent -= 1;
                    } else {
                        state.completed(buffer, ended);
                    }
                    self.lent -= deliver_in_order(core, &self.operations, id, state);
                }
                Some(Completed::Send(train, piece, ended)) => {
                    sent(core, &mut self.operations, state, train, piece, ended);
                }
                None => state.readable |= state.probe.answered(overlapped),
            }
        }
    }
}

impl Drop for Iocp {
    fn drop(&mut self) {
        // Nothing is started any more. Every operation is cancelled, and its packet taken, before the memory is freed.
        for (_, state) in self.sockets.iter_mut() {
            state.cancel();
        }
        while self.sockets.iter_mut().any(|(_, state)| state.is_busy()) {
            self.port.wait(None).expect(PORT_LASTS);
            for index in 0..self.port.count() {
                let Packet::Operation(id, overlapped) = self.port.packet(index) else { continue };
                let Some(state) = self.sockets.get_mut(id) else { continue };
                match self.operations.complete(overlapped) {
                    Some(Completed::Receive(buffer, ended)) => state.completed(buffer, ended),
                    Some(Completed::Send(..)) => state.sending -= 1,
                    None => drop(state.probe.answered(overlapped)),
                }
            }
        }
    }
}

const PORT_LASTS: &str = "a port that was made gives its packets: memory would go while the kernel uses it";

impl SocketState {
    /// Asks the kernel to end everything it does for this socket.
    fn cancel(&self) {
        // SAFETY: the handle is open, and no operation is singled out. It does not matter if there is none.
        unsafe { CancelIoEx(self.socket.inner().as_raw_socket() as HANDLE, std::ptr::null()) };
    }

    /// Whether the kernel has operations for this socket.
    fn is_busy(&self) -> bool {
        let receiving = self.posted.iter().any(|posted| matches!(posted, Posted::Waiting(_)));
        receiving || self.sending > 0 || self.probe.is_asked()
    }

    /// Records that a receive has ended.
    fn completed(&mut self, buffer: Buffer, ended: Ended) {
        let place = self.place(&buffer);
        self.posted[place] = Posted::Completed(buffer, ended);
    }

    /// Removes a receive that was cancelled.
    fn remove(&mut self, buffer: &Buffer) {
        let place = self.place(buffer);
        self.posted.remove(place);
    }

    fn place(&self, buffer: &Buffer) -> usize {
        let is_it = |posted: &Posted| matches!(posted, Posted::Waiting(index) if *index == buffer.index());
        self.posted.iter().position(is_it).expect("what ended was posted")
    }
}

/// Posts receives until the socket has its share, or too many end at once; returns how many did.
fn post(
    core: &mut Core,
    operations: &mut Operations,
    id: SocketId,
    state: &mut SocketState,
    share: usize,
    lent: &mut usize,
) -> usize {
    let mut at_once = 0;
    while state.posted.len() < share && at_once < AT_ONCE_MAX {
        let Some(buffer) = core.pool.take_receive() else { break };
        core.stats.rearms += u64::from(std::mem::take(&mut state.ended));
        let index = buffer.index();
        let posted = match operations.receive(&core.pool, &state.socket, buffer) {
            Answer::Pending => Posted::Waiting(index),
            Answer::Ended(buffer, ended) => {
                at_once += 1;
                Posted::Completed(buffer, ended)
            }
        };
        state.posted.push_back(posted);
        *lent += 1;
        *lent -= deliver_in_order(core, operations, id, state);
    }
    at_once
}

/// Receives what waits at a socket that has nothing posted, as far as there are buffers; returns how many datagrams.
fn receive_now(core: &mut Core, operations: &mut Operations, id: SocketId, state: &mut SocketState) -> usize {
    let mut brought = 0;
    while brought < AT_ONCE_MAX {
        let Some(buffer) = core.pool.take_receive() else { break };
        let ended = operations.receive_now(&core.pool, &state.socket, &buffer);
        if ended.code == WSAEWOULDBLOCK {
            core.pool.release(buffer);
            state.readable = false;
            break;
        }
        brought += 1;
        received(core, operations, id, state, buffer, ended);
    }
    brought
}

/// Delivers the receives that have ended, up to the first that has not; returns how many.
fn deliver_in_order(
    core: &mut Core,
    operations: &Operations,
    id: SocketId,
    state: &mut SocketState,
) -> usize {
    let before = state.posted.len();
    while let Some(Posted::Completed(..)) = state.posted.front() {
        let Some(Posted::Completed(buffer, ended)) = state.posted.pop_front() else { break };
        received(core, operations, id, state, buffer, ended);
    }
    before - state.posted.len()
}

/// Turns a receive that has ended into an event.
fn received(
    core: &mut Core,
    operations: &Operations,
    id: SocketId,
    state: &mut SocketState,
    buffer: Buffer,
    ended: Ended,
) {
    let len = match ended.code {
        0 => Some(ended.len),
        WSAEMSGSIZE => None,
        code => {
            core.pool.release(buffer);
            state.ended = true;
            core.stats.receive_errors += 1;
            let operation = Operation::Receive;
            core.notice(Pending::Failed(Failure { socket: id, operation, to: None, code }));
            return;
        }
    };
    let arrival = operations.arrival(&buffer);
    deliver(core, id, &state.socket, buffer, &arrival, len);
}

/// Sends a train, piece by piece, as far as the kernel takes it at once.
fn send(
    core: &mut Core,
    operations: &mut Operations,
    state: &mut SocketState,
    mut train: Outgoing,
    mut segments: usize,
) {
    loop {
        let piece = train.piece(segments);
        let is_last = is_last(&train, piece);
        let ended = match operations.send(&core.pool, &state.socket, train, piece) {
            Answer::Pending => {
                core.stats.blocked += 1;
                state.sending += 1;
                state.blocked = !is_last;
                return;
            }
            Answer::Ended(same, ended) => {
                train = same;
                ended
            }
        };
        match ended.code {
            0 => match core.sent(train, piece) {
                Some(rest) => train = rest,
                None => return,
            },
            code if piece.segmented && refuses_trains(code) => segments = 1,
            code => return core.refused(train, code),
        }
    }
}

/// Handles the end of a send.
fn sent(
    core: &mut Core,
    operations: &mut Operations,
    state: &mut SocketState,
    train: Outgoing,
    piece: Piece,
    ended: Ended,
) {
    state.sending -= 1;
    // Only one train at a time blocks the others.
    state.blocked &= is_last(&train, piece);
    match ended.code {
        0 => core.sent(train, piece).into_iter().for_each(|rest| core.outbox.push_front(rest)),
        code if piece.segmented && refuses_trains(code) => send(core, operations, state, train, 1),
        code => core.refused(train, code),
    }
}

/// Nothing is left of the train after this piece.
fn is_last(train: &Outgoing, piece: Piece) -> bool {
    piece.start + piece.len == train.transmit.len
}

/// The system says that this route, or a driver on it, takes no trains.
fn refuses_trains(code: i32) -> bool {
    matches!(code, WSAEINVAL | WSAEMSGSIZE | WSAEOPNOTSUPP)
}
