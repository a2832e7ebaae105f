//! What the numbers of one source's datagrams show: what was lost, what came late, what came twice.

/// The numbers that arrived from one source since it was first heard.
///
/// What came before the first one heard is not known to be lost: the listener may have begun later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrivals {
    /// The first number heard.
    pub first: u64,
    /// Datagrams that arrived, without duplicates.
    pub received: u64,
    /// Numbers that were skipped and have not arrived since.
    pub lost: u64,
    /// Datagrams that arrived after one with a greater number.
    pub late: u64,
    /// Datagrams that arrived again.
    pub duplicates: u64,
    /// The greatest number heard.
    last: u64,
    /// A bit for each of the 64 numbers up to `last` that has arrived; the lowest is `last` itself.
    recent: u64,
}

/// What a datagram's number shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one, or a later one.
    Next {
        /// How many numbers before it were skipped.
        missing: u64,
    },
    /// It had been missing.
    Late,
    /// It had arrived before, or is too old to know.
    Duplicate,
}

impl Arrivals {
    /// A source whose first number was heard.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self { first, received: 1, lost: 0, late: 0, duplicates: 0, last: first, recent: 1 }
    }

    /// Takes the number of the next datagram that arrived.
    pub fn take(&mut self, number: u64) -> Arrival {
        if let Some(ahead) = number.checked_sub(self.last).filter(|&ahead| ahead > 0) {
            self.recent = if ahead < 64 { self.recent << ahead | 1 } else { 1 };
            self.last = number;
            self.received += 1;
            let missing = ahead - 1;
            self.lost = self.lost.saturating_add(missing);
            return Arrival::Next { missing };
        }
        let behind = self.last - number;
        if behind >= 64 || number < self.first || self.recent & 1 << behind != 0 {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        self.recent |= 1 << behind;
        self.received += 1;
        self.late += 1;
        self.lost = self.lost.saturating_sub(1);
        Arrival::Late
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_is_loss_until_it_is_filled() {
        let mut arrivals = Arrivals::new(7);
        assert_eq!(arrivals.take(8), Arrival::Next { missing: 0 });
        assert_eq!(arrivals.take(11), Arrival::Next { missing: 2 });
        assert_eq!((arrivals.received, arrivals.lost), (3, 2));
        assert_eq!(arrivals.take(10), Arrival::Late);
        assert_eq!(arrivals.take(10), Arrival::Duplicate);
        assert_eq!(arrivals.take(6), Arrival::Duplicate);
        assert_eq!((arrivals.received, arrivals.lost, arrivals.late, arrivals.duplicates), (4, 1, 1, 2));
    }

    #[test]
    fn a_jump_to_the_last_number_counts_as_loss_only() {
        let mut arrivals = Arrivals::new(0);
        assert_eq!(arrivals.take(u64::MAX), Arrival::Next { missing: u64::MAX - 1 });
        assert_eq!(arrivals.take(0), Arrival::Duplicate);
        assert_eq!(arrivals.take(u64::MAX - 1), Arrival::Late);
    }

    proptest! {
        /// Within 64 numbers of the greatest, the counts agree with those of a set.
        #[test]
        fn counts_are_those_of_a_set(numbers in prop::collection::vec(100..150_u64, 1..200)) {
            let mut arrivals = Arrivals::new(100);
            let mut set = BTreeSet::from([100]);
            for number in numbers {
                let is_new = set.insert(number);
                prop_assert_eq!(arrivals.take(number) != Arrival::Duplicate, is_new);
                let span = set.last().map_or(0, |last| last - 99);
                prop_assert_eq!(arrivals.received, set.len() as u64);
                prop_assert_eq!(arrivals.lost, span - set.len() as u64);
            }
        }
    }
}
