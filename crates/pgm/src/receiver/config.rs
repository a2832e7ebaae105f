//! The configuration of a receiver.

use std::time::Duration;

use crate::Framing;

/// The configuration of a [`super::Receiver`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// The data-destination port; packets to other ports are ignored.
    pub destination_port: u16,
    /// The seed of random decisions. It must differ between the receivers of a group.
    pub seed: u64,
    /// How data reach the application.
    pub consumer: Consumer,
    /// Where reception of a source starts that has begun to send before.
    pub join: JoinWish,
    /// In bulk, when we join late: how long to wait for the application to say what it already has ([`super::Receiver::have`]). During
    /// this time only the first packets are asked for, one block after the other.
    pub front: Duration,
    /// When and how often to ask for repairs.
    pub nak: NakConfig,
    /// The bounds on what is kept.
    pub limits: Limits,
    /// How long a source may be silent before it is given up: from a millisecond to a day.
    pub expiry: Duration,
    /// Type of service of all packets; `None` leaves the socket's.
    pub tos: Option<u8>,
}

impl ReceiverConfig {
    /// The defaults: packed messages in order, and delivery continues after a loss.
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

    /// The configuration with each value within the bounds that the machine needs, so that no timer ends the moment it is set and no
    /// limit lets nothing through.
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
        /// How messages are laid out in packets; must be the sources' framing.
        framing: Framing,
        /// What happens when something is lost for good.
        on_loss: OnLoss,
        /// What happens when the application does not keep up.
        slow: Slow,
    },
    /// Packet by packet with their sequence numbers, as they come and as they are recovered. The application keeps the packets, and
    /// hands them back when they are needed for decoding.
    Bulk,
}

impl Default for Consumer {
    fn default() -> Self {
        Consumer::Ordered { framing: Framing::Packed, on_loss: OnLoss::Continue, slow: Slow::Stall }
    }
}

/// What happens when something is lost for good, or a message is too long, or a packet is not laid out in the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnLoss {
    /// Delivery continues after the loss.
    #[default]
    Continue,
    /// The session ends for this receiver.
    Stop,
}

/// What happens when the application does not keep up and the window is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Slow {
    /// New data are dropped, and repaired once there is room; what the source can no longer repair then is lost.
    #[default]
    Stall,
    /// The oldest data are given up.
    Lose,
}

/// Where reception of a source starts that has begun to send before.
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

/// When and how often to ask for repairs (RFC 3208 §6.3).
///
/// The intervals are initial values, which measured ones replace. An interval below a millisecond counts as a millisecond, a back-off
/// below 20 µs as 20 µs, and any above a day as a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NakConfig {
    /// The longest random back-off before a NAK (NAK_BO_IVL).
    pub backoff: Duration,
    /// The time to wait for the confirmation of a NAK (NAK_RPT_IVL).
    pub repeat: Duration,
    /// The time to wait for the data after the confirmation (NAK_RDATA_IVL).
    pub rdata: Duration,
    /// How often to repeat a NAK that is not confirmed (NAK_NCF_RETRIES).
    pub ncf_retries: u8,
    /// How often to repeat a NAK that is confirmed but brings no data (NAK_DATA_RETRIES); [`NakConfig::WITHOUT_END`] for no limit.
    /// Data for which there is no room count as data.
    pub data_retries: u8,
    /// How many groups, or blocks of 64 packets, are under repair at a time; at least one.
    pub outstanding: u16,
    /// The longest random back-off before an SPMR, when data come from a source whose SPM was not heard.
    pub spmr: Duration,
}

impl NakConfig {
    /// The value of `data_retries` with which confirmed packets are never given up.
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

/// The bounds on what a receiver keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The number of sources at a time.
    pub sources: usize,
    /// How many of these may have sent a single packet so far. A new one replaces the one that was silent for longest, whose TSI is
    /// remembered.
    pub heard_once: usize,
    /// How far a source may be ahead of what was delivered, in packets (in order): from 1 to 2^30.
    pub packets: u32,
    /// Bytes of payload in memory for each source; the last quarter of them is for repairs. The block or group that is delivered next
    /// is kept whole beyond that.
    pub bytes: usize,
    /// Groups of a source whose parity is in memory at a time (bulk); at least one.
    pub groups: usize,
    /// The length in bytes of the longest message, or part of one; a longer one is reported, and its message skipped.
    pub message_len: usize,
}

impl Limits {
    /// How many bytes new data may fill: the rest is for the repairs that delivery waits for.
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

/// About the time that a packet takes across a fast network, and its receivers to wake up. A shorter back-off suppresses no NAKs.
const BACKOFF_MIN: Duration = Duration::from_micros(20);
const INTERVAL_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// A quarter of the sequence numbers: with greater distances comparisons would not be safe.
const PACKETS_MAX: u32 = 1 << 30;
