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
        let framed = |len: u32| match kind {
            // A flag byte and the length, which takes one byte up to 253 and nine above.
            Kind::Packed if len < 254 => u64::from(len) + 2,
            Kind::Packed => u64::from(len) + 10,
            _ => u64::from(len),
        };
        let end_of = |end: &mut u64, &len: &u32| {
            *end += framed(len);
            Some(*end)
        };
        let ends = lens.iter().scan(0, end_of).collect();
        Self { kind, bytes, lens, ends }
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
    fn a_stream_has_no_messages() {
        let content = Content::new(Kind::Stream, 12_345, 10, &mut Rng::new(5));
        assert_eq!((content.messages(), content.stream_len(), content.useful()), (0, 12_345, 12_345));
    }
}
