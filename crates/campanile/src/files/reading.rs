//! The bytes of a session, read from the files that it is made of.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::error::{FileAction, FileError};
use super::layout::{Layout, Origin};
use super::offering::Offering;
use super::open_cache::OpenCache;

/// Reads any range of a session's bytes.
#[derive(Debug)]
pub(crate) struct Reading {
    offering: Offering,
    head: Vec<u8>,
    layout: Layout,
    files: OpenCache<File>,
}

impl Reading {
    /// A session that begins with `head`, followed by files as laid out.
    pub(crate) fn new(offering: Offering, head: Vec<u8>, layout: Layout) -> Self {
        Self { offering, head, layout, files: OpenCache::new() }
    }

    /// The bytes of a range, in a reused buffer.
    ///
    /// # Errors
    /// A file cannot be read, or has changed.
    pub(crate) fn read(&mut self, range: Range<u64>, mut bytes: Vec<u8>) -> Result<Vec<u8>, FileError> {
        bytes.clear();
        bytes.resize(usize::try_from(range.end - range.start).expect("a range that memory has room for"), 0);
        let mut rest = bytes.as_mut_slice();
        for piece in self.layout.pieces(range) {
            let len = usize::try_from(piece.len).expect("a part of the range");
            let (place, after) = rest.split_at_mut(len);
            rest = after;
            match piece.origin {
                Origin::Head { offset } => {
                    let start = usize::try_from(offset).expect("within the head");
                    place.copy_from_slice(&self.head[start..start + len]);
                }
                Origin::Content { index, offset } => {
                    let file = self.layout.contents()[index].files[0];
                    let opened = self.files.get(file, || self.offering.open(file))?;
                    read_at(opened, offset, place).map_err(|error| match error.kind() {
                        std::io::ErrorKind::UnexpectedEof => self.offering.changed(file),
                        _ => FileAction::Read.of(self.offering.path(file))(error),
                    })?;
                }
                Origin::Pad => {}
            }
        }
        Ok(bytes)
    }

    /// Checks that all files are still what they were when they were hashed.
    ///
    /// # Errors
    /// The first one that is not.
    pub(crate) fn is_unchanged(&self) -> Result<(), FileError> {
        self.layout.contents().iter().try_for_each(|content| self.offering.open(content.files[0]).map(drop))
    }

    #[cfg(test)]
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }
}

fn read_at(file: &mut File, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    #[test]
    fn the_row_is_head_and_files() {
        let scratch = Scratch::new();
        let files = [("a", "0123456789abc"), ("b", ""), ("c", "xyz"), ("d", "0123456789abc"), ("e", "e")];
        let paths = files.map(|(name, text)| scratch.file(name, text.as_bytes()));
        let offering = Offering::collect(&paths).expect("they can be sent");
        let layout = Layout::new(offering.manifest(), 6, 5).expect("small");
        let mut reading = Reading::new(offering, b"header".to_vec(), layout);
        let row = b"header\x00\x00\x00\x000123456789abc\0\0xyz\0\0e";
        assert_eq!(reading.layout().len(), row.len() as u64);
        for start in 0..row.len() {
            for end in start..=row.len() {
                let read = reading.read(start as u64..end as u64, Vec::new()).expect("they are there");
                assert_eq!(read, row[start..end], "{start}..{end}");
            }
        }
        assert!(reading.is_unchanged().is_ok());
    }

    #[test]
    fn a_file_that_was_cut_counts_as_changed() {
        let scratch = Scratch::new();
        let path = scratch.file("a", &[7; 100]);
        let offering = Offering::collect(std::slice::from_ref(&path)).expect("it can be sent");
        let layout = Layout::new(offering.manifest(), 10, 10).expect("small");
        let mut reading = Reading::new(offering, vec![0; 10], layout);
        assert!(reading.read(10..20, Vec::new()).is_ok());
        std::fs::write(&path, [7; 50]).expect("there is room");
        assert!(reading.read(10..20, Vec::new()).is_ok(), "it is open, and this part is there");
        let error = reading.read(90..110, Vec::new()).expect_err("it is shorter now");
        assert!(error.to_string().ends_with("it was changed while it was sent"), "{error}");
        assert!(reading.is_unchanged().is_err());
    }
}
