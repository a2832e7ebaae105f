//! The server with real sockets on loopback.

use std::net::UdpSocket;
use std::time::Instant;

use campanile_rig::free_port;

use super::*;
use crate::packet::Header;
use crate::probe::Probe;

/// No answer takes this long, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a server certainly remembers its replies (`replies.rs`).
const KNOWN: Duration = Duration::from_millis(900);

fn one_core() -> Vec<usize> {
    cores::first(1).expect("there is always one")
}

fn loopback() -> EchoConfig {
    EchoConfig { bind: Some(Ipv4Addr::LOCALHOST.into()), cores: one_core(), ..EchoConfig::default() }
}

fn client(server: &EchoServer) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    client.connect(server.description().address).expect("loopback is reachable");
    client.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
    client
}

fn ask(client: &UdpSocket, packet: &[u8]) -> Vec<u8> {
    client.send(packet).expect("sent");
    let mut buffer = vec![0; 65_536];
    let len = client.recv(&mut buffer).expect("an answer within the timeout");
    buffer.truncate(len);
    buffer
}

fn packet(seq: u64) -> [u8; Header::LEN] {
    Header { seq, stamp_ns: 99 }.to_bytes()
}

#[test]
fn packets_of_any_size_come_back_as_they_went() {
    let server = EchoServer::start(&loopback()).expect("it starts");
    let client = client(&server);
    for (seq, len) in [16, 17, 64, 1400, 9000, 65_507, 0, 1, 15].into_iter().enumerate() {
        let mut sent = vec![seq as u8; len];
        let head = len.min(Header::LEN);
        sent[..head].copy_from_slice(&packet(seq as u64)[..head]);
        assert_eq!(ask(&client, &sent), sent, "{len} bytes");
    }
    server.stop();
    let counts = server.join().expect("no worker fails").total;
    assert_eq!((counts.received.packets, counts.replied.packets), (9, 9));
    assert_eq!(counts.received.bytes, counts.replied.bytes);
    assert_eq!(counts.dropped.total(), 0);
}

#[test]
fn every_address_of_the_machine_is_served() {
    let server =
        EchoServer::start(&EchoConfig { cores: one_core(), ..EchoConfig::default() }).expect("starts");
    let client = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    client.connect(("127.0.0.1", server.description().address.port())).expect("loopback is reachable");
    client.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
    assert_eq!(ask(&client, &packet(1)), packet(1));
}

#[test]
fn a_repeated_packet_is_dropped_and_counted() {
    loop {
        let server = EchoServer::start(&loopback()).expect("it starts");
        let client = client(&server);
        let start = Instant::now();
        assert_eq!(ask(&client, &packet(1)), packet(1));
        client.send(&packet(1)).expect("sent");
        let next = ask(&client, &packet(2));
        if start.elapsed() > KNOWN {
            // This system stood still for so long that the second copy is rightly answered.
            continue;
        }
        assert_eq!(next, packet(2), "the answer to the second copy would come first");
        server.stop();
        let counts = server.join().expect("no worker fails").total;
        assert_eq!(counts.dropped.iter().collect::<Vec<_>>(), [(Cause::Repeated, 1)]);
        assert_eq!((counts.received.packets, counts.replied.packets), (3, 2));
        return;
    }
}

/// Who asks subtracts the questions from what the server received, and would take one that is left out for a packet of others.
#[test]
fn a_question_that_is_refused_is_counted_too() {
    loop {
        let server = EchoServer::start(&loopback()).expect("it starts");
        let client = client(&server);
        let mut question = [0; Probe::LEN];
        Probe::Ask { nonce: 7, cookie: 0 }.write(&mut question);
        let start = Instant::now();
        assert!(matches!(Probe::read(&ask(&client, &question)), Some(Probe::Cookie { nonce: 7, .. })));
        client.send(&question).expect("sent");
        assert_eq!(ask(&client, &packet(2)), packet(2), "there is no second answer before it");
        if start.elapsed() > KNOWN {
            continue;
        }
        server.stop();
        let counts = server.join().expect("no worker fails").total;
        assert_eq!(counts.dropped.iter().collect::<Vec<_>>(), [(Cause::Repeated, 1)]);
        assert_eq!((counts.probes, counts.received.packets), (Probes { asked: 2, answered: 1 }, 3));
        return;
    }
}

#[test]
fn raw_echo_listens_on_loopback_and_takes_short_lines() {
    let config = EchoConfig { rfc862: true, cores: one_core(), ..EchoConfig::default() };
    let server = EchoServer::start(&config).expect("it starts");
    assert_eq!(server.description().address.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let client = client(&server);
    for line in 0..=u8::MAX {
        assert_eq!(ask(&client, &[line]), [line]);
    }
}

#[test]
fn other_ports_are_left_alone() {
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let other_ports = vec![stranger.local_addr().expect("it is bound").port()];
    let server = EchoServer::start(&EchoConfig { other_ports, ..loopback() }).expect("it starts");
    stranger.send_to(&packet(1), server.description().address).expect("sent");
    assert_eq!(ask(&client(&server), &packet(1)), packet(1), "the stranger's packet was before this one");
    server.stop();
    let counts = server.join().expect("no worker fails").total;
    assert_eq!(counts.dropped.of(Cause::OwnPort), 1);
}

#[test]
fn a_port_in_use_is_named() {
    let holder = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = holder.local_addr().expect("it is bound").port();
    let taken = EchoServer::start(&EchoConfig { port, ..loopback() });
    let Err(EchoError::Bind { address, error }) = taken else { panic!("the port is taken: {taken:?}") };
    assert_eq!((address.port(), error.kind()), (port, io::ErrorKind::AddrInUse));
}

#[test]
fn a_foreign_address_is_named() {
    if UdpSocket::bind("192.0.2.1:0").is_ok() {
        eprintln!("skipped: this system binds any address (Wine does)");
        return;
    }
    let elsewhere = EchoConfig { bind: Some(Ipv4Addr::new(192, 0, 2, 1).into()), ..loopback() };
    let foreign = EchoServer::start(&elsewhere);
    let Err(EchoError::Bind { error, .. }) = foreign else { panic!("not our address: {foreign:?}") };
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

/// Drops before the first read from a socket are counted, even if no later packet reports them.
#[test]
fn drops_are_counted_before_the_next_packet() {
    for shard in [Shard::Cpu, Shard::None] {
        let cores = cores::first(2).unwrap_or_else(|_| one_core());
        let config = EchoConfig { shard, cores, receive_buffer: Some(64 << 10), ..loopback() };
        let waiting = Bound::new(&config).expect("there is a port");
        let client = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        for seq in 0..5000 {
            client.send_to(&packet(seq), waiting.address).expect("sent");
        }
        let meter = DropMeter::new(&waiting.group.sockets[0]).expect("there are handles");
        let is_counted = meter.read().is_some();
        let server = waiting.start().expect("it starts");
        let until = Instant::now() + PATIENCE;
        let arrived = |total: &EchoCounts| total.received.packets + total.dropped.of(Cause::Kernel);
        while is_counted && arrived(&server.snapshot().total) < 5000 {
            assert!(Instant::now() < until, "{:?}", server.snapshot());
            std::thread::yield_now();
        }
        server.stop();
        let total = server.join().expect("no worker fails").total;
        assert!(total.received.packets < 5000 && arrived(&total) <= 5000, "{shard}: {total:?}");
    }
}

/// Forged packets, without the privilege for forging: a socket that has a server's port before the server can send in its name. The
/// packets wait in the sockets of the other server, whose workers start last.
#[test]
fn two_servers_set_on_each_other_come_to_rest() {
    for count in [1, 100] {
        let waiting = Bound::new(&loopback()).expect("the first port");
        let second_port = free_port();
        let forger = UdpSocket::bind(("127.0.0.1", second_port)).expect("it is free");
        for seq in 0..count {
            forger.send_to(&packet(seq), waiting.address).expect("sent");
        }
        drop(forger);
        let start = Instant::now();
        let second = EchoServer::start(&EchoConfig { port: second_port, ..loopback() }).expect("it starts");
        let first = waiting.start().expect("it starts");

        // The first answers the second, the second answers the first, and then the first remembers them all. If this system is held up,
        // some are forgotten meanwhile, and circle until they are remembered.
        settle(&[&first, &second], Cause::Repeated, count);
        let is_prompt = start.elapsed() < KNOWN;
        // These asks queue after anything that is still on its way.
        assert_eq!(ask(&client(&first), &packet(count)), packet(count));
        assert_eq!(ask(&client(&second), &packet(count)), packet(count));
        assert_eq!(ask(&client(&first), &packet(count)), packet(count));
        first.stop();
        second.stop();
        let first = first.join().expect("no worker fails").total;
        let second = second.join().expect("no worker fails").total;
        assert_eq!(first.dropped.total() + second.dropped.total(), count, "each of them has an end");
        assert_eq!(first.received.packets, count + second.replied.packets - 1 + 2);
        assert_eq!(second.received.packets, first.replied.packets - 2 + 1);
        if is_prompt {
            assert_eq!((first.received.packets, first.replied.packets), (2 * count + 2, count + 2));
            assert_eq!((second.received.packets, second.replied.packets), (count + 1, count + 1));
        }
    }
}

/// Waits until servers have dropped so many packets together.
fn settle(servers: &[&EchoServer], cause: Cause, count: u64) {
    let start = Instant::now();
    let dropped = |server: &&EchoServer| server.snapshot().total.dropped.of(cause);
    while servers.iter().map(dropped).sum::<u64>() < count {
        assert!(start.elapsed() < PATIENCE, "{:?}", servers[0].snapshot());
        std::thread::yield_now();
    }
}

#[test]
fn a_snapshot_is_data() {
    let server = EchoServer::start(&loopback()).expect("it starts");
    let json = serde_json::to_value(server.snapshot()).expect("plain data");
    assert_eq!(json["total"]["received"]["packets"], 0);
    assert_eq!(json["total"]["dropped"], serde_json::json!({}));
    assert_eq!(json["cores"].as_array().map(Vec::len), Some(1));
}
