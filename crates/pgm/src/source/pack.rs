//! Messages into packets: the three framings.

use super::tsdu::Tsdu;
use crate::Seq;
use crate::framing::{FrameHeader, Framing, NO_MESSAGE, OFFSET_LEN};
use crate::wire::Fragment;

/// Packs messages, or the bytes of a stream, into the payloads of packets, for [`super::Source::push`].
///
/// It copies and sums what is published, on whatever thread that is done. Memory comes back to it ([`Packer::refill`]), and is made where
/// none has.
#[derive(Debug)]
pub struct Packer {
    framing: Framing,
    tsdu_len: usize,
    /// Whether the last part written goes on in the next one.
    in_message: bool,
    /// The packet that is being filled; it has room.
    open: Option<Tsdu>,
    /// Where in it the first message begins.
    first_message: u16,
    spare: Vec<Tsdu>,
}

impl Packer {
    /// A packer for the packets of a source with this framing and [`super::SourceConfig::tsdu_len`].
    #[must_use]
    pub fn new(framing: Framing, tsdu_len: usize) -> Self {
        Packer {
            framing,
            tsdu_len,
            in_message: false,
            open: None,
            first_message: NO_MESSAGE,
            spare: Vec::new(),
        }
    }

    /// The payload of a full packet.
    #[must_use]
    pub fn tsdu_len(&self) -> usize {
        self.tsdu_len
    }

    /// How many bytes of messages fit into so many packets that begin empty.
    pub(super) fn capacity(&self, packets: u64) -> u64 {
        match self.framing {
            Framing::Packed => {
                (packets * (self.tsdu_len - OFFSET_LEN) as u64).saturating_sub(FrameHeader::LEN_MAX as u64)
            }
            Framing::Apdu => (packets * self.tsdu_len as u64).min(u32::MAX.into()),
            Framing::Stream => packets * self.tsdu_len as u64,
        }
    }

    /// How many packets at most a message of `len` bytes begins.
    pub(super) fn packets_for(&self, len: usize) -> u64 {
        let (len, per_packet) = match self.framing {
            Framing::Packed => (len + FrameHeader::LEN_MAX, self.tsdu_len - OFFSET_LEN),
            Framing::Apdu => return len.div_ceil(self.tsdu_len).max(1) as u64,
            Framing::Stream => (len, self.tsdu_len),
        };
        let room = self.open.as_ref().map_or(0, |tsdu| self.tsdu_len - tsdu.len());
        len.saturating_sub(room).div_ceil(per_packet) as u64
    }

    /// Packs a message, or a part of one when `more` follows; what is full goes behind the `filled` ones. Parts are for packed messages
    /// alone.
    ///
    /// # Panics
    ///
    /// When an APDU is longer than 2^32 - 1 bytes.
    pub fn put(&mut self, message: &[u8], more: bool, filled: &mut Vec<Tsdu>) {
        match self.framing {
            Framing::Packed => {
                let mut header = [0; FrameHeader::LEN_MAX];
                let header_len = FrameHeader::emit(message.len(), more, &mut header);
                self.append([&header[..header_len], message], !self.in_message, filled);
                self.in_message = more;
            }
            Framing::Apdu => self.put_apdu(message, filled),
            Framing::Stream => self.append([&[], message], false, filled),
        }
    }

    /// Whether a packet is being filled.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Gives the packet that is being filled, as full as it is.
    pub fn close(&mut self) -> Option<Tsdu> {
        let mut tsdu = self.open.take()?;
        let first_message = std::mem::replace(&mut self.first_message, NO_MESSAGE);
        tsdu.seal((self.framing == Framing::Packed).then_some(first_message));
        Some(tsdu)
    }

    /// Says that a burst is over with what was packed; false when it was packed into packets that have left.
    pub fn end_burst(&mut self) -> bool {
        self.open.as_mut().map(Tsdu::end_burst).is_some()
    }

    /// Takes packets back whose contents are not needed any more, and keeps at most so many to be filled anew.
    pub fn refill(&mut self, used: &mut Vec<Tsdu>, most: usize) {
        self.spare.extend(used.drain(..).filter(Tsdu::has_memory));
        self.spare.truncate(most);
    }

    /// Writes bytes of the stream into the open packet, and into new ones where it is full.
    fn append(&mut self, mut pieces: [&[u8]; 2], begins_message: bool, filled: &mut Vec<Tsdu>) {
        let mut begins = begins_message;
        while !(pieces[0].is_empty() && pieces[1].is_empty()) {
            let tsdu = match &mut self.open {
                Some(tsdu) => tsdu,
                None => self.open.insert(begin(&mut self.spare, self.tsdu_len, self.framing)),
            };
            if begins && self.first_message == NO_MESSAGE {
                let offset = tsdu.len() - OFFSET_LEN;
                self.first_message = u16::try_from(offset).expect("a packet is shorter than 64 KiB");
            }
            begins = false;
            tsdu.append(&mut pieces, self.tsdu_len);
            if tsdu.len() == self.tsdu_len {
                filled.extend(self.close());
            }
        }
    }

    /// Writes an APDU into packets of its own (RFC 3208 §9.2.2).
    fn put_apdu(&mut self, apdu: &[u8], filled: &mut Vec<Tsdu>) {
        let apdu_len = u32::try_from(apdu.len()).expect("an APDU is shorter than 4 GiB");
        let mut offset = 0;
        let mut rest = [apdu, &[]];
        loop {
            let mut tsdu = self.spare.pop().unwrap_or_default();
            // The window numbers it.
            let fragment = Fragment { first_sqn: Seq(0), offset, apdu_len };
            tsdu.begin(self.tsdu_len, (apdu.len() > self.tsdu_len).then_some(fragment));
            tsdu.append(&mut rest, self.tsdu_len);
            tsdu.seal(None);
            offset += tsdu.len() as u32;
            filled.push(tsdu);
            if offset == apdu_len {
                return;
            }
        }
    }
}

/// An empty packet.
fn begin(spare: &mut Vec<Tsdu>, tsdu_len: usize, framing: Framing) -> Tsdu {
    let mut tsdu = spare.pop().unwrap_or_default();
    tsdu.begin(tsdu_len, None);
    if framing == Framing::Packed {
        tsdu.reserve_offset();
    }
    tsdu
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Sum;

    struct Rig {
        packer: Packer,
        filled: Vec<Tsdu>,
    }

    impl Rig {
        fn new(framing: Framing, tsdu_len: usize) -> Self {
            Rig { packer: Packer::new(framing, tsdu_len), filled: Vec::new() }
        }

        fn put(&mut self, bytes: &[u8], more: bool) {
            let count = |it: &Self| it.filled.len() as u64 + u64::from(it.packer.is_open());
            let (before, foretold) = (count(self), self.packer.packets_for(bytes.len()));
            self.packer.put(bytes, more, &mut self.filled);
            assert!(count(self) - before <= foretold, "a message takes what was foretold at most");
        }

        /// All that was packed, with right sums.
        fn payloads(&mut self) -> Vec<Vec<u8>> {
            self.filled.extend(self.packer.close());
            let sum = |tsdu: &Tsdu| assert_eq!(tsdu.sum(), Sum::of(tsdu.payload()));
            self.filled.iter().for_each(sum);
            let payloads = self.filled.iter().map(|tsdu| tsdu.payload().to_vec()).collect();
            self.packer.refill(&mut self.filled, 1);
            payloads
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
        let fragments: Vec<_> = rig.filled.iter().map(Tsdu::fragment).collect();
        let fragment = |offset| Some(Fragment { first_sqn: Seq(0), offset, apdu_len: 10 });
        assert_eq!(fragments, [None, None, fragment(0), fragment(4), fragment(8)]);
        assert_eq!(rig.payloads(), [&b"ab"[..], b"", b"0123", b"4567", b"89"]);
    }

    #[test]
    fn a_stream_fills_packets() {
        let mut rig = Rig::new(Framing::Stream, 4);
        rig.put(b"ab", false);
        rig.put(b"cdefgh", false);
        rig.put(b"i", false);
        assert_eq!(rig.payloads(), [&b"abcd"[..], b"efgh", b"i"]);
    }
}
