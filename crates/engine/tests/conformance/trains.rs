//! Trains: several datagrams in one operation, where the system can, and the same datagrams where it cannot.

use bytes::Bytes;
use campanile_engine::{Config, Event, Transmit, udp};

use super::rig::{Host, hear, local, on_each_backend, pattern, peer};

fn large_buffer() -> udp::UdpConfig {
    udp::UdpConfig { receive_buffer: Some(1 << 20), ..udp::UdpConfig::new(local()) }
}

#[test]
fn a_train_arrives_as_its_datagrams() {
    on_each_backend(|backend| {
        let config = Config { backend, ..Config::default() };
        let (mut from, mut to) = (Host::new(backend), Host::with(&config, &large_buffer()));
        let bytes = pattern(10 * 1000 + 17);
        from.send(&Transmit::train(Some(to.address), 1000, bytes.len()), &bytes);
        let stats = from.flush();
        assert_eq!((stats.sent.trains, stats.sent.datagrams), (1, 11));
        assert_eq!(stats.split, u64::from(from.engine.capabilities().segments == 1));
        let heard = to.datagrams(11);
        assert_eq!(heard, bytes.chunks(1000).map(<[u8]>::to_vec).collect::<Vec<_>>());
        if to.engine.capabilities().receive_trains {
            assert_eq!(to.engine.stats().received.trains, 1, "it stayed together on loopback");
        }
    });
}

#[test]
fn a_train_beyond_the_limit_of_one_operation_leaves_in_pieces() {
    on_each_backend(|backend| {
        let config = Config { backend, ..Config::default() };
        let (mut from, mut to) = (Host::new(backend), Host::with(&config, &large_buffer()));
        // Too many datagrams, then too many bytes.
        for (stride, len) in [(10, 1995), (1400, 65_536)] {
            let bytes = pattern(len);
            let before = from.engine.stats().split;
            from.send(&Transmit::train(Some(to.address), stride, len), &bytes);
            assert_eq!(from.flush().split, before + 1);
            let heard = to.datagrams(len.div_ceil(stride));
            assert_eq!(heard, bytes.chunks(stride).map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
        assert_eq!(from.engine.stats().sent.trains, 2);
    });
}

#[test]
fn a_train_is_mirrored_from_its_own_memory_with_its_stride() {
    on_each_backend(|backend| {
        let config = Config { backend, ..Config::default() };
        let (mut client, mut server) =
            (Host::with(&config, &large_buffer()), Host::with(&config, &large_buffer()));
        let bytes = pattern(40 * 1400 + 3);
        client.send(&Transmit::train(Some(server.address), 1400, bytes.len()), &bytes);
        client.flush();
        server.mirror(41);
        assert_eq!(client.datagrams(41).concat(), bytes);
        let stats = server.engine.stats();
        assert_eq!((stats.received.datagrams, stats.sent.datagrams), (41, 41));
        assert_eq!(stats.received.trains, stats.sent.trains);
    });
}

#[test]
fn trains_leave_from_memory_that_others_read() {
    on_each_backend(|backend| {
        let config = Config { backend, ..Config::default() };
        let (mut from, mut to) = (Host::new(backend), Host::with(&config, &large_buffer()));
        let bytes = Bytes::from(pattern(10 * 1000 + 17));
        // Parts of it, in pieces where the system takes few in one, and a part twice.
        let trains = [(1000, 0..4000), (1000, 4000..10_017), (100, 17..9917), (1000, 0..4000)];
        for (stride, part) in trains {
            let id = from.id;
            let transmit = Transmit::train(Some(to.address), stride, part.len());
            let slot = from.engine.transmit_slot().expect("there are more slots than trains");
            slot.send_shared(id, &transmit, bytes.slice(part.clone()));
            assert!(!bytes.is_unique(), "the engine holds what it is to send");
            from.flush();
            let expected = bytes[part].chunks(stride).map(<[u8]>::to_vec).collect::<Vec<_>>();
            assert_eq!(to.datagrams(expected.len()), expected);
            assert!(bytes.is_unique(), "it is let go with the slot");
        }
    });
}

#[test]
fn an_engine_lets_go_of_what_it_did_not_send() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        let bytes = Bytes::from(pattern(1000));
        let transmit = Transmit::datagram(Some(peer.local_addr().expect("bound")), bytes.len());
        let id = host.id;
        let queue = |host: &mut Host| {
            let slot = host.engine.transmit_slot().expect("there are more slots than trains");
            slot.send_shared(id, &transmit, bytes.clone());
        };
        queue(&mut host);
        host.engine.close(id);
        host.flush();
        assert!(bytes.is_unique(), "sent before the close");
        queue(&mut host);
        assert_eq!(host.flush().dropped.send, 1);
        assert!(bytes.is_unique(), "refused");
        queue(&mut host);
        drop(host);
        assert!(bytes.is_unique(), "never asked to send");
    });
}

#[test]
fn trains_of_one_datagram_each_are_datagrams() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        let to = Some(peer.local_addr().expect("bound"));
        host.send(&Transmit::train(to, 1000, 700), &pattern(700));
        host.send(&Transmit::train(to, 0, 0), &[]);
        host.flush();
        assert_eq!((hear(&peer), hear(&peer)), (pattern(700), Vec::new()));
    });
}

#[test]
fn without_trains_asked_for_every_event_is_one_datagram() {
    on_each_backend(|backend| {
        let single = udp::UdpConfig { trains: false, ..large_buffer() };
        let config = Config { backend, ..Config::default() };
        let (mut from, mut to) = (Host::new(backend), Host::with(&config, &single));
        from.send(&Transmit::train(Some(to.address), 100, 1000), &pattern(1000));
        from.flush();
        assert_eq!(to.datagrams(10).concat(), pattern(1000));
        assert_eq!(to.engine.stats().received.trains, 10);
    });
}

#[test]
fn a_train_can_be_changed_before_it_goes_back() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        peer.send_to(b"abc", host.address).expect("loopback takes it");
        host.engine.poll(Some(std::time::Instant::now() + super::rig::PATIENCE)).expect("polls");
        while let Some(event) = host.engine.next_event() {
            let Event::Train(mut train) = event else { panic!("{event:?}") };
            assert_eq!((train.count(), train.datagrams().count()), (1, 1));
            train.bytes_mut().make_ascii_uppercase();
            train.reply();
        }
        host.flush();
        assert_eq!(hear(&peer), b"ABC");
    });
}
