//! The thread that reads from the disk what is sent next.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use super::error::FileError;
use super::reading::Reading;
use super::thread::DiskThread;
use crate::multicast::{BulkPublisher, BulkSent, Supplier};

/// Serves a session's wish for bytes on a thread of its own, and hands on what else the session tells.
///
/// Between the thread and the node lie as many groups as the source holds, and between the thread and the application as many events as
/// a session keeps.
#[derive(Debug)]
pub(crate) struct Reader {
    // Dropped first: the session's end wakes the thread, wherever that waits.
    publisher: BulkPublisher,
    told: Receiver<Told>,
    _thread: DiskThread,
}

/// What the thread has to tell: an event of the session, served already, or why it cannot go on.
pub(crate) type Told = Result<BulkSent, FileError>;

impl Reader {
    /// Starts to read for a session.
    pub(crate) fn start(publisher: BulkPublisher, reading: Reading) -> io::Result<Self> {
        let (teller, told) = mpsc::sync_channel(EVENTS);
        let work = Work { supplier: publisher.supplier(), reading, teller };
        let thread = DiskThread::start("file-reader", || work.run())?;
        Ok(Self { publisher, told, _thread: thread })
    }

    pub(crate) fn publisher(&self) -> &BulkPublisher {
        &self.publisher
    }

    /// What happened next; `None` if nothing did within `timeout`, or there will be no more.
    pub(crate) fn next(&self, timeout: Duration) -> Option<Told> {
        self.told.recv_timeout(timeout).ok()
    }
}

/// What the thread holds.
struct Work {
    supplier: Supplier,
    reading: Reading,
    teller: SyncSender<Told>,
}

impl Work {
    /// Serves until the session is over, or nobody listens any more.
    fn run(mut self) {
        while let Some(event) = self.supplier.next() {
            let served = match &event {
                BulkSent::Need(range) => self.supply(range.clone()),
                // What was sent was hashed before: now it is seen that it was the same.
                BulkSent::Drained => self.reading.is_unchanged(),
                _ => Ok(()),
            };
            if served.is_err() {
                self.supplier.abort(UNREADABLE);
            }
            if self.teller.send(served.map(|()| event)).is_err() {
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

/// Events that wait for the application.
const EVENTS: usize = 1024;

/// The reason that OPT_RST tells receivers (RFC 3208 section 9.8): a file of the session cannot be read any more.
const UNREADABLE: u8 = 2;
