//! Sockets and engines that end while the kernel is busy with them.

use std::time::{Duration, Instant};

use campanile_engine::{Choice, Config, Engine, Transmit, udp};

use super::rig::{Host, Said, local, on_each_backend, pattern, peer};

#[test]
fn an_engine_dropped_with_everything_in_flight_leaves_nothing_behind() {
    on_each_backend(|backend| {
        for round in 0..20 {
            let mut host = Host::new(backend);
            let (peer, mut addresses) = (peer(), vec![host.address]);
            for _ in 0..3 {
                let socket = udp::bind(&udp::UdpConfig::new(local())).expect("loopback binds");
                addresses.push(socket.local_addr());
                host.engine.add(socket).expect("a bound socket is accepted");
            }
            // In every state: received and not collected, collected and not taken, queued, on its way.
            for _ in 0..10 {
                for to in &addresses {
                    peer.send_to(&pattern(2000), to).expect("loopback takes it");
                }
            }
            for _ in 0..30 {
                let to = Some(peer.local_addr().expect("bound"));
                host.send(&Transmit::train(to, 1000, 20_000), &pattern(20_000));
            }
            if round % 2 == 0 {
                host.engine.poll(Some(Instant::now() + Duration::from_millis(1))).expect("polls");
            }
            drop(host);
            for address in addresses {
                udp::bind(&udp::UdpConfig::new(address))
                    .expect("the port is free as soon as the engine is gone");
            }
        }
    });
}

#[test]
fn a_closed_socket_is_gone_and_its_id_stays_dead() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        let (id, address) = (host.id, host.address);
        peer.send_to(b"before", address).expect("loopback takes it");
        assert_eq!(host.datagrams(1), [b"before"]);
        host.engine.close(id);
        assert!(host.engine.socket(id).is_none());
        host.engine.close(id);
        let again = udp::bind(&udp::UdpConfig::new(address)).expect("the port is free again");
        let next = host.engine.add(again).expect("a bound socket is accepted");
        assert_ne!(id, next);
        peer.send_to(b"after", address).expect("loopback takes it");
        let said = host.listen();
        assert!(matches!(&said[..], [Said::Train { socket, .. }] if *socket == next), "{said:?}");

        // What is sent to the dead id is refused, and said.
        host.send(&Transmit::datagram(Some(peer.local_addr().expect("bound")), 3), b"old");
        assert_eq!(host.flush().dropped.send, 1);
        assert!(matches!(host.said()[..], [Said::Failed(_)]));
    });
}

#[test]
fn what_was_queued_before_a_close_is_sent() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        host.send(&Transmit::datagram(Some(peer.local_addr().expect("bound")), 4), b"last");
        host.engine.close(host.id);
        host.flush();
        assert_eq!(super::rig::hear(&peer), b"last");
    });
}

#[test]
fn memory_out_of_range_is_refused() {
    on_each_backend(|backend| {
        for config in [
            Config { backend, receive_buffers: 0, ..Config::default() },
            Config { backend, transmit_buffers: 100_000, ..Config::default() },
            Config { backend, buffer_len: 1 << 20, ..Config::default() },
        ] {
            let refused = Engine::new(&config).err().map(|error| error.kind());
            assert_eq!(refused, Some(std::io::ErrorKind::InvalidInput), "{config:?}");
        }
    });
}

#[test]
fn the_smallest_engine_works() {
    on_each_backend(|backend| {
        let config = Config { backend, receive_buffers: 2, transmit_buffers: 1, buffer_len: 64 };
        let (mut host, peer) = (Host::with(&config, &udp::UdpConfig::new(local())), peer());
        for number in 0..50 {
            peer.send_to(&[number; 64], host.address).expect("loopback takes it");
            host.mirror(usize::from(number) + 1);
            assert_eq!(super::rig::hear(&peer), [number; 64]);
        }
    });
}

#[test]
fn a_foreign_backend_is_replaced_and_the_reason_given() {
    let absent = [Choice::Epoll, Choice::Uring, Choice::Iocp].into_iter().find_map(|backend| {
        let engine = Engine::new(&Config { backend, ..Config::default() }).expect("some backend works");
        engine.fallback().map(|fallback| (backend, engine.backend(), fallback.to_string()))
    });
    let (asked, given, reason) = absent.expect("no system has all three");
    assert_ne!(asked, given);
    assert!(reason.starts_with(&format!("{asked} is not available here: ")), "{reason}");
}
