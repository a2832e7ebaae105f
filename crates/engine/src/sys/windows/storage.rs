//! Whole file systems, of which only an administrator may ask that.

use std::fs::File;
use std::io;

pub(crate) fn sync_file_system(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
