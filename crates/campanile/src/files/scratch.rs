//! Directories that tests write into.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary directory, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a new directory among the temporary ones"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file below it, and the directories that lead there.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the directory")).expect("there is room");
        std::fs::write(&path, bytes).expect("there is room");
        path
    }
}
