//! Windows has no SIGHUP.

pub(crate) fn ignores_hangup() -> bool {
    false
}

pub(crate) fn ignore_hangup() {}
