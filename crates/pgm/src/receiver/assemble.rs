//! Packets into messages: the three framings, from the receiving side.

use std::ops::Range;

use super::stats::ReceiverStats;
use crate::framing::{FrameError, FrameHeader, Framing, NO_MESSAGE, OFFSET_LEN};
use crate::wire::Fragment;

/// Finds messages in packets that come in order. A message within one packet is not copied.
#[derive(Debug)]
pub(super) struct Assembly {
    framing: Framing,
    message_len_max: u64,
    /// How far the present packet was read.
    cursor: usize,
    /// A message that began in an earlier packet; of a packed one its header, too.
    partial: Vec<u8>,
    /// Whether `partial` was handed out, and is not needed any more.
    spent: bool,
    /// Whether the place in the stream of frames is known.
    synchronised: bool,
    /// The APDU that `partial` is of.
    apdu: Option<Fragment>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A message in the packet itself.
    InPacket { range: Range<usize>, more: bool },
    /// A message in what was assembled.
    Assembled { range: Range<usize>, more: bool },
    /// A message that is longer than allowed, and is passed over.
    TooLong { len: u64 },
    /// No more messages in this packet.
    PacketEnds,
}

impl Assembly {
    pub(super) fn new(framing: Framing, message_len_max: usize) -> Self {
        Assembly {
            framing,
            message_len_max: message_len_max as u64,
            cursor: 0,
            partial: Vec::new(),
            spent: false,
            synchronised: false,
            apdu: None,
        }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// What was assembled last.
    pub(super) fn assembled(&self) -> &[u8] {
        &self.partial
    }

    /// Whether a message goes on in the next packet.
    pub(super) fn is_under_way(&self) -> bool {
        !self.partial.is_empty() && !self.spent
    }

    /// Something is lost between the last packet and the next one.
    pub(super) fn interrupt(&mut self) {
        self.forget();
        self.cursor = 0;
        self.synchronised = false;
        self.apdu = None;
    }

    /// Finds the next message in the present packet. After [`Found::PacketEnds`] the next call is for the next packet.
    pub(super) fn next(
        &mut self,
        payload: &[u8],
        fragment: Option<Fragment>,
        stats: &mut ReceiverStats,
    ) -> Found {
        if self.spent {
            self.forget();
        }
        let found = match self.framing {
            Framing::Packed => self.next_packed(payload, stats),
            Framing::Apdu => self.next_apdu(payload, fragment, stats),
            Framing::Stream if self.cursor < payload.len() => {
                self.cursor = payload.len();
                Found::InPacket { range: 0..payload.len(), more: true }
            }
            Framing::Stream => Found::PacketEnds,
        };
        match found {
            Found::PacketEnds => self.cursor = 0,
            Found::Assembled { .. } => self.spent = true,
            Found::InPacket { .. } | Found::TooLong { .. } => {}
        }
        found
    }

    fn next_packed(&mut self, payload: &[u8], stats: &mut ReceiverStats) -> Found {
        if self.cursor == 0 && !self.enter_packet(payload, stats) {
            return Found::PacketEnds;
        }
        loop {
            let rest = &payload[self.cursor..];
            if rest.is_empty() {
                return Found::PacketEnds;
            }
            let is_begun = !self.partial.is_empty();
            let header = match FrameHeader::parse(if is_begun { &self.partial } else { rest }) {
                Ok(header) => header,
                Err(FrameError::Empty) => {
                    stats.framing_errors += 1;
                    return self.lose_track();
                }
                // The header itself goes on in this packet, or in the next one.
                Err(FrameError::Short) => {
                    let taken = if is_begun { 1 } else { rest.len() };
                    self.partial.extend_from_slice(&rest[..taken]);
                    self.cursor += taken;
                    continue;
                }
            };
            if header.body_len > self.message_len_max {
                stats.messages_too_long += 1;
                self.pass_over(&header, payload.len());
                return Found::TooLong { len: header.body_len };
            }
            let frame_len = header.len + header.body_len as usize;
            let taken = (frame_len - self.partial.len()).min(rest.len());
            let start = self.cursor;
            self.cursor += taken;
            if !is_begun && taken == frame_len {
                return Found::InPacket { range: start + header.len..start + frame_len, more: header.more };
            }
            self.partial.extend_from_slice(&rest[..taken]);
            if self.partial.len() == frame_len {
                return Found::Assembled { range: header.len..frame_len, more: header.more };
            }
        }
    }

    /// Goes on behind a frame. Where it ends in another packet, that one says where the next message begins.
    fn pass_over(&mut self, header: &FrameHeader, payload_len: usize) {
        let left = header.body_len.saturating_add((header.len - self.partial.len().min(header.len)) as u64);
        match usize::try_from(left).ok().and_then(|left| self.cursor.checked_add(left)) {
            Some(end) if end <= payload_len => {
                self.cursor = end;
                self.forget();
            }
            _ => {
                self.cursor = payload_len;
                self.lose_track();
            }
        }
    }

    /// Reads where the first message begins; false when nothing in the packet can be made sense of.
    fn enter_packet(&mut self, payload: &[u8], stats: &mut ReceiverStats) -> bool {
        let Some((offset, rest)) = payload.split_first_chunk::<OFFSET_LEN>() else {
            stats.framing_errors += 1;
            self.lose_track();
            return false;
        };
        self.cursor = OFFSET_LEN;
        let offset = u16::from_be_bytes(*offset);
        if offset != NO_MESSAGE && usize::from(offset) > rest.len() {
            stats.framing_errors += 1;
            self.lose_track();
            return false;
        }
        if !self.synchronised {
            if offset == NO_MESSAGE {
                return false;
            }
            self.cursor += usize::from(offset);
            self.synchronised = true;
        }
        true
    }

    fn next_apdu(&mut self, payload: &[u8], fragment: Option<Fragment>, stats: &mut ReceiverStats) -> Found {
        if self.cursor > 0 {
            return Found::PacketEnds;
        }
        // An empty packet is a message too: the cursor says that it was read.
        self.cursor = payload.len().max(1);
        let Some(fragment) = fragment else {
            self.forget();
            self.apdu = None;
            return Found::InPacket { range: 0..payload.len(), more: false };
        };
        if fragment.offset == 0 {
            self.forget();
            self.apdu = Some(fragment);
            if u64::from(fragment.apdu_len) > self.message_len_max {
                stats.messages_too_long += 1;
                self.apdu = None;
                return Found::TooLong { len: fragment.apdu_len.into() };
            }
        }
        let continues = self.apdu.is_some_and(|apdu| {
            (apdu.first_sqn, apdu.apdu_len) == (fragment.first_sqn, fragment.apdu_len)
                && self.partial.len() == fragment.offset as usize
        });
        if !continues {
            // The beginning is lost, or too long, and was told so.
            self.apdu = None;
            self.forget();
            return Found::PacketEnds;
        }
        self.partial.extend_from_slice(payload);
        if !fragment.is_last(payload.len()) {
            return Found::PacketEnds;
        }
        self.apdu = None;
        Found::Assembled { range: 0..self.partial.len(), more: false }
    }

    /// The place in the stream is lost until a packet says where a message begins.
    fn lose_track(&mut self) -> Found {
        self.forget();
        self.synchronised = false;
        Found::PacketEnds
    }

    fn forget(&mut self) {
        self.partial.clear();
        self.partial.shrink_to(KEPT);
        self.spent = false;
    }
}

/// Memory that is kept for the next message that spans packets.
const KEPT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;

    struct Rig {
        assembly: Assembly,
        stats: ReceiverStats,
        too_long: Vec<u64>,
    }

    impl Rig {
        fn new(framing: Framing) -> Self {
            Rig {
                assembly: Assembly::new(framing, 40),
                stats: ReceiverStats::default(),
                too_long: Vec::new(),
            }
        }

        fn packet(&mut self, payload: &[u8], fragment: Option<Fragment>) -> Vec<(Vec<u8>, bool)> {
            let mut messages = Vec::new();
            loop {
                match self.assembly.next(payload, fragment, &mut self.stats) {
                    Found::InPacket { range, more } => messages.push((payload[range].to_vec(), more)),
                    Found::Assembled { range, more } => {
                        messages.push((self.assembly.assembled()[range].to_vec(), more));
                    }
                    Found::TooLong { len } => self.too_long.push(len),
                    Found::PacketEnds => return messages,
                }
            }
        }

        fn packed(&mut self, payload: &[u8]) -> Vec<(Vec<u8>, bool)> {
            self.packet(payload, None)
        }
    }

    fn whole(messages: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        messages.iter().map(|message| (message.to_vec(), false)).collect()
    }

    #[test]
    fn packed_messages_within_and_across_packets() {
        let mut rig = Rig::new(Framing::Packed);
        assert_eq!(
            rig.packed(b"\0\0\x06\0hello\x02\x01A\x03\0BB"),
            [(b"hello".to_vec(), false), (b"A".to_vec(), true), (b"BB".to_vec(), false)]
        );
        assert_eq!(rig.packed(b"\0\0\x0e\0over the edg"), []);
        assert_eq!(rig.packed(b"\0\x01e\x01\0\x03"), whole(&[b"over the edge", b""]));
        assert_eq!(rig.packed(b"\xff\xff\0x"), [], "a header in two packets");
        assert_eq!(rig.packed(b"\xff\xffy"), whole(&[b"xy"]));
    }

    #[test]
    fn a_header_comes_byte_by_byte() {
        let mut rig = Rig::new(Framing::Packed);
        let stream = b"\xff\0\0\0\0\0\0\0\x03\x01abc";
        assert_eq!(rig.packed(&[&[0, 0], &stream[..1]].concat()), []);
        for byte in &stream[1..11] {
            assert_eq!(rig.packed(&[0xff, 0xff, *byte]), []);
        }
        assert_eq!(rig.packed(b"\xff\xffb"), [(b"ab".to_vec(), true)]);
        assert_eq!(rig.packed(b"\xff\xff\x02\0c"), whole(&[b"c"]));
    }

    #[test]
    fn who_joins_late_finds_the_next_message() {
        let mut rig = Rig::new(Framing::Packed);
        assert_eq!(rig.packed(b"\xff\xffrest of something"), []);
        assert_eq!(rig.packed(b"\0\x03end\x02\0x"), whole(&[b"x"]));
        assert_eq!(rig.packed(b"\0\0\x09\0lost"), []);
        rig.assembly.interrupt();
        assert_eq!(rig.packed(b"\0\x02xx\x02\0y"), whole(&[b"y"]));
    }

    #[test]
    fn nonsense_is_counted_and_passed_over() {
        let mut rig = Rig::new(Framing::Packed);
        assert_eq!(rig.packed(b"\0"), []);
        assert_eq!(rig.packed(b"\0\x09short"), []);
        assert_eq!(rig.packed(b"\0\0\0\0"), [], "a frame without flags");
        assert_eq!(rig.packed(b"\0\0\x2a\0too long"), []);
        assert_eq!((rig.stats.framing_errors, rig.stats.messages_too_long), (3, 1));
        assert_eq!(rig.too_long, [41]);
        assert_eq!(rig.packed(b"\0\0\x02\0x"), whole(&[b"x"]));
        assert_eq!(rig.packed(b"\0\x05"), [], "the offset may be that of the end, but not beyond it");
        assert_eq!(rig.packed(b"\0\0"), []);
    }

    #[test]
    fn what_follows_a_message_that_is_too_long_comes() {
        let mut rig = Rig::new(Framing::Packed);
        let long = [&b"\x2a\0"[..], &[b'x'; 41]].concat();
        assert_eq!(
            rig.packed(&[b"\0\0\x02\0a", &long[..], b"\x02\0b"].concat()),
            whole(&[b"a", b"b"]),
            "within a packet"
        );
        assert_eq!(rig.packed(&[b"\0\0\x02\0c", &long[..30]].concat()), whole(&[b"c"]));
        assert_eq!(rig.packed(&[b"\0\x0d", &long[30..], b"\x02\0d"].concat()), whole(&[b"d"]));
        assert_eq!(rig.packed(b"\0\0\x02\0e\x2a"), whole(&[b"e"]), "a header in two packets");
        assert_eq!(rig.packed(&[b"\0\x2a", &long[1..], b"\x02\0f"].concat()), whole(&[b"f"]));
        assert_eq!(rig.too_long, [41; 3]);
    }

    #[test]
    fn apdus_in_fragments() {
        let fragment = |offset| Some(Fragment { first_sqn: Seq(9), offset, apdu_len: 10 });
        let mut rig = Rig::new(Framing::Apdu);
        assert_eq!(rig.packet(b"whole", None), whole(&[b"whole"]));
        assert_eq!(rig.packet(b"", None), whole(&[b""]));
        assert_eq!(rig.packet(b"0123", fragment(0)), []);
        assert_eq!(rig.packet(b"4567", fragment(4)), []);
        assert_eq!(rig.packet(b"89", fragment(8)), whole(&[b"0123456789"]));
        assert_eq!(rig.packet(b"0123", fragment(0)), []);
        rig.assembly.interrupt();
        assert_eq!(rig.packet(b"89", fragment(8)), [], "the middle is lost");
        let too_long = Some(Fragment { first_sqn: Seq(9), offset: 0, apdu_len: 41 });
        assert_eq!(rig.packet(b"0123", too_long), []);
        assert_eq!((rig.stats.messages_too_long, &rig.too_long[..]), (1, &[41][..]));
        assert_eq!(rig.packet(b"x", None), whole(&[b"x"]));
    }

    #[test]
    fn a_stream_is_what_comes() {
        let mut rig = Rig::new(Framing::Stream);
        assert_eq!(rig.packed(b"ab"), [(b"ab".to_vec(), true)]);
        assert_eq!(rig.packed(b""), []);
    }
}
