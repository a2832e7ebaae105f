//! What goes wrong with a file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An action on a file or a directory that the system refused.
#[derive(Debug)]
pub struct FileError {
    /// What was tried.
    pub action: FileAction,
    /// With which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

/// What is done with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileAction {
    /// Opening it, or reading its metadata.
    Open,
    /// Reading it.
    Read,
    /// Making a file or a directory.
    Create,
    /// Writing into it.
    Write,
    /// Giving a complete content its name, mode and time.
    Name,
    /// Removing it.
    Remove,
}

impl FileAction {
    /// An error of this action, for `map_err`.
    pub(crate) fn of(self, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        move |error| FileError { action: self, path: path.to_owned(), error }
    }
}

impl fmt::Display for FileAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "opened",
            Self::Read => "read",
            Self::Create => "created",
            Self::Write => "written",
            Self::Name => "put in its place",
            Self::Remove => "removed",
        })
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be {}: {}", self.path.display(), self.action, self.error)
    }
}

impl std::error::Error for FileError {}
