//! The parity of a group (RFC 3208 §11.2), computed a few packets at a time, which is much cheaper than one by one.

use campanile_fec::Code;

use super::config::N_MAX;
use crate::wire::{EncodedFragment, Fragment};

/// Computes parity packets, and keeps the few that were computed last.
#[derive(Debug)]
pub(super) struct Encoder {
    code: Code,
    group: u64,
    /// The symbol index of the first packet kept, and how many there are.
    first: u8,
    count: u8,
    row_len: usize,
    rows: Vec<u8>,
    /// The encoded lengths, when the lengths differ.
    lengths: Option<[[u8; 2]; RUN]>,
    /// The encoded fragment options, when a packet of the group has one.
    fragments: Option<[[u8; EncodedFragment::LEN]; RUN]>,
}

/// A data packet as the code sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol<'a> {
    pub(super) payload: &'a [u8],
    pub(super) fragment: Option<Fragment>,
}

/// A parity packet's payload, in the parts it is coded in.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParityPayload<'a> {
    pub(super) padded: &'a [u8],
    pub(super) length: Option<[u8; 2]>,
    pub(super) fragment: Option<EncodedFragment>,
}

impl ParityPayload<'_> {
    pub(super) fn len(&self) -> usize {
        self.padded.len() + self.length.map_or(0, |length| length.len())
    }
}

impl Encoder {
    /// An encoder for groups of `group_len` packets of at most `tsdu_len` bytes.
    pub(super) fn new(group_len: u8, tsdu_len: usize) -> Self {
        Encoder {
            code: Code::new(group_len, N_MAX).expect("the configuration was checked"),
            group: 0,
            first: 0,
            count: 0,
            row_len: 0,
            rows: vec![0; RUN * tsdu_len],
            lengths: None,
            fragments: None,
        }
    }

    /// A parity packet, if it is among those kept.
    pub(super) fn made(&self, group: u64, index: u8) -> Option<ParityPayload<'_>> {
        if group != self.group || !(self.first..self.first + self.count).contains(&index) {
            return None;
        }
        let row = usize::from(index - self.first);
        Some(ParityPayload {
            padded: &self.rows[row * self.row_len..][..self.row_len],
            length: self.lengths.map(|lengths| lengths[row]),
            fragment: self.fragments.map(|fragments| EncodedFragment(fragments[row])),
        })
    }

    /// Computes the parity packet with this index and up to seven after it, as many as are `wanted`, from the data packets of a group
    /// that will not change any more.
    pub(super) fn make(&mut self, group: u64, index: u8, wanted: u8, data: &[Symbol<'_>]) {
        let count = wanted.clamp(1, RUN as u8).min(N_MAX - index);
        let mut symbols: [&[u8]; K_MAX] = [&[]; K_MAX];
        let symbols = &mut symbols[..data.len()];
        symbols.iter_mut().zip(data).for_each(|(symbol, packet)| *symbol = packet.payload);
        (self.group, self.first, self.count) = (group, index, count);
        self.row_len = symbols.iter().map(|symbol| symbol.len()).max().unwrap_or(0);
        let rows = &mut self.rows[..usize::from(count) * self.row_len];
        self.code.encode_run(index, symbols, self.row_len, rows);
        // When all packets of the group have the same length, the lengths are not encoded (RFC 3208 §11.2).
        let differ = symbols.iter().any(|symbol| symbol.len() != self.row_len);
        self.lengths = differ.then(|| {
            let length = |i: usize| u16::try_from(data[i].payload.len()).expect("a TSDU fits a datagram");
            self.columns(data.len(), |i| length(i).to_be_bytes())
        });
        let fragmented = data.iter().any(|packet| packet.fragment.is_some());
        self.fragments = fragmented.then(|| {
            self.columns(data.len(), |i| data[i].fragment.map_or(Fragment::ABSENT, |it| it.to_symbol()).0)
        });
    }

    /// Encodes short columns outside the payload: the lengths or the fragment options.
    fn columns<const LEN: usize>(
        &self,
        data_len: usize,
        column: impl Fn(usize) -> [u8; LEN],
    ) -> [[u8; LEN]; RUN] {
        let mut columns = [[0; LEN]; K_MAX];
        columns.iter_mut().take(data_len).enumerate().for_each(|(i, place)| *place = column(i));
        let mut symbols: [&[u8]; K_MAX] = [&[]; K_MAX];
        symbols.iter_mut().zip(&columns).take(data_len).for_each(|(symbol, column)| *symbol = column);
        let mut coded = [[0; LEN]; RUN];
        let rows = &mut coded.as_flattened_mut()[..usize::from(self.count) * LEN];
        self.code.encode_run(self.first, &symbols[..data_len], LEN, rows);
        coded
    }
}

/// How many packets are computed at a time: bounds the work of a call.
const RUN: usize = 8;
const K_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use campanile_fec::{Decoder, Present};

    use super::*;
    use crate::Seq;

    fn plain(payload: &[u8]) -> Symbol<'_> {
        Symbol { payload, fragment: None }
    }

    #[test]
    fn equal_packets_need_no_lengths() {
        let mut encoder = Encoder::new(4, 8);
        encoder.make(0, 4, 3, &[plain(b"A"), plain(b"B"), plain(b"C"), plain(b"D")]);
        let made: Vec<_> = (4..7).map(|index| encoder.made(0, index).unwrap()).collect();
        assert_eq!(made.iter().map(|parity| parity.padded[0]).collect::<Vec<_>>(), [0xc7, 0x6e, 0x5a]);
        assert!(
            made.iter()
                .all(|parity| parity.length.is_none() && parity.fragment.is_none() && parity.len() == 1)
        );
        assert!(encoder.made(0, 7).is_none() && encoder.made(1, 4).is_none() && encoder.made(0, 3).is_none());
    }

    #[test]
    fn lengths_and_fragments_come_back() {
        let fragment = Fragment { first_sqn: Seq(8), offset: 5, apdu_len: 6 };
        let data = [plain(b"abcd"), plain(b"xy"), Symbol { payload: b"z", fragment: Some(fragment) }];
        let mut encoder = Encoder::new(4, 8);
        encoder.make(9, 250, 200, &data);
        assert!(encoder.made(9, 254).is_some(), "the last symbol of the code, and none after it");
        encoder.make(9, 4, 2, &data);
        let parity = [4, 5].map(|index| encoder.made(9, index).unwrap());
        assert_eq!(parity[0].len(), 6);
        // The second and third packets are lost; the fourth one never existed, so it is known to be empty.
        let mut decoder = Decoder::new(&Code::new(4, 255).unwrap(), 1);
        let plan = decoder.plan(&Present::from_iter([0, 3, 4, 5])).unwrap();
        let mut out = [0; 8];
        plan.recover(&[b"abcd", b"", parity[0].padded, parity[1].padded], &mut out);
        assert_eq!(&out, b"xy\0\0z\0\0\0");
        let mut lengths = [0; 4];
        let [first, second] = parity.map(|parity| parity.length.unwrap());
        plan.recover(&[&4_u16.to_be_bytes(), b"", &first, &second], &mut lengths);
        assert_eq!(lengths, [0, 2, 0, 1]);
        let mut fragments = [0; 2 * EncodedFragment::LEN];
        let [first, second] = parity.map(|parity| parity.fragment.unwrap().0);
        plan.recover(&[&Fragment::ABSENT.0, b"", &first, &second], &mut fragments);
        let (rows, _) = fragments.as_chunks();
        assert_eq!(
            rows.iter().map(|row| Fragment::from_symbol(&EncodedFragment(*row))).collect::<Vec<_>>(),
            [None, Some(fragment)]
        );
    }
}
