//! The fuzz bodies of source and receiver over their corpora: scripts of commands, packets and time.

use std::path::Path;

fn replay(corpus: &str, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let mut replayed = 0;
    for entry in std::fs::read_dir(directory).expect("a corpus") {
        body(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        replayed += 1;
    }
    assert!(replayed >= 12, "{replayed} inputs");
}

#[test]
fn sources() {
    replay("source", campanile_pgm::fuzz::source);
}

#[test]
fn receivers() {
    replay("receiver", campanile_pgm::fuzz::receiver);
}
