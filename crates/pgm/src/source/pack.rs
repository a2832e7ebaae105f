//! Packing messages into packets, in the three framings.

use std::mem;

use super::packed::{Packed, PackedTsdu};
use super::pages::Pages;
use crate::Seq;
use crate::framing::{FrameHeader, Framing, NO_MESSAGE, OFFSET_LEN};
use crate::wire::{DataHead, Fragment, Sum};

/// Packs messages, or the bytes of a stream, into packets, for [`super::Source::push`].
///
/// It copies what is published, and computes the sum on the way, on the caller's thread: the only copy before the packet is sent.
/// It reuses memory that the source has given up, and allocates new memory where there is none.
#[derive(Debug)]
pub struct Packer {
    framing: Framing,
    tsdu_len: usize,
    /// Whether the last part written continues in the next one.
    in_message: bool,
    pages: Pages,
    /// The filled packets. The memory of the last ones is still in the page.
    packed: Packed,
    /// The packet that is being filled, if any; it is not full.
    open: Option<Open>,
}

/// A packet that is being filled, at the end of the page.
#[derive(Debug)]
struct Open {
    /// Where the packet begins in the page.
    start: usize,
    /// Where the first message begins in the packet.
    first_message: u16,
    ends_burst: bool,
}

impl Packer {
    /// A packer for the packets of a source with this framing and [`super::SourceConfig::tsdu_len`].
    #[must_use]
    pub fn new(framing: Framing, tsdu_len: usize) -> Self {
        let head_len = match framing {
            Framing::Packed | Framing::Stream => HEAD_LEN,
            Framing::Apdu => DataHead::LEN_OF_FRAGMENT,
        };
        Packer {
            framing,
            tsdu_len,
            in_message: false,
            pages: Pages::new(head_len + tsdu_len),
            packed: Packed::default(),
            open: None,
        }
    }

    /// The payload length of a full packet.
    #[must_use]
    pub fn tsdu_len(&self) -> usize {
        self.tsdu_len
    }

    /// How many bytes of messages fit into this many empty packets.
    pub(super) fn capacity(&self, packets: u64) -> u64 {
        match self.framing {
            Framing::Packed => {
                (packets * (self.tsdu_len - OFFSET_LEN) as u64).saturating_sub(FrameHeader::LEN_MAX as u64)
            }
            Framing::Apdu => (packets * self.tsdu_len as u64).min(u32::MAX.into()),
            Framing::Stream => packets * self.tsdu_len as u64,
        }
    }

    /// The most new packets that a message of `len` bytes can begin.
    pub(super) fn packets_for(&self, len: usize) -> u64 {
        let (len, per_packet) = match self.framing {
            Framing::Packed => (len + FrameHeader::LEN_MAX, self.tsdu_len - OFFSET_LEN),
            Framing::Apdu => return len.div_ceil(self.tsdu_len).max(1) as u64,
            Framing::Stream => (len, self.tsdu_len),
        };
        let room = self.open.as_ref().map_or(0, |open| self.tsdu_len - self.open_len(open));
        len.saturating_sub(room).div_ceil(per_packet) as u64
    }

    /// Packs a message, or a part of one when `more` follows. Only packed messages can have parts.
    ///
    /// # Panics
    ///
    /// When an APDU is longer than 2^32 - 1 bytes.
    pub fn put(&mut self, message: &[u8], more: bool) {
        match self.framing {
            Framing::Packed => {
                let mut header = [0; FrameHeader::LEN_MAX];
                let header_len = FrameHeader::emit(message.len(), more, &mut header);
                if !mem::replace(&mut self.in_message, more) {
                    self.begin_message();
                }
                self.append(&header[..header_len]);
                self.append(message);
            }
            Framing::Apdu => self.put_apdu(message),
            Framing::Stream => self.append(message),
        }
    }

    /// How many packets were filled and not [given](Self::give) yet.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.packed.len()
    }

    /// Whether a packet is being filled.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Ends the packet that is being filled, whether it is full or not.
    pub fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let page = self.pages.page();
        let payload = &mut page[open.start + HEAD_LEN..];
        if self.framing == Framing::Packed {
            payload[..OFFSET_LEN].copy_from_slice(&open.first_message.to_be_bytes());
        }
        // The payload is still in the processor's cache.
        let (len, sum) = (payload.len(), Sum::of(payload));
        self.packed.push(PackedTsdu { len, sum, fragment: None, ends_burst: open.ends_burst });
    }

    /// Marks the end of a burst at the last packet; false when there is none that was not given yet.
    pub fn end_burst(&mut self) -> bool {
        let last = match &mut self.open {
            Some(open) => Some(&mut open.ends_burst),
            None => self.packed.last_mut().map(|tsdu| &mut tsdu.ends_burst),
        };
        last.map(|ends_burst| *ends_burst = true).is_some()
    }

    /// Moves the filled packets to `packed`, which must be empty.
    ///
    /// # Panics
    ///
    /// When `packed` is not empty.
    pub fn give(&mut self, packed: &mut Packed) {
        assert!(packed.is_empty(), "what was given before is taken first");
        let end = self.open.as_ref().map(|open| open.start);
        self.packed.push_run(self.pages.split(end));
        if let Some(open) = &mut self.open {
            open.start = 0;
        }
        mem::swap(&mut self.packed, packed);
    }

    /// Notes that a message begins with the bytes appended next.
    fn begin_message(&mut self) {
        let open = self.open();
        let (start, first_message) = (open.start, open.first_message);
        if first_message == NO_MESSAGE {
            let offset = self.pages.page().len() - start - HEAD_LEN - OFFSET_LEN;
            self.open().first_message = u16::try_from(offset).expect("a packet is shorter than 64 KiB");
        }
    }

    /// Appends bytes to the open packet, and to new ones when it is full.
    #[inline]
    fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = self.open().start + HEAD_LEN + self.tsdu_len;
            let page = self.pages.page();
            let (taken, rest) = bytes.split_at(bytes.len().min(end - page.len()));
            page.extend_from_slice(taken);
            bytes = rest;
            if page.len() == end {
                self.close();
            }
        }
    }

    /// The packet that is being filled; begins one if there is none.
    #[inline]
    fn open(&mut self) -> &mut Open {
        if self.open.is_none() {
            let start = self.begin(HEAD_LEN);
            if self.framing == Framing::Packed {
                self.pages.page().extend_from_slice(&[0; OFFSET_LEN]);
            }
            self.open = Some(Open { start, first_message: NO_MESSAGE, ends_burst: false });
        }
        self.open.as_mut().expect("it was opened if it was not")
    }

    /// Leaves room for the head of a packet, in a page that has room for the whole packet; returns where it begins.
    fn begin(&mut self, head_len: usize) -> usize {
        if let Some(run) = self.pages.turn() {
            self.packed.push_run(run);
        }
        let page = self.pages.page();
        let start = page.len();
        page.resize(start + head_len, 0);
        start
    }

    /// Writes an APDU into packets of its own (RFC 3208 §9.2.2).
    fn put_apdu(&mut self, apdu: &[u8]) {
        let apdu_len = u32::try_from(apdu.len()).expect("an APDU is shorter than 4 GiB");
        let mut rest = apdu;
        loop {
            let offset = apdu_len - rest.len() as u32;
            let (payload, behind) = rest.split_at(rest.len().min(self.tsdu_len));
            // The window fills in the number.
            let fragment = Fragment { first_sqn: Seq(0), offset, apdu_len };
            let fragment = (apdu.len() > self.tsdu_len).then_some(fragment);
            let tsdu = PackedTsdu { len: payload.len(), sum: Sum::of(payload), fragment, ends_burst: false };
            self.begin(tsdu.head_len());
            self.pages.page().extend_from_slice(payload);
            self.packed.push(tsdu);
            rest = behind;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// The length of the open packet so far.
    fn open_len(&self, open: &Open) -> usize {
        self.pages.len() - open.start - HEAD_LEN
    }
}

/// The length of the head of a packet that is filled bit by bit: it carries no option.
const HEAD_LEN: usize = DataHead::LEN_MIN;

#[cfg(test)]
mod tests {
    use super::*;

    /// A packer with what it gave.
    struct Rig {
        packer: Packer,
        packed: Packed,
    }

    impl Rig {
        fn new(framing: Framing, tsdu_len: usize) -> Self {
            Rig { packer: Packer::new(framing, tsdu_len), packed: Packed::default() }
        }

        fn put(&mut self, bytes: &[u8], more: bool) {
            let count = |it: &Self| it.packer.filled() as u64 + u64::from(it.packer.is_open());
            let (before, foretold) = (count(self), self.packer.packets_for(bytes.len()));
            self.packer.put(bytes, more);
            assert!(count(self) - before <= foretold, "a message takes what was foretold at most");
        }

        /// All that was packed, with right sums.
        fn payloads(&mut self) -> Vec<Vec<u8>> {
            self.packer.close();
            self.given()
        }

        /// All that was filled, with right sums.
        fn given(&mut self) -> Vec<Vec<u8>> {
            self.packed.clear();
            self.packer.give(&mut self.packed);
            let sums: Vec<_> = self.packed.tsdus().map(|tsdu| tsdu.sum).collect();
            assert_eq!(sums, self.packed.payloads().map(Sum::of).collect::<Vec<_>>());
            self.packed.payloads().map(<[u8]>::to_vec).collect()
        }
    }

    #[test]
    fn messages_are_packed_as_zeromq_packs_them() {
        let mut rig = Rig::new(Framing::Packed, 16);
        rig.put(b"hello", false);
        rig.put(b"A", true);
        rig.put(b"BB", false);
        rig.put(b"over the edge", false);
        assert_eq!(
            rig.payloads(),
            [&b"\0\0\x06\0hello\x02\x01A\x03\0BB"[..], b"\0\0\x0e\0over the edg", b"\xff\xffe"],
            "the parts of a message are found by their first one"
        );
        rig.put(b"x", false);
        assert_eq!(rig.payloads(), [b"\0\0\x02\0x"], "what was sent is not added to");
    }

    #[test]
    fn the_offset_finds_the_first_message_that_begins() {
        let mut rig = Rig::new(Framing::Packed, 16);
        rig.put(b"0123456789abc", false);
        rig.put(b"y", false);
        rig.put(b"", false);
        assert_eq!(rig.payloads(), [&b"\0\0\x0e\x000123456789ab"[..], b"\0\x01c\x02\0y\x01\0"]);
    }

    #[test]
    fn later_parts_of_a_message_are_no_beginning() {
        let mut rig = Rig::new(Framing::Packed, 16);
        rig.put(b"0123456789ab", true);
        rig.put(b"cd", false);
        rig.put(b"e", false);
        assert_eq!(rig.payloads(), [&b"\0\0\x0d\x010123456789ab"[..], b"\0\x04\x03\0cd\x02\0e"]);
    }

    #[test]
    fn apdus_have_packets_of_their_own() {
        let mut rig = Rig::new(Framing::Apdu, 4);
        rig.put(b"ab", false);
        rig.put(b"", false);
        rig.put(b"0123456789", false);
        assert_eq!(rig.payloads(), [&b"ab"[..], b"", b"0123", b"4567", b"89"]);
        let fragments: Vec<_> = rig.packed.tsdus().map(|tsdu| tsdu.fragment).collect();
        let fragment = |offset| Some(Fragment { first_sqn: Seq(0), offset, apdu_len: 10 });
        assert_eq!(fragments, [None, None, fragment(0), fragment(4), fragment(8)]);
    }

    #[test]
    fn a_stream_fills_packets() {
        let mut rig = Rig::new(Framing::Stream, 4);
        rig.put(b"ab", false);
        rig.put(b"cdefgh", false);
        rig.put(b"i", false);
        assert_eq!(rig.payloads(), [&b"abcd"[..], b"efgh", b"i"]);
    }

    #[test]
    fn a_packet_that_is_being_filled_stays() {
        let mut rig = Rig::new(Framing::Stream, 4);
        rig.put(b"abcdef", false);
        assert_eq!(rig.given(), [b"abcd"]);
        assert!(rig.packer.end_burst(), "with what is open");
        rig.put(b"ghi", false);
        assert_eq!(rig.payloads(), [&b"efgh"[..], b"i"]);
        let ends: Vec<_> = rig.packed.tsdus().map(|tsdu| tsdu.ends_burst).collect();
        assert_eq!(ends, [true, false]);
        assert!(!rig.packer.end_burst(), "all was given");
    }
}
