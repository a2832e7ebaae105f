//! The datagram of a beacon: a head, followed by any payload.
//!
//! ```text
//!  0          8               16              24              32
//!  | CAMPBCN1 | started, ns   | sequence      | sent, ns      | payload ...
//! ```
//!
//! Numbers are big-endian; times are in nanoseconds since 1970.

/// What precedes a beacon's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// When the beacon began, which tells a restarted beacon from the one before.
    pub started_ns: u64,
    /// The number of the datagram, from 0.
    pub sequence: u64,
    /// When it was sent.
    pub sent_ns: u64,
}

impl Head {
    /// Bytes of a head, and so of the smallest datagram.
    pub const LEN: usize = 32;

    /// Reads the head of a datagram, and the payload after it; `None` if no beacon made it.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<(Self, &[u8])> {
        let rest = datagram.strip_prefix(&MAGIC)?;
        let (started, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent, payload) = rest.split_first_chunk()?;
        let [started_ns, sequence, sent_ns] = [started, sequence, sent].map(|word| u64::from_be_bytes(*word));
        Some((Self { started_ns, sequence, sent_ns }, payload))
    }

    /// The head as it is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        let words = [self.started_ns, self.sequence, self.sent_ns];
        for (place, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

const MAGIC: [u8; 8] = *b"CAMPBCN1";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_match_the_drawing() {
        let head = Head { started_ns: 1, sequence: 2, sent_ns: 0x0102_0304_0506_0708 };
        let bytes = b"CAMPBCN1\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(head.to_bytes(), *bytes);
        assert_eq!(Head::read(bytes), Some((head, &[][..])));
        assert_eq!(Head::read(&bytes[..31]), None);
        assert_eq!(Head::read(b"2026-11-21T07:44:05.123456Z and more than 32"), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(started_ns: u64, sequence: u64, sent_ns: u64, payload: Vec<u8>) {
            let head = Head { started_ns, sequence, sent_ns };
            let datagram = [&head.to_bytes()[..], &payload].concat();
            prop_assert_eq!(Head::read(&datagram), Some((head, &payload[..])));
        }
    }
}
