//! The client with real sockets on loopback, against servers of several kinds.

use std::net::UdpSocket;
use std::thread::{self, JoinHandle};

use super::*;
use crate::echo::{EchoConfig, EchoServer};

/// Modest and patient, so that it is right on a slow and busy system too.
fn gentle(target: SocketAddr) -> LoadConfig {
    LoadConfig {
        cores: cores::first(1).expect("there is always one"),
        duration: Duration::from_millis(300),
        window: 4,
        sockets: 2,
        timeout: Duration::from_secs(10),
        ..LoadConfig::new(target)
    }
}

fn server() -> EchoServer {
    let cores = cores::first(1).expect("there is always one");
    let bind = Some(Ipv4Addr::LOCALHOST.into());
    EchoServer::start(&EchoConfig { bind, cores, ..EchoConfig::default() }).expect("it starts")
}

/// A server of the classic kind: it answers `of`, given how many came before, with as many copies of the bytes it returns.
fn classic(
    mut of: impl FnMut(usize, &[u8]) -> (usize, Vec<u8>) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = socket.local_addr().expect("it is bound");
    let thread = thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        for index in 0.. {
            let (len, from) = socket.recv_from(&mut buffer).expect("bound and blocking");
            if len == 0 {
                return;
            }
            let (copies, reply) = of(index, &buffer[..len]);
            for _ in 0..copies {
                socket.send_to(&reply, from).expect("sent");
            }
        }
    });
    (address, thread)
}

fn end(address: SocketAddr, thread: JoinHandle<()>) {
    let stop = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    stop.send_to(&[], address).expect("sent");
    thread.join().expect("the server does not panic");
}

fn run(config: &LoadConfig) -> Result<LoadReport, LoadError> {
    Load::start(config).expect("it starts").join()
}

#[test]
fn everything_sent_to_our_server_comes_back() {
    // What is in flight fits into the smallest buffers.
    for (payload, window) in [(16, 4), (64, 4), (1400, 4), (65_507, 1)] {
        let server = server();
        let config = LoadConfig { payload, window, ..gentle(server.description().address) };
        let report = run(&config).expect("the server answers");
        server.stop();
        let counts = server.join().expect("no worker fails").total;
        assert_eq!((report.sent.packets, report.lost), (report.received.packets, 0), "{payload} bytes");
        assert_eq!(counts.replied.packets, report.received.packets);
        assert_eq!(counts.replied.bytes, report.received.bytes);
        assert_eq!(report.odd, OddReplies::default());
        let round_trip = report.round_trip.expect("there were replies");
        assert!(round_trip.min_ns <= round_trip.mean_ns && round_trip.mean_ns <= round_trip.max_ns);
        assert!(report.seconds >= 0.3, "{report:?}");
    }
}

#[test]
fn the_largest_datagram_of_ipv6_comes_back_too() {
    let cores = cores::first(1).expect("there is always one");
    let bind = Some(Ipv6Addr::LOCALHOST.into());
    let Ok(server) = EchoServer::start(&EchoConfig { bind, cores, ..EchoConfig::default() }) else {
        eprintln!("skipped: this system has no IPv6");
        return;
    };
    let target = server.description().address;
    let config = LoadConfig { payload: payload_max(target.ip()), window: 1, ..gentle(target) };
    let report = run(&config).expect("the server answers");
    assert_eq!((report.payload, report.lost), (65_527, 0));
}

#[test]
fn a_classic_server_is_as_good() {
    let (address, thread) = classic(|_, packet| (1, packet.to_vec()));
    let report = run(&gentle(address)).expect("the server answers");
    end(address, thread);
    assert_eq!((report.sent.packets, report.lost), (report.received.packets, 0));
}

#[test]
fn every_packet_is_accounted_for() {
    // Of ten packets one is not answered, one twice, and one with another payload.
    let (address, thread) = classic(|index, packet| match index % 10 {
        0 => (0, Vec::new()),
        1 => (2, packet.to_vec()),
        2 => (1, [packet, b"!"].concat()),
        _ => (1, packet.to_vec()),
    });
    let config = LoadConfig { timeout: Duration::from_millis(50), ..gentle(address) };
    let report = run(&config).expect("the server answers");
    end(address, thread);
    assert_eq!(report.sent.packets, report.received.packets + report.lost);
    assert!(report.lost > 0 && report.odd.foreign > 0 && report.odd.duplicate > 0, "{report:?}");
    let percent = report.lost as f64 * 100.0 / report.sent.packets as f64;
    assert!((report.lost_percent - percent).abs() < 1e-9);
}

#[test]
fn an_empty_port_ends_the_run_at_once() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = socket.local_addr().expect("it is bound");
    drop(socket);
    let config =
        LoadConfig { duration: Duration::from_secs(8), timeout: Duration::from_secs(1), ..gentle(address) };
    let mut load = Load::start(&config).expect("it starts");
    let quick = load.wait(Duration::from_secs(4));
    match load.join().expect_err("nothing is there") {
        LoadError::Refused { target, answered: 0 } => assert!(quick && target == address),
        // Not every system reports what the target's host says.
        LoadError::NoReply { target, .. } => assert_eq!(target, address),
        other => panic!("{other}"),
    }
}

#[test]
fn a_silent_server_is_no_success() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let target = silent.local_addr().expect("it is bound");
    let config = LoadConfig { timeout: Duration::from_millis(100), ..gentle(target) };
    let error = run(&config).expect_err("nothing came back");
    assert!(matches!(error, LoadError::NoReply { sent: 8.., cause: None, .. }), "{error}");
}

#[test]
fn a_stop_ends_the_sending_and_keeps_the_report() {
    let server = server();
    let config = LoadConfig { duration: Duration::from_secs(3600), ..gentle(server.description().address) };
    let load = Load::start(&config).expect("it starts");
    while load.progress().answered == 0 {
        thread::yield_now();
    }
    load.stopper().stop();
    let report = load.join().expect("there were replies");
    assert_eq!((report.sent.packets, report.lost), (report.received.packets, 0));
    assert!(report.seconds < 3600.0);
}

#[test]
fn more_room_than_transmit_memory_is_used_too() {
    let server = server();
    // Some of them may find the server's buffer full.
    let timeout = Duration::from_millis(300);
    let config = LoadConfig { window: 200, sockets: 3, timeout, ..gentle(server.description().address) };
    let report = run(&config).expect("the server answers");
    assert!(report.received.packets > 600, "{report:?}");
    assert_eq!(report.sent.packets, report.received.packets + report.lost);
}

#[test]
fn numbers_out_of_range_are_named() {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let cases = [
        (LoadConfig { payload: 15, ..gentle(target) }, "payload 15 is not between 16 and 65507"),
        (LoadConfig { payload: 65_508, ..gentle(target) }, "payload 65508 is not between 16 and 65507"),
        (LoadConfig { window: 0, ..gentle(target) }, "window 0 is not between 1 and 4096"),
        (LoadConfig { sockets: 1025, ..gentle(target) }, "number of sockets 1025 is not between 1 and 1024"),
        (gentle(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), "port 0 is not between 1 and 65535"),
    ];
    for (config, text) in cases {
        assert_eq!(Load::start(&config).expect_err("out of range").to_string(), text);
    }
}

#[test]
fn a_report_is_data() {
    let server = server();
    let report = run(&gentle(server.description().address)).expect("the server answers");
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!(json["payload"], 64);
    assert_eq!(json["sent"]["packets"], report.sent.packets);
    assert_eq!(json["target"], report.target.to_string());
}
