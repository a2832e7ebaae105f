//! The thread that hashes what is to be sent.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::meter::Meter;
use super::offering::{Found, Offering, OfferingError};
use super::thread::DiskThread;

/// An [`Offering`] in the making: a thread of its own lists and hashes the files. Dropping this stops the thread.
#[derive(Debug)]
pub struct Collecting {
    shared: Arc<Shared>,
    offering: Receiver<Result<Offering, OfferingError>>,
    _thread: DiskThread,
}

#[derive(Debug, Default)]
struct Shared {
    meter: Meter,
    /// Bytes of all files; 0 until all have been found.
    total: AtomicU64,
}

/// How much of what is to be sent is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectProgress {
    /// Bytes that were read.
    pub hashed: u64,
    /// Bytes of all files; 0 until they are found.
    pub total: u64,
}

impl Collecting {
    /// Begins with these files and directories, as [`Offering::collect`] does.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(paths: Vec<PathBuf>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, offering) = mpsc::sync_channel(1);
        let ours = Arc::clone(&shared);
        let thread = DiskThread::start("file-collector", move || {
            let found = Found::below(&paths);
            let offering = found.and_then(|found| {
                ours.total.store(found.bytes(), Ordering::Relaxed);
                found.hashed(&ours.meter)
            });
            // This fails if nobody waits for the offering any more.
            let _ = sender.send(offering);
        })?;
        Ok(Self { shared, offering, _thread: thread })
    }

    /// The offering, once, as soon as it is made; `None` if that takes longer than `timeout`.
    ///
    /// # Errors
    /// The first file that cannot be sent.
    pub fn next(&self, timeout: Duration) -> Result<Option<Offering>, OfferingError> {
        self.offering.recv_timeout(timeout).ok().transpose()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> CollectProgress {
        let Shared { meter, total } = &*self.shared;
        CollectProgress { hashed: meter.bytes(), total: total.load(Ordering::Relaxed) }
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.shared.meter.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    #[test]
    fn collecting_finds_the_same_as_a_call_that_waits() {
        let scratch = Scratch::new();
        let paths = vec![scratch.file("tree/a", &[1; 1000]), scratch.file("b", b"bytes")];
        let collecting = Collecting::start(paths.clone()).expect("there are threads");
        let offering = collecting.next(Duration::MAX).expect("they can be sent").expect("it waits for it");
        assert_eq!(offering.manifest(), Offering::collect(&paths).expect("they can be sent").manifest());
        assert_eq!(collecting.progress(), CollectProgress { hashed: 1005, total: 1005 });
        let collecting = Collecting::start(vec![scratch.path().join("none")]).expect("there are threads");
        assert!(matches!(collecting.next(Duration::MAX), Err(OfferingError::File(_))));
    }

    #[test]
    fn a_name_that_cannot_be_sent_is_refused_before_anything_is_hashed() {
        let scratch = Scratch::new();
        let (long, ours) = (scratch.file("long", &[1; 1000]), scratch.file(".campanile", b""));
        let same = scratch.file("another/Long", b"");
        for refused in [ours, same] {
            let collecting = Collecting::start(vec![long.clone(), refused]).expect("there are threads");
            collecting.next(Duration::MAX).expect_err("it cannot be sent");
            assert_eq!(collecting.progress().hashed, 0);
        }
    }

    #[test]
    fn collecting_can_be_given_up() {
        let scratch = Scratch::new();
        // A sparse file, too long to wait for its hash.
        let path = scratch.file("long", b"");
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it is there");
        if file.set_len(1 << 42).is_err() {
            eprintln!("skipped: a file cannot be so long here");
            return;
        }
        let collecting = Collecting::start(vec![path]).expect("there are threads");
        while collecting.progress().hashed == 0 {
            assert!(collecting.next(Duration::from_millis(1)).expect("it can be sent").is_none());
        }
        assert_eq!(collecting.progress().total, 1 << 42);
        drop(collecting);
    }
}
