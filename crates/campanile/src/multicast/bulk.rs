//! Sessions whose data are kept elsewhere, as in files: what the file transfer stands on.
//!
//! A [`BulkPublisher`] offers so many bytes and asks for ranges of them when they are to be sent. A [`BulkSubscriber`] hands over
//! packets as they come, with their sequence numbers, and asks for a group of them when it can be decoded. Neither ever waits for
//! the application: what it does not take in time is repaired later.

use std::net::IpAddr;
use std::ops::Range;

use async_channel::Sender;
use campanile_pgm::receiver::EndCause;
use campanile_pgm::{Seq, Tsi};

use super::queue::Inlet;
use super::report::{Report, Standing};

/// What a bulk publisher has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkSent {
    /// These bytes of what was offered are needed: [`BulkPublisher::supply`] them.
    Need(Range<u64>),
    /// A receiver reports.
    Report {
        /// Its address.
        from: IpAddr,
        /// What it says.
        report: Report,
    },
    /// All that was offered was sent once.
    Drained,
    /// The session is over, and its linger, too.
    Finished,
    /// The node cannot go on.
    Failed(String),
}

/// What a bulk subscriber has to tell.
#[derive(Debug)]
pub enum BulkReceived {
    /// A source was found.
    Start {
        /// The source.
        tsi: Tsi,
        /// Its address.
        source: IpAddr,
        /// The first sequence number that will be delivered or told lost; 0 at the beginning of a session.
        first: Seq,
    },
    /// Packets.
    Packets(Batch),
    /// The packets of a group are needed to decode what it lacks: [`BulkSubscriber::supply`] them.
    Need {
        /// The source.
        tsi: Tsi,
        /// The first sequence number of the group.
        first: Seq,
        /// How many packets it has. Those that were not delivered yet may hold anything.
        count: u8,
    },
    /// Packets are lost for good.
    Lost {
        /// The source.
        tsi: Tsi,
        /// The first of them.
        first: Seq,
        /// The last of them.
        last: Seq,
    },
    /// The source knows the final standing that was reported.
    Acknowledged {
        /// The source.
        tsi: Tsi,
    },
    /// Nothing more will come of a source.
    End {
        /// The source.
        tsi: Tsi,
        /// Why.
        cause: EndCause,
    },
    /// The node cannot go on.
    Failed(String),
}

/// Packets of one source, in one buffer. The buffer goes back to the node when the batch is dropped.
#[derive(Debug)]
pub struct Batch {
    tsi: Tsi,
    buffer: Buffer,
    home: Sender<Buffer>,
}

/// The bytes of packets, one behind the other, and where each one ends.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    packets: Vec<(Seq, usize)>,
}

impl Batch {
    /// The source.
    #[must_use]
    pub fn tsi(&self) -> Tsi {
        self.tsi
    }

    /// The packets, in the order in which they came.
    pub fn packets(&self) -> impl Iterator<Item = (Seq, &[u8])> {
        let mut start = 0;
        self.buffer.packets.iter().map(move |&(sqn, end)| {
            let bytes = &self.buffer.bytes[start..end];
            start = end;
            (sqn, bytes)
        })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.bytes.clear();
        buffer.packets.clear();
        // A node that has gone, or has enough of them, does not want it.
        let _ = self.home.try_send(buffer);
    }
}

/// How far the application has got with a source, as its reports say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The cookie of the session's profile.
    pub cookie: u64,
    /// How far it has got. A final standing is told at once, and until the source knows it.
    pub standing: Standing,
    /// Data packets that it has, of `total`.
    pub had: u32,
    /// Data packets of the session; 0 when that is not known.
    pub total: u32,
    /// Bytes that its buffers and disks still take.
    pub headroom: u64,
}

/// Sends what is kept elsewhere.
#[derive(Debug)]
pub struct BulkPublisher {
    events: Inlet<BulkSent>,
}

/// Receives packets for what is kept elsewhere.
#[derive(Debug)]
pub struct BulkSubscriber {
    events: Inlet<BulkReceived>,
}
