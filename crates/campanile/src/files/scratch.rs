//! Directories that tests write into.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own, gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("campanile-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a new directory among the temporary ones");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file below it, and the directories that lead there.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("below the directory")).expect("there is room");
        std::fs::write(&path, bytes).expect("there is room");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that failed may have left something open, which keeps it on Windows.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
