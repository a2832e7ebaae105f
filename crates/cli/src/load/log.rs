//! The file to which latencies are written.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind};
use std::path::Path;

use campanile::load::{Histograms, LoadReport};

use crate::command_error::CommandError;
use crate::system_error::room;

/// A log file that is opened before the run, so that a path that cannot be written is noticed in time. An existing file keeps its
/// contents until there is something to write; a new file is removed if there never is.
pub(super) struct Log<'a> {
    path: &'a Path,
    /// `None` once it was written.
    file: Option<File>,
    is_new: bool,
}

impl<'a> Log<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, CommandError> {
        let (opened, is_new) = match File::create_new(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                (File::options().write(true).create(true).truncate(false).open(path), false)
            }
            made => (made, true),
        };
        let file = opened.map_err(|error| {
            let message = format!("file '{}' cannot be written ({error})", path.display());
            match room(&error) {
                Some(hint) => CommandError::failed(message).hint(hint),
                None => CommandError::bad_input(message).hint("give --histogram a place that can be written"),
            }
        })?;
        Ok(Self { path, file: Some(file), is_new })
    }

    /// Replaces the contents with the measurements.
    pub(super) fn write(mut self, runs: &[LoadReport]) -> Result<(), CommandError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let log = |file| Histograms::write_log(BufWriter::new(file), runs.iter().map(|run| &run.histograms));
        emptied(file).and_then(log).map_err(|error| {
            let message = format!("file '{}' cannot be written ({error})", self.path.display());
            CommandError::failed(message).hint_if(room(&error))
        })
    }
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        // Windows does not remove open files, so it was closed above.
        let is_unwritten = self.file.take().is_some();
        if is_unwritten && self.is_new {
            // A file that cannot be removed is empty and does no harm.
            let _ = fs::remove_file(self.path);
        }
    }
}

/// Empties the file; a device or a pipe has no contents.
fn emptied(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}
