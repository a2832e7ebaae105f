//! Packets that came before the manifest was known.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::RangeFrom;
use std::path::PathBuf;

use super::error::{FileAction, FileError};
use super::incoming::{IncomingError, Refusal};

/// A file of packets, each kept once. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    /// Made only with the first packet, since anybody can announce sessions.
    file: Option<File>,
    /// Where the packet of a block is in the file, and its length.
    places: BTreeMap<u64, (u64, usize)>,
    len: u64,
}

impl Spool {
    /// The most packets that are kept: a second of the fastest session, and some tens of megabytes of memory.
    const PACKETS_MAX: usize = 1 << 20;

    /// The most bytes that are kept.
    const LEN_MAX: u64 = 1 << 30;

    /// An empty spool, whose file will be at this path.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, places: BTreeMap::new(), len: 0 }
    }

    /// Keeps packets.
    ///
    /// # Errors
    /// [`Refusal::Spool`] if there are more than a session may send before its manifest is known; or the file cannot be written.
    pub(crate) fn put<'a>(
        &mut self,
        packets: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> Result<(), IncomingError> {
        let start = self.len;
        let mut bytes = Vec::new();
        for (block, packet) in packets {
            if self.places.contains_key(&block) {
                continue;
            }
            self.places.insert(block, (self.len, packet.len()));
            self.len += packet.len() as u64;
            bytes.extend_from_slice(packet);
        }
        if self.places.len() > Self::PACKETS_MAX || self.len > Self::LEN_MAX {
            return Err(Refusal::Spool.into());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = OpenOptions::new();
                let file = options.read(true).write(true).create(true).truncate(true).open(&self.path);
                none.insert(file.map_err(FileAction::Create.of(&self.path))?)
            }
        };
        let written = file.seek(SeekFrom::Start(start)).and_then(|_| file.write_all(&bytes));
        Ok(written.map_err(FileAction::Write.of(&self.path))?)
    }

    /// Appends the packet of a block to `bytes`; `false` if it has not come.
    pub(crate) fn append(&mut self, block: u64, bytes: &mut Vec<u8>) -> Result<bool, FileError> {
        let Some(&(at, len)) = self.places.get(&block) else { return Ok(false) };
        let start = bytes.len();
        bytes.resize(start + len, 0);
        self.read(at, &mut bytes[start..]).map_err(FileAction::Read.of(&self.path))?;
        Ok(true)
    }

    /// The blocks of a range that have come.
    pub(crate) fn blocks(&self, range: RangeFrom<u64>) -> Vec<u64> {
        self.places.range(range).map(|(&block, _)| block).collect()
    }

    /// The length of a block's packet, 0 if it has not come.
    pub(crate) fn len_of(&self, block: u64) -> usize {
        self.places.get(&block).map_or(0, |&(_, len)| len)
    }

    pub(crate) fn packets(&self) -> usize {
        self.places.len()
    }

    fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(buffer)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // What cannot be removed now is swept at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    #[test]
    fn packets_come_back_as_they_were() {
        let scratch = Scratch::new();
        let path = scratch.path().join("spool");
        let mut spool = Spool::new(path.clone());
        let packets: [(u64, &[u8]); 3] = [(5, b"five"), (0, b"zero!"), (5, b"again")];
        spool.put(packets.into_iter()).expect("there is room");
        spool.put([(6, &b""[..])].into_iter()).expect("there is room");
        let mut bytes = b"<".to_vec();
        assert!(spool.append(0, &mut bytes).expect("readable"));
        assert!(spool.append(5, &mut bytes).expect("readable"));
        assert!(!spool.append(1, &mut bytes).expect("readable"));
        assert_eq!(bytes, b"<zero!five");
        assert_eq!((spool.blocks(1..), spool.packets()), (vec![5, 6], 3));
        drop(spool);
        assert!(!path.exists());
    }

    #[test]
    fn a_spool_has_its_bound() {
        let scratch = Scratch::new();
        let mut spool = Spool::new(scratch.path().join("spool"));
        let most = Spool::PACKETS_MAX as u64;
        spool.put((0..most).map(|block| (block, &b""[..]))).expect("there is room");
        let one_more = spool.put([(most, &b""[..])].into_iter());
        assert!(matches!(one_more, Err(IncomingError::Refused(Refusal::Spool))), "{one_more:?}");
    }
}
