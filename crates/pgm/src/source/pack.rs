//! Messages into packets: the three framings.

use super::slots::Slots;
use super::window::Window;
use crate::framing::{FrameHeader, Framing, NO_MESSAGE, OFFSET_LEN};
use crate::wire::Fragment;

/// Lays messages into the packets that wait at the end of the window.
#[derive(Debug)]
pub(super) struct Packer {
    framing: Framing,
    tsdu_len: usize,
    /// Whether the last part written goes on in the next one.
    in_message: bool,
}

impl Packer {
    pub(super) fn new(framing: Framing, tsdu_len: usize) -> Self {
        Packer { framing, tsdu_len, in_message: false }
    }

    /// The payload of a full packet.
    pub(super) fn tsdu_len(&self) -> usize {
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

    /// How many new packets a message of `len` bytes makes.
    pub(super) fn packets_for(&self, len: usize, window: &Window, slots: &Slots) -> u64 {
        let (len, per_packet) = match self.framing {
            Framing::Packed => (len + FrameHeader::LEN_MAX, self.tsdu_len - OFFSET_LEN),
            Framing::Apdu => return len.div_ceil(self.tsdu_len).max(1) as u64,
            Framing::Stream => (len, self.tsdu_len),
        };
        let room = window.last_waiting().map_or(0, |packet| slots.room(packet));
        len.saturating_sub(room).div_ceil(per_packet) as u64
    }

    /// Writes a message, or a part of one when `more` follows. There must be room.
    pub(super) fn put(&mut self, bytes: &[u8], more: bool, window: &mut Window, slots: &mut Slots) {
        match self.framing {
            Framing::Packed => {
                let mut header = [0; FrameHeader::LEN_MAX];
                let header_len = FrameHeader::emit(bytes.len(), more, &mut header);
                self.append(&header[..header_len], !self.in_message, window, slots);
                self.append(bytes, false, window, slots);
                self.in_message = more;
            }
            Framing::Apdu => self.put_apdu(bytes, window, slots),
            Framing::Stream => self.append(bytes, false, window, slots),
        }
    }

    /// Writes bytes of the stream behind those that wait, into new packets where the last one is full.
    fn append(&self, mut bytes: &[u8], begins_message: bool, window: &mut Window, slots: &mut Slots) {
        let mut begins = begins_message;
        while !bytes.is_empty() {
            let packet = match window.last_waiting() {
                Some(packet) if slots.room(packet) > 0 => packet,
                _ => self.begin_packet(window, slots),
            };
            if begins && self.framing == Framing::Packed {
                let payload = slots.payload_mut(packet);
                let offset =
                    u16::try_from(payload.len() - OFFSET_LEN).expect("a packet is shorter than 64 KiB");
                let (first, _) =
                    payload.split_first_chunk_mut().expect("a packed packet begins with its offset");
                if *first == NO_MESSAGE.to_be_bytes() {
                    *first = offset.to_be_bytes();
                }
                begins = false;
            }
            let taken = slots.append(packet, bytes);
            bytes = &bytes[taken..];
        }
    }

    fn begin_packet(&self, window: &mut Window, slots: &mut Slots) -> u64 {
        let packet = window.append();
        slots.begin(packet, None);
        if self.framing == Framing::Packed {
            slots.append(packet, &NO_MESSAGE.to_be_bytes());
        }
        packet
    }

    /// Writes an APDU into packets of its own (RFC 3208 §9.2.2).
    fn put_apdu(&self, bytes: &[u8], window: &mut Window, slots: &mut Slots) {
        if bytes.len() <= self.tsdu_len {
            let packet = window.append();
            slots.begin(packet, None);
            slots.append(packet, bytes);
            return;
        }
        let first_sqn = window.next_sqn();
        let apdu_len = u32::try_from(bytes.len()).expect("the length was checked against the window");
        let mut offset = 0;
        for chunk in bytes.chunks(self.tsdu_len) {
            let packet = window.append();
            slots.begin(packet, Some(Fragment { first_sqn, offset, apdu_len }));
            slots.append(packet, chunk);
            offset += chunk.len() as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Instant, Seq};

    struct Rig {
        window: Window,
        slots: Slots,
        packer: Packer,
    }

    impl Rig {
        fn new(framing: Framing, tsdu_len: usize) -> Self {
            let (window, slots) = (Window::new(Seq(7), 16, 4, 25), Slots::new(16, tsdu_len));
            Rig { window, slots, packer: Packer::new(framing, tsdu_len) }
        }

        fn put(&mut self, bytes: &[u8], more: bool) {
            let (waiting, expected) =
                (self.window.waiting(), self.packer.packets_for(bytes.len(), &self.window, &self.slots));
            self.packer.put(bytes, more, &mut self.window, &mut self.slots);
            assert!(self.window.waiting() - waiting <= expected, "a message takes what was foretold at most");
        }

        fn payloads(&mut self) -> Vec<&[u8]> {
            let mut packets = Vec::new();
            while let Some(position) = self.window.next_unsent() {
                packets.push(self.window.packet(position).unwrap());
                self.window.mark_sent(Instant(1));
            }
            packets.into_iter().map(|packet| self.slots.packet(packet).0).collect()
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
        let fragment = |offset| Some(Fragment { first_sqn: Seq(9), offset, apdu_len: 10 });
        let fragments: Vec<_> = (0..5).map(|packet| rig.slots.packet(packet).1).collect();
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
}
