//! Messages and streams: what is published arrives in order, whatever is lost on the way.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use campanile::multicast::{
    ContentKind, Counter, EndCause, Foreign, Mode, Options, ProfileError, PublishError, Published, Publisher,
    Received, Seq, Subscriber,
};

use super::ending::finish;
use super::group::{apart, options};
use super::kinds::Kind;

const PATIENCE: Duration = Duration::from_secs(300);

/// Hears one session to its end, and until the source knows; its messages without the seams of their parts, or its bytes as one.
fn hear(next: &mut dyn FnMut(Duration) -> Option<Received>, is_known: bool) -> Vec<Vec<u8>> {
    let mut heard = vec![Vec::new()];
    loop {
        match next(PATIENCE).expect("a session goes on") {
            Received::Start { first, .. } => assert_eq!(first, Seq(0)),
            Received::Message { bytes, more, .. } => {
                heard.last_mut().expect("never empty").extend_from_slice(&bytes);
                if !more {
                    heard.push(Vec::new());
                }
            }
            Received::Bytes { bytes, .. } => heard[0].extend_from_slice(&bytes),
            Received::End { cause, .. } => {
                assert_eq!(cause, EndCause::Fin);
                if !is_known {
                    return heard;
                }
            }
            Received::Acknowledged { .. } => return heard,
            Received::Stalled { .. } | Received::Resumed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A message of a length of its own.
fn message(number: usize) -> Vec<u8> {
    let len = if number % 50 == 7 { 5000 } else { number * 37 % 300 };
    (0..len).map(|at| (number + at) as u8).collect()
}

/// Publishes messages to so many subscribers, all of which hear all.
fn converse(options: &Options, (speaks, hears): (Kind, Kind), subscribers: usize, messages: usize) {
    let is_known = !options.mode.is_foreign();
    let hearing: Vec<_> = (0..subscribers)
        .map(|number| hears.hear(&apart(options, number), move |next| hear(next, is_known)))
        .collect();
    let complete = speaks.speak(options, |publisher| {
        (0..messages)
            .for_each(|number| publisher.publish(&message(number)).expect("it is short and in time"));
        finish(publisher, || hearing.iter().all(JoinHandle::is_finished))
    });
    for thread in hearing {
        let heard = thread.join().expect("it did not panic");
        assert_eq!(heard.len(), messages + 1);
        assert!(heard[..messages].iter().enumerate().all(|(number, heard)| *heard == message(number)));
    }
    assert_eq!(complete, if is_known { subscribers } else { 0 });
}

/// Nodes with threads, where it does not matter who runs them.
const THREADS: (Kind, Kind) = (Kind::Thread, Kind::Thread);

#[test]
fn messages_arrive_in_order_through_loss() {
    let mut options = options();
    options.set("inject-loss", "10%").expect("an option");
    Kind::PAIRS.into_iter().for_each(|kinds| converse(&options, kinds, 2, 3000));
}

#[test]
fn messages_in_packets_of_their_own_arrive_too() {
    let mut options = options();
    options.set("mode", "apdu").expect("an option");
    options.set("inject-loss", "5%").expect("an option");
    Kind::PAIRS.into_iter().for_each(|kinds| converse(&options, kinds, 1, 500));
}

#[test]
fn the_format_of_zeromq_carries_no_profile() {
    let mut options = options();
    options.set("mode", "zmq").expect("an option");
    options.set("inject-loss", "5%").expect("an option");
    Kind::PAIRS.into_iter().for_each(|kinds| converse(&options, kinds, 1, 500));
}

#[test]
fn only_the_chosen_sources_are_heard() {
    let mut options = options();
    options.set("source", "127.0.0.2").expect("an option");
    let deaf = Subscriber::start(&options).expect("loopback has groups");
    options.set("source", "127.0.0.1").expect("an option");
    converse(&options, THREADS, 1, 200);
    assert_eq!(deaf.counts().of(Counter::OdataReceived), 0);
    assert_eq!(deaf.try_next(), None);
}

#[test]
fn a_stream_arrives_byte_for_byte() {
    let mut options = options();
    options.set("mode", "stream").expect("an option");
    options.set("inject-loss", "10%").expect("an option");
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    for (speaks, hears) in Kind::PAIRS {
        let hearing = hears.hear(&options, |next| hear(next, true));
        let complete = speaks.speak(&options, |publisher| {
            bytes.chunks(77_777).for_each(|piece| publisher.publish(piece).expect("in time"));
            finish(publisher, || hearing.is_finished())
        });
        assert_eq!(complete, 1);
        assert!(hearing.join().expect("it did not panic") == [&bytes[..]]);
    }
}

#[test]
fn parts_stay_together() {
    let options = options();
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let publisher = Publisher::start(&options).expect("the port is free");
    publisher.publish_part(b"one ").expect("messages have parts");
    publisher.publish_part(b"and ").expect("messages have parts");
    publisher.publish(b"another").expect("in time");
    publisher.finish();
    assert_eq!(hear(&mut |timeout| subscriber.next(timeout), true)[0], b"one and another");
    assert_eq!(publisher.publish(b"late"), Err(PublishError::Finished));
}

#[test]
fn a_full_queue_and_a_long_message_are_reported() {
    let mut options = options();
    options.set("rate", "100kbit").expect("an option");
    options.set("window", "100k").expect("an option");
    options.set("send-queue", "4").expect("an option");
    let publisher = Publisher::start(&options).expect("the port is free");
    let long = vec![0; publisher.message_len_max() as usize + 1];
    assert_eq!(publisher.try_publish(&long), Err(PublishError::TooLong));
    assert_eq!(publisher.publish(&long), Err(PublishError::TooLong));
    let full = (0..1000).find_map(|_| publisher.try_publish(&[0; 1000]).err());
    assert_eq!(full, Some(PublishError::Full));
}

#[test]
fn a_session_of_another_kind_is_reported_and_left() {
    for (sent, heard, expected) in [
        (Mode::Stream, Mode::Messages, Foreign::Content(ContentKind::Stream)),
        (Mode::Stream, Mode::Zmq, Foreign::Content(ContentKind::Stream)),
        (Mode::Apdu, Mode::Stream, Foreign::Content(ContentKind::Apdu)),
        (Mode::Messages, Mode::Stream, Foreign::Profile(ProfileError::Packed)),
        (Mode::Zmq, Mode::Stream, Foreign::Profile(ProfileError::None)),
    ] {
        let options = options();
        let of = |mode: Mode| Options { mode, ..options.clone() };
        let subscriber = Subscriber::start(&of(heard)).expect("loopback has groups");
        let publisher = Publisher::start(&of(sent)).expect("the port is free");
        publisher.publish(b"short").expect("in time");
        publisher.finish();
        let why = loop {
            match subscriber.next(PATIENCE).expect("a session goes on") {
                Received::Start { .. } => {}
                Received::Foreign { why, .. } => break why,
                other => panic!("{sent:?} heard as {heard:?}: {other:?}"),
            }
        };
        assert_eq!(why, expected, "{sent:?} heard as {heard:?}");
    }
}

#[test]
fn a_session_is_written_down() {
    let mut options = options();
    let scratch = tempfile::tempdir().expect("a new directory among the temporary ones");
    let directory = scratch.path().join("made");
    options.diagnostics.directory = Some(directory.clone());
    converse(&options, THREADS, 1, 200);
    let files = fs::read_dir(&directory).expect("it was made");
    let texts = files.map(|file| fs::read_to_string(file.expect("it is there").path()).expect("text"));
    let last: Vec<serde_json::Value> = texts
        .map(|text| serde_json::from_str(text.lines().last().expect("an end")).expect("a line is JSON"))
        .collect();
    assert_eq!(last.len(), 2);
    let sent = last.iter().find_map(|line| line["counts"]["odata_sent"].as_u64()).expect("a publisher");
    let heard = last.iter().find_map(|line| line["counts"]["odata_received"].as_u64()).expect("a subscriber");
    assert!(sent >= 20 && heard >= 20, "{last:?}");
    assert_eq!(last[0]["sources"][0]["tsi"], last[1]["sources"][0]["tsi"]);
}

#[test]
fn a_subscriber_that_does_not_listen_holds_nobody_up() {
    let mut options = options();
    options.set("receive-queue", "2").expect("an option");
    let idle = Subscriber::start(&options).expect("loopback has groups");
    converse(&options, THREADS, 1, 500);
    let deadline = Instant::now() + PATIENCE;
    while idle.counts().of(Counter::OdataReceived) == 0 {
        assert!(Instant::now() < deadline, "{:?}", idle.counts());
        thread::yield_now();
    }
}

/// The headroom of the next report that says what is awaited.
fn headroom(publisher: &Publisher, is_awaited: impl Fn(u64) -> bool) -> u64 {
    loop {
        match publisher.next(PATIENCE).expect("reports come") {
            Published::Report { report, .. } if is_awaited(report.headroom) => return report.headroom,
            Published::Report { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_report_says_how_much_finds_room() {
    let mut options = options();
    options.set("memory", "100k").expect("an option");
    // What helps to decode a group that is not complete would be kept, and how much that is depends on how packets were filled.
    options.set("fec", "off").expect("an option");
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let publisher = Publisher::start(&options).expect("the port is free");
    let all = headroom(&publisher, |_| true);
    assert!((150_000..=250_000).contains(&all), "a queue and a window of 100k: {all}");
    (0..300).for_each(|_| publisher.publish(&[0; 1000]).expect("in time"));
    headroom(&publisher, |left| left < all / 4);
    let mut taken = 0;
    while taken < 300 {
        let event = subscriber.next(PATIENCE).expect("a session goes on");
        taken += usize::from(matches!(event, Received::Message { .. }));
    }
    headroom(&publisher, |left| left > all * 3 / 4);
}

/// A receiver that knows no OPT_JOIN begins with the first packet that it hears: one lost SPM must not cost it the first data.
#[test]
fn three_spms_go_before_what_strangers_hear() {
    for mode in ["zmq", "openpgm", "stream"] {
        let mut options = options();
        options.set("mode", mode).expect("an option");
        options.set("fec", "off").expect("an option");
        let group = options.network.group;
        let IpAddr::V4(address) = group.ip() else { panic!("the group is one of IPv4") };
        let hearing = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, group.port())).expect("the port is free");
        hearing.join_multicast_v4(&address, &Ipv4Addr::LOCALHOST).expect("loopback has groups");
        hearing.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        let publisher = Publisher::start(&options).expect("the port is free");
        publisher.publish(b"first").expect("it is short and in time");
        publisher.flush().expect("the session is open");
        let mut packet = [0; 1500];
        let mut kind = || {
            let len = hearing.recv(&mut packet).expect("packets come");
            packet[..len][KIND_AT]
        };
        assert_eq!([(); 3].map(|()| kind()), [SPM; 3], "{mode}");
    }
}

/// Where a packet says what it is, and an SPM (RFC 3208 section 8).
const KIND_AT: usize = 4;
const SPM: u8 = 0;
