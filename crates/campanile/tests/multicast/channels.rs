//! Session channels: each source through a channel of its own, and futures of all that waits.

use std::thread;
use std::time::Duration;

use campanile::multicast::{
    EndCause, Options, PublishError, Published, Publisher, Received, Seq, SessionChannel, SessionSubscriber,
    Subscriber,
};

use super::group::options;
use super::wait::wait;

const PATIENCE: Duration = Duration::from_secs(300);
const MESSAGES: usize = 500;

fn lossy() -> Options {
    let mut options = options();
    options.set("inject-loss", "10%").expect("an option");
    options
}

/// Publishes messages with a number in front, and ends.
fn say(options: &Options, number: u8) -> Publisher {
    let publisher = Publisher::start(options).expect("a port is shared");
    let publishing = |at: usize| publisher.publish(&[&[number], &at.to_be_bytes()[..]].concat());
    (0..MESSAGES).for_each(|at| publishing(at).expect("in time"));
    publisher.finish();
    publisher
}

/// Hears a channel to its end; the number of its publisher.
fn hear(channel: &SessionChannel) -> u8 {
    assert_eq!(channel.first(), Seq(0));
    let mut said = None;
    let mut count = 0;
    loop {
        match channel.next(PATIENCE) {
            Some(Received::Message { tsi, bytes, .. }) => {
                assert_eq!((tsi, &bytes[1..]), (channel.tsi(), &usize::to_be_bytes(count)[..]));
                assert_eq!(*said.get_or_insert(bytes[0]), bytes[0]);
                count += 1;
            }
            Some(Received::End { cause, .. }) => assert_eq!((cause, count), (EndCause::Fin, MESSAGES)),
            Some(Received::Acknowledged { .. } | Received::Stalled { .. } | Received::Resumed { .. }) => {}
            Some(other) => panic!("{other:?}"),
            None => return said.expect("something was said"),
        }
    }
}

#[test]
fn each_source_has_a_channel_of_its_own() {
    let options = lossy();
    let subscriber = SessionSubscriber::start(&options).expect("loopback has groups");
    assert!(subscriber.try_accept().is_none());
    let publishers: Vec<_> = (0..3).map(|number| say(&options, number)).collect();
    let hearing: Vec<_> = (0..3)
        .map(|_| {
            let channel = subscriber.accept(PATIENCE).expect("there are three");
            assert_eq!(channel.source(), std::net::Ipv4Addr::LOCALHOST);
            thread::spawn(move || (channel.tsi(), hear(&channel)))
        })
        .collect();
    let mut heard: Vec<_> = hearing.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    heard.sort_by_key(|(_, number)| *number);
    let tsis: Vec<_> = publishers.iter().map(Publisher::tsi).zip(0..).collect();
    assert_eq!(heard, tsis);
}

#[test]
fn a_channel_that_is_dropped_leaves_its_session() {
    let options = lossy();
    let subscriber = SessionSubscriber::start(&options).expect("loopback has groups");
    let left = Publisher::start(&options).expect("the port is free");
    left.publish(b"for nobody").expect("in time");
    drop(subscriber.accept(PATIENCE).expect("it is found"));
    // What is said to nobody is more than a queue holds, and holds nothing up.
    (0..3000).for_each(|_| left.publish(b"for nobody").expect("in time"));
    let _right = say(&options, 7);
    let channel = subscriber.accept(PATIENCE).expect("it is found");
    assert_eq!(hear(&channel), 7);
    drop(subscriber);
    assert_eq!(channel.next(PATIENCE), None);
}

#[test]
fn a_channel_that_is_not_read_holds_up_no_other() {
    let mut options = options();
    options.set("receive-queue", "10").expect("an option");
    let subscriber = SessionSubscriber::start(&options).expect("loopback has groups");
    let _first = say(&options, 1);
    let unread = subscriber.accept(PATIENCE).expect("it is found");
    let _second = say(&options, 2);
    assert_eq!(hear(&subscriber.accept(PATIENCE).expect("it is found")), 2);
    // It was held, and goes on.
    assert_eq!(hear(&unread), 1);
}

#[test]
fn parts_and_channels_wait_without_a_thread() {
    let options = options();
    let subscriber = SessionSubscriber::start(&options).expect("loopback has groups");
    let publisher = Publisher::start(&options).expect("the port is free");
    assert_eq!(publisher.try_next(), None);
    let talk = async {
        publisher.send_part(b"one ").await?;
        publisher.try_publish_part(b"and ")?;
        publisher.send(b"another").await?;
        publisher.finish();
        Ok::<(), PublishError>(())
    };
    assert_eq!(wait(talk, PATIENCE), Some(Ok(())));
    assert_eq!(publisher.try_publish_part(b"late"), Err(PublishError::Finished));
    let listen = async {
        let channel = subscriber.accepted().await.expect("it is found");
        let mut whole = Vec::new();
        while let Some(event) = channel.recv().await {
            if let Received::Message { bytes, .. } = event {
                whole.extend_from_slice(&bytes);
            }
        }
        (whole, channel.try_next())
    };
    assert_eq!(wait(listen, PATIENCE), Some((b"one and another".to_vec(), None)));
    publisher.set_linger(Duration::ZERO);
    let end = async {
        loop {
            match publisher.recv().await {
                Some(Published::Report { .. }) => {}
                other => return other,
            }
        }
    };
    assert_eq!(wait(end, PATIENCE), Some(Some(Published::Finished)));
}

#[test]
fn what_is_there_can_be_taken_without_waiting() {
    let options = options();
    let subscriber = Subscriber::start(&options).expect("loopback has groups");
    assert_eq!(subscriber.try_next(), None);
    let publisher = say(&options, 1);
    let first = wait(subscriber.recv(), PATIENCE).expect("in time");
    assert!(matches!(first, Some(Received::Start { tsi, .. }) if tsi == publisher.tsi()), "{first:?}");
    let next = subscriber.next(PATIENCE).expect("a message");
    assert!(matches!(next, Received::Message { .. }), "{next:?}");
}
