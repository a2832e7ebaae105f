//! Tests of what only completion ports can get wrong: receives that own buffers while nothing comes.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Doorbell, Ended, Iocp, Posted, deliver_in_order};
use crate::config::Config;
use crate::core::Core;
use crate::event::{Facts, Pending};
use crate::outgoing::{Outgoing, Transmit};
use crate::slots::SocketId;
use crate::udp::{self, UdpConfig};

/// Nothing on loopback takes this long, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A backend with its memory. The backend is dropped first.
struct Rig {
    iocp: Iocp,
    core: Core,
    doorbell: Doorbell,
}

impl Rig {
    fn new(receive_buffers: usize, buffer_len: usize) -> Self {
        let config = Config { receive_buffers, transmit_buffers: 4, buffer_len, ..Config::default() };
        let core = Core::new(&config).expect("a little memory");
        let (iocp, doorbell, fallback) = Iocp::new(&config, &core).expect("every Windows has ports");
        assert!(fallback.is_none());
        Self { iocp, core, doorbell }
    }

    /// Adds a socket, and makes a peer that is connected to it.
    fn add(&mut self) -> (SocketId, UdpSocket) {
        let loopback = "127.0.0.1:0".parse().expect("a literal address");
        let socket = udp::bind(&UdpConfig::new(loopback)).expect("loopback binds");
        let peer = UdpSocket::bind(loopback).expect("loopback binds");
        peer.connect(socket.local_addr()).expect("loopback connects");
        (self.iocp.add(&mut self.core, socket).expect("a bound socket is accepted"), peer)
    }

    fn poll(&mut self, wait: Duration) {
        let deadline = Some(Instant::now() + wait);
        self.iocp.poll(&mut self.core, deadline, &self.doorbell).expect("polls");
    }

    /// Polls until `count` trains have come, returns their facts, and releases their buffers.
    fn hear(&mut self, count: usize) -> Vec<Facts> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while heard.len() < count {
            assert!(Instant::now() < deadline, "heard {} of {count}: {:?}", heard.len(), self.core.stats);
            self.poll(Duration::from_secs(1));
            heard.extend(self.take());
        }
        heard
    }

    fn take(&mut self) -> Vec<Facts> {
        let mut taken = Vec::new();
        while let Some(event) = self.core.events.pop_front() {
            if let Pending::Train(facts, buffer) = event {
                self.core.pool.release(buffer);
                taken.push(facts);
            }
        }
        taken
    }
}

#[test]
fn more_sockets_than_buffers_all_hear() {
    let mut rig = Rig::new(4, 2048);
    let sockets: Vec<_> = (0..20).map(|_| rig.add()).collect();
    for _ in 0..3 {
        // Twice each: the second one finds the buffers used.
        for (_, peer) in sockets.iter().chain(&sockets) {
            peer.send(b"hello").expect("loopback takes it");
        }
        let heard = rig.hear(40);
        let ids: BTreeSet<u32> = heard.iter().map(|facts| facts.socket.to_bits()).collect();
        assert_eq!(ids.len(), 20);
        assert_eq!(rig.iocp.lent(), 0, "idle sockets have no buffer");
    }
    // A socket may have waited for a buffer; no buffer was lost.
    assert_eq!(rig.core.pool.receive_free(), 4);
}

#[test]
fn what_one_socket_has_posted_makes_room_for_others() {
    let mut rig = Rig::new(16, 2048);
    let first = rig.add();
    rig.poll(Duration::ZERO);
    assert_eq!(rig.iocp.lent(), 8, "half of the buffers wait, half are for what is on its way");
    let second = rig.add();
    // What the first one had beyond its share comes back when the system says so.
    let deadline = Instant::now() + PATIENCE;
    while rig.iocp.sockets.get(second.0).expect("added above").posted.len() < 4 {
        assert!(Instant::now() < deadline, "no room for the second");
        rig.poll(Duration::from_millis(20));
    }
    assert_eq!(rig.iocp.lent(), 8);
    for (id, peer) in [&first, &second] {
        peer.send(b"hello").expect("loopback takes it");
        assert_eq!(rig.hear(1)[0].socket, *id);
    }
}

#[test]
fn a_truncated_datagram_is_reported_once_whether_it_waited_or_not() {
    let mut rig = Rig::new(4, 64);
    let (_, peer) = rig.add();
    // More than is posted: the later ones end their receives at once.
    for number in 0..30_u8 {
        peer.send(&[number; 65]).expect("loopback takes it");
        peer.send(&[number; 64]).expect("loopback takes it");
    }
    let heard = rig.hear(30);
    assert!(heard.iter().all(|facts| facts.len == 64));
    assert_eq!(rig.core.stats.dropped.truncated, 30);
    assert_eq!(rig.core.stats.receive_errors, 0);
    rig.poll(Duration::from_millis(20));
    assert_eq!(rig.core.pool.receive_free() + rig.iocp.lent(), 4);
}

#[test]
fn a_receive_that_ended_early_waits_for_those_before_it() {
    let mut rig = Rig::new(8, 64);
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
    let connect = Some(peer.local_addr().expect("bound"));
    let config = UdpConfig { connect, ..UdpConfig::new("127.0.0.1:0".parse().expect("a literal address")) };
    let socket = udp::bind(&config).expect("loopback binds");
    let id = rig.iocp.add(&mut rig.core, socket).expect("a bound socket is accepted");

    // Three receives that only this test knows of, with 1, 2 and 3 bytes.
    let mut taken: Vec<_> = (0..3).filter_map(|_| rig.core.pool.take_receive()).collect();
    let state = rig.iocp.sockets.get_mut(id).expect("added above");
    state.posted.extend(taken.iter().map(|buffer| Posted::Waiting(buffer.index())));
    for (place, len, delivered) in [(2, 3, 0), (1, 2, 0), (0, 1, 3)] {
        state.completed(taken.remove(place), Ended { len, code: 0 });
        assert_eq!(deliver_in_order(&mut rig.core, &rig.iocp.operations, id, state), delivered);
    }
    let lens: Vec<_> = rig.take().iter().map(|facts| facts.len).collect();
    assert_eq!(lens, [1, 2, 3]);
}

#[test]
fn datagrams_keep_their_order_while_some_receives_wait_and_some_do_not() {
    const COUNT: u32 = 2000;
    // Fewer than the socket has room for.
    const AHEAD: u32 = 60;
    let mut rig = Rig::new(8, 64);
    let (_, peer) = rig.add();
    let heard = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&heard);
    let other = thread::spawn(move || {
        for number in 0..COUNT {
            while number - seen.load(Ordering::Acquire) >= AHEAD {
                thread::yield_now();
            }
            peer.send(&number.to_be_bytes()).expect("loopback takes it");
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let mut next = 0;
    while next < COUNT {
        assert!(Instant::now() < deadline, "heard {next} of {COUNT}: {:?}", rig.core.stats);
        rig.poll(Duration::from_secs(1));
        while let Some(event) = rig.core.events.pop_front() {
            let Pending::Train(_, buffer) = event else { panic!("{event:?}") };
            assert_eq!(rig.core.pool.bytes(&buffer, 4), next.to_be_bytes());
            rig.core.pool.release(buffer);
            next += 1;
        }
        heard.store(next, Ordering::Release);
    }
    other.join().expect("loopback took all");
}

#[test]
fn a_closed_socket_gives_its_buffers_back() {
    let mut rig = Rig::new(16, 2048);
    let ((first, _), (second, peer)) = (rig.add(), rig.add());
    rig.poll(Duration::ZERO);
    rig.iocp.close(&mut rig.core, first);
    assert_eq!(rig.core.pool.receive_free() + rig.iocp.lent(), 16);
    peer.send(b"hello").expect("loopback takes it");
    assert_eq!(rig.hear(1)[0].socket, second);
    assert_eq!(rig.core.stats.receive_errors, 0, "a cancelled receive is no error");
}

#[test]
fn a_closed_socket_hands_on_what_had_ended_out_of_turn() {
    let mut rig = Rig::new(8, 64);
    let (id, _peer) = rig.add();
    rig.poll(Duration::ZERO);
    let buffer = rig.core.pool.take_receive().expect("half are free");
    let state = rig.iocp.sockets.get_mut(id).expect("added above");
    state.posted.push_back(Posted::Completed(buffer, Ended { len: 1, code: 0 }));
    rig.iocp.lent += 1;
    rig.iocp.close(&mut rig.core, id);
    rig.take();
    assert_eq!((rig.core.pool.receive_free(), rig.iocp.lent()), (8, 0));
}

#[test]
fn a_flood_on_one_socket_leaves_buffers_to_the_others() {
    let mut rig = Rig::new(4, 64);
    let sockets: Vec<_> = (0..10).map(|_| rig.add()).collect();
    let (quiet, flooded) = (&sockets[9], &sockets[0]);
    quiet.1.send(b"one").expect("loopback takes it");
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "not heard: {:?}", rig.core.stats);
        for _ in 0..8 {
            flooded.1.send(b"flood").expect("loopback takes it");
        }
        rig.poll(Duration::ZERO);
        if rig.take().iter().any(|facts| facts.socket == quiet.0) {
            return;
        }
    }
}

#[test]
fn an_idle_engine_beyond_its_buffers_is_dropped_in_order() {
    let mut rig = Rig::new(2, 64);
    let sockets: Vec<_> = (0..10).map(|_| rig.add()).collect();
    rig.poll(Duration::ZERO);
    drop(rig);
    drop(sockets);
}

#[test]
fn sends_that_end_at_once_free_their_buffers_in_the_same_poll() {
    let mut rig = Rig::new(4, 2048);
    let (socket, peer) = rig.add();
    let to = peer.local_addr().expect("bound");
    for _ in 0..4 {
        let buffer = rig.core.pool.take_transmit().expect("four are free");
        let transmit = Transmit::train(Some(to), 100, 1000);
        rig.core.outbox.push_back(Outgoing { socket, buffer, shared: None, transmit, sent: 0 });
    }
    rig.poll(Duration::ZERO);
    let waited = rig.core.stats.blocked;
    let deadline = Instant::now() + PATIENCE;
    while rig.core.pool.transmit_free() < 4 {
        assert!(waited > 0 && Instant::now() < deadline, "a buffer is held and nothing waits");
        rig.poll(Duration::from_millis(10));
    }
    assert_eq!((rig.core.stats.sent.trains, rig.core.stats.sent.datagrams), (4, 40));
}
