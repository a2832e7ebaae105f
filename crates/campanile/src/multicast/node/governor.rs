//! The rate that receivers take, found by what they report.
//!
//! A report says which packet a receiver heard last, how many it has heard, and how much its buffers still take. From these follow two
//! limits. What was lost says when the way is full: the rate grows until something is lost, falls to what came through, and grows again
//! by small steps. What the buffers take says when a receiver is behind, before anything is lost.
//!
//! A report says, too, from which packet on the receiver may need repair. New data are held back before they push that out of the
//! window, whatever the rate; repairs are not.
//!
//! Judgement is passed in rounds. A round is over when each receiver has heard what was sent after it began, so that it tells of this
//! rate and of no other, however long the way is. A loss that a lower rate does not lessen is the link's and not ours: from then on it
//! counts as given.

use std::collections::HashMap;
use std::time::Duration;

use campanile_pgm::Instant;

use crate::multicast::report::{ReceiverId, Report};

/// Finds the rate of one session.
///
/// # Order of calls
///
/// [`Governor::take`] with each report; [`Governor::rate`], then [`Governor::sent_max`], before each turn of sending.
#[derive(Debug)]
pub(crate) struct Governor {
    floor_bps: f64,
    ceiling_bps: f64,
    packet_len: f64,
    /// The rate that the ways take, in bytes a second.
    rate_bps: f64,
    /// Rounds since the last loss that was ours; `None` before the first one.
    clean: Option<u32>,
    listeners: HashMap<ReceiverId, Listener>,
    /// Listeners that have yet to hear of this round.
    behind: usize,
    /// Packets that may be sent from the first one on that somebody needs.
    window: u64,
    /// The first packet that would find no room somewhere, or push out of the window what somebody needs.
    room_end: u64,
    shortage: Option<Shortage>,
    round: Round,
    trial: Option<Trial>,
    /// When those that are silent are looked for.
    sweep_at: Instant,
    heard_at: Instant,
}

/// What was sent, in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Original data packets.
    pub(crate) packets: u64,
    /// Bytes that counted for the rate.
    pub(crate) bytes: u64,
}

/// A receiver, as its reports show it.
#[derive(Debug, Clone, Copy)]
struct Listener {
    /// Packets that were sent up to the last one that it heard.
    said: u64,
    /// Those of all that it heard, modulo 2^32.
    heard: u32,
    /// The same at the beginning of its sample: at its first report of this round.
    since: Option<(Instant, u64, u32)>,
    /// When it last heard something new.
    at: Instant,
    room_end: u64,
    /// How many packets it is behind with: from the first one that it needs to the last one that it heard.
    behind: u64,
    /// The share that its link loses at any rate.
    given: f64,
}

/// There is no room for more: packets leave one by one.
#[derive(Debug, Clone, Copy)]
struct Shortage {
    sent_max: u64,
    /// When the floor lets another one through.
    next_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    began: Instant,
    sent: Sent,
}

/// A rate that was lowered for a loss, to see whether that helps.
#[derive(Debug, Clone, Copy)]
struct Trial {
    receiver: ReceiverId,
    /// The rate before, and the rounds without loss.
    rate_bps: f64,
    clean: Option<u32>,
    excess: f64,
    /// How often the rate was lowered.
    times: u8,
}

impl Governor {
    /// A session that begins now. The rates are in bytes a second, and `packet_len` is what a packet counts for them. `window` packets may
    /// be sent from the first one on that a receiver needs.
    pub(super) fn new(
        now: Instant,
        (floor_bps, ceiling_bps): (u64, u64),
        initial_bps: u64,
        packet_len: u64,
        window: u64,
    ) -> Self {
        Governor {
            floor_bps: floor_bps as f64,
            ceiling_bps: ceiling_bps as f64,
            packet_len: packet_len as f64,
            rate_bps: initial_bps as f64,
            clean: None,
            listeners: HashMap::new(),
            behind: 0,
            window,
            room_end: u64::MAX,
            shortage: None,
            round: Round { began: now, sent: Sent::default() },
            trial: None,
            sweep_at: now + SWEEP,
            heard_at: now,
        }
    }

    /// Takes a report of a receiver that needs what was sent after so many packets, and heard the `said`th last.
    pub(super) fn take(&mut self, now: Instant, report: &Report, (passed, said): (u64, u64)) {
        if report.standing.is_final() {
            self.listeners.remove(&report.receiver);
            self.look();
            return;
        }
        if !self.listeners.contains_key(&report.receiver) && self.listeners.len() == LISTENERS_MAX {
            return;
        }
        let new = Listener { said, heard: 0, since: None, at: now, room_end: 0, behind: 0, given: 0.0 };
        let listener = self.listeners.entry(report.receiver).or_insert(new);
        // Reports may overtake each other.
        if said < listener.said {
            return;
        }
        if said > listener.said {
            listener.at = now;
        }
        let room = (report.headroom as f64 / self.packet_len) as u64;
        listener.behind = said.saturating_sub(passed);
        listener.room_end = said.saturating_add(room.min(self.window.saturating_sub(listener.behind)));
        (listener.said, listener.heard) = (said, report.heard);
        if said >= self.round.sent.packets {
            listener.since.get_or_insert((now, said, report.heard));
        }
        self.heard_at = now;
        self.look();
    }

    /// How often each receiver is to report: as often as may be, within a share of the rate for all of them.
    pub(super) fn interval(&self) -> Duration {
        let all_bps = (self.rate_bps * REPORTS_SHARE).max(1.0);
        let seconds = self.listeners.len().max(1) as f64 * REPORT_LEN / all_bps;
        Duration::from_secs_f64(seconds.min(INTERVAL_MAX.as_secs_f64())).max(INTERVAL_MIN)
    }

    /// The rate from now on, in bytes a second, when so much was sent.
    pub(super) fn rate(&mut self, now: Instant, sent: Sent) -> u64 {
        if self.sweep_at <= now {
            self.sweep(now);
        }
        if self.behind == 0 && !self.listeners.is_empty() {
            self.judge(now, sent);
        }
        // What the tightest buffer takes is used up in the time in which it can say that there is more. Repairs need some rate all the
        // same: it may be they that make room.
        let room = self.room_end.saturating_sub(sent.packets) as f64 * self.packet_len;
        let horizon = self.interval().as_secs_f64() * HORIZON;
        let rate_bps = self.rate_bps.min((room / horizon).max(self.rate_bps * REPAIRS_SHARE));
        rate_bps.clamp(self.floor_bps, self.ceiling_bps) as u64
    }

    /// How many packets may be sent in all, repairs aside, when so much was sent: what there is room for, and beyond that what the floor
    /// lets through, whatever is reported.
    pub(super) fn sent_max(&mut self, now: Instant, sent: Sent) -> u64 {
        if sent.packets < self.room_end {
            self.shortage = None;
            return self.room_end;
        }
        let packet = Duration::from_secs_f64(self.packet_len / self.floor_bps);
        let new = Shortage { sent_max: sent.packets, next_at: now + packet };
        let shortage = self.shortage.get_or_insert(new);
        if shortage.next_at <= now {
            *shortage = Shortage { sent_max: sent.packets + 1, next_at: now + packet };
        }
        shortage.sent_max
    }

    /// When [`Governor::rate`] is to be asked again at the latest.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.shortage.map_or(self.sweep_at, |shortage| shortage.next_at.min(self.sweep_at))
    }

    /// A round is over: each receiver has told enough of it.
    fn judge(&mut self, now: Instant, sent: Sent) {
        let seconds = now.since(self.round.began).as_secs_f64().max(1e-6);
        let achieved_bps = sent.bytes.saturating_sub(self.round.sent.bytes) as f64 / seconds;
        match (self.worst(), self.trial.take()) {
            (Some((receiver, excess)), Some(trial)) if trial.repeats(receiver, excess) => {
                if trial.times < TRIALS {
                    self.lower(achieved_bps, excess);
                    self.trial = Some(Trial { times: trial.times + 1, ..trial });
                } else {
                    // It was for nothing.
                    (self.rate_bps, self.clean) = (trial.rate_bps, trial.clean);
                    if let Some(listener) = self.listeners.get_mut(&receiver) {
                        listener.given += excess;
                    }
                }
            }
            (Some((receiver, excess)), _) => {
                let Governor { rate_bps, clean, .. } = *self;
                self.trial = Some(Trial { receiver, rate_bps, clean, excess, times: 1 });
                self.lower(achieved_bps, excess);
                self.clean = Some(0);
            }
            (None, _) => self.raise(),
        }
        self.round = Round { began: now, sent };
        self.listeners.values_mut().for_each(|listener| listener.since = None);
        self.behind = self.listeners.len();
    }

    /// Goes back to a little less than came through.
    fn lower(&mut self, achieved_bps: f64, excess: f64) {
        let through_bps = self.rate_bps.min(achieved_bps) * (1.0 - excess) * BACK;
        self.rate_bps = through_bps.clamp(self.floor_bps, self.ceiling_bps);
    }

    /// Goes on to a greater rate, and not far beyond what comes through: what does not waits in a queue, or will be lost; and a rate that
    /// is not used tells nothing.
    fn raise(&mut self) {
        if self.listeners.values().any(|listener| listener.behind > self.window / STRAIN) {
            // Who falls behind at this rate will lose something at the next one.
            self.clean.get_or_insert_default();
            return;
        }
        let (growth, reach) = match &mut self.clean {
            None => (GROWTH_MAX, GROWTH_MAX),
            Some(rounds) => {
                *rounds += 1;
                let growth = 1.0 + GROWTH_MIN * (f64::from(*rounds) / GROWTH_DOUBLES).exp2();
                (growth.min(GROWTH_MAX), REACH)
            }
        };
        let through = self.listeners.values().filter_map(Listener::through);
        let through_bps = through.fold(f64::INFINITY, f64::min) * self.packet_len;
        let raised_bps = (self.rate_bps * growth).min(through_bps * reach).min(self.ceiling_bps);
        self.rate_bps = self.rate_bps.max(raised_bps);
    }

    /// The receiver that lost most beyond what its link loses at any rate, and how much, if it was more than chance.
    fn worst(&mut self) -> Option<(ReceiverId, f64)> {
        let mut worst: Option<(ReceiverId, f64)> = None;
        for (receiver, listener) in &mut self.listeners {
            let Some(Sample { said, loss, .. }) = listener.sample() else { continue };
            let (given, excess) = (listener.given, loss - listener.given);
            let chance = TOLERANCE + 2.0 * (given * (1.0 - given) / said).sqrt();
            if excess > chance {
                if worst.is_none_or(|(_, most)| excess > most) {
                    worst = Some((*receiver, excess));
                }
            } else if excess < -chance {
                listener.given = loss;
            } else {
                // Never upwards: what is given is put to the test again from time to time.
                listener.given = given + (excess / SMOOTHING).min(0.0);
            }
        }
        worst
    }

    /// Sees who is behind, and where room ends.
    fn look(&mut self) {
        self.behind = self.listeners.values().filter(|listener| listener.sample().is_none()).count();
        let room_end = self.listeners.values().map(|listener| listener.room_end).min();
        self.room_end = room_end.unwrap_or(u64::MAX);
    }

    /// Goes on without those that hear nothing any more; when nobody reports, ever more slowly.
    fn sweep(&mut self, now: Instant) {
        self.sweep_at = now + SWEEP;
        let patience = PATIENCE.max(self.interval() * 4);
        self.listeners.retain(|_, listener| now.since(listener.at) < patience);
        self.look();
        if now.since(self.heard_at) > patience {
            self.rate_bps = (self.rate_bps / 2.0).max(self.floor_bps);
            self.heard_at = now;
        }
    }
}

impl Listener {
    /// What it heard in this round; `None` while that is too little.
    fn sample(&self) -> Option<Sample> {
        let (since, said, heard) = self.since?;
        let said = self.said.checked_sub(said).filter(|&said| said >= SAMPLE)?;
        let heard = f64::from(self.heard.wrapping_sub(heard));
        let loss = 1.0 - (heard / said as f64).min(1.0);
        let sample = Sample { said: said as f64, loss, seconds: self.at.since(since).as_secs_f64() };
        (loss == 0.0 || said >= SAMPLE_OF_LOSS).then_some(sample)
    }

    /// Packets a second that its way took in this round, those that its link lost among them.
    fn through(&self) -> Option<f64> {
        let Sample { said, loss, seconds } = self.sample()?;
        Some(said * ((1.0 - loss) / (1.0 - self.given).max(0.01)).min(1.0) / seconds.max(1e-6))
    }
}

/// What a receiver heard in a round.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Packets that were sent.
    said: f64,
    /// The share of them that it did not hear.
    loss: f64,
    /// In what time.
    seconds: f64,
}

impl Trial {
    /// Whether a loss is still what it was before the rate was lowered.
    fn repeats(&self, receiver: ReceiverId, excess: f64) -> bool {
        let chance = 3.0 * (excess * (1.0 - excess) / SAMPLE_OF_LOSS as f64).sqrt();
        receiver == self.receiver && (excess - self.excess).abs() < ALIKE * self.excess + chance
    }
}

/// What the rate grows by in a round: this much until the first loss, and from then on a little that doubles every so many rounds.
const GROWTH_MAX: f64 = 2.0;
const GROWTH_MIN: f64 = 1.0 / 32.0;
const GROWTH_DOUBLES: f64 = 16.0;
/// How far a rate goes beyond what comes through, once something was lost.
const REACH: f64 = 1.1;
/// The part of what came through that is sent after a loss, so that queues empty.
const BACK: f64 = 0.95;
/// A loss that is borne: less is not worth a lower rate.
const TOLERANCE: f64 = 0.02;
/// How often the rate is lowered before a loss counts as given, and how much it may differ meanwhile.
const TRIALS: u8 = 2;
const ALIKE: f64 = 0.25;
/// How slowly what is given falls.
const SMOOTHING: f64 = 8.0;
/// Packets that tell that nothing is lost, and those that tell how much is.
const SAMPLE: u64 = 32;
const SAMPLE_OF_LOSS: u64 = 256;
/// Intervals in which what the buffers take is used up.
const HORIZON: f64 = 2.0;
/// The part of the window that a receiver may be behind while the rate grows.
const STRAIN: u64 = 4;
/// The part of the rate that stays for repairs when there is no room for new data.
const REPAIRS_SHARE: f64 = 0.25;
/// The share of the rate that all reports together may take, and what one takes.
const REPORTS_SHARE: f64 = 0.01;
const REPORT_LEN: f64 = 120.0;
const INTERVAL_MIN: Duration = Duration::from_millis(5);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// How long a receiver may hear nothing, or nobody report.
const PATIENCE: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_millis(200);
/// Receivers that are heeded.
const LISTENERS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
