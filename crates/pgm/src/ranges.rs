use std::ops::Range;

/// A set of numbers, kept as sorted, non-empty ranges that neither overlap nor touch.
///
/// A membership test is a binary search; an insertion may move all ranges after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    ranges: Vec<Range<u64>>,
}

impl Ranges {
    pub(crate) fn insert(&mut self, new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        // All ranges that touch the new one are merged into it.
        let from = self.ranges.partition_point(|range| range.end < new.start);
        let to = self.ranges.partition_point(|range| range.start <= new.end);
        if from == to {
            self.ranges.insert(from, new);
            return;
        }
        let joined = new.start.min(self.ranges[from].start)..new.end.max(self.ranges[to - 1].end);
        self.ranges[from] = joined;
        self.ranges.drain(from + 1..to);
    }

    /// Removes the ranges that lie entirely below `number`.
    pub(crate) fn forget_below(&mut self, number: u64) {
        let gone = self.ranges.partition_point(|range| range.end <= number);
        self.ranges.drain(..gone);
    }

    /// The number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.end_of(number).is_some()
    }

    /// The end of the range that holds `number`.
    pub(crate) fn end_of(&self, number: u64) -> Option<u64> {
        let at = self.ranges.partition_point(|range| range.end <= number);
        self.ranges.get(at).filter(|range| range.start <= number).map(|range| range.end)
    }

    /// The start of the first range that begins above `number`.
    pub(crate) fn next_after(&self, number: u64) -> Option<u64> {
        let at = self.ranges.partition_point(|range| range.start <= number);
        self.ranges.get(at).map(|range| range.start)
    }

    /// The ranges, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_a_set(inserts in prop::collection::vec((0_u64..60, 0_u64..12), 0..40), below in 0_u64..80) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for (start, len) in inserts {
                ranges.insert(start..start + len);
                set.extend(start..start + len);
            }
            for number in 0..80 {
                prop_assert_eq!(ranges.contains(number), set.contains(&number));
                let next_start = (number + 1..80).find(|n| set.contains(n) && !set.contains(&(n - 1)));
                prop_assert_eq!(ranges.next_after(number), next_start);
            }
            let pieces = set.iter().filter(|&&n| n == 0 || !set.contains(&(n - 1))).count();
            prop_assert_eq!(ranges.len(), pieces);
            ranges.forget_below(below);
            for number in 0..80 {
                let is_kept = (number..=number.max(below)).all(|n| set.contains(&n));
                prop_assert_eq!(ranges.contains(number), is_kept);
            }
        }
    }
}
