//! Decisions read from bytes: turns a fuzzer's input into configurations, packets and commands.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::Seq;
use crate::wire::{
    Data, DataContent, DataHead, DataKind, DataOptions, EncodedFragment, Fragment, NakList, ParityPrm,
    Request, Reset, Spm, SpmOptions, Window, WindowState,
};

/// The rest of the input. After its end every decision is zero.
#[derive(Debug)]
pub(super) struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Choices { rest: input }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes([self.u8(), self.u8(), self.u8(), self.u8()])
    }

    pub(super) fn flag(&mut self) -> bool {
        self.u8() & 1 != 0
    }

    /// True once in `count` times.
    pub(super) fn one_in(&mut self, count: u8) -> bool {
        self.u8().is_multiple_of(count)
    }

    /// A number below `bound`, which is at most 256.
    pub(super) fn below(&mut self, bound: u16) -> u16 {
        u16::from(self.u8()) % bound
    }

    /// Up to 255 bytes of the input itself.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.u8()).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        bytes
    }

    /// A duration: mostly short, now and then long.
    pub(super) fn duration(&mut self) -> Duration {
        let count = u64::from(self.u8());
        match self.u8() % 8 {
            0..4 => Duration::from_micros(count),
            4..7 => Duration::from_millis(count),
            _ => Duration::from_secs(count),
        }
    }

    /// A number near `base`, or anywhere.
    pub(super) fn seq(&mut self, base: Seq) -> Seq {
        match self.u8() % 8 {
            0..6 => base + u32::from(self.u8()),
            6 => base - u32::from(self.u8()),
            _ => Seq(self.u32()),
        }
    }

    pub(super) fn spm(&mut self, base: Seq, path: IpAddr) -> Spm {
        let window = match self.u8() % 8 {
            0 => WindowState::Unknown,
            1 => WindowState::Unreachable,
            _ => {
                let trail = self.seq(base);
                let lead = self.seq(trail) - 1;
                Window::new(trail, lead).map_or(WindowState::Unknown, WindowState::Known)
            }
        };
        let options = if self.flag() {
            SpmOptions {
                join: if self.flag() { Some(self.seq(base)) } else { None },
                parity: ParityPrm::new(1 << (self.u8() % 32), self.flag(), self.flag()).ok(),
                curr_tgsize: NonZeroU32::new(self.u8().into()),
                fin: self.one_in(4),
                reset: if self.one_in(16) { Reset::new(self.flag(), 3) } else { None },
                ..SpmOptions::default()
            }
        } else {
            SpmOptions::default()
        };
        Spm { sqn: self.seq(Seq(0)), window, path, options }
    }

    /// A valid data packet, its payload taken from the input.
    pub(super) fn data(&mut self, base: Seq) -> Data<'a> {
        let kind = if self.flag() { DataKind::Repair } else { DataKind::Original };
        let sqn = self.seq(base);
        let behind = self.u8();
        let payload = self.bytes();
        let content = self.content(sqn, payload.len());
        let options = if self.one_in(4) {
            DataOptions {
                join: if self.flag() { Some(self.seq(base)) } else { None },
                curr_tgsize: NonZeroU32::new(self.u8().into()),
                syn: self.flag(),
                fin: self.flag(),
                ..DataOptions::default()
            }
        } else {
            DataOptions::default()
        };
        let head = DataHead { content, options, ..DataHead::new(kind, sqn, sqn - u32::from(behind)) };
        Data { head, payload }
    }

    fn content(&mut self, sqn: Seq, payload_len: usize) -> DataContent {
        let is_fragment = self.one_in(4);
        if !self.one_in(4) {
            let len = u32::try_from(payload_len).expect("at most 255");
            let first_sqn = sqn - u32::from(self.u8() % 4);
            let offset = if first_sqn == sqn { 0 } else { 1 + u32::from(self.u8()) };
            let fragment = Fragment { first_sqn, offset, apdu_len: offset + len + u32::from(self.u8()) };
            return DataContent::Source { fragment: is_fragment.then_some(fragment) };
        }
        let mut symbol = [0; EncodedFragment::LEN];
        symbol.fill_with(|| self.u8());
        DataContent::Parity {
            group: NonZeroU32::new((self.u8() % 3).into()),
            var_pktlen: self.flag() && payload_len >= 2,
            fragment: is_fragment.then_some(EncodedFragment(symbol)),
        }
    }

    /// Sequence numbers near `base`, in order, kept in `room`.
    pub(super) fn request<'r>(
        &mut self,
        base: Seq,
        addresses: [IpAddr; 2],
        room: &'r mut Vec<Seq>,
    ) -> Request<'r> {
        let count = 1 + usize::from(self.u8()) % NakList::MAX;
        let mut sqn = self.seq(base);
        room.clear();
        for _ in 0..count {
            room.push(sqn);
            sqn += 1 + u32::from(self.u8());
        }
        let sqns = NakList::new(room).expect("each follows the one before");
        let [source, group] = addresses;
        Request { sqns, parity: self.flag(), source, group }
    }
}
