//! Windows: `iocp`, and what it needs of sockets.

mod card;
mod control;
mod cpu;
mod doorbell;
mod hangup;
mod iocp;
mod message;
mod mode;
mod operations;
mod options;
mod port;
mod privilege;
mod probe;
mod shard;
mod shortage;
mod storage;

use std::io;

use windows_sys::Win32::Foundation::WIN32_ERROR;
use windows_sys::Win32::Networking::WinSock::{SOCKET_ERROR, WSAGetLastError};

use super::{address, cmsg};

pub(super) use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};

pub(crate) use card::{channels, coalescing, offloads, receive_ring, spreads_by_port};
pub(crate) use cpu::{allowed_cpus, pin, thread_time, wake_on_time};
pub(crate) use doorbell::Doorbell;
pub(crate) use hangup::{ignore_hangup, ignores_hangup};
pub(crate) use iocp::Iocp as Backend;
pub(crate) use mode::{mode, set_mode};
pub(crate) use options::{Features, dropped, granted, metered, mtu, prepare, source_membership_v6};
pub(crate) use privilege::drop_raw;
pub(crate) use shard::{bind_alone, bind_group};
pub(crate) use shortage::shortage;
pub(crate) use storage::sync_file_system;

/// The error of a Winsock call, if it reported one.
fn check(result: i32) -> io::Result<()> {
    if result == SOCKET_ERROR { Err(io::Error::from_raw_os_error(last_error())) } else { Ok(()) }
}

/// The error of a system call that gives 0 for failure.
fn check_bool(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Why the last Winsock call of this thread failed.
fn last_error() -> i32 {
    // SAFETY: reads a number that belongs to the thread.
    unsafe { WSAGetLastError() }
}

/// Whether an error has this system code.
fn is(error: &io::Error, code: WIN32_ERROR) -> bool {
    error.raw_os_error() == Some(code as i32)
}
