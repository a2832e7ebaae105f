//! Several sources in one process: they share an address and port, and each hears its own receivers.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use campanile::multicast::{
    BulkPublisher, Carrier, ContentKind, Counter, EndCause, Offer, Options, Profile, Publisher, Received,
    SocketError, StartError, Subscriber, Tsi,
};

use super::ending::finish;
use super::group::{apart, lossy, options};

const PATIENCE: Duration = Duration::from_secs(300);

/// Hears so many sessions to their ends, and until the sources know; the messages of each.
fn hear(subscriber: &Subscriber, sessions: usize) -> BTreeMap<Tsi, Vec<Vec<u8>>> {
    let mut heard: BTreeMap<Tsi, Vec<Vec<u8>>> = BTreeMap::new();
    let mut known = 0;
    while known < sessions {
        match subscriber.next(PATIENCE).expect("sessions go on") {
            Received::Message { tsi, bytes, .. } => heard.entry(tsi).or_default().push(bytes.into()),
            Received::Acknowledged { .. } => known += 1,
            Received::End { cause, .. } => assert_eq!(cause, EndCause::Fin),
            Received::Lost { .. }
            | Received::TooLong { .. }
            | Received::Foreign { .. }
            | Received::Failed(_) => panic!("not whole"),
            Received::Start { .. } | Received::Bytes { .. } => {}
            Received::Stalled { .. } | Received::Resumed { .. } => {}
        }
    }
    heard
}

/// Says messages that differ from those of other numbers, and waits until all that hear have said that they have them.
fn say<T>(mut publisher: &Publisher, number: usize, hearing: &[JoinHandle<T>]) {
    (0..MESSAGES).for_each(|at| publisher.publish(&message(number, at)).expect("in time"));
    assert_eq!(finish(&mut publisher, || hearing.iter().all(JoinHandle::is_finished)), hearing.len());
}

fn message(number: usize, at: usize) -> Vec<u8> {
    vec![number as u8 ^ at as u8; 700 + at % 300]
}

/// So many publishers at once, each heard by two subscribers through loss.
fn converse(options: &Options, publishers: usize) {
    let hearing: Vec<_> = (0..2)
        .map(|number| {
            let subscriber = Subscriber::start(&apart(options, number)).expect("loopback has groups");
            thread::spawn(move || hear(&subscriber, publishers))
        })
        .collect();
    let start = || Publisher::start(options).expect("sources of one process share a port");
    let publishers: Vec<_> = (0..publishers).map(|_| start()).collect();
    thread::scope(|scope| {
        for (number, publisher) in publishers.iter().enumerate() {
            let hearing = &hearing;
            scope.spawn(move || say(publisher, number, hearing));
        }
    });
    for heard in hearing {
        let heard = heard.join().expect("no panic");
        for (number, publisher) in publishers.iter().enumerate() {
            let messages = heard.get(&publisher.tsi()).expect("each is heard");
            let wanted: Vec<_> = (0..MESSAGES).map(|at| message(number, at)).collect();
            assert!(*messages == wanted, "messages of {number} are others");
        }
    }
    for publisher in publishers {
        let counts = publisher.counts();
        assert!(counts.of(Counter::NaksReceived) > 0, "{counts:?}");
        assert_eq!(counts.of(Counter::ReportsForged), 0);
        // A raw socket hears what is for the others, too.
        assert_eq!(counts.of(Counter::Ignored) == 0, options.network.carrier == Carrier::Udp, "{counts:?}");
    }
}

const MESSAGES: usize = 1000;

#[test]
fn sources_of_one_process_share_a_port() {
    converse(&lossy(), 3);
}

#[test]
fn sources_of_one_process_have_raw_sockets_of_their_own() {
    let mut options = lossy();
    options.set("carrier", "raw").expect("an option");
    match Publisher::start(&options) {
        Ok(_) => converse(&options, 2),
        Err(StartError::Socket(SocketError::NotPermitted)) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI has CAP_NET_RAW");
            println!("skipped: raw IP is not permitted here");
        }
        // Wine has none of a protocol that it does not know.
        Err(StartError::Socket(SocketError::Bind { error, .. }))
            if error.raw_os_error() == Some(WSAEPROTONOSUPPORT) =>
        {
            println!("skipped: there is no raw IP here");
        }
        Err(error) => panic!("{error}"),
    }
}

/// What Windows says where a protocol has no sockets.
const WSAEPROTONOSUPPORT: i32 = 10043;

#[test]
fn groups_on_one_port_share_the_port_of_their_sources() {
    let mut first = lossy();
    let port = first.network.group.port();
    let mut second = first.clone();
    second.set("group", &format!("239.192.7.2:{port}")).expect("an option");
    second.set("ttl", "3").expect("an option");
    first.set("mtu", "1400").expect("an option");
    let other = thread::spawn(move || converse(&second, 2));
    converse(&first, 2);
    other.join().expect("no panic");
}

#[test]
fn the_port_is_held_as_long_as_one_source_is_there() {
    let options = options();
    let unicast = options.network.unicast_port.expect("it was set");
    let address = SocketAddr::new("127.0.0.1".parse().expect("an address"), unicast);
    let first = Publisher::start(&options).expect("the port is free");
    let second = Publisher::start(&options).expect("it is shared");
    drop(first);
    UdpSocket::bind(address).expect_err("the second one holds it");
    let third = Publisher::start(&options).expect("it is shared");
    drop(second);
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let hearing = [thread::spawn(move || hear(&subscriber, 1))];
    say(&third, 3, &hearing);
    let [hearing] = hearing;
    assert_eq!(hearing.join().expect("no panic")[&third.tsi()].len(), MESSAGES);
    drop(third);
    UdpSocket::bind(address).expect("nobody holds it");
}

#[test]
fn sources_that_start_and_end_at_once_find_the_port() {
    let options = options();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let options = options.clone();
            thread::spawn(move || (0..25).for_each(|_| drop(Publisher::start(&options).expect("shared"))))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
}

#[test]
fn a_source_that_cannot_start_does_not_disturb_the_others() {
    let options = options();
    let first = Publisher::start(&options).expect("the port is free");
    let mut wrong = options.clone();
    wrong.sending.repair_share_percent = 0;
    assert!(matches!(Publisher::start(&wrong), Err(StartError::Config(_))));
    let offer = Offer { profile: Profile::new(ContentKind::Files), bytes: 0 };
    assert!(BulkPublisher::start(&options, offer).is_err());
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let hearing = [thread::spawn(move || hear(&subscriber, 1))];
    say(&first, 1, &hearing);
    let [hearing] = hearing;
    assert_eq!(hearing.join().expect("no panic").len(), 1);
}

#[test]
fn another_program_on_the_port_is_reported() {
    let options = options();
    let unicast = options.network.unicast_port.expect("it was set");
    let _other = UdpSocket::bind(("127.0.0.1", unicast)).expect("the port is free");
    let error = Publisher::start(&options).expect_err("the port is taken").to_string();
    assert!(error.contains("choose another port"), "{error}");
}

#[test]
fn a_subscriber_hears_several_groups_and_no_other() {
    let options = lossy();
    let group = |number: u8| {
        let mut options = options.clone();
        let port = options.network.group.port();
        options.set("group", &format!("239.192.7.{number}:{port}")).expect("an option");
        options
    };
    let mut several = group(1);
    several.set("groups", "239.192.7.2,239.192.7.3").expect("an option");
    let subscriber = Subscriber::start(&several).expect("loopback has groups");
    let hearing = [thread::spawn(move || (hear(&subscriber, 3), subscriber))];
    let silent = Subscriber::start(&group(4)).expect("loopback has groups");
    let start = |number| Publisher::start(&group(number)).expect("a port is shared");
    let publishers = [1, 2, 3].map(|number| (number, start(number)));
    thread::scope(|scope| {
        for (number, publisher) in &publishers {
            let hearing = &hearing;
            scope.spawn(move || say(publisher, (*number).into(), hearing));
        }
    });
    let [hearing] = hearing;
    let (heard, subscriber) = hearing.join().expect("no panic");
    assert!(heard.len() == 3 && heard.values().all(|messages| messages.len() == MESSAGES));
    assert!(subscriber.counts().of(Counter::NaksSent) > 0);
    assert_eq!((silent.try_next(), silent.counts().of(Counter::OdataReceived)), (None, 0));
}

#[test]
fn a_group_that_is_named_twice_is_one() {
    let mut options = options();
    options.set("groups", &options.network.group.ip().to_string()).expect("an option");
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let hearing = [thread::spawn(move || (hear(&subscriber, 1), subscriber))];
    let publisher = Publisher::start(&options).expect("the port is free");
    say(&publisher, 1, &hearing);
    let [hearing] = hearing;
    let counts = hearing.join().expect("no panic").1.counts();
    assert!(counts.of(Counter::Duplicates) < counts.of(Counter::OdataReceived) / 4, "{counts:?}");
}

#[test]
fn groups_of_two_families_are_refused() {
    let mut options = options();
    options.set("groups", "ff15::7").expect("an option");
    let error = Subscriber::start(&options).expect_err("no NAK would reach a source there");
    assert!(matches!(error, StartError::Socket(SocketError::Join { .. })), "{error}");
}

#[test]
fn an_interface_that_is_named_twice_is_one() {
    let mut options = options();
    options.set("interface", "127.0.0.1,127.0.0.1").expect("an option");
    let publisher = Publisher::start(&options).expect("it is one");
    let subscriber = Subscriber::start(&options).expect("it is one");
    let hearing = [thread::spawn(move || hear(&subscriber, 1))];
    say(&publisher, 1, &hearing);
    let [hearing] = hearing;
    assert_eq!(hearing.join().expect("no panic")[&publisher.tsi()].len(), MESSAGES);
}
