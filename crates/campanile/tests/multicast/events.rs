//! What a subscriber is told besides messages: losses, ends, and sources that come and go.

use std::thread;
use std::time::{Duration, Instant};

use campanile::multicast::{Counter, EndCause, Options, Publisher, Received, Subscriber};

use super::group::options;

const PATIENCE: Duration = Duration::from_secs(300);

/// Everything up to the end of a session: its cause, the first bytes of messages, and the numbers of packets lost.
fn hear(subscriber: &Subscriber) -> (EndCause, Vec<u32>, Vec<u32>) {
    let (mut messages, mut lost) = (Vec::new(), Vec::new());
    loop {
        match subscriber.next(PATIENCE).expect("a session ends") {
            Received::End { cause, .. } => return (cause, messages, lost),
            Received::Message { bytes, .. } => {
                let number = bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                messages.extend(number);
            }
            Received::Lost { first, last, .. } => lost.extend(first.0..=last.0),
            _ => {}
        }
    }
}

/// A group in which what is lost once is mostly lost for good.
fn forgetful(on_loss: &str) -> Options {
    let mut options = options();
    for (name, value) in [("window", "20packets"), ("fec", "off"), ("mode", "apdu"), ("nak-retries", "1")] {
        options.set(name, value).expect("an option");
    }
    options.set("inject-loss", "40%").expect("an option");
    options.set("on-loss", on_loss).expect("an option");
    options
}

/// Publishes one message a packet, without ever asking the publisher for anything.
fn say(options: &Options, messages: usize) -> Publisher {
    let publisher = Publisher::start(options).expect("the port is free");
    let message = |number: usize| [&(number as u32).to_be_bytes(), &[0; 996][..]].concat();
    (0..messages).for_each(|number| publisher.publish(&message(number)).expect("in time"));
    publisher.finish();
    publisher
}

#[test]
fn a_loss_for_good_is_reported_and_the_rest_arrives() {
    let options = forgetful("continue");
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let _publisher = say(&options, 500);
    let (cause, messages, lost) = hear(&subscriber);
    assert_eq!(cause, EndCause::Fin);
    assert!(!messages.is_empty() && !lost.is_empty(), "{messages:?} came, {lost:?} were lost");
    // Packet 0 bears the profile, and each of the others one message.
    let is_lost = |number: &u32| lost.contains(&(number + 1));
    assert!(messages.is_sorted() && !messages.iter().any(is_lost), "{messages:?} came, {lost:?} were lost");
    // The window is so short that a receiver that lost the first SPM begins behind what it lost with it.
    let first = messages[0].min(lost[0].saturating_sub(1));
    let is_told = |number: &u32| messages.contains(number) || is_lost(number);
    assert!((first..500).all(|number| is_told(&number)), "{messages:?} came, {lost:?} were lost");
}

#[test]
fn a_loss_ends_a_session_where_it_must_be_whole() {
    let options = forgetful("stop");
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let _publisher = say(&options, 500);
    assert_eq!(hear(&subscriber).0, EndCause::Loss);
}

/// A group whose subscribers have room for little, and do this when they do not keep up.
fn narrow(slow: &str) -> Options {
    let mut options = options();
    for (name, value) in
        [("slow", slow), ("memory", "100k"), ("receive-queue", "2"), ("fec", "off"), ("mode", "apdu")]
    {
        options.set(name, value).expect("an option");
    }
    options
}

/// Waits until a subscriber that does not listen has counted something.
fn await_count(subscriber: &Subscriber, counter: Counter) {
    let deadline = Instant::now() + PATIENCE;
    while subscriber.counts().of(counter) == 0 {
        assert!(Instant::now() < deadline, "{:?}", subscriber.counts());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_that_does_not_keep_up_is_told_so_and_gets_all() {
    let options = narrow("stall");
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let publisher = Publisher::start(&options).expect("the port is free");
    // It keeps up with the beginning, so that what is refused later is refused because nobody listens.
    publisher.publish(&[0; 1000]).expect("in time");
    while !matches!(subscriber.next(PATIENCE).expect("it comes"), Received::Message { .. }) {}
    (1..500).for_each(|_| publisher.publish(&[0; 1000]).expect("in time"));
    publisher.finish();
    await_count(&subscriber, Counter::DroppedFull);
    let (mut messages, mut told) = (1, Vec::new());
    loop {
        match subscriber.next(PATIENCE).expect("a session ends") {
            Received::Message { .. } => messages += 1,
            Received::Stalled { .. } => told.push("stalled"),
            Received::Resumed { .. } => told.push("resumed"),
            Received::End { cause, .. } => break assert_eq!(cause, EndCause::Fin),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(messages, 500);
    assert_eq!(told.get(..2), Some(&["stalled", "resumed"][..]), "{told:?}");
}

#[test]
fn one_that_does_not_keep_up_may_lose_the_oldest() {
    let options = narrow("lose");
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let _publisher = say(&options, 500);
    await_count(&subscriber, Counter::Lost);
    let (cause, messages, lost) = hear(&subscriber);
    assert_eq!(cause, EndCause::Fin);
    // Packet 0 bears the profile, and each of the others one message.
    let is_lost = |number: u32| lost.contains(&(number + 1));
    assert!(messages.is_sorted() && !lost.is_empty(), "{messages:?} came, {lost:?} were lost");
    assert!((0..500).all(|number| messages.contains(&number) != is_lost(number)));
    assert_eq!(messages.last(), Some(&499), "the latest are there");
}

#[test]
fn an_abort_is_reported_with_its_reason() {
    let options = options();
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    let publisher = Publisher::start(&options).expect("the port is free");
    publisher.publish(b"begun").expect("in time");
    while !matches!(subscriber.next(PATIENCE).expect("it comes"), Received::Message { .. }) {}
    publisher.abort(9);
    let (EndCause::Reset(reset), ..) = hear(&subscriber) else { panic!("no reset") };
    assert_eq!(reset.code(), 9);
}

#[test]
fn sources_come_and_go() {
    let mut options = options();
    options.set("expiry", "4s").expect("an option");
    options.set("ambient", "200ms").expect("an option");
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    for number in 0..2 {
        let publisher = Publisher::start(&options).expect("the port is free");
        publisher.publish(b"here").expect("in time");
        let Some(Received::Start { tsi, source, .. }) = subscriber.next(PATIENCE) else { panic!("{number}") };
        assert_eq!((tsi, source.is_loopback()), (publisher.tsi(), true));
        assert!(matches!(subscriber.next(PATIENCE), Some(Received::Message { .. })));
        // It ends without a word.
        drop(publisher);
        assert_eq!(hear(&subscriber), (EndCause::Expired, vec![], vec![]));
    }
}
