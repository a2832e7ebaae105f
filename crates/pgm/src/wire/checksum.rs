//! The checksum of PGM: the one's complement of the one's complement sum of the whole packet (RFC 3208 §8, RFC 1071).

/// A one's complement sum of 16-bit words, in the byte order of the machine.
///
/// The order of bytes does not matter to the sum as long as it is the same throughout (RFC 1071 §2), so nothing is swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum(u16);

impl Sum {
    /// The sum of `bytes`, padded with a zero when their number is odd.
    ///
    /// Words of 32 bits are summed in lanes of 64, which never overflow for what a datagram holds and which the compiler turns
    /// into vector instructions; the carries are folded in once at the end.
    pub(crate) fn of(bytes: &[u8]) -> Sum {
        let mut lanes = [0_u64; LANES];
        let (blocks, rest) = bytes.as_chunks::<{ 4 * LANES }>();
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let mut sum: u64 = lanes.iter().sum();
        let (words, rest) = rest.as_chunks::<4>();
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        Sum(fold(sum + u64::from(u32::from_ne_bytes(last))))
    }

    /// Whether this is the sum of a packet whose checksum field is right.
    pub(crate) fn is_valid(self) -> bool {
        self.0 == 0xffff
    }

    /// The bytes of the checksum field of a packet with this sum; never zero, which would mean that there is none.
    pub(crate) fn field(self) -> [u8; 2] {
        if self.is_valid() { [0xff; 2] } else { (!self.0).to_ne_bytes() }
    }
}

fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    u16::try_from(sum).expect("what is folded fits 16 bits")
}

const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 as it is written: big-endian words one by one.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn agrees_with_the_plain_sum_at_every_length() {
        let bytes: Vec<u8> = (0..300_u32).map(|i| u8::try_from(i * 7919 % 251).unwrap()).collect();
        for len in 0..bytes.len() {
            let expected = match slow(&bytes[..len]) {
                0 => 0xffff,
                other => other,
            };
            assert_eq!(Sum::of(&bytes[..len]).field(), expected.to_be_bytes(), "{len} bytes");
        }
    }

    #[test]
    fn carries_are_not_lost() {
        let ones = vec![0xff; 65_535];
        assert_eq!(Sum::of(&ones).field(), slow(&ones).to_be_bytes());
        assert_eq!(Sum::of(&ones[..65_534]).field(), [0xff; 2], "zero is sent as all ones");
    }

    #[test]
    fn a_right_field_makes_the_sum_valid() {
        let mut packet = *b"\x12\x34\x56\x78\x00\x00\x9a\xbc\xde";
        let field = Sum::of(&packet).field();
        packet[4..6].copy_from_slice(&field);
        assert!(Sum::of(&packet).is_valid());
        packet[8] ^= 1;
        assert!(!Sum::of(&packet).is_valid());
    }
}
