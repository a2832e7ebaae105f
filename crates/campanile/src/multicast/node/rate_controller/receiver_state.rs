//! A receiver as its reports show it, and what its link loses at any rate.

use std::time::Duration;

use campanile_pgm::Instant;

/// A receiver that reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiverState {
    /// Its latest report.
    latest: Progress,
    /// When its sample began, and its report then: the first one of this round.
    round_start: Option<(Instant, Progress)>,
    /// When it last reported something new.
    progress_at: Instant,
    /// The shortest time from sending a packet to the report that covers it.
    pub(super) min_rtt: Duration,
    /// Bytes that its socket's receive buffer holds.
    pub(super) socket_buffer: f64,
    /// The first packet that its buffers have no room for, or that would push a packet that it needs out of the window.
    pub(super) headroom_end: u64,
    /// The share that its link loses at any rate.
    link_loss: f64,
    /// Where the last sample of its loss ended, that sample, and how many packets are lost together.
    sampled_to: Progress,
    last_sample: LossSample,
    burst: f64,
    /// The smallest excess for which the rate backed off.
    suspected: Option<f64>,
}

/// How far a receiver had got when it reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// Packets that were sent up to the last one that it got.
    pub(super) highest: u64,
    /// How many of them it got, modulo 2^32.
    pub(super) received: u32,
}

impl Progress {
    /// Packets that were sent since an earlier report, and how many of them it got.
    fn since(self, earlier: Progress) -> (f64, f64) {
        let received = self.received.wrapping_sub(earlier.received);
        (self.highest.saturating_sub(earlier.highest) as f64, received.into())
    }
}

/// When a loss is more than chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Significance {
    /// A loss that is tolerated.
    pub(super) tolerance: f64,
    /// How many standard deviations chance may bring.
    pub(super) deviations: f64,
    /// How many packets show how much is lost.
    pub(super) packets: f64,
}

/// A loss that its link does not explain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ExcessLoss {
    /// As a share of what its link lets through.
    pub(super) share: f64,
    /// The rate backed off for it, but more is lost than before.
    pub(super) grows: bool,
}

/// Consecutive packets, and the share of them that was lost.
#[derive(Debug, Clone, Copy)]
struct LossSample {
    packets: f64,
    loss: f64,
}

/// What a receiver got in a round so far.
#[derive(Debug, Clone, Copy)]
struct RoundSample {
    /// Packets that were sent.
    packets: f64,
    /// The share of them that it did not get.
    loss: f64,
    /// In what time.
    seconds: f64,
}

impl ReceiverState {
    /// A receiver with its first report.
    pub(super) fn new(now: Instant, progress: Progress) -> Self {
        ReceiverState {
            latest: progress,
            round_start: None,
            progress_at: now,
            min_rtt: Duration::MAX,
            socket_buffer: 0.0,
            headroom_end: 0,
            link_loss: 0.0,
            sampled_to: progress,
            last_sample: LossSample { packets: 0.0, loss: 0.0 },
            burst: BURST_INITIAL,
            suspected: None,
        }
    }

    /// Takes a report, in a round that began when `began` packets had been sent; `false` if a later report overtook it.
    pub(super) fn take(&mut self, now: Instant, progress: Progress, began: u64) -> bool {
        if progress.highest < self.latest.highest {
            return false;
        }
        if progress.highest > self.latest.highest {
            self.progress_at = now;
            self.learn_burst(progress);
        }
        self.latest = progress;
        if progress.highest >= began {
            self.round_start.get_or_insert((now, progress));
        }
        true
    }

    /// Begins a round.
    pub(super) fn begin_round(&mut self) {
        self.round_start = None;
    }

    /// The share that its link loses at any rate.
    pub(super) fn link_loss(&self) -> f64 {
        self.link_loss
    }

    /// Packets that were sent up to the last one that it got.
    pub(super) fn highest(&self) -> u64 {
        self.latest.highest
    }

    pub(super) fn last_progress_at(&self) -> Instant {
        self.progress_at
    }

    /// Whether its reports say enough about this round to judge it.
    pub(super) fn is_sampled(&self, significance: Significance) -> bool {
        self.sample().is_some_and(|sample| {
            let is_long = sample.seconds > ROUND_MAX;
            if sample.loss == 0.0 {
                return sample.packets >= self.lossless() || is_long && sample.packets >= SAMPLE;
            }
            // With this many packets, chance loses no more than is tolerated.
            let enough =
                self.variance(sample.loss) * (significance.deviations / significance.tolerance).powi(2);
            let is_over = sample.loss - self.link_loss > self.chance(&sample, significance);
            sample.packets >= significance.packets && (is_over || is_long || sample.packets >= enough)
        })
    }

    /// How many packets without loss are too many for good luck, if the suspected loss were its link's.
    fn lossless(&self) -> f64 {
        self.suspected.map_or(0.0, |suspected| LUCK * self.burst / suspected).max(SAMPLE)
    }

    /// Whether so much more is lost in this round than is known or suspected that the other receivers need not be waited for.
    pub(super) fn loses_heavily(&self, significance: Significance) -> bool {
        let known = self.link_loss + self.suspected.unwrap_or(0.0);
        self.sample().is_some_and(|sample| {
            sample.packets >= significance.packets
                && sample.loss - known > HEAVY_LOSS + self.chance(&sample, significance)
        })
    }

    /// Judges the round: returns the loss beyond its link's, if that is more than chance, or most of the loss that the rate
    /// backed off for.
    pub(super) fn judge(&mut self, significance: Significance) -> Option<ExcessLoss> {
        let sample = self.sample().filter(|sample| sample.is_telling(significance))?;
        let (excess, chance) = (sample.loss - self.link_loss, self.chance(&sample, significance));
        // It is raised only by a probe.
        self.link_loss = self.link_loss.min(sample.loss + chance);
        let suspected = self.suspected.take();
        if excess <= suspected.map_or(chance, |suspected| suspected * PERSISTS) {
            return None;
        }
        let grows = suspected.is_some_and(|suspected| excess > suspected * GROWS + chance);
        self.suspected = Some(suspected.filter(|_| !grows).map_or(excess, |suspected| suspected.min(excess)));
        Some(ExcessLoss { share: excess / (1.0 - self.link_loss), grows })
    }

    /// Takes its loss in this round for its link's.
    pub(super) fn adopt_link_loss(&mut self, significance: Significance) {
        self.suspected = None;
        if let Some(sample) = self.sample().filter(|sample| sample.is_telling(significance)) {
            self.link_loss = sample.loss.min(LINK_LOSS_MAX);
        }
    }

    /// Packets a second that its path took in this round, including those that its link lost.
    pub(super) fn delivery_rate(&self) -> Option<f64> {
        let RoundSample { packets, seconds, .. } = self.sample()?;
        Some(packets / seconds.max(1e-6))
    }

    /// The excess that is tolerated or may be chance.
    fn chance(&self, sample: &RoundSample, significance: Significance) -> f64 {
        significance.tolerance
            + significance.deviations * (self.variance(sample.loss) / sample.packets).sqrt()
    }

    /// The variance of one packet's loss. Losses come in bursts if a link drops whole trains.
    fn variance(&self, loss: f64) -> f64 {
        let share = (loss + 3.0 * self.link_loss) / 4.0;
        share * (1.0 - share) * self.burst
    }

    /// Learns from two consecutive samples how many packets are lost together: the factor by which the loss varies more than if each
    /// packet were lost independently, whatever the average loss. A sample is no shorter than such a burst, since frequent reports may
    /// cover fewer packets.
    fn learn_burst(&mut self, progress: Progress) {
        let (packets, received) = progress.since(self.sampled_to);
        if packets < self.burst {
            return;
        }
        self.sampled_to = progress;
        let sample = LossSample { packets, loss: 1.0 - (received / packets).min(1.0) };
        let before = std::mem::replace(&mut self.last_sample, sample);
        let share = (before.loss + sample.loss) / 2.0;
        let independent = share * (1.0 - share) * (1.0 / before.packets + 1.0 / sample.packets);
        if before.packets > 0.0 && independent > 0.0 {
            let ratio = (sample.loss - before.loss).powi(2) / independent;
            self.burst = (self.burst + (ratio.min(BURST_MAX) - self.burst) / 32.0).max(1.0);
        }
    }

    fn sample(&self) -> Option<RoundSample> {
        let (since, first) = self.round_start?;
        let (packets, received) = self.latest.since(first);
        let loss = 1.0 - (received / packets).min(1.0);
        (packets > 0.0).then_some(RoundSample {
            packets,
            loss,
            seconds: self.progress_at.since(since).as_secs_f64(),
        })
    }
}

impl RoundSample {
    /// Whether these are enough packets to judge by. Few are enough to show that nothing is lost.
    fn is_telling(&self, significance: Significance) -> bool {
        self.packets >= if self.loss == 0.0 { SAMPLE } else { significance.packets }
    }
}

/// The longest burst of losses that is assumed: a train.
const BURST_MAX: f64 = 64.0;
/// The burst that is assumed of a new receiver.
const BURST_INITIAL: f64 = 8.0;
/// How many packets show that nothing is lost.
const SAMPLE: f64 = 32.0;
/// Seconds after which a round is judged by what has been reported.
const ROUND_MAX: f64 = 0.2;
/// A loss beyond the link's at which the other receivers are not waited for.
const HEAVY_LOSS: f64 = 0.1;
/// How many losses must have been expected among packets without loss, for that not to be luck.
const LUCK: f64 = 4.0;
/// The part of a loss that must remain if a lower rate does not help, and the factor from which a loss counts as another one.
pub(super) const PERSISTS: f64 = 0.5;
const GROWS: f64 = 1.25;
/// The most loss that is assumed to be a link's: a link that loses more is full.
const LINK_LOSS_MAX: f64 = 0.5;
