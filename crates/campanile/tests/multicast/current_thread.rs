//! Nodes that their caller runs: what is only theirs.

use std::time::{Duration, Instant};

use campanile::multicast::{
    Counter, EndCause, Published, Publisher, Received, SocketError, StartError, Subscriber, current_thread,
};

use super::ending::finish;
use super::group::{lossy, options};
use super::kinds::Kind;

const PATIENCE: Duration = Duration::from_secs(300);

/// What is said in a session until it ends, as the first bytes of each message say it.
fn numbers(next: &mut dyn FnMut(Duration) -> Option<Received>) -> (Vec<u32>, EndCause) {
    let mut numbers = Vec::new();
    loop {
        match next(PATIENCE).expect("a session goes on") {
            Received::Message { bytes, .. } => {
                numbers.extend(bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)));
            }
            Received::End { cause, .. } => return (numbers, cause),
            Received::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

#[test]
fn a_late_subscriber_gets_what_it_missed() {
    let options = lossy();
    let mut subscriber = current_thread::Subscriber::start(&options).expect("loopback has groups");
    let publisher = Publisher::start(&options).expect("the port is free");
    // Much more than the socket's buffer need hold, and less than the window.
    (0..2000_u32).for_each(|number| {
        publisher.publish(&[&number.to_be_bytes()[..], &[0; 500]].concat()).expect("in time");
    });
    publisher.finish();
    let deadline = Instant::now() + PATIENCE;
    while publisher.counts().of(Counter::OdataSent) < 700 {
        assert!(Instant::now() < deadline, "{:?}", publisher.counts());
        std::thread::yield_now();
    }
    assert_eq!(subscriber.counts().of(Counter::OdataReceived), 0, "nobody has run it");
    let (heard, cause) = numbers(&mut |timeout| subscriber.next(timeout));
    assert_eq!(cause, EndCause::Fin);
    assert!(heard.into_iter().eq(0..2000));
    assert!(subscriber.counts().of(Counter::NaksSent) > 0, "{:?}", subscriber.counts());
}

#[test]
fn a_subscriber_that_looks_seldom_takes_no_source_for_gone() {
    let mut options = options();
    options.set("expiry", "2s").expect("an option");
    options.set("ambient", "200ms").expect("an option");
    let mut subscriber = current_thread::Subscriber::start(&options).expect("loopback has groups");
    let publisher = Publisher::start(&options).expect("the port is free");
    publisher.publish(&0_u32.to_be_bytes()).expect("in time");
    while !matches!(subscriber.next(PATIENCE).expect("it comes"), Received::Message { .. }) {}
    // Longer than it may be silent, and it is not: but nobody looks.
    let ambient = publisher.counts().of(Counter::SpmsSent) + 35;
    let deadline = Instant::now() + PATIENCE;
    while publisher.counts().of(Counter::SpmsSent) < ambient {
        assert!(Instant::now() < deadline, "{:?}", publisher.counts());
        publisher.next(Duration::from_millis(50));
    }
    publisher.publish(&1_u32.to_be_bytes()).expect("in time");
    publisher.finish();
    assert_eq!(numbers(&mut |timeout| subscriber.next(timeout)), (vec![1], EndCause::Fin));
}

#[test]
fn what_is_gathered_leaves_when_the_node_is_run() {
    let options = lossy();
    let hearing = Kind::Thread.hear(&options, numbers);
    let mut publisher = current_thread::Publisher::start(&options).expect("the port is free");
    publisher.gather(&0_u32.to_be_bytes()).expect("there is room");
    publisher.gather_part(&1_u32.to_be_bytes()).expect("messages have parts");
    publisher.gather(b"").expect("there is room");
    assert_eq!(publisher.counts().of(Counter::OdataSent), 0);
    (2..3000_u32).for_each(|number| publisher.gather(&number.to_be_bytes()).expect("room is made"));
    publisher.flush().expect("the session is open");
    assert!(publisher.counts().of(Counter::OdataSent) > 0);
    finish(&mut publisher, || hearing.is_finished());
    let (heard, cause) = hearing.join().expect("it did not panic");
    assert_eq!(cause, EndCause::Fin);
    assert!(heard.into_iter().eq(0..3000));
}

#[test]
fn a_wait_repairs() {
    let options = lossy();
    let hearing = Kind::Thread.hear(&options, |next| {
        let mut messages = 0;
        while messages < 500 {
            let event = next(PATIENCE).expect("a session goes on");
            messages += usize::from(matches!(event, Received::Message { .. }));
        }
    });
    let mut publisher = current_thread::Publisher::start(&options).expect("the port is free");
    (0..500).for_each(|_| publisher.publish(&[0; 1000]).expect("in time"));
    let deadline = Instant::now() + PATIENCE;
    // Nothing is published any more and the session does not end: heartbeats show what is missing, and only waits repair it.
    while !hearing.is_finished() {
        assert!(Instant::now() < deadline, "{:?}", publisher.counts());
        publisher.run_until(Instant::now() + Duration::from_millis(1));
    }
    assert!(publisher.counts().of(Counter::RdataSent) > 0, "{:?}", publisher.counts());
}

#[test]
fn an_event_that_is_there_is_not_waited_for() {
    let mut publisher = current_thread::Publisher::start(&options()).expect("the port is free");
    publisher.finish();
    publisher.set_linger(Duration::ZERO);
    // The session ends meanwhile, and after that nothing is ever due.
    publisher.run_until(Instant::now() + Duration::from_millis(100));
    let asked_at = Instant::now();
    assert_eq!(publisher.next(PATIENCE), Some(Published::Finished));
    assert!(asked_at.elapsed() < PATIENCE);
}

#[test]
fn an_abort_leaves_at_once() {
    let options = options();
    let hearing = Kind::CurrentThread.hear(&options, numbers);
    let mut publisher = current_thread::Publisher::start(&options).expect("the port is free");
    publisher.publish(&7_u32.to_be_bytes()).expect("in time");
    publisher.abort(9);
    // Nobody runs it any more, and what is dropped sends nothing.
    drop(publisher);
    let (heard, cause) = hearing.join().expect("it did not panic");
    let EndCause::Reset(reset) = cause else { panic!("{cause:?}") };
    assert_eq!((heard, reset.code()), (vec![7], 9));
}

#[test]
fn a_cut_says_that_more_was_to_come() {
    let options = options();
    let hearing = Kind::CurrentThread.hear(&options, numbers);
    let mut publisher = current_thread::Publisher::start(&options).expect("the port is free");
    publisher.publish(&7_u32.to_be_bytes()).expect("in time");
    publisher.cut(9);
    let deadline = Instant::now() + PATIENCE;
    while !hearing.is_finished() {
        assert!(Instant::now() < deadline, "{:?}", publisher.counts());
        publisher.run_until(Instant::now() + Duration::from_millis(1));
    }
    let (heard, cause) = hearing.join().expect("it did not panic");
    let EndCause::Reset(reset) = cause else { panic!("{cause:?}") };
    assert_eq!((heard, reset.code(), reset.no_repair()), (vec![7], 9, false));
}

#[test]
fn a_port_belongs_to_one_publisher() {
    let options = options();
    let first = current_thread::Publisher::start(&options).expect("the port is free");
    let is_taken = |error| matches!(error, StartError::Socket(SocketError::PortTaken { .. }));
    assert!(is_taken(current_thread::Publisher::start(&options).expect_err("it is taken")));
    assert!(is_taken(Publisher::start(&options).expect_err("it is taken")));
    drop(first);
    Publisher::start(&options).expect("it is free again");
    drop(Subscriber::start(&options).expect("the group is for all"));
}

#[test]
fn a_subscriber_that_leaves_a_source_hears_no_more_of_it() {
    let options = options();
    let mut subscriber = current_thread::Subscriber::start(&options).expect("loopback has groups");
    let mut publisher = current_thread::Publisher::start(&options).expect("the port is free");
    publisher.publish(b"here").expect("in time");
    let tsi = loop {
        match subscriber.next(PATIENCE).expect("it comes") {
            Received::Message { tsi, .. } => break tsi,
            other => assert!(matches!(other, Received::Start { .. }), "{other:?}"),
        }
    };
    // More often than commands find room to wait.
    (0..1000).for_each(|_| subscriber.leave(tsi));
    publisher.publish(b"not heard").expect("in time");
    let deadline = Instant::now() + PATIENCE;
    while subscriber.counts().of(Counter::OdataReceived) < 2 && subscriber.counts().of(Counter::Ignored) == 0
    {
        assert!(Instant::now() < deadline, "{:?}", subscriber.counts());
        publisher.run_until(Instant::now());
        // That it has left may be acknowledged.
        let next = subscriber.try_next();
        assert!(matches!(next, None | Some(Received::Acknowledged { .. })), "{next:?}");
    }
    subscriber.rejoin(tsi);
    publisher.publish(b"heard again").expect("in time");
    let is_awaited =
        |next: &Received| matches!(next, Received::Message { bytes, .. } if bytes == b"heard again");
    while !subscriber.try_next().is_some_and(|next| is_awaited(&next)) {
        assert!(Instant::now() < deadline, "{:?}", subscriber.counts());
        publisher.run_until(Instant::now());
    }
}
