//! The fuzz body of the wire over its corpus, and the corpus over the specimens.

use std::path::Path;

use campanile_pgm::fuzz;
use campanile_pgm::wire::Packet;

use crate::specimens::{bytes, specimens};

#[test]
fn corpus_of_wire() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wire");
    let mut valid = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        fuzz::wire(&input);
        valid += usize::from(Packet::parse(&input).is_ok());
    }
    assert!(valid >= specimens().len(), "{valid} valid packets");
    for (name, packet) in specimens() {
        let input = std::fs::read(directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(input, bytes(&packet), "{name} is the specimen of that name");
    }
}
