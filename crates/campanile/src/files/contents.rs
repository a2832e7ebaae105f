//! The contents of a session whose manifest is known, as they are filled.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::error::{FileAction, FileError};
use super::finisher::{Filled, Finding, Job};
use super::inbox::Inbox;
use super::incoming::{IncomingError, Refusal};
use super::layout::{Layout, Origin, Piece};
use super::manifest::{Entry, Manifest};
use super::open_cache::OpenCache;
use super::partial::{Partial, PartialPaths};
use crate::multicast::{Packets, Run};

/// What has come of each content of a manifest, and where.
#[derive(Debug)]
pub(crate) struct IncomingContents {
    manifest: Manifest,
    layout: Layout,
    /// What precedes the contents: the profile, the manifest's length and hash, and the manifest.
    head: Vec<u8>,
    stages: Vec<Stage>,
    /// Contents whose files may be there already, and for which no look was handed out yet.
    looks: VecDeque<usize>,
    /// How many looks are under way.
    looking: usize,
    /// Contents that are filled, and were not handed out to be finished yet.
    filled: VecDeque<usize>,
    /// How many contents are being finished.
    finishing: usize,
    partials: OpenCache<Partial>,
    /// Complete contents, open for reading.
    whole: OpenCache<File>,
    /// Blocks of contents that are there.
    had: u64,
    /// Files that have their names.
    placed: usize,
    /// Files that will not get their names in this session.
    failed: usize,
    outcomes: VecDeque<Outcome>,
}

/// The state of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing of it has come.
    Missing,
    /// Some blocks of it are in its partial.
    Partial,
    /// All of it is in its partial, whose hash has not been checked yet.
    Filled,
    /// As [`Stage::Filled`], and the finisher is hashing it or giving it its names.
    Finishing,
    /// It is right, and all its files have their names.
    Placed,
    /// Its hash was wrong, and it was deleted.
    Wrong,
    /// It is right, and still in its partial: some file could not get its name.
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
    /// Its content is complete, but it cannot get its name.
    Refused {
        /// Its place in the manifest.
        file: usize,
        /// Why.
        error: FileError,
    },
    /// Its content has another hash than the manifest says, and was deleted.
    Wrong {
        /// Its place in the manifest.
        file: usize,
    },
}

impl IncomingContents {
    /// Looks for what is there of each content in a partial. Whether its files are there already is left to jobs.
    pub(crate) fn open(
        inbox: &Inbox,
        manifest: Manifest,
        layout: Layout,
        head: Vec<u8>,
    ) -> Result<Self, FileError> {
        let stages = vec![Stage::Missing; layout.contents().len()];
        let mut contents = Self {
            manifest,
            layout,
            head,
            stages,
            looks: VecDeque::new(),
            looking: 0,
            filled: VecDeque::new(),
            finishing: 0,
            partials: OpenCache::new(),
            whole: OpenCache::new(),
            had: 0,
            placed: 0,
            failed: 0,
            outcomes: VecDeque::new(),
        };
        for index in 0..contents.stages.len() {
            contents.look_for(index, inbox)?;
        }
        contents.place_empty(inbox);
        contents.save_maps(inbox)?;
        Ok(contents)
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The blocks of the session that are there. Those of its head come last, which marks the end of the list.
    pub(crate) fn had_ranges(&mut self, inbox: &Inbox) -> Result<Vec<Range<u64>>, FileError> {
        let mut ranges = Vec::new();
        for index in 0..self.stages.len() {
            let blocks = self.layout.contents()[index].blocks.clone();
            match self.stages[index] {
                Stage::Missing | Stage::Wrong => {}
                Stage::Filled | Stage::Finishing | Stage::Placed | Stage::Kept => ranges.push(blocks),
                Stage::Partial => {
                    let runs = self.partial(index, inbox)?.map().runs();
                    ranges.extend(runs.map(|run| blocks.start + run.start..blocks.start + run.end));
                }
            }
        }
        ranges.push(0..self.layout.head_blocks());
        Ok(ranges)
    }

    /// Blocks of the session that are there, the head's included.
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

    /// Whether every file has got its name, or will not get it.
    pub(crate) fn is_settled(&self) -> bool {
        self.placed + self.failed == self.manifest.entries().len()
    }

    /// The next outcome that was not taken yet.
    pub(crate) fn outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Writes packets. A packet's number is that of its block.
    ///
    /// # Errors
    /// [`Refusal::Blocks`] if one of them does not belong to this session or has the wrong length; or a file cannot be written.
    pub(crate) fn put(&mut self, packets: &Packets, inbox: &Inbox) -> Result<(), IncomingError> {
        for run in packets.runs() {
            if !self.is_of_session(&run) {
                return Err(Refusal::Blocks.into());
            }
            self.put_run(u64::from(run.first.0), run.bytes, inbox)?;
        }
        Ok(())
    }

    /// Whether packets belong to this session and have the right lengths.
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

    /// Keeps the contents that wait to be finished for another session.
    pub(crate) fn leave(&self, inbox: &Inbox) {
        let is_filled = |index: &usize| self.stages[*index] == Stage::Filled;
        for index in (0..self.stages.len()).filter(is_filled) {
            // If this fails, it is received again.
            let _ = self.paths(index, inbox).keep();
        }
    }

    /// Saves the maps of the partials: which blocks are there.
    pub(crate) fn save_maps(&mut self, inbox: &Inbox) -> Result<(), FileError> {
        let (layout, mut saved) = (&self.layout, Ok(()));
        for (index, partial) in self.partials.iter_mut() {
            let save = |error| FileAction::Write.of(&paths(layout, index, inbox).map)(error);
            saved = saved.and(partial.save().map_err(save));
        }
        saved
    }

    /// The next job for the finisher, and the content that it is for.
    pub(crate) fn next_job(&mut self, inbox: &Inbox) -> Option<(usize, Job)> {
        if let Some(index) = self.looks.pop_front() {
            self.looking += 1;
            return Some((index, Job::Look(self.entries(index))));
        }
        // Its files may have been found to be there while it waited.
        let is_due = |index: &usize| self.stages[*index] == Stage::Filled;
        let index = std::iter::from_fn(|| self.filled.pop_front()).find(is_due)?;
        self.finishing += 1;
        self.stages[index] = Stage::Finishing;
        // Nothing writes into it any more. If it was closed in between, it is hashed from the start.
        let hashing = self.partials.close(index).map(Partial::into_hashing).unwrap_or_default();
        let (paths, entries) = (self.paths(index, inbox), self.entries(index));
        Some((index, Job::Finish(Box::new(Filled { paths, entries, hashing }))))
    }

    /// Takes the finding of a job about a content.
    pub(crate) fn judge(&mut self, index: usize, finding: Finding, inbox: &Inbox) -> Result<(), FileError> {
        match finding {
            Finding::Looked(is_there) => {
                self.looking -= 1;
                if is_there { self.skip(index, inbox) } else { Ok(()) }
            }
            Finding::Right(results) => {
                self.finishing -= 1;
                self.place(index, results);
                Ok(())
            }
            Finding::Wrong => {
                self.finishing -= 1;
                self.forget(index);
                Ok(())
            }
        }
    }

    /// Whether it is not known yet which files are there already.
    pub(crate) fn is_looking(&self) -> bool {
        self.looking > 0 || !self.looks.is_empty()
    }

    /// Whether a content waits for a finding.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_looking() || self.finishing > 0 || !self.filled.is_empty()
    }

    /// A range of the session's bytes, as far as they have come.
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
            let len = usize::try_from(piece.len).expect("a part of the range");
            let place = &mut bytes[at..at + len];
            match piece.origin {
                Origin::Head { offset } => {
                    let start = usize::try_from(offset).expect("within the head");
                    place.copy_from_slice(&self.head[start..start + len]);
                }
                Origin::Content { index, offset } => self.read_content(index, offset, place, inbox)?,
                Origin::Pad => {}
            }
            at += len;
        }
        Ok(bytes)
    }

    /// Whether one of these blocks was deleted with its content, so that nothing can be decoded with them.
    pub(crate) fn lacks_for_good(&self, blocks: &Range<u64>) -> bool {
        let contents = self.layout.contents().iter().zip(&self.stages);
        let wrong = contents.filter(|(_, stage)| **stage == Stage::Wrong).map(|(content, _)| &content.blocks);
        wrong.into_iter().any(|wrong| wrong.start < blocks.end && blocks.start < wrong.end)
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
            Stage::Partial => {
                let read = self.partial(index, inbox)?.read(offset, buffer);
                read.map_err(|error| FileAction::Read.of(&self.paths(index, inbox).bytes)(error))
            }
            Stage::Filled | Stage::Finishing | Stage::Placed | Stage::Kept => {
                let file = self.layout.contents()[index].files[0];
                let path = inbox.target(&self.manifest.entries()[file]);
                let partial = self.paths(index, inbox).bytes;
                // The finisher may move it at any moment: if the partial is gone, the file has its name.
                let open = || File::open(&partial).or_else(|_| File::open(&path));
                let file = self.whole.get(index, || open().map_err(FileAction::Open.of(&path)))?;
                let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
                read.map_err(FileAction::Read.of(&path))
            }
        }
    }

    /// Finds out how much of a content is there.
    fn look_for(&mut self, index: usize, inbox: &Inbox) -> Result<(), FileError> {
        let (mut all, mut files) = (true, self.layout.contents()[index].files.iter());
        while all && let Some(&file) = files.next() {
            all = inbox.may_have(&self.manifest.entries()[file]);
        }
        if all {
            self.looks.push_back(index);
        }
        let paths = self.paths(index, inbox);
        if paths.exist() {
            let map = self.partial(index, inbox)?.map();
            let (had, is_whole) = (map.had(), map.is_whole());
            self.had += had;
            self.note(index, is_whole);
        }
        Ok(())
    }

    /// Notes that a content has blocks in its partial, perhaps all.
    fn note(&mut self, index: usize, is_whole: bool) {
        self.stages[index] = if is_whole { Stage::Filled } else { Stage::Partial };
        if is_whole {
            self.filled.push_back(index);
        }
    }

    fn place_empty(&mut self, inbox: &Inbox) {
        let entries = self.manifest.entries().iter().enumerate();
        let (files, empty): (Vec<usize>, Vec<&Entry>) = entries.filter(|(_, entry)| entry.size == 0).unzip();
        for (file, placed) in files.into_iter().zip(inbox.place_empty(&empty)) {
            match placed {
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

    /// Writes blocks of a content, and notes whether it is complete now.
    fn write(&mut self, content: usize, first: u64, bytes: &[u8], inbox: &Inbox) -> Result<(), FileError> {
        if self.partials.is_full() {
            // Opening one more closes another, whose map has to be saved before.
            self.save_maps(inbox)?;
        }
        let partial = self.partial(content, inbox)?;
        let written = partial.write(first, bytes);
        let is_whole = partial.map().is_whole();
        self.had +=
            written.map_err(|error| FileAction::Write.of(&self.paths(content, inbox).bytes)(error))?;
        self.note(content, is_whole);
        Ok(())
    }

    /// All files of a content were found to be there.
    fn skip(&mut self, index: usize, inbox: &Inbox) -> Result<(), FileError> {
        let blocks = self.layout.contents()[index].blocks.clone();
        let had = match self.stages[index] {
            Stage::Missing => 0,
            Stage::Partial => self.partial(index, inbox)?.map().had(),
            Stage::Filled => blocks.end - blocks.start,
            // It was filled and is being finished, or was, since the look began.
            Stage::Finishing | Stage::Placed | Stage::Wrong | Stage::Kept => return Ok(()),
        };
        self.had += blocks.end - blocks.start - had;
        self.stages[index] = Stage::Placed;
        for file in self.layout.contents()[index].files.clone() {
            self.placed += 1;
            self.outcomes.push_back(Outcome::Placed { file });
        }
        // The blocks of it that have come are not needed.
        self.partials.close(index);
        let paths = self.paths(index, inbox);
        paths.remove().map_err(FileAction::Remove.of(&paths.bytes))
    }

    /// A content was right: its files have their names now, or cannot get them.
    fn place(&mut self, index: usize, results: Vec<Result<(), FileError>>) {
        self.stages[index] = if results.iter().all(Result::is_ok) { Stage::Placed } else { Stage::Kept };
        for (file, result) in self.layout.contents()[index].files.clone().into_iter().zip(results) {
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
    }

    /// A content was wrong, and was deleted.
    fn forget(&mut self, index: usize) {
        let content = &self.layout.contents()[index];
        self.had -= content.blocks.end - content.blocks.start;
        self.stages[index] = Stage::Wrong;
        // A file that was deleted takes room on the disk as long as it is open.
        self.whole.close(index);
        self.failed += content.files.len();
        self.outcomes.extend(content.files.iter().map(|&file| Outcome::Wrong { file }));
    }

    fn entries(&self, index: usize) -> Vec<Entry> {
        let files = &self.layout.contents()[index].files;
        files.iter().map(|&file| self.manifest.entries()[file].clone()).collect()
    }

    fn paths(&self, index: usize, inbox: &Inbox) -> PartialPaths {
        paths(&self.layout, index, inbox)
    }

    fn partial(&mut self, index: usize, inbox: &Inbox) -> Result<&mut Partial, FileError> {
        let layout = &self.layout;
        self.partials.get(index, || {
            let paths = paths(layout, index, inbox);
            Partial::open(paths.clone()).map_err(FileAction::Create.of(&paths.bytes))
        })
    }
}

fn paths(layout: &Layout, index: usize, inbox: &Inbox) -> PartialPaths {
    let content = &layout.contents()[index];
    inbox.partial(&content.digest, content.size, layout.block_len())
}
