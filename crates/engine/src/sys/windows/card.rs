//! The features of an interface: there is no call that tells.

use std::io;

use crate::offload::Offload;

pub(crate) fn offloads(_: &str) -> io::Result<Vec<Offload>> {
    Err(io::ErrorKind::Unsupported.into())
}
