//! A receiver, as its reports show it, and what its link loses at any rate.

use std::time::Duration;

use campanile_pgm::Instant;

/// A receiver that reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listener {
    /// What it reported last.
    told: Mark,
    /// When its sample began, and what it reported then: its first report of this round.
    since: Option<(Instant, Mark)>,
    /// When it last heard something new.
    at: Instant,
    /// The shortest time from sending a packet to the report that tells of it.
    pub(super) lag: Duration,
    /// Bytes that wait for it in the system at most.
    pub(super) socket: f64,
    /// The first packet that would find no room in its buffers, or push out of the window what it needs.
    pub(super) room_end: u64,
    /// The share that its link loses at any rate.
    given: f64,
    /// Where the stretch began that goes on, the one before it, and how many packets are lost together.
    stretch: Mark,
    before: Stretch,
    run: f64,
    /// The least excess for which the rate was lowered.
    suspected: Option<f64>,
}

/// How far a receiver had got when it reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// Packets that were sent up to the last one that it heard.
    pub(super) said: u64,
    /// Those of them that it heard, modulo 2^32.
    pub(super) heard: u32,
}

impl Mark {
    /// Packets that were sent since another one, and those of them that it heard.
    fn since(self, earlier: Mark) -> (f64, f64) {
        let heard = self.heard.wrapping_sub(earlier.heard);
        (self.said.saturating_sub(earlier.said) as f64, heard.into())
    }
}

/// When a loss is more than chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// A loss that is borne.
    pub(super) tolerance: f64,
    /// How many standard deviations chance may bring.
    pub(super) deviations: f64,
}

/// A loss that its link does not explain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Excess {
    /// Of what its link lets through.
    pub(super) share: f64,
    /// The rate was lowered for it, and more is lost than before.
    pub(super) grows: bool,
}

/// Packets in a row, and the share of them that was lost.
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

    /// Takes what it reports, in a round that began when so many packets were sent; `false` when the report was overtaken by another.
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

    /// A round begins.
    pub(super) fn begin(&mut self) {
        self.since = None;
    }

    /// The share that its link loses at any rate.
    pub(super) fn given(&self) -> f64 {
        self.given
    }

    /// Packets that were sent up to the last one that it heard.
    pub(super) fn said(&self) -> u64 {
        self.told.said
    }

    pub(super) fn last_heard_at(&self) -> Instant {
        self.at
    }

    /// Whether it has told enough of this round for a verdict.
    pub(super) fn has_told(&self, doubt: Doubt) -> bool {
        self.sample().is_some_and(|sample| {
            let is_long = sample.seconds > ROUND_MAX;
            if sample.loss == 0.0 {
                return sample.said >= self.lossless() || is_long && sample.said >= SAMPLE;
            }
            // What chance may lose is no more than is tolerated.
            let enough = self.variance(sample.loss) * (doubt.deviations / doubt.tolerance).powi(2);
            let is_over = sample.loss - self.given > self.chance(&sample, doubt);
            sample.said >= SAMPLE_OF_LOSS && (is_over || is_long || sample.said >= enough)
        })
    }

    /// Packets of which none is lost by good luck alone, if what is suspected is its link's.
    fn lossless(&self) -> f64 {
        self.suspected.map_or(0.0, |suspected| LUCK * self.run / suspected).max(SAMPLE)
    }

    /// Whether so much is lost in this round, and more than is suspected, that it need not be waited for the others.
    pub(super) fn cries(&self, doubt: Doubt) -> bool {
        let known = self.given + self.suspected.unwrap_or(0.0);
        self.sample().is_some_and(|sample| {
            sample.said >= SAMPLE_OF_LOSS && sample.loss - known > CRY + self.chance(&sample, doubt)
        })
    }

    /// Judges the round: what it lost beyond what its link loses, if that is more than chance, or as much as it was lowered for.
    pub(super) fn judge(&mut self, doubt: Doubt) -> Option<Excess> {
        let sample = self.sample().filter(Sample::is_telling)?;
        let (excess, chance) = (sample.loss - self.given, self.chance(&sample, doubt));
        // Upwards in a trial alone.
        self.given = self.given.min(sample.loss + chance);
        let suspected = self.suspected.take();
        if excess <= suspected.map_or(chance, |suspected| suspected * PERSISTS) {
            return None;
        }
        let grows = suspected.is_some_and(|suspected| excess > suspected * ALIKE + chance);
        self.suspected = Some(suspected.filter(|_| !grows).map_or(excess, |suspected| suspected.min(excess)));
        Some(Excess { share: excess / (1.0 - self.given), grows })
    }

    /// What it lost in this round is its link's.
    pub(super) fn acquit(&mut self) {
        self.suspected = None;
        if let Some(sample) = self.sample().filter(Sample::is_telling) {
            self.given = sample.loss.min(GIVEN_MAX);
        }
    }

    /// Packets a second that its way took in this round, those that its link lost among them.
    pub(super) fn through(&self) -> Option<f64> {
        let Sample { said, seconds, .. } = self.sample()?;
        Some(said / seconds.max(1e-6))
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
    /// if each was lost by itself. What it loses on average does not matter to that. A stretch is no shorter than such a run: reports that
    /// come often tell of fewer packets.
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
    /// Whether these are enough packets to go by. That nothing is lost is soon told, and clears of what was suspected.
    fn is_telling(&self) -> bool {
        self.said >= if self.loss == 0.0 { SAMPLE } else { SAMPLE_OF_LOSS }
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
/// How many losses are to be expected among packets of which none was lost, so that it is no luck.
const LUCK: f64 = 4.0;
/// The part of a loss that is left where a lower rate does not help, and how much more of it is another one.
pub(super) const PERSISTS: f64 = 0.5;
const ALIKE: f64 = 1.25;
/// The most that is believed of a link: what loses more is full.
const GIVEN_MAX: f64 = 0.5;
