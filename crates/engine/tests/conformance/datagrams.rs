//! Single datagrams: what arrives, what is said about it, what goes out.

use std::time::{Duration, Instant, SystemTime};

use campanile_engine::{Cast, Config, Event, Operation, Transmit, udp};

use super::rig::{Host, PATIENCE, Said, hear, local, on_each_backend, pattern, peer, peer_at};

#[test]
fn a_reply_is_the_datagram_as_it_came() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        for (sent, len) in [1, 64, 1472, 9000, 65_507].into_iter().enumerate() {
            peer.send_to(&pattern(len), host.address).expect("loopback takes it");
            host.mirror(sent + 1);
            assert_eq!(hear(&peer), pattern(len), "{len} bytes");
        }
        let stats = host.engine.stats();
        assert_eq!((stats.received.trains, stats.sent.trains), (5, 5));
        assert_eq!(stats.received.bytes, stats.sent.bytes);
        assert_eq!(stats.receive_buffers_in_use, 0);
        assert!(stats.polls >= 5 && stats.completions >= 10, "{stats:?}");
        assert!((1..=stats.completions).contains(&stats.completions_max), "{stats:?}");
    });
}

#[test]
fn a_zero_length_datagram_arrives_and_does_not_end_the_receive() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        for round in 0..20 {
            peer.send_to(&[], host.address).expect("loopback takes it");
            assert_eq!(host.datagrams(1), [[]]);
            peer.send_to(&[round], host.address).expect("loopback takes it");
            assert_eq!(host.datagrams(1), [[round]]);
        }
        // A multishot receive of io_uring takes it for the end, so each was started again.
        if backend == campanile_engine::Choice::Uring {
            assert!(host.engine.stats().rearms >= 20, "{:?}", host.engine.stats());
        }
    });
}

#[test]
fn a_zero_length_datagram_is_mirrored() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        peer.send_to(&[], host.address).expect("loopback takes it");
        host.mirror(1);
        assert_eq!(hear(&peer), []);
    });
}

#[test]
fn a_datagram_larger_than_the_buffer_is_reported_as_truncated() {
    on_each_backend(|backend| {
        let config = Config { backend, buffer_len: 1024, ..Config::default() };
        let (mut host, peer) = (Host::with(&config, &udp::UdpConfig::new(local())), peer());
        for len in [1025, 65_507] {
            peer.send_to(&pattern(len), host.address).expect("loopback takes it");
            let said = host.listen();
            let [Said::Truncated(path)] = &said[..] else { panic!("{said:?} for {len} bytes") };
            assert_eq!(path.from, peer.local_addr().expect("bound"));
        }
        peer.send_to(&pattern(1024), host.address).expect("loopback takes it");
        assert_eq!(host.datagrams(1), [pattern(1024)]);
        let stats = host.engine.stats();
        assert_eq!((stats.dropped.truncated, stats.received.trains), (2, 1));
        assert_eq!(stats.receive_buffers_in_use, 0);
    });
}

#[test]
fn the_path_says_who_sent_it_where_to_and_how() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        peer.send_to(b"hello", host.address).expect("loopback takes it");
        let said = host.listen();
        let [Said::Train { socket, path, .. }] = &said[..] else { panic!("{said:?}") };
        assert_eq!(*socket, host.id);
        assert_eq!(path.from, peer.local_addr().expect("bound"));
        assert_eq!(path.to, host.address.ip());
        assert_eq!(path.cast, Cast::Unicast);
        assert_ne!(path.interface, 0);
    });
}

#[test]
fn type_of_service_is_sent_and_heard() {
    on_each_backend(|backend| {
        let (mut from, mut to) = (Host::new(backend), Host::new(backend));
        let transmit = Transmit { tos: Some(0xB9), ttl: Some(3), ..Transmit::datagram(Some(to.address), 4) };
        from.send(&transmit, b"ecn1");
        from.flush();
        let said = to.listen();
        let [Said::Train { path, .. }] = &said[..] else { panic!("{said:?}") };
        let heeded = from.engine.capabilities().send_options;
        assert_eq!(path.tos, if heeded { 0xB9 } else { 0 });
    });
}

#[test]
fn a_dual_stack_socket_hears_both_families_and_names_them() {
    on_each_backend(|backend| {
        if std::net::UdpSocket::bind("[::1]:0").is_err() {
            println!("skipped: this system has no IPv6");
            return;
        }
        let any = udp::UdpConfig::new("[::]:0".parse().expect("a literal address"));
        let mut host = Host::with(&Config { backend, ..Config::default() }, &any);
        for (sent, loopback) in ["127.0.0.1", "[::1]"].into_iter().enumerate() {
            let peer = peer_at(&format!("{loopback}:0"));
            peer.connect(format!("{loopback}:{}", host.address.port())).expect("loopback connects");
            peer.send(b"hello").expect("loopback takes it");
            host.mirror(sent + 1);
            assert_eq!(hear(&peer), b"hello", "over {loopback}");
        }
    });
}

#[test]
fn a_wildcard_socket_answers_from_the_address_that_was_asked() {
    on_each_backend(|backend| {
        let any = udp::UdpConfig::new("0.0.0.0:0".parse().expect("a literal address"));
        let mut host = Host::with(&Config { backend, ..Config::default() }, &any);
        if !host.engine.capabilities().send_options {
            println!("a send names no source address on {backend}");
            return;
        }
        let peer = peer();
        // Connected: an answer from any other address would not be heard.
        peer.connect(("127.0.0.2", host.address.port())).expect("loopback connects");
        peer.send(b"hello").expect("loopback takes it");
        host.mirror(1);
        assert_eq!(hear(&peer), b"hello");
    });
}

#[test]
fn an_icmp_error_is_reported_and_does_not_stop_receiving() {
    on_each_backend(|backend| {
        // Nobody else binds that address: the port stays closed when it has been let go.
        let closed =
            peer_at("127.9.8.7:0").local_addr().expect("bound and, with the end of this line, closed");
        // Linux tells connected sockets only. Windows would tell the others too, and end their receives, but for SIO_UDP_CONNRESET.
        let connect = (backend != campanile_engine::Choice::Iocp).then_some(closed);
        let config = udp::UdpConfig { connect, ..udp::UdpConfig::new(local()) };
        let mut host = Host::with(&Config { backend, ..Config::default() }, &config);
        let mut failures = Vec::new();
        for _ in 0..3 {
            host.send(&Transmit::datagram(Some(closed), 4), b"ping");
            host.flush();
            if connect.is_some() {
                failures.extend(host.listen());
            } else {
                host.engine.poll(Some(Instant::now() + Duration::from_millis(50))).expect("polls");
                failures.extend(host.said());
            }
        }
        assert!(failures.iter().all(|said| matches!(said, Said::Failed(_))), "{failures:?}");
        if connect.is_some() {
            let Some(Said::Failed(failure)) = failures.first() else { panic!("no failure was said") };
            assert_eq!(failure.error().kind(), std::io::ErrorKind::ConnectionRefused);
            assert!(matches!(failure.operation, Operation::Receive | Operation::Send));
        }
        let peer = std::net::UdpSocket::bind(closed).expect("the port is free again");
        peer.send_to(b"pong", host.address).expect("loopback takes it");
        assert_eq!(host.datagrams(1), [b"pong"]);
    });
}

#[test]
fn more_datagrams_than_buffers_wait_and_all_arrive_in_order() {
    on_each_backend(|backend| {
        let config = Config { backend, receive_buffers: 4, ..Config::default() };
        let (mut host, peer) = (Host::with(&config, &udp::UdpConfig::new(local())), peer());
        for round in 0..3 {
            let sent: Vec<Vec<u8>> = (0..100).map(|number| vec![round, number]).collect();
            for bytes in &sent {
                peer.send_to(bytes, host.address).expect("loopback takes it");
            }
            assert_eq!(host.datagrams(100), sent);
        }
        assert_eq!(host.engine.stats().receive_buffers_in_use, 0);
    });
}

/// Nothing is left to receive into until the replies have left, and nothing else ends the wait.
#[test]
fn a_mirror_with_every_buffer_on_its_way_back_goes_on_receiving() {
    on_each_backend(|backend| {
        let config = Config { backend, receive_buffers: 4, ..Config::default() };
        let (mut host, peer) = (Host::with(&config, &udp::UdpConfig::new(local())), peer());
        for number in 0..100_u8 {
            peer.send_to(&[number], host.address).expect("loopback takes it");
        }
        let deadline = Instant::now() + PATIENCE;
        while host.engine.stats().received.datagrams < 100 {
            host.engine.poll(Some(deadline)).expect("polls");
            assert!(Instant::now() < deadline, "it hears no more: {:?}", host.engine.stats());
            while let Some(event) = host.engine.next_event() {
                let Event::Train(train) = event else { panic!("{event:?}") };
                train.reply();
            }
        }
        host.flush();
        (0..100_u8).for_each(|number| assert_eq!(hear(&peer), [number]));
    });
}

#[test]
fn more_sends_than_one_batch_leave_in_order() {
    on_each_backend(|backend| {
        let config = Config { backend, transmit_buffers: 200, ..Config::default() };
        let socket = udp::UdpConfig { receive_buffer: Some(1 << 20), ..udp::UdpConfig::new(local()) };
        let (mut from, mut to) = (Host::with(&config, &socket), Host::with(&config, &socket));
        for number in 0..150_u8 {
            from.send(&Transmit::datagram(Some(to.address), 1), &[number]);
        }
        assert_eq!(from.flush().sent.datagrams, 150);
        assert_eq!(to.datagrams(150), (0..150).map(|number| vec![number]).collect::<Vec<_>>());
    });
}

#[test]
fn a_refused_send_is_reported_and_the_others_leave() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        let to = Some(peer.local_addr().expect("bound"));
        host.send(&Transmit::datagram(to, 1), b"1");
        // Longer than any datagram.
        host.send(&Transmit::datagram(to, 65_530), &pattern(65_530));
        host.send(&Transmit::datagram(to, 1), b"2");
        let stats = host.flush();
        assert_eq!((stats.sent.trains, stats.dropped.send), (2, 1), "{stats:?}");
        let said = host.said();
        let [Said::Failed(failure)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((failure.operation, failure.to), (Operation::Send, to));
        assert_eq!((hear(&peer), hear(&peer)), (b"1".to_vec(), b"2".to_vec()));
    });
}

#[test]
fn timestamps_come_when_asked_for() {
    on_each_backend(|backend| {
        let config = udp::UdpConfig { timestamps: true, ..udp::UdpConfig::new(local()) };
        let (mut host, peer) = (Host::with(&Config { backend, ..Config::default() }, &config), peer());
        if !host.engine.capabilities().timestamps {
            println!("no timestamps on {backend}");
            return;
        }
        // Somebody may set the system's clock meanwhile.
        let (minute, now) = (Duration::from_secs(60), SystemTime::now());
        peer.send_to(b"now", host.address).expect("loopback takes it");
        host.engine.poll(Some(Instant::now() + PATIENCE)).expect("polls");
        let Some(Event::Train(train)) = host.engine.next_event() else { panic!("no train") };
        let arrived = train.arrived().expect("asked for");
        assert!(arrived >= now - minute && arrived <= SystemTime::now() + minute, "{arrived:?}");
    });
}

#[test]
fn what_the_kernel_dropped_is_counted() {
    on_each_backend(|backend| {
        let socket = udp::UdpConfig { receive_buffer: Some(4096), ..udp::UdpConfig::new(local()) };
        let (mut host, peer) = (Host::with(&Config { backend, ..Config::default() }, &socket), peer());
        if !host.engine.capabilities().drop_counter {
            println!("no drop counter on {backend}");
            return;
        }
        assert!(host.engine.socket(host.id).expect("open").granted().receive >= 2048);
        // io_uring receives without being polled, until its buffers are gone.
        for _ in 0..500 {
            peer.send_to(&[7; 1000], host.address).expect("loopback takes it");
        }
        let (mut sent, mut heard) = (500, host.listen().len() as u64);
        // The counter travels with the next datagram that is not dropped, which may stand behind many.
        while host.engine.stats().dropped.kernel + heard < sent {
            peer.send_to(&[7; 1000], host.address).expect("loopback takes it");
            sent += 1;
            heard += host.listen().len() as u64;
            assert!(sent < 2000, "{heard} of {sent}: {:?}", host.engine.stats());
        }
        assert_eq!(host.engine.stats().dropped.kernel + heard, sent, "{:?}", host.engine.stats());
        assert!(host.engine.stats().dropped.kernel > 0, "{:?}", host.engine.stats());
    });
}
