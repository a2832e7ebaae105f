//! The engine: one thread's sockets, memory and wait.

use std::io;
use std::marker::PhantomData;
use std::time::Instant;

use bytes::Bytes;

use crate::config::{Capabilities, Choice, Config, Fallback};
use crate::core::Core;
use crate::event::{Event, Pending, Train};
use crate::outgoing::{Outgoing, Transmit};
use crate::pool::Buffer;
use crate::slots::SocketId;
use crate::stats::Stats;
use crate::sys::Backend;
use crate::udp::UdpSocket;
use crate::waker::{Asked, Waker};

/// Completion I/O for the thread that made it: the crate's documentation gives the order of calls.
///
/// Sockets are added, never shared. All bounds are set at [`Engine::new`]: on buffers by [`Config`], on events by the number of buffers
/// and a fixed number of failures. One `poll` handles at most one batch of each socket.
#[derive(Debug)]
pub struct Engine {
    // The backend is dropped first: it stops what the kernel still does with the memory in `core`.
    backend: Backend,
    core: Core,
    waker: Waker,
    /// Requests of other threads that have not been reported yet.
    asked: Asked,
    capabilities: Capabilities,
    fallback: Option<Fallback>,
    /// Rings and ports belong to the thread that made them.
    _one_thread: PhantomData<*const ()>,
}

impl Engine {
    /// Makes an engine for the calling thread. A backend that the system forbids is replaced: see [`Engine::fallback`].
    ///
    /// # Errors
    /// A number is out of range, no backend is available, or the system is short of memory or handles.
    pub fn new(config: &Config) -> io::Result<Self> {
        config.check()?;
        let core = Core::new(config)?;
        let (backend, doorbell, fallback) = Backend::new(config, &core)?;
        let capabilities = backend.capabilities()?;
        let (waker, asked) = (Waker::new(doorbell), Asked::default());
        Ok(Self { backend, core, waker, asked, capabilities, fallback, _one_thread: PhantomData })
    }

    /// The backend at work.
    #[must_use]
    pub fn backend(&self) -> Choice {
        self.backend.choice()
    }

    /// Why another backend is in use than the one asked for, if so.
    #[must_use]
    pub fn fallback(&self) -> Option<&Fallback> {
        self.fallback.as_ref()
    }

    /// What the backend can do here.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// A handle for other threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Takes a socket and starts to receive on it.
    ///
    /// # Errors
    /// The system refuses the socket, or there are 4096 already.
    pub fn add(&mut self, socket: UdpSocket) -> io::Result<SocketId> {
        self.backend.add(&mut self.core, socket)
    }

    /// Closes a socket. Queued trains are sent if the kernel takes them at once; trains already received are still delivered by
    /// [`Engine::next_event`]. The id of a closed socket is ignored.
    pub fn close(&mut self, socket: SocketId) {
        self.backend.close(&mut self.core, socket);
    }

    /// The socket behind an id, to read its address or to join groups.
    #[must_use]
    pub fn socket(&self, socket: SocketId) -> Option<&UdpSocket> {
        self.backend.socket(socket)
    }

    /// Submits what was queued, waits until something happens or `deadline` comes (`None`: without limit), and collects events. It does
    /// not wait while events of the last call have not been taken.
    ///
    /// # Errors
    /// The engine cannot go on: the system's event queue itself has failed.
    pub fn poll(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.core.stats.polls += 1;
        // A request that has not been reported is an event like any other: no wait.
        let deadline = if self.asked.is_empty() { deadline } else { Some(Instant::now()) };
        let before = self.core.stats.completions;
        let rang = self.backend.poll(&mut self.core, deadline, self.waker.doorbell())?;
        let brought = self.core.stats.completions - before;
        self.core.stats.completions_max = self.core.stats.completions_max.max(brought);
        if rang {
            self.asked |= self.waker.take();
        }
        Ok(())
    }

    /// The next event that the last [`Engine::poll`] collected.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        match self.core.events.pop_front() {
            Some(Pending::Train(facts, buffer)) => {
                Some(Event::Train(Train::new(&mut self.core, facts, buffer)))
            }
            Some(Pending::Truncated { socket, path }) => Some(Event::Truncated { socket, path }),
            Some(Pending::Failed(failure)) => Some(Event::Failed(failure)),
            None if self.asked.take_wake() => Some(Event::Woken),
            None => self.asked.take_stop().then_some(Event::Stopped),
        }
    }

    /// Memory to send from; `None` while sends use all of it.
    pub fn transmit_slot(&mut self) -> Option<TransmitSlot<'_>> {
        let buffer = self.core.pool.take_transmit()?;
        Some(TransmitSlot { core: &mut self.core, buffer: Some(buffer) })
    }

    /// How many transmit slots are free.
    #[must_use]
    pub fn transmit_slots_free(&self) -> usize {
        self.core.pool.transmit_free()
    }

    /// Counters since the engine was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.snapshot(self.backend.lent())
    }
}

/// A free transmit buffer, borrowed. Dropping it unsent returns it.
#[derive(Debug)]
pub struct TransmitSlot<'e> {
    core: &'e mut Core,
    /// Held until [`TransmitSlot::send`] or the drop.
    buffer: Option<Buffer>,
}

impl TransmitSlot<'_> {
    /// The whole buffer, [`Config::buffer_len`] bytes; what it holds is left over from earlier use.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.core.pool.buffer_len();
        let buffer = self.buffer.as_ref().expect("a slot gives its buffer up only in send and drop");
        self.core.pool.bytes_mut(buffer, len)
    }

    /// Queues the first `transmit.len` bytes for the next [`Engine::poll`].
    ///
    /// # Panics
    /// If the train is longer than the buffer, or has bytes and a stride of 0.
    pub fn send(self, socket: SocketId, transmit: &Transmit) {
        assert!(transmit.len <= self.core.pool.buffer_len(), "a train lies inside its buffer");
        self.queue(socket, transmit, None);
    }

    /// Queues the first `transmit.len` of these bytes for the next [`Engine::poll`], instead of the slot's own. They are held until the
    /// kernel has taken them or the engine is dropped; until then the slot is in use.
    ///
    /// # Panics
    /// If the train is longer than the bytes, or has bytes and a stride of 0.
    pub fn send_shared(self, socket: SocketId, transmit: &Transmit, bytes: Bytes) {
        assert!(transmit.len <= bytes.len(), "a train lies inside its bytes");
        self.queue(socket, transmit, Some(bytes));
    }

    fn queue(mut self, socket: SocketId, transmit: &Transmit, shared: Option<Bytes>) {
        assert!(transmit.stride > 0 || transmit.len == 0, "a train with bytes has a stride");
        let Some(buffer) = self.buffer.take() else { return };
        self.core.outbox.push_back(Outgoing { socket, buffer, shared, transmit: *transmit, sent: 0 });
    }
}

impl Drop for TransmitSlot<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.core.pool.release(buffer);
        }
    }
}
