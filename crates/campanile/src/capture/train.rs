//! Packets in one frame, captured before the system cut it apart.

use campanile_pgm::wire::{HeaderView, PacketType};

use super::{Carrier, Datagram};

impl Datagram<'_> {
    /// The datagrams that receivers get for this one.
    ///
    /// A frame that was captured at the sender, or over loopback, may hold a train: PGM data packets of one session and one length, of
    /// which the last may be shorter (UDP segmentation offload). Anything else is one datagram.
    pub fn train(self) -> impl Iterator<Item = Self> {
        let stride = self.stride().unwrap_or(usize::MAX);
        let mut rest = Some(self.payload);
        std::iter::from_fn(move || {
            let bytes = rest?;
            let (payload, after) = bytes.split_at(stride.min(bytes.len()));
            rest = Some(after).filter(|after| !after.is_empty());
            Some(Self { payload, ..self })
        })
    }

    /// The length of the packets of a train.
    fn stride(&self) -> Option<usize> {
        let is_whole = self.missing == 0 && !self.is_fragment;
        if !is_whole || self.carrier == Carrier::Ip {
            return None;
        }
        let len = data_len(self.payload)?;
        let (first, rest) = self.payload.split_at_checked(len)?;
        let session = |bytes| HeaderView::new(bytes)?.session();
        (session(first)? == session(rest)?).then_some(len)
    }
}

/// The length of a data packet according to its header (RFC 3208 §8.1, §8.2, §9.1).
fn data_len(payload: &[u8]) -> Option<usize> {
    let header = HeaderView::new(payload)?;
    if !matches!(header.packet_type(), Ok(PacketType::Odata | PacketType::Rdata)) {
        return None;
    }
    let half =
        |at: usize| payload.get(at..at + 2).map(|half| usize::from(u16::from_be_bytes([half[0], half[1]])));
    // OPT_LENGTH comes first, and has the length of all options.
    let options = if header.has_options() { half(OPTIONS + 2)? } else { 0 };
    Some(OPTIONS + options + half(TSDU_LENGTH)?)
}

const TSDU_LENGTH: usize = 14;
/// The options follow the header, the sequence number and the trailing edge.
const OPTIONS: usize = 24;
