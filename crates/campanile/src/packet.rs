//! The packet of the classic echo tools: what a load client writes and any mirror sends back.
//!
//! ```text
//!  0               8               16
//!  | sequence      | timestamp, ns | payload ...
//! ```
//!
//! Both numbers are little-endian. There is no magic number and no direction: a server need not understand any of it.

/// The first 16 bytes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the packet on its socket, counted from 0.
    pub seq: u64,
    /// When it was sent, in nanoseconds of the sender's own clock.
    pub stamp_ns: u64,
}

impl Header {
    /// Bytes of a header, and so of the smallest packet.
    pub const LEN: usize = 16;

    /// Reads the header of a packet; `None` if it is too short to have one.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let (seq, rest) = packet.split_first_chunk()?;
        let stamp = rest.first_chunk()?;
        Some(Self { seq: u64::from_le_bytes(*seq), stamp_ns: u64::from_le_bytes(*stamp) })
    }

    /// The header as it is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        (u128::from(self.stamp_ns) << 64 | u128::from(self.seq)).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_those_of_the_classic_tools() {
        let bytes = Header { seq: 1, stamp_ns: 0x0102_0304_0506_0708 }.to_bytes();
        assert_eq!(bytes, [1, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_short_packet_has_no_header() {
        assert_eq!(Header::read(&[0; 15]), None);
        assert_eq!(Header::read(&[0; 16]), Some(Header { seq: 0, stamp_ns: 0 }));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(seq: u64, stamp_ns: u64, tail: Vec<u8>) {
            let header = Header { seq, stamp_ns };
            let packet = [&header.to_bytes()[..], &tail].concat();
            prop_assert_eq!(Header::read(&packet), Some(header));
        }
    }
}
