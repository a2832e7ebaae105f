//! What happens to packets between a party and the shared medium.

use std::time::Duration;

use crate::rng::{Chance, Rng};
use crate::time::Time;

/// How one direction of a party's connection behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    /// Which packets are lost.
    pub loss: Loss,
    /// Time that every packet takes.
    pub delay: Duration,
    /// Up to how much more it takes, evenly distributed. Packets stay in order all the same.
    pub jitter: Duration,
    /// How often a packet comes twice.
    pub duplicate: Chance,
    /// How often a packet, or the second copy of one, is held back and overtaken by later ones.
    pub reorder: Chance,
    /// Up to how long it is held back then, evenly distributed.
    pub held_back: Duration,
}

impl Link {
    /// A link that delays and does nothing else.
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
    /// Each one with the same probability, whatever happened to others.
    Independent(Chance),
    /// Gilbert and Elliott's two states: all packets pass in the good one and none in the bad one. A link that was idle for a while
    /// is in the good one: bursts are counted in packets, and where few pass they would last for seconds, as a partition does.
    Bursts {
        /// Chance before each packet to turn from good to bad.
        begin: Chance,
        /// Chance before each packet to turn from bad to good.
        end: Chance,
    },
}

impl Loss {
    /// Independent loss of this probability.
    pub fn independent(probability: f64) -> Self {
        Self::Independent(Chance::new(probability))
    }

    /// Bursts of `length` packets on average, so frequent that the share `probability` of all packets is lost.
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

/// A link in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkState {
    pub(crate) link: Link,
    bad: bool,
    /// When the latest packet went in.
    last_in: Time,
    /// When the latest packet that keeps to the order comes out.
    last_out: Time,
}

impl LinkState {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, ..Self::default() }
    }

    /// Whether a packet that goes in at `at` is lost.
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

    /// When a packet that goes in at `at` comes out, and whether it keeps to the order.
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

/// How long a link is idle before a burst of loss is over.
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
