use crate::Blame;

/// The counters of a receiver since it was made, over all sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// ODATA packets, including pro-active parity.
    pub odata: u64,
    /// RDATA packets, including on-demand parity.
    pub rdata: u64,
    /// Parity packets, of both types.
    pub parity: u64,
    /// Data packets that had been received already, or are no longer wanted.
    pub duplicates: u64,
    /// Packets recovered by decoding.
    pub recovered: u64,
    /// Packets lost for good.
    pub lost: u64,
    /// SPMs accepted.
    pub spms: u64,
    /// SPMs that came out of sequence.
    pub spms_old: u64,
    /// Missing packets, or groups, that NCFs confirmed.
    pub ncfs: u64,
    /// NAKs sent.
    pub naks: u64,
    /// Sequence numbers, or groups, that these asked for.
    pub nak_sqns: u64,
    /// Packets, or groups, that we did not ask for because another receiver's NAK was confirmed first.
    pub naks_suppressed: u64,
    /// SPMRs sent; the copies to the group and to the source count as one.
    pub spmrs: u64,
    /// Data packets dropped because the window was full.
    pub dropped_full: u64,
    /// Data packets dropped because the driver did not take events in time (bulk).
    pub dropped_overrun: u64,
    /// Packets that were rejected because they were too far ahead.
    pub leaps: u64,
    /// Packets with a known TSI from an address that is not the source's.
    pub strangers: u64,
    /// Packets of sources for which there was no room.
    pub sources_refused: u64,
    /// Parity packets that contradict their group.
    pub parity_mismatches: u64,
    /// Packets whose contents contradict the framing.
    pub framing_errors: u64,
    /// Messages that were longer than allowed.
    pub messages_too_long: u64,
    /// Packets to other ports, of types that a receiver does not use, or of sessions that are over or unknown.
    pub ignored: u64,
    /// Received trains with the ECN mark "congestion experienced".
    pub ecn_ce: u64,
    /// Malformed packets, by the rule that they break.
    pub malformed: Blame,
}
