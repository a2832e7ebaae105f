//! The body of the fuzz target `manifest`, called by tests over its corpus too.

use std::path::{Component, Path};

use super::layout::Layout;
use super::manifest::Manifest;

/// Reads `input` as a manifest, and checks that one that is accepted keeps its promise: that its files may be written.
///
/// # Panics
/// When reading panics, or an accepted manifest breaks a rule.
pub fn manifest(input: &[u8]) {
    let Ok(manifest) = Manifest::parse(input) else { return };
    if let Ok(bytes) = manifest.emit() {
        assert_eq!(Manifest::parse(&bytes).as_ref(), Ok(&manifest), "what is written is read");
    }
    let mut names = Vec::new();
    for entry in manifest.entries() {
        let path = entry.name.below(Path::new("dir"));
        let rest = path.strip_prefix("dir").expect("a name is below its directory");
        assert!(rest.components().all(|part| matches!(part, Component::Normal(_))), "{rest:?}");
        assert!(entry.mode.is_none_or(|mode| mode <= 0o777));
        names.push(entry.name.folded());
    }
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "no two files are one");
    for block_len in [1, 24, 1372] {
        check_layout(&manifest, block_len);
    }
}

/// Checks that the contents follow each other in whole blocks, and that a block is found in its content.
fn check_layout(manifest: &Manifest, block_len: usize) {
    let Ok(layout) = Layout::new(manifest, 100, block_len) else { return };
    let mut next = layout.head_blocks();
    for (index, content) in layout.contents().iter().enumerate() {
        let blocks = content.size.div_ceil(block_len as u64);
        assert_eq!(content.blocks, next..next + blocks);
        assert_eq!(layout.find(content.blocks.start), Some((index, 0)));
        assert_eq!(layout.find(content.blocks.end - 1), Some((index, blocks - 1)));
        next += blocks;
    }
    assert_eq!(layout.blocks(), next);
    assert!(layout.blocks() <= Layout::BLOCKS_MAX);
    let files: usize = layout.contents().iter().map(|content| content.files.len()).sum();
    assert_eq!(files, manifest.entries().iter().filter(|entry| entry.size > 0).count());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::digest::Digest;
    use proptest::prelude::*;

    #[test]
    fn the_corpus_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/manifest");
        let mut taken = 0;
        let mut files = 0;
        for entry in std::fs::read_dir(folder).expect("the corpus is in the tree") {
            let input =
                std::fs::read(entry.expect("the folder can be read").path()).expect("a file of the corpus");
            manifest(&input);
            taken += usize::from(Manifest::parse(&input).is_ok());
            files += 1;
        }
        assert!(files >= 10 && (2..files).contains(&taken), "{taken} of {files} are manifests");
    }

    proptest! {
        /// Names and sizes of any kind in the right form.
        #[test]
        fn arbitrary_manifests_do_no_harm(
            files in prop::collection::vec(("(\\PC|/|\\.){0,9}", any::<u64>(), 0..70_u32), 0..6),
        ) {
            let files: Vec<_> = files
                .iter()
                .map(|(name, size, shift)| {
                    let size = size.checked_shr(*shift).unwrap_or(0);
                    let blake3 = Digest::of(name.as_bytes());
                    serde_json::json!({"name": name, "size": size, "blake3": blake3})
                })
                .collect();
            manifest(serde_json::json!({"version": 1, "files": files}).to_string().as_bytes());
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>) {
            manifest(&bytes);
        }
    }
}
