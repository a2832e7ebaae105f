//! The checksum of PGM: the one's complement of the one's complement sum of the whole packet (RFC 3208 §8, RFC 1071).

/// A one's complement sum of 16-bit words, in the byte order of the machine, with its carries not yet folded in.
///
/// The order of bytes does not matter to the sum as long as it is the same throughout (RFC 1071 §2), so nothing is swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// The sum of `bytes`, padded with a zero when their number is odd.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Sum {
        let (blocks, rest) = bytes.as_chunks();
        Sum(sum_of_blocks(blocks) + sum_of_few(rest))
    }

    /// Copies `from` to `to`, which must have the same length, and sums the bytes in the same pass.
    ///
    /// # Panics
    ///
    /// When the lengths differ.
    #[inline]
    pub(crate) fn of_copy(from: &[u8], to: &mut [u8]) -> Sum {
        assert_eq!(from.len(), to.len(), "a copy is as long as what is copied");
        let (blocks, rest) = from.as_chunks();
        let (copies, rest_copy) = to.as_chunks_mut();
        rest_copy.copy_from_slice(rest);
        Sum(copy_of_blocks(blocks, copies) + sum_of_few(rest))
    }

    /// The sum of a 16-bit field.
    #[inline]
    pub(crate) fn of_u16(field: u16) -> Sum {
        Sum(field.to_be().into())
    }

    /// The sum of a 32-bit field at an even offset.
    #[inline]
    pub(crate) fn of_u32(field: u32) -> Sum {
        Sum(field.to_be().into())
    }

    /// The sum of these bytes, which must be an even number, followed by others.
    #[inline]
    pub(crate) fn then(self, behind: Sum) -> Sum {
        Sum(self.0 + behind.0)
    }

    /// Whether this is the sum of a packet whose checksum field is right.
    #[inline]
    pub(crate) fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }

    /// The bytes of the checksum field of a packet with this sum; never zero, which would mean that there is no checksum.
    #[inline]
    pub(crate) fn field(self) -> [u8; 2] {
        if self.is_valid() { [0xff; 2] } else { (!self.fold()).to_ne_bytes() }
    }

    #[inline]
    fn fold(self) -> u16 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        ((sum >> 16) + (sum & 0xffff)) as u16
    }
}

/// Sums of 32-bit words in parallel lanes, which suits vector instructions: of whole words, modulo 2^32, and of their upper halves.
///
/// The two give the sum of the lower halves. It is exact below 2^32, so for some 4 MB, which is more than a datagram can have.
#[derive(Clone, Copy, Default)]
struct Lanes {
    whole: [u32; LANES],
    upper: [u32; LANES],
}

impl Lanes {
    #[inline]
    fn add(&mut self, block: &[u8; BLOCK]) {
        let (words, _) = block.as_chunks();
        for (lane, word) in words.iter().enumerate() {
            let word = u32::from_ne_bytes(*word);
            self.whole[lane] = self.whole[lane].wrapping_add(word);
            self.upper[lane] = self.upper[lane].wrapping_add(word >> 16);
        }
    }

    #[inline]
    fn total(&self) -> u64 {
        let lanes = self.whole.iter().zip(&self.upper);
        lanes.map(|(whole, upper)| u64::from(whole.wrapping_sub(upper << 16)) + u64::from(*upper)).sum()
    }
}

/// Never inlined: inside its callers the compiler arranges the loop in other ways, some of them many times slower.
#[inline(never)]
fn sum_of_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    let mut lanes = Lanes::default();
    blocks.iter().for_each(|block| lanes.add(block));
    lanes.total()
}

/// Never inlined either. It sums the copy, not the original: otherwise the compiler makes two loops of it.
#[inline(never)]
fn copy_of_blocks(blocks: &[[u8; BLOCK]], copies: &mut [[u8; BLOCK]]) -> u64 {
    let mut lanes = Lanes::default();
    for (block, copy) in blocks.iter().zip(copies) {
        *copy = *block;
        lanes.add(copy);
    }
    lanes.total()
}

/// The sum of the bytes after the last whole block.
#[inline]
fn sum_of_few(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = 0;
    for word in words {
        let word = u64::from_ne_bytes(*word);
        sum += (word >> 32) + (word & 0xffff_ffff);
    }
    let (words, rest) = rest.as_chunks::<2>();
    for word in words {
        sum += u64::from(u16::from_ne_bytes(*word));
    }
    sum + rest.first().map_or(0, |last| u64::from(u16::from_ne_bytes([*last, 0])))
}

const LANES: usize = 16;
const BLOCK: usize = 4 * LANES;

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
            let mut copy = vec![0; len];
            assert_eq!(Sum::of_copy(&bytes[..len], &mut copy).field(), expected.to_be_bytes(), "{len} bytes");
            assert_eq!(copy, bytes[..len]);
            let halves = Sum::of(&bytes[..len / 4 * 2]).then(Sum::of(&bytes[len / 4 * 2..len]));
            assert_eq!(halves.field(), expected.to_be_bytes(), "{len} bytes in two");
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
