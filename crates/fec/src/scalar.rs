//! Kernels without instruction sets: what every other kernel has to equal.

use crate::gf::times_x;

/// Adds `src` × `coefficient` to `dst`, byte by byte.
///
/// # Panics
///
/// When the lengths differ.
pub(crate) fn mul_add(dst: &mut [u8], src: &[u8], coefficient: u8) {
    assert_eq!(dst.len(), src.len());
    match coefficient {
        0 => {}
        1 => dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= s),
        _ => {
            let row = row(coefficient);
            dst.iter_mut().zip(src).for_each(|(d, s)| *d ^= row[*s as usize]);
        }
    }
}

/// Overwrites the rows of `out` with matrix × sources; a source shorter than a row counts as filled up with zeros.
///
/// `matrix` has one coefficient a source and row; the number of rows follows from its length.
pub(crate) fn product(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) {
    out.fill(0);
    if sources.is_empty() || out.is_empty() {
        return;
    }
    let rows = matrix.len() / sources.len();
    let stride = out.len() / rows;
    for (coefficients, row) in matrix.chunks_exact(sources.len()).zip(out.chunks_exact_mut(stride)) {
        for (&coefficient, source) in coefficients.iter().zip(sources) {
            mul_add(&mut row[..source.len()], source, coefficient);
        }
    }
}

/// Products of all elements with one.
fn row(coefficient: u8) -> [u8; 256] {
    let mut row = [0; 256];
    let mut power = coefficient;
    for bit in 0..8 {
        let (low, high) = row.split_at_mut(1 << bit);
        high.iter_mut().zip(low).for_each(|(h, l)| *h = *l ^ power);
        power = times_x(power);
    }
    row
}
