//! Sessions without a network: the packets of a sender's files, given to an incoming session in any order.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::files::digest::Digest;
use crate::files::error::FileAction;
use crate::files::meter::Meter;
use crate::files::name::STAGING;
use crate::files::offering::Offering;
use crate::files::reading::Reading;
use crate::files::scratch::Scratch;

/// What a sender's node would read from the disk.
struct Sent {
    packets: Vec<Vec<u8>>,
    cookie: u64,
}

impl Sent {
    /// The session that brings these files, in blocks of `block_len`.
    fn of(scratch: &Scratch, files: &[(&str, &[u8])], block_len: usize) -> Self {
        let paths: Vec<PathBuf> =
            files.iter().map(|(name, _)| scratch.path().join("out").join(name)).collect();
        for (name, bytes) in files {
            scratch.file(&format!("out/{name}"), bytes);
        }
        let offering = Offering::collect(&paths).expect("they can be sent");
        let manifest = offering.manifest().emit().expect("short");
        let profile = Profile::new(ContentKind::Files);
        let mut head = profile.emit().to_vec();
        head.extend(ManifestHeader::of(&manifest).emit());
        head.extend(manifest);
        let layout = Layout::new(offering.manifest(), head.len(), block_len).expect("small");
        let len = layout.len();
        let row = Reading::new(offering, head, layout).read(0..len, Vec::new()).expect("they are there");
        Self { packets: row.chunks(block_len).map(<[u8]>::to_vec).collect(), cookie: profile.cookie }
    }

    /// A session whose manifest is this text, followed by these bytes.
    fn written(manifest: &[u8], content: &[u8], block_len: usize) -> Self {
        let profile = Profile::new(ContentKind::Files);
        let mut row = profile.emit().to_vec();
        row.extend(ManifestHeader::of(manifest).emit());
        row.extend(manifest);
        row.resize(row.len().next_multiple_of(block_len), 0);
        row.extend(content);
        Self { packets: row.chunks(block_len).map(<[u8]>::to_vec).collect(), cookie: profile.cookie }
    }

    fn packets(&self, blocks: impl IntoIterator<Item = u64>) -> Packets {
        let mut packets = Packets::default();
        blocks.into_iter().for_each(|block| packets.push(Seq(block as u32), &self.packets[block as usize]));
        packets
    }

    fn all(&self) -> Range<u64> {
        0..self.packets.len() as u64
    }
}

/// A receiver's directory.
struct Receiver {
    inbox: Inbox,
    dir: PathBuf,
}

impl Receiver {
    fn new(scratch: &Scratch) -> Self {
        let dir = scratch.path().join("in");
        Self { inbox: Inbox::open(&dir, false).expect("a directory of our own"), dir }
    }

    fn begin(&self) -> IncomingSession {
        IncomingSession::begin(self.inbox.temporary("spool"))
    }

    /// Gives the blocks that need not be sent, once they are known.
    fn put(
        &self,
        incoming: &mut IncomingSession,
        sent: &Sent,
        blocks: impl IntoIterator<Item = u64>,
    ) -> Option<Vec<Range<u64>>> {
        let is_known = incoming.put(&sent.packets(blocks), &self.inbox).expect("a session as it should be");
        if is_known {
            incoming.fill(&self.inbox).expect("a session as it should be");
        }
        self.work(incoming);
        is_known.then(|| incoming.had_ranges(&self.inbox).expect("readable"))
    }

    /// Does all jobs: looks for files that are there, and finishes complete contents.
    fn work(&self, incoming: &mut IncomingSession) {
        while let Some((content, job)) = incoming.next_job(&self.inbox) {
            let finding = Job::run(vec![job], &self.inbox, &Meter::default()).remove(0).expect("readable");
            incoming.judge(content, finding, &self.inbox).expect("there is room");
        }
    }

    fn refusal(&self, sent: &Sent) -> Refusal {
        let mut incoming = self.begin();
        let put = incoming.put(&sent.packets(sent.all()), &self.inbox);
        match put.and_then(|_| incoming.fill(&self.inbox)) {
            Err(IncomingError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// The files below the directory by their names, without incomplete ones.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.dir, "", &mut files);
        files.retain(|name, _| !name.starts_with(STAGING));
        files
    }
}

fn collect(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("it is there") {
        let path = entry.expect("it is there").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("names of tests are text");
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).expect("readable"));
        }
    }
}

fn settled(incoming: &IncomingSession) -> bool {
    incoming.contents().is_some_and(IncomingContents::is_settled)
}

const FILES: [(&str, &[u8]); 4] = [
    ("one.txt", b"the first file is this long"),
    ("empty", b""),
    ("two.txt", b"second"),
    ("again.txt", b"the first file is this long"),
];

fn expected() -> BTreeMap<String, Vec<u8>> {
    FILES.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

#[test]
fn packets_in_order_make_the_files() {
    let scratch = Scratch::new();
    let (sent, receiver) = (Sent::of(&scratch, &FILES, 20), Receiver::new(&scratch));
    let mut incoming = receiver.begin();
    for block in sent.all() {
        assert!(!settled(&incoming));
        receiver.put(&mut incoming, &sent, [block]);
    }
    assert!(settled(&incoming));
    assert_eq!(receiver.files(), expected());
    assert_eq!(incoming.had_blocks(), sent.all().end);
    assert_eq!(incoming.profile().map(|profile| profile.cookie), Some(sent.cookie));
    let placed = std::iter::from_fn(|| incoming.outcome());
    assert_eq!(placed.filter(|outcome| matches!(outcome, Outcome::Placed { .. })).count(), 4);
}

#[test]
fn packets_in_reverse_wait_for_the_manifest() {
    let scratch = Scratch::new();
    let (sent, receiver) = (Sent::of(&scratch, &FILES, 20), Receiver::new(&scratch));
    let mut incoming = receiver.begin();
    for block in sent.all().rev() {
        assert!(receiver.files().is_empty());
        assert_eq!(receiver.put(&mut incoming, &sent, [block]).is_some(), block == 0);
    }
    assert!(settled(&incoming));
    assert_eq!(receiver.files(), expected());
}

#[test]
fn another_session_continues_where_one_was_killed() {
    let scratch = Scratch::new();
    let sent = Sent::of(&scratch, &FILES, 20);
    let receiver = Receiver::new(&scratch);
    let mut incoming = receiver.begin();
    let most = sent.all().end - 2;
    receiver.put(&mut incoming, &sent, 0..most);
    drop((incoming, receiver));
    // The sender was started again too: another cookie, the same files.
    let (sent, receiver) = (Sent::of(&scratch, &FILES, 20), Receiver::new(&scratch));
    let mut incoming = receiver.begin();
    let head = sent.packets.len() as u64 - 3;
    let had = receiver.put(&mut incoming, &sent, 0..head).expect("the manifest is known");
    let needed = sent.all().filter(|block| *block >= head && !had.iter().any(|run| run.contains(block)));
    let needed: Vec<u64> = needed.collect();
    assert_eq!(needed, [most, most + 1], "{had:?}");
    receiver.put(&mut incoming, &sent, needed);
    assert!(settled(&incoming));
    assert_eq!(receiver.files(), expected());
}

#[test]
fn complete_contents_without_names_are_kept_for_another_session() {
    let leave_session = |receiver: &Receiver, incoming: IncomingSession| incoming.leave(&receiver.inbox);
    let leave_jobs = |receiver: &Receiver, mut incoming: IncomingSession| {
        while let Some((_, job)) = incoming.next_job(&receiver.inbox) {
            job.leave();
        }
    };
    let ways: [fn(&Receiver, IncomingSession); 2] = [leave_session, leave_jobs];
    for leave in ways {
        let scratch = Scratch::new();
        let (sent, receiver) = (Sent::of(&scratch, &FILES, 20), Receiver::new(&scratch));
        let mut incoming = receiver.begin();
        incoming.put(&sent.packets(sent.all()), &receiver.inbox).expect("a session as it should be");
        incoming.fill(&receiver.inbox).expect("a session as it should be");
        leave(&receiver, incoming);
        let mut incoming = receiver.begin();
        let head = sent.packets.len() as u64 - 3;
        receiver.put(&mut incoming, &sent, 0..head);
        assert!(settled(&incoming), "the contents were there");
        assert_eq!(receiver.files(), expected());
    }
}

#[test]
fn a_receiver_that_has_the_files_needs_only_the_manifest() {
    let scratch = Scratch::new();
    let sent = Sent::of(&scratch, &FILES, 20);
    let receiver = Receiver::new(&scratch);
    let mut incoming = receiver.begin();
    receiver.put(&mut incoming, &sent, sent.all());
    let mut incoming = receiver.begin();
    let head = sent.packets.len() as u64 - 3;
    receiver.put(&mut incoming, &sent, 0..head);
    assert!(settled(&incoming));
    assert_eq!(incoming.had_blocks(), sent.all().end);
}

#[test]
fn packets_that_come_while_files_are_checked_are_kept() {
    let scratch = Scratch::new();
    let sent = Sent::of(&scratch, &FILES, 20);
    let head = sent.packets.len() as u64 - 3;
    // Before the looks, and between the looks and their findings.
    for waits in [false, true] {
        let receiver = Receiver::new(&scratch);
        for (name, bytes) in FILES {
            scratch.file(&format!("in/{name}"), bytes);
        }
        let mut incoming = receiver.begin();
        assert!(incoming.put(&sent.packets(0..head), &receiver.inbox).expect("it is right"));
        incoming.fill(&receiver.inbox).expect("it is right");
        let mut looks = Vec::new();
        while waits && let Some(look) = incoming.next_job(&receiver.inbox) {
            looks.push(look);
        }
        assert!(incoming.contents().is_some_and(|contents| contents.is_looking() && !contents.is_settled()));
        // One content in part, and all of the other.
        for block in [head, head + 2] {
            incoming.put(&sent.packets([block]), &receiver.inbox).expect("it is right");
        }
        for (content, look) in looks {
            let finding =
                Job::run(vec![look], &receiver.inbox, &Meter::default()).remove(0).expect("readable");
            incoming.judge(content, finding, &receiver.inbox).expect("there is room");
        }
        receiver.work(&mut incoming);
        assert!(incoming.contents().is_some_and(|contents| contents.is_complete() && !contents.is_waiting()));
        assert_eq!(incoming.had_blocks(), sent.all().end);
        drop((incoming, receiver));
        assert!(!scratch.path().join("in").join(STAGING).exists(), "nothing of it is left");
    }
}

#[test]
fn more_contents_than_can_be_open_come_at_once() {
    let scratch = Scratch::new();
    let contents: Vec<(String, Vec<u8>)> = (0..100).map(|at| (format!("f{at}"), vec![at; 30])).collect();
    let files: Vec<(&str, &[u8])> = contents.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
    let (sent, receiver) = (Sent::of(&scratch, &files, 20), Receiver::new(&scratch));
    let head = sent.all().end - 200;
    let mut incoming = receiver.begin();
    receiver.put(&mut incoming, &sent, 0..head);
    // The first half of each, then the second.
    for half in 0..2 {
        receiver.put(&mut incoming, &sent, (head + half..sent.all().end).step_by(2));
    }
    assert!(settled(&incoming));
    assert_eq!(receiver.files(), contents.into_iter().collect());
}

#[test]
fn what_came_can_be_read_again() {
    let scratch = Scratch::new();
    let (sent, receiver) = (Sent::of(&scratch, &FILES, 20), Receiver::new(&scratch));
    let last = sent.all().end - 1;
    let mut incoming = receiver.begin();
    let group = |incoming: &mut IncomingSession, blocks: Range<u64>| {
        let (stride, bytes) = incoming.read(blocks, Vec::new(), &receiver.inbox).expect("readable");
        assert_eq!(stride, 20);
        bytes
    };
    let packets =
        |blocks: Range<u64>| blocks.flat_map(|block| sent.packets[block as usize].clone()).collect();
    receiver.put(&mut incoming, &sent, last - 2..last);
    let before: Vec<u8> = packets(last - 2..last);
    assert_eq!(group(&mut incoming, last - 2..last), before, "while the manifest is not known");
    receiver.put(&mut incoming, &sent, 0..last - 2);
    let whole: Vec<u8> = packets(0..last);
    assert_eq!(group(&mut incoming, 0..last), whole, "and when it is");
    receiver.put(&mut incoming, &sent, [last]);
    assert!(settled(&incoming));
    assert_eq!(
        group(&mut incoming, 0..last + 4),
        packets(0..last + 1),
        "and from files that have their names"
    );
}

#[test]
fn a_taken_name_does_not_keep_the_others() {
    let scratch = Scratch::new();
    let (sent, receiver) = (Sent::of(&scratch, &FILES, 20), Receiver::new(&scratch));
    scratch.file("in/two.txt", b"mine");
    let mut incoming = receiver.begin();
    receiver.put(&mut incoming, &sent, sent.all());
    assert!(settled(&incoming));
    assert_eq!(incoming.contents().map(IncomingContents::placed), Some(3));
    assert_eq!(receiver.files().get("two.txt").map(Vec::as_slice), Some(&b"mine"[..]));
    let refused = std::iter::from_fn(|| incoming.outcome())
        .filter_map(|outcome| match outcome {
            Outcome::Refused { file, error } => Some((file, error.error.kind())),
            _ => None,
        })
        .collect::<Vec<_>>();
    assert_eq!(refused, [(2, io::ErrorKind::AlreadyExists)]);
    // Once the name is free the partial is enough.
    fs::remove_file(scratch.path().join("in/two.txt")).expect("it is there");
    let mut incoming = receiver.begin();
    receiver.put(&mut incoming, &sent, 0..sent.packets.len() as u64 - 3);
    assert_eq!(incoming.contents().map(IncomingContents::placed), Some(4));
    assert_eq!(receiver.files(), expected());
}

#[test]
fn a_wrong_content_gets_no_name_and_is_forgotten() {
    let scratch = Scratch::new();
    let mut sent = Sent::of(&scratch, &FILES, 20);
    let receiver = Receiver::new(&scratch);
    let last = sent.packets.len() - 1;
    let right = std::mem::replace(&mut sent.packets[last], b"SECOND".to_vec());
    let mut incoming = receiver.begin();
    receiver.put(&mut incoming, &sent, sent.all());
    assert!(settled(&incoming));
    assert!(!receiver.files().contains_key("two.txt"));
    assert!(
        std::iter::from_fn(|| incoming.outcome())
            .any(|outcome| matches!(outcome, Outcome::Wrong { file: 2 }))
    );
    let contents = incoming.contents().expect("its manifest has come");
    let lacks_for_good = |blocks: Range<u64>| contents.lacks_for_good(&blocks);
    let wrong = last as u64;
    assert!(
        lacks_for_good(wrong..wrong + 1) && lacks_for_good(0..wrong + 9),
        "what was thrown away decodes nothing"
    );
    assert!(!lacks_for_good(0..wrong) && !lacks_for_good(wrong + 1..wrong + 9));
    sent.packets[last] = right;
    let mut incoming = receiver.begin();
    receiver.put(&mut incoming, &sent, sent.all());
    assert_eq!(receiver.files(), expected());
}

#[test]
fn strangers_are_refused() {
    let scratch = Scratch::new();
    let receiver = Receiver::new(&scratch);
    let good = || Sent::of(&scratch, &FILES, 100);
    let mut other = good();
    other.packets[0][8] = 9;
    assert_eq!(receiver.refusal(&other), Refusal::Profile(ProfileError::Version(9)));
    let mut messages = good();
    messages.packets[0][..Profile::LEN].copy_from_slice(&Profile::new(ContentKind::Messages).emit());
    assert_eq!(receiver.refusal(&messages), Refusal::Content(ContentKind::Messages));
    let mut lines = good();
    lines.packets = vec![[&[0, 0, 25, 0], &Profile::new(ContentKind::Messages).emit()[..]].concat()];
    assert_eq!(receiver.refusal(&lines), Refusal::Profile(ProfileError::Packed), "though its head is short");
    let mut long = good();
    long.packets[0][Profile::LEN] = 0xff;
    assert_eq!(receiver.refusal(&long), Refusal::Manifest(ManifestError::Long));
    let mut forged = good();
    forged.packets[0][PREFIX + 3] ^= 1;
    assert_eq!(receiver.refusal(&forged), Refusal::Hash);
    let mut short = good();
    short.packets.last_mut().expect("there are some").pop();
    assert_eq!(receiver.refusal(&short), Refusal::Blocks);
    let mut beyond = good();
    beyond.packets.push(vec![0; 100]);
    assert_eq!(receiver.refusal(&beyond), Refusal::Blocks);
    let mut nothing = good();
    nothing.packets[0].clear();
    assert_eq!(receiver.refusal(&nothing), Refusal::Blocks);
    // What was right before something was wrong may stay.
    let expected = expected();
    assert!(receiver.files().iter().all(|(name, bytes)| expected.get(name) == Some(bytes)));
}

/// A link in the directory that the user made is not followed on the way to a name.
#[test]
fn links_in_the_directory_lead_nowhere() {
    let scratch = Scratch::new();
    let receiver = Receiver::new(&scratch);
    scratch.file("outside/here", b"");
    let made = std::process::Command::new("ln")
        .args(["-s", "../outside", "in/link"])
        .current_dir(scratch.path())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no `ln` here");
        return;
    }
    let manifest = manifest(&[("link/file", b"harm"), ("link", b"more harm")]);
    assert!(matches!(receiver.refusal(&Sent::written(&manifest, b"", 64)), Refusal::Manifest(_)));
    for name in ["link/file", "link/here", "link/deep/file"] {
        let sent = Sent::written(&self::manifest(&[(name, b"harm")]), b"harm", 64);
        let mut incoming = receiver.begin();
        receiver.put(&mut incoming, &sent, sent.all());
        assert!(settled(&incoming));
        assert_eq!(incoming.contents().map(IncomingContents::placed), Some(0), "{name}");
    }
    let outside = fs::read_dir(scratch.path().join("outside")).expect("it is there");
    assert_eq!(outside.count(), 1);
}

/// A manifest as JSON, of any names.
fn manifest(files: &[(&str, &[u8])]) -> Vec<u8> {
    let files: Vec<_> = files
        .iter()
        .map(|(name, bytes)| serde_json::json!({"name": name, "size": bytes.len(), "blake3": Digest::of(bytes)}))
        .collect();
    serde_json::to_vec(&serde_json::json!({"version": 1, "files": files})).expect("memory takes it")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever names a manifest has, nothing appears outside the directory, and nothing wrong inside it.
    #[test]
    fn nothing_leaves_the_directory(
        names in prop::collection::vec("(\\.\\.?|/|\\\\|:|[a-c]|A|nul|\\.campanile|\u{0}){1,6}", 1..4),
        hostile in any::<bool>(),
    ) {
        let scratch = Scratch::new();
        let receiver = Receiver::new(&scratch);
        let content: &[u8] = b"harm";
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), content)).collect();
        let bytes: &[u8] = if hostile { b"hurt" } else { content };
        let sent = Sent::written(&manifest(&files), bytes, 50);
        let mut incoming = receiver.begin();
        // A refusal is an acceptable end, too.
        let _ = incoming.put(&sent.packets(sent.all()), &receiver.inbox).map(|_| incoming.fill(&receiver.inbox));
        receiver.work(&mut incoming);
        let received = receiver.files();
        prop_assert!(received.values().all(|bytes| bytes == content), "{received:?}");
        prop_assert!(received.len() <= names.len());
        let beside: Vec<_> = fs::read_dir(scratch.path()).expect("it is there").collect();
        prop_assert_eq!(beside.len(), 1, "{:?}", beside);
    }

    /// In any order, with repetitions, the files are what was sent, once.
    #[test]
    fn any_order_will_do(
        sizes in prop::collection::vec(0_usize..200, 1..5),
        block_len in 1_usize..70,
        order in any::<u64>(),
        batch in 1_usize..20,
    ) {
        let scratch = Scratch::new();
        let contents: Vec<(String, Vec<u8>)> = sizes
            .iter()
            .enumerate()
            .map(|(file, &size)| (format!("f{file}"), (0..size).map(|at| (at * 7 + file) as u8).collect()))
            .collect();
        let files: Vec<(&str, &[u8])> = contents.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
        let (sent, receiver) = (Sent::of(&scratch, &files, block_len), Receiver::new(&scratch));
        let mut blocks: Vec<u64> = sent.all().chain(0..3).filter(|block| *block < sent.all().end).collect();
        blocks.sort_by_key(|block| (block ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut incoming = receiver.begin();
        for batch in blocks.chunks(batch) {
            receiver.put(&mut incoming, &sent, batch.iter().copied());
        }
        prop_assert!(settled(&incoming));
        prop_assert_eq!(incoming.had_blocks(), sent.all().end);
        let expected: BTreeMap<_, _> = contents.into_iter().collect();
        prop_assert_eq!(receiver.files(), expected);
    }
}

#[test]
fn a_file_that_is_too_large_here_is_its_senders_fault() {
    let error = |kind: io::ErrorKind| FileAction::Create.of(Path::new("file"))(kind.into());
    let is_refused = |kind| matches!(error(kind).into(), IncomingError::Refused(Refusal::FileSystem));
    assert!(is_refused(io::ErrorKind::FileTooLarge));
    assert!(!is_refused(io::ErrorKind::StorageFull), "the next session would be lost, too");
}
