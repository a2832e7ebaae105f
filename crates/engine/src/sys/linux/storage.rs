//! Whole file systems.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::check;

/// Brings the file system of a file to the disk (syncfs(2)).
pub(crate) fn sync_file_system(file: &File) -> io::Result<()> {
    // SAFETY: takes no pointer; the descriptor is open as long as `file` is borrowed.
    check(unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
}
