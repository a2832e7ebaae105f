//! Which data a source put into which packet: read from its original transmissions, independently of the machines' code.

use std::rc::Rc;

use super::content::{Content, Kind};

/// For each packet of a source, where its data begin in what the source publishes.
#[derive(Debug)]
pub(crate) struct Record {
    content: Rc<Content>,
    first_sqn: u32,
    /// The number of packets in a transmission group; 1 without parity.
    group_len: u32,
    /// The offset of each packet's data in the stream that the packets carry; the last entry is for the packet to come.
    starts: Vec<u64>,
}

impl Record {
    /// A record of packets that hold up to `tsdu_len` bytes. Those of a file are known in advance: all but the last are full.
    pub(crate) fn new(content: Rc<Content>, first_sqn: u32, group_len: u32, tsdu_len: u64) -> Self {
        let mut starts = vec![0];
        if content.kind() == Kind::File {
            starts.extend((1..content.stream_len().div_ceil(tsdu_len)).map(|index| index * tsdu_len));
            starts.push(content.stream_len());
        }
        Self { content, first_sqn, group_len, starts }
    }

    pub(crate) fn content(&self) -> &Rc<Content> {
        &self.content
    }

    /// The number of the transmission group that a sequence number is in.
    pub(crate) fn group_of(&self, sqn: u32) -> u32 {
        sqn / self.group_len
    }

    /// The number of packets so far.
    pub(crate) fn packets(&self) -> u32 {
        self.starts.len() as u32 - 1
    }

    /// How many sequence numbers short groups left out, the last group included.
    pub(crate) fn left_out(&self) -> usize {
        let within = self.starts.windows(2).filter(|pair| pair[0] == pair[1]).count();
        within + (self.packets().next_multiple_of(self.group_len) - self.packets()) as usize
    }

    /// The offset of the data of the packet with a sequence number; also for the packet to come. `None` when no such packet was
    /// sent.
    pub(crate) fn start(&self, sqn: u32) -> Option<u64> {
        self.starts.get(sqn.wrapping_sub(self.first_sqn) as usize).copied()
    }

    /// The index of a packet that was sent, counted from 0.
    pub(crate) fn index(&self, sqn: u32) -> Option<usize> {
        let index = sqn.wrapping_sub(self.first_sqn);
        (index < self.packets()).then_some(index as usize)
    }

    /// How many packets come before a sequence number that [`Self::start`] knows.
    pub(crate) fn packets_before(&self, sqn: u32) -> usize {
        sqn.wrapping_sub(self.first_sqn) as usize
    }

    /// Records a packet if it is new ODATA. False when it does not carry what the application published.
    ///
    /// Sequence numbers that it skips have no data: those after a short transmission group (RFC 3208 §11.7).
    pub(crate) fn note(&mut self, packet: &[u8]) -> bool {
        let Some((sqn, tsdu)) = odata(packet) else { return true };
        let index = sqn.wrapping_sub(self.first_sqn);
        if self.content.kind() == Kind::File {
            return self.index(sqn).is_some_and(|index| self.file_packet(index) == tsdu);
        }
        if index < self.packets() {
            return true;
        }
        let start = self.starts[self.packets() as usize];
        if index - self.packets() >= SKIPPED_MOST {
            return false;
        }
        self.starts.resize(index as usize + 1, start);
        let data = match self.content.kind() {
            Kind::Packed => self.packed(start, tsdu),
            Kind::Apdu => {
                // One message, or a part of one.
                let end = start + tsdu.len() as u64;
                let message = self.content.messages_before(start);
                (!tsdu.is_empty() && end <= self.content.message_start(message + 1)).then_some(tsdu)
            }
            Kind::File | Kind::Stream => {
                let rest = self.content.bytes().get(start as usize..).unwrap_or_default();
                (!tsdu.is_empty() && rest.starts_with(tsdu)).then_some(tsdu)
            }
        };
        self.starts.push(start + data.map_or(0, <[u8]>::len) as u64);
        data.is_some_and(|_| self.starts[self.packets() as usize] <= self.content.stream_len())
    }

    /// The contents of a packet of a file.
    pub(crate) fn file_packet(&self, index: usize) -> &[u8] {
        &self.content.bytes()[self.starts[index] as usize..self.starts[index + 1] as usize]
    }

    /// Records a packet by the length of its data, without checking them.
    #[cfg(test)]
    pub(crate) fn push(&mut self, sqn: u32, len: u64) {
        let start = self.starts[self.packets() as usize];
        self.starts.resize(sqn.wrapping_sub(self.first_sqn) as usize + 1, start);
        self.starts.push(start + len);
    }

    /// The data of a packed TSDU, if its offset points to the first message that begins there.
    fn packed<'a>(&self, start: u64, tsdu: &'a [u8]) -> Option<&'a [u8]> {
        let (offset, data) = tsdu.split_first_chunk::<2>()?;
        let said = u16::from_be_bytes(*offset);
        let begins =
            self.content.message_start(self.content.first_message(start).min(self.content.messages()));
        let place = (begins - start) as usize;
        // The offset may point to a message that begins right after these data.
        let right = if said == 0xffff {
            place >= data.len()
        } else {
            usize::from(said) == place && place <= data.len()
        };
        (right && !data.is_empty()).then_some(data)
    }
}

/// Fewer sequence numbers than this may be skipped at a time: a group has at most this many, and at least one packet.
const SKIPPED_MOST: u32 = 128;

/// Sequence number and TSDU of an ODATA packet that is not parity (RFC 3208 §8 and §8.2, OPT_LENGTH §9.1).
fn odata(packet: &[u8]) -> Option<(u32, &[u8])> {
    const OPTIONS_PRESENT: u8 = 1;
    const PARITY: u8 = 0x80;
    let [_, _, _, _, 0x04, flags, ..] = packet else { return None };
    let sqn = u32::from_be_bytes(packet.get(16..20)?.try_into().ok()?);
    let options = match packet.get(24..28) {
        Some(&[_, _, high, low]) if flags & OPTIONS_PRESENT != 0 => {
            usize::from(u16::from_be_bytes([high, low]))
        }
        _ => 0,
    };
    (flags & PARITY == 0).then_some((sqn, packet.get(24 + options..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn packet(sqn: u32, options: &[u8], tsdu: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 24];
        packet[4] = 4;
        packet[5] = u8::from(!options.is_empty());
        packet[16..20].copy_from_slice(&sqn.to_be_bytes());
        packet.extend(options);
        packet.extend(tsdu);
        packet
    }

    #[test]
    fn a_stream_is_followed_packet_by_packet() {
        let content = Rc::new(Content::new(Kind::Stream, 100, 0, &mut Rng::new(1)));
        let mut record = Record::new(Rc::clone(&content), u32::MAX, 1, 60);
        assert!(record.note(&packet(u32::MAX, &[], &content.bytes()[..60])));
        assert!(record.note(&packet(u32::MAX, &[], b"sent again, noted before")));
        assert!(record.note(&packet(0, &[0, 4, 0, 8, 0x8d, 4, 0, 0], &content.bytes()[60..])));
        assert_eq!([u32::MAX, 0, 1, 2].map(|sqn| record.start(sqn)), [Some(0), Some(60), Some(100), None]);
        assert!(!record.note(&packet(1, &[], b"more than was said")));
        let mut skipping = Record::new(Rc::clone(&content), 0, 1, 60);
        assert!(skipping.note(&packet(0, &[], &content.bytes()[..10])));
        assert!(skipping.note(&packet(4, &[], &content.bytes()[10..20])));
        assert_eq!([1, 2, 3, 4, 5].map(|sqn| skipping.start(sqn)), [10, 10, 10, 10, 20].map(Some));
        assert!(!skipping.note(&packet(200, &[], &content.bytes()[20..30])));
    }

    #[test]
    fn what_short_groups_left_out_is_counted() {
        let content = Rc::new(Content::new(Kind::Stream, 100, 0, &mut Rng::new(1)));
        let mut record = Record::new(content, 0, 4, 60);
        [0, 1, 4, 8, 9].into_iter().for_each(|sqn| record.push(sqn, 10));
        assert_eq!(record.left_out(), 2 + 3 + 2);
    }

    #[test]
    fn a_wrong_offset_is_seen() {
        let content = Rc::new(Content::new(Kind::Packed, 5_000, 700, &mut Rng::new(2)));
        let second = content.message_start(1) as usize;
        assert!(second > 2);
        let tsdu = |offset: u16, len: usize| [&offset.to_be_bytes()[..], &vec![0; len]].concat();
        let fresh = || Record::new(Rc::clone(&content), 0, 1, 60);
        assert!(fresh().note(&packet(0, &[], &tsdu(0, second - 1))));
        assert!(!fresh().note(&packet(0, &[], &tsdu(1, second - 1))));
        assert!(!fresh().note(&packet(0, &[], &tsdu(0xffff, second - 1))));
        let mut record = fresh();
        assert!(record.note(&packet(0, &[], &tsdu(0, second - 1))));
        assert!(record.note(&packet(1, &[], &tsdu(1, 5))));
        assert!(!record.note(&packet(2, &[], &tsdu(0, 5))));
    }

    #[test]
    fn a_file_is_known_beforehand() {
        let content = Rc::new(Content::new(Kind::File, 130, 0, &mut Rng::new(1)));
        let mut record = Record::new(Rc::clone(&content), 7, 1, 60);
        assert_eq!(
            [7, 8, 9, 10, 11].map(|sqn| record.start(sqn)),
            [Some(0), Some(60), Some(120), Some(130), None]
        );
        assert!(record.note(&packet(9, &[], &content.bytes()[120..])));
        assert!(!record.note(&packet(8, &[], &content.bytes()[..60])));
        assert!(!record.note(&packet(10, &[], &[])));
    }
}
