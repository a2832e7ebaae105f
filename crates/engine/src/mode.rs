//! Who may read, write and run a file: the nine bits of Unix, on the systems that have them.

use std::fs::{File, Metadata};
use std::io;

/// The permission bits of a file. `None` where the system has no such bits.
#[must_use]
pub fn of(metadata: &Metadata) -> Option<u32> {
    crate::sys::mode(metadata).map(|mode| mode & BITS)
}

/// Gives a file these permission bits; where the system has no such bits, only the owner's right to write has an effect.
///
/// # Errors
/// The system's: the file is another user's, say.
pub fn set(file: &File, mode: u32) -> io::Result<()> {
    crate::sys::set_mode(file, mode & BITS)
}

/// Without the bits that let a program run as another user or group.
const BITS: u32 = 0o777;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_kept_or_unknown() {
        let named = tempfile::NamedTempFile::new().expect("a new file among the temporary ones");
        let file = named.as_file();
        let mode_of = || of(&file.metadata().expect("it is open"));
        for mode in [0o640, 0o755, 0o4711] {
            set(file, mode).expect("it is ours");
            assert!(mode_of().is_none_or(|kept| kept == mode & 0o777), "{mode:o}");
        }
        set(file, 0o444).expect("it is ours");
        assert!(file.metadata().expect("it is open").permissions().readonly());
        // So that every system lets the file be removed.
        set(file, 0o644).expect("it is ours");
    }
}
