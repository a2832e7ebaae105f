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
    /// Time advances: a machine does not ask to be called again at once without end.
    Progress,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}, party {}: ", self.at, self.party.0)?;
        match &self.promise {
            Promise::Delivery { tsi, fault } => write!(f, "delivery of {tsi} is wrong: {fault:?}"),
            Promise::Framing { sqn } => write!(f, "packet {sqn} does not carry what was published"),
            Promise::Length { len, bound } => write!(f, "a packet of {len} bytes where {bound} are allowed"),
            Promise::Rate { sent, bound } => write!(f, "sent {sent} bytes where the rate allows {bound}"),
            Promise::Naks { naks, sent } => write!(f, "{naks} NAKs for {sent} packets"),
            Promise::Silence { sent } => write!(f, "lost nothing and sent {sent} packets"),
            Promise::Convergence { open, lost, late } => {
                write!(f, "{open} sessions are not at their end, {lost} packets are given up, {late:?} late")
            }
            Promise::Ending { open } => write!(f, "{open} sessions have no end, though their source has"),
            Promise::Memory { used, bound } => write!(f, "{used} bytes of memory where {bound} are allowed"),
            Promise::Rest { timeouts, bound } => {
                write!(f, "asks to be called {timeouts} times where {bound} are allowed")
            }
            Promise::Progress => f.write_str("is called again and again without end"),
        }
    }
}
