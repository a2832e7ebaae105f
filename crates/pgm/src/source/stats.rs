use crate::Blame;

/// The counters of a source since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceStats {
    /// ODATA packets with data.
    pub odata: u64,
    /// ODATA packets with pro-active parity.
    pub odata_parity: u64,
    /// RDATA packets with data.
    pub rdata: u64,
    /// RDATA packets with parity.
    pub rdata_parity: u64,
    /// NCFs sent; copies for further interfaces do not count.
    pub ncfs: u64,
    /// SPMs sent; copies for further interfaces do not count.
    pub spms: u64,
    /// Bytes of all packets sent, on one interface, without the headers of lower layers.
    pub bytes: u64,
    /// Bytes of application data sent for the first time, framing included.
    pub payload_bytes: u64,
    /// NAKs received, each list counted once.
    pub naks: u64,
    /// Sequence numbers or groups asked for in them.
    pub nak_sqns: u64,
    /// Of those, the ones that were not in the window.
    pub nak_sqns_outside: u64,
    /// Of those, the ones that were answered already or found no room.
    pub nak_sqns_merged: u64,
    /// NAKs for another source or group than ours, and parity NAKs where parity is not offered.
    pub naks_misdirected: u64,
    /// NAKs that were not confirmed because there was no room.
    pub naks_unconfirmed: u64,
    /// N-NAKs received.
    pub nnaks: u64,
    /// SPMRs received.
    pub spmrs: u64,
    /// Packets of other sessions, of types that a source does not answer, or received after the session's end.
    pub ignored: u64,
    /// Received trains with the ECN mark "congestion experienced".
    pub ecn_ce: u64,
    /// Packets that broke a rule.
    pub malformed: Blame,
    /// The pro-active parity that a full group gets at present, in thousandths of a packet; only where it is adaptive.
    pub pro_active_permille: u64,
}
