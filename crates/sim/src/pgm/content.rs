//! What a source publishes: fully known to the oracles, which compare each byte that a receiver delivers with it.

use crate::rng::Rng;

/// Everything that one source publishes.
#[derive(Debug)]
pub(crate) struct Content {
    kind: Kind,
    /// Random bytes; the whole of a stream or file, and what messages are cut from.
    bytes: Vec<u8>,
    /// Length of each message.
    lens: Vec<u32>,
    /// The length of the parts in which messages are published; the last part of a message may be shorter.
    part_len: usize,
    /// The offset at which each message ends in the stream that the packets carry, framing included.
    ends: Vec<u64>,
}

/// The form in which a source publishes and a receiver delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Messages packed into packets one after the other (`Framing::Packed`).
    Packed,
    /// Messages in packets of their own (`Framing::Apdu`).
    Apdu,
    /// A stream of bytes without message boundaries (`Framing::Stream`).
    Stream,
    /// Bytes that are kept elsewhere: asked for when they are needed, delivered packet by packet.
    File,
}

impl Content {
    /// About `total` bytes; messages of up to `longest` bytes, most of them short, some empty.
    pub(crate) fn new(kind: Kind, total: usize, longest: u32, rng: &mut Rng) -> Self {
        let mut lens = Vec::new();
        if matches!(kind, Kind::Packed | Kind::Apdu) {
            let mut sum = 0;
            while sum < total {
                let most = rng.pick(&[longest, longest, longest / 4, 300, 60, 8]).min(longest);
                // An APDU has at least one byte; a packed message may be empty.
                let len = rng.between(u64::from(kind == Kind::Apdu), u64::from(most)) as u32;
                sum += len as usize + 2;
                lens.push(len);
            }
        }
        let pool = if lens.is_empty() { total } else { longest as usize + POOL };
        let bytes = std::iter::repeat_with(|| rng.next_u64().to_le_bytes()).flatten().take(pool).collect();
        let mut content = Self { kind, bytes, lens, part_len: usize::MAX, ends: Vec::new() };
        content.lay_out();
        content
    }

    /// The same, with messages in parts of this length.
    pub(crate) fn in_parts(mut self, part_len: usize) -> Self {
        self.part_len = part_len;
        self.lay_out();
        self
    }

    fn lay_out(&mut self) {
        let end_of = |end: &mut u64, &len: &u32| {
            let len = len as usize;
            let full_parts = len.saturating_sub(1) / self.part_len;
            let last_part = self.framed(len - full_parts * self.part_len);
            *end +=
                last_part + if full_parts > 0 { full_parts as u64 * self.framed(self.part_len) } else { 0 };
            Some(*end)
        };
        self.ends = self.lens.iter().scan(0, end_of).collect();
    }

    /// The bytes that a message, or a part of one, takes in the stream of packets.
    fn framed(&self, len: usize) -> u64 {
        match self.kind {
            // A flag byte and the length, which takes one byte up to 253 and nine above.
            Kind::Packed if len < 254 => len as u64 + 2,
            Kind::Packed => len as u64 + 10,
            _ => len as u64,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Number of messages.
    pub(crate) fn messages(&self) -> usize {
        self.lens.len()
    }

    /// A message by its number.
    pub(crate) fn message(&self, number: usize) -> &[u8] {
        // Successive messages begin far apart, so that those of equal length still differ.
        let start = number * 7919 % POOL;
        &self.bytes[start..start + self.lens[number] as usize]
    }

    /// The part of a message that begins after this many bytes of it, and whether the message goes on after the part.
    pub(crate) fn part(&self, number: usize, after: usize) -> (&[u8], bool) {
        let rest = self.message(number).get(after..).unwrap_or_default();
        let len = rest.len().min(self.part_len);
        (&rest[..len], len < rest.len())
    }

    /// The offset of that part in the stream of packets.
    pub(crate) fn part_start(&self, number: usize, after: usize) -> u64 {
        let parts = after / self.part_len;
        self.message_start(number) + if parts > 0 { parts as u64 * self.framed(self.part_len) } else { 0 }
    }

    /// The whole of a stream or file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The least number of packets of up to `tsdu_len` bytes that hold it.
    pub(crate) fn packets(&self, tsdu_len: usize) -> usize {
        match self.kind {
            Kind::Apdu => self.lens.iter().map(|&len| (len as usize).div_ceil(tsdu_len)).sum(),
            Kind::Packed | Kind::Stream | Kind::File => (self.stream_len() as usize).div_ceil(tsdu_len),
        }
    }

    /// The length of the longest message.
    pub(crate) fn longest(&self) -> usize {
        self.lens.iter().copied().max().unwrap_or(0) as usize
    }

    /// Bytes of payload in all.
    pub(crate) fn useful(&self) -> u64 {
        match self.kind {
            Kind::Packed | Kind::Apdu => self.lens.iter().map(|&len| u64::from(len)).sum(),
            Kind::Stream | Kind::File => self.bytes.len() as u64,
        }
    }

    /// How many messages end at or before an offset in the stream of packets.
    pub(crate) fn messages_before(&self, place: u64) -> usize {
        self.ends.partition_point(|&end| end <= place)
    }

    /// The first message that begins at or after an offset in the stream of packets.
    pub(crate) fn first_message(&self, place: u64) -> usize {
        if place == 0 { 0 } else { self.ends.partition_point(|&end| end < place) + 1 }
    }

    /// The offset of a message in the stream of packets; for the one after the last, the end of the stream.
    pub(crate) fn message_start(&self, number: usize) -> u64 {
        if number == 0 { 0 } else { self.ends[number - 1] }
    }

    /// Bytes that the packets carry in all, framing included.
    pub(crate) fn stream_len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(self.bytes.len() as u64)
    }
}

/// Where messages may begin in the random bytes; a prime.
const POOL: usize = 65_537;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_messages_agree() {
        let content = Content::new(Kind::Packed, 50_000, 2000, &mut Rng::new(5));
        assert!(content.messages() > 50);
        for number in 0..content.messages() {
            let (start, end) = (content.message_start(number), content.message_start(number + 1));
            assert_eq!(content.first_message(start), number);
            assert_eq!(content.first_message(start + 1), number + 1);
            assert_eq!(content.messages_before(end), number + 1);
            assert_eq!(content.messages_before(end - 1), number);
            let len = content.message(number).len() as u64;
            assert_eq!(end - start, if len < 254 { len + 2 } else { len + 10 });
        }
        assert_eq!(content.message_start(content.messages()), content.stream_len());
        assert!((0..content.messages()).any(|number| content.message(number).is_empty()));
    }

    #[test]
    fn parts_follow_each_other_to_the_end_of_the_message() {
        let content = Content::new(Kind::Packed, 50_000, 2000, &mut Rng::new(5)).in_parts(300);
        for number in 0..content.messages() {
            let (mut parts, mut place) = (Vec::new(), content.message_start(number));
            loop {
                assert_eq!(content.part_start(number, parts.len()), place);
                let (part, goes_on) = content.part(number, parts.len());
                parts.extend_from_slice(part);
                place += part.len() as u64 + if part.len() < 254 { 2 } else { 10 };
                if !goes_on {
                    break;
                }
            }
            assert_eq!((&parts[..], place), (content.message(number), content.message_start(number + 1)));
        }
    }

    #[test]
    fn a_stream_has_no_messages() {
        let content = Content::new(Kind::Stream, 12_345, 10, &mut Rng::new(5));
        assert_eq!((content.messages(), content.stream_len(), content.useful()), (0, 12_345, 12_345));
    }
}
