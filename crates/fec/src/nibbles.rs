//! Products by nibble: the tables of the kernels that have no instruction for the field.

use crate::gf::times_x;

/// For each coefficient, its products with the 16 low nibbles and with the 16 high nibbles. The product with a byte is the sum of two
/// of them, each looked up by one vector shuffle (Plank et al., "Screaming Fast Galois Field Arithmetic Using Intel SIMD Instructions",
/// 2013).
pub(crate) static NIBBLES: [[[u8; 16]; 2]; 256] = nibbles();

const fn nibbles() -> [[[u8; 16]; 2]; 256] {
    let mut tables = [[[0; 16]; 2]; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut power = coefficient as u8;
        let mut bit = 0;
        while bit < 8 {
            // Products with nibbles whose highest bit is this one: the products without that bit, already made, plus the power.
            let first = 1 << (bit % 4);
            let mut low = 0;
            while low < first {
                tables[coefficient][bit / 4][first + low] = tables[coefficient][bit / 4][low] ^ power;
                low += 1;
            }
            power = times_x(power);
            bit += 1;
        }
        coefficient += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gf::mul;

    #[test]
    fn halves_add_up_to_products() {
        for (coefficient, [low, high]) in NIBBLES.iter().enumerate() {
            for byte in 0..=u8::MAX {
                let sum = low[usize::from(byte & 15)] ^ high[usize::from(byte >> 4)];
                assert_eq!(sum, mul(byte, coefficient as u8), "{byte} * {coefficient}");
            }
        }
    }
}
