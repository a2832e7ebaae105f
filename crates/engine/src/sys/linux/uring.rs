//! Completions: io_uring with a multishot receive for each socket and one ring of provided buffers for all.
//!
//! A poll goes through four steps, each a function of [`Uring`]:
//!
//! 1. `arm` lends free receive buffers to the kernel and starts what is not running: the receive of each socket, and the poll of the
//!    doorbell. A multishot receive is submitted once and completes once for each train, until the kernel says that it has ended.
//! 2. `issue` queues a send for each train in the outbox.
//! 3. `Ring::enter` submits all of that and waits, in one system call.
//! 4. `collect` copies the completions out of their queue, so that the kernel has room for more, and then turns them into events.
//!
//! The [`Token`] of an operation comes back with its completion and says which operation that was. Each buffer has one owner at any
//! time:
//!
//! ```text
//! receive   Pool ── arm ──► kernel (Provided) ── collect ──► event ── dropped ──► Pool
//!                                                              └──── replied ──► outbox
//! send      outbox ── issue ──► kernel (issued) ── settle ──► Pool
//! ```
//!
//! Sends are submitted with `MSG_DONTWAIT` and without a completion for success: when the submission returns, the kernel has
//! copied the bytes or has posted the error, and the buffers are free. Receives outlast the submission: the pool, the ring of provided
//! buffers and the template of the receives are freed only when the last completion of each receive has been seen (`Drop`).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::address::NAME_LEN;
use super::control::RECEIVE_LEN;
use super::message::{self, Arrival, SendParts, Sent, deliver, send_now};
use super::provided::Provided;
use super::{BYTES_PER_POLL, Doorbell};
use crate::core::Core;
use crate::event::{Failure, Pending};
use crate::operation::{Operation, Token};
use crate::outgoing::{Outgoing, Piece};
use crate::pool::{Buffer, HEADROOM};
use crate::slots::{Slots, SocketId};
use crate::udp::UdpSocket;

/// The io_uring backend.
#[derive(Debug)]
pub(crate) struct Uring {
    // Dropped in this order, after `Drop::drop` has reaped every operation: the ring, then what the kernel read and wrote.
    ring: Ring,
    provided: Provided,
    sockets: Slots<SocketState>,
    /// A message for each buffer of the pool.
    messages: Box<[SendMessage]>,
    /// The room that a multishot receive has for names and control messages.
    template: Box<libc::msghdr>,
    /// Trains submitted in this poll, each as one piece; the kernel has them until the submission returns.
    issued: Vec<(Outgoing, Piece)>,
    /// Buffers of issued trains that were refused, with the error.
    refused: Vec<(u32, i32)>,
    completions: Vec<Completion>,
    /// The most buffers that the kernel has at a time: see [`BYTES_PER_POLL`].
    lend_max: usize,
    doorbell: RawFd,
    doorbell_armed: bool,
    /// The doorbell rang, and this has not been returned to the engine yet.
    rang: bool,
}

/// A socket and what the kernel does for it.
#[derive(Debug)]
struct SocketState {
    socket: UdpSocket,
    drops: u32,
    /// A multishot receive is in the kernel.
    armed: bool,
    /// Armed before: the next time counts as a re-arm.
    seen: bool,
    /// The send buffer is full; a poll for room is in the kernel.
    blocked: bool,
}

/// A send's header and what it points at, in one place until the submission returns.
#[derive(Debug)]
struct SendMessage {
    header: libc::msghdr,
    parts: SendParts,
}

impl SendMessage {
    /// The send that this message describes. Without control messages a plain send will do: the kernel has no header to copy.
    fn entry(&self, fd: Fd) -> squeue::Entry {
        let header = &self.header;
        if header.msg_controllen > 0 {
            return opcode::SendMsg::new(fd, &raw const self.header).flags(libc::MSG_DONTWAIT as u32).build();
        }
        let bytes = self.parts.bytes();
        opcode::Send::new(fd, bytes.iov_base.cast(), bytes.iov_len as u32)
            .dest_addr(header.msg_name.cast())
            .dest_addr_len(header.msg_namelen)
            .flags(libc::MSG_DONTWAIT)
            .build()
    }
}

/// A completion, copied out of the queue.
#[derive(Clone, Copy, Debug)]
struct Completion {
    token: Token,
    result: i32,
    flags: u32,
}

impl Uring {
    pub(super) fn new(core: &Core, doorbell: &Doorbell) -> io::Result<Self> {
        let ring = Ring::new(core)?;
        let provided = Provided::new(&ring.inner, core.pool.receive_count())
            .map_err(|error| refusal("registering receive buffers", &error))?;
        let mut template = Box::new(message::header());
        template.msg_namelen = NAME_LEN as libc::socklen_t;
        template.msg_controllen = RECEIVE_LEN as _;
        let count = core.pool.count();
        Ok(Self {
            completions: Vec::with_capacity(ring.completions_max),
            ring,
            provided,
            sockets: Slots::new(),
            messages: (0..count)
                .map(|_| SendMessage { header: message::header(), parts: SendParts::EMPTY })
                .collect(),
            template,
            issued: Vec::with_capacity(count),
            refused: Vec::with_capacity(count),
            lend_max: core.pool.receive_count(),
            doorbell: doorbell.fd(),
            doorbell_armed: false,
            rang: false,
        })
    }

    pub(super) fn add(&mut self, core: &mut Core, socket: UdpSocket) -> io::Result<SocketId> {
        let state = SocketState { socket, drops: 0, armed: false, seen: false, blocked: false };
        let id = self.sockets.insert(state).ok_or(io::ErrorKind::QuotaExceeded)?;
        self.arm(core)?;
        self.ring.enter(0, None)?;
        Ok(id)
    }

    pub(super) fn close(&mut self, core: &mut Core, id: SocketId) {
        let flushed = self.issue(core).and_then(|()| self.ring.enter(0, None));
        self.collect(core);
        // A send that found no room has queued a poll for it.
        let flushed = flushed.and_then(|()| self.ring.enter(0, None));
        let busy = self.sockets.get(id).filter(|state| state.armed || state.blocked);
        if let (Some(state), Ok(())) = (busy, flushed) {
            // The receive, and the poll for room: an operation in the kernel would keep the port taken.
            let cancel = CancelBuilder::fd(Fd(state.socket.inner().as_raw_fd())).all();
            // Waits until they are gone. It does not matter if they have just ended by themselves.
            let _ = self.ring.inner.submitter().register_sync_cancel(None, cancel);
            let _ = self.ring.enter(0, None);
            self.collect(core);
        }
        // What completes for this id later finds no socket; its buffers are released.
        self.sockets.remove(id);
    }

    pub(super) fn socket(&self, id: SocketId) -> Option<&UdpSocket> {
        self.sockets.get(id).map(|state| &state.socket)
    }

    pub(super) fn lent(&self) -> usize {
        self.provided.lent()
    }

    pub(super) fn poll(&mut self, core: &mut Core, deadline: Option<Instant>) -> io::Result<bool> {
        let starved = core.pool.transmit_free() == 0;
        self.arm(core)?;
        self.issue(core)?;
        if starved || self.provided.lent() == 0 {
            // Submitting frees memory, unless sockets are full: slots that the user waits for, or buffers that replies are sent from.
            // Without those nothing is received and nothing would end the wait.
            self.ring.enter(0, None)?;
            self.collect(core);
            self.arm(core)?;
        }
        let slots_came_free = starved && core.pool.transmit_free() > 0;
        let ready = self.rang || slots_came_free || !core.events.is_empty();
        let wait = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let want = usize::from(!ready && wait != Some(Duration::ZERO));
        self.ring.enter(want, wait)?;
        self.collect(core);
        Ok(std::mem::take(&mut self.rang))
    }

    /// Gives free buffers to the kernel and starts what should be running.
    fn arm(&mut self, core: &mut Core) -> io::Result<()> {
        while self.provided.lent() < self.lend_max
            && let Some(buffer) = core.pool.take_receive()
        {
            let start = core.pool.address(&buffer).wrapping_sub(PREFIX);
            self.provided.lend(buffer, start, PREFIX + core.pool.buffer_len());
        }
        self.provided.publish();
        if !self.doorbell_armed {
            let poll = opcode::PollAdd::new(Fd(self.doorbell), libc::POLLIN as u32).build();
            self.ring.push(poll, Token { operation: Operation::Wake, subject: 0 })?;
            self.doorbell_armed = true;
        }
        if self.provided.lent() == 0 {
            return Ok(());
        }
        // A receive that finds data takes buffers at once.
        for place in self.sockets.in_turn() {
            let Some((id, state)) = self.sockets.at_mut(place) else { continue };
            if state.armed {
                continue;
            }
            let fd = Fd(state.socket.inner().as_raw_fd());
            let receive = opcode::RecvMsgMulti::new(fd, &raw const *self.template, Provided::GROUP).build();
            self.ring.push(receive, Token { operation: Operation::Receive, subject: id.to_bits() })?;
            core.stats.rearms += u64::from(state.seen);
            (state.armed, state.seen) = (true, true);
        }
        Ok(())
    }

    /// Pushes a send for each queued train whose socket has room.
    fn issue(&mut self, core: &mut Core) -> io::Result<()> {
        for _ in 0..core.outbox.len() {
            let Some(train) = core.outbox.pop_front() else { break };
            let Some(state) = self.sockets.get_mut(train.socket) else {
                core.refused(train, libc::EBADF);
                continue;
            };
            if state.blocked {
                core.outbox.push_back(train);
                continue;
            }
            let piece = train.piece(state.socket.features().segments);
            if !train.is_whole(piece) {
                self.send_in_pieces(core, train)?;
                continue;
            }
            let message = &mut self.messages[train.buffer.index()];
            let bytes = train.address(&core.pool);
            message.parts.write(&mut message.header, &state.socket, &train, piece, bytes);
            let fd = Fd(state.socket.inner().as_raw_fd());
            let entry = message.entry(fd).flags(squeue::Flags::SKIP_SUCCESS);
            let subject = train.buffer.index() as u32;
            self.ring.push(entry, Token { operation: Operation::Send, subject })?;
            self.issued.push((train, piece));
        }
        Ok(())
    }

    fn send_in_pieces(&mut self, core: &mut Core, train: Outgoing) -> io::Result<()> {
        let id = train.socket;
        let Some(state) = self.sockets.get_mut(id) else {
            core.refused(train, libc::EBADF);
            return Ok(());
        };
        match send_now(core, &state.socket, train) {
            Sent::Done => Ok(()),
            Sent::Blocked(rest) => self.block(core, rest),
        }
    }

    /// Puts a train back until its socket has room.
    fn block(&mut self, core: &mut Core, train: Outgoing) -> io::Result<()> {
        let id = train.socket;
        core.outbox.push_back(train);
        let Some(state) = self.sockets.get_mut(id).filter(|state| !state.blocked) else { return Ok(()) };
        state.blocked = true;
        core.stats.blocked += 1;
        let poll = opcode::PollAdd::new(Fd(state.socket.inner().as_raw_fd()), libc::POLLOUT as u32).build();
        self.ring.push(poll, Token { operation: Operation::Writable, subject: id.to_bits() })
    }

    /// Empties the completion queue, then handles what was in it.
    fn collect(&mut self, core: &mut Core) {
        self.ring.drain(&mut self.completions);
        let before = core.stats.received;
        for index in 0..self.completions.len() {
            let completion = self.completions[index];
            let subject = completion.token.subject;
            match completion.token.operation {
                Operation::Receive => self.received(core, completion),
                Operation::Send => self.refused.push((subject, -completion.result)),
                Operation::Writable => {
                    if let Some(state) = self.sockets.get_mut(SocketId::from_bits(subject)) {
                        state.blocked = false;
                    }
                }
                Operation::Wake => {
                    self.doorbell_armed = false;
                    self.rang = true;
                }
                Operation::Cancel => {}
            }
        }
        self.completions.clear();
        let trains = (core.stats.received.trains - before.trains) as usize;
        let bytes = (core.stats.received.bytes - before.bytes) as usize;
        if trains > 0 {
            self.lend_max = (BYTES_PER_POLL * trains / bytes.max(1)).clamp(2, core.pool.receive_count());
        }
        self.settle(core);
    }

    /// Takes the memory of issued trains back: the submission has returned.
    fn settle(&mut self, core: &mut Core) {
        let mut issued = std::mem::take(&mut self.issued);
        for (train, piece) in issued.drain(..) {
            let index = train.buffer.index() as u32;
            let error = self.refused.iter().find(|(refused, _)| *refused == index).map(|&(_, code)| code);
            let settled = match error {
                None => {
                    core.sent(train, piece);
                    Ok(())
                }
                Some(libc::EAGAIN) => self.block(core, train),
                // Sending it in pieces shows whether the route takes no trains, or what else is wrong.
                Some(_) if piece.segmented => self.send_in_pieces(core, train),
                Some(code) => {
                    core.refused(train, code);
                    Ok(())
                }
            };
            settled.expect("the submission queue was emptied before its completions were read");
        }
        self.issued = issued;
        self.refused.clear();
    }

    fn received(&mut self, core: &mut Core, completion: Completion) {
        let id = SocketId::from_bits(completion.token.subject);
        let buffer = cqueue::buffer_select(completion.flags).map(|index| self.provided.take_back(index));
        let mut state = self.sockets.get_mut(id);
        if let Some(state) = &mut state {
            state.armed &= cqueue::more(completion.flags);
        }
        match (state, buffer) {
            (Some(state), Some(buffer)) if completion.result >= 0 => {
                let head = ReceivedHead::read(core, &buffer, completion.result as usize);
                let arrival = head.arrival();
                deliver(core, id, &state.socket, &mut state.drops, buffer, &arrival);
            }
            (state, buffer) => {
                buffer.into_iter().for_each(|buffer| core.pool.release(buffer));
                match -completion.result {
                    // Buffers that are free are lent at the next poll.
                    libc::ENOBUFS => core.stats.starved += u64::from(core.pool.receive_free() == 0),
                    code if code > 0 && code != libc::ECANCELED && state.is_some() => {
                        core.stats.receive_errors += 1;
                        let operation = Operation::Receive;
                        core.notice(Pending::Failed(Failure { socket: id, operation, to: None, code }));
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // Nothing is submitted any more. Every operation is cancelled, and its last completion reaped, before the memory is freed.
        while self.ring.in_kernel > 0 {
            let _ = self.ring.inner.submitter().register_sync_cancel(None, CancelBuilder::any());
            let entered = self.ring.enter(0, None);
            self.ring.drain(&mut self.completions);
            for completion in self.completions.drain(..) {
                if let Some(index) = cqueue::buffer_select(completion.flags) {
                    let _ended = self.provided.take_back(index);
                }
            }
            assert!(
                entered.is_ok(),
                "a ring that was made can be entered: memory would go while the kernel uses it"
            );
        }
    }
}

/// Bytes that a multishot receive writes before the payload: its header, the name, the control messages.
const PREFIX: usize = size_of::<[u32; 4]>() + NAME_LEN + RECEIVE_LEN;
const _: () = assert!(PREFIX <= HEADROOM);

/// The head of a multishot receive (`struct io_uring_recvmsg_out`), copied, so that the buffer can move on.
struct ReceivedHead {
    name: [u8; NAME_LEN],
    name_len: usize,
    control: [u8; RECEIVE_LEN],
    control_len: usize,
    len: usize,
    flags: u32,
}

impl ReceivedHead {
    fn read(core: &Core, buffer: &Buffer, total: usize) -> Self {
        let start = core.pool.address(buffer).wrapping_sub(PREFIX);
        // SAFETY: the prefix lies in the buffer's headroom (asserted above), and the token proves the kernel is done with it.
        let prefix: &[u8; PREFIX] = unsafe { &*start.cast() };
        let word =
            |at: usize| u32::from_ne_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
        let (name, control) = prefix[16..].split_at(NAME_LEN);
        Self {
            name: name.try_into().expect("split at its length"),
            name_len: (word(0) as usize).min(NAME_LEN),
            control: control.try_into().expect("the rest of the prefix"),
            control_len: (word(4) as usize).min(RECEIVE_LEN),
            len: total.saturating_sub(PREFIX).min(core.pool.buffer_len()),
            flags: word(12),
        }
    }

    fn arrival(&self) -> Arrival<'_> {
        Arrival {
            name: &self.name[..self.name_len],
            control: &self.control[..self.control_len],
            len: self.len,
            flags: self.flags as libc::c_int,
        }
    }
}

/// The two queues, and how many operations will still complete.
struct Ring {
    inner: IoUring,
    completions_max: usize,
    in_kernel: usize,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("in_kernel", &self.in_kernel).finish_non_exhaustive()
    }
}

impl Ring {
    fn new(core: &Core) -> io::Result<Self> {
        let entries = (core.pool.count() as u32).next_power_of_two().max(64);
        let build = |no_array: bool| {
            let mut builder = IoUring::builder();
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all();
            // Between two polls every buffer may complete once, and every socket's receive may end.
            builder.setup_cqsize(entries * 4);
            if no_array {
                builder.setup_no_sqarray();
            }
            builder.build(entries)
        };
        // Linux 6.6 and later need no index array.
        let inner = build(true)
            .or_else(
                |error| if error.raw_os_error() == Some(libc::EINVAL) { build(false) } else { Err(error) },
            )
            .map_err(|error| refusal("making a ring", &error))?;
        let completions_max = entries as usize * 4;
        Ok(Self { inner, completions_max, in_kernel: 0 })
    }

    /// Queues an operation. Sends complete only when they fail, and are not counted: they never outlast the submission.
    fn push(&mut self, entry: squeue::Entry, token: Token) -> io::Result<()> {
        let entry = entry.user_data(token.to_bits());
        self.in_kernel += usize::from(token.operation != Operation::Send);
        // SAFETY: what the entry points at lives in `Uring` beside this ring (messages, template), in a train (bytes to send, which
        // move to `issued` with it) or in the pool (bytes to receive, whose token was given up), and stays until the operation's
        // last completion or the submission's end.
        while unsafe { self.inner.submission().push(&entry) }.is_err() {
            self.enter(0, None)?;
        }
        Ok(())
    }

    /// Submits everything queued, then waits for `want` completions, at most `wait` long.
    fn enter(&mut self, want: usize, wait: Option<Duration>) -> io::Result<()> {
        let limit = wait.map(|wait| Timespec::new().sec(wait.as_secs()).nsec(wait.subsec_nanos()));
        let mut args = SubmitArgs::new();
        if let Some(limit) = &limit {
            args = args.timespec(limit);
        }
        let mut want = want;
        loop {
            match self.inner.submitter().submit_with_args(want, &args) {
                Ok(_) => {}
                Err(error) => match error.raw_os_error() {
                    // The time is up; a signal came; the completion queue is full and must be read first.
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY) => {}
                    _ => return Err(error),
                },
            }
            if self.inner.submission().is_empty() {
                return Ok(());
            }
            want = 0;
        }
    }

    /// Copies all completions out of the queue.
    fn drain(&mut self, completions: &mut Vec<Completion>) {
        for entry in self.inner.completion() {
            let Some(token) = Token::from_bits(entry.user_data()) else { continue };
            let (result, flags) = (entry.result(), entry.flags());
            let ended = token.operation != Operation::Send && !cqueue::more(flags);
            self.in_kernel -= usize::from(ended);
            completions.push(Completion { token, result, flags });
        }
    }
}

/// The reason why there is no ring, in words a user can act on.
fn refusal(step: &str, error: &io::Error) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "the system forbids it (a container's seccomp profile, or sysctl kernel.io_uring_disabled)"
        }
        Some(libc::ENOSYS) => "the kernel has no io_uring, or a seccomp profile hides it",
        Some(libc::EINVAL) => "the kernel is older than Linux 6.1",
        Some(libc::ENOMEM) => "the limit on locked memory is too low (ulimit -l)",
        _ => "the kernel refused",
    };
    io::Error::new(error.kind(), format!("{step}: {why} ({error})"))
}
