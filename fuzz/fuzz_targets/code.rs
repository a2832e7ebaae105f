//! Groups of the Reed-Solomon code encoded, thinned and decoded.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| campanile_fec::fuzz::code(input));
