//! Recovery of a group's missing packets from its parity (RFC 3208 §11.2, §11.5).

use campanile_fec::{Code, Decoder, Plan, Present};

use super::hold::{Extra, Hold};
use crate::wire::{EncodedFragment, Fragment};

/// Recovers lost packets; shared by all sources of a receiver. Its decoders are made when first needed.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// A decoder for each group length, from 2 on.
    decoders: [Option<Decoder>; 7],
    rows: Vec<u8>,
    row_len: usize,
    /// The recovered packets: index, length, place in the APDU.
    recovered: Vec<(u8, u16, Option<Fragment>)>,
}

/// A group to be decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    /// The length of a full group: k.
    pub(super) group_len: u8,
    /// The number of its packets. The packets that a short group leaves out count as all zeros.
    pub(super) size: u8,
    /// Which of them are there.
    pub(super) present: u128,
    /// Its parity, and its packets unless they are supplied.
    pub(super) hold: &'a Hold,
    /// The packets of the group, in bulk.
    pub(super) supplied: Option<Supplied<'a>>,
}

/// Packets that the application has handed back: one after the other, each at a multiple of `stride`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Supplied<'a> {
    pub(super) stride: usize,
    pub(super) bytes: &'a [u8],
}

/// The parity packets contradict each other or the data packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mismatch;

impl Recovery {
    /// Recovers the missing packets of a group of which enough symbols are there.
    ///
    /// # Errors
    ///
    /// The parity packets differ in length or options, a data packet is longer than the parity, a recovered length is too great, or
    /// there are too few symbols.
    pub(super) fn recover(&mut self, group: &Group<'_>) -> Result<(), Mismatch> {
        self.recovered.clear();
        let payload = group.parity_shape()?;
        let decoder = Self::decoder(&mut self.decoders, group.group_len);
        let mut present: Present = group.hold.parities().map(|symbol| symbol.index).collect();
        (0..group.group_len).filter(|&i| i >= group.size || group.present & 1 << i != 0).for_each(|i| {
            present.insert(i);
        });
        let plan = decoder.plan(&present).ok_or(Mismatch)?;

        let mut symbols: [&[u8]; 128] = [&[]; 128];
        let symbols = &mut symbols[..plan.sources().len()];
        for (symbol, &index) in symbols.iter_mut().zip(plan.sources()) {
            *symbol = group.payload(index, payload.row_len).ok_or(Mismatch)?;
        }
        self.row_len = payload.row_len;
        self.rows.clear();
        self.rows.resize(plan.missing().len() * payload.row_len, 0);
        if payload.row_len > 0 {
            plan.recover(symbols, &mut self.rows);
        }
        let row_len = u16::try_from(payload.row_len).map_err(|_| Mismatch)?;
        self.recovered.extend(plan.missing().iter().map(|&index| (index, row_len, None)));
        if payload.var_pktlen {
            let lengths = |index| group.length(index).map(u16::to_be_bytes);
            columns(&plan, lengths, |place, bytes| self.recovered[place].1 = u16::from_be_bytes(bytes))?;
            if self.recovered.iter().any(|(_, len, _)| *len > row_len) {
                return Err(Mismatch);
            }
        }
        // An application that receives in bulk takes packets as they are, and their fragments are not kept.
        if payload.has_fragments && group.supplied.is_none() {
            let fragments = |index| group.fragment(index).map(|symbol| symbol.0);
            columns(&plan, fragments, |place, bytes| {
                self.recovered[place].2 = Fragment::from_symbol(&EncodedFragment(bytes));
            })?;
        }
        Ok(())
    }

    /// The packets that were recovered last: index in the group, payload, place in the APDU.
    pub(super) fn recovered(&self) -> impl Iterator<Item = (u8, &[u8], Option<Fragment>)> {
        self.recovered.iter().enumerate().map(|(row, &(index, len, fragment))| {
            (index, &self.rows[row * self.row_len..][..usize::from(len)], fragment)
        })
    }

    fn decoder(decoders: &mut [Option<Decoder>; 7], group_len: u8) -> &mut Decoder {
        let place = group_len.trailing_zeros() as usize - 1;
        decoders[place].get_or_insert_with(|| {
            let code = Code::new(group_len, u8::MAX).expect("group lengths are powers of 2 from 2 to 128");
            Decoder::new(&code, PLANS)
        })
    }
}

/// What all parity packets of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    row_len: usize,
    var_pktlen: bool,
    has_fragments: bool,
}

impl<'a> Group<'a> {
    fn parity_shape(&self) -> Result<Shape, Mismatch> {
        let mut shape = None;
        for symbol in self.hold.parities() {
            let Extra::Parity { var_pktlen, fragment } = symbol.extra() else { return Err(Mismatch) };
            let row_len = symbol.len().checked_sub(if var_pktlen { 2 } else { 0 }).ok_or(Mismatch)?;
            let this = Shape { row_len, var_pktlen, has_fragments: fragment.is_some() };
            if *shape.get_or_insert(this) != this {
                return Err(Mismatch);
            }
        }
        shape.ok_or(Mismatch)
    }

    /// The payload of a data packet that is there; empty for one that a short group leaves out.
    fn data(&self, index: u8) -> Option<&'a [u8]> {
        match self.supplied {
            _ if index >= self.size => Some(&[]),
            None => Some(self.hold.data(index)?.payload),
            Some(supplied) => supplied.bytes.chunks(supplied.stride).nth(index.into()),
        }
    }

    fn payload(&self, index: u8, row_len: usize) -> Option<&'a [u8]> {
        if index < self.group_len {
            return self.data(index).filter(|payload| payload.len() <= row_len);
        }
        let symbol = self.hold.parities().find(|symbol| symbol.index == index)?;
        self.hold.payload(symbol).get(..row_len)
    }

    fn length(&self, index: u8) -> Option<u16> {
        if index < self.group_len {
            return u16::try_from(self.data(index)?.len()).ok();
        }
        let symbol = self.hold.parities().find(|symbol| symbol.index == index)?;
        let encoded = self.hold.payload(symbol).last_chunk()?;
        Some(u16::from_be_bytes(*encoded))
    }

    fn fragment(&self, index: u8) -> Option<EncodedFragment> {
        if index >= self.group_len {
            let symbol = self.hold.parities().find(|symbol| symbol.index == index)?;
            let Extra::Parity { fragment, .. } = symbol.extra() else { return None };
            return fragment;
        }
        if index >= self.size {
            return Some(EncodedFragment([0; EncodedFragment::LEN]));
        }
        Some(self.hold.data(index)?.fragment.map_or(Fragment::ABSENT, |fragment| fragment.to_symbol()))
    }
}

/// Recovers columns outside the payload: encoded lengths or options.
fn columns<const LEN: usize>(
    plan: &Plan<'_>,
    column: impl Fn(u8) -> Option<[u8; LEN]>,
    mut take: impl FnMut(usize, [u8; LEN]),
) -> Result<(), Mismatch> {
    let mut columns = [[0; LEN]; 128];
    for (place, &index) in columns.iter_mut().zip(plan.sources()) {
        *place = column(index).ok_or(Mismatch)?;
    }
    let mut symbols: [&[u8]; 128] = [&[]; 128];
    symbols.iter_mut().zip(&columns).for_each(|(symbol, column)| *symbol = column);
    let mut rows = [[0; LEN]; 128];
    let count = plan.missing().len();
    plan.recover(&symbols[..plan.sources().len()], rows[..count].as_flattened_mut());
    (0..count).for_each(|place| take(place, rows[place]));
    Ok(())
}

/// Erasure patterns that are remembered: with independent losses, the same pattern hardly ever comes again.
const PLANS: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;

    /// A group of four from the code: its packets but for those in `lost`, and the parity symbols 4 to 6.
    fn hold(data: &[(&[u8], Option<Fragment>)], lost: &[usize]) -> Hold {
        let code = Code::new(4, 255).unwrap();
        let longest = data.iter().map(|(payload, _)| payload.len()).max().unwrap();
        let payloads: Vec<&[u8]> = data.iter().map(|(payload, _)| *payload).collect();
        let lengths: Vec<[u8; 2]> = payloads.iter().map(|it| (it.len() as u16).to_be_bytes()).collect();
        let lengths: Vec<&[u8]> = lengths.iter().map(|it| &it[..]).collect();
        let fragments: Vec<[u8; 13]> =
            data.iter().map(|(_, it)| it.map_or(Fragment::ABSENT, |it| it.to_symbol()).0).collect();
        let fragments: Vec<&[u8]> = fragments.iter().map(|it| &it[..]).collect();
        let var_pktlen = payloads.iter().any(|it| it.len() != longest);
        let mut hold = Hold::new();
        for (index, &(payload, fragment)) in data.iter().enumerate().filter(|(i, _)| !lost.contains(i)) {
            hold.push(index as u8, payload, Extra::Data(fragment));
        }
        for index in 4..7 {
            let mut payload = vec![0; longest];
            code.encode(index, &payloads, &mut payload);
            if var_pktlen {
                payload.extend([0; 2]);
                code.encode(index, &lengths, &mut payload[longest..]);
            }
            let mut fragment = EncodedFragment([0; 13]);
            code.encode(index, &fragments, &mut fragment.0);
            let fragment = data.iter().any(|(_, it)| it.is_some()).then_some(fragment);
            hold.push(index, &payload, Extra::Parity { var_pktlen, fragment });
        }
        hold
    }

    type Recovered = (u8, Vec<u8>, Option<Fragment>);

    fn group(hold: &Hold, size: u8, lost: &[usize]) -> Result<Vec<Recovered>, Mismatch> {
        let present = (0..size).filter(|&i| !lost.contains(&i.into())).fold(0, |mask, i| mask | 1 << i);
        let mut recovery = Recovery::default();
        recovery.recover(&Group { group_len: 4, size, present, hold, supplied: None })?;
        Ok(recovery
            .recovered()
            .map(|(index, payload, fragment)| (index, payload.to_vec(), fragment))
            .collect())
    }

    #[test]
    fn equal_packets() {
        let data = [(&b"ab"[..], None), (b"cd", None), (b"ef", None), (b"gh", None)];
        let lost = [0, 2, 3];
        let recovered = group(&hold(&data, &lost), 4, &lost).unwrap();
        assert_eq!(
            recovered,
            [(0, b"ab".to_vec(), None), (2, b"ef".to_vec(), None), (3, b"gh".to_vec(), None)]
        );
    }

    #[test]
    fn packets_of_different_lengths_in_a_short_group() {
        let data = [(&b"longest"[..], None), (b"", None), (b"mid", None)];
        for lost in [&[0][..], &[1], &[0, 2], &[0, 1, 2]] {
            let recovered = group(&hold(&data, lost), 3, lost).unwrap();
            let expected: Vec<_> = lost.iter().map(|&i| (i as u8, data[i].0.to_vec(), None)).collect();
            assert_eq!(recovered, expected);
        }
    }

    #[test]
    fn fragments_come_back_with_their_packets() {
        let fragment = |offset| Some(Fragment { first_sqn: Seq(1), offset, apdu_len: 5 });
        let data = [(&b"whole"[..], None), (b"abc", fragment(0)), (b"de", fragment(3)), (b"w", None)];
        let lost = [1, 3];
        let recovered = group(&hold(&data, &lost), 4, &lost).unwrap();
        assert_eq!(recovered, [(1, b"abc".to_vec(), fragment(0)), (3, b"w".to_vec(), None)]);
    }

    #[test]
    fn packets_that_the_application_kept_help() {
        let data = [(&b"ab"[..], None), (b"cd", None), (b"ef", None), (b"g", None)];
        let hold = hold(&data, &[0, 1, 2, 3]);
        let mut recovery = Recovery::default();
        let supplied = Some(Supplied { stride: 2, bytes: b"??cd??g" });
        recovery.recover(&Group { group_len: 4, size: 4, present: 0b1010, hold: &hold, supplied }).unwrap();
        let recovered: Vec<_> = recovery.recovered().map(|(index, payload, _)| (index, payload)).collect();
        assert_eq!(recovered, [(0, &b"ab"[..]), (2, b"ef")]);
    }

    #[test]
    fn parity_that_does_not_fit_is_refused() {
        let data = [(&b"ab"[..], None), (b"cd", None), (b"ef", None), (b"gh", None)];
        let mut longer = hold(&data, &[0, 2]);
        longer.push(0, b"longer than the parity", Extra::Data(None));
        assert_eq!(group(&longer, 4, &[2]), Err(Mismatch));
        let mut other = hold(&data, &[0]);
        other.push(9, b"xyz", Extra::Parity { var_pktlen: false, fragment: None });
        assert_eq!(group(&other, 4, &[0]), Err(Mismatch));
        let mut claims = Hold::new();
        (0..4).for_each(|i| {
            claims.push(4 + i, b"\xff\xff\xff\xff", Extra::Parity { var_pktlen: true, fragment: None })
        });
        assert_eq!(group(&claims, 4, &[0, 1, 2, 3]), Err(Mismatch), "a length beyond the row");
        assert_eq!(group(&hold(&data, &[0, 1, 2, 3]), 4, &[0, 1, 2, 3]), Err(Mismatch), "three of four");
    }
}
