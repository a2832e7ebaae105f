//! Permission bits: the system knows only the right to write.

use std::fs::{File, Metadata};
use std::io;

pub(crate) fn mode(_: &Metadata) -> Option<u32> {
    None
}

pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(mode & 0o200 == 0);
    file.set_permissions(permissions)
}
