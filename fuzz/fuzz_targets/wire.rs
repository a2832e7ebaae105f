//! Datagrams read as PGM packets, and written again.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| campanile_pgm::fuzz::wire(input));
