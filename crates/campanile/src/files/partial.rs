//! A content being received: the bytes that have come, and which blocks they are.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::blocks::BlockMap;
use super::digest::{Digest, Hashing};
use super::meter::Meter;

/// A content of which blocks are missing, in two files: its bytes, and its map of blocks.
///
/// The files are named after the content's hash and the size of its blocks, never after a session: another session with the same
/// content, in blocks of that size, goes on where this one stopped. A block is marked after it was written, so a process may be killed
/// at any moment. Damage from a power failure is found by the hash.
///
/// A content that is complete before its map is first saved gets no map file, unless it has to be kept for another session: creating and
/// removing a second file takes longer than everything else that is done with a small content.
#[derive(Debug)]
pub(crate) struct Partial {
    paths: PartialPaths,
    bytes: File,
    /// The map file, if there is one.
    saved: Option<File>,
    map: BlockMap,
    /// The position of the file's cursor, so that runs of blocks need no seek.
    cursor: u64,
    /// The hash of the front, as far as it has been computed.
    hashing: Hashing,
}

/// The names of a partial's two files, and what they are to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialPaths {
    pub(crate) bytes: PathBuf,
    pub(crate) map: PathBuf,
    /// Bytes of the content.
    size: u64,
    /// Bytes of a block.
    block: u64,
}

impl PartialPaths {
    pub(crate) fn new(dir: &Path, digest: &Digest, size: u64, block_len: usize) -> Self {
        let name = |end: &str| dir.join(format!("{digest}-{block_len}.{end}"));
        Self { bytes: name("part"), map: name("map"), size, block: block_len as u64 }
    }

    /// Marks a complete content as such, so that another session finds it.
    pub(crate) fn keep(&self) -> io::Result<()> {
        let blocks = self.blocks();
        let mut map = BlockMap::new(blocks);
        map.set(0..blocks);
        Self::save(&mut self.create_map()?, &mut map)
    }

    fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    /// Bytes of the map file.
    fn map_len(&self) -> u64 {
        HEADER as u64 + self.blocks().div_ceil(8)
    }

    /// Creates the map file, with no block marked.
    fn create_map(&self) -> io::Result<File> {
        let mut saved = File::create(&self.map)?;
        saved.set_len(self.map_len())?;
        saved.write_all(&header(self.size))?;
        Ok(saved)
    }

    /// Writes what has changed in a map to its file.
    fn save(saved: &mut File, map: &mut BlockMap) -> io::Result<()> {
        if let Some((at, bytes)) = map.unsaved() {
            saved.seek(SeekFrom::Start((HEADER + at) as u64))?;
            saved.write_all(bytes)?;
            map.saved();
        }
        Ok(())
    }

    /// Whether there is something to go on with.
    pub(crate) fn exist(&self) -> bool {
        self.map.exists() && self.bytes.exists()
    }

    /// Whether this is one of a partial's two files, and the other is not there.
    pub(crate) fn is_half(path: &Path) -> bool {
        let other = match path.extension().and_then(OsStr::to_str) {
            Some("part") => "map",
            Some("map") => "part",
            _ => return false,
        };
        !path.with_extension(other).exists()
    }

    /// Removes both. It is no error if one is not there.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let gone = |removed: io::Result<()>| match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        // Without its map a content counts as missing: a process that dies in between loses blocks, but never marks wrong ones.
        gone(std::fs::remove_file(&self.map))?;
        gone(std::fs::remove_file(&self.bytes))
    }
}

impl Partial {
    /// Opens what is there of a content, or begins with none of it.
    pub(crate) fn open(paths: PartialPaths) -> io::Result<Self> {
        let (bytes, saved, map) = match known(&paths)? {
            Some((bytes, saved, map)) => (bytes, Some(saved), map),
            None => (create_bytes(&paths)?, None, BlockMap::new(paths.blocks())),
        };
        Ok(Self { paths, bytes, saved, map, cursor: u64::MAX, hashing: Hashing::default() })
    }

    /// Writes consecutive blocks, and returns how many of them were missing. Padding of the content's last block is left out.
    ///
    /// # Panics
    /// When the blocks are not whole, or not of this content.
    pub(crate) fn write(&mut self, first: u64, bytes: &[u8]) -> io::Result<u64> {
        let PartialPaths { size, block, .. } = self.paths;
        let start = first * block;
        let len = (bytes.len() as u64).min(size - start);
        let end = first + len.div_ceil(block);
        assert!(start + len == size || len.is_multiple_of(block), "whole blocks");
        let (mut new, mut at) = (0, first);
        // Blocks that are there are not overwritten, since they may have been hashed.
        while let Some(gap) = self.map.gap(at..end) {
            let place = gap.start * block;
            let within = |place: u64| usize::try_from(place - start).expect("a part of these bytes");
            let bytes = &bytes[within(place)..within((gap.end * block).min(size))];
            self.write_at(place, bytes)?;
            at = gap.end;
            new += self.map.set(gap);
            if place == self.hashing.len() {
                self.hashing.take(bytes);
            }
        }
        self.catch_up(len)?;
        Ok(new)
    }

    /// Saves the map of what was written. A complete content that has no map file gets none.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        let saved = match &mut self.saved {
            Some(saved) => saved,
            None if self.map.is_whole() => return Ok(()),
            none => none.insert(self.paths.create_map()?),
        };
        PartialPaths::save(saved, &mut self.map)
    }

    /// Reads from a place of the content; what has not come is zeros.
    pub(crate) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.go_to(offset)?;
        self.cursor = u64::MAX;
        self.bytes.read_exact(buffer)
    }

    pub(crate) fn map(&self) -> &BlockMap {
        &self.map
    }

    /// The hash of the front, for the finisher to go on with.
    pub(crate) fn into_hashing(self) -> Hashing {
        self.hashing
    }

    /// The file that holds the bytes.
    #[cfg(test)]
    fn file(&self) -> &File {
        &self.bytes
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.go_to(offset)?;
        self.cursor = u64::MAX;
        self.bytes.write_all(bytes)?;
        self.cursor = offset + bytes.len() as u64;
        Ok(())
    }

    /// Reads back and hashes blocks that follow the hashed front without a gap: they came out of order, or in an earlier session. At
    /// most twice as much as was just written, so that hashing catches up but the next packets need not wait long.
    fn catch_up(&mut self, written: u64) -> io::Result<()> {
        let front = (self.map.front() * self.paths.block).min(self.paths.size);
        let behind = front - self.hashing.len();
        if behind < Hashing::PIECE as u64 {
            return Ok(());
        }
        self.go_to(self.hashing.len())?;
        self.cursor = u64::MAX;
        let most = (written * 2).max(Hashing::PIECE as u64);
        self.hashing.read(&mut (&self.bytes).take(behind.min(most)), &Meter::default())
    }

    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        if self.cursor != offset {
            self.bytes.seek(SeekFrom::Start(offset))?;
            self.cursor = offset;
        }
        Ok(())
    }
}

const MAGIC: [u8; 8] = *b"campmap1";

/// Magic number and size of the content.
const HEADER: usize = 16;

/// What is there to go on with: the bytes, and the map of such a content.
fn known(paths: &PartialPaths) -> io::Result<Option<(File, File, BlockMap)>> {
    if !paths.exist() {
        return Ok(None);
    }
    let open = |path| OpenOptions::new().read(true).write(true).open(path);
    let (bytes, mut saved) = (open(&paths.bytes)?, open(&paths.map)?);
    let is_such = bytes.metadata()?.len() == paths.size && saved.metadata()?.len() == paths.map_len();
    let mut map = Vec::new();
    if is_such {
        saved.read_to_end(&mut map)?;
    }
    if !map.starts_with(&header(paths.size)) {
        return Ok(None);
    }
    Ok(BlockMap::from_bytes(map.split_off(HEADER), paths.blocks()).map(|map| (bytes, saved, map)))
}

/// A file for the bytes of a content of which nothing is there.
fn create_bytes(paths: &PartialPaths) -> io::Result<File> {
    // Never the old one made empty: a content that has its name already may be in it.
    paths.remove()?;
    let bytes = OpenOptions::new().read(true).write(true).create_new(true).open(&paths.bytes)?;
    bytes.set_len(paths.size)?;
    Ok(bytes)
}

fn header(size: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..].copy_from_slice(&size.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    const CONTENT: &[u8] = b"0123456789abcdefghijklmno";

    struct Fixture {
        scratch: Scratch,
        paths: PartialPaths,
    }

    impl Fixture {
        fn new() -> Self {
            let scratch = Scratch::new();
            let paths = PartialPaths::new(scratch.path(), &Digest::of(CONTENT), CONTENT.len() as u64, 4);
            Self { scratch, paths }
        }

        fn open(&self) -> Partial {
            Partial::open(self.paths.clone()).expect("a directory of our own")
        }

        fn is(&self, content: &[u8]) -> bool {
            std::fs::read(&self.paths.bytes).expect("it is there") == content
        }
    }

    fn write(partial: &mut Partial, blocks: std::ops::Range<u64>) -> u64 {
        let end = (blocks.end * 4).min(CONTENT.len() as u64);
        let bytes = &CONTENT[blocks.start as usize * 4..end as usize];
        partial.write(blocks.start, bytes).expect("there is room")
    }

    #[test]
    fn blocks_in_any_order_make_the_content() {
        let fixture = Fixture::new();
        let mut partial = fixture.open();
        assert_eq!(write(&mut partial, 3..7), 4, "the last one is one byte long");
        assert_eq!(write(&mut partial, 2..4), 1, "one of them was there");
        assert_eq!(write(&mut partial, 0..2), 2);
        assert!(partial.map().is_whole());
        assert!(fixture.is(CONTENT));
        assert!(!fixture.is(b"other"));
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let fixture = Fixture::new();
        let mut partial = fixture.open();
        write(&mut partial, 1..3);
        assert_eq!(partial.write(0, b"0123XXXXXXXXcdef").expect("there is room"), 2);
        write(&mut partial, 0..7);
        assert!(fixture.is(CONTENT));
        let (digest, len) = partial.into_hashing().end();
        assert!(len < CONTENT.len() as u64 || digest == Digest::of(CONTENT));
    }

    #[test]
    fn what_comes_in_order_is_hashed_as_it_comes() {
        let fixture = Fixture::new();
        let mut partial = fixture.open();
        write(&mut partial, 0..3);
        write(&mut partial, 2..7);
        assert_eq!(partial.into_hashing().end(), (Digest::of(CONTENT), CONTENT.len() as u64));
    }

    #[test]
    fn what_came_before_its_turn_is_hashed_little_by_little() {
        const BLOCK: usize = 1000;
        let scratch = Scratch::new();
        let content: Vec<u8> = (0..1000 * BLOCK).map(|at| (at % 251) as u8).collect();
        let size = content.len() as u64;
        let paths = PartialPaths::new(scratch.path(), &Digest::of(&content), size, BLOCK);
        let open = || Partial::open(paths.clone()).expect("a directory of our own");
        let write = |partial: &mut Partial, blocks: std::ops::Range<usize>| {
            let bytes = &content[blocks.start * BLOCK..blocks.end * BLOCK];
            partial.write(blocks.start as u64, bytes).expect("there is room");
            partial.hashing.len()
        };
        let mut partial = open();
        assert_eq!(write(&mut partial, 1..600), 0, "the first one is missing");
        assert_eq!(write(&mut partial, 0..1), (BLOCK + Hashing::PIECE) as u64);
        assert_eq!(write(&mut partial, 600..700), 332_072, "twice as much as was written");
        partial.save().expect("there is room");
        // Another process goes on: nothing is hashed.
        let mut partial = open();
        assert_eq!(write(&mut partial, 700..1000), 600_000);
        assert_eq!(write(&mut partial, 0..1000), 1_000_000);
        assert_eq!(partial.into_hashing().end(), (Digest::of(&content), content.len() as u64));
    }

    #[test]
    fn a_padded_last_block_is_cut() {
        let fixture = Fixture::new();
        let mut partial = fixture.open();
        assert_eq!(partial.write(6, b"o\0\0\0").expect("there is room"), 1);
        assert_eq!(partial.file().metadata().expect("it is open").len(), CONTENT.len() as u64);
    }

    #[test]
    fn what_was_saved_is_there_again() {
        let fixture = Fixture::new();
        let mut partial = fixture.open();
        write(&mut partial, 1..3);
        partial.save().expect("there is room");
        write(&mut partial, 5..6);
        // As if the process were killed: written, but not marked.
        drop(partial);
        assert!(fixture.paths.exist());
        assert!([&fixture.paths.bytes, &fixture.paths.map].iter().all(|path| !PartialPaths::is_half(path)));
        let mut partial = fixture.open();
        let runs: Vec<_> = partial.map().runs().collect();
        assert_eq!((runs.len(), &runs[0]), (1, &(1..3)));
        let mut bytes = [0; 8];
        partial.read(4, &mut bytes).expect("readable");
        assert_eq!(bytes, CONTENT[4..12]);
        write(&mut partial, 0..7);
        assert!(fixture.is(CONTENT));
    }

    #[test]
    fn a_map_that_cannot_be_is_not_believed() {
        let spoil = |what: &str, spoil: &dyn Fn(&PartialPaths)| {
            let fixture = Fixture::new();
            let mut partial = fixture.open();
            write(&mut partial, 0..6);
            partial.save().expect("there is room");
            drop(partial);
            spoil(&fixture.paths);
            let partial = fixture.open();
            assert_eq!(partial.map().had(), 0, "{what}");
            assert_eq!(partial.file().metadata().expect("it is open").len(), CONTENT.len() as u64);
            drop(fixture.scratch);
        };
        let set = |path: &Path, len: u64| {
            let file = OpenOptions::new().write(true).open(path).expect("it is there");
            file.set_len(len).expect("it can be resized");
        };
        spoil("a shorter map", &|paths| set(&paths.map, 16));
        spoil("a longer map", &|paths| set(&paths.map, 1000));
        spoil("no bytes", &|paths| std::fs::remove_file(&paths.bytes).expect("it is there"));
        spoil("fewer bytes", &|paths| set(&paths.bytes, 5));
        spoil("another content", &|paths| {
            let mut map = header(26).to_vec();
            map.push(0x7f);
            std::fs::write(&paths.map, map).expect("there is room");
        });
        spoil("more blocks than there are", &|paths| {
            let mut map = header(25).to_vec();
            map.push(0xff);
            std::fs::write(&paths.map, map).expect("there is room");
        });
    }

    #[test]
    fn what_is_whole_at_once_has_a_map_only_when_it_is_kept() {
        let fixture = Fixture::new();
        let mut partial = fixture.open();
        write(&mut partial, 0..7);
        partial.save().expect("nothing is saved");
        drop(partial);
        assert!(!fixture.paths.exist());
        fixture.paths.keep().expect("there is room");
        let partial = fixture.open();
        assert!(partial.map().is_whole() && fixture.is(CONTENT));
    }

    #[test]
    fn what_is_removed_is_gone() {
        let fixture = Fixture::new();
        fixture.open();
        fixture.paths.keep().expect("there is room");
        fixture.paths.remove().expect("both are there");
        assert!(!fixture.paths.exist());
        fixture.paths.remove().expect("that nothing is there is no error");
    }
}
