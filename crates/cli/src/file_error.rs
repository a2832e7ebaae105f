//! What to do when a file or a directory cannot be used.

use std::io::ErrorKind;

use campanile::files::FileError;

use crate::system_error::shortage;

/// What to do about a file that cannot be received.
pub(crate) fn cure(error: &FileError) -> &'static str {
    if let Some(hint) = shortage(&error.error) {
        return hint;
    }
    match error.error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "make room and run it again: what was received is kept"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "see that this user may write there, or give another directory with --into"
        }
        ErrorKind::AlreadyExists => {
            "something else has that name: move it away and run it again, or give --replace; what was received is kept"
        }
        ErrorKind::NotADirectory => {
            "something else stands where a directory should be: move it away and run it again; what was received is kept"
        }
        ErrorKind::IsADirectory => {
            "a directory has that name: move it away and run it again; what was received is kept"
        }
        ErrorKind::NotFound => {
            "something removed it: run it again, and leave what is in the directory alone meanwhile"
        }
        ErrorKind::ResourceBusy => "wait for the other one, or give another directory with --into",
        _ => "run it again: what was received is kept",
    }
}

#[cfg(test)]
mod tests {
    use campanile::files::FileAction;

    use super::*;

    #[test]
    fn what_was_removed_is_not_said_to_be_kept() {
        let of = |kind: ErrorKind| {
            cure(&FileError { action: FileAction::Read, path: "a".into(), error: kind.into() })
        };
        assert!(of(ErrorKind::NotFound).starts_with("something removed it"));
        assert!(of(ErrorKind::StorageFull).ends_with("what was received is kept"));
    }
}
