//! Turns packets into messages: the receiving side of the three framings.

use std::mem;

use super::hold::Tsdu;
use super::messages::Messages;
use super::stats::ReceiverStats;
use crate::framing::{FrameError, FrameHeader, Framing, NO_MESSAGE, OFFSET_LEN};
use crate::wire::Fragment;

/// Finds the messages in packets, which come in order. The contents of each packet are appended to [`Messages`] unchanged and read
/// there, so that a message that is incomplete at the end of one packet continues with what the next one appends.
#[derive(Debug)]
pub(super) struct Assembly {
    framing: Framing,
    message_len_max: u64,
    /// The position of the packet in which the unfinished message begins.
    begun_at: u64,
    /// Whether it is known where in the stream of frames we are.
    synchronised: bool,
    /// Whether the next part is of a message that is skipped, because an earlier part of it was too long.
    skips_message: bool,
    /// The APDU that continues in the next packet.
    apdu: Option<Fragment>,
}

/// How far a packet was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// To its end.
    Whole,
    /// Up to a message that is longer than allowed and is skipped: the position of the packet in which it begins, and its length.
    TooLong { begun_at: u64, len: u64 },
    /// Up to the place where it does not fit the framing.
    Unreadable { position: u64 },
}

impl Assembly {
    pub(super) fn new(framing: Framing, message_len_max: usize) -> Self {
        Assembly {
            framing,
            message_len_max: message_len_max as u64,
            begun_at: 0,
            synchronised: false,
            skips_message: false,
            apdu: None,
        }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Records that something was lost between the last packet and the next one.
    pub(super) fn interrupt(&mut self, messages: &mut Messages) {
        self.lose_track(messages);
        self.apdu = None;
    }

    /// Reads the packet at a position, and adds the messages that it completes. It stops at a message that is too long; then
    /// [`Assembly::read_on`] must read the rest before the next packet is read.
    pub(super) fn read(
        &mut self,
        position: u64,
        tsdu: Tsdu<'_>,
        messages: &mut Messages,
        stats: &mut ReceiverStats,
    ) -> Read {
        match self.framing {
            Framing::Packed => self.read_packed(position, tsdu.payload, messages, stats),
            Framing::Apdu => self.read_apdu(position, tsdu, messages, stats),
            Framing::Stream => {
                messages.stream(tsdu.payload);
                Read::Whole
            }
        }
    }

    /// Reads the offset of the first message, and then the frames.
    fn read_packed(
        &mut self,
        position: u64,
        payload: &[u8],
        messages: &mut Messages,
        stats: &mut ReceiverStats,
    ) -> Read {
        let split = payload.split_first_chunk::<OFFSET_LEN>();
        let split = split.map(|(offset, frames)| (u16::from_be_bytes(*offset), frames));
        let is_possible =
            |&(offset, frames): &(u16, &[u8])| offset == NO_MESSAGE || usize::from(offset) <= frames.len();
        let Some((offset, frames)) = split.filter(is_possible) else {
            stats.framing_errors += 1;
            self.lose_track(messages);
            return Read::Unreadable { position };
        };
        if !self.synchronised && offset == NO_MESSAGE {
            return Read::Whole;
        }
        if messages.unread().is_empty() {
            self.begun_at = position;
        }
        messages.append(frames);
        if !self.synchronised {
            messages.skip(offset.into());
            self.synchronised = true;
        }
        self.read_frames(position, messages, stats)
    }

    /// Reads the rest of the packet, after a message that was too long.
    pub(super) fn read_on(&mut self, messages: &mut Messages, stats: &mut ReceiverStats) -> Read {
        match self.framing {
            Framing::Packed => self.read_frames(self.begun_at, messages, stats),
            Framing::Apdu | Framing::Stream => Read::Whole,
        }
    }

    /// Reads the unread frames. `position` is that of the packet that was appended last.
    fn read_frames(&mut self, position: u64, messages: &mut Messages, stats: &mut ReceiverStats) -> Read {
        loop {
            let unread = messages.unread();
            let header = match FrameHeader::parse(unread) {
                Ok(header) => header,
                // The header continues in the next packet.
                Err(FrameError::Short) => return Read::Whole,
                Err(FrameError::Empty) => {
                    stats.framing_errors += 1;
                    self.lose_track(messages);
                    return Read::Unreadable { position };
                }
            };
            let there = unread.len() - header.len;
            let body_len = usize::try_from(header.body_len).unwrap_or(usize::MAX);
            if header.body_len > self.message_len_max || self.skips_message {
                let was_reported = mem::replace(&mut self.skips_message, header.more);
                if body_len <= there {
                    messages.skip(header.len + body_len);
                } else {
                    // The packet in which its message ends says where the next one begins.
                    self.lose_track(messages);
                }
                let begun_at = mem::replace(&mut self.begun_at, position);
                if was_reported {
                    continue;
                }
                stats.messages_too_long += 1;
                return Read::TooLong { begun_at, len: header.body_len };
            }
            if body_len > there {
                return Read::Whole;
            }
            messages.end(header.len, body_len, header.more);
            self.begun_at = position;
        }
    }

    fn read_apdu(
        &mut self,
        position: u64,
        tsdu: Tsdu<'_>,
        messages: &mut Messages,
        stats: &mut ReceiverStats,
    ) -> Read {
        let Tsdu { payload, fragment } = tsdu;
        if fragment.is_none_or(|fragment| fragment.offset == 0) {
            self.give_up_apdu(messages);
            let len = fragment.map_or(payload.len() as u64, |fragment| fragment.apdu_len.into());
            if len > self.message_len_max {
                stats.messages_too_long += 1;
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
                && messages.unread().len() == fragment.offset as usize
        });
        if !continues {
            // The beginning was lost, or the APDU is too long; both have been reported.
            self.give_up_apdu(messages);
            return Read::Whole;
        }
        messages.append(payload);
        if fragment.is_last(payload.len()) {
            self.apdu = None;
            messages.end(0, messages.unread().len(), false);
        }
        Read::Whole
    }

    fn give_up_apdu(&mut self, messages: &mut Messages) {
        self.apdu = None;
        messages.skip_all();
    }

    /// Skips everything until a packet says where a message begins.
    fn lose_track(&mut self, messages: &mut Messages) {
        messages.skip_all();
        (self.synchronised, self.skips_message) = (false, false);
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
        unreadable: Vec<u64>,
        too_long: Vec<(u64, u64)>,
    }

    impl Rig {
        fn new(framing: Framing) -> Self {
            Rig {
                assembly: Assembly::new(framing, 40),
                messages: Messages::default(),
                stats: ReceiverStats::default(),
                position: 0,
                unreadable: Vec::new(),
                too_long: Vec::new(),
            }
        }

        /// Reads the next packet; what is whole goes to other memory than what is not.
        fn packet(&mut self, payload: &[u8], fragment: Option<Fragment>) -> Vec<(Vec<u8>, bool)> {
            let Rig { assembly, messages, stats, position, unreadable, too_long } = self;
            let mut read = assembly.read(*position, Tsdu { payload, fragment }, messages, stats);
            while let Read::TooLong { begun_at, len } = read {
                too_long.push((begun_at, len));
                read = assembly.read_on(messages, stats);
            }
            if let Read::Unreadable { position } = read {
                unreadable.push(position);
            }
            *position += 1;
            let mut next = Messages::default();
            messages.copy_unread(&mut next);
            let whole = mem::replace(messages, next);
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
    fn a_late_receiver_finds_the_next_message() {
        let mut rig = Rig::new(Framing::Packed);
        assert_eq!(rig.packed(b"\xff\xffrest of something"), []);
        assert_eq!(rig.packed(b"\0\x03end\x02\0x"), whole(&[b"x"]));
        assert_eq!(rig.packed(b"\0\0\x09\0lost"), []);
        rig.assembly.interrupt(&mut rig.messages);
        assert_eq!(rig.packed(b"\0\x02xx\x02\0y"), whole(&[b"y"]));
    }

    #[test]
    fn nonsense_is_reported_and_passed_over() {
        let mut rig = Rig::new(Framing::Packed);
        assert_eq!(rig.packed(b"\0"), []);
        assert_eq!(rig.packed(b"\0\x09short"), []);
        assert_eq!(rig.packed(b"\0\0\0\0"), [], "a frame without flags");
        assert_eq!(rig.packed(b"\0\0\x2a\0too long"), []);
        assert_eq!((rig.stats.framing_errors, rig.stats.messages_too_long), (3, 1));
        assert_eq!((&rig.unreadable[..], &rig.too_long[..]), (&[0, 1, 2][..], &[(3, 41)][..]));
        assert_eq!(rig.packed(b"\0\0\x02\0x"), whole(&[b"x"]));
        assert_eq!(rig.packed(b"\0\x05"), [], "the offset may be that of the end, but not beyond it");
        assert_eq!(rig.packed(b"\0\0"), []);
        assert_eq!(rig.unreadable[3..], [5]);
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
    fn a_message_goes_with_its_part_that_is_too_long() {
        let mut rig = Rig::new(Framing::Packed);
        let long = [&b"\x2a\x01"[..], &[b'x'; 41]].concat();
        let part = |part: &[u8]| (part.to_vec(), true);
        assert_eq!(
            rig.packed(&[b"\0\0\x02\x01a", &long[..], b"\x02\x01b\x02\0c\x02\0d"].concat()),
            [part(b"a"), (b"d".to_vec(), false)]
        );
        assert_eq!(rig.packed(&[b"\0\0", &long[..], &long[..], b"\x02"].concat()), []);
        assert_eq!(rig.packed(b"\0\x02\0b\x02\0e"), whole(&[b"e"]), "the rest is in another packet");
        assert_eq!(rig.packed(&[b"\0\0", &long[..], &long[..30]].concat()), []);
        assert_eq!(rig.packed(&[b"\0\x10", &long[30..], b"\x02\0b\x02\0f"].concat()), whole(&[b"f"]));
        assert_eq!(rig.packed(&[b"\0\0", &long[..]].concat()), []);
        rig.assembly.interrupt(&mut rig.messages);
        assert_eq!(rig.packed(b"\0\0\x02\0g"), whole(&[b"g"]), "the rest is lost");
        assert_eq!(rig.too_long, [(0, 41), (1, 41), (3, 41), (5, 41)], "each message once");
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
    fn a_stream_is_delivered_as_it_comes() {
        let mut rig = Rig::new(Framing::Stream);
        assert_eq!(rig.packed(b"ab"), [(b"ab".to_vec(), true)]);
        assert_eq!(rig.packed(b""), []);
    }
}
