//! The disposition of SIGHUP.

use std::{mem, ptr};

pub(crate) fn ignores_hangup() -> bool {
    // SAFETY: it consists of integers and nullable pointers, for which zeros are valid.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: no action is given, and the present one is written to a local.
    let result = unsafe { libc::sigaction(libc::SIGHUP, ptr::null(), &raw mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

pub(crate) fn ignore_hangup() {
    // SAFETY: takes no pointer, and no code of this process runs at a signal that is ignored. Cannot fail for this signal.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}
