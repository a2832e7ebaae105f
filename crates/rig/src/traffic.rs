//! Messages that two programs agree on without communicating: the contents of the n-th one follow from n.

/// A plan of messages: their sizes in turn, and every third message in several parts.
#[derive(Clone, Debug)]
pub struct Traffic {
    sizes: Vec<usize>,
    parts: bool,
}

impl Traffic {
    /// Messages whose parts have these sizes in turn; all of one part unless `parts` is set.
    ///
    /// # Panics
    /// When there are no sizes.
    #[must_use]
    pub fn new(sizes: &[usize], parts: bool) -> Self {
        assert!(!sizes.is_empty(), "a plan has sizes");
        Self { sizes: sizes.to_vec(), parts }
    }

    /// The parts of a message.
    #[must_use]
    pub fn message(&self, number: usize) -> Vec<Vec<u8>> {
        let parts = if self.parts && number % 3 == 2 { 1 + number % 4 } else { 1 };
        let len = |part: usize| self.sizes[(number + part) % self.sizes.len()];
        (0..parts).map(|part| Self::bytes(number * 7 + part * 13, len(part))).collect()
    }

    /// Ascending bytes from a first one, so that any shift, repetition or omission is noticed.
    #[must_use]
    pub fn bytes(first: usize, len: usize) -> Vec<u8> {
        (0..len).map(|index| ((first + index) % 251) as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_gives_each_message_its_parts() {
        let plan = Traffic::new(&[1, 4], true);
        assert_eq!(plan.message(0), [[0]]);
        assert_eq!(plan.message(1), [[7, 8, 9, 10]]);
        assert_eq!(plan.message(2), [vec![14], vec![27, 28, 29, 30], vec![40]]);
        assert_eq!(Traffic::new(&[1, 4], false).message(2), [[14]]);
        assert_eq!(Traffic::bytes(250, 3), [250, 0, 1]);
    }
}
