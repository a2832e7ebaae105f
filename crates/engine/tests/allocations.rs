//! Warm, a train costs no allocation: received, mirrored, sent, dropped.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use bytes::Bytes;
use campanile_engine::{Choice, Config, Engine, Event, SocketId, Transmit, udp};

/// The system's allocator, counting what the test's own thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator with the same arguments; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise that the memory came from `alloc` with this layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// An engine with two sockets, and a plain one to talk to it.
struct Party {
    engine: Engine,
    mirror: SocketId,
    other: SocketId,
    peer: UdpSocket,
}

impl Party {
    fn new(mut engine: Engine) -> Self {
        let config = udp::UdpConfig::new("127.0.0.1:0".parse().expect("a literal address"));
        let mut add = || {
            let socket = udp::bind(&config).expect("loopback binds");
            engine.add(socket).expect("a bound socket is accepted")
        };
        let (mirror, other) = (add(), add());
        let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
        Self { engine, mirror, other, peer }
    }

    /// Single datagrams of every kind from the peer, and a train from one socket to the other: all are mirrored, but the reply to the
    /// train and what is 64 bytes long are dropped.
    fn round(&mut self, bytes: &Bytes) {
        let address = self.engine.socket(self.mirror).expect("open").local_addr();
        for len in [bytes.len(), 0, 64] {
            self.peer.send_to(&bytes[..len], address).expect("loopback takes it");
        }
        let slot = self.engine.transmit_slot().expect("one train at a time");
        slot.send_shared(self.other, &Transmit::train(Some(address), 100, bytes.len()), bytes.clone());
        (0..4).for_each(|_| self.turn(Instant::now() + Duration::from_millis(2)));
    }

    fn turn(&mut self, deadline: Instant) {
        self.engine.poll(Some(deadline)).expect("polls");
        while let Some(event) = self.engine.next_event() {
            match event {
                Event::Train(train) if train.socket() == self.other || train.bytes().len() == 64 => {}
                Event::Train(train) => train.reply(),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_warm_engine_allocates_nothing() {
    for backend in [Choice::Epoll, Choice::Uring, Choice::Iocp] {
        let engine = Engine::new(&Config { backend, ..Config::default() }).expect("some backend works");
        if let Some(fallback) = engine.fallback() {
            println!("skipped: {fallback}");
            continue;
        }
        let mut party = Party::new(engine);
        let bytes = Bytes::from_static(&[9; 1000]);
        (0..100).for_each(|_| party.round(&bytes));
        let (before, warm) = (allocations(), party.engine.stats().received);
        (0..500).for_each(|_| party.round(&bytes));
        // Three singles; the train of ten, there and back. The last ones may still be on their way.
        let limit = Instant::now() + Duration::from_secs(120);
        while party.engine.stats().received.datagrams < warm.datagrams + 500 * 23 {
            assert!(Instant::now() < limit, "{backend} received {:?}", party.engine.stats());
            party.turn(limit);
        }
        let stats = party.engine.stats();
        let trains = party.engine.capabilities().receive_trains;
        let several = stats.received.trains < stats.received.datagrams;
        assert_eq!(several, trains, "{backend} received {stats:?}");
        assert_eq!(allocations() - before, 0, "allocations on {backend} over 500 warm rounds");
    }
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations() - before, 1);
}
