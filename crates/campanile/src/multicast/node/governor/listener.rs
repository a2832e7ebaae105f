//! A receiver, as its reports show it, and what its link loses at any rate.

use campanile_pgm::Instant;

/// A receiver that reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listener {
    /// Packets that were sent up to the last one that it heard.
    said: u64,
    /// Those of all that it heard, modulo 2^32.
    heard: u32,
    /// The same at the beginning of its sample: at its first report of this round.
    since: Option<(Instant, u64, u32)>,
    /// When it last heard something new.
    at: Instant,
    /// The first packet that would find no room there, or push out of the window what it needs.
    pub(super) room_end: u64,
    /// The share that its link loses at any rate.
    given: f64,
    /// What it heard between its last two reports, and how many packets are lost together.
    before: Stretch,
    run: f64,
    suspicion: Option<Suspicion>,
}

/// When a loss is more than chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// A loss that is borne.
    pub(super) tolerance: f64,
    /// How many standard deviations chance may bring.
    pub(super) deviations: f64,
}

/// What a round says of a listener.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// It lost no more than its link loses.
    Clear,
    /// It lost this share more, and it may be that the rate is too great.
    Over(f64),
    /// It lost the same at lower rates: this is what its link loses.
    Given,
}

/// Packets between two reports, and the share of them that was lost.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    said: f64,
    loss: f64,
}

/// What a listener heard in a round.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Packets that were sent.
    said: f64,
    /// The share of them that it did not hear.
    loss: f64,
    /// In what time.
    seconds: f64,
}

/// The loss for which the rate was lowered last, and how often it was.
#[derive(Debug, Clone, Copy)]
struct Suspicion {
    loss: f64,
    times: u8,
}

impl Listener {
    pub(super) fn new(now: Instant, said: u64) -> Self {
        Listener {
            said,
            heard: 0,
            since: None,
            at: now,
            room_end: 0,
            given: 0.0,
            before: Stretch { said: 0.0, loss: 0.0 },
            run: RUN_AT_FIRST,
            suspicion: None,
        }
    }

    /// Takes what it reports, in a round that began when so many packets were sent; `false` when the report was overtaken by another.
    pub(super) fn hear(&mut self, now: Instant, (said, heard): (u64, u32), began: u64) -> bool {
        if said < self.said {
            return false;
        }
        if said > self.said {
            self.at = now;
            let (more, came) = ((said - self.said) as f64, f64::from(heard.wrapping_sub(self.heard)));
            self.learn(Stretch { said: more, loss: 1.0 - (came / more).min(1.0) });
        }
        (self.said, self.heard) = (said, heard);
        if said >= began {
            self.since.get_or_insert((now, said, heard));
        }
        true
    }

    /// A round begins.
    pub(super) fn begin(&mut self) {
        self.since = None;
    }

    pub(super) fn last_heard_at(&self) -> Instant {
        self.at
    }

    /// Whether it has told enough of this round for a verdict.
    pub(super) fn has_told(&self, doubt: Doubt) -> bool {
        self.sample().is_some_and(|sample| {
            // What chance may lose is no more than is tolerated.
            let enough = self.variance(sample.loss) * (doubt.deviations / doubt.tolerance).powi(2);
            let is_over = sample.loss - self.given > self.chance(&sample, doubt);
            let is_much = is_over || sample.said >= enough || sample.seconds > ROUND_MAX;
            sample.loss == 0.0 && sample.said >= SAMPLE || is_much && sample.said >= SAMPLE_OF_LOSS
        })
    }

    /// Whether so much is lost in this round that it need not be waited for the others.
    pub(super) fn cries(&self, doubt: Doubt) -> bool {
        self.sample().is_some_and(|sample| {
            sample.said >= SAMPLE_OF_LOSS && sample.loss - self.given > CRY + self.chance(&sample, doubt)
        })
    }

    /// Judges the round.
    pub(super) fn judge(&mut self, doubt: Doubt) -> Verdict {
        // That nothing is lost is soon told, and clears of what was suspected.
        let least = |loss: f64| if loss == 0.0 { SAMPLE } else { SAMPLE_OF_LOSS };
        let Some(sample) = self.sample().filter(|sample| sample.said >= least(sample.loss)) else {
            return Verdict::Clear;
        };
        let (excess, chance) = (sample.loss - self.given, self.chance(&sample, doubt));
        // Lowered to what came through, a rate that was too great loses no more than the link; what the link loses, it loses still.
        let times = match self.suspicion.take() {
            Some(Suspicion { loss, .. }) if excess < (loss - self.given) / 2.0 => 0,
            Some(Suspicion { loss, .. }) if sample.loss > loss + ALIKE * (loss - self.given) + chance => 1,
            Some(Suspicion { loss, times: TRIALS }) => {
                self.given = loss.min(sample.loss);
                return Verdict::Given;
            }
            Some(Suspicion { times, .. }) => times + 1,
            None => u8::from(excess > chance),
        };
        if times > 0 {
            self.suspicion = Some(Suspicion { loss: sample.loss, times });
            return Verdict::Over(excess);
        }
        // Upwards in a trial alone.
        self.given += (excess / 8.0).min(0.0);
        Verdict::Clear
    }

    /// What it lost in this round is its link's.
    pub(super) fn acquit(&mut self) {
        self.suspicion = None;
        if let Some(sample) = self.sample().filter(|sample| sample.said >= SAMPLE_OF_LOSS) {
            self.given = self.given.max(sample.loss);
        }
    }

    /// Packets a second that its way took in this round, those that its link lost among them.
    pub(super) fn through(&self) -> Option<f64> {
        let Sample { said, loss, seconds } = self.sample()?;
        Some(said * ((1.0 - loss) / (1.0 - self.given).max(0.01)).min(1.0) / seconds.max(1e-6))
    }

    /// The excess that chance may bring, and that is borne.
    fn chance(&self, sample: &Sample, doubt: Doubt) -> f64 {
        doubt.tolerance + doubt.deviations * (self.variance(sample.loss) / sample.said).sqrt()
    }

    /// How far the loss of one packet strays. Losses come in runs where a link drops trains whole.
    fn variance(&self, loss: f64) -> f64 {
        let share = (loss + 3.0 * self.given) / 4.0;
        share * (1.0 - share) * self.run
    }

    /// Learns from two stretches that follow each other how many packets are lost together: as many times as it strays more than it would
    /// if each was lost by itself. What it loses on average does not matter to that.
    fn learn(&mut self, stretch: Stretch) {
        let before = std::mem::replace(&mut self.before, stretch);
        let share = (before.loss + stretch.loss) / 2.0;
        let alone = share * (1.0 - share) * (1.0 / before.said + 1.0 / stretch.said);
        if before.said > 0.0 && alone > 0.0 {
            let strays = (stretch.loss - before.loss).powi(2) / alone;
            self.run = (self.run + (strays.min(RUN_MAX) - self.run) / 32.0).max(1.0);
        }
    }

    fn sample(&self) -> Option<Sample> {
        let (since, said, heard) = self.since?;
        let said = self.said.checked_sub(said).filter(|said| *said > 0)? as f64;
        let heard = f64::from(self.heard.wrapping_sub(heard));
        let loss = 1.0 - (heard / said).min(1.0);
        Some(Sample { said, loss, seconds: self.at.since(since).as_secs_f64() })
    }
}

/// The longest runs of losses that are believed: a train.
const RUN_MAX: f64 = 64.0;
/// What is believed of a listener of whom nothing is known.
const RUN_AT_FIRST: f64 = 8.0;
/// Packets that tell that nothing is lost, and those that tell how much is.
const SAMPLE: f64 = 32.0;
const SAMPLE_OF_LOSS: f64 = 192.0;
/// Seconds after which a round is judged by what there is.
const ROUND_MAX: f64 = 0.2;
/// A loss beyond the link's for which the others are not waited for.
const CRY: f64 = 0.1;
/// How often the rate is lowered before a loss counts as given, and how much it may differ meanwhile.
const TRIALS: u8 = 2;
const ALIKE: f64 = 0.25;
