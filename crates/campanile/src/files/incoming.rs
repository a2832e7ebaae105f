//! A session being received: first its manifest, then its files.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::contents::{IncomingContents, Outcome};
use super::error::FileError;
use super::finisher::{Finding, Job};
use super::inbox::Inbox;
use super::layout::{Layout, ManifestHeader, TooLarge};
use super::manifest::{Manifest, ManifestError};
use super::spool::Spool;
use crate::multicast::{ContentKind, Packets, Profile, ProfileError, Seq};

/// A session as its packets come, in any order. It does no network I/O.
#[derive(Debug)]
pub(crate) struct IncomingSession {
    phase: Phase,
    profile: Option<Profile>,
}

#[derive(Debug)]
enum Phase {
    /// The manifest is not complete. What came is kept aside.
    Head(IncomingHead),
    /// The manifest says where each packet goes.
    Contents(Box<IncomingContents>),
}

/// The head of a session up to its first gap, and whatever else came meanwhile.
#[derive(Debug)]
struct IncomingHead {
    spool: Spool,
    bytes: Vec<u8>,
    /// Blocks in `bytes`.
    blocks: u64,
    /// The length of the first one.
    block_len: usize,
    /// The manifest, once it is complete.
    found: Option<(Manifest, Layout)>,
}

/// Why a session is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its profile is foreign.
    Profile(ProfileError),
    /// It brings something other than files.
    Content(ContentKind),
    /// Its manifest is refused.
    Manifest(ManifestError),
    /// Its manifest does not have the hash that was announced.
    Hash,
    /// The lengths of its packets do not fit its manifest.
    Blocks,
    /// Its files need more packets than there are numbers.
    TooLarge(TooLarge),
    /// It sent too much before its manifest was complete.
    Spool,
    /// Its beginning, with the manifest, can no longer be had.
    Beginning,
    /// A file of it is larger than the file system here allows.
    FileSystem,
}

/// Why an incoming session cannot go on.
#[derive(Debug)]
pub(crate) enum IncomingError {
    /// The session is at fault.
    Refused(Refusal),
    /// This machine is at fault.
    File(FileError),
}

impl IncomingSession {
    /// A session of which nothing has come.
    pub(crate) fn begin(spool: PathBuf) -> Self {
        let spool = Spool::new(spool);
        let head = IncomingHead { spool, bytes: Vec::new(), blocks: 0, block_len: 0, found: None };
        Self { phase: Phase::Head(head), profile: None }
    }

    /// Takes packets. A packet's number is that of its block.
    ///
    /// Returns `true` when they have completed the manifest: then call [`IncomingSession::fill`].
    pub(crate) fn put(&mut self, packets: &Packets, inbox: &Inbox) -> Result<bool, IncomingError> {
        match &mut self.phase {
            Phase::Contents(contents) => {
                contents.put(packets, inbox)?;
                contents.save_maps(inbox)?;
                Ok(false)
            }
            Phase::Head(head) => {
                let packets = packets.iter().map(|(sqn, bytes)| (u64::from(sqn.0), bytes));
                head.spool.put(packets)?;
                if head.found.is_none() {
                    head.found = head.advance(&mut self.profile)?;
                }
                Ok(head.found.is_some())
            }
        }
    }

    /// Writes what came into the files of the manifest. From now on nothing else may write them.
    pub(crate) fn fill(&mut self, inbox: &Inbox) -> Result<(), IncomingError> {
        let Phase::Head(head) = &mut self.phase else { return Ok(()) };
        let Some((manifest, layout)) = head.found.take() else { return Ok(()) };
        let bytes = std::mem::take(&mut head.bytes);
        let mut contents = Box::new(IncomingContents::open(inbox, manifest, layout, bytes)?);
        head.replay(&mut contents, inbox)?;
        self.phase = Phase::Contents(contents);
        Ok(())
    }

    /// The blocks that need not be sent.
    pub(crate) fn had_ranges(&mut self, inbox: &Inbox) -> Result<Vec<Range<u64>>, FileError> {
        match &mut self.phase {
            Phase::Contents(contents) => contents.had_ranges(inbox),
            Phase::Head(_) => Ok(Vec::new()),
        }
    }

    /// The packets of some blocks in one buffer, and their stride in it. The places of packets that have not come have undefined
    /// contents.
    pub(crate) fn read(
        &mut self,
        blocks: Range<u64>,
        buffer: Vec<u8>,
        inbox: &Inbox,
    ) -> Result<(usize, Vec<u8>), FileError> {
        match &mut self.phase {
            Phase::Head(head) => head.read(blocks, buffer),
            Phase::Contents(contents) => {
                let stride = contents.layout().block_len();
                let end = (blocks.end * stride as u64).min(contents.layout().len());
                let start = (blocks.start * stride as u64).min(end);
                Ok((stride, contents.read(start..end, buffer, inbox)?))
            }
        }
    }

    /// Keeps what is complete, and not finished, for another session.
    pub(crate) fn leave(&self, inbox: &Inbox) {
        if let Some(contents) = self.contents() {
            contents.leave(inbox);
        }
    }

    pub(crate) fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// How the manifest lays the session out, once it is known and before anything was filled.
    pub(crate) fn found(&self) -> Option<&Layout> {
        match &self.phase {
            Phase::Head(IncomingHead { found: Some((_, layout)), .. }) => Some(layout),
            _ => None,
        }
    }

    /// What is filled, once the manifest is known.
    pub(crate) fn contents(&self) -> Option<&IncomingContents> {
        match &self.phase {
            Phase::Contents(contents) => Some(contents),
            _ => None,
        }
    }

    /// Packets that have come, or were there already.
    pub(crate) fn had_blocks(&self) -> u64 {
        match &self.phase {
            Phase::Head(head) => head.spool.packets() as u64,
            Phase::Contents(contents) => contents.had_blocks(),
        }
    }

    /// The next job for the finisher, and the content that it is for.
    pub(crate) fn next_job(&mut self, inbox: &Inbox) -> Option<(usize, Job)> {
        match &mut self.phase {
            Phase::Contents(contents) => contents.next_job(inbox),
            Phase::Head(_) => None,
        }
    }

    /// Takes the finding of a job about a content.
    pub(crate) fn judge(&mut self, content: usize, finding: Finding, inbox: &Inbox) -> Result<(), FileError> {
        match &mut self.phase {
            Phase::Contents(contents) => contents.judge(content, finding, inbox),
            Phase::Head(_) => Ok(()),
        }
    }

    /// What became of a file.
    pub(crate) fn outcome(&mut self) -> Option<Outcome> {
        match &mut self.phase {
            Phase::Contents(contents) => contents.outcome(),
            _ => None,
        }
    }
}

impl IncomingHead {
    /// Reads the head as far as it has come; returns the manifest once all of it is there.
    fn advance(
        &mut self,
        profile: &mut Option<Profile>,
    ) -> Result<Option<(Manifest, Layout)>, IncomingError> {
        loop {
            if let Some(len) = self.needed(profile)?.filter(|&len| self.bytes.len() >= len) {
                return self.manifest(len).map(Some);
            }
            if !self.spool.append(self.blocks, &mut self.bytes)? {
                return Ok(None);
            }
            self.blocks += 1;
            if self.blocks == 1 {
                self.block_len = self.bytes.len();
            }
            if self.block_len == 0 {
                return Err(Refusal::Blocks.into());
            }
        }
    }

    /// The length of the head, once enough of it is there to tell.
    fn needed(&self, profile: &mut Option<Profile>) -> Result<Option<usize>, Refusal> {
        if profile.is_none() {
            // A session of another kind may be shorter than such a head.
            if self.bytes.len() < Profile::LEN {
                return Ok(None);
            }
            let read = Profile::parse(&self.bytes).map_err(Refusal::Profile)?;
            if read.content != ContentKind::Files {
                return Err(Refusal::Content(read.content));
            }
            *profile = Some(read);
        }
        if self.bytes.len() < PREFIX {
            return Ok(None);
        }
        Ok(Some(PREFIX + self.manifest_header()?.len as usize))
    }

    fn manifest_header(&self) -> Result<ManifestHeader, Refusal> {
        let bytes = self.bytes[Profile::LEN..].first_chunk().expect("the prefix is there");
        ManifestHeader::parse(bytes).ok_or(Refusal::Manifest(ManifestError::Long))
    }

    fn manifest(&mut self, len: usize) -> Result<(Manifest, Layout), IncomingError> {
        self.bytes.truncate(len);
        let bytes = &self.bytes[PREFIX..];
        if ManifestHeader::of(bytes) != self.manifest_header()? {
            return Err(Refusal::Hash.into());
        }
        let manifest = Manifest::parse(bytes).map_err(Refusal::Manifest)?;
        let layout = Layout::new(&manifest, len, self.block_len).map_err(Refusal::TooLarge)?;
        Ok((manifest, layout))
    }

    /// Writes packets that came before the manifest was complete into the files.
    fn replay(&mut self, contents: &mut IncomingContents, inbox: &Inbox) -> Result<(), IncomingError> {
        let (mut packet, mut packets) = (Vec::new(), Packets::default());
        let blocks = self.spool.blocks(contents.layout().head_blocks()..);
        for some in blocks.chunks(REPLAYED_AT_ONCE) {
            packets.clear();
            for &block in some {
                packet.clear();
                self.spool.append(block, &mut packet)?;
                let sqn = u32::try_from(block).expect("it was a packet's number");
                packets.push(Seq(sqn), &packet);
            }
            contents.put(&packets, inbox)?;
        }
        Ok(contents.save_maps(inbox)?)
    }

    fn read(&mut self, blocks: Range<u64>, mut bytes: Vec<u8>) -> Result<(usize, Vec<u8>), FileError> {
        let stride = blocks.clone().map(|block| self.spool.len_of(block)).max().unwrap_or(0);
        bytes.clear();
        for (at, block) in blocks.enumerate() {
            bytes.resize(at * stride, 0);
            // The last packet of a session may be shorter, and its length matters; for one that has not come any length but 0 will do.
            if !self.spool.append(block, &mut bytes)? {
                bytes.push(0);
            }
        }
        Ok((stride, bytes))
    }
}

/// Packets that are written together: a few hundred kilobytes.
const REPLAYED_AT_ONCE: usize = 256;

/// Bytes before the manifest.
pub(crate) const PREFIX: usize = Profile::LEN + ManifestHeader::LEN;

impl From<Refusal> for IncomingError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<FileError> for IncomingError {
    fn from(error: FileError) -> Self {
        // The sender says how large a file is: others may fit.
        match error.error.kind() {
            io::ErrorKind::FileTooLarge => Self::Refused(Refusal::FileSystem),
            _ => Self::File(error),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(error) => error.fmt(f),
            Self::Content(content) => write!(f, "it brings {content}, not files"),
            Self::Manifest(error) => error.fmt(f),
            Self::Hash => f.write_str("the manifest's hash is wrong"),
            Self::Blocks => f.write_str("the lengths of its packets are wrong"),
            Self::TooLarge(error) => error.fmt(f),
            Self::Spool => f.write_str("too much came before the manifest was complete"),
            Self::Beginning => f.write_str("its beginning can no longer be had"),
            Self::FileSystem => f.write_str("it has a file that is too large for this file system"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests;
