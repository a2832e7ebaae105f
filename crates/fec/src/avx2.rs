//! AVX2: 32 bytes at a time; a product is two table look-ups, one for each nibble.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_storeu_si256,
    _mm256_xor_si256,
};

use crate::kernel::{Block, blocks};
use crate::nibbles::NIBBLES;

/// Overwrites the rows of `out` with matrix × sources, unless the processor lacks the instructions: see [`crate::scalar::product`].
pub(crate) fn product(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) -> bool {
    let is_able = is_x86_feature_detected!("avx2");
    if is_able {
        // SAFETY: the processor was asked for the instruction set that the function is compiled for.
        unsafe { multiply(matrix, sources, out) };
    }
    is_able
}

#[target_feature(enable = "avx2")]
fn multiply(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) {
    for block in blocks(matrix, sources.len(), out, 4) {
        match block.rows {
            4 => multiply_rows::<4>(block, sources),
            2 => multiply_rows::<2>(block, sources),
            _ => multiply_rows::<1>(block, sources),
        }
    }
}

#[target_feature(enable = "avx2")]
fn multiply_rows<const ROWS: usize>(block: Block<'_>, sources: &[&[u8]]) {
    let half = _mm256_set1_epi8(15);
    for at in (0..block.stride).step_by(2 * LEN) {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for (index, source) in sources.iter().enumerate() {
            let halves = [load(source, at), load(source, at + LEN)].map(|bytes| {
                [_mm256_and_si256(bytes, half), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half)]
            });
            for (row, sums) in sums.iter_mut().enumerate() {
                let [low, high] = table(block.matrix[row * sources.len() + index]);
                for (sum, halves) in sums.iter_mut().zip(halves) {
                    let product = _mm256_xor_si256(
                        _mm256_shuffle_epi8(low, halves[0]),
                        _mm256_shuffle_epi8(high, halves[1]),
                    );
                    *sum = _mm256_xor_si256(*sum, product);
                }
            }
        }
        for (row, [first, second]) in block.out.chunks_exact_mut(block.stride).zip(sums) {
            store(row, at, first);
            store(row, at + LEN, second);
        }
    }
}

/// The products of a coefficient with low nibbles and with high nibbles.
#[target_feature(enable = "avx2")]
fn table(coefficient: u8) -> [__m256i; 2] {
    // SAFETY: each table has the 16 bytes that are read.
    NIBBLES[usize::from(coefficient)]
        .each_ref()
        .map(|half| _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(half.as_ptr().cast::<__m128i>()) }))
}

/// The bytes from `at`, padded with zeros.
#[target_feature(enable = "avx2")]
fn load(source: &[u8], at: usize) -> __m256i {
    let rest = source.get(at..).unwrap_or_default();
    let mut padded = [0; LEN];
    let bytes = rest.first_chunk().unwrap_or_else(|| {
        padded[..rest.len()].copy_from_slice(rest);
        &padded
    });
    // SAFETY: the chunk is as long as the vector.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Writes the bytes from `at` as far as the row goes.
#[target_feature(enable = "avx2")]
fn store(row: &mut [u8], at: usize, vector: __m256i) {
    let rest = row.get_mut(at..).unwrap_or_default();
    let mut bytes = [0; LEN];
    // SAFETY: the array is as long as the vector.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) };
    let len = rest.len().min(LEN);
    rest[..len].copy_from_slice(&bytes[..len]);
}

/// Bytes of a vector.
const LEN: usize = 32;
