//! Capture files read frame by frame, and the PGM in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| campanile::capture::fuzz::capture(input));
