//! The client with real sockets on loopback, against servers of several kinds.

use std::net::UdpSocket;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use campanile_rig::free_port;

use super::*;
use crate::echo::{EchoConfig, EchoServer};

/// Modest and patient, so that it is right on a slow and busy system too.
fn gentle(target: SocketAddr) -> LoadConfig {
    LoadConfig {
        cores: cores::first(1).expect("there is always one"),
        duration: Duration::from_millis(300),
        pace: Pace::Window(4),
        sockets: 2,
        timeout: Duration::from_secs(60),
        // The servers here count what comes.
        probe: false,
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
        let config =
            LoadConfig { payload, pace: Pace::Window(window), ..gentle(server.description().address) };
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
    let config = LoadConfig { payload: payload_max(target.ip()), pace: Pace::Window(1), ..gentle(target) };
    let report = run(&config).expect("the server answers");
    assert_eq!((report.payload, report.lost), (65_527, 0));
}

#[test]
fn a_classic_server_is_measured_as_well() {
    let (address, thread) = classic(|_, packet| (1, packet.to_vec()));
    let report = run(&gentle(address)).expect("the server answers");
    end(address, thread);
    assert_eq!((report.sent.packets, report.lost), (report.received.packets, 0));
}

#[test]
fn an_ipv4_address_in_ipv6_form_is_one_of_ipv4() {
    let server = server();
    let target = server.description().address;
    let IpAddr::V4(ip) = target.ip() else { panic!("it listens on {target}") };
    let mapped = SocketAddr::new(ip.to_ipv6_mapped().into(), target.port());
    let report = run(&gentle(mapped)).expect("the server answers");
    assert_eq!((report.target, report.environment.loopback), (target, true));
}

/// Runs a load until it has seen what a test is about.
fn run_until(config: &LoadConfig, is_enough: impl Fn(&Load) -> bool) -> LoadReport {
    let config = LoadConfig { duration: Duration::from_secs(3600), ..config.clone() };
    let load = Load::start(&config).expect("it starts");
    while !is_enough(&load) {
        thread::yield_now();
    }
    load.stopper().stop();
    load.join().expect("the server answers")
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
    let report = run_until(&config, |load| {
        let counts = load.progress();
        counts.answered > 0 && counts.lost > 0 && counts.odd.foreign > 0 && counts.odd.duplicate > 0
    });
    end(address, thread);
    assert_eq!(report.sent.packets, report.received.packets + report.lost);
    let percent = report.lost as f64 * 100.0 / report.sent.packets as f64;
    assert!((report.lost_percent - percent).abs() < 1e-9);
    let (OddReplies { late, duplicate, foreign }, account) = (report.odd, &report.account);
    assert_eq!(
        (account.unexplained, account.surplus),
        (report.lost - late, duplicate + foreign),
        "{account:?}"
    );
}

#[test]
fn an_empty_port_ends_the_run_at_once() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let config = LoadConfig {
        duration: Duration::from_secs(3600),
        timeout: Duration::from_millis(500),
        ..gentle(address)
    };
    let mut load = Load::start(&config).expect("it starts");
    // If the system reports it, that comes long before this many have timed out.
    while !load.wait(Duration::from_millis(10)) && load.progress().lost < 10 * 8 {}
    let by_itself = load.wait(Duration::ZERO);
    load.stopper().stop();
    match load.join().expect_err("nothing is there") {
        LoadError::Refused(target) => assert!(by_itself && target == address),
        // Not every system reports what the target's host says.
        LoadError::NoReply { target, .. } => assert_eq!(target, address),
        other => panic!("{other}"),
    }
}

#[test]
fn a_server_that_goes_in_the_middle_leaves_its_figures() {
    let server = server();
    let (duration, timeout) = (Duration::from_secs(3600), Duration::from_millis(500));
    let config = LoadConfig { duration, timeout, ..gentle(server.description().address) };
    let mut load = Load::start(&config).expect("it starts");
    while load.progress().answered == 0 {
        thread::yield_now();
    }
    server.stop();
    server.join().expect("no worker fails");
    let before = load.progress().lost;
    while !load.wait(Duration::from_millis(10)) && load.progress().lost < before + 10 * 8 {}
    load.stopper().stop();
    let report = match load.join() {
        Err(LoadError::Gone(report)) => *report,
        // Not every system reports what the target's host says.
        joined => joined.expect("there were replies"),
    };
    assert!(report.received.packets > 0, "{report:?}");
    assert_eq!(report.sent.packets, report.received.packets + report.lost);
}

#[test]
fn a_silent_server_is_no_success() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let target = silent.local_addr().expect("it is bound");
    let config = LoadConfig { timeout: Duration::from_millis(100), ..gentle(target) };
    let error = run(&config).expect_err("nothing came back");
    assert!(matches!(error, LoadError::NoReply { sent: 8.., cause: None, .. }), "{error}");
}

/// As of a network that loses what is longer than a probe.
#[test]
fn a_server_that_answers_probes_alone_is_known_to_be_there() {
    let (address, thread) = classic(|_, packet| (usize::from(packet.len() == 256), packet.to_vec()));
    let timeout = Duration::from_millis(50);
    let config = LoadConfig { payload: 300, probe: true, timeout, ..gentle(address) };
    let error = run(&config).expect_err("no packet is answered");
    end(address, thread);
    assert!(matches!(error, LoadError::NoReply { server_kind: ServerKind::Mirror, .. }), "{error}");
}

#[test]
fn replies_that_are_late_or_foreign_are_told_from_none() {
    let no_reply = |load: Load, is_enough: fn(OddReplies) -> bool| {
        while !is_enough(load.progress().odd) {
            thread::yield_now();
        }
        load.stopper().stop();
        load.join().expect_err("none was good").to_string()
    };
    let duration = Duration::from_secs(3600);
    // Each packet is answered when the next one comes, a second later.
    let mut held = Vec::new();
    let (address, thread) =
        classic(move |index, packet| (index.min(1), std::mem::replace(&mut held, packet.to_vec())));
    let (pace, timeout) = (Pace::Rate(1), Duration::from_millis(50));
    let config = LoadConfig { pace, duration, timeout, sockets: 1, ..gentle(address) };
    let told = no_reply(Load::start(&config).expect("it starts"), |odd| odd.late > 0);
    end(address, thread);
    assert!(told.starts_with("no good reply ") && told.ends_with(" and 0 foreign ones"), "{told}");
    let (address, thread) = classic(|_, packet| (1, [packet, b"!"].concat()));
    let config = LoadConfig { duration, timeout: Duration::from_millis(50), ..gentle(address) };
    let told = no_reply(Load::start(&config).expect("it starts"), |odd| odd.foreign > 0);
    end(address, thread);
    assert!(told.contains(" packets, but 0 late and "), "{told}");
}

#[test]
fn a_stop_in_the_warm_up_measures_nothing() {
    let server = server();
    let config = LoadConfig { warm_up: Duration::from_secs(3600), ..gentle(server.description().address) };
    let load = Load::start(&config).expect("it starts");
    while load.progress().all_replies == 0 {
        thread::yield_now();
    }
    load.stopper().stop();
    let error = load.join().expect_err("it did not come to that");
    assert!(matches!(error, LoadError::Unmeasured), "{error}");
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
    let (duration, timeout) = (Duration::from_secs(3600), Duration::from_millis(300));
    let target = server.description().address;
    let config = LoadConfig { pace: Pace::Window(200), sockets: 3, duration, timeout, ..gentle(target) };
    let load = Load::start(&config).expect("it starts");
    while load.progress().answered <= 600 {
        thread::yield_now();
    }
    load.stopper().stop();
    let report = load.join().expect("there were replies");
    assert_eq!(report.sent.packets, report.received.packets + report.lost);
}

/// An open loop sends what was asked for, whatever comes back and however late this system runs it.
#[test]
fn an_open_loop_is_paced_by_the_clock() {
    // The server has room for all of it, in case it cannot answer before the end.
    for (rate, train, answers) in [(500, 1, 1), (800, 8, 1), (500, 1, 0)] {
        let (address, thread) =
            classic(move |index, packet| (answers.max(usize::from(index == 0)), packet.to_vec()));
        let timeout = Duration::from_secs(if answers > 0 { 60 } else { 5 });
        let config = LoadConfig { pace: Pace::Rate(rate), train, timeout, ..gentle(address) };
        let report = run(&config).expect("the server answers");
        end(address, thread);
        // 300 ms, two sockets: what is due before the end, whole trains.
        let due = (rate * 3 / 10).next_multiple_of(train as u64);
        let due = if is_behind(&report) { report.sent.packets.min(due) } else { due };
        assert_eq!(report.sent.packets, due, "{report:?}");
        assert_eq!(report.received.packets + report.lost, due);
        assert_eq!(report.lost, if answers > 0 { 0 } else { due - 1 });
        let (due, sent) = (report.from_due.expect("a reply"), report.round_trip.expect("a reply"));
        assert!(due.max_ns >= sent.max_ns && due.p50_ns >= sent.p50_ns, "{report:?}");
        assert!(report.send_lag.is_some() && (report.window, report.rate) == (None, Some(rate)));
    }
}

/// Whether this system was held up for so long that the client gave up what was due, and reported that.
fn is_behind(report: &LoadReport) -> bool {
    report.spoiled.iter().any(|reason| matches!(reason, Spoiled::Rate { .. }))
}

/// The server stops for a while; packets due meanwhile are sent, and their wait is measured.
#[test]
fn an_open_loop_does_not_wait_for_the_server() {
    let pause = Duration::from_millis(150);
    let (address, thread) = classic(move |index, packet| {
        if index == 20 {
            thread::park_timeout(pause);
        }
        (1, packet.to_vec())
    });
    // It has room for all of it.
    let report = run(&LoadConfig { pace: Pace::Rate(800), ..gentle(address) }).expect("the server answers");
    end(address, thread);
    assert!(report.sent.packets == 240 || is_behind(&report), "{report:?}");
    assert_eq!(report.lost, 0);
    let latency = report.from_due.expect("there were replies");
    assert!(latency.max_ns >= 140_000_000 && latency.p90_ns >= 50_000_000, "{latency:?}");
}

#[test]
fn what_cannot_be_sent_spoils_the_run() {
    let server = server();
    let timeout = Duration::from_secs(5);
    let config =
        LoadConfig { pace: Pace::Rate(Pace::RATE_MAX), timeout, ..gentle(server.description().address) };
    let report = run(&config).expect("the server answers");
    assert!(matches!(report.spoiled[0], Spoiled::Rate { .. }), "{:?}", report.spoiled);
    assert_eq!(report.sent.packets, report.received.packets + report.lost);
}

#[test]
fn the_warm_up_is_not_measured() {
    for pace in [Pace::Rate(1000), Pace::Window(4)] {
        let server = server();
        let (warm_up, target) = (Duration::from_millis(200), server.description().address);
        let start = Instant::now();
        let config = LoadConfig { pace, warm_up, ..gentle(target) };
        let report = run_until(&config, |load| load.progress().answered > 0);
        let took = start.elapsed().as_secs_f64();
        server.stop();
        let answered = server.join().expect("no worker fails").total.replied.packets;
        assert!(answered > report.received.packets && report.lost == 0, "{answered}: {report:?}");
        assert!(
            report.warm_up_seconds > 0.19 && report.seconds + report.warm_up_seconds <= took,
            "{report:?}"
        );
        if pace == Pace::Rate(1000) {
            assert_eq!(answered - report.received.packets, 200, "what was due before");
        }
    }
}

/// A client that is held up for the whole measurement.
#[test]
fn a_measurement_that_is_over_at_once_sends_all_the_same() {
    let server = server();
    let (warm_up, duration) = (Duration::from_millis(20), Duration::from_nanos(1));
    let config = LoadConfig { warm_up, duration, ..gentle(server.description().address) };
    let report = run(&config).expect("the server answers");
    assert!(report.sent.packets > 0 && report.lost == 0, "{report:?}");
}

#[test]
fn silence_in_the_warm_up_and_after_it_is_no_reply() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let target = silent.local_addr().expect("it is bound");
    let (warm_up, duration, timeout) =
        (Duration::from_millis(10), Duration::from_millis(10), Duration::from_millis(100));
    let error =
        run(&LoadConfig { warm_up, duration, timeout, ..gentle(target) }).expect_err("nothing came back");
    assert!(matches!(error, LoadError::NoReply { sent: 1.., .. }), "{error}");
}

#[test]
fn a_run_that_is_late_for_all_of_the_measurement_is_an_error() {
    let server = server();
    let (pace, warm_up, timeout) =
        (Pace::Rate(Pace::RATE_MAX), Duration::from_millis(500), Duration::from_millis(100));
    let config = LoadConfig { pace, warm_up, timeout, ..gentle(server.description().address) };
    let error = run(&config).expect_err("nobody sends so fast");
    assert!(matches!(error, LoadError::Late), "{error}");
}

/// The first packet is due in the warm-up, the second after the end.
#[test]
fn a_measurement_between_two_packets_is_no_lag() {
    let server = server();
    let (pace, warm_up) = (Pace::Rate(1), Duration::from_millis(100));
    let config = LoadConfig { pace, warm_up, ..gentle(server.description().address) };
    let error = run(&config).expect_err("nothing was due");
    assert!(matches!(error, LoadError::NoneDue), "{error}");
}

#[test]
fn trains_in_a_closed_loop_are_answered_whole() {
    let server = server();
    let pace = Pace::Window(16);
    let config = LoadConfig { pace, train: 8, payload: 100, ..gentle(server.description().address) };
    let report = run(&config).expect("the server answers");
    assert_eq!((report.sent.packets, report.sent.packets % 8), (report.received.packets, 0));
}

#[test]
fn our_server_s_account_splits_the_loss_and_balances() {
    let server = server();
    let config = LoadConfig { probe: true, ..gentle(server.description().address) };
    // Some systems count processor time in steps of 15 ms.
    let until = Instant::now() + Duration::from_secs(1);
    let report = run_until(&config, |load| {
        Instant::now() > until && load.server_busy_percent() > Some(0.0) && load.progress().answered > 0
    });
    server.stop();
    let counts = server.join().expect("no worker fails").total;
    let share = report.server.expect("it keeps an account");
    assert_eq!((report.server_kind, share.workers), (ServerKind::Campanile, 1));
    assert_eq!((share.received, share.replied), (report.sent.packets, report.received.packets));
    assert_eq!((share.lost_up, share.lost_down), (Some(0), Some(0)));
    assert!(counts.probes.asked >= 4 && counts.probes.answered <= counts.probes.asked, "{counts:?}");
    let PacketAccount { sent, received, ref entries, unexplained, surplus } = report.account;
    assert_eq!((sent, received, entries.len(), unexplained, surplus), (sent, sent, 0, 0, 0));
    assert!(share.busy_percent > 0.0 && report.cost.cpu_ns_per_packet > Some(0.0), "{report:?}");
}

#[test]
fn a_mirror_without_account_is_named_and_its_loss_unexplained() {
    let (address, thread) = classic(|index, packet| (usize::from(index % 10 != 5), packet.to_vec()));
    let config = LoadConfig { probe: true, timeout: Duration::from_secs(5), ..gentle(address) };
    let report = run_until(&config, |load| load.progress().lost > 0);
    end(address, thread);
    assert_eq!((report.server_kind, report.server), (ServerKind::Mirror, None));
    assert!(report.lost > 0 && report.account.unexplained == report.lost, "{report:?}");
}

#[test]
fn replies_out_of_order_are_counted_by_distance() {
    let mut held = Vec::new();
    let (address, thread) = classic(move |index, packet| match index % 8 {
        3 => (0, std::mem::replace(&mut held, packet.to_vec())),
        6 => (1, std::mem::take(&mut held)),
        _ => (1, packet.to_vec()),
    });
    let timeout = Duration::from_secs(5);
    let config = LoadConfig { pace: Pace::Rate(400), sockets: 1, timeout, ..gentle(address) };
    let report = run(&config).expect("the server answers");
    end(address, thread);
    let Reordered { replies, distance_max, by_distance } = report.reordered;
    // The fourth of every eight comes after the seventh: 15 times, if nothing held the client up.
    let late = (report.sent.packets + 1) / 8;
    assert!(late == 15 || is_behind(&report), "{report:?}");
    assert_eq!((replies, distance_max, by_distance[1]), (late, 2, late), "{report:?}");
}

#[test]
fn numbers_out_of_range_are_named() {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let cases = [
        (LoadConfig { payload: 15, ..gentle(target) }, "payload 15 is not between 16 and 65507"),
        (LoadConfig { payload: 65_508, ..gentle(target) }, "payload 65508 is not between 16 and 65507"),
        (LoadConfig { pace: Pace::Window(0), ..gentle(target) }, "window 0 is not between 1 and 4096"),
        (LoadConfig { sockets: 1025, ..gentle(target) }, "number of sockets 1025 is not between 1 and 1024"),
        (LoadConfig { pace: Pace::Rate(0), ..gentle(target) }, "rate 0 is not between 1 and 100000000"),
        (LoadConfig { train: 5, ..gentle(target) }, "train 5 is not between 1 and 4"),
        (
            LoadConfig { train: 60, payload: 1400, pace: Pace::Rate(1), ..gentle(target) },
            "train 60 is not between 1 and 46",
        ),
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
