//! The thread that checks whether files are there already, and gives complete ones their names.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

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
    jobs: SyncSender<(JobTarget, Job)>,
    verdicts: Receiver<Verdict>,
    /// The jobs without a verdict yet, in order: for each, the content that it finishes, if it finishes one.
    pending: VecDeque<Option<Digest>>,
    meter: Arc<Meter>,
    // Dropped after the queue that it waits on, whose closing ends it.
    _thread: DiskThread,
}

/// The content that a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobTarget {
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
    pub(crate) target: JobTarget,
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
    /// Does jobs in their order, except that all contents whose hashes match get their names together at the end.
    pub(crate) fn run(jobs: Vec<Job>, inbox: &Inbox, meter: &Meter) -> Vec<Result<Finding, FileError>> {
        let mut right = Vec::new();
        let found: Vec<_> = jobs.into_iter().map(|job| job.look(inbox, meter, &mut right)).collect();
        let mut placed = inbox.place(&right, meter).into_iter();
        let mut finding = |found: Option<Finding>| {
            found.unwrap_or_else(|| Finding::Right(placed.next().expect("each that is right was placed")))
        };
        found.into_iter().map(|found| found.map(&mut finding)).collect()
    }

    /// Looks for files, or checks a content's hash. A content that matches is added to `right`, and has no finding yet.
    fn look(
        self,
        inbox: &Inbox,
        meter: &Meter,
        right: &mut Vec<(PartialPaths, Vec<Entry>)>,
    ) -> Result<Option<Finding>, FileError> {
        match self {
            Job::Look(entries) => {
                // Why one cannot be read shows when it is to get its name.
                let is_there = |entry: &Entry| inbox.has(entry, meter).unwrap_or(false);
                Ok(Some(Finding::Looked(entries.iter().all(is_there))))
            }
            Job::Finish(filled) => {
                let Filled { paths, entries, hashing } = *filled;
                if is_right(&paths, &entries[0], hashing, meter)? {
                    right.push((paths, entries));
                    return Ok(None);
                }
                paths.remove().map_err(FileAction::Remove.of(&paths.bytes))?;
                Ok(Some(Finding::Wrong))
            }
        }
    }

    /// Gives the job up, and keeps its content for another session.
    pub(crate) fn leave(self) {
        if let Job::Finish(filled) = self {
            // If this fails, it is received again.
            let _ = filled.paths.keep();
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

/// Whether a content, whose front is hashed already, has the hash and size that the manifest says.
fn is_right(paths: &PartialPaths, entry: &Entry, hashing: Hashing, meter: &Meter) -> Result<bool, FileError> {
    let hashed = File::open(&paths.bytes).and_then(|mut file| hashed_on(&mut file, hashing, meter));
    match hashed {
        Ok(hashed) => Ok(hashed == Some((entry.digest, entry.size))),
        Err(error) => {
            let _ = paths.keep();
            Err(FileAction::Read.of(&paths.bytes)(error))
        }
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
        let (sender, verdicts) = async_channel::bounded(JOBS);
        let thread_meter = Arc::clone(&meter);
        let thread =
            DiskThread::start("file-finisher", move || work_off(&work, &sender, &inbox, &thread_meter))?;
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
    pub(crate) fn put(&mut self, target: JobTarget, job: Job) {
        self.pending.push_back(job.finishes());
        self.jobs.send((target, job)).expect("the thread ends behind its queue");
    }

    /// The next verdict; waits forever if there is no job.
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

/// Does jobs until there will be no more. Once the meter has stopped, they are given up.
fn work_off(
    work: &mpsc::Receiver<(JobTarget, Job)>,
    verdicts: &Sender<Verdict>,
    inbox: &Inbox,
    meter: &Meter,
) {
    let mut not_before = Instant::now();
    while let Ok(first) = work.recv() {
        let (targets, jobs): (Vec<_>, Vec<_>) = gather(first, work, not_before).into_iter().unzip();
        if meter.is_stopped() {
            jobs.into_iter().for_each(Job::leave);
            continue;
        }
        let begun = Instant::now();
        for (target, finding) in targets.into_iter().zip(Job::run(jobs, inbox, meter)) {
            // The receiving end may be gone.
            let _ = verdicts.send_blocking(Verdict { target, finding });
        }
        not_before = Instant::now() + (begun.elapsed() * GATHERING).min(GATHERING_MAX);
    }
}

/// Collects the jobs that wait. Jobs that finish contents are collected until `not_before`, to be done together.
fn gather(
    first: (JobTarget, Job),
    work: &mpsc::Receiver<(JobTarget, Job)>,
    not_before: Instant,
) -> Vec<(JobTarget, Job)> {
    let mut gathered = vec![first];
    while gathered.len() < JOBS {
        let waits = matches!(gathered.last(), Some((_, Job::Finish(_))));
        let time = if waits { not_before.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
        let Ok(job) = work.recv_timeout(time) else { break };
        gathered.push(job);
    }
    gathered
}

/// The most jobs that wait, and that are done together.
const JOBS: usize = 1024;

/// Jobs are collected for this many times as long as the last ones took: syncing a file system holds up whoever creates files in it, and
/// takes hardly longer for many files than for one.
const GATHERING: u32 = 4;

/// The longest time for which jobs are collected.
const GATHERING_MAX: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
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
            let paths = self.inbox.partial(&entry.digest, bytes.len() as u64, 1);
            let mut partial = Partial::open(paths.clone()).expect("it may be written");
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

    fn run(job: Job, fixture: &Fixture) -> Finding {
        Job::run(vec![job], &fixture.inbox, &Meter::default()).remove(0).expect("readable")
    }

    fn target(content: usize) -> JobTarget {
        JobTarget { session: 1, content }
    }

    #[test]
    fn jobs_are_done_in_their_order() {
        let fixture = Fixture::new();
        fixture.scratch.file("in/there", b"content");
        let mut finisher = fixture.finisher();
        finisher.put(target(0), Job::Look(vec![entry("there", b"content")]));
        finisher.put(target(1), Job::Look(vec![entry("there", b"content"), entry("too", b"content")]));
        finisher.put(target(2), Job::Look(vec![entry("there", b"another")]));
        let mut missing = fixture.filled(b"x", 0, b"x");
        if let Job::Finish(filled) = &mut missing {
            filled.paths.remove().expect("both are there");
        }
        finisher.put(target(3), missing);
        finisher.put(target(4), fixture.filled(b"content", 3, b"content"));
        assert!(finisher.finishes(&Digest::of(b"content")) && !finisher.finishes(&Digest::of(b"another")));
        let mut findings = Vec::new();
        while !finisher.pending.is_empty() {
            let Verdict { target, finding } = wait(finisher.verdict(), Duration::MAX).expect("it comes");
            finisher.taken();
            assert_eq!(target.content, findings.len());
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
            let finding = run(job, &fixture);
            assert!(matches!(finding, Finding::Wrong), "{finding:?}");
            assert!(!fixture.inbox.partial(&Digest::of(b"content"), 7, 1).bytes.exists());
        }
        // All of it was hashed, and then it was cut.
        let fixture = Fixture::new();
        let mut job = fixture.filled(b"con", 0, b"content");
        if let Job::Finish(filled) = &mut job {
            filled.hashing.take(b"content");
        }
        let finding = run(job, &fixture);
        assert!(matches!(finding, Finding::Wrong), "{finding:?}");
    }

    #[test]
    fn a_finisher_that_is_dropped_leaves_work_undone() {
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
            finisher.put(target(0), Job::Look(vec![long]));
        }
        while finisher.meter.bytes() == 0 {
            std::thread::yield_now();
        }
        drop(finisher);
        // The directory is no longer locked.
        assert_eq!(Arc::strong_count(&fixture.inbox), 1);
    }
}
