//! The symbols of a group in memory: data that wait to be delivered or may help to decode, and parity.

use crate::wire::{EncodedFragment, Fragment};

/// The payloads of one group, one after the other in the order in which they came.
#[derive(Debug)]
pub(super) struct Hold {
    bytes: Vec<u8>,
    symbols: Vec<Symbol>,
    /// Where in `symbols` the data symbol of each index is; [`ABSENT`] when it is not there.
    data: [u8; 128],
    parity: u8,
}

/// One symbol of the group: a data packet, or a parity packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// Its index in the code: data below the group's length, parity from there on.
    pub(super) index: u8,
    start: u32,
    len: u16,
    extra: Extra,
}

/// The contents of a data packet: the TSDU of RFC 3208.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tsdu<'a> {
    pub(super) payload: &'a [u8],
    /// The place of the payload in its APDU, if the APDU has several packets.
    pub(super) fragment: Option<Fragment>,
}

/// What belongs to a symbol besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    /// A data packet, with its place in its APDU.
    Data(Option<Fragment>),
    /// A parity packet: whether the last two bytes are the encoded length, and the encoded OPT_FRAGMENT.
    Parity { var_pktlen: bool, fragment: Option<EncodedFragment> },
}

impl Hold {
    pub(super) fn new() -> Self {
        Hold { bytes: Vec::new(), symbols: Vec::new(), data: [ABSENT; 128], parity: 0 }
    }

    /// Forgets all symbols, but keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.symbols.clear();
        self.data = [ABSENT; 128];
        self.parity = 0;
    }

    /// Adds a symbol that is not there yet.
    #[inline(always)]
    pub(super) fn push(&mut self, index: u8, payload: &[u8], extra: Extra) {
        self.push_in_two(index, [&[], payload], extra);
    }

    /// Adds a symbol whose payload is in two parts.
    #[inline(always)]
    pub(super) fn push_in_two(&mut self, index: u8, payload: [&[u8]; 2], extra: Extra) {
        let start = u32::try_from(self.bytes.len()).expect("a group is at most 255 datagrams");
        let len = u16::try_from(payload[0].len() + payload[1].len()).expect("a payload fits a datagram");
        match extra {
            Extra::Data(_) => self.data[usize::from(index)] = self.symbols.len() as u8,
            Extra::Parity { .. } => self.parity += 1,
        }
        payload.into_iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.symbols.push(Symbol { index, start, len, extra });
    }

    /// The data symbol of an index.
    pub(super) fn data(&self, index: u8) -> Option<Tsdu<'_>> {
        let symbol = self.symbols.get(usize::from(self.data[usize::from(index)]))?;
        match symbol.extra {
            Extra::Data(fragment) => Some(Tsdu { payload: self.payload(symbol), fragment }),
            Extra::Parity { .. } => None,
        }
    }

    /// All parity symbols.
    pub(super) fn parities(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|symbol| matches!(symbol.extra, Extra::Parity { .. }))
    }

    pub(super) fn has_parity(&self, index: u8) -> bool {
        self.parity > 0 && self.parities().any(|symbol| symbol.index == index)
    }

    /// How many parity symbols there are.
    pub(super) fn parity_count(&self) -> u8 {
        self.parity
    }

    pub(super) fn payload(&self, symbol: &Symbol) -> &[u8] {
        &self.bytes[symbol.start as usize..][..usize::from(symbol.len)]
    }

    /// The bytes of payload.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of memory that remain when the symbols are forgotten.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets the parity symbols, so that others can use their memory, and returns how many bytes of payload they had.
    pub(super) fn drop_parity(&mut self) -> usize {
        let before = self.bytes.len();
        let (mut at, mut end) = (0, 0);
        self.parity = 0;
        self.symbols.retain_mut(|symbol| {
            let is_data = matches!(symbol.extra, Extra::Data(_));
            if is_data {
                let start = symbol.start as usize;
                self.bytes.copy_within(start..start + symbol.len(), end);
                self.data[usize::from(symbol.index)] = at;
                symbol.start = end as u32;
                (at, end) = (at + 1, end + symbol.len());
            }
            is_data
        });
        self.bytes.truncate(end);
        before - end
    }
}

impl Default for Hold {
    fn default() -> Self {
        Hold::new()
    }
}

impl Symbol {
    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    pub(super) fn extra(&self) -> Extra {
        self.extra
    }
}

const ABSENT: u8 = u8::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_found_again() {
        let mut hold = Hold::new();
        let parity = Extra::Parity { var_pktlen: false, fragment: None };
        hold.push(3, b"three", Extra::Data(None));
        hold.push(9, b"parity", parity);
        hold.push(0, b"zero", Extra::Data(None));
        assert_eq!(
            (hold.data(3).unwrap().payload, hold.data(0).unwrap().payload),
            (&b"three"[..], &b"zero"[..])
        );
        assert!(hold.data(1).is_none() && hold.has_parity(9) && !hold.has_parity(8) && !hold.has_parity(3));
        assert_eq!((hold.parity_count(), hold.len()), (1, 15));
        assert_eq!(hold.drop_parity(), 6);
        assert_eq!((hold.parity_count(), hold.data(0).unwrap().payload), (0, &b"zero"[..]));
        hold.clear();
        assert!(hold.data(3).is_none() && hold.len() == 0 && hold.capacity() > 0);
    }

    #[test]
    fn parity_that_was_dropped_leaves_its_memory() {
        let mut hold = Hold::new();
        hold.push(1, b"one", Extra::Data(None));
        for _ in 0..1000 {
            hold.push(4, &[0; 100], Extra::Parity { var_pktlen: false, fragment: None });
            assert_eq!(hold.drop_parity(), 100);
        }
        hold.push(0, b"zero", Extra::Data(None));
        assert!(hold.capacity() < 1000, "{} bytes for seven", hold.capacity());
        assert_eq!(
            (hold.data(1).unwrap().payload, hold.data(0).unwrap().payload),
            (&b"one"[..], &b"zero"[..])
        );
    }
}
