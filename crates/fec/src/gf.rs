//! The field GF(2^8) with polynomial x⁸ + x⁴ + x³ + x² + 1 (0x11D) and generator α = 2.

/// Low eight bits of the field polynomial: what x⁸ is congruent to.
pub(crate) const REDUCTION: u8 = 0x1d;

/// α to the power of the index. Twice the order long, so that the sum of two logarithms needs no reduction.
pub(crate) const EXP: [u8; 510] = exponentials();

/// Logarithm to base α; the entry of 0 has no meaning.
pub(crate) const LOG: [u8; 256] = logarithms();

/// Product of two elements.
#[cfg(test)]
pub(crate) fn mul(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 { 0 } else { EXP[LOG[a as usize] as usize + LOG[b as usize] as usize] }
}

/// Product of an element and x.
pub(crate) const fn times_x(a: u8) -> u8 {
    (a << 1) ^ (REDUCTION & (a >> 7).wrapping_neg())
}

const fn exponentials() -> [u8; 510] {
    let mut table = [0; 510];
    let mut power = 1;
    let mut i = 0;
    while i < table.len() {
        table[i] = power;
        power = times_x(power);
        i += 1;
    }
    table
}

const fn logarithms() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 255 {
        table[exponentials()[i] as usize] = i as u8;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carry-less multiplication and reduction, one bit at a time.
    fn schoolbook(a: u8, b: u8) -> u8 {
        let mut product = 0u16;
        for bit in 0..8 {
            if b & (1 << bit) != 0 {
                product ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if product & (1 << bit) != 0 {
                product ^= 0x11d << (bit - 8);
            }
        }
        product as u8
    }

    #[test]
    fn products_equal_polynomial_arithmetic() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(mul(a, b), schoolbook(a, b), "{a:#x} * {b:#x}");
            }
            assert_eq!(times_x(a), schoolbook(a, 2));
        }
    }

    #[test]
    fn alpha_generates_every_element_but_zero() {
        let mut seen = [false; 256];
        for power in &EXP[..255] {
            assert!(!std::mem::replace(&mut seen[*power as usize], true));
        }
        assert!(!seen[0]);
        assert_eq!(EXP[..255], EXP[255..]);
    }
}
