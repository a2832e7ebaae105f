//! What a receiver is told at its start.

use std::time::Duration;

use crate::Framing;

/// The configuration of a [`super::Receiver`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// The data-destination port: packets to others are none of ours.
    pub destination_port: u16,
    /// What chance follows from. Receivers of one group must differ in it.
    pub seed: u64,
    /// How data reach the application.
    pub consumer: Consumer,
    /// Where reception of a source that has begun before starts.
    pub join: JoinWish,
    /// In bulk, how long at most the application of one that joins late takes to say what it has ([`super::Receiver::have`]). Until
    /// then the first packets alone are asked for, a block after the other.
    pub front: Duration,
    /// When and how often repairs are asked for.
    pub nak: NakConfig,
    /// How much is kept.
    pub limits: Limits,
    /// How long a source may be silent before it is given up.
    pub expiry: Duration,
    /// Type of service of all packets, where it differs from the socket's.
    pub tos: Option<u8>,
}

impl ReceiverConfig {
    /// The defaults: packed messages in order, going on after loss.
    #[must_use]
    pub fn new(destination_port: u16) -> Self {
        ReceiverConfig {
            destination_port,
            seed: 0,
            consumer: Consumer::default(),
            join: JoinWish::default(),
            front: Duration::ZERO,
            nak: NakConfig::default(),
            limits: Limits::default(),
            expiry: Duration::from_secs(60),
            tos: None,
        }
    }

    /// The configuration with each value within the bounds that the machine works with: no interval that would make a timer end when
    /// it begins, no limit that would let nothing through.
    pub(super) fn bounded(mut self) -> Self {
        let NakConfig { backoff, repeat, rdata, outstanding, spmr, .. } = &mut self.nak;
        for interval in [repeat, rdata, spmr, &mut self.expiry] {
            *interval = (*interval).clamp(INTERVAL_MIN, INTERVAL_MAX);
        }
        self.front = self.front.min(INTERVAL_MAX);
        *backoff = (*backoff).clamp(BACKOFF_MIN, INTERVAL_MAX);
        *outstanding = (*outstanding).max(1);
        let limits = &mut self.limits;
        limits.packets = limits.packets.clamp(1, PACKETS_MAX);
        limits.groups = limits.groups.max(1);
        self
    }
}

/// How data reach the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consumer {
    /// In order: messages, or bytes of a stream.
    Ordered {
        /// How messages lie in packets; as the sources have it.
        framing: Framing,
        /// What follows when something is lost for good.
        on_loss: OnLoss,
        /// What follows when the application does not keep up.
        slow: Slow,
    },
    /// Packet by packet with its sequence number, as they come and as they are recovered. What was handed over is handed back for
    /// decoding when it is asked for.
    Bulk,
}

impl Default for Consumer {
    fn default() -> Self {
        Consumer::Ordered { framing: Framing::Packed, on_loss: OnLoss::Continue, slow: Slow::Stall }
    }
}

/// What follows when something is lost for good, or a message is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnLoss {
    /// Delivery goes on behind the loss.
    #[default]
    Continue,
    /// The session ends for this receiver.
    Stop,
}

/// What follows when the application does not keep up and the window is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Slow {
    /// New data are not taken, nor repaired until there is room; what the source gives up meanwhile is lost.
    #[default]
    Stall,
    /// The oldest data are given up.
    Lose,
}

/// Where reception of a source that has begun before starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinWish {
    /// As far back as the source allows (OPT_JOIN, RFC 3208 §9.4). Delivery waits for the first SPM, but no longer than this.
    History {
        /// How long delivery waits to hear how far back it may begin.
        wait: Duration,
    },
    /// With the first packet received.
    Recent,
}

impl Default for JoinWish {
    fn default() -> Self {
        JoinWish::History { wait: Duration::from_millis(250) }
    }
}

/// When and how often repairs are asked for (RFC 3208 §6.3).
///
/// The intervals are where things begin; what is measured takes their place. One below a millisecond counts as a millisecond, a
/// back-off below 20 µs as that, and one above a day as a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NakConfig {
    /// The back-off before a NAK (NAK_BO_IVL): by chance up to this long.
    pub backoff: Duration,
    /// The time to wait for the confirmation of a NAK (NAK_RPT_IVL).
    pub repeat: Duration,
    /// The time to wait for the data after the confirmation (NAK_RDATA_IVL).
    pub rdata: Duration,
    /// How often a NAK is repeated without confirmation (NAK_NCF_RETRIES).
    pub ncf_retries: u8,
    /// How often it is repeated without data (NAK_DATA_RETRIES), [`NakConfig::WITHOUT_END`] for ever. Data that come and find no room
    /// are data.
    pub data_retries: u8,
    /// How many groups, or spans of 64 packets, are under repair at a time; at least one.
    pub outstanding: u16,
    /// The back-off before an SPMR, when data come from a source that no SPM was heard of.
    pub spmr: Duration,
}

impl NakConfig {
    /// What is confirmed is not given up: as a count of retries this is never exceeded.
    pub const WITHOUT_END: u8 = u8::MAX;
}

impl Default for NakConfig {
    fn default() -> Self {
        NakConfig {
            backoff: Duration::from_millis(10),
            repeat: Duration::from_millis(20),
            rdata: Duration::from_millis(100),
            ncf_retries: 50,
            data_retries: 50,
            outstanding: 64,
            spmr: Duration::from_millis(20),
        }
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Sources at a time.
    pub sources: usize,
    /// Of these, sources of which a single packet was heard so far. A new one takes the place of the oldest, of
    /// which the name is remembered.
    pub heard_once: usize,
    /// How far a source may be ahead of what was delivered, in packets (in order): from 1 to 2^30.
    pub packets: u32,
    /// Bytes of payload kept for a source; the last quarter of them is for repairs.
    pub bytes: usize,
    /// Groups of a source whose parity is kept at a time (bulk); at least one.
    pub groups: usize,
    /// The longest message; a longer one is told of, and passed over.
    pub message_len: usize,
}

impl Limits {
    /// Bytes that are kept of what is new: it must not take the place of what it waits for.
    pub(super) fn new_bytes(&self) -> usize {
        self.bytes - self.bytes / 4
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sources: 64,
            heard_once: 16,
            packets: 16_384,
            bytes: 32 << 20,
            groups: 64,
            message_len: 16 << 20,
        }
    }
}

/// About what a packet takes across a fast network, and its receivers to wake. A shorter wait spares nobody's NAK.
const BACKOFF_MIN: Duration = Duration::from_micros(20);
const INTERVAL_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// A quarter of the sequence numbers: further apart they cannot be compared with certainty.
const PACKETS_MAX: u32 = 1 << 30;
