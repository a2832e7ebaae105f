//! The bytes of a capture file, through one buffer.

use std::io::{self, Read};

use super::CaptureError;

/// A reader with room for the part of it that is being looked at.
#[derive(Debug)]
pub(super) struct Source<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where in the buffer the frame lies.
    frame: std::ops::Range<usize>,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), frame: 0..0 }
    }

    /// The next `len` bytes; `None` if the file ends before them, and an error if it ends among them. The caller bounds `len`.
    pub(super) fn exactly(&mut self, len: usize) -> Result<Option<&[u8]>, CaptureError> {
        self.buffer.resize(len, 0);
        self.frame = 0..len;
        let mut filled = 0;
        while filled < len {
            match self.reader.read(&mut self.buffer[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(CaptureError::CutShort),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CaptureError::Read(error)),
            }
        }
        Ok(Some(&self.buffer))
    }

    /// The next `len` bytes, which must be there.
    pub(super) fn must(&mut self, len: usize) -> Result<&[u8], CaptureError> {
        self.exactly(len)?.ok_or(CaptureError::CutShort)
    }

    /// Skips `len` bytes, which must be there.
    pub(super) fn skip(&mut self, len: u64) -> Result<(), CaptureError> {
        let passed = io::copy(&mut self.reader.by_ref().take(len), &mut io::sink());
        if passed.map_err(CaptureError::Read)? < len { Err(CaptureError::CutShort) } else { Ok(()) }
    }

    /// Sets which part of what was read last is the frame.
    pub(super) fn narrow(&mut self, frame: std::ops::Range<usize>) {
        self.frame = frame;
    }

    /// The frame, in what was read last.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.frame.clone()]
    }
}
