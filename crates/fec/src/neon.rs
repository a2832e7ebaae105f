//! NEON: 16 bytes at a time; a product is two table look-ups, one for each nibble.

use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vdupq_n_u8, veorq_u8, vld1q_u8, vqtbl1q_u8, vshrq_n_u8, vst1q_u8,
};

use crate::kernel::{Block, blocks};
use crate::nibbles::NIBBLES;

/// Overwrites the rows of `out` with matrix × sources, unless the processor lacks the instructions: see [`crate::scalar::product`].
pub(crate) fn product(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) -> bool {
    let is_able = std::arch::is_aarch64_feature_detected!("neon");
    if is_able {
        // SAFETY: the processor was asked for the instruction set that the function is compiled for.
        unsafe { multiply(matrix, sources, out) };
    }
    is_able
}

#[target_feature(enable = "neon")]
fn multiply(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) {
    for block in blocks(matrix, sources.len(), out, 4) {
        match block.rows {
            4 => multiply_rows::<4>(block, sources),
            2 => multiply_rows::<2>(block, sources),
            _ => multiply_rows::<1>(block, sources),
        }
    }
}

#[target_feature(enable = "neon")]
fn multiply_rows<const ROWS: usize>(block: Block<'_>, sources: &[&[u8]]) {
    let half = vdupq_n_u8(15);
    for at in (0..block.stride).step_by(2 * LEN) {
        let mut sums = [[vdupq_n_u8(0); 2]; ROWS];
        for (index, source) in sources.iter().enumerate() {
            let halves = [load(source, at), load(source, at + LEN)]
                .map(|bytes| [vandq_u8(bytes, half), vshrq_n_u8::<4>(bytes)]);
            for (row, sums) in sums.iter_mut().enumerate() {
                let [low, high] = table(block.matrix[row * sources.len() + index]);
                for (sum, halves) in sums.iter_mut().zip(halves) {
                    let product = veorq_u8(vqtbl1q_u8(low, halves[0]), vqtbl1q_u8(high, halves[1]));
                    *sum = veorq_u8(*sum, product);
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
#[target_feature(enable = "neon")]
fn table(coefficient: u8) -> [uint8x16_t; 2] {
    // SAFETY: each table has the 16 bytes that are read.
    NIBBLES[usize::from(coefficient)].each_ref().map(|half| unsafe { vld1q_u8(half.as_ptr()) })
}

/// The bytes from `at`, padded with zeros.
#[target_feature(enable = "neon")]
fn load(source: &[u8], at: usize) -> uint8x16_t {
    let rest = source.get(at..).unwrap_or_default();
    let mut padded = [0; LEN];
    let bytes = rest.first_chunk().unwrap_or_else(|| {
        padded[..rest.len()].copy_from_slice(rest);
        &padded
    });
    // SAFETY: the chunk is as long as the vector.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Writes the bytes from `at` as far as the row goes.
#[target_feature(enable = "neon")]
fn store(row: &mut [u8], at: usize, vector: uint8x16_t) {
    let rest = row.get_mut(at..).unwrap_or_default();
    let mut bytes = [0; LEN];
    // SAFETY: the array is as long as the vector.
    unsafe { vst1q_u8(bytes.as_mut_ptr(), vector) };
    let len = rest.len().min(LEN);
    rest[..len].copy_from_slice(&bytes[..len]);
}

/// Bytes of a vector.
const LEN: usize = 16;
