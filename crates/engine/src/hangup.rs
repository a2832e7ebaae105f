//! SIGHUP, the signal that a process gets when its terminal is closed.

/// Whether this process ignores it, as `nohup` makes its command do. Never so on systems without that signal.
#[must_use]
pub fn is_ignored() -> bool {
    crate::sys::ignores_hangup()
}

/// Ignores it from now on.
pub fn ignore() {
    crate::sys::ignore_hangup();
}
