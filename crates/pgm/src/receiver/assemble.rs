//! Packets into messages: the three framings, from the receiving side.

use super::messages::Messages;
use super::stats::ReceiverStats;
use crate::framing::{FrameError, FrameHeader, Framing, NO_MESSAGE, OFFSET_LEN};
use crate::wire::Fragment;

/// Finds messages in packets that come in order. What is not whole at the end of a packet stays at the end of the messages found, which
/// are the same from packet to packet, but for what was taken off their front.
#[derive(Debug)]
pub(super) struct Assembly {
    framing: Framing,
    message_len_max: u64,
    /// How far the present packet was read.
    cursor: usize,
    /// Of the message that goes on in the next packet what is not in its bytes.
    frame: Frame,
    /// Whether the place in the stream of frames is known.
    synchronised: bool,
    /// The APDU that goes on in the next packet.
    apdu: Option<Fragment>,
}

/// The place in a frame.
#[derive(Debug, Clone, Copy)]
enum Frame {
    /// In its header, of which so many bytes were read; the first of them in this packet.
    Header { bytes: [u8; FrameHeader::LEN_MAX], len: usize, begun_at: u64 },
    /// In its body, of which so many bytes are to come.
    Body { left: usize, more: bool },
    /// In front of it.
    Outside,
}

/// How far a packet was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// To its end.
    Whole,
    /// Up to a message that is longer than allowed and is passed over: the packet in which it begins, and its length. The next call
    /// goes on with the same packet.
    TooLong { begun_at: u64, len: u64 },
}

impl Assembly {
    pub(super) fn new(framing: Framing, message_len_max: usize) -> Self {
        Assembly {
            framing,
            message_len_max: message_len_max as u64,
            cursor: 0,
            frame: Frame::Outside,
            synchronised: false,
            apdu: None,
        }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Something is lost between the last packet and the next one.
    pub(super) fn interrupt(&mut self, messages: &mut Messages) {
        self.lose_track(messages);
        self.cursor = 0;
        self.apdu = None;
    }

    /// Reads the packet at a position, and adds the messages that it makes whole.
    pub(super) fn read(
        &mut self,
        position: u64,
        (payload, fragment): (&[u8], Option<Fragment>),
        messages: &mut Messages,
        stats: &mut ReceiverStats,
    ) -> Read {
        let read = match self.framing {
            Framing::Packed => self.read_packed(position, payload, messages, stats),
            Framing::Apdu => self.read_apdu(position, payload, fragment, messages),
            Framing::Stream => {
                messages.stream(payload);
                Read::Whole
            }
        };
        match read {
            Read::Whole => self.cursor = 0,
            Read::TooLong { .. } => stats.messages_too_long += 1,
        }
        read
    }

    fn read_packed(
        &mut self,
        position: u64,
        payload: &[u8],
        messages: &mut Messages,
        stats: &mut ReceiverStats,
    ) -> Read {
        if self.cursor == 0 && !self.enter_packet(payload, messages, stats) {
            return Read::Whole;
        }
        loop {
            let rest = &payload[self.cursor..];
            if let Frame::Body { left, more } = self.frame {
                let taken = left.min(rest.len());
                messages.append(&rest[..taken]);
                self.cursor += taken;
                if taken < left {
                    self.frame = Frame::Body { left: left - taken, more };
                    return Read::Whole;
                }
                messages.end(more);
                self.frame = Frame::Outside;
                continue;
            }
            if rest.is_empty() {
                return Read::Whole;
            }
            let (header, begun_at) = match self.read_header(position, rest) {
                Ok(read) => read,
                Err(FrameError::Empty) => {
                    stats.framing_errors += 1;
                    self.lose_track(messages);
                    return Read::Whole;
                }
                // The header goes on in the next packet.
                Err(FrameError::Short) => return Read::Whole,
            };
            match usize::try_from(header.body_len) {
                Ok(left) if header.body_len <= self.message_len_max => {
                    self.frame = Frame::Body { left, more: header.more };
                }
                _ => {
                    self.pass_over(header.body_len, payload.len(), messages);
                    return Read::TooLong { begun_at, len: header.body_len };
                }
            }
        }
    }

    /// Reads the header of a frame, and says in which packet it begins.
    #[inline]
    fn read_header(&mut self, position: u64, rest: &[u8]) -> Result<(FrameHeader, u64), FrameError> {
        if let Frame::Header { .. } = self.frame {
            return self.read_on(rest);
        }
        match FrameHeader::parse(rest) {
            Ok(header) => {
                self.cursor += header.len;
                Ok((header, position))
            }
            Err(FrameError::Short) => {
                let mut bytes = [0; FrameHeader::LEN_MAX];
                bytes[..rest.len()].copy_from_slice(rest);
                self.frame = Frame::Header { bytes, len: rest.len(), begun_at: position };
                self.cursor += rest.len();
                Err(FrameError::Short)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a header that began in an earlier packet.
    #[cold]
    fn read_on(&mut self, rest: &[u8]) -> Result<(FrameHeader, u64), FrameError> {
        let Frame::Header { bytes, len, begun_at } = &mut self.frame else { return Err(FrameError::Short) };
        for byte in rest {
            self.cursor += 1;
            bytes[*len] = *byte;
            *len += 1;
            match FrameHeader::parse(&bytes[..*len]) {
                Err(FrameError::Short) => {}
                read => return read.map(|header| (header, *begun_at)),
            }
        }
        Err(FrameError::Short)
    }

    /// Goes on behind a body. Where it ends in another packet, that one says where the next message begins.
    fn pass_over(&mut self, body_len: u64, payload_len: usize, messages: &mut Messages) {
        self.frame = Frame::Outside;
        match usize::try_from(body_len).ok().and_then(|len| self.cursor.checked_add(len)) {
            Some(end) if end <= payload_len => self.cursor = end,
            _ => {
                self.cursor = payload_len;
                self.lose_track(messages);
            }
        }
    }

    /// Reads where the first message begins; false when nothing in the packet can be made sense of.
    fn enter_packet(&mut self, payload: &[u8], messages: &mut Messages, stats: &mut ReceiverStats) -> bool {
        let split = payload.split_first_chunk::<OFFSET_LEN>();
        let offset = split.map(|(offset, rest)| (u16::from_be_bytes(*offset), rest.len()));
        let Some((offset, _)) =
            offset.filter(|&(offset, len)| offset == NO_MESSAGE || usize::from(offset) <= len)
        else {
            stats.framing_errors += 1;
            self.lose_track(messages);
            return false;
        };
        self.cursor = OFFSET_LEN;
        if !self.synchronised {
            if offset == NO_MESSAGE {
                return false;
            }
            self.cursor += usize::from(offset);
            self.synchronised = true;
        }
        true
    }

    fn read_apdu(
        &mut self,
        position: u64,
        payload: &[u8],
        fragment: Option<Fragment>,
        messages: &mut Messages,
    ) -> Read {
        if self.cursor > 0 {
            return Read::Whole;
        }
        if fragment.is_none_or(|fragment| fragment.offset == 0) {
            self.give_up_apdu(messages);
            let len = fragment.map_or(payload.len() as u64, |fragment| fragment.apdu_len.into());
            if len > self.message_len_max {
                // The cursor says that the packet was read.
                self.cursor = payload.len().max(1);
                return Read::TooLong { begun_at: position, len };
            }
            self.apdu = fragment;
        }
        let Some(fragment) = fragment else {
            messages.push(payload, false);
            return Read::Whole;
        };
        let continues = self.apdu.is_some_and(|apdu| {
            (apdu.first_sqn, apdu.apdu_len) == (fragment.first_sqn, fragment.apdu_len)
                && messages.begun_len() == fragment.offset as usize
        });
        if !continues {
            // The beginning is lost, or too long, and was told so.
            self.give_up_apdu(messages);
            return Read::Whole;
        }
        messages.append(payload);
        if fragment.is_last(payload.len()) {
            self.apdu = None;
            messages.end(false);
        }
        Read::Whole
    }

    fn give_up_apdu(&mut self, messages: &mut Messages) {
        self.apdu = None;
        messages.forget_begun();
    }

    /// The place in the stream is lost until a packet says where a message begins.
    fn lose_track(&mut self, messages: &mut Messages) {
        messages.forget_begun();
        self.frame = Frame::Outside;
        self.synchronised = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seq;

    struct Rig {
        assembly: Assembly,
        messages: Messages,
        stats: ReceiverStats,
        position: u64,
        too_long: Vec<(u64, u64)>,
    }

    impl Rig {
        fn new(framing: Framing) -> Self {
            Rig {
                assembly: Assembly::new(framing, 40),
                messages: Messages::default(),
                stats: ReceiverStats::default(),
                position: 0,
                too_long: Vec::new(),
            }
        }

        /// Reads the next packet; what is whole goes to other memory than what is not.
        fn packet(&mut self, payload: &[u8], fragment: Option<Fragment>) -> Vec<(Vec<u8>, bool)> {
            let Rig { assembly, messages, stats, position, too_long } = self;
            while let Read::TooLong { begun_at, len } =
                assembly.read(*position, (payload, fragment), messages, stats)
            {
                too_long.push((begun_at, len));
            }
            *position += 1;
            let mut next = Messages::default();
            messages.move_begun(&mut next);
            let whole = std::mem::replace(messages, next);
            whole.iter().map(|(message, more)| (message.to_vec(), more)).collect()
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
        rig.assembly.interrupt(&mut rig.messages);
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
        assert_eq!(rig.too_long, [(3, 41)]);
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
        assert_eq!(rig.too_long, [(0, 41), (1, 41), (3, 41)]);
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
        rig.assembly.interrupt(&mut rig.messages);
        assert_eq!(rig.packet(b"89", fragment(8)), [], "the middle is lost");
        let too_long = Some(Fragment { first_sqn: Seq(9), offset: 0, apdu_len: 41 });
        assert_eq!(rig.packet(b"0123", too_long), []);
        assert_eq!((rig.stats.messages_too_long, &rig.too_long[..]), (1, &[(7, 41)][..]));
        assert_eq!(rig.packet(b"x", None), whole(&[b"x"]));
        assert_eq!(rig.packet(&[b'x'; 40], None), whole(&[&[b'x'; 40]]));
        assert_eq!(rig.packet(&[b'x'; 41], None), [], "a packet of its own makes it no shorter");
        assert_eq!(rig.packet(b"y", None), whole(&[b"y"]));
        assert_eq!((rig.stats.messages_too_long, &rig.too_long[1..]), (2, &[(10, 41)][..]));
    }

    #[test]
    fn a_stream_is_what_comes() {
        let mut rig = Rig::new(Framing::Stream);
        assert_eq!(rig.packed(b"ab"), [(b"ab".to_vec(), true)]);
        assert_eq!(rig.packed(b""), []);
    }
}
