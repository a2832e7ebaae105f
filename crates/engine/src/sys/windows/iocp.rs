//! Completions: receives posted many deep, sends that end at once when the kernel takes them, one port for all packets.
//!
//! A poll sends what the outbox holds (`flush`), posts receives with the buffers that are free (`arm`), waits at the port, and takes
//! the operations back whose packets came (`complete`). An operation that ends at once leaves no packet: what it brought is handled where
//! it was started. While the kernel has an operation its buffer and its message are in [`Operations`], and nothing else touches them.
//!
//! Packets come in any order, and the kernel fills receives in the order in which they were posted: each socket keeps that order in
//! `posted`, and hands on what has ended up to the first that has not. A socket for which no receive buffer is left asks by a
//! [`Probe`] whether something has come.

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
    // In the order of the drop, after `Drop::drop` has reaped every operation.
    operations: Operations,
    sockets: Slots<Source>,
    port: Port,
    system: System,
    /// Sockets in `sockets`.
    open: usize,
    /// Receive buffers in some socket's `posted`.
    lent: usize,
    /// Counts the polls, to be fair among sockets.
    turn: usize,
    /// There is more to receive without waiting.
    hurried: bool,
    /// The doorbell rang and the engine has not been told.
    rang: bool,
}

/// A socket and what the kernel does for it.
#[derive(Debug)]
struct Source {
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
            turn: 0,
            hurried: false,
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
    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities {
            receive_trains: false,
            segments: self.system.segments,
            timestamps: false,
            drop_counter: false,
            send_options: self.system.send_options,
            router_alert: false,
            fine_deadlines: self.port.is_fine(),
        }
    }

    pub(crate) fn add(&mut self, core: &mut Core, socket: UdpSocket) -> io::Result<SocketId> {
        let source = Source {
            socket,
            posted: VecDeque::with_capacity(POSTED_MAX),
            probe: Probe::new(),
            readable: false,
            sending: 0,
            blocked: false,
            ended: false,
        };
        let id = self.sockets.insert(source).ok_or(io::ErrorKind::QuotaExceeded)?;
        let source = self.sockets.get(id).expect("inserted above");
        self.port.adopt(id, &source.socket).inspect_err(|_| drop(self.sockets.remove(id)))?;
        self.open += 1;
        self.trim(core);
        Ok(id)
    }

    pub(crate) fn close(&mut self, core: &mut Core, id: SocketId) {
        self.flush(core);
        let Some(source) = self.sockets.get(id) else { return };
        source.cancel();
        self.port.collect().expect(PORT_LASTS);
        self.complete(core);
        while self.sockets.get(id).is_some_and(Source::is_busy) {
            self.port.wait(None).expect(PORT_LASTS);
            self.complete(core);
        }
        self.sockets.remove(id);
        self.open -= 1;
    }

    pub(crate) fn socket(&self, id: SocketId) -> Option<&UdpSocket> {
        self.sockets.get(id).map(|source| &source.socket)
    }

    /// Receive buffers that wait for data.
    pub(crate) fn lent(&self) -> usize {
        self.lent
    }

    /// Sends, waits, collects; tells whether the doorbell rang. Its packet is silent once it is taken.
    pub(crate) fn poll(
        &mut self,
        core: &mut Core,
        deadline: Option<Instant>,
        _doorbell: &Doorbell,
    ) -> io::Result<bool> {
        self.hurried = false;
        self.flush(core);
        self.arm(core);
        if self.hurried || self.rang || !core.events.is_empty() {
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

    /// Takes back what the sockets have posted beyond their share.
    fn trim(&mut self, core: &Core) {
        let share = self.share(core);
        for (_, source) in self.sockets.iter_mut() {
            for posted in source.posted.iter().skip(share) {
                if let Posted::Waiting(index) = posted {
                    self.operations.cancel(&source.socket, *index);
                }
            }
        }
    }

    /// Posts receives with the buffers that are free.
    fn arm(&mut self, core: &mut Core) {
        let (share, places) = (self.share(core), self.sockets.places());
        // Another socket has the first choice of the buffers each time.
        self.turn = self.turn.wrapping_add(1);
        for place in (0..places).map(|place| place.wrapping_add(self.turn) % places) {
            let Some((id, source)) = self.sockets.at_mut(place) else { continue };
            // What is posted brings what the probe saw.
            source.readable &= source.posted.is_empty();
            let mut brought = 0;
            if source.readable {
                brought = receive_now(core, &mut self.operations, id, source);
            }
            if !source.readable {
                brought += post(core, &mut self.operations, id, source, share, &mut self.lent);
            }
            if source.posted.is_empty() && !source.readable {
                source.readable = source.probe.ask(&source.socket);
            }
            // Without a buffer the packet of a send, or the user, brings the next turn.
            core.stats.starved += u64::from(source.readable && core.pool.receive_free() == 0);
            self.hurried |= brought >= AT_ONCE_MAX || (source.readable && core.pool.receive_free() > 0);
        }
    }

    /// Starts a send for each queued train whose socket is free for it.
    fn flush(&mut self, core: &mut Core) {
        for _ in 0..core.outbox.len() {
            let Some(train) = core.outbox.pop_front() else { return };
            match self.sockets.get_mut(train.socket) {
                None => core.refused(train, WSAENOTSOCK),
                // Once round the queue keeps the order within each socket.
                Some(source) if source.blocked => core.outbox.push_back(train),
                Some(source) => {
                    let segments = source.socket.features().segments;
                    send(core, &mut self.operations, source, train, segments);
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
            let Some(source) = self.sockets.get_mut(id) else { continue };
            match self.operations.complete(overlapped) {
                Some(Completed::Receive(buffer, ended)) => {
                    if ended.code == WSA_OPERATION_ABORTED {
                        // It leaves the line wherever it stands: the ones before it go on.
                        source.leaves(&buffer);
                        core.pool.release(buffer);
                        self.lent -= 1;
                    } else {
                        source.completed(buffer, ended);
                    }
                    self.lent -= deliver_in_order(core, &self.operations, id, source);
                }
                Some(Completed::Send(train, piece, ended)) => {
                    sent(core, &mut self.operations, source, train, piece, ended);
                }
                None => source.readable |= source.probe.answered(overlapped),
            }
        }
    }
}

impl Drop for Iocp {
    fn drop(&mut self) {
        // Nothing is started any more. Every operation is cancelled, and its packet taken, before the memory goes.
        for (_, source) in self.sockets.iter_mut() {
            source.cancel();
        }
        while self.sockets.iter_mut().any(|(_, source)| source.is_busy()) {
            self.port.wait(None).expect(PORT_LASTS);
            for index in 0..self.port.count() {
                let Packet::Operation(id, overlapped) = self.port.packet(index) else { continue };
                let Some(source) = self.sockets.get_mut(id) else { continue };
                match self.operations.complete(overlapped) {
                    Some(Completed::Receive(buffer, ended)) => source.completed(buffer, ended),
                    Some(Completed::Send(..)) => source.sending -= 1,
                    None => drop(source.probe.answered(overlapped)),
                }
            }
        }
    }
}

const PORT_LASTS: &str = "a port that was made gives its packets: memory would go while the kernel uses it";

impl Source {
    /// Asks the kernel to end everything it does for this socket.
    fn cancel(&self) {
        // SAFETY: the handle is open, and no operation is singled out. That there is none is as good.
        unsafe { CancelIoEx(self.socket.inner().as_raw_socket() as HANDLE, std::ptr::null()) };
    }

    /// The kernel has operations for this socket.
    fn is_busy(&self) -> bool {
        let receiving = self.posted.iter().any(|posted| matches!(posted, Posted::Waiting(_)));
        receiving || self.sending > 0 || self.probe.is_asked()
    }

    /// Takes note of a receive that has come back.
    fn completed(&mut self, buffer: Buffer, ended: Ended) {
        let place = self.place(&buffer);
        self.posted[place] = Posted::Completed(buffer, ended);
    }

    /// Takes a receive out of the line.
    fn leaves(&mut self, buffer: &Buffer) {
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
    source: &mut Source,
    share: usize,
    lent: &mut usize,
) -> usize {
    let mut at_once = 0;
    while source.posted.len() < share && at_once < AT_ONCE_MAX {
        let Some(buffer) = core.pool.take_receive() else { break };
        core.stats.rearms += u64::from(std::mem::take(&mut source.ended));
        let index = buffer.index();
        let posted = match operations.receive(&core.pool, &source.socket, buffer) {
            Answer::Pending => Posted::Waiting(index),
            Answer::Ended(buffer, ended) => {
                at_once += 1;
                Posted::Completed(buffer, ended)
            }
        };
        source.posted.push_back(posted);
        *lent += 1;
        *lent -= deliver_in_order(core, operations, id, source);
    }
    at_once
}

/// Receives what waits at a socket that has nothing posted, as far as there are buffers; returns how much that was.
fn receive_now(core: &mut Core, operations: &mut Operations, id: SocketId, source: &mut Source) -> usize {
    let mut brought = 0;
    while brought < AT_ONCE_MAX {
        let Some(buffer) = core.pool.take_receive() else { break };
        let ended = operations.receive_now(&core.pool, &source.socket, &buffer);
        if ended.code == WSAEWOULDBLOCK {
            core.pool.release(buffer);
            source.readable = false;
            break;
        }
        brought += 1;
        received(core, operations, id, source, buffer, ended);
    }
    brought
}

/// Hands on what has ended, up to the first receive that has not; returns how many that were.
fn deliver_in_order(core: &mut Core, operations: &Operations, id: SocketId, source: &mut Source) -> usize {
    let before = source.posted.len();
    while let Some(Posted::Completed(..)) = source.posted.front() {
        let Some(Posted::Completed(buffer, ended)) = source.posted.pop_front() else { break };
        received(core, operations, id, source, buffer, ended);
    }
    before - source.posted.len()
}

/// Turns a receive that has ended into an event.
fn received(
    core: &mut Core,
    operations: &Operations,
    id: SocketId,
    source: &mut Source,
    buffer: Buffer,
    ended: Ended,
) {
    let len = match ended.code {
        0 => Some(ended.len),
        WSAEMSGSIZE => None,
        code => {
            core.pool.release(buffer);
            source.ended = true;
            core.stats.receive_errors += 1;
            let operation = Operation::Receive;
            core.notice(Pending::Failed(Failure { socket: id, operation, to: None, code }));
            return;
        }
    };
    let arrival = operations.arrival(&buffer);
    deliver(core, id, &source.socket, buffer, &arrival, len);
}

/// Sends a train, piece by piece, as far as the kernel takes it at once.
fn send(
    core: &mut Core,
    operations: &mut Operations,
    source: &mut Source,
    mut train: Outgoing,
    mut segments: usize,
) {
    loop {
        let piece = train.piece(segments);
        let is_last = is_last(&train, piece);
        let ended = match operations.send(&core.pool, &source.socket, train, piece) {
            Answer::Pending => {
                core.stats.blocked += 1;
                source.sending += 1;
                source.blocked = !is_last;
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

/// Takes note of a send that has come back.
fn sent(
    core: &mut Core,
    operations: &mut Operations,
    source: &mut Source,
    train: Outgoing,
    piece: Piece,
    ended: Ended,
) {
    source.sending -= 1;
    // Only one train at a time holds the others up.
    source.blocked &= is_last(&train, piece);
    match ended.code {
        0 => core.sent(train, piece).into_iter().for_each(|rest| core.outbox.push_front(rest)),
        code if piece.segmented && refuses_trains(code) => send(core, operations, source, train, 1),
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
