//! An interface's card and features: Windows has no call that reports them.

use std::io;

use crate::card::{Channels, Coalescing, Setting};
use crate::offload::Offload;

pub(crate) fn offloads(_: &str) -> io::Result<Vec<Offload>> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn receive_ring(_: &str) -> io::Result<Setting> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn channels(_: &str) -> io::Result<Channels> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn coalescing(_: &str) -> io::Result<Coalescing> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn spreads_by_port(_: &str) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
