//! The portable kernel, whose results every other kernel has to match.
//!
//! It looks up no field elements. A coefficient is a sum of powers of x, so a row of the product is, for each power, a plain sum (XOR)
//! of those sources whose coefficient has it; Horner's rule then combines the eight sums. The 16 possible sums of every four sources
//! are made once for all rows (the method of the four Russians), so each source costs a row two XORs for each machine word. Strips of a
//! few words keep everything in registers and the first cache, and the compiler turns them into whatever vector instructions the target
//! has.

use crate::gf::REDUCTION;

/// Overwrites the rows of `out` with matrix × sources; a source shorter than a row counts as padded with zeros.
///
/// `matrix` has a row for each row of `out`, with a coefficient for each source.
///
/// # Panics
///
/// When there are more than [`MAX_SOURCES`] sources, or none.
pub(crate) fn product(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) {
    let stride = out.len() * sources.len() / matrix.len();
    let mut sums = Sums::new(sources.len());
    let matrices = matrix.chunks(ROWS * sources.len());
    for (matrix, out) in matrices.zip(out.chunks_mut(ROWS * stride)) {
        let choices = Choices::new(matrix, sources.len());
        for at in (0..stride).step_by(STRIP) {
            sums.fill(sources, at);
            for (choice, row) in choices.rows.iter().zip(out.chunks_exact_mut(stride)) {
                let strip = sums.combine(choice);
                let row = &mut row[at..];
                let len = row.len().min(STRIP);
                row[..len].copy_from_slice(&bytes_of(strip)[..len]);
            }
        }
    }
}

/// Most sources of a product: k of the largest code.
pub(crate) const MAX_SOURCES: usize = 128;

/// Rows that share the sums of a strip.
const ROWS: usize = 16;
/// Bytes of a strip.
const STRIP: usize = WORDS * 8;
const WORDS: usize = 8;
/// Groups of four sources.
const QUADS: usize = MAX_SOURCES / 4;

type Strip = [u64; WORDS];

/// For each row, power of x and quad, which of the quad's 16 sums is added: the coefficients, transposed by bits.
struct Choices {
    rows: [[[u8; QUADS]; 8]; ROWS],
}

impl Choices {
    fn new(matrix: &[u8], sources: usize) -> Self {
        let mut rows = [[[0; QUADS]; 8]; ROWS];
        for (coefficients, row) in matrix.chunks_exact(sources).zip(&mut rows) {
            for (source, &coefficient) in coefficients.iter().enumerate() {
                for (power, quads) in row.iter_mut().enumerate() {
                    quads[source / 4] |= (coefficient >> power & 1) << (source % 4);
                }
            }
        }
        Self { rows }
    }
}

/// One strip of all sources, as the 16 sums of each quad.
struct Sums {
    quads: [[Strip; 16]; QUADS],
    len: usize,
}

impl Sums {
    fn new(sources: usize) -> Self {
        assert!(sources <= MAX_SOURCES);
        Self { quads: [[[0; WORDS]; 16]; QUADS], len: sources.div_ceil(4) }
    }

    fn fill(&mut self, sources: &[&[u8]], at: usize) {
        for (quad, sources) in self.quads.iter_mut().zip(sources.chunks(4)) {
            for (bit, source) in sources.iter().enumerate() {
                let strip = load(source, at);
                let (low, high) = quad.split_at_mut(1 << bit);
                for (high, low) in high.iter_mut().zip(low) {
                    *high = add(*low, &strip);
                }
            }
        }
    }

    fn combine(&self, choice: &[[u8; QUADS]; 8]) -> Strip {
        let mut result = [0; WORDS];
        for quads in choice.iter().rev() {
            result = double(result);
            for (&sum, quad) in quads.iter().zip(&self.quads[..self.len]) {
                result = add(result, &quad[usize::from(sum & 15)]);
            }
        }
        result
    }
}

fn add(mut a: Strip, b: &Strip) -> Strip {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    a
}

/// Multiplies each byte by x.
fn double(mut strip: Strip) -> Strip {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    for word in &mut strip {
        let carry = *word & (EACH << 7);
        let mask = (carry << 1).wrapping_sub(carry >> 7);
        *word = ((*word ^ carry) << 1) ^ (mask & (EACH * REDUCTION as u64));
    }
    strip
}

/// The strip of `source` that begins at `at`, padded with zeros.
fn load(source: &[u8], at: usize) -> Strip {
    let mut bytes = [0; STRIP];
    let rest = source.get(at..).unwrap_or_default();
    match rest.first_chunk::<STRIP>() {
        Some(whole) => bytes = *whole,
        None => bytes[..rest.len()].copy_from_slice(rest),
    }
    let mut strip = [0; WORDS];
    for (word, bytes) in strip.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    strip
}

fn bytes_of(strip: Strip) -> [u8; STRIP] {
    let mut bytes = [0; STRIP];
    for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(strip) {
        *bytes = word.to_ne_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gf::mul;

    /// Deterministic bytes without a pattern that could hide a kernel's mistake.
    fn noise(len: usize, seed: u32) -> Vec<u8> {
        let step = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        std::iter::successors(Some(seed), step).skip(1).map(|state| (state >> 24) as u8).take(len).collect()
    }

    #[test]
    fn product_equals_that_of_elements_for_all_shapes() {
        let shapes = [1, 2, 3, 4, 5, 7, 64, 127, 128]
            .map(|sources| [1, 2, 15, 16, 17, 33].map(|rows| (sources, rows)));
        for (sources, rows) in shapes.into_iter().flatten() {
            for stride in [1, 2, 63, 64, 65, 130] {
                let matrix = noise(sources * rows, 3);
                let data: Vec<Vec<u8>> = (0..sources).map(|i| noise(stride - i % stride, i as u32)).collect();
                let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
                let mut expected = vec![0; rows * stride];
                for (coefficients, row) in matrix.chunks(sources).zip(expected.chunks_mut(stride)) {
                    for (&coefficient, source) in coefficients.iter().zip(&data) {
                        row.iter_mut().zip(*source).for_each(|(sum, &byte)| *sum ^= mul(byte, coefficient));
                    }
                }
                let mut out = noise(rows * stride, 4);
                product(&matrix, &data, &mut out);
                assert!(out == expected, "{sources} sources, {rows} rows of {stride}");
            }
        }
    }
}
