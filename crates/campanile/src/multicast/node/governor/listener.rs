//! A receiver as its reports show it, and what its link loses at any rate.

use std::time::Duration;

use campanile_pgm::Instant;

/// A receiver that reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listener {
    /// Its latest report.
    told: Mark,
    /// When its sample began, and its report then: the first one of this round.
    since: Option<(Instant, Mark)>,
    /// When it last reported something new.
    at: Instant,
    /// The shortest time from sending a packet to the report that covers it.
    pub(super) lag: Duration,
    /// Bytes that its socket's receive buffer holds.
    pub(super) socket: f64,
    /// The first packet that its buffers have no room for, or that would push a packet that it needs out of the window.
    pub(super) room_end: u64,
    /// The share that its link loses at any rate.
    given: f64,
    /// Where the current stretch began, the stretch before it, and how many packets are lost together.
    stretch: Mark,
    before: Stretch,
    run: f64,
    /// The smallest excess for which the rate was lowered.
    suspected: Option<f64>,
}

/// How far a receiver had got when it reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// Packets that were sent up to the last one that it got.
    pub(super) said: u64,
    /// How many of them it got, modulo 2^32.
    pub(super) heard: u32,
}

impl Mark {
    /// Packets that were sent since an earlier mark, and how many of them it got.
    fn since(self, earlier: Mark) -> (f64, f64) {
        let heard = self.heard.wrapping_sub(earlier.heard);
        (self.said.saturating_sub(earlier.said) as f64, heard.into())
    }
}

/// When a loss is more than chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// A loss that is tolerated.
    pub(super) tolerance: f64,
    /// How many standard deviations chance may bring.
    pub(super) deviations: f64,
}

/// A loss that its link does not explain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Excess {
    /// As a share of what its link lets through.
    pub(super) share: f64,
    /// The rate was lowered for it, but more is lost than before.
    pub(super) grows: bool,
}

/// Consecutive packets, and the share of them that was lost.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    said: f64,
    loss: f64,
}

/// What a listener got in a round.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Packets that were sent.
    said: f64,
    /// The share of them that it did not get.
    loss: f64,
    /// In what time.
    seconds: f64,
}

impl Listener {
    /// A receiver with its first report.
    pub(super) fn new(now: Instant, told: Mark) -> Self {
        Listener {
            told,
            since: None,
            at: now,
            lag: Duration::MAX,
            socket: 0.0,
            room_end: 0,
            given: 0.0,
            stretch: told,
            before: Stretch { said: 0.0, loss: 0.0 },
            run: RUN_AT_FIRST,
            suspected: None,
        }
    }

    /// Takes a report, in a round that began when `began` packets had been sent; `false` if a later report overtook it.
    pub(super) fn hear(&mut self, now: Instant, told: Mark, began: u64) -> bool {
        if told.said < self.told.said {
            return false;
        }
        if told.said > self.told.said {
            self.at = now;
            self.learn(told);
        }
        self.told = told;
        if told.said >= began {
            self.since.get_or_insert((now, told));
        }
        true
    }

    /// Begins a round.
    pub(super) fn begin(&mut self) {
        self.since = None;
    }

    /// The share that its link loses at any rate.
    pub(super) fn given(&self) -> f64 {
        self.given
    }

    /// Packets that were sent up to the last one that it got.
    pub(super) fn said(&self) -> u64 {
        self.told.said
    }

    pub(super) fn last_heard_at(&self) -> Instant {
        self.at
    }

    /// Whether its reports say enough about this round to judge it.
    pub(super) fn has_told(&self, doubt: Doubt) -> bool {
        self.sample().is_some_and(|sample| {
            let is_long = sample.seconds > ROUND_MAX;
            if sample.loss == 0.0 {
                return sample.said >= self.lossless() || is_long && sample.said >= SAMPLE;
            }
            // With this many packets, chance loses no more than is tolerated.
            let enough = self.variance(sample.loss) * (doubt.deviations / doubt.tolerance).powi(2);
            let is_over = sample.loss - self.given > self.chance(&sample, doubt);
            sample.said >= SAMPLE_OF_LOSS && (is_over || is_long || sample.said >= enough)
        })
    }

    /// How many packets without loss are too many for good luck, if the suspected loss were its link's.
    fn lossless(&self) -> f64 {
        self.suspected.map_or(0.0, |suspected| LUCK * self.run / suspected).max(SAMPLE)
    }

    /// Whether so much more is lost in this round than is known or suspected that the other listeners need not be waited for.
    pub(super) fn cries(&self, doubt: Doubt) -> bool {
        let known = self.given + self.suspected.unwrap_or(0.0);
        self.sample().is_some_and(|sample| {
            sample.said >= SAMPLE_OF_LOSS && sample.loss - known > CRY + self.chance(&sample, doubt)
        })
    }

    /// Judges the round: returns the loss beyond its link's, if that is more than chance, or most of the loss that the rate was lowered
    /// for.
    pub(super) fn judge(&mut self, doubt: Doubt) -> Option<Excess> {
        let sample = self.sample().filter(Sample::is_telling)?;
        let (excess, chance) = (sample.loss - self.given, self.chance(&sample, doubt));
        // It is raised only by a trial.
        self.given = self.given.min(sample.loss + chance);
        let suspected = self.suspected.take();
        if excess <= suspected.map_or(chance, |suspected| suspected * PERSISTS) {
            return None;
        }
        let grows = suspected.is_some_and(|suspected| excess > suspected * ALIKE + chance);
        self.suspected = Some(suspected.filter(|_| !grows).map_or(excess, |suspected| suspected.min(excess)));
        Some(Excess { share: excess / (1.0 - self.given), grows })
    }

    /// Takes its loss in this round for its link's.
    pub(super) fn acquit(&mut self) {
        self.suspected = None;
        if let Some(sample) = self.sample().filter(Sample::is_telling) {
            self.given = sample.loss.min(GIVEN_MAX);
        }
    }

    /// Packets a second that its path took in this round, including those that its link lost.
    pub(super) fn through(&self) -> Option<f64> {
        let Sample { said, seconds, .. } = self.sample()?;
        Some(said / seconds.max(1e-6))
    }

    /// The excess that is tolerated or may be chance.
    fn chance(&self, sample: &Sample, doubt: Doubt) -> f64 {
        doubt.tolerance + doubt.deviations * (self.variance(sample.loss) / sample.said).sqrt()
    }

    /// The variance of one packet's loss. Losses come in runs if a link drops whole trains.
    fn variance(&self, loss: f64) -> f64 {
        let share = (loss + 3.0 * self.given) / 4.0;
        share * (1.0 - share) * self.run
    }

    /// Learns from two consecutive stretches how many packets are lost together: the factor by which the loss varies more than if each
    /// packet were lost independently, whatever the average loss. A stretch is no shorter than such a run, since frequent reports may
    /// cover fewer packets.
    fn learn(&mut self, told: Mark) {
        let (said, heard) = told.since(self.stretch);
        if said < self.run {
            return;
        }
        self.stretch = told;
        let stretch = Stretch { said, loss: 1.0 - (heard / said).min(1.0) };
        let before = std::mem::replace(&mut self.before, stretch);
        let share = (before.loss + stretch.loss) / 2.0;
        let alone = share * (1.0 - share) * (1.0 / before.said + 1.0 / stretch.said);
        if before.said > 0.0 && alone > 0.0 {
            let strays = (stretch.loss - before.loss).powi(2) / alone;
            self.run = (self.run + (strays.min(RUN_MAX) - self.run) / 32.0).max(1.0);
        }
    }

    fn sample(&self) -> Option<Sample> {
        let (since, mark) = self.since?;
        let (said, heard) = self.told.since(mark);
        let loss = 1.0 - (heard / said).min(1.0);
        (said > 0.0).then_some(Sample { said, loss, seconds: self.at.since(since).as_secs_f64() })
    }
}

impl Sample {
    /// Whether these are enough packets to judge by. Few are enough to show that nothing is lost.
    fn is_telling(&self) -> bool {
        self.said >= if self.loss == 0.0 { SAMPLE } else { SAMPLE_OF_LOSS }
    }
}

/// The longest run of losses that is assumed: a train.
const RUN_MAX: f64 = 64.0;
/// The run that is assumed of a new listener.
const RUN_AT_FIRST: f64 = 8.0;
/// How many packets show that nothing is lost, and how many show how much is.
const SAMPLE: f64 = 32.0;
const SAMPLE_OF_LOSS: f64 = 192.0;
/// Seconds after which a round is judged by what has been reported.
const ROUND_MAX: f64 = 0.2;
/// A loss beyond the link's at which the other listeners are not waited for.
const CRY: f64 = 0.1;
/// How many losses must have been expected among packets without loss, for that not to be luck.
const LUCK: f64 = 4.0;
/// The part of a loss that must remain if a lower rate does not help, and the factor from which a loss counts as another one.
pub(super) const PERSISTS: f64 = 0.5;
const ALIKE: f64 = 1.25;
/// The most loss that is assumed to be a link's: a link that loses more is full.
const GIVEN_MAX: f64 = 0.5;
