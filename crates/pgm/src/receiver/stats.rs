use crate::Blame;

/// What a receiver has counted since it was made, over all sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// ODATA packets, pro-active parity among them.
    pub odata: u64,
    /// RDATA packets, on-demand parity among them.
    pub rdata: u64,
    /// Parity packets, of both types.
    pub parity: u64,
    /// Data packets that were received already, or older than what is wanted.
    pub duplicates: u64,
    /// Packets recovered by decoding.
    pub recovered: u64,
    /// Packets lost for good.
    pub lost: u64,
    /// SPMs taken.
    pub spms: u64,
    /// SPMs that came out of sequence.
    pub spms_old: u64,
    /// NCFs heard for something that was missing.
    pub ncfs: u64,
    /// NAKs sent.
    pub naks: u64,
    /// Sequence numbers or groups asked for in them.
    pub nak_sqns: u64,
    /// NAKs that were not sent because another receiver's was confirmed first.
    pub naks_suppressed: u64,
    /// SPMRs sent; to the group and to the source count as one.
    pub spmrs: u64,
    /// Data packets dropped because the window was full.
    pub dropped_full: u64,
    /// Data packets dropped because the driver did not take events in time (bulk).
    pub dropped_overrun: u64,
    /// Packets too far ahead to be believed without more of them.
    pub leaps: u64,
    /// Packets of a known session from an address that is not its source's.
    pub strangers: u64,
    /// Packets of sources for which there was no room.
    pub sources_refused: u64,
    /// Parity packets that contradict their group.
    pub parity_mismatches: u64,
    /// Packets whose contents contradict the framing.
    pub framing_errors: u64,
    /// Messages that were longer than allowed.
    pub messages_too_long: u64,
    /// Packets to other ports, of types that a receiver has no use for, and of what is over.
    pub ignored: u64,
    /// Received packets marked with congestion experienced.
    pub ecn_ce: u64,
    /// Packets that broke a rule.
    pub malformed: Blame,
}
