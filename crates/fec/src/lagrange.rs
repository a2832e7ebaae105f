//! Coefficients that give a polynomial's values at other points from its values at k points.

use crate::gf::{EXP, LOG};

/// Evaluation point of a symbol: 0, 1, α, α², …
fn point(index: u8) -> u8 {
    if index == 0 { 0 } else { EXP[index as usize - 1] }
}

/// Appends to `rows`, for each target, a coefficient for each source: the value at a target is the sum over the sources of coefficient
/// × value.
///
/// With A(x) the product of (x - s) over the sources, the coefficient of source s at target t is A(t) / ((t - s) · A'(s)). All
/// indices differ, so that no factor is 0 and the work is sums of logarithms: k² + k · targets of them.
pub(crate) fn coefficients(sources: &[u8], targets: &[u8], rows: &mut Vec<u8>) {
    debug_assert!(sources.len() <= 255);
    let mut slope = [0u8; 255];
    for (own, &s) in sources.iter().enumerate() {
        let others = sources.iter().enumerate().filter(|&(other, _)| other != own);
        slope[own] = log_product(s, others.map(|(_, &index)| index));
    }
    for &t in targets {
        let value = log_product(t, sources.iter().copied());
        for (own, &s) in sources.iter().enumerate() {
            let divisor = (u16::from(slope[own]) + u16::from(log_difference(t, s))) % 255;
            rows.push(EXP[value as usize + 255 - divisor as usize]);
        }
    }
}

/// Logarithm of the product of (point - other) over the others.
fn log_product(index: u8, others: impl Iterator<Item = u8>) -> u8 {
    (others.map(|other| u32::from(log_difference(index, other))).sum::<u32>() % 255) as u8
}

fn log_difference(a: u8, b: u8) -> u8 {
    LOG[(point(a) ^ point(b)) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gf::mul;

    #[test]
    fn rows_reproduce_polynomials() {
        // Each monomial of degree below k has to be carried over exactly.
        let sources = [3, 0, 7, 200, 254];
        let targets = [1, 2, 100];
        let mut rows = Vec::new();
        coefficients(&sources, &targets, &mut rows);
        for degree in 0..sources.len() {
            let value = |index| (0..degree).fold(1, |product, _| mul(product, point(index)));
            for (row, &target) in rows.chunks(sources.len()).zip(&targets) {
                let sum = row.iter().zip(&sources).fold(0, |sum, (&c, &s)| sum ^ mul(c, value(s)));
                assert_eq!(sum, value(target), "degree {degree} at {target}");
            }
        }
    }
}
