//! What happens to packets between a party and the shared medium.

use std::time::Duration;

use crate::rng::{Chance, Rng};
use crate::time::Time;

/// How one direction of a party's connection behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// Which packets are lost.
    pub loss: Loss,
    /// The time that every packet takes at least.
    pub delay: Duration,
    /// The most that is added to the delay, evenly distributed. Packets still stay in order.
    pub jitter: Duration,
    /// How often a packet is duplicated.
    pub duplicate: Chance,
    /// How often a packet, or the second copy of one, is held back and overtaken by later ones.
    pub reorder: Chance,
    /// The longest time for which it is then held back, evenly distributed.
    pub held_back: Duration,
}

impl Link {
    /// A link that only delays.
    pub fn delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }
}

/// Which packets a link loses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each packet with the same probability, independently of the others.
    Independent(Chance),
    /// The Gilbert-Elliott model: all packets pass in the good state and none in the bad one. A link that was idle for a while is in
    /// the good state: the length of a burst is counted in packets, and with little traffic it would last for seconds, as a partition.
    Bursts {
        /// The chance before each packet of a change from good to bad.
        begin: Chance,
        /// The chance before each packet of a change from bad to good.
        end: Chance,
    },
}

impl Loss {
    /// Independent loss of this probability.
    pub fn independent(probability: f64) -> Self {
        Self::Independent(Chance::new(probability))
    }

    /// Bursts of `length` packets on average, so frequent that a share of `probability` of all packets is lost.
    ///
    /// # Panics
    ///
    /// When `probability` is not below 1 or `length` is below 1.
    pub fn bursts(probability: f64, length: f64) -> Self {
        assert!((0.0..1.0).contains(&probability) && length >= 1.0);
        let end = 1.0 / length;
        Self::Bursts { begin: Chance::new(end * probability / (1.0 - probability)), end: Chance::new(end) }
    }

    /// The share of all packets that is lost.
    pub fn share(&self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Independent(chance) => chance.probability(),
            Self::Bursts { begin, end } => begin.probability() / (begin.probability() + end.probability()),
        }
    }
}

/// A link and its state.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkState {
    pub(crate) link: Link,
    bad: bool,
    /// When the latest packet entered.
    last_in: Time,
    /// When the latest packet that was not held back comes out.
    last_out: Time,
}

impl LinkState {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, ..Self::default() }
    }

    /// Whether a packet that enters at `at` is lost.
    pub(crate) fn loses(&mut self, at: Time, rng: &mut Rng) -> bool {
        self.bad &= at - self.last_in < IDLE;
        self.last_in = at;
        match self.link.loss {
            Loss::None => false,
            Loss::Independent(chance) => rng.chance(chance),
            Loss::Bursts { begin, end } => {
                self.bad ^= rng.chance(if self.bad { end } else { begin });
                self.bad
            }
        }
    }

    /// When a packet that enters at `at` comes out, and whether it stays in order.
    pub(crate) fn passes(&mut self, at: Time, rng: &mut Rng) -> (Time, bool) {
        let link = &self.link;
        let out = (at + link.delay + up_to(link.jitter, rng)).max(self.last_out);
        if link.reorder != Chance::NEVER && rng.chance(link.reorder) {
            return (out + up_to(link.held_back, rng), false);
        }
        self.last_out = out;
        (out, true)
    }

    pub(crate) fn duplicates(&self, rng: &mut Rng) -> bool {
        self.link.duplicate != Chance::NEVER && rng.chance(self.link.duplicate)
    }
}

/// A burst of loss ends when the link was idle for this long.
const IDLE: Duration = Duration::from_millis(100);

fn up_to(most: Duration, rng: &mut Rng) -> Duration {
    if most.is_zero() { most } else { Duration::from_nanos(rng.between(0, most.as_nanos() as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(loss: Loss, packets: usize) -> Vec<bool> {
        let mut link = LinkState::new(Link { loss, ..Link::default() });
        let mut rng = Rng::new(9);
        (0..packets).map(|_| link.loses(Time::START, &mut rng)).collect()
    }

    #[test]
    fn independent_loss_has_its_mean_and_no_memory() {
        let lost = losses(Loss::independent(0.2), 200_000);
        let share = |of: &[bool]| of.iter().filter(|&&lost| lost).count() as f64 / of.len() as f64;
        assert!((share(&lost) - 0.2).abs() < 0.005);
        let after_loss: Vec<bool> = lost.windows(2).filter(|pair| pair[0]).map(|pair| pair[1]).collect();
        assert!((share(&after_loss) - 0.2).abs() < 0.01);
    }

    #[test]
    fn bursts_have_their_mean_and_their_length() {
        let lost = losses(Loss::bursts(0.1, 8.0), 400_000);
        let count = lost.iter().filter(|&&lost| lost).count() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        assert!((count / 400_000.0 - 0.1).abs() < 0.005, "{count}");
        assert!((count / bursts - 8.0).abs() < 0.3, "{}", count / bursts);
    }

    #[test]
    fn a_burst_is_over_when_the_link_was_idle() {
        let mut link = LinkState::new(Link { loss: Loss::bursts(0.5, 1e9), ..Link::default() });
        let mut rng = Rng::new(9);
        link.bad = true;
        assert!((0..50).all(|i| link.loses(Time(i * 99_000_000), &mut rng)));
        assert!(!link.loses(Time(50 * 99_000_000 + 1_000_000), &mut rng));
    }

    #[test]
    fn jitter_spreads_but_keeps_the_order() {
        let [delay, jitter] = [2, 3].map(Duration::from_millis);
        let mut link = LinkState::new(Link { delay, jitter, ..Link::default() });
        let mut rng = Rng::new(3);
        let mut last = Time::START;
        let mut straight = 0;
        for i in 0..1000 {
            let sent = Time(i * 500_000);
            let (out, in_order) = link.passes(sent, &mut rng);
            assert!(in_order && out >= last && out - sent >= delay && out - sent <= delay + jitter);
            straight += usize::from(out - sent < delay + jitter / 2);
            last = out;
        }
        assert!((100..900).contains(&straight), "{straight}");
    }

    #[test]
    fn reordering_lets_later_packets_overtake() {
        let held_back = Duration::from_millis(5);
        let mut link = LinkState::new(Link { reorder: Chance::new(0.1), held_back, ..Link::default() });
        let mut rng = Rng::new(4);
        let outs: Vec<(Time, bool)> = (0..1000).map(|i| link.passes(Time(i * 1_000_000), &mut rng)).collect();
        let overtaken = outs.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
        let said = outs.iter().filter(|(_, in_order)| !in_order).count();
        assert!((30..=said).contains(&overtaken), "{overtaken} of {said}");
    }
}
