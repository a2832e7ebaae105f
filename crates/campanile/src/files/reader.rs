//! The thread that reads what is sent next from the disk.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use super::error::FileError;
use super::reading::Reading;
use super::thread::DiskThread;
use crate::multicast::{BulkPublisher, BulkSent, Supplier};

/// Serves a session's requests for bytes on a thread of its own, and forwards the session's other events.
///
/// The thread can be ahead of the node by as many groups as the source holds, and of the application by `EVENTS` events.
#[derive(Debug)]
pub(crate) struct Reader {
    // Dropped first: the session's end wakes the thread, wherever it waits.
    publisher: BulkPublisher,
    events: Receiver<ReaderEvent>,
    _thread: DiskThread,
}

/// What the thread reports: an event of the session, which it has already served, or in place of its end why it was aborted.
pub(crate) type ReaderEvent = Result<BulkSent, FileError>;

impl Reader {
    /// Starts to read for a session.
    pub(crate) fn start(publisher: BulkPublisher, reading: Reading) -> io::Result<Self> {
        let (sender, events) = mpsc::sync_channel(EVENTS);
        let work = Work { supplier: publisher.supplier(), reading, events: sender };
        let thread = DiskThread::start("file-reader", || work.run())?;
        Ok(Self { publisher, events, _thread: thread })
    }

    pub(crate) fn publisher(&self) -> &BulkPublisher {
        &self.publisher
    }

    /// What happened next; `None` if nothing did within `timeout`, or there will be no more.
    pub(crate) fn next(&self, timeout: Duration) -> Option<ReaderEvent> {
        self.events.recv_timeout(timeout).ok()
    }
}

/// What the thread holds.
struct Work {
    supplier: Supplier,
    reading: Reading,
    events: SyncSender<ReaderEvent>,
}

impl Work {
    /// Serves until the session is over, or nobody receives events any more.
    fn run(mut self) {
        let mut failed = None;
        while let Some(event) = self.supplier.next() {
            let served = match &event {
                BulkSent::Need(_) | BulkSent::Drained if failed.is_some() => continue,
                BulkSent::Need(range) => self.supply(range.clone()),
                // The files were hashed before they were sent: now it is checked that they did not change.
                BulkSent::Drained => self.reading.is_unchanged(),
                _ => Ok(()),
            };
            if let Err(error) = served {
                self.supplier.abort(UNREADABLE);
                self.supplier.set_linger(FAREWELL);
                failed = Some(error);
                continue;
            }
            // Not before the end: with the application the session would go, before the receivers have heard why.
            let told = match event {
                BulkSent::Finished => failed.take().map_or(Ok(BulkSent::Finished), Err),
                event => Ok(event),
            };
            if self.events.send(told).is_err() {
                return;
            }
        }
    }

    fn supply(&mut self, range: Range<u64>) -> Result<(), FileError> {
        let bytes = self.reading.read(range.clone(), self.supplier.buffer())?;
        self.supplier.supply(range, bytes);
        Ok(())
    }
}

/// The most events that wait for the application.
const EVENTS: usize = 1024;

/// How long receivers are told that a file cannot be read: each of them loses some of the SPMs that say so.
const FAREWELL: Duration = Duration::from_secs(1);

/// The reason that OPT_RST tells receivers (RFC 3208 section 9.8): a file of the session cannot be read any more.
const UNREADABLE: u8 = 2;
