//! The choice of a kernel: the widest that the processor has.
//!
//! Each kernel asks what the processor can do (the standard library remembers the answer) and returns whether it did the work. All of
//! them give the result of [`scalar::product`].

#[cfg(target_arch = "aarch64")]
use crate::neon;
use crate::scalar;
#[cfg(target_arch = "x86_64")]
use crate::{avx2, gfni, ssse3};

/// Overwrites the rows of `out` with matrix × sources: see [`scalar::product`].
pub(crate) fn product(matrix: &[u8], sources: &[&[u8]], out: &mut [u8]) {
    if sources.is_empty() || out.is_empty() {
        out.fill(0);
        return;
    }
    #[cfg(target_arch = "x86_64")]
    let done =
        [gfni::product, avx2::product, ssse3::product].iter().any(|kernel| kernel(matrix, sources, out));
    #[cfg(target_arch = "aarch64")]
    let done = neon::product(matrix, sources, out);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let done = false;
    if !done {
        scalar::product(matrix, sources, out);
    }
}

/// A product in blocks of 8, 4, 2 and 1 rows, at most `rows_max`: as many as a kernel has registers for.
pub(crate) fn blocks<'a>(
    mut matrix: &'a [u8],
    sources: usize,
    mut out: &'a mut [u8],
    rows_max: usize,
) -> impl Iterator<Item = Block<'a>> {
    let stride = if matrix.is_empty() { 0 } else { out.len() * sources / matrix.len() };
    std::iter::from_fn(move || {
        let left = (matrix.len() / sources.max(1)).checked_ilog2()?;
        let rows = rows_max.min(1 << left);
        Some(Block {
            rows,
            stride,
            matrix: matrix.split_off(..rows * sources)?,
            out: out.split_off_mut(..rows * stride)?,
        })
    })
}

/// Some rows of a product.
pub(crate) struct Block<'a> {
    /// A power of two up to 8.
    pub(crate) rows: usize,
    /// Bytes of a row of `out`.
    pub(crate) stride: usize,
    /// The coefficients.
    pub(crate) matrix: &'a [u8],
    pub(crate) out: &'a mut [u8],
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scalar::MAX_SOURCES;

    type Kernel = fn(&[u8], &[&[u8]], &mut [u8]) -> bool;

    #[cfg(target_arch = "x86_64")]
    const KERNELS: &[(&str, Kernel)] =
        &[("ssse3", ssse3::product), ("avx2", avx2::product), ("gfni", gfni::product)];
    #[cfg(target_arch = "aarch64")]
    const KERNELS: &[(&str, Kernel)] = &[("neon", neon::product)];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    const KERNELS: &[(&str, Kernel)] = &[];

    /// Compares each kernel that the processor has with the scalar one, and names the others. The output begins at an odd address.
    fn compare(matrix: &[u8], sources: &[&[u8]], rows: usize, stride: usize) -> Vec<&'static str> {
        let mut expected = vec![0xaa; rows * stride];
        scalar::product(matrix, sources, &mut expected);
        let mut skipped = Vec::new();
        for (name, kernel) in KERNELS {
            let mut out = vec![0x55; rows * stride + 1];
            if kernel(matrix, sources, &mut out[1..]) {
                assert!(out[1..] == expected, "{name}: {} sources, {rows} rows of {stride}", sources.len());
            } else {
                skipped.push(*name);
            }
        }
        skipped
    }

    #[test]
    fn kernels_multiply_every_byte_by_every_coefficient() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        let matrix = bytes.clone();
        for name in compare(&matrix, &[&bytes], 256, 256) {
            eprintln!("skipped: this processor has nothing for the kernel {name}");
        }
    }

    fn product_of(
        (sources, rows, stride): (usize, usize, usize),
    ) -> impl Strategy<Value = (Vec<u8>, Vec<Vec<u8>>, usize, usize)> {
        let matrix = prop::collection::vec(any::<u8>(), sources * rows);
        let source = prop::collection::vec(any::<u8>(), 0..=stride);
        (matrix, prop::collection::vec(source, sources), Just(rows), Just(stride))
    }

    proptest! {
        #[test]
        fn kernels_equal_the_scalar_one(
            (matrix, sources, rows, stride) in
                (1..=MAX_SOURCES, 1..20_usize, 1..300_usize).prop_flat_map(product_of)
        ) {
            // Without room after the last byte, so that a sanitizer notices a read beyond it.
            let sources: Vec<Box<[u8]>> = sources.into_iter().map(Vec::into_boxed_slice).collect();
            let sources: Vec<&[u8]> = sources.iter().map(|source| &source[..]).collect();
            compare(&matrix, &sources, rows, stride);
        }
    }
}
