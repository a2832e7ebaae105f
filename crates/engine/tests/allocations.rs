//! Warm, a train costs no allocation: received, mirrored, sent, dropped.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use campanile_engine::{Choice, Config, Engine, Event, Transmit, udp};

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

/// Sends datagrams of every kind to the engine, a train of its own to itself, and mirrors what comes.
fn round(engine: &mut Engine, id: campanile_engine::SocketId, peer: &UdpSocket, bytes: &[u8]) {
    let address = engine.socket(id).expect("open").local_addr();
    for len in [bytes.len(), 0, 64] {
        peer.send_to(&bytes[..len], address).expect("loopback takes it");
    }
    let mut slot = engine.transmit_slot().expect("one train at a time");
    slot.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    slot.send(id, &Transmit::train(Some(peer.local_addr().expect("bound")), 100, bytes.len()));
    for _ in 0..4 {
        engine.poll(Some(Instant::now() + Duration::from_millis(2))).expect("polls");
        while let Some(event) = engine.next_event() {
            match event {
                Event::Train(train) if train.bytes().len() == 64 => {}
                Event::Train(train) => train.reply(),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_warm_engine_allocates_nothing() {
    for backend in [Choice::Epoll, Choice::Uring, Choice::Iocp] {
        let mut engine = Engine::new(&Config { backend, ..Config::default() }).expect("some backend works");
        if let Some(fallback) = engine.fallback() {
            println!("skipped: {fallback}");
            continue;
        }
        let config = udp::UdpConfig::new("127.0.0.1:0".parse().expect("a literal address"));
        let id = engine.add(udp::bind(&config).expect("loopback binds")).expect("a bound socket is accepted");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
        let bytes = vec![9; 1000];
        (0..100).for_each(|_| round(&mut engine, id, &peer, &bytes));
        let (before, trains) = (allocations(), engine.stats().received.trains);
        (0..500).for_each(|_| round(&mut engine, id, &peer, &bytes));
        let stats = engine.stats();
        assert!(stats.received.trains >= trains + 1500, "{backend} received {stats:?}");
        assert_eq!(allocations() - before, 0, "allocations on {backend} over 500 warm rounds");
    }
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(allocations() - before, 1);
}
