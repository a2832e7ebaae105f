//! Manifests of files, which come from the network and become names on a disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| campanile::files::fuzz::manifest(input));
