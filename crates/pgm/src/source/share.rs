/// Decides whose turn it is while both repairs and new data wait: repairs get their share of what is sent then, in bytes.
///
/// What one of them sends while the other has nothing to send does not count.
#[derive(Debug)]
pub(super) struct Share {
    percent: i64,
    /// How far repairs are ahead of their share, in hundredths of bytes.
    ahead: i64,
    both_wait: bool,
}

impl Share {
    /// A share of `percent` for repairs.
    pub(super) fn new(percent: u8) -> Self {
        Share { percent: percent.into(), ahead: 0, both_wait: false }
    }

    /// Whether repairs come before new data. What is sent next counts only if both wait.
    pub(super) fn is_repairs_turn(&mut self, has_repairs: bool, has_data: bool) -> bool {
        self.both_wait = has_repairs && has_data;
        has_repairs && (!has_data || self.ahead <= 0)
    }

    /// A repair of `len` bytes was sent.
    pub(super) fn repair_sent(&mut self, len: usize) {
        if self.both_wait {
            self.ahead = self.ahead.saturating_add(len as i64 * (100 - self.percent));
        }
    }

    /// New data of `len` bytes were sent.
    pub(super) fn data_sent(&mut self, len: usize) {
        if self.both_wait {
            self.ahead = self.ahead.saturating_sub(len as i64 * self.percent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of repairs and of data after so many packets, when both always wait.
    fn send(share: &mut Share, packets: usize) -> (usize, usize) {
        let (mut repairs, mut data) = (0, 0);
        for _ in 0..packets {
            if share.is_repairs_turn(true, true) {
                share.repair_sent(100);
                repairs += 100;
            } else {
                share.data_sent(1000);
                data += 1000;
            }
        }
        (repairs, data)
    }

    #[test]
    fn both_get_their_share() {
        for percent in [1, 20, 80, 99] {
            let (repairs, data) = send(&mut Share::new(percent), 100_000);
            let got = 100.0 * repairs as f64 / (repairs + data) as f64;
            assert!((got - f64::from(percent)).abs() < 0.1, "{got} of {percent} %");
        }
        assert_eq!(send(&mut Share::new(100), 10).1, 0);
    }

    #[test]
    fn what_is_sent_alone_does_not_count() {
        let mut share = Share::new(50);
        for _ in 0..1000 {
            assert!(share.is_repairs_turn(true, false));
            share.repair_sent(1000);
        }
        assert!(share.is_repairs_turn(true, true));
        for _ in 0..1000 {
            assert!(!share.is_repairs_turn(false, true));
            share.data_sent(1000);
        }
        assert!(share.is_repairs_turn(true, true));
        share.repair_sent(1);
        assert!(!share.is_repairs_turn(true, true));
    }
}
