//! Bulk sessions over loopback: what is kept elsewhere arrives whole, whatever is lost on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use campanile::multicast::{
    Batch, BulkPublisher, BulkReceived, BulkSent, BulkSubscriber, ContentKind, Counter, EndCause, Offer,
    Options, Profile, Progress, ReceiverId, Seq, Standing, Tsi,
};

use super::group::{apart, options};
use super::wait::wait;

const PATIENCE: Duration = Duration::from_secs(300);

/// The bytes of an offer: a profile, and what follows from a number.
fn content(profile: Profile, len: usize) -> Arc<[u8]> {
    let mut bytes = profile.emit().to_vec();
    let mut state = 1_u32;
    bytes.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(len - bytes.len()),
    );
    bytes.into()
}

/// Sends until the session is over, which it is when so many receivers are complete and all was heard; the reports by receiver.
fn publish(
    publisher: &BulkPublisher,
    content: &[u8],
    receivers: usize,
    is_heard: impl Fn() -> bool,
) -> usize {
    let mut complete = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "the session does not end: {:?}", publisher.counts());
        if is_heard() {
            publisher.set_linger(Duration::ZERO);
        }
        let Some(event) = publisher.next(Duration::from_millis(20)) else { continue };
        if serve(publisher, event, content, receivers, &mut complete) {
            assert_eq!(publisher.next(Duration::MAX), None, "nothing comes after the end");
            return complete.len();
        }
    }
}

/// Does what a publisher asks for, and ends when so many receivers are complete; whether it is over.
fn serve(
    publisher: &BulkPublisher,
    event: BulkSent,
    content: &[u8],
    receivers: usize,
    complete: &mut BTreeMap<ReceiverId, u32>,
) -> bool {
    match event {
        BulkSent::Need(range) => {
            let mut buffer = publisher.buffer();
            buffer.extend_from_slice(&content[range.start as usize..range.end as usize]);
            publisher.supply(range, buffer);
        }
        BulkSent::Report { report, .. } => {
            if report.standing == Standing::Complete {
                complete.insert(report.receiver, report.had);
            }
            if complete.len() == receivers {
                publisher.finish();
            }
        }
        BulkSent::Drained => {}
        BulkSent::Finished => return true,
        BulkSent::Failed(error) => panic!("{error}"),
    }
    false
}

/// A session as it comes in.
#[derive(Default)]
struct Incoming {
    tsi: Option<Tsi>,
    packets: BTreeMap<u32, Vec<u8>>,
    block_len: usize,
    is_told: bool,
}

impl Incoming {
    fn take(&mut self, batch: &Batch) {
        for (sqn, bytes) in batch.packets().iter() {
            self.block_len = self.block_len.max(bytes.len());
            let twice = self.packets.insert(sqn.0, bytes.to_vec());
            assert!(twice.is_none(), "packet {sqn:?} came twice");
        }
    }

    fn len(&self) -> usize {
        self.packets.values().map(Vec::len).sum()
    }

    fn group(&self, first: Seq, count: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for sqn in first.0..first.0 + u32::from(count) {
            bytes.resize((sqn - first.0) as usize * self.block_len, 0);
            // The last packet of all may be short, and its length counts; one that is not here may have any.
            bytes.extend_from_slice(self.packets.get(&sqn).map_or(&[0], |packet| packet));
        }
        bytes
    }

    /// Takes part until all is there and the source knows it; all bytes in their order.
    fn run(mut self, subscriber: &BulkSubscriber, total: usize) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{} of {total}, {:?}", self.len(), subscriber.counts());
            let event = subscriber.next(PATIENCE);
            let event =
                event.unwrap_or_else(|| panic!("{} of {total} {:?}", self.len(), subscriber.counts()));
            if self.handle(subscriber, event, total) {
                return self.into_bytes();
            }
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        self.packets.into_values().flatten().collect()
    }

    /// Takes an event; whether all is there and the source knows it.
    fn handle(&mut self, subscriber: &BulkSubscriber, event: BulkReceived, total: usize) -> bool {
        match event {
            BulkReceived::Start { tsi, first, .. } => {
                assert_eq!((first, self.tsi.replace(tsi)), (Seq(0), None));
            }
            BulkReceived::Packets(batch) => self.take(&batch),
            BulkReceived::Need { tsi, first, count } => {
                let bytes = self.group(first, count);
                subscriber.supply(tsi, first, self.block_len, bytes);
            }
            BulkReceived::Acknowledged { .. } => return true,
            BulkReceived::Lost { first, last, .. } => panic!("lost {first:?} to {last:?}"),
            BulkReceived::End { cause, .. } => assert_eq!(cause, EndCause::Fin),
            BulkReceived::Failed(error) => panic!("{error}"),
        }
        if self.len() == total && !self.is_told {
            self.is_told = true;
            let profile = Profile::parse(&self.packets[&0]).expect("packet 0 begins with it");
            let had = self.packets.len() as u32;
            let (cookie, standing) = (profile.cookie, Standing::Complete);
            let progress = Progress { cookie, standing, had, total: had };
            subscriber.report(self.tsi.expect("it has begun"), progress);
        }
        false
    }
}

fn transfer(options: &Options, receivers: usize, len: usize) -> (BulkPublisher, Vec<BulkSubscriber>) {
    let profile = Profile::new(ContentKind::Files);
    let content = content(profile, len);
    let listening: Vec<_> = (0..receivers)
        .map(|number| {
            let place = number.to_string();
            let options = apart(options, number);
            let subscriber = BulkSubscriber::start(&options, Path::new(&place)).expect("loopback has groups");
            thread::spawn(move || (Incoming::default().run(&subscriber, len), subscriber))
        })
        .collect();
    let offer = Offer { profile, bytes: len as u64 };
    let publisher = BulkPublisher::start(options, offer).expect("the port is free");
    assert_eq!(publisher.block_len(), options.block_len().expect("loopback takes packets"));
    let is_heard = || listening.iter().all(JoinHandle::is_finished);
    assert_eq!(publish(&publisher, &content, receivers, is_heard), receivers);
    let subscribers = listening.into_iter().map(|thread| {
        let (bytes, subscriber) = thread.join().expect("it did not panic");
        assert!(bytes == content[..], "the bytes are others");
        subscriber
    });
    (publisher, subscribers.collect())
}

#[test]
fn a_session_arrives_without_loss() {
    let (publisher, subscribers) = transfer(&options(), 1, 1_000_000);
    let sent = publisher.counts();
    assert!(sent.of(Counter::OdataSent) >= 690, "{sent:?}");
    assert_eq!(subscribers[0].counts().of(Counter::Malformed), 0);
}

#[test]
fn a_session_can_be_awaited() {
    let (options, profile) = (options(), Profile::new(ContentKind::Files));
    let content = content(profile, 100_000);
    let subscriber = BulkSubscriber::start(&options, Path::new("place")).expect("loopback has groups");
    assert!(subscriber.try_next().is_none());
    let offer = Offer { profile, bytes: content.len() as u64 };
    let publisher = Arc::new(BulkPublisher::start(&options, offer).expect("the port is free"));
    let hearing = {
        let (total, publisher) = (content.len(), Arc::clone(&publisher));
        let hear = async move {
            let mut incoming = Incoming::default();
            while let Some(event) = subscriber.recv().await {
                if incoming.handle(&subscriber, event, total) {
                    break;
                }
            }
            publisher.set_linger(Duration::ZERO);
            incoming.into_bytes()
        };
        thread::spawn(|| wait(hear, PATIENCE))
    };
    let mut complete = BTreeMap::new();
    let say = async {
        while let Some(event) = publisher.recv().await {
            if serve(&publisher, event, &content, 1, &mut complete) {
                break;
            }
        }
    };
    assert_eq!(wait(say, PATIENCE), Some(()));
    assert_eq!(publisher.try_next(), None);
    assert_eq!(complete.len(), 1);
    assert!(hearing.join().expect("it did not panic").as_deref() == Some(&content[..]));
}

#[test]
fn a_receiver_that_is_started_again_counts_once() {
    let (options, profile) = (options(), Profile::new(ContentKind::Files));
    let content = content(profile, 100_000);
    let offer = Offer { profile, bytes: content.len() as u64 };
    let publisher = BulkPublisher::start(&options, offer).expect("the port is free");
    let is_heard = Arc::new(AtomicBool::new(false));
    let publishing = thread::spawn({
        let (content, is_heard) = (Arc::clone(&content), Arc::clone(&is_heard));
        move || publish(&publisher, &content, 2, || is_heard.load(Ordering::Relaxed))
    });
    for place in ["a", "a", "b"] {
        let subscriber = BulkSubscriber::start(&options, Path::new(place)).expect("loopback has groups");
        assert!(Incoming::default().run(&subscriber, content.len()) == content[..]);
    }
    is_heard.store(true, Ordering::Relaxed);
    assert_eq!(publishing.join().expect("it did not panic"), 2);
}

#[test]
fn a_session_arrives_through_loss_by_parity() {
    let mut options = options();
    options.set("inject-loss", "20%").unwrap();
    let (publisher, subscribers) = transfer(&options, 3, 2_000_000);
    assert!(publisher.counts().of(Counter::RdataParitySent) > 0);
    for subscriber in subscribers {
        let counts = subscriber.counts();
        assert!(counts.of(Counter::Injected) > 0 && counts.of(Counter::Recovered) > 0, "{counts:?}");
    }
}

#[test]
fn a_session_arrives_through_loss_by_repetition() {
    let mut options = options();
    options.set("inject-loss", "10%").unwrap();
    options.set("fec", "off").unwrap();
    let (publisher, _) = transfer(&options, 2, 500_000);
    let sent = publisher.counts();
    assert!(sent.of(Counter::RdataSent) > 0 && sent.of(Counter::RdataParitySent) == 0, "{sent:?}");
}

/// Looks until it is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn an_application_that_takes_nothing_for_a_while_loses_nothing() {
    let mut options = options();
    options.set("nak-retries", "10").unwrap();
    let profile = Profile::new(ContentKind::Files);
    // More than finds room on the way to the application.
    let content = content(profile, 12_000_000);
    let subscriber = BulkSubscriber::start(&options, Path::new("late")).expect("loopback has groups");
    let offer = Offer { profile, bytes: content.len() as u64 };
    let publisher = BulkPublisher::start(&options, offer).expect("the port is free");
    let is_heard = Arc::new(AtomicBool::new(false));
    let publishing = thread::spawn({
        let (content, is_heard) = (Arc::clone(&content), Arc::clone(&is_heard));
        move || publish(&publisher, &content, 1, || is_heard.load(Ordering::Relaxed))
    });
    let counted = |counter| subscriber.counts().of(counter);
    wait_until("packets find no room", || counted(Counter::DroppedOverrun) > 1000);
    // Long enough for what is asked for once more to be given up.
    let back = Instant::now() + Duration::from_secs(3);
    wait_until("the application is back", || Instant::now() > back);
    assert!(Incoming::default().run(&subscriber, content.len()) == content[..]);
    is_heard.store(true, Ordering::Relaxed);
    assert_eq!((publishing.join().expect("it did not panic"), counted(Counter::Lost)), (1, 0));
}
