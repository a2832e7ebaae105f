//! Data packets without options and parity, the bulk of a session: a fast path that looks for neither.

use super::Malformed;
use super::checksum::Sum;
use super::data::{DataHead, check_source, copy};
use super::header::Stamp;
use crate::Seq;

/// The fixed part of a data packet without options and parity: all that its head has after the common header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlainHead {
    /// The packet's sequence number.
    pub(crate) sqn: Seq,
    /// The trailing edge of the source's transmit window.
    pub(crate) trail: Seq,
}

impl PlainHead {
    /// The length of such a head, common header included.
    pub(crate) const LEN: usize = DataHead::LEN_MIN;

    /// Splits a packet into its fixed part and its payload; `tsdu_len` is from the common header, which was read already.
    #[inline]
    pub(crate) fn parse(datagram: &[u8], tsdu_len: usize) -> Result<(Self, &[u8]), Malformed> {
        let Some((head, payload)) = datagram.split_first_chunk::<{ Self::LEN }>() else {
            return Err(Malformed::ShortBody);
        };
        if payload.len() != tsdu_len {
            return Err(Malformed::TsduLength);
        }
        let [.., a, b, c, d, e, f, g, h] = *head;
        let (sqn, trail) = (Seq(u32::from_be_bytes([a, b, c, d])), Seq(u32::from_be_bytes([e, f, g, h])));
        check_source(sqn, trail)?;
        Ok((PlainHead { sqn, trail }, payload))
    }

    /// Writes the packet into `buffer` and returns its length, as [`super::Data::emit`] does, with the payload's sum where it is
    /// known.
    ///
    /// # Panics
    ///
    /// As [`DataHead::emit_around`].
    #[inline]
    pub(crate) fn emit(self, stamp: &Stamp, payload: &[u8], sum: Option<Sum>, buffer: &mut [u8]) -> usize {
        let (head, behind) = buffer.split_first_chunk_mut().expect("a packet is longer than its head");
        let sum = copy(payload, sum, behind);
        self.emit_in_front(stamp, payload.len(), sum, head);
        Self::LEN + payload.len()
    }

    /// Writes only the head of a packet whose payload already follows it in memory, given the payload's length and sum.
    ///
    /// # Panics
    ///
    /// As [`DataHead::emit_around`].
    #[inline]
    pub(crate) fn emit_in_front(
        self,
        stamp: &Stamp,
        payload_len: usize,
        payload_sum: Sum,
        head: &mut [u8; Self::LEN],
    ) {
        let PlainHead { sqn, trail } = self;
        assert_eq!(check_source(sqn, trail), Ok(()), "a packet of our own is valid");
        let (header, fields) = head.split_first_chunk_mut().expect("fields stand behind the header");
        fields[..4].copy_from_slice(&sqn.0.to_be_bytes());
        fields[4..].copy_from_slice(&trail.0.to_be_bytes());
        let sum = Sum::of_u32(sqn.0).then(Sum::of_u32(trail.0)).then(payload_sum);
        stamp.seal(payload_len, sum, header);
    }
}
