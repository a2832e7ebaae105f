//! AVX-512 with GFNI: 64 bytes at a time; a product is one instruction.

use std::arch::x86_64::{
    __m512i, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_mask_storeu_epi8,
    _mm512_maskz_loadu_epi8, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_ternarylogic_epi64,
};

use crate::gf::times_x;
use crate::kernel::{Block, blocks};
use crate::scalar::MAX_SOURCES;

/// Overwrites the rows of `out` with matrix × sources, unless the processor lacks the instructions: see [`crate::scalar::product`].
pub(crate) fn product(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) -> bool {
    let is_able = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("gfni");
    if is_able {
        // SAFETY: the processor was asked for the instruction sets that the function is compiled for.
        unsafe { multiply(matrix, sources, out) };
    }
    is_able
}

#[target_feature(enable = "avx512f,avx512bw,gfni")]
fn multiply(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) {
    for block in blocks(matrix, sources.len(), out, 8) {
        match block.rows {
            8 => multiply_rows::<8>(block, sources),
            4 => multiply_rows::<4>(block, sources),
            2 => multiply_rows::<2>(block, sources),
            _ => multiply_rows::<1>(block, sources),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,gfni")]
fn multiply_rows<const ROWS: usize>(block: Block<'_>, sources: &[&[u8]]) {
    // The coefficients of one source side by side.
    let mut factors = [[0; ROWS]; MAX_SOURCES];
    for (row, coefficients) in block.matrix.chunks_exact(sources.len()).enumerate() {
        for (factors, &coefficient) in factors.iter_mut().zip(coefficients) {
            factors[row] = FACTORS[usize::from(coefficient)];
        }
    }
    for at in (0..block.stride).step_by(2 * LEN) {
        let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
        for (sources, factors) in sources.chunks(2).zip(factors.as_chunks::<2>().0) {
            let [one, other] = [sources[0], sources.get(1).copied().unwrap_or_default()]
                .map(|source| [load(source, at), load(source, at + LEN)]);
            for ((sums, &by), &other_by) in sums.iter_mut().zip(&factors[0]).zip(&factors[1]) {
                let (by, other_by) = (_mm512_set1_epi64(by), _mm512_set1_epi64(other_by));
                for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
                    let product = _mm512_gf2p8affine_epi64_epi8::<0>(one, by);
                    let other_product = _mm512_gf2p8affine_epi64_epi8::<0>(other, other_by);
                    *sum = _mm512_ternarylogic_epi64::<SUM_OF_THREE>(*sum, product, other_product);
                }
            }
        }
        for (row, [first, second]) in block.out.chunks_exact_mut(block.stride).zip(sums) {
            store(row, at, first);
            store(row, at + LEN, second);
        }
    }
}

/// The bytes from `at`, padded with zeros.
#[target_feature(enable = "avx512f,avx512bw")]
fn load(source: &[u8], at: usize) -> __m512i {
    let rest = source.get(at..).unwrap_or_default();
    if let Some(whole) = rest.first_chunk::<LEN>() {
        // SAFETY: the chunk is as long as the vector.
        return unsafe { _mm512_loadu_si512(whole.as_ptr().cast()) };
    }
    // SAFETY: the mask admits no byte beyond the slice, and bytes that it does not admit are not touched.
    unsafe { _mm512_maskz_loadu_epi8(mask(rest.len()), rest.as_ptr().cast()) }
}

/// Writes the bytes from `at` as far as the row goes.
#[target_feature(enable = "avx512f,avx512bw")]
fn store(row: &mut [u8], at: usize, bytes: __m512i) {
    let rest = row.get_mut(at..).unwrap_or_default();
    // SAFETY: the mask admits no byte beyond the slice, and bytes that it does not admit are not touched.
    unsafe { _mm512_mask_storeu_epi8(rest.as_mut_ptr().cast(), mask(rest.len()), bytes) }
}

/// A bit for each of the first `len` bytes.
fn mask(len: usize) -> u64 {
    if len >= LEN { u64::MAX } else { (1 << len) - 1 }
}

/// The truth table of a XOR of three.
const SUM_OF_THREE: i32 = 0x96;

/// Bytes of a vector.
const LEN: usize = 64;

/// For each coefficient the matrix of bits that multiplies by it, as `GF2P8AFFINEQB` reads it: the row for bit 0 comes last.
static FACTORS: [i64; 256] = factors();

const fn factors() -> [i64; 256] {
    let mut factors = [0; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut rows = [0; 8];
        let mut power = coefficient as u8;
        let mut column = 0;
        while column < 8 {
            let mut bit = 0;
            while bit < 8 {
                rows[7 - bit] |= (power >> bit & 1) << column;
                bit += 1;
            }
            power = times_x(power);
            column += 1;
        }
        factors[coefficient] = i64::from_le_bytes(rows);
        coefficient += 1;
    }
    factors
}
