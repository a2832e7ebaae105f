//! Several sockets on a port, and sockets that hear multicast groups.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use campanile_engine::{Cast, Choice, Config, Engine, Interface, Transmit, cpu, multicast, udp};

use super::rig::{Host, Said, local, on_each_backend, peer};

/// A loopback member of a group, with its port.
fn member(backend: Choice, group: &str, port: u16, source: Option<IpAddr>) -> Host {
    let membership = multicast::Membership {
        group: group.parse().expect("a literal address"),
        source,
        interface: Some(Interface::Address(Ipv4Addr::LOCALHOST.into())),
    };
    let socket =
        multicast::bind(&membership, port, &udp::UdpConfig::new(local())).expect("the group is joined");
    let address = socket.local_addr();
    let mut engine = Engine::new(&Config { backend, ..Config::default() }).expect("the backend was probed");
    let id = engine.add(socket).expect("a bound socket is accepted");
    Host { engine, id, address }
}

/// A sender to groups over loopback.
fn speaker(backend: Choice) -> Host {
    speaker_at(backend, "127.0.0.1:0")
}

fn say(from: &mut Host, group: &str, port: u16, word: &[u8]) {
    let to = (group.parse::<IpAddr>().expect("a literal address"), port).into();
    from.send(&Transmit::datagram(Some(to), word.len()), word);
    from.flush();
}

/// A port that is free at this moment.
fn free_port() -> u16 {
    peer().local_addr().expect("bound").port()
}

#[test]
fn every_member_hears_a_group_and_no_other_group_on_its_port() {
    on_each_backend(|backend| {
        let port = free_port();
        let mut first = member(backend, "239.192.7.1", port, None);
        let mut second = member(backend, "239.192.7.1", port, None);
        let mut other = member(backend, "239.192.7.2", port, None);
        let mut from = speaker(backend);
        say(&mut from, "239.192.7.2", port, b"two");
        say(&mut from, "239.192.7.1", port, b"one");
        for host in [&mut first, &mut second] {
            let said = host.listen();
            let [Said::Train { path, bytes, .. }] = &said[..] else { panic!("{said:?}") };
            assert_eq!((&bytes[..], path.cast), (&b"one"[..], Cast::Multicast));
            assert_eq!(path.to, "239.192.7.1".parse::<IpAddr>().expect("a literal address"));
        }
        assert_eq!(other.datagrams(1), [b"two"]);
    });
}

#[test]
fn a_source_specific_member_hears_that_source_alone() {
    on_each_backend(|backend| {
        let port = free_port();
        let (mut wanted, mut unwanted) = (speaker(backend), speaker_at(backend, "127.0.0.9:0"));
        if !sends_from_its_address(&mut unwanted) {
            println!("{backend} here sends from another address than the socket's: no second source");
            return;
        }
        let mut host = member(backend, "232.1.2.3", port, Some(wanted.address.ip()));
        say(&mut unwanted, "232.1.2.3", port, b"no");
        say(&mut wanted, "232.1.2.3", port, b"yes");
        assert_eq!(host.datagrams(1), [b"yes"]);
    });
}

fn sends_from_its_address(host: &mut Host) -> bool {
    let witness = peer();
    let to = Some(witness.local_addr().expect("bound"));
    host.send(&Transmit::datagram(to, 1), b"?");
    host.flush();
    let (_, from) = witness.recv_from(&mut [0; 8]).expect("a datagram comes");
    from.ip() == host.address.ip()
}

fn speaker_at(backend: Choice, address: &str) -> Host {
    let sending = multicast::Sending {
        interface: Some(Interface::Address(Ipv4Addr::LOCALHOST.into())),
        ..multicast::Sending::default()
    };
    let bind = address.parse().expect("a literal address");
    let socket = udp::UdpConfig { multicast: sending, ..udp::UdpConfig::new(bind) };
    Host::with(&Config { backend, ..Config::default() }, &socket)
}

#[test]
fn a_member_that_left_hears_nothing_more() {
    on_each_backend(|backend| {
        let port = free_port();
        let mut host = member(backend, "239.192.7.3", port, None);
        let mut from = speaker(backend);
        say(&mut from, "239.192.7.3", port, b"here");
        assert_eq!(host.datagrams(1), [b"here"]);
        let membership = multicast::Membership {
            interface: Some(Interface::Address(Ipv4Addr::LOCALHOST.into())),
            ..multicast::Membership::any_source("239.192.7.3".parse().expect("a literal address"))
        };
        let socket = host.engine.socket(host.id).expect("open");
        socket.leave(&membership).expect("it was joined");
        say(&mut from, "239.192.7.3", port, b"gone");
        host.engine.poll(Some(Instant::now() + Duration::from_millis(100))).expect("polls");
        assert_eq!(host.said(), []);
    });
}

#[test]
fn a_wrong_membership_is_refused_with_its_reason() {
    let bind = |group: &str, interface: Option<&str>| {
        let interface = interface.map(|name| name.parse().expect("never fails"));
        let group = group.parse().expect("a literal address");
        let membership = multicast::Membership { group, source: None, interface };
        multicast::bind(&membership, 0, &udp::UdpConfig::new(local())).expect_err("refused").to_string()
    };
    assert_eq!(bind("10.1.2.3", None), "10.1.2.3 is no multicast group");
    assert!(
        bind("239.192.7.1", Some("nowhere0")).starts_with("no interface nowhere0 (those with an address: ")
    );
    let mixed = multicast::Membership {
        source: Some("::1".parse().expect("a literal address")),
        ..multicast::Membership::any_source("232.1.1.1".parse().expect("a literal address"))
    };
    let error = multicast::bind(&mixed, 0, &udp::UdpConfig::new(local())).expect_err("refused");
    assert_eq!(error.to_string(), "group and source are of different families");
}

#[test]
fn a_group_of_sockets_shares_a_port_and_hears_everything() {
    on_each_backend(|backend| {
        let cpus = cpu::allowed().expect("the system tells");
        for shard in [udp::Shard::Auto, udp::Shard::Cpu, udp::Shard::Hash, udp::Shard::None] {
            let config = udp::UdpConfig { receive_buffer: Some(1 << 20), ..udp::UdpConfig::new(local()) };
            let group = udp::bind_group(&config, &cpus, shard).expect("a group binds");
            assert_ne!(group.shard, udp::Shard::Auto);
            assert!(
                group.sockets.len() == cpus.len() || group.note.is_some(),
                "fewer sockets, and no word why"
            );
            let port = group.sockets[0].local_addr().port();
            assert!(group.sockets.iter().all(|socket| socket.local_addr().port() == port));

            let again = udp::bind_group(&udp::UdpConfig::new(([127, 0, 0, 1], port).into()), &cpus, shard);
            assert_eq!(again.expect_err("the port is taken").kind(), std::io::ErrorKind::AddrInUse);

            let engine = |socket| {
                let mut engine = Engine::new(&Config { backend, ..Config::default() }).expect("was probed");
                engine.add(socket).expect("a bound socket is accepted");
                engine
            };
            let mut engines: Vec<Engine> = group.sockets.into_iter().map(engine).collect();
            let peers: Vec<UdpSocket> = (0..8).map(|_| peer()).collect();
            for peer in &peers {
                peer.send_to(b"hello", ("127.0.0.1", port)).expect("loopback takes it");
            }
            assert_eq!(hear_all(&mut engines, peers.len()), peers.len(), "divided by {shard}");
        }
    });
}

fn hear_all(engines: &mut [Engine], count: usize) -> usize {
    let deadline = Instant::now() + super::rig::PATIENCE;
    let mut heard = 0;
    while heard < count && Instant::now() < deadline {
        for engine in &mut *engines {
            engine.poll(Some(Instant::now() + Duration::from_millis(1))).expect("polls");
            while engine.next_event().is_some() {
                heard += 1;
            }
        }
    }
    heard
}
