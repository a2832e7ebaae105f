//! The fuzz bodies over their corpora.

use std::path::Path;

#[test]
fn corpus_of_code() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/code");
    let mut replayed = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        campanile_fec::fuzz::code(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 8, "{replayed} inputs");
}
