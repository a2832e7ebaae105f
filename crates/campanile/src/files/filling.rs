//! The files of a session whose manifest is known, filling up.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::error::{FileAction, FileError};
use super::hasher::Filled;
use super::inbox::{Inbox, Standing};
use super::layout::{Layout, Piece};
use super::manifest::{Entry, Manifest};
use super::opened::Opened;
use super::partial::{Partial, PartialPaths};
use crate::multicast::{Packets, Run};

/// What has come of each content of a manifest, and where.
#[derive(Debug)]
pub(crate) struct Filling {
    manifest: Manifest,
    layout: Layout,
    /// Profile, length, hash, manifest.
    head: Vec<u8>,
    stages: Vec<Stage>,
    /// Contents that were filled, and that nobody was given to hash yet.
    filled: VecDeque<usize>,
    /// How many contents are being hashed.
    hashing: usize,
    partials: Opened<Partial>,
    /// Complete contents, open for reading.
    whole: Opened<File>,
    /// Blocks of contents that are there.
    had: u64,
    /// Files that have their names.
    placed: usize,
    /// Files that will have none in this session.
    failed: usize,
    outcomes: VecDeque<Outcome>,
}

/// How far a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing of it has come.
    Missing,
    /// Some blocks of it are in its partial.
    Partial,
    /// All of it is in its partial; this is not known to be right yet.
    Filled,
    /// It is right, and at least one file of the manifest has it.
    Placed,
    /// Its hash was wrong, and it was thrown away.
    Wrong,
    /// It is right, and still in its partial: its names are taken.
    Kept,
}

/// What became of a file.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It has its name.
    Placed {
        /// Its place in the manifest.
        file: usize,
    },
    /// Its content is complete, and it cannot have its name.
    Refused {
        /// Its place in the manifest.
        file: usize,
        /// Why.
        error: FileError,
    },
    /// Its content has another hash than the manifest says, and was thrown away.
    Wrong {
        /// Its place in the manifest.
        file: usize,
    },
}

impl Filling {
    /// Looks for what is there of each file already: under its name, or in a partial.
    pub(crate) fn open(
        inbox: &Inbox,
        manifest: Manifest,
        layout: Layout,
        head: Vec<u8>,
    ) -> Result<Self, FileError> {
        let stages = vec![Stage::Missing; layout.contents().len()];
        let mut filling = Self {
            manifest,
            layout,
            head,
            stages,
            filled: VecDeque::new(),
            hashing: 0,
            partials: Opened::new(),
            whole: Opened::new(),
            had: 0,
            placed: 0,
            failed: 0,
            outcomes: VecDeque::new(),
        };
        for index in 0..filling.stages.len() {
            filling.look_for(index, inbox)?;
        }
        filling.place_empty(inbox);
        filling.settle(inbox)?;
        Ok(filling)
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The blocks of the row that are there, those of its head last: with them all is said.
    pub(crate) fn had_ranges(&mut self, inbox: &Inbox) -> Result<Vec<Range<u64>>, FileError> {
        let mut ranges = Vec::new();
        for index in 0..self.stages.len() {
            let blocks = self.layout.contents()[index].blocks.clone();
            match self.stages[index] {
                Stage::Missing | Stage::Wrong => {}
                Stage::Filled | Stage::Placed | Stage::Kept => ranges.push(blocks),
                Stage::Partial => {
                    let runs = self.partial(index, inbox)?.map().runs();
                    ranges.extend(runs.map(|run| blocks.start + run.start..blocks.start + run.end));
                }
            }
        }
        ranges.push(0..self.layout.head_blocks());
        Ok(ranges)
    }

    /// Blocks of the row that are there, the head's among them.
    pub(crate) fn had_blocks(&self) -> u64 {
        self.layout.head_blocks() + self.had
    }

    /// Whether every file has its name.
    pub(crate) fn is_complete(&self) -> bool {
        self.placed == self.manifest.entries().len()
    }

    /// Files that have their names.
    #[cfg(test)]
    pub(crate) fn placed(&self) -> usize {
        self.placed
    }

    /// Whether nothing more will become of any file.
    pub(crate) fn is_settled(&self) -> bool {
        self.placed + self.failed == self.manifest.entries().len()
    }

    /// What became of a file since the last call that gave something.
    pub(crate) fn outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Writes packets, whose numbers are those of their blocks; `None` if one of them is none of this session, or has the wrong length.
    pub(crate) fn put(&mut self, packets: &Packets, inbox: &Inbox) -> Result<Option<()>, FileError> {
        for run in packets.runs() {
            if !self.is_of_session(&run) {
                return Ok(None);
            }
            self.put_run(u64::from(run.first.0), run.bytes, inbox)?;
        }
        Ok(Some(()))
    }

    /// Whether packets are of this session, and as long as they must be.
    fn is_of_session(&self, run: &Run<'_>) -> bool {
        let (first, count) = (u64::from(run.first.0), run.count as u64);
        let block_len = self.layout.block_len() as u64;
        let start = first * block_len;
        let end = (start + count * block_len).min(self.layout.len());
        let is_even = count == 1 || run.stride as u64 == block_len;
        first + count <= self.layout.blocks() && is_even && run.bytes.len() as u64 == end - start
    }

    /// Writes blocks that follow each other, each where it belongs.
    fn put_run(&mut self, mut block: u64, mut bytes: &[u8], inbox: &Inbox) -> Result<(), FileError> {
        let block_len = self.layout.block_len();
        while !bytes.is_empty() {
            let found = self.layout.find(block);
            // The head's blocks are there already.
            let end = found.map_or(block + 1, |(content, _)| self.layout.contents()[content].blocks.end);
            let len =
                bytes.len().min(usize::try_from(end - block).unwrap_or(usize::MAX).saturating_mul(block_len));
            let (here, rest) = bytes.split_at(len);
            if let Some((content, within)) = found
                && matches!(self.stages[content], Stage::Missing | Stage::Partial)
            {
                self.write(content, within, here, inbox)?;
            }
            (block, bytes) = (end, rest);
        }
        Ok(())
    }

    /// Saves what is known to be there.
    pub(crate) fn settle(&mut self, inbox: &Inbox) -> Result<(), FileError> {
        let (layout, mut saved) = (&self.layout, Ok(()));
        for (index, partial) in self.partials.iter_mut() {
            let save = |error| FileAction::Write.of(&paths(layout, index, inbox).map)(error);
            saved = saved.and(partial.save().map_err(save));
        }
        saved
    }

    /// A content that is all there, to be hashed.
    pub(crate) fn next_filled(&mut self, inbox: &Inbox) -> Option<Filled> {
        let index = self.filled.pop_front()?;
        self.hashing += 1;
        let content = &self.layout.contents()[index];
        let path = self.paths(index, inbox).bytes;
        Some(Filled { content: index, path, digest: content.digest, size: content.size })
    }

    /// Whether a content waits to be hashed, or is being hashed.
    pub(crate) fn is_hashing(&self) -> bool {
        self.hashing > 0 || !self.filled.is_empty()
    }

    /// The bytes of a range of the row, where they have come.
    pub(crate) fn read(
        &mut self,
        range: Range<u64>,
        mut bytes: Vec<u8>,
        inbox: &Inbox,
    ) -> Result<Vec<u8>, FileError> {
        bytes.clear();
        bytes.resize(usize::try_from(range.end - range.start).expect("a range that memory has room for"), 0);
        let mut at = 0;
        let pieces: Vec<Piece> = self.layout.pieces(range).collect();
        for piece in pieces {
            let len = usize::try_from(piece.len()).expect("a part of the range");
            let place = &mut bytes[at..at + len];
            match piece {
                Piece::Head { offset, .. } => {
                    let start = usize::try_from(offset).expect("within the head");
                    place.copy_from_slice(&self.head[start..start + len]);
                }
                Piece::Content { index, offset, .. } => self.read_content(index, offset, place, inbox)?,
                Piece::Pad { .. } => {}
            }
            at += len;
        }
        Ok(bytes)
    }

    fn read_content(
        &mut self,
        index: usize,
        offset: u64,
        buffer: &mut [u8],
        inbox: &Inbox,
    ) -> Result<(), FileError> {
        match self.stages[index] {
            Stage::Missing | Stage::Wrong => Ok(()),
            Stage::Partial | Stage::Filled | Stage::Kept => {
                let read = self.partial(index, inbox)?.read(offset, buffer);
                read.map_err(|error| FileAction::Read.of(&self.paths(index, inbox).bytes)(error))
            }
            Stage::Placed => {
                let file = self.layout.contents()[index].files[0];
                let path = inbox.target(&self.manifest.entries()[file]);
                let file = self.whole.get(index, || File::open(&path).map_err(FileAction::Open.of(&path)))?;
                let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
                read.map_err(FileAction::Read.of(&path))
            }
        }
    }

    /// Finds out what is there of a content.
    fn look_for(&mut self, index: usize, inbox: &Inbox) -> Result<(), FileError> {
        let content = &self.layout.contents()[index];
        let blocks = content.blocks.end - content.blocks.start;
        let stands = |&file: &usize| inbox.standing(&self.manifest.entries()[file]);
        let standings = content.files.iter().map(stands).collect::<Result<Vec<_>, _>>()?;
        let paths = self.paths(index, inbox);
        if standings.iter().all(|standing| *standing == Standing::Same) {
            self.had += blocks;
            self.stages[index] = Stage::Placed;
            for file in self.layout.contents()[index].files.clone() {
                self.placed += 1;
                self.outcomes.push_back(Outcome::Placed { file });
            }
            // What was left of it is not needed.
            return paths.remove().map_err(FileAction::Remove.of(&paths.bytes));
        }
        if paths.exist() {
            let map = self.partial(index, inbox)?.map();
            let (had, is_whole) = (map.had(), map.is_whole());
            self.had += had;
            self.note(index, is_whole);
        }
        Ok(())
    }

    /// A content has a partial.
    fn note(&mut self, index: usize, is_whole: bool) {
        self.stages[index] = if is_whole { Stage::Filled } else { Stage::Partial };
        if is_whole {
            self.filled.push_back(index);
        }
    }

    fn place_empty(&mut self, inbox: &Inbox) {
        for (file, entry) in self.manifest.entries().iter().enumerate() {
            if entry.size > 0 {
                continue;
            }
            match inbox.place_empty(entry) {
                Ok(()) => {
                    self.placed += 1;
                    self.outcomes.push_back(Outcome::Placed { file });
                }
                Err(error) => {
                    self.failed += 1;
                    self.outcomes.push_back(Outcome::Refused { file, error });
                }
            }
        }
    }

    /// Writes blocks of a content, and sees whether it is complete now.
    fn write(&mut self, content: usize, first: u64, bytes: &[u8], inbox: &Inbox) -> Result<(), FileError> {
        let partial = self.partial(content, inbox)?;
        let written = partial.write(first, bytes);
        let is_whole = partial.map().is_whole();
        match written {
            Ok(new) => self.had += new,
            Err(error) => return Err(FileAction::Write.of(&self.paths(content, inbox).bytes)(error)),
        }
        self.note(content, is_whole);
        Ok(())
    }

    /// Places the files of a content that was hashed if it is right, and throws it away if it is not.
    pub(crate) fn judge(&mut self, index: usize, is_right: bool, inbox: &Inbox) -> Result<(), FileError> {
        self.hashing -= 1;
        let paths = self.paths(index, inbox);
        // From here on nothing writes into it any more.
        self.partials.close(index);
        let files = self.layout.contents()[index].files.clone();
        if !is_right {
            paths.remove().map_err(FileAction::Remove.of(&paths.bytes))?;
            let content = &self.layout.contents()[index];
            self.had -= content.blocks.end - content.blocks.start;
            self.stages[index] = Stage::Wrong;
            self.failed += files.len();
            self.outcomes.extend(files.into_iter().map(|file| Outcome::Wrong { file }));
            return Ok(());
        }
        let entries: Vec<&Entry> = files.iter().map(|&file| &self.manifest.entries()[file]).collect();
        let results = inbox.place(&paths, &entries);
        self.stages[index] = if results.iter().all(Result::is_ok) { Stage::Placed } else { Stage::Kept };
        for (file, result) in files.into_iter().zip(results) {
            self.outcomes.push_back(match result {
                Ok(()) => {
                    self.placed += 1;
                    Outcome::Placed { file }
                }
                Err(error) => {
                    self.failed += 1;
                    Outcome::Refused { file, error }
                }
            });
        }
        Ok(())
    }

    fn paths(&self, index: usize, inbox: &Inbox) -> PartialPaths {
        paths(&self.layout, index, inbox)
    }

    fn partial(&mut self, index: usize, inbox: &Inbox) -> Result<&mut Partial, FileError> {
        let layout = &self.layout;
        self.partials.get(index, || {
            let paths = paths(layout, index, inbox);
            let partial = Partial::open(&paths, layout.contents()[index].size, layout.block_len());
            partial.map_err(FileAction::Create.of(&paths.bytes))
        })
    }
}

fn paths(layout: &Layout, index: usize, inbox: &Inbox) -> PartialPaths {
    inbox.partial(&layout.contents()[index].digest, layout.block_len())
}
