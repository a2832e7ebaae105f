//! Which blocks of a content are there.

use std::ops::Range;

/// A bit for each block of a content, and which bytes of this map are not on the disk yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockMap {
    bits: Vec<u8>,
    blocks: u64,
    had: u64,
    /// The first block that is not there.
    front: u64,
    /// Bytes that changed since they were saved.
    dirty: Range<usize>,
}

impl BlockMap {
    /// A map in which no block is there.
    pub(crate) fn new(blocks: u64) -> Self {
        let len = usize::try_from(blocks.div_ceil(8)).expect("a session has less than 2^30 blocks");
        Self { bits: vec![0; len], blocks, had: 0, front: 0, dirty: 0..0 }
    }

    /// A map from its bytes. `None` if they do not fit this number of blocks.
    pub(crate) fn from_bytes(bits: Vec<u8>, blocks: u64) -> Option<Self> {
        let spare = bits.len() as u64 * 8;
        let beyond = bits.last().is_some_and(|&last| {
            let used = blocks % 8;
            used > 0 && last >> used != 0
        });
        if spare < blocks || spare - blocks >= 8 || beyond {
            return None;
        }
        let had = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
        let mut map = Self { bits, blocks, had, front: 0, dirty: 0..0 };
        map.front = map.next(0, false).unwrap_or(blocks);
        Some(map)
    }

    /// Marks blocks as there, and returns how many of them were not.
    pub(crate) fn set(&mut self, range: Range<u64>) -> u64 {
        assert!(range.end <= self.blocks, "a block of this content");
        let before = self.had;
        for block in range.clone() {
            let (byte, bit) = (place(block), 1 << (block % 8));
            if self.bits[byte] & bit == 0 {
                self.bits[byte] |= bit;
                self.had += 1;
                self.touch(byte);
            }
        }
        if range.contains(&self.front) {
            self.front = self.next(self.front, false).unwrap_or(self.blocks);
        }
        self.had - before
    }

    /// The first run of blocks in a range that are not there.
    pub(crate) fn gap(&self, mut range: Range<u64>) -> Option<Range<u64>> {
        let start = range.find(|&block| !self.has(block))?;
        let end = range.find(|&block| self.has(block)).unwrap_or(range.end);
        Some(start..end)
    }

    /// How many blocks from the first one on are there without a gap.
    pub(crate) fn front(&self) -> u64 {
        self.front
    }

    pub(crate) fn has(&self, block: u64) -> bool {
        block < self.blocks && self.bits[place(block)] & 1 << (block % 8) != 0
    }

    /// How many blocks are there.
    pub(crate) fn had(&self) -> u64 {
        self.had
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.had == self.blocks
    }

    /// The runs of blocks that are there, ascending.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = self.next(at, true)?;
            let end = self.next(start, false).unwrap_or(self.blocks);
            at = end;
            Some(start..end)
        })
    }

    /// The first block from `at` on that is there, or that is missing.
    fn next(&self, mut at: u64, is_there: bool) -> Option<u64> {
        let uniform = if is_there { 0 } else { 0xff };
        while at < self.blocks {
            if at.is_multiple_of(8) && self.bits[place(at)] == uniform {
                at += 8;
            } else if self.has(at) == is_there {
                return Some(at);
            } else {
                at += 1;
            }
        }
        None
    }

    /// What has to be saved: bytes of the map, and where they are in it.
    pub(crate) fn unsaved(&self) -> Option<(usize, &[u8])> {
        (!self.dirty.is_empty()).then(|| (self.dirty.start, &self.bits[self.dirty.clone()]))
    }

    /// Notes that all bytes are saved.
    pub(crate) fn saved(&mut self) {
        self.dirty = 0..0;
    }

    fn touch(&mut self, byte: usize) {
        self.dirty = if self.dirty.is_empty() {
            byte..byte + 1
        } else {
            self.dirty.start.min(byte)..self.dirty.end.max(byte + 1)
        };
    }
}

fn place(block: u64) -> usize {
    usize::try_from(block / 8).expect("a session has less than 2^30 blocks")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_map_is_empty_and_fills() {
        let mut map = BlockMap::new(10);
        assert_eq!((map.had(), map.is_whole(), map.unsaved()), (0, false, None));
        assert_eq!(map.set(3..5), 2);
        assert_eq!(map.set(4..6), 1);
        assert_eq!(map.unsaved(), Some((0, &[0b11_1000][..])));
        map.saved();
        assert_eq!(map.set(9..10), 1);
        assert_eq!(map.unsaved(), Some((1, &[0b10][..])));
        assert_eq!(map.runs().collect::<Vec<_>>(), [3..6, 9..10]);
        assert_eq!(
            (map.front(), map.gap(0..5), map.gap(4..10), map.gap(4..6)),
            (0, Some(0..3), Some(6..9), None)
        );
        map.set(0..3);
        assert_eq!((map.front(), map.gap(7..8)), (6, Some(7..8)));
        map.set(0..10);
        assert!(map.is_whole() && map.has(9) && !map.has(10));
        assert_eq!((map.front(), map.gap(0..10)), (10, None));
    }

    #[test]
    fn bytes_of_another_map_are_refused() {
        assert!(BlockMap::from_bytes(vec![0xff, 0x03], 10).is_some_and(|map| map.is_whole()));
        for (bytes, blocks) in [(vec![0xff, 0x04], 10), (vec![0], 10), (vec![0, 0, 0], 10), (vec![], 1)] {
            assert_eq!(BlockMap::from_bytes(bytes, blocks), None);
        }
        assert!(BlockMap::from_bytes(vec![0xff], 8).is_some_and(|map| map.is_whole()));
    }

    proptest! {
        #[test]
        fn runs_are_what_was_set(blocks in 1_u64..70, set in prop::collection::vec(0_u64..70, 0..40)) {
            let mut map = BlockMap::new(blocks);
            let mut expected = vec![false; blocks as usize];
            for block in set.into_iter().filter(|&block| block < blocks) {
                map.set(block..block + 1);
                expected[block as usize] = true;
            }
            let mut found = vec![false; blocks as usize];
            for run in map.runs() {
                prop_assert!(!run.is_empty());
                found[run.start as usize..run.end as usize].fill(true);
            }
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(map.had() as usize, expected.iter().filter(|&&had| had).count());
            let again = BlockMap::from_bytes(map.bits.clone(), blocks).expect("its own bytes");
            prop_assert_eq!(&again, &BlockMap { dirty: 0..0, ..map });
            prop_assert_eq!(again.front() as usize, expected.iter().position(|&had| !had).unwrap_or(expected.len()));
        }
    }
}
