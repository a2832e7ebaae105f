//! The violations that the oracles can find.

use std::fmt;
use std::time::Duration;

use campanile_pgm::{Seq, Tsi};

use super::delivery::Misdelivery;
use crate::{PartyId, Time};

/// A broken promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// When it was noticed.
    pub at: Time,
    /// The party that broke it.
    pub party: PartyId,
    /// The promise.
    pub promise: Promise,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Promise {
    /// What is delivered is what was sent, in order, without gap or duplicate, or an event names the gap.
    Delivery {
        /// The session of which something was delivered.
        tsi: Tsi,
        /// What is wrong with it.
        fault: Misdelivery,
    },
    /// Packets of a source carry what its application published.
    Framing {
        /// The packet that does not.
        sqn: Seq,
    },
    /// No packet of a source is longer than its configuration says.
    Length {
        /// How long it is.
        len: usize,
        /// How long it may be.
        bound: usize,
    },
    /// Over any time a source stays within its rate and one burst.
    Rate {
        /// What it sent in that time, in bytes.
        sent: u64,
        /// What it may send.
        bound: u64,
    },
    /// A source that is held sends no more new data than it may.
    Held {
        /// How many packets of new data it sent.
        sent: u64,
        /// How many it may send.
        bound: u64,
    },
    /// While new data wait, repairs take no more than their share.
    RepairShare {
        /// How many bytes repairs are ahead of their share.
        ahead: u64,
        /// How many they may be.
        bound: u64,
    },
    /// NAKs that reach a source are few compared with what it sends.
    Naks {
        /// NAKs that came.
        naks: u64,
        /// Packets that it sent.
        sent: u64,
    },
    /// A receiver that lost nothing sends nothing.
    Silence {
        /// The packets that it sent.
        sent: u64,
    },
    /// A receiver that may get everything gets everything, in bounded time.
    Convergence {
        /// Sessions that it did not receive to the end.
        open: u32,
        /// Packets given up.
        lost: u32,
        /// How long after the due time the last session ended, or the world did.
        late: Duration,
    },
    /// The end of a source is reported, whatever its cause, to all that heard it.
    Ending {
        /// Sessions that have no end.
        open: u32,
    },
    /// A source whose session nobody asks about any more is over.
    Departure,
    /// Memory stays within its bound.
    Memory {
        /// Bytes in use.
        used: u64,
        /// Bytes that may be in use.
        bound: u64,
    },
    /// A machine that has nothing to do asks to be called seldom.
    Rest {
        /// How often it was called because it had asked for that.
        timeouts: u64,
        /// How often it may be.
        bound: u64,
    },
    /// Time advances: no machine sends packets, or has events, without end in one moment.
    Progress,
}

/// The most events that a machine tells, and packets that a receiver sends, in one moment.
pub(crate) const TOLD_MOST: u32 = 100_000;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}, party {}: ", self.at, self.party.0)?;
        match &self.promise {
            Promise::Delivery { tsi, fault } => write!(f, "delivery of {tsi} is wrong: {fault:?}"),
            Promise::Framing { sqn } => write!(f, "packet {sqn} does not carry what was published"),
            Promise::Length { len, bound } => write!(f, "a packet of {len} bytes where {bound} are allowed"),
            Promise::Rate { sent, bound } => write!(f, "sent {sent} bytes where the rate allows {bound}"),
            Promise::Held { sent, bound } => write!(f, "sent {sent} packets where it may send {bound}"),
            Promise::RepairShare { ahead, bound } => {
                write!(f, "repairs are {ahead} bytes ahead of their share where {bound} are allowed")
            }
            Promise::Naks { naks, sent } => write!(f, "{naks} NAKs for {sent} packets"),
            Promise::Silence { sent } => write!(f, "lost nothing and sent {sent} packets"),
            Promise::Convergence { open, lost, late } => {
                write!(f, "{open} sessions are not at their end, {lost} packets are given up, {late:?} late")
            }
            Promise::Ending { open } => write!(f, "{open} sessions have no end, though their source has"),
            Promise::Departure => f.write_str("lingers without end"),
            Promise::Memory { used, bound } => write!(f, "{used} bytes of memory where {bound} are allowed"),
            Promise::Rest { timeouts, bound } => {
                write!(f, "asks to be called {timeouts} times where {bound} are allowed")
            }
            Promise::Progress => f.write_str("sends or tells more and more at once"),
        }
    }
}
