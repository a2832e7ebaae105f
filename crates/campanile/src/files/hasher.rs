//! The thread that hashes what has come.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use async_channel::{Receiver, Sender};
use campanile_engine::privilege;

use super::digest::Digest;
use super::error::{FileAction, FileError};

/// Hashes contents one after the other, while others are still written.
#[derive(Debug)]
pub(crate) struct Hasher {
    /// `None` only while this is dropped.
    jobs: Option<SyncSender<(u64, Filled)>>,
    verdicts: Receiver<Verdict>,
    /// Jobs without a verdict yet.
    pending: usize,
    thread: Option<JoinHandle<()>>,
}

/// A content all of which is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    /// Its place among the contents of its session.
    pub(crate) content: usize,
    /// The file that has its bytes.
    pub(crate) path: PathBuf,
    /// What it must be.
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// Whether a content is what it must be.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The number of the session.
    pub(crate) session: u64,
    pub(crate) content: usize,
    pub(crate) is_right: Result<bool, FileError>,
}

impl Filled {
    /// Whether the bytes have the hash.
    pub(crate) fn is_right(&self) -> Result<bool, FileError> {
        let read = File::open(&self.path).and_then(|mut file| Digest::read(&mut file));
        let read = read.map_err(FileAction::Read.of(&self.path))?;
        Ok(read == (self.digest, self.size))
    }
}

impl Hasher {
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, work) = mpsc::sync_channel(JOBS);
        let (teller, verdicts) = async_channel::bounded(JOBS);
        let thread = thread::Builder::new().name("file-hasher".to_owned()).spawn(move || {
            // Who reads files needs no raw sockets. Where the privilege cannot be given up the node has failed of the same.
            let _ = privilege::drop_raw();
            hash(&work, &teller);
        })?;
        Ok(Self { jobs: Some(jobs), verdicts, pending: 0, thread: Some(thread) })
    }

    /// Whether another content may be given.
    pub(crate) fn has_room(&self) -> bool {
        self.pending < JOBS
    }

    /// Whether a verdict is to be waited for.
    pub(crate) fn is_busy(&self) -> bool {
        self.pending > 0
    }

    /// Gives a content of the session of this number to be hashed; there is room.
    pub(crate) fn put(&mut self, session: u64, filled: Filled) {
        let jobs = self.jobs.as_ref().expect("it is there until this is dropped");
        jobs.send((session, filled)).expect("the thread ends behind its queue");
        self.pending += 1;
    }

    /// The next verdict; never one without a job.
    pub(crate) async fn verdict(&self) -> Verdict {
        self.verdicts.recv().await.expect("the thread ends behind its queue")
    }

    /// A verdict was taken.
    pub(crate) fn taken(&mut self) {
        self.pending -= 1;
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.verdicts.close();
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to add to the panic.
            let _ = thread.join();
        }
    }
}

/// Hashes until there will be no more, or nobody wants to know.
fn hash(work: &mpsc::Receiver<(u64, Filled)>, teller: &Sender<Verdict>) {
    while let Ok((session, filled)) = work.recv() {
        if teller.is_closed() {
            return;
        }
        let verdict = Verdict { session, content: filled.content, is_right: filled.is_right() };
        if teller.send_blocking(verdict).is_err() {
            return;
        }
    }
}

/// Contents that wait to be hashed.
const JOBS: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::files::scratch::Scratch;
    use crate::multicast::wait;

    #[test]
    fn contents_are_judged_in_their_order() {
        let scratch = Scratch::new();
        let path = scratch.file("part", b"content");
        let filled = |content, of: &[u8]| Filled {
            content,
            path: path.clone(),
            digest: Digest::of(of),
            size: of.len() as u64,
        };
        let mut hasher = Hasher::start().expect("there are threads");
        hasher.put(1, filled(0, b"content"));
        hasher.put(1, filled(1, b"another"));
        hasher.put(2, Filled { path: scratch.path().join("none"), ..filled(5, b"content") });
        let mut verdicts = Vec::new();
        while hasher.is_busy() {
            let Verdict { session, content, is_right } =
                wait(hasher.verdict(), Duration::MAX).expect("it comes");
            hasher.taken();
            verdicts.push((session, content, is_right.ok()));
        }
        assert_eq!(verdicts, [(1, 0, Some(true)), (1, 1, Some(false)), (2, 5, None)]);
    }

    #[test]
    fn who_is_given_up_leaves_work_undone() {
        let scratch = Scratch::new();
        let path = scratch.file("part", b"content");
        let mut hasher = Hasher::start().expect("there are threads");
        while hasher.has_room() {
            hasher.put(1, Filled { content: 0, path: path.clone(), digest: Digest::of(b""), size: 0 });
        }
        drop(hasher);
    }
}
