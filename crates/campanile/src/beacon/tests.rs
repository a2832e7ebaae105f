use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// A group and port of a test's own.
fn group(last: u8) -> SocketAddr {
    let free = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = free.local_addr().expect("it is bound").port();
    SocketAddr::new(Ipv4Addr::new(239, 192, 71, last).into(), port)
}

fn loopback() -> Interface {
    Interface::Address(Ipv4Addr::LOCALHOST.into())
}

fn listener(group: SocketAddr) -> Listener {
    Listener::open(&ListenerConfig { group, interfaces: vec![loopback()] }).expect("loopback is joined")
}

fn config(group: SocketAddr) -> BeaconConfig {
    let every = Duration::from_millis(1);
    BeaconConfig { group, every, interface: Some(loopback()), ..BeaconConfig::default() }
}

fn hear(listener: &mut Listener) -> Heard {
    let deadline = Instant::now() + Duration::from_secs(60);
    listener.hear(Some(deadline)).expect("the engine works").expect("a datagram comes")
}

#[test]
fn the_first_datagram_is_heard_and_says_the_time() {
    let group = group(1);
    let mut listener = listener(group);
    let mut beacon = Beacon::open(&BeaconConfig { count: Some(1), ..config(group) }).expect("it opens");
    let sent = beacon.send_next().expect("it is sent").expect("there is one");
    assert_eq!(beacon.send_next().expect("no failure"), None);
    let heard = hear(&mut listener);
    let number = heard.number.expect("it is a beacon's");
    assert_eq!((number.sequence, number.arrival), (0, Arrival::Next { missing: 0 }));
    assert_eq!(number.sent.to_string(), sent.time.to_string());
    assert_eq!(heard.payload, sent.time.to_string().as_bytes());
    assert_eq!((heard.bytes, sent.bytes), (59, 59));
}

#[test]
fn every_size_up_to_the_limit_of_a_datagram_arrives() {
    let group = group(2);
    let mut listener = listener(group);
    for size in [40, 1472, 20_000, 65_507] {
        let payload = Some(b"so it is".to_vec());
        let config = BeaconConfig { size: Some(size), payload, ..config(group) };
        Beacon::open(&config).expect("it opens").send_next().expect("it is sent");
        let heard = hear(&mut listener);
        assert_eq!((heard.bytes, heard.payload.len()), (size, size - Head::LEN));
        assert!(heard.payload.starts_with(b"so it is"));
        assert!(heard.payload[8..].iter().all(|&byte| byte == 0));
    }
    for (size, limits) in [(39, (40, 65_507)), (65_508, (40, 65_507))] {
        let config = BeaconConfig { size: Some(size), payload: Some(b"so it is".to_vec()), ..config(group) };
        match Beacon::open(&config) {
            Err(BeaconError::Size { asked, least, most }) => {
                assert_eq!((asked, (least, most)), (size, limits))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_lost_is_counted_for_each_source() {
    let group = group(3);
    let mut listener = listener(group);
    let mut sender = Beacon::open(&config(group)).expect("it opens");
    sender.send_next().expect("it is sent");
    hear(&mut listener);
    sender.next = 5;
    sender.send_next().expect("it is sent");
    let heard = hear(&mut listener);
    assert_eq!(heard.number.map(|number| number.arrival), Some(Arrival::Next { missing: 4 }));
    // Started again, it is another source, with numbers of its own.
    let mut again = Beacon::open(&config(group)).expect("it opens");
    again.send_next().expect("it is sent");
    let heard = hear(&mut listener);
    assert_eq!(heard.number.map(|number| number.arrival), Some(Arrival::Next { missing: 0 }));
    let mut lost: Vec<u64> = listener.summary().map(|source| source.arrivals.lost).collect();
    lost.sort_unstable();
    assert_eq!(lost, [0, 4]);
}

#[test]
fn a_stop_ends_both_from_another_thread() {
    let group = group(4);
    let mut listener = listener(group);
    let mut beacon =
        Beacon::open(&BeaconConfig { every: Duration::from_secs(3600), ..config(group) }).expect("it opens");
    beacon.send_next().expect("the first is due at once");
    hear(&mut listener);
    let stoppers = [listener.stopper(), beacon.stopper()];
    let stopping = thread::spawn(move || stoppers.iter().for_each(crate::Stopper::stop));
    assert_eq!(listener.hear(None).expect("the engine works"), None);
    assert_eq!(beacon.send_next().expect("the engine works"), None);
    stopping.join().expect("stopping does not fail");
}

#[test]
fn a_listener_without_a_choice_hears_loopback_too() {
    let group = group(5);
    let mut listener =
        Listener::open(&ListenerConfig { group, interfaces: Vec::new() }).expect("something is joined");
    assert!(!listener.interfaces().is_empty());
    Beacon::open(&config(group)).expect("it opens").send_next().expect("it is sent");
    assert_eq!(hear(&mut listener).number.map(|number| number.sequence), Some(0));
}

#[test]
fn wrong_groups_and_interfaces_are_refused() {
    let unicast = "127.0.0.1:7125".parse().expect("a literal address");
    let opened = Listener::open(&ListenerConfig { group: unicast, interfaces: Vec::new() });
    assert!(matches!(opened, Err(BeaconError::NotAGroup(_))));
    let opened = Beacon::open(&BeaconConfig { group: unicast, ..BeaconConfig::default() });
    assert!(matches!(opened, Err(BeaconError::NotAGroup(_))));
    let interface = Interface::Name("no-such-interface".to_owned());
    let error = Beacon::open(&BeaconConfig { interface: Some(interface.clone()), ..BeaconConfig::default() });
    assert!(error.expect_err("no such interface").to_string().contains("no interface no-such-interface"));
    let error = Listener::open(&ListenerConfig { group: GROUP, interfaces: vec![interface] });
    assert!(error.expect_err("no such interface").to_string().contains("no interface no-such-interface"));
}
