//! Packets that are handed over in bulk.

use crate::Seq;

/// Packets of one source in the order in which they came, their payloads one after the other in one piece of memory.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Packets {
    bytes: Vec<u8>,
    /// Their sequence numbers, each with the end of the payload in `bytes`.
    ends: Vec<(Seq, usize)>,
}

/// Packets with consecutive numbers and equally long payloads; the last one may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<'a> {
    /// The sequence number of the first one.
    pub first: Seq,
    /// The length of the first one's payload.
    pub stride: usize,
    /// How many packets there are.
    pub count: usize,
    /// Their payloads.
    pub bytes: &'a [u8],
}

impl Packets {
    /// The packets with their sequence numbers, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(sqn, end)| {
            let payload = &self.bytes[start..end];
            start = end;
            (sqn, payload)
        })
    }

    /// The same packets in runs that are as long as possible.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let mut packets = self.iter().peekable();
        let mut start = 0;
        std::iter::from_fn(move || {
            let (first, payload) = packets.next()?;
            let (stride, mut last, mut len, mut count) = (payload.len(), first, payload.len(), 1);
            while len == stride * count
                && let Some((sqn, payload)) =
                    packets.next_if(|(sqn, payload)| *sqn == last.next() && payload.len() <= stride)
            {
                (last, len, count) = (sqn, len + payload.len(), count + 1);
            }
            let bytes = &self.bytes[start..start + len];
            start += len;
            Some(Run { first, stride, count, bytes })
        })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all payloads.
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the packets, but keeps a bounded part of the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.ends.clear();
        self.ends.shrink_to(KEPT_MAX / SHORTEST);
    }

    /// Adds a packet.
    pub fn push(&mut self, sqn: Seq, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.ends.push((sqn, self.bytes.len()));
    }
}

/// The bytes of memory that are kept for the next data: as much as a few trains bring.
pub(super) const KEPT_MAX: usize = 256 << 10;
/// Payloads of packets are seldom shorter than this.
const SHORTEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(packets: &[(u32, &[u8])]) -> Packets {
        let mut all = Packets::default();
        packets.iter().for_each(|&(sqn, payload)| all.push(Seq(sqn), payload));
        all
    }

    #[test]
    fn they_come_out_as_they_went_in() {
        let came: [(u32, &[u8]); 3] = [(7, b"seven"), (3, b""), (4, b"four")];
        let mut packets = packets(&came);
        let out: Vec<_> = packets.iter().map(|(sqn, payload)| (sqn.0, payload)).collect();
        assert_eq!((out.as_slice(), packets.bytes_len()), (&came[..], 9));
        packets.clear();
        assert!(packets.is_empty() && packets.iter().next().is_none());
    }

    #[test]
    fn a_run_ends_where_a_number_or_a_length_breaks_it() {
        let packets = packets(&[
            (u32::MAX, b"ab"),
            (0, b"cd"),
            (1, b"e"),
            (2, b"fg"),
            (4, b"hi"),
            (5, b"jkl"),
            (5, b"mno"),
            (6, b""),
            (7, b"p"),
        ]);
        let runs: Vec<_> =
            packets.runs().map(|run| (run.first.0, run.stride, run.count, run.bytes)).collect();
        assert_eq!(
            runs,
            [
                (u32::MAX, 2, 3, &b"abcde"[..]),
                (2, 2, 1, b"fg"),
                (4, 2, 1, b"hi"),
                (5, 3, 1, b"jkl"),
                (5, 3, 2, b"mno"),
                (7, 1, 1, b"p"),
            ]
        );
    }
}
