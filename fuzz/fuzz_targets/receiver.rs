//! A receiver under packets, commands and time that the fuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| campanile_pgm::fuzz::receiver(input));
