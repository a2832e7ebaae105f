//! A writer without a thread: its sessions are driven by hand.

use std::sync::mpsc;

use async_channel::Sender;
use campanile_rig::free_port;

use super::*;
use crate::files::digest::Hashing;
use crate::files::finisher::{Filled, Job};
use crate::files::layout::ManifestHeader;
use crate::files::offering::Offering;
use crate::files::scratch::Scratch;
use crate::multicast::{BulkPublisher, BulkSent, ContentKind, Gsi, Offer, Options, Packets, Profile, wait};

/// The head of a session that brings this, in one packet.
fn head(offering: &Offering) -> Packets {
    let manifest = offering.manifest().emit().expect("short");
    let header = ManifestHeader::of(&manifest).emit();
    let head = [&Profile::new(ContentKind::Files).emit()[..], &header, &manifest].concat();
    let mut packets = Packets::default();
    packets.push(Seq(0), &head);
    packets
}

fn options() -> Options {
    let mut options = Options::default();
    options.network.group.set_port(free_port());
    options.set("unicast-port", &free_port().to_string()).expect("an option");
    options.set("interface", "127.0.0.1").expect("an option");
    options
}

/// A writer without a thread, and what it hears and is heard by.
fn writer(scratch: &Scratch, options: &Options) -> (Writer, Sender<Leave>, mpsc::Receiver<WriterEvent>) {
    let inbox = Inbox::open(&scratch.path().join("in"), false).expect("a directory of our own");
    let subscriber = BulkSubscriber::start(options, scratch.path()).expect("loopback has groups");
    let (orders, taken) = async_channel::bounded(1);
    let (sender, events) = mpsc::sync_channel(16);
    let writer = Writer::new(Arc::new(subscriber), inbox, Arc::default(), taken, sender);
    (writer.expect("there is a thread"), orders, events)
}

/// The packets that come next.
fn packets(writer: &Writer) -> Batch {
    loop {
        match writer.subscriber.next(Duration::from_secs(60)).expect("packets come") {
            BulkReceived::Packets(batch) => return batch,
            BulkReceived::Lost { .. } | BulkReceived::End { .. } => panic!("nothing is lost"),
            _ => {}
        }
    }
}

#[test]
fn a_session_that_began_again_is_not_left_with_the_one_before() {
    let (scratch, options) = (Scratch::new(), options());
    let (mut writer, _orders, events) = writer(&scratch, &options);
    let profile = Profile::new(ContentKind::Files);
    let publisher = BulkPublisher::start(&options, Offer { profile, bytes: 200_000 });
    let publisher = publisher.expect("loopback has groups");
    let supply_next = || {
        let next = std::iter::from_fn(|| publisher.next(Duration::MAX));
        let needs =
            next.filter_map(|event| if let BulkSent::Need(range) = event { Some(range) } else { None });
        for range in needs.take(1) {
            publisher.supply(range.clone(), vec![0; (range.end - range.start) as usize]);
        }
    };
    supply_next();
    let tsi = packets(&writer).tsi();
    // As when its earlier end comes out of a long queue.
    writer.begin(tsi);
    writer.end(tsi, EndCause::Expired);
    let told: Vec<_> = events.try_iter().collect();
    let [WriterEvent::Received(ReceiveEvent::Incomplete { why: Incomplete::Ended(_), .. })] = &told[..]
    else {
        panic!("{told:?}")
    };
    supply_next();
    while packets(&writer).packets().iter().all(|(sqn, _)| sqn.0 < 64) {}
}

#[test]
fn what_is_complete_is_kept_though_the_finisher_has_no_room() {
    let (scratch, options) = (Scratch::new(), options());
    let (mut writer, orders, _events) = writer(&scratch, &options);
    let path = scratch.file("out/file", b"content");
    let offering = Offering::collect(&[path]).expect("it can be sent");
    let entry = offering.manifest().entries()[0].clone();
    while writer.finisher.has_room() {
        writer.finisher.put(JobTarget { session: 0, content: 0 }, Job::Look(vec![entry.clone()]));
    }
    let tsi = Tsi { gsi: Gsi([7; 6]), port: 1 };
    writer.begin(tsi);
    let head = head(&offering);
    let block_len = head.bytes_len();
    let incoming = writer.sessions.get_mut(&tsi).and_then(|session| session.incoming.as_mut());
    let incoming = incoming.expect("it has begun");
    assert!(incoming.put(&head, &writer.inbox).expect("there is room"));
    let mut content = Packets::default();
    content.push(Seq(1), b"content");
    incoming.put(&content, &writer.inbox).expect("there is room");
    writer.fill(tsi).expect("there is room");
    let paths = writer.inbox.partial(&entry.digest, entry.size, block_len);
    drop(orders);
    writer.run();
    assert!(paths.exist(), "with the map that says so");
}

#[test]
fn of_sessions_that_waited_for_the_same_content_the_latest_counts() {
    let scratch = Scratch::new();
    let (mut writer, _orders, events) = writer(&scratch, &options());

    // What an earlier session brought of the content is still being finished; it is gone, so that this comes to nothing.
    let offering = Offering::collect(&[scratch.file("out/file", b"content")]).expect("it can be sent");
    let entry = offering.manifest().entries()[0].clone();
    let paths = writer.inbox.partial(&entry.digest, entry.size, 1);
    let filled = Filled { paths, entries: vec![entry], hashing: Hashing::default() };
    writer.finisher.put(JobTarget { session: 0, content: 0 }, Job::Finish(Box::new(filled)));

    // Identifiers are drawn at random: the later session may have the smaller one.
    let [first, second] = [2, 1].map(|port| Tsi { gsi: Gsi([7; 6]), port });
    for tsi in [first, second] {
        writer.begin(tsi);
        let session = writer.sessions.get_mut(&tsi).expect("it has begun");
        let incoming = session.incoming.as_mut().expect("nothing is complete");
        assert!(incoming.put(&head(&offering), &writer.inbox).expect("there is room"));
        writer.fill(tsi).expect("it has to wait");
    }
    let verdict = wait(writer.finisher.verdict(), Duration::MAX).expect("no end of time");
    writer.judge(verdict).expect("the disk has room");
    assert_eq!(writer.sessions.keys().collect::<Vec<_>>(), [&second]);
    let is_replaced = |event| match event {
        WriterEvent::Received(ReceiveEvent::Incomplete { tsi, why, .. }) => {
            tsi == first && why == Incomplete::Replaced(second)
        }
        _ => false,
    };
    assert!(events.try_iter().any(is_replaced));
}
