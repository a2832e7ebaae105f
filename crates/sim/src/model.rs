//! What an ideal protocol would send, to compare the machines with: in closed form where there is one.

use crate::link::LinkState;
use crate::{Link, Loss, Rng, Time};

/// Expected transmissions per data packet until each of `receivers` has any `k` of the packets of a group, when each loses
/// each packet independently with probability `loss`.
///
/// The number of packets sent is the maximum over the receivers of the number until k have arrived; its mean is the sum over m
/// of the probability that m packets are not enough for all. k = 1 gives the cost of repetition without a code.
///
/// # Panics
///
/// When `loss` is not from 0 to below 1, or when `k` or `receivers` is 0.
pub fn transmissions(k: u32, receivers: u32, loss: f64) -> f64 {
    assert!((0.0..1.0).contains(&loss) && k > 0 && receivers > 0);
    if loss == 0.0 {
        return 1.0;
    }
    // The probability that one receiver needs exactly m packets: C(m-1, k-1) p^(m-k) (1-p)^k, from m = k up.
    let mut exactly = (f64::from(k) * (-loss).ln_1p()).exp();
    let mut enough = 0.0;
    let mut expected = f64::from(k);
    for m in k.. {
        enough += exactly;
        let not_all = -(f64::from(receivers) * enough.min(1.0).ln()).exp_m1();
        expected += not_all;
        if not_all < 1e-12 {
            break;
        }
        exactly *= loss * f64::from(m) / f64::from(m + 1 - k);
    }
    expected / f64::from(k)
}

/// The same, simulated for `groups` groups and receivers with these losses: all groups are sent once; then, as long as any receiver
/// lacks anything, of each group as much as the receiver that lacks most. In bursts of loss, some receivers lose most of a group.
pub(crate) fn transmissions_drawn(groups: usize, k: u32, losses: &[Loss], rng: &mut Rng) -> f64 {
    let link = |&loss: &Loss| LinkState::new(Link { loss, ..Link::default() });
    let mut receivers: Vec<_> = losses.iter().map(|loss| (link(loss), vec![k; groups])).collect();
    let mut sent = 0;
    loop {
        let sent_before = sent;
        for group in 0..groups {
            let most = receivers.iter().map(|(_, lacking)| lacking[group]).max().unwrap_or(0);
            for (link, lacking) in &mut receivers {
                let arrived = (0..most).filter(|_| !link.loses(Time::START, rng)).count() as u32;
                lacking[group] = lacking[group].saturating_sub(arrived);
            }
            sent += most;
        }
        if sent == sent_before {
            return f64::from(sent) / (f64::from(k) * groups as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_agree_with_the_closed_form() {
        for (k, loss, tolerance) in [(1, 0.05, 0.1), (32, 0.2, 0.03)] {
            let drawn = transmissions_drawn(1000, k, &[Loss::independent(loss); 40], &mut Rng::new(1));
            assert!((drawn - transmissions(k, 40, loss)).abs() < tolerance, "k {k}, loss {loss}: {drawn}");
        }
    }

    #[test]
    fn bursts_as_long_as_groups_take_more() {
        let drawn =
            |length| transmissions_drawn(1000, 32, &[Loss::bursts(0.2, length); 11], &mut Rng::new(1));
        assert!((drawn(1.25) - transmissions(32, 11, 0.2)).abs() < 0.05, "{}", drawn(1.25));
        assert!((2.0..3.0).contains(&drawn(20.0)), "{}", drawn(20.0));
    }

    #[test]
    fn the_published_table() {
        let rows = [
            (0.05, [1.97, 1.30, 1.22, 1.16, 1.126, 1.103, 1.087]),
            (0.10, [2.36, 1.46, 1.34, 1.27, 1.217, 1.184, 1.162]),
            (0.20, [3.16, 1.78, 1.61, 1.49, 1.415, 1.364, 1.329]),
            (0.30, [4.05, 2.16, 1.92, 1.76, 1.658, 1.587, 1.539]),
        ];
        for (loss, row) in rows {
            for (k, expected) in [1, 8, 16, 32, 64, 128, 256].into_iter().zip(row) {
                let tolerance = if k < 64 { 0.0051 } else { 0.00051 };
                let own = transmissions(k, 40, loss);
                assert!((own - expected).abs() <= tolerance, "k {k}, loss {loss}: {own}, not {expected}");
            }
        }
        assert!((transmissions(1, 10_000, 0.2) - 6.58).abs() < 0.01);
        assert!((transmissions(64, 10_000, 0.2) - 1.572).abs() < 0.001);
    }

    #[test]
    fn one_receiver_needs_the_inverse_of_what_arrives() {
        for k in [1, 7, 128] {
            assert!((transmissions(k, 1, 0.25) - 1.0 / 0.75).abs() < 1e-9);
        }
        assert_eq!(transmissions(8, 40, 0.0), 1.0);
    }
}
