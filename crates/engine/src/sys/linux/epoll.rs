//! Readiness: edge-triggered epoll, `recvmmsg` and `sendmmsg`.
//!
//! The kernel holds no memory between two system calls here. A poll sends what the outbox holds, waits on the epoll instance
//! (`poller`), notes at each socket what was reported (`readable`, `blocked`), and receives one batch from each socket that is
//! readable. An edge is reported once: a socket stays readable until a receive brings less than was asked for, and blocked until the
//! poller reports room.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::message::{Arrival, ReceiveParts, SendParts, Sent, deliver, header, send_now};
use super::{BYTES_PER_POLL, Doorbell, check, timespec};
use crate::core::Core;
use crate::event::{Failure, Pending};
use crate::operation::{Operation, Token};
use crate::pool::Buffer;
use crate::slots::{Slots, SocketId};
use crate::udp::UdpSocket;

/// The most messages in one system call.
const BATCH: usize = 64;

/// After this many polls in a row that did not wait, the next is unlikely to wait.
const BUSY_POLLS: u32 = 64;

/// The most sockets that every poll tries to receive from without knowing whether there is something.
const UNWATCHED_MAX: usize = 4;

/// The epoll backend.
#[derive(Debug)]
pub(crate) struct Epoll {
    poller: OwnedFd,
    sockets: Slots<SocketState>,
    inbound: Inbound,
    outbound: Outbound,
    ready: Box<[libc::epoll_event; BATCH]>,
    /// `epoll_pwait2` may be called (Linux 5.11); without it waits are whole milliseconds.
    is_fine: bool,
    /// Polls since the last one that waited.
    busy_polls: u32,
}

/// A socket with what the poller last reported about it.
#[derive(Debug)]
struct SocketState {
    socket: UdpSocket,
    drops: u32,
    /// It is registered with the poller: see [`Epoll::stop_watching`].
    watched: bool,
    /// Data may be waiting: the poller reports it only once.
    readable: bool,
    /// The kernel's send buffer is full: the poller will report room.
    blocked: bool,
    /// The most messages in the next receive: see [`BYTES_PER_POLL`].
    batch: usize,
}

impl Epoll {
    pub(super) fn new(doorbell: &Doorbell) -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the call above made this descriptor, and nothing else knows it.
        let poller = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut epoll = Self {
            poller,
            sockets: Slots::new(),
            inbound: Inbound::new(),
            outbound: Outbound::new(),
            ready: Box::new([libc::epoll_event { events: 0, u64: 0 }; BATCH]),
            is_fine: false,
            busy_polls: 0,
        };
        // An old kernel does not know the call, and a container may forbid it (EPERM). Nothing is watched yet, so no edge is missed.
        epoll.is_fine = epoll.wait_fine(Some(Duration::ZERO)).is_ok();
        // Each ring is an edge, so the doorbell need not be reset.
        epoll.control(libc::EPOLL_CTL_ADD, doorbell.fd(), RECEIVE, WAKE)?;
        Ok(epoll)
    }

    pub(super) fn add(&mut self, socket: UdpSocket) -> io::Result<SocketId> {
        // There may be too many sockets now to try those that are not registered.
        self.resume_watching()?;
        let state =
            SocketState { socket, drops: 0, watched: false, readable: true, blocked: false, batch: BATCH };
        let id = self.sockets.insert(state).ok_or(io::ErrorKind::QuotaExceeded)?;
        self.watch(id, RECEIVE).inspect_err(|_| drop(self.sockets.remove(id)))?;
        Ok(id)
    }

    pub(super) fn close(&mut self, core: &mut Core, id: SocketId) {
        self.flush(core);
        // A registration outlives the close if the socket has other descriptors, so it is removed first.
        if let Some(state) = self.sockets.remove(id) {
            let _ = self.control(libc::EPOLL_CTL_DEL, state.socket.inner().as_raw_fd(), 0, 0);
        }
    }

    pub(super) fn socket(&self, id: SocketId) -> Option<&UdpSocket> {
        self.sockets.get(id).map(|state| &state.socket)
    }

    /// Waits end less than a millisecond after their deadline.
    pub(super) fn is_fine(&self) -> bool {
        self.is_fine
    }

    pub(super) fn lent(&self) -> usize {
        self.inbound.buffers.len()
    }

    pub(super) fn poll(&mut self, core: &mut Core, deadline: Option<Instant>) -> io::Result<bool> {
        let starved = core.pool.transmit_free() == 0;
        if self.busy_polls == BUSY_POLLS {
            self.stop_watching();
        } else {
            self.busy_polls += 1;
        }
        loop {
            self.flush(core);
            let slots_came_free = starved && core.pool.transmit_free() > 0;
            let guess = self.may_receive(core);
            let wait = if guess || slots_came_free || !core.events.is_empty() {
                Some(Duration::ZERO)
            } else {
                deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
            };
            if wait != Some(Duration::ZERO) {
                self.resume_watching()?;
            }
            let rang = self.wait(wait)?;
            self.receive_all(core);
            // Data was only a guess: if there was none, the poll has yet to wait.
            let is_over = || deadline.is_some_and(|deadline| deadline <= Instant::now());
            if rang || !guess || slots_came_free || !core.events.is_empty() || is_over() {
                return Ok(rang);
            }
        }
    }

    /// Removes the sockets from the poller; every poll tries them from now on. While a socket is registered, the kernel notifies the
    /// poller of each datagram that comes or has left.
    fn stop_watching(&mut self) {
        if self.sockets.places() > UNWATCHED_MAX {
            return;
        }
        for place in 0..self.sockets.places() {
            let Some((_, state)) = self.sockets.at_mut(place) else { continue };
            if state.blocked {
                continue;
            }
            state.readable = true;
            let (fd, was_watched) = (state.socket.inner().as_raw_fd(), state.watched);
            state.watched = false;
            if was_watched {
                // Cannot fail: the socket is registered.
                let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
            }
        }
    }

    /// Registers the sockets again; the poller reports what came meanwhile.
    fn resume_watching(&mut self) -> io::Result<()> {
        if self.busy_polls == BUSY_POLLS {
            for place in 0..self.sockets.places() {
                let Some((id, state)) = self.sockets.at_mut(place) else { continue };
                if !state.watched {
                    self.watch(id, RECEIVE)?;
                }
            }
        }
        self.busy_polls = 0;
        Ok(())
    }

    /// Makes the poller report these events of a socket.
    fn watch(&mut self, id: SocketId, events: u32) -> io::Result<()> {
        let Some(state) = self.sockets.get(id) else { return Ok(()) };
        let operation = if state.watched { libc::EPOLL_CTL_MOD } else { libc::EPOLL_CTL_ADD };
        self.control(operation, state.socket.inner().as_raw_fd(), events, token(id))?;
        self.sockets.get_mut(id).expect("found above").watched = true;
        Ok(())
    }

    /// Whether a receive may find data that the poller reported before.
    fn may_receive(&mut self, core: &Core) -> bool {
        let can_receive = core.pool.receive_free() + self.lent() > 0;
        can_receive && self.sockets.iter_mut().any(|(_, state)| state.readable)
    }

    /// Waits for the poller and notes what it reports; returns whether the doorbell rang.
    fn wait(&mut self, wait: Option<Duration>) -> io::Result<bool> {
        let count = match self.epoll_wait(wait) {
            // Also when a process was stopped and goes on: what came meanwhile is received before anything that is due is done.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.epoll_wait(Some(Duration::ZERO))?
            }
            waited => waited?,
        };
        let mut rang = false;
        for at in 0..count {
            let (events, data) = (self.ready[at].events, self.ready[at].u64);
            if data == WAKE {
                rang = true;
                continue;
            }
            let id = SocketId::from_bits(data as u32);
            let Some(state) = self.sockets.get_mut(id) else { continue };
            state.readable |= events & (libc::EPOLLIN | libc::EPOLLERR) as u32 != 0;
            if state.blocked && events & (libc::EPOLLOUT | libc::EPOLLERR) as u32 != 0 {
                state.blocked = false;
                // Changing the registration may lose an edge.
                state.readable = true;
                self.watch(id, RECEIVE)?;
            }
        }
        Ok(rang)
    }

    fn epoll_wait(&mut self, wait: Option<Duration>) -> io::Result<usize> {
        if self.is_fine { self.wait_fine(wait) } else { self.wait_coarse(wait) }
    }

    fn wait_fine(&mut self, wait: Option<Duration>) -> io::Result<usize> {
        let (events, len) = (self.ready.as_mut_ptr(), BATCH as libc::c_int);
        let poller = self.poller.as_raw_fd();
        let limit = wait.map(timespec);
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `events` has room for `len` events; `limit` is null or points at a local; no signal mask is given.
        let count = unsafe {
            libc::syscall(libc::SYS_epoll_pwait2, poller, events, len, limit, std::ptr::null::<u8>(), 0)
        };
        check(count as libc::c_int).map(|count| count as usize)
    }

    fn wait_coarse(&mut self, wait: Option<Duration>) -> io::Result<usize> {
        let (events, len) = (self.ready.as_mut_ptr(), BATCH as libc::c_int);
        let poller = self.poller.as_raw_fd();
        // Rounded up: a wait that ends early would turn into a spin.
        let limit = wait.map_or(-1, |wait| wait.as_nanos().div_ceil(1_000_000).min(1 << 30) as libc::c_int);
        // SAFETY: `events` has room for `len` events.
        check(unsafe { libc::epoll_wait(poller, events, len, limit) }).map(|count| count as usize)
    }

    fn control(&self, operation: libc::c_int, fd: libc::c_int, events: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: the event is a local that the kernel reads during the call.
        check(unsafe { libc::epoll_ctl(self.poller.as_raw_fd(), operation, fd, &raw mut event) }).map(drop)
    }

    fn receive_all(&mut self, core: &mut Core) {
        for place in self.sockets.in_turn() {
            let Some((id, state)) = self.sockets.at_mut(place) else { continue };
            if state.readable {
                self.inbound.receive(core, id, state);
            }
        }
    }

    /// Sends what is queued, except for sockets that are blocked.
    fn flush(&mut self, core: &mut Core) {
        let mut waiting = core.outbox.len();
        while waiting > 0 {
            let Some(id) = core.outbox.front().map(|outgoing| outgoing.socket) else { return };
            let Some(state) = self.sockets.get_mut(id) else {
                waiting -= 1;
                let Some(orphan) = core.outbox.pop_front() else { return };
                core.refused(orphan, libc::EBADF);
                continue;
            };
            if state.blocked {
                // Rotating the whole queue once keeps the order within each socket.
                waiting -= 1;
                core.outbox.rotate_left(1);
                continue;
            }
            let run =
                core.outbox.iter().take(waiting.min(BATCH)).take_while(|next| next.socket == id).count();
            waiting -= self.outbound.send(core, state, run);
            if state.blocked {
                core.stats.blocked += 1;
                if self.watch(id, RECEIVE | libc::EPOLLOUT as u32).is_err() {
                    return;
                }
            }
        }
    }
}

/// The data with which the poller reports the doorbell.
const WAKE: u64 = Token { operation: Operation::Wake, subject: 0 }.to_bits();

/// The data with which the poller reports a socket.
fn token(id: SocketId) -> u64 {
    Token { operation: Operation::Receive, subject: id.to_bits() }.to_bits()
}

/// Report data, rings and errors, once for each change. Room is reported only while a send waits: otherwise the kernel would wake the
/// poller for every datagram that leaves.
const RECEIVE: u32 = (libc::EPOLLIN | libc::EPOLLET) as u32;

/// Headers and buffers for the next `recvmmsg`. The headers in use are the last ones of the array, one for each buffer and in reverse
/// order: the first of them has the buffer on top of the stack, the likeliest to be in the cache.
#[derive(Debug)]
struct Inbound {
    headers: Box<[libc::mmsghdr]>,
    parts: Box<[ReceiveParts]>,
    buffers: Vec<Buffer>,
}

impl Inbound {
    fn new() -> Self {
        Self {
            headers: (0..BATCH).map(|_| libc::mmsghdr { msg_hdr: header(), msg_len: 0 }).collect(),
            parts: (0..BATCH).map(|_| ReceiveParts::EMPTY).collect(),
            buffers: Vec::with_capacity(BATCH),
        }
    }

    /// Receives one batch; the socket stays readable if there may be more.
    fn receive(&mut self, core: &mut Core, id: SocketId, state: &mut SocketState) {
        self.fill(core);
        if self.buffers.is_empty() {
            core.stats.starved += 1;
            return;
        }
        let first = BATCH - self.buffers.len();
        let addressed = &mut self.headers[first..BATCH.min(first + state.batch)];
        let (fd, len) = (state.socket.inner().as_raw_fd(), addressed.len() as libc::c_uint);
        let headers = addressed.as_mut_ptr();
        // SAFETY: the headers point at parts and buffers of this struct, whose tokens it holds.
        let result =
            check(unsafe { libc::recvmmsg(fd, headers, len, libc::MSG_DONTWAIT as _, std::ptr::null_mut()) });
        match result {
            Ok(count) => {
                let count = count as usize;
                state.readable = count == len as usize;
                let before = core.stats.received.bytes;
                self.deliver(core, id, state, first..first + count);
                let brought = (core.stats.received.bytes - before) as usize;
                state.batch = (BYTES_PER_POLL * count / brought.max(1)).clamp(1, BATCH);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => state.readable = false,
                io::ErrorKind::Interrupted => {}
                _ => {
                    core.stats.receive_errors += 1;
                    let code = error.raw_os_error().unwrap_or(0);
                    let operation = Operation::Receive;
                    core.notice(Pending::Failed(Failure { socket: id, operation, to: None, code }));
                }
            },
        }
    }

    /// Points a header at each free buffer, up to a batch.
    fn fill(&mut self, core: &mut Core) {
        while self.buffers.len() < BATCH {
            let Some(buffer) = core.pool.take_receive() else { return };
            let index = BATCH - 1 - self.buffers.len();
            let bytes = core.pool.address(&buffer);
            self.parts[index].address(&mut self.headers[index].msg_hdr, bytes, core.pool.buffer_len());
            self.buffers.push(buffer);
        }
    }

    #[allow(clippy::unnecessary_cast, reason = "the length of control data is a socklen_t with musl")]
    fn deliver(&mut self, core: &mut Core, id: SocketId, state: &mut SocketState, received: Range<usize>) {
        for index in received {
            let message = &self.headers[index];
            let parts = &self.parts[index];
            let name_len = (message.msg_hdr.msg_namelen as usize).min(parts.name.0.len());
            let control_len = (message.msg_hdr.msg_controllen as usize).min(parts.control.len());
            let arrival = Arrival {
                name: &parts.name.0[..name_len],
                control: &parts.control[..control_len],
                len: message.msg_len as usize,
                flags: message.msg_hdr.msg_flags,
            };
            let buffer = self.buffers.pop().expect("a buffer for each addressed header");
            deliver(core, id, &state.socket, &mut state.drops, buffer, &arrival);
        }
    }
}

/// Headers for the next `sendmmsg`.
#[derive(Debug)]
struct Outbound {
    headers: Box<[libc::mmsghdr]>,
    parts: Box<[SendParts]>,
}

impl Outbound {
    fn new() -> Self {
        Self {
            headers: (0..BATCH).map(|_| libc::mmsghdr { msg_hdr: header(), msg_len: 0 }).collect(),
            parts: (0..BATCH).map(|_| SendParts::EMPTY).collect(),
        }
    }

    /// Sends the first `run` trains of the outbox, all of one socket, as far as the kernel takes them. Returns how many of them have
    /// left the front: sent, refused, or moved to the back.
    fn send(&mut self, core: &mut Core, state: &mut SocketState, run: usize) -> usize {
        let whole = self.address(core, state, run);
        if whole == 0 {
            return send_front(core, state);
        }
        let fd = state.socket.inner().as_raw_fd();
        let headers = self.headers.as_mut_ptr();
        // SAFETY: the first `whole` headers point at parts of this struct and at bytes of trains that the outbox holds.
        let result =
            check(unsafe { libc::sendmmsg(fd, headers, whole as libc::c_uint, libc::MSG_DONTWAIT as _) });
        let Ok(count) = result else {
            // The error is the first train's, and is handled when that train is sent alone.
            return send_front(core, state);
        };
        for _ in 0..count {
            let train = core.outbox.pop_front().expect("the kernel took no more trains than it was given");
            let piece = train.piece(state.socket.features().segments);
            core.sent(train, piece);
        }
        count as usize
    }

    /// Points headers at the trains at the front that leave in one piece, and returns how many.
    fn address(&mut self, core: &Core, state: &SocketState, run: usize) -> usize {
        let slots = self.headers.iter_mut().zip(&mut self.parts);
        let mut count = 0;
        for (train, (message, parts)) in core.outbox.iter().take(run).zip(slots) {
            let piece = train.piece(state.socket.features().segments);
            if !train.is_whole(piece) {
                break;
            }
            let bytes = train.address(&core.pool);
            parts.write(&mut message.msg_hdr, &state.socket, train, piece, bytes);
            count += 1;
        }
        count
    }
}

/// Sends the train at the front by itself. What the socket has no room for goes to the back and waits.
fn send_front(core: &mut Core, state: &mut SocketState) -> usize {
    let Some(train) = core.outbox.pop_front() else { return 0 };
    match send_now(core, &state.socket, train) {
        Sent::Done => {}
        Sent::Blocked(rest) => {
            state.blocked = true;
            core.outbox.push_back(rest);
        }
    }
    1
}
