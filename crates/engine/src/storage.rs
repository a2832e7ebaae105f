//! Bringing what was written to files to the disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Brings files of one file system to the disk, with their lengths, times and modes, so that they survive a power failure. Returns a
/// result for each file, in order.
///
/// On Linux several files are synced by one `syncfs`, which takes hardly longer than one file. Before Linux 5.8 it does not report that
/// the disk failed.
///
/// # Errors
/// For each file, the system's error: it cannot be opened for writing, or the disk is full or fails.
#[must_use]
pub fn sync(files: &[&Path]) -> Vec<io::Result<()>> {
    if let [first, _, ..] = files
        && File::open(first).and_then(|file| crate::sys::sync_file_system(&file)).is_ok()
    {
        return files.iter().map(|_| Ok(())).collect();
    }
    // Windows brings only what is open for writing to the disk.
    let open = |path| OpenOptions::new().read(true).write(true).open(path);
    files.iter().map(|path| open(path)?.sync_all()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_result() {
        let named =
            [(); 3].map(|()| tempfile::NamedTempFile::new().expect("a new file among the temporary ones"));
        for count in 0..=named.len() {
            let files: Vec<&Path> = named[..count].iter().map(tempfile::NamedTempFile::path).collect();
            let results = sync(&files);
            assert_eq!((results.len(), results.iter().all(Result::is_ok)), (count, true));
        }
        assert!(sync(&[Path::new("no such file")])[0].is_err());
    }
}
