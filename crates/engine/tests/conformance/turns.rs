//! Several sockets of one engine: none is forgotten over another.

use std::time::Instant;

use campanile_engine::{Config, SocketId, udp};

use super::rig::{Host, PATIENCE, Said, local, on_each_backend, peer};

/// Polls without waiting until something comes to this socket; returns how many trains came to others before.
fn until_heard(host: &mut Host, quiet: SocketId) -> usize {
    let (past, limit) = (Instant::now(), Instant::now() + PATIENCE);
    let mut before = 0;
    while Instant::now() < limit {
        host.engine.poll(Some(past)).expect("polls");
        for said in host.said() {
            match said {
                Said::Train { socket, .. } if socket == quiet => return before,
                Said::Train { .. } => before += 1,
                other => panic!("{other:?} among datagrams"),
            }
        }
    }
    panic!("never heard: {:?}", host.engine.stats());
}

#[test]
fn a_socket_with_much_to_receive_leaves_buffers_to_the_others() {
    const MUCH: usize = 100;
    on_each_backend(|backend| {
        for quiet_is_first in [false, true] {
            let config = Config { backend, receive_buffers: 4, ..Config::default() };
            let mut host = Host::with(&config, &udp::UdpConfig::new(local()));
            let second = udp::bind(&udp::UdpConfig::new(local())).expect("loopback binds");
            let (first, second_address) = (host.address, second.local_addr());
            let second = host.engine.add(second).expect("a bound socket is accepted");
            let (busy, quiet, id) = if quiet_is_first {
                (second_address, first, host.id)
            } else {
                (first, second_address, second)
            };
            let peer = peer();
            (0..MUCH).for_each(|_| assert_eq!(peer.send_to(b"much", busy).ok(), Some(4)));
            peer.send_to(b"one", quiet).expect("loopback takes it");
            let before = until_heard(&mut host, id);
            assert!(before < MUCH / 2, "{before} came before the one");
        }
    });
}

/// A backend may look at few sockets in another way than at many.
#[test]
fn a_socket_that_is_added_while_nobody_waits_does_not_silence_the_others() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        let past = Instant::now();
        for _ in 0..8 {
            (0..200).for_each(|_| host.engine.poll(Some(past)).expect("polls"));
            let more = udp::bind(&udp::UdpConfig::new(local())).expect("loopback binds");
            host.engine.add(more).expect("a bound socket is accepted");
            // One poll more finds nothing at the first socket.
            host.engine.poll(Some(past)).expect("polls");
            peer.send_to(b"one", host.address).expect("loopback takes it");
            let first = host.id;
            assert_eq!(until_heard(&mut host, first), 0);
        }
    });
}
