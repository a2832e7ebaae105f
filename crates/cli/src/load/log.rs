//! The file that latencies are written to.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind};
use std::path::Path;

use campanile::load::{Histograms, LoadReport};

use crate::command_error::CommandError;
use crate::system_error::room;

/// A log that is opened before the run: not to find out after it that there is no place. What the file holds stays until there is
/// something else to write, and a new file goes again if there never is.
pub(super) struct Log<'a> {
    path: &'a Path,
    /// None once it is written.
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

    /// Writes what was measured in place of what was there.
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
        // Windows removes no file that is open.
        let is_unwritten = self.file.take().is_some();
        if is_unwritten && self.is_new {
            // What cannot be removed is empty, and in nobody's way.
            let _ = fs::remove_file(self.path);
        }
    }
}

/// The file without what it held; a device or a pipe holds nothing.
fn emptied(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}
