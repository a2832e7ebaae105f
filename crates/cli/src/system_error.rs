//! What to do when the system refuses a socket, a thread, or anything else that a run needs at its start.

use std::fmt;
use std::io::{self, ErrorKind};

use campanile::{Shortage, WorkerError};

use crate::command_error::CommandError;

/// What to do about an error of binding or joining, if that follows from the error alone.
pub(crate) fn cure(error: &io::Error) -> Option<&'static str> {
    shortage(error).or_else(|| match error.kind() {
        ErrorKind::AddrInUse => Some("choose another port, or stop the program that has this one"),
        ErrorKind::PermissionDenied => {
            Some("choose a port from 1024 up, or run with the right to bind this one")
        }
        ErrorKind::AddrNotAvailable => Some("give an address that this machine has"),
        _ => None,
    })
}

/// A socket that cannot be bound or joined: bad input where another argument helps, such as a free port.
pub(crate) fn socket(message: impl fmt::Display, error: &io::Error, otherwise: &str) -> CommandError {
    match (shortage(error), cure(error)) {
        (None, Some(cure)) => CommandError::bad_input(message).hint(cure),
        (shortage, _) => CommandError::failed(message).hint(shortage.unwrap_or(otherwise)),
    }
}

/// What to do about a shortage of a system resource, whatever it was for.
pub(crate) fn shortage(error: &io::Error) -> Option<&'static str> {
    Shortage::of(error).map(|shortage| match shortage {
        Shortage::OpenFiles => "raise the limit on open files (Linux: ulimit -n)",
        Shortage::Memory => {
            "free memory, or raise the limits on memory and threads (Linux: ulimit -v, ulimit -u)"
        }
        Shortage::Memberships => {
            "name fewer groups and sources, or raise the limit on them (Linux: sysctl \
             net.ipv4.igmp_max_memberships, net.ipv4.igmp_max_msf, net.ipv6.mld_max_msf)"
        }
    })
}

/// What to do about something that cannot be written.
pub(crate) fn room(error: &io::Error) -> Option<&'static str> {
    shortage(error).or_else(|| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("make room there, and run it again")
        }
        _ => None,
    })
}

/// A thread that could not start.
pub(crate) fn thread(error: io::Error) -> CommandError {
    CommandError::failed(format!("no thread can be started: {error}")).hint_if(shortage(&error))
}

/// A worker that could not start, or failed.
pub(crate) fn worker(error: &WorkerError) -> CommandError {
    CommandError::failed(error).hint_if(error.system().and_then(shortage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cure_follows_from_the_error() {
        let of = |kind: ErrorKind| cure(&io::Error::from(kind));
        assert!(of(ErrorKind::PermissionDenied).is_some_and(|cure| cure.contains("1024")));
        assert!(of(ErrorKind::AddrInUse).is_some_and(|cure| cure.starts_with("choose another port")));
        assert_eq!(of(ErrorKind::NotFound), None);
        assert!(room(&ErrorKind::StorageFull.into()).is_some_and(|cure| cure.starts_with("make room")));
        assert_eq!(room(&ErrorKind::PermissionDenied.into()), None);
    }
}
