//! An engine with one socket on loopback, and plain sockets of the standard library to talk to it.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use campanile_engine::{Choice, Config, Engine, Event, Failure, Path, SocketId, Stats, Transmit, udp};

/// Nothing on loopback takes this long, however slow the machine; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test on each backend of this system.
pub(crate) fn on_each_backend(test: impl Fn(Choice)) {
    let asked = std::env::var("CAMPANILE_BACKEND").ok();
    let asked: Option<Choice> = asked.map(|name| name.parse().expect("CAMPANILE_BACKEND names a backend"));
    let mut ran = 0;
    for backend in [Choice::Epoll, Choice::Uring, Choice::Iocp] {
        if asked.is_some_and(|asked| asked != backend) {
            continue;
        }
        let engine = Engine::new(&Config { backend, ..Config::default() }).expect("some backend works");
        match engine.fallback() {
            Some(fallback) if asked.is_some() => panic!("{fallback}"),
            Some(fallback) => println!("skipped: {fallback}"),
            None => {
                println!("on {backend}");
                test(backend);
                ran += 1;
            }
        }
    }
    assert!(ran > 0, "no backend ran");
}

/// Something an engine said, with the bytes copied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Train { socket: SocketId, path: Path, stride: usize, bytes: Vec<u8> },
    Truncated(Path),
    Failed(Failure),
    Woken,
    Stopped,
}

/// An engine and its first socket.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) id: SocketId,
    pub(crate) address: SocketAddr,
}

impl Host {
    pub(crate) fn new(backend: Choice) -> Self {
        Self::with(&Config { backend, ..Config::default() }, &udp::UdpConfig::new(local()))
    }

    pub(crate) fn with(config: &Config, socket: &udp::UdpConfig) -> Self {
        let mut engine = Engine::new(config).expect("the backend was probed");
        let socket = udp::bind(socket).expect("loopback binds");
        let address = socket.local_addr();
        let id = engine.add(socket).expect("a bound socket is accepted");
        Self { engine, id, address }
    }

    /// Polls until something is said and copies all of it; panics after [`PATIENCE`].
    pub(crate) fn listen(&mut self) -> Vec<Said> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.engine.poll(Some(deadline)).expect("polls");
            let said = self.said();
            if !said.is_empty() {
                return said;
            }
        }
        panic!("nothing was said for {PATIENCE:?}: {:?}", self.engine.stats());
    }

    /// What is said already.
    pub(crate) fn said(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some(event) = self.engine.next_event() {
            said.push(match event {
                Event::Train(train) => Said::Train {
                    socket: train.socket(),
                    path: *train.path(),
                    stride: train.stride(),
                    bytes: train.bytes().to_vec(),
                },
                Event::Truncated { path, .. } => Said::Truncated(path),
                Event::Failed(failure) => Said::Failed(failure),
                Event::Woken => Said::Woken,
                Event::Stopped => Said::Stopped,
            });
        }
        said
    }

    /// Collects datagrams, in order, until there are `count`.
    pub(crate) fn datagrams(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < count {
            for said in self.listen() {
                match said {
                    Said::Train { bytes, .. } if bytes.is_empty() => all.push(bytes),
                    Said::Train { stride, bytes, .. } => all.extend(bytes.chunks(stride).map(<[u8]>::to_vec)),
                    other => panic!("{other:?} among datagrams"),
                }
            }
        }
        all
    }

    /// Replies to trains until `count` datagrams have been mirrored and sent.
    pub(crate) fn mirror(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while (self.engine.stats().sent.datagrams as usize) < count {
            assert!(Instant::now() < deadline, "mirrored too little: {:?}", self.engine.stats());
            self.engine.poll(Some(Instant::now() + Duration::from_millis(10))).expect("polls");
            while let Some(event) = self.engine.next_event() {
                match event {
                    Event::Train(train) => train.reply(),
                    other => panic!("{other:?} while mirroring"),
                }
            }
        }
    }

    /// Queues a train from a slot, waiting for one to be free.
    pub(crate) fn send(&mut self, transmit: &Transmit, bytes: &[u8]) {
        let id = self.id;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(mut slot) = self.engine.transmit_slot() {
                slot.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
                slot.send(id, transmit);
                return;
            }
            assert!(Instant::now() < deadline, "no slot became free");
            self.engine.poll(Some(Instant::now())).expect("polls");
        }
    }

    /// Polls without waiting until all that was queued is with the kernel.
    pub(crate) fn flush(&mut self) -> Stats {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.engine.poll(Some(Instant::now())).expect("polls");
            let stats = self.engine.stats();
            if stats.transmit_buffers_in_use == 0 {
                return stats;
            }
            assert!(Instant::now() < deadline, "sends did not complete: {stats:?}");
        }
    }
}

/// Any port of IPv4 loopback.
pub(crate) fn local() -> SocketAddr {
    "127.0.0.1:0".parse().expect("a literal address")
}

/// A socket of the standard library on loopback, with a bounded wait.
pub(crate) fn peer() -> UdpSocket {
    peer_at("127.0.0.1:0")
}

pub(crate) fn peer_at(address: &str) -> UdpSocket {
    let peer = UdpSocket::bind(address).expect("loopback binds");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    peer
}

/// Receives one datagram.
pub(crate) fn hear(peer: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 70_000];
    let len = peer.recv(&mut bytes).expect("a datagram comes");
    bytes.truncate(len);
    bytes
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}
