//! Bytes that do not compress, to be sent or encoded.

/// An endless sequence of bytes that follows from the seed: the high bytes of a linear congruential generator.
pub(crate) fn bytes(seed: u32) -> impl Iterator<Item = u8> {
    let step = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(step(&seed), step).map(|state| (state >> 24) as u8)
}
