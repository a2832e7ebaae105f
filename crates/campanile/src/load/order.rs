//! In what order replies arrive.

use serde::Serialize;

/// Replies that came after one to a later packet of the same socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reordered {
    /// How many.
    pub replies: u64,
    /// The largest distance: by how much the highest packet number answered before such a reply exceeds the reply's own.
    pub distance_max: u64,
    /// How many with a distance of 1, 2 to 3, 4 to 7, and so on by powers of two; the last has all from 128 on.
    pub by_distance: [u64; Self::CLASSES],
}

impl Reordered {
    /// Classes of distances.
    pub const CLASSES: usize = 8;

    pub(crate) fn add(&mut self, distance: u64) {
        self.replies += 1;
        self.distance_max = self.distance_max.max(distance);
        let class = distance.max(1).ilog2() as usize;
        self.by_distance[class.min(Self::CLASSES - 1)] += 1;
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.replies += other.replies;
        self.distance_max = self.distance_max.max(other.distance_max);
        self.by_distance.iter_mut().zip(other.by_distance).for_each(|(sum, count)| *sum += count);
        self
    }
}

/// The latest packet of one socket that was answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latest(Option<u64>);

impl Latest {
    /// Records an answer; returns its distance if it came out of order.
    pub(crate) fn note(&mut self, seq: u64) -> Option<u64> {
        match self.0 {
            Some(latest) if seq < latest => Some(latest - seq),
            _ => {
                self.0 = Some(seq);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_after_a_later_one_has_a_distance() {
        let mut latest = Latest::default();
        let distances: Vec<_> = [0, 3, 1, 2, 4, 4].into_iter().filter_map(|seq| latest.note(seq)).collect();
        assert_eq!(distances, [2, 1]);
    }

    #[test]
    fn distances_are_classed_by_powers_of_two() {
        let mut reordered = Reordered::default();
        [1, 2, 3, 4, 127, 128, u64::MAX].into_iter().for_each(|distance| reordered.add(distance));
        assert_eq!(reordered.by_distance, [1, 2, 1, 0, 0, 0, 1, 2]);
        assert_eq!((reordered.replies, reordered.distance_max), (7, u64::MAX));
        assert_eq!(reordered.merge(Reordered::default()), reordered);
    }
}
