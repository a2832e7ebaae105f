//! Where the bytes of a session's files are among its packets.
//!
//! A session is a sequence of blocks, each of them a packet:
//!
//! ```text
//! profile | length and hash of the manifest | manifest | pad | content | pad | content | pad | ... | content
//! ```
//!
//! Everything before the first pad is the session's head. Each content begins with a new block. So a bit per block says what a receiver
//! has of a content, and stays valid in another session that brings the same content in blocks of the same size. Files of equal content
//! share it; an empty file has none.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use super::digest::Digest;
use super::manifest::Manifest;
use crate::multicast::BULK_PACKETS_MAX;

/// The header of a manifest, between the session's profile and the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ManifestHeader {
    /// Bytes of the manifest.
    pub(crate) len: u32,
    /// Its hash.
    pub(crate) digest: Digest,
}

impl ManifestHeader {
    pub(crate) const LEN: usize = 4 + Digest::LEN;

    pub(crate) fn of(manifest: &[u8]) -> Self {
        let len = u32::try_from(manifest.len()).expect("a manifest has its bound");
        Self { len, digest: Digest::of(manifest) }
    }

    /// Reads the header after the profile. `None` if the manifest is longer than allowed.
    pub(crate) fn parse(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let (len, digest) = bytes.split_first_chunk().expect("a length stands before the hash");
        let digest = Digest::from_bytes(digest.try_into().expect("the rest is the hash"));
        let len = u32::from_be_bytes(*len);
        (len as usize <= Manifest::LEN_MAX).then_some(Self { len, digest })
    }

    pub(crate) fn emit(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.len.to_be_bytes());
        bytes[4..].copy_from_slice(self.digest.as_bytes());
        bytes
    }
}

/// The sequence of blocks that a manifest leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    block: u64,
    head_len: u64,
    contents: Vec<Content>,
    len: u64,
}

/// The bytes of one file, or of several that are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// Its blocks in the session.
    pub(crate) blocks: Range<u64>,
    /// The files that have it, by their index in the manifest.
    pub(crate) files: Vec<usize>,
}

/// The files need more packets than a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// Bytes of each packet.
    pub block_len: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, block) = (Layout::BLOCKS_MAX, self.block_len);
        write!(f, "the files need more than the {most} packets of {block} bytes that a session has")
    }
}

impl std::error::Error for TooLarge {}

impl Layout {
    /// The most packets of a session.
    pub(crate) const BLOCKS_MAX: u64 = BULK_PACKETS_MAX;

    /// Lays out the files of a manifest after a head (profile, length, hash, manifest) of `head_len` bytes, in blocks of `block_len`.
    ///
    /// # Panics
    /// When blocks have no bytes.
    pub(crate) fn new(manifest: &Manifest, head_len: usize, block_len: usize) -> Result<Self, TooLarge> {
        assert!(block_len > 0, "a block has bytes");
        let (block, head_len) = (block_len as u64, head_len as u64);
        let mut contents: Vec<Content> = Vec::new();
        let mut known: HashMap<Digest, usize> = HashMap::new();
        let mut next = head_len.div_ceil(block);
        let mut len = head_len;
        for (file, entry) in manifest.entries().iter().enumerate() {
            if entry.size == 0 {
                continue;
            }
            let index = *known.entry(entry.digest).or_insert(contents.len());
            if let Some(content) = contents.get_mut(index) {
                content.files.push(file);
                continue;
            }
            let blocks = next..next + entry.size.div_ceil(block);
            len = blocks.start * block + entry.size;
            next = blocks.end;
            contents.push(Content { digest: entry.digest, size: entry.size, blocks, files: vec![file] });
        }
        if next > Self::BLOCKS_MAX {
            return Err(TooLarge { block_len });
        }
        Ok(Self { block, head_len, contents, len })
    }

    /// Bytes of the whole session.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Blocks of the whole session. The last one may be shorter than the others.
    pub(crate) fn blocks(&self) -> u64 {
        self.len.div_ceil(self.block)
    }

    /// Blocks that hold the profile and the manifest.
    pub(crate) fn head_blocks(&self) -> u64 {
        self.head_len.div_ceil(self.block)
    }

    /// Bytes of a block.
    pub(crate) fn block_len(&self) -> usize {
        usize::try_from(self.block).expect("it was one")
    }

    pub(crate) fn contents(&self) -> &[Content] {
        &self.contents
    }

    /// The content that a block belongs to, and which block of it that is. The head's blocks belong to none.
    pub(crate) fn find(&self, block: u64) -> Option<(usize, u64)> {
        let index = self.contents.partition_point(|content| content.blocks.end <= block);
        let content = self.contents.get(index)?;
        Some((index, block.checked_sub(content.blocks.start)?))
    }

    /// The pieces that make up a range of the session's bytes, in order and without gaps.
    pub(crate) fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece> + '_ {
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let (origin, end) = self.origin_of(at);
            let len = end.min(range.end) - at;
            at += len;
            Some(Piece { origin, len })
        })
    }

    /// Where a byte of the session comes from, and where the piece with this origin ends.
    fn origin_of(&self, at: u64) -> (Origin, u64) {
        if at < self.head_len {
            return (Origin::Head { offset: at }, self.head_len);
        }
        let starts = |content: &Content| content.blocks.start * self.block;
        let next = self.contents.partition_point(|content| starts(content) <= at);
        let pad_end = self.contents.get(next).map_or(u64::MAX, starts);
        let inside = next.checked_sub(1).map(|index| (index, starts(&self.contents[index])));
        match inside {
            Some((index, start)) if at < start + self.contents[index].size => {
                (Origin::Content { index, offset: at - start }, start + self.contents[index].size)
            }
            _ => (Origin::Pad, pad_end),
        }
    }
}

/// A run of bytes from one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) origin: Origin,
    /// Bytes.
    pub(crate) len: u64,
}

/// Where the bytes of a [`Piece`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The head.
    Head {
        /// From which byte of it.
        offset: u64,
    },
    /// A content.
    Content {
        /// Which one.
        index: usize,
        /// From which byte of it.
        offset: u64,
    },
    /// Padding: zeros.
    Pad,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::manifest::Entry;
    use crate::files::name::FileName;
    use proptest::prelude::*;

    /// A manifest of files of these sizes; the bytes of file `n` are `kinds[n]`.
    fn manifest(files: &[(u64, u8)]) -> Manifest {
        let entry = |(index, &(size, kind)): (usize, &(u64, u8))| Entry {
            name: FileName::parse(&format!("f{index}")).expect("a name"),
            size,
            digest: Digest::of(format!("{size} {kind}").as_bytes()),
            mode: None,
            modified: None,
        };
        Manifest::new(files.iter().enumerate().map(entry).collect()).expect("a manifest")
    }

    #[test]
    fn contents_begin_with_a_block() {
        let layout = Layout::new(&manifest(&[(25, 0), (0, 0), (10, 1), (1, 2)]), 33, 10).expect("small");
        let blocks: Vec<_> = layout.contents().iter().map(|content| content.blocks.clone()).collect();
        assert_eq!(blocks, [4..7, 7..8, 8..9]);
        assert_eq!((layout.len(), layout.blocks(), layout.head_blocks()), (81, 9, 4));
        assert_eq!((layout.find(3), layout.find(4), layout.find(6)), (None, Some((0, 0)), Some((0, 2))));
        assert_eq!((layout.find(8), layout.find(9)), (Some((2, 0)), None));
    }

    #[test]
    fn equal_files_travel_once() {
        let layout = Layout::new(&manifest(&[(25, 0), (7, 1), (25, 0)]), 1, 10).expect("small");
        assert_eq!(layout.contents().len(), 2);
        assert_eq!(layout.contents()[0].files, [0, 2]);
        assert_eq!(layout.len(), 47);
    }

    #[test]
    fn empty_files_need_no_packet_but_the_head_s() {
        let layout = Layout::new(&manifest(&[(0, 0)]), 21, 10).expect("small");
        assert_eq!((layout.len(), layout.blocks(), layout.contents().len()), (21, 3, 0));
    }

    #[test]
    fn a_session_has_its_bound() {
        let most = manifest(&[(Layout::BLOCKS_MAX - 1, 0)]);
        assert!(Layout::new(&most, 1, 1).is_ok());
        assert_eq!(Layout::new(&most, 2, 1), Err(TooLarge { block_len: 1 }));
    }

    #[test]
    fn a_manifest_header_is_read_as_written() {
        let header = ManifestHeader::of(b"manifest");
        assert_eq!(ManifestHeader::parse(&header.emit()), Some(header));
        let mut long = header.emit();
        long[..4].copy_from_slice(&(Manifest::LEN_MAX as u32 + 1).to_be_bytes());
        assert_eq!(ManifestHeader::parse(&long), None);
    }

    proptest! {
        /// Every byte of the session comes from one place, and every byte of a content is in the session.
        #[test]
        fn pieces_make_the_row(
            files in prop::collection::vec((0_u64..60, 0_u8..3), 1..8),
            head_len in 1_usize..40,
            block in 1_usize..20,
            cut in 0_u64..300,
            len in 0_u64..300,
        ) {
            let layout = Layout::new(&manifest(&files), head_len, block).expect("small");
            let whole: Vec<u8> = (0..layout.len()).map(|at| mark(&layout, at)).collect();
            let start = cut.min(layout.len());
            let range = start..(start + len).min(layout.len());
            let mut bytes = Vec::new();
            for piece in layout.pieces(range.clone()) {
                prop_assert!(piece.len > 0);
                bytes.extend((0..piece.len).map(|more| match piece.origin {
                    Origin::Head { .. } => HEAD,
                    Origin::Content { index, offset } => {
                        assert!(offset + more < layout.contents()[index].size);
                        index as u8
                    }
                    Origin::Pad => PAD,
                }));
            }
            prop_assert_eq!(&bytes[..], &whole[range.start as usize..range.end as usize]);
        }
    }

    const HEAD: u8 = 0xf0;
    const PAD: u8 = 0xff;

    /// The origin of a byte, computed the slow way.
    fn mark(layout: &Layout, at: u64) -> u8 {
        if at < layout.head_len {
            return HEAD;
        }
        let block = layout.block_len() as u64;
        match layout.find(at / block) {
            Some((index, within)) if within * block + at % block < layout.contents()[index].size => {
                index as u8
            }
            _ => PAD,
        }
    }
}
