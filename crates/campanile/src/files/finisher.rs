//! The thread that checks whether files are there already, and gives complete ones their names.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};

use async_channel::{Receiver, Sender};

use super::digest::{Digest, Hashing};
use super::error::{FileAction, FileError};
use super::inbox::Inbox;
use super::manifest::Entry;
use super::meter::Meter;
use super::partial::PartialPaths;
use super::thread::DiskThread;

/// Does the slow work on whole contents, one after the other, while others are still being written.
#[derive(Debug)]
pub(crate) struct Finisher {
    jobs: SyncSender<(Ticket, Job)>,
    verdicts: Receiver<Verdict>,
    /// The jobs without a verdict yet, in order: for each, the content that it finishes, if it finishes one.
    pending: VecDeque<Option<Digest>>,
    meter: Arc<Meter>,
    // Dropped after the queue that it waits on, whose closing ends it.
    _thread: DiskThread,
}

/// The content that a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The number of its session.
    pub(crate) session: u64,
    /// Its place among the contents of the session.
    pub(crate) content: usize,
}

/// What is to be done with a content.
#[derive(Debug)]
pub(crate) enum Job {
    /// Look whether all of these files are there already.
    Look(Vec<Entry>),
    /// Hash it, and give it the names of its files.
    Finish(Box<Filled>),
}

/// A content of which all bytes are there.
#[derive(Debug)]
pub(crate) struct Filled {
    /// Where it is.
    pub(crate) paths: PartialPaths,
    /// Its files, at least one.
    pub(crate) entries: Vec<Entry>,
    /// The hash of its front, as far as it was computed.
    pub(crate) hashing: Hashing,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) ticket: Ticket,
    pub(crate) finding: Result<Finding, FileError>,
}

/// What was found out about a content.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Whether all of its files are there already.
    Looked(bool),
    /// It was right: for each of its files, whether it has its name now.
    Right(Vec<Result<(), FileError>>),
    /// Its hash was wrong, and it was deleted.
    Wrong,
}

impl Job {
    /// Does the job.
    pub(crate) fn run(self, inbox: &Inbox, meter: &Meter) -> Result<Finding, FileError> {
        match self {
            Job::Look(entries) => {
                for entry in &entries {
                    if !inbox.has(entry, meter)? {
                        return Ok(Finding::Looked(false));
                    }
                }
                Ok(Finding::Looked(true))
            }
            Job::Finish(filled) => filled.finish(inbox, meter),
        }
    }

    /// The content that it finishes, if it does.
    fn finishes(&self) -> Option<Digest> {
        match self {
            Job::Look(_) => None,
            Job::Finish(filled) => Some(filled.entries[0].digest),
        }
    }
}

impl Filled {
    fn finish(self, inbox: &Inbox, meter: &Meter) -> Result<Finding, FileError> {
        let Self { paths, entries, hashing } = self;
        let len = File::open(&paths.bytes).and_then(|mut file| hashed_on(&mut file, hashing, meter));
        let (digest, size) = (entries[0].digest, entries[0].size);
        if len.map_err(FileAction::Read.of(&paths.bytes))? != Some((digest, size)) {
            paths.remove().map_err(FileAction::Remove.of(&paths.bytes))?;
            return Ok(Finding::Wrong);
        }
        Ok(Finding::Right(inbox.place(&paths, &entries, meter)))
    }
}

/// The hash of a file whose front is already hashed, and its length; `None` if it is shorter than that front.
fn hashed_on(file: &mut File, mut hashing: Hashing, meter: &Meter) -> io::Result<Option<(Digest, u64)>> {
    if file.metadata()?.len() < hashing.len() {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(hashing.len()))?;
    hashing.read(file, meter)?;
    Ok(Some(hashing.end()))
}

impl Finisher {
    /// Starts the thread. The meter counts what it reads to hash.
    pub(crate) fn start(inbox: Arc<Inbox>, meter: Arc<Meter>) -> io::Result<Self> {
        let (jobs, work) = mpsc::sync_channel(JOBS);
        let (teller, verdicts) = async_channel::bounded(JOBS);
        let thread_meter = Arc::clone(&meter);
        let thread =
            DiskThread::start("file-finisher", move || work_off(&work, &teller, &inbox, &thread_meter))?;
        Ok(Self { jobs, verdicts, pending: VecDeque::new(), meter, _thread: thread })
    }

    /// Whether there is room for another job.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() < JOBS
    }

    /// Whether a job to finish this content is under way or waits.
    pub(crate) fn finishes(&self, digest: &Digest) -> bool {
        self.pending.contains(&Some(*digest))
    }

    /// Queues a job; there must be room.
    pub(crate) fn put(&mut self, ticket: Ticket, job: Job) {
        self.pending.push_back(job.finishes());
        self.jobs.send((ticket, job)).expect("the thread ends behind its queue");
    }

    /// The next verdict; waits for ever if there is no job.
    pub(crate) async fn verdict(&self) -> Verdict {
        self.verdicts.recv().await.expect("the thread ends behind its queue")
    }

    /// Notes that a verdict was taken.
    pub(crate) fn taken(&mut self) {
        self.pending.pop_front();
    }
}

impl Drop for Finisher {
    fn drop(&mut self) {
        self.meter.stop();
    }
}

/// Does jobs until there will be no more, or nobody waits for verdicts.
fn work_off(work: &mpsc::Receiver<(Ticket, Job)>, teller: &Sender<Verdict>, inbox: &Inbox, meter: &Meter) {
    while let Ok((ticket, job)) = work.recv() {
        if meter.is_stopped() {
            return;
        }
        let finding = job.run(inbox, meter);
        if teller.send_blocking(Verdict { ticket, finding }).is_err() {
            return;
        }
    }
}

/// The most jobs that wait.
const JOBS: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::files::name::FileName;
    use crate::files::partial::Partial;
    use crate::files::scratch::Scratch;
    use crate::multicast::wait;

    struct Fixture {
        scratch: Scratch,
        inbox: Arc<Inbox>,
    }

    impl Fixture {
        fn new() -> Self {
            let scratch = Scratch::new();
            let inbox = Inbox::open(&scratch.path().join("in"), false).expect("a directory of our own");
            Self { scratch, inbox: Arc::new(inbox) }
        }

        fn finisher(&self) -> Finisher {
            Finisher::start(Arc::clone(&self.inbox), Arc::default()).expect("there are threads")
        }

        /// A partial of these bytes, of which the first were hashed, for a file that should have others.
        fn filled(&self, bytes: &[u8], hashed: usize, of: &[u8]) -> Job {
            let entry = entry("file", of);
            let paths = self.inbox.partial(&entry.digest, 1);
            let mut partial = Partial::open(&paths, bytes.len() as u64, 1).expect("it may be written");
            partial.write(0, bytes).expect("there is room");
            let mut hashing = Hashing::default();
            hashing.take(&bytes[..hashed]);
            Job::Finish(Box::new(Filled { paths, entries: vec![entry], hashing }))
        }
    }

    fn entry(name: &str, content: &[u8]) -> Entry {
        Entry {
            name: FileName::parse(name).expect("a name"),
            size: content.len() as u64,
            digest: Digest::of(content),
            mode: None,
            modified: None,
        }
    }

    fn ticket(content: usize) -> Ticket {
        Ticket { session: 1, content }
    }

    #[test]
    fn jobs_are_done_in_their_order() {
        let fixture = Fixture::new();
        fixture.scratch.file("in/there", b"content");
        let mut finisher = fixture.finisher();
        finisher.put(ticket(0), Job::Look(vec![entry("there", b"content")]));
        finisher.put(ticket(1), Job::Look(vec![entry("there", b"content"), entry("too", b"content")]));
        finisher.put(ticket(2), Job::Look(vec![entry("there", b"another")]));
        let mut missing = fixture.filled(b"x", 0, b"x");
        if let Job::Finish(filled) = &mut missing {
            filled.paths.remove().expect("both are there");
        }
        finisher.put(ticket(3), missing);
        finisher.put(ticket(4), fixture.filled(b"content", 3, b"content"));
        assert!(finisher.finishes(&Digest::of(b"content")) && !finisher.finishes(&Digest::of(b"another")));
        let mut findings = Vec::new();
        while !finisher.pending.is_empty() {
            let Verdict { ticket, finding } = wait(finisher.verdict(), Duration::MAX).expect("it comes");
            finisher.taken();
            assert_eq!(ticket.content, findings.len());
            findings.push(finding);
        }
        use Finding::{Looked, Right};
        assert!(
            matches!(
                &findings[..],
                [Ok(Looked(true)), Ok(Looked(false)), Ok(Looked(false)), Err(_), Ok(Right(placed))] if placed[0].is_ok()
            ),
            "{findings:?}"
        );
        assert!(!finisher.finishes(&Digest::of(b"content")));
        assert!(fixture.inbox.has(&entry("file", b"content"), &Meter::default()).expect("readable"));
    }

    #[test]
    fn what_is_wrong_is_thrown_away() {
        for (bytes, hashed) in [(&b"contents"[..], 7), (b"conten", 3), (b"CONTENT", 0), (b"", 0)] {
            let fixture = Fixture::new();
            let job = fixture.filled(bytes, hashed.min(bytes.len()), b"content");
            let finding = job.run(&fixture.inbox, &Meter::default()).expect("readable");
            assert!(matches!(finding, Finding::Wrong), "{finding:?}");
            assert!(!fixture.inbox.partial(&Digest::of(b"content"), 1).exist());
        }
        // All of it was hashed, and then it was cut.
        let fixture = Fixture::new();
        let mut job = fixture.filled(b"con", 0, b"content");
        if let Job::Finish(filled) = &mut job {
            filled.hashing.take(b"content");
        }
        let finding = job.run(&fixture.inbox, &Meter::default()).expect("readable");
        assert!(matches!(finding, Finding::Wrong), "{finding:?}");
    }

    #[test]
    fn who_is_given_up_leaves_work_undone() {
        let fixture = Fixture::new();
        // A sparse file, too long to wait for its hash.
        let path = fixture.scratch.file("in/long", b"");
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("it is there");
        if file.set_len(1 << 42).is_err() {
            eprintln!("skipped: a file cannot be so long here");
            return;
        }
        let mut finisher = fixture.finisher();
        while finisher.has_room() {
            let long = Entry { size: 1 << 42, ..entry("long", b"") };
            finisher.put(ticket(0), Job::Look(vec![long]));
        }
        while finisher.meter.bytes() == 0 {
            std::thread::yield_now();
        }
        drop(finisher);
        // The directory is no longer locked.
        assert_eq!(Arc::strong_count(&fixture.inbox), 1);
    }
}
