//! The blocks of a receive window that have state, by their keys.

use super::block::Block;

/// An ordered map from keys to blocks.
///
/// Blocks are nearly always added at the end and removed at the beginning, and their keys are close to each other: then each operation
/// takes constant time. Otherwise a look-up is a binary search, and adding or removing a block moves the entries after it, 16 bytes
/// each. Allocated blocks are reused, so that a window that moves on allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Ascending by key; the entries before `start` were removed, and their memory is reused.
    order: Vec<(u64, Box<Block>)>,
    start: usize,
    #[expect(clippy::vec_box, reason = "an entry takes the box as it is, without an allocation")]
    free: Vec<Box<Block>>,
}

impl Blocks {
    pub(super) fn len(&self) -> usize {
        self.order.len() - self.start
    }

    #[inline]
    pub(super) fn get(&self, key: u64) -> Option<&Block> {
        let at = self.find(key).ok()?;
        Some(&self.order[at].1)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut Block> {
        let at = self.find(key).ok()?;
        Some(&mut self.order[at].1)
    }

    /// The block of a key; made with this length if there is none.
    #[inline]
    pub(super) fn ensure(&mut self, key: u64, block_len: u8) -> &mut Block {
        let at = self.find(key).unwrap_or_else(|at| {
            self.insert(at, key, Block::new(block_len));
            at
        });
        &mut self.order[at].1
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.find(key).is_ok()
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.order.get(self.start).map(|(key, _)| *key)
    }

    /// The first key at or above this one.
    pub(super) fn next_from(&self, key: u64) -> Option<u64> {
        let at = self.find(key).unwrap_or_else(|at| at);
        self.order.get(at).map(|(key, _)| *key)
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Block> {
        let at = self.find(key).ok()?;
        let block = std::mem::replace(&mut *self.order[at].1, Block::new(1));
        if at > self.start {
            let (_, place) = self.order.remove(at);
            self.free.push(place);
            return Some(block);
        }
        self.start += 1;
        // Once half of the entries are removed ones, the others move to the front: at most one move for each removed entry.
        if 2 * self.start >= self.order.len() {
            self.free.extend(self.order.drain(..self.start).map(|(_, place)| place));
            self.start = 0;
        }
        Some(block)
    }

    /// The keys, newest first, with their blocks.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (u64, &Block)> {
        self.order[self.start..].iter().rev().map(|(key, block)| (*key, &**block))
    }

    /// Takes all blocks out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, Block)> {
        let Blocks { order, start, .. } = std::mem::take(self);
        order.into_iter().skip(start).map(|(key, block)| (key, *block))
    }

    #[cold]
    fn insert(&mut self, at: usize, key: u64, block: Block) {
        let place = match self.free.pop() {
            Some(mut place) => {
                *place = block;
                place
            }
            None => {
                // Room for every block to be freed, so that `remove` never allocates.
                self.free.reserve(self.order.len() + 1);
                Box::new(block)
            }
        };
        self.order.insert(at, (key, place));
    }

    /// Where the entry of a key is, or would be.
    #[inline]
    fn find(&self, key: u64) -> Result<usize, usize> {
        let order = &self.order[self.start..];
        let Some((first, _)) = order.first() else { return Err(self.start) };
        let guess = key.wrapping_sub(*first) as usize;
        if order.get(guess).is_some_and(|(there, _)| *there == key) {
            return Ok(self.start + guess);
        }
        self.search(key)
    }

    #[cold]
    fn search(&self, key: u64) -> Result<usize, usize> {
        let found = self.order[self.start..].binary_search_by_key(&key, |(key, _)| *key);
        found.map(|at| self.start + at).map_err(|at| self.start + at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Compared with the standard library's map; the lost bits of a block serve as its value.
        #[test]
        fn is_an_ordered_map(calls in prop::collection::vec((0_u64..40, 0_u8..3), 0..200)) {
            let mut blocks = Blocks::default();
            let mut map = BTreeMap::new();
            for (key, call) in calls {
                if call == 0 {
                    prop_assert_eq!(blocks.remove(key).map(|block| block.lost), map.remove(&key));
                } else {
                    blocks.ensure(key, 8).lost = u128::from(key) << call;
                    map.insert(key, u128::from(key) << call);
                }
                prop_assert_eq!(blocks.len(), map.len());
                prop_assert_eq!(blocks.first(), map.keys().next().copied());
                for key in 0..41 {
                    prop_assert_eq!(blocks.get(key).map(|block| block.lost), map.get(&key).copied());
                    prop_assert_eq!(blocks.contains(key), map.contains_key(&key));
                    prop_assert_eq!(blocks.next_from(key), map.range(key..).next().map(|(&next, _)| next));
                }
                let newest: Vec<u64> = blocks.newest_first().map(|(key, _)| key).collect();
                prop_assert!(newest.iter().eq(map.keys().rev()));
            }
            let drained: Vec<(u64, u128)> = blocks.drain().map(|(key, block)| (key, block.lost)).collect();
            prop_assert!(drained.into_iter().eq(map));
            prop_assert_eq!(blocks.len(), 0);
        }
    }
}
