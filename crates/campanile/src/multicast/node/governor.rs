//! Finds the rate that the receivers can take, from their reports.
//!
//! A report says which packet a receiver got last, how many it got, and how much room its buffers have. This gives two limits. Loss
//! shows that the path is full: the rate grows until something is lost, falls to what came through, and grows again in small steps. The
//! buffers' room shows that a receiver is behind before anything is lost.
//!
//! An overloaded machine may leave a receiver's socket unread for longer than it takes to fill, at a rate that is right otherwise. So
//! no more is in flight than the socket and the path itself hold.
//!
//! A report also says which is the first packet that the receiver may need repaired. New data that would push that packet out of the
//! window are held back, whatever the rate; repairs are not.
//!
//! The rate is judged in rounds. A round is over when each receiver has got packets that were sent after it began, so that its reports
//! are about this rate however long the path is, and enough of them to tell loss caused by the rate from chance; or at once when a
//! receiver loses far more than chance explains.
//!
//! Loss that does not fall with the rate is the link's own: from then on it counts as given. Only a trial can show that, never gradual
//! adaptation, which would bit by bit take loss caused by the rate for the link's. A trial lowers the rate far and keeps it there for
//! two rounds, so that loss caused by another session on the same path ends, too, once that session has slowed down. Whatever a trial
//! shows, the loss at its end is the links' own.
//!
//! Links that lose packets in runs lose much in one round and nothing in the next, so their loss at a lower rate says little. Therefore
//! a rate that was lowered far below the last limit soon rises again: a limit is believed when loss occurs there twice.

mod listener;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use campanile_pgm::Instant;

use self::listener::{Doubt, Listener, Mark, PERSISTS};
use crate::multicast::report::{ReceiverId, Report};

/// Finds the rate of one session. Rates are in bytes a second.
///
/// # Order of calls
///
/// [`Governor::take`] with each report; [`Governor::rate`], then [`Governor::take_lowered`] and [`Governor::sent_max`], before each turn of
/// sending.
#[derive(Debug)]
pub(crate) struct Governor {
    floor: f64,
    ceiling: f64,
    packet_len: f64,
    /// The rate that the paths can take.
    rate: f64,
    /// Rounds without loss at a greater rate than `full`, or the number that the rate is to grow as after; `None` before the first
    /// limit. `full` is the rate at the last loss.
    clean: Option<u32>,
    full: f64,
    /// The rate that came through at the last loss, trials aside.
    through: f64,
    listeners: HashMap<ReceiverId, Listener>,
    /// Listeners whose reports do not say enough about this round yet.
    behind: usize,
    /// There were reports since the listeners were looked at, which is done once a turn, however many reports it brings.
    has_news: bool,
    /// What had been sent when the rate was last asked for.
    sent: Sent,
    /// How many packets may be sent, counted from the first one that a receiver needs.
    window: u64,
    /// What the smallest socket buffer of a receiver holds, in bytes.
    socket: f64,
    /// The first packet that some receiver has no room for, or that would push a packet that it needs out of the window.
    room_end: u64,
    shortage: Option<Shortage>,
    round: Round,
    trial: Option<Trial>,
    /// The rate was lowered for a loss since [`Governor::take_lowered`] was called.
    was_lowered: bool,
    /// When silent listeners are looked for next.
    sweep_at: Instant,
    heard_at: Instant,
}

/// What was sent in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Original data packets.
    pub(crate) packets: u64,
    /// Bytes, counted as for the rate.
    pub(crate) bytes: u64,
}

/// What a report says, in terms of everything that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Packets before the first one that its receiver needs.
    pub(crate) passed: u64,
    /// Packets sent up to the last one that it got.
    pub(crate) said: u64,
    /// At least how long ago that one was sent.
    pub(crate) age: Duration,
}

/// There is no room: packets leave one by one, at the floor.
#[derive(Debug, Clone, Copy)]
struct Shortage {
    sent_max: u64,
    /// When the floor rate allows the next one.
    next_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    began: Instant,
    sent: Sent,
}

/// What was sent per second in a round.
#[derive(Debug, Clone, Copy)]
struct Achieved {
    /// Bytes in all.
    bytes: f64,
    /// Original packets.
    packets: f64,
}

/// A lowered rate, to see whether that lessens a loss.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The rate to go back to if the loss is the link's.
    rate: f64,
    /// The latest loss.
    excess: f64,
    /// Rounds that lost too much.
    rounds: u8,
    /// The rate to go on with if lowering it helped.
    back: f64,
}

impl Trial {
    /// Whether the rate is far below what came through.
    fn is_deep(&self) -> bool {
        self.rounds > 1
    }
}

impl Governor {
    /// A session that begins now with the rate `initial`. `packet_len` is what a packet counts for rates. `window` packets may be sent,
    /// counted from the first one that a receiver needs.
    pub(super) fn new(
        now: Instant,
        bounds: RangeInclusive<u64>,
        initial: u64,
        packet_len: u64,
        window: u64,
    ) -> Self {
        Governor {
            // A floor of less than 8 bits a second would be 0 bytes.
            floor: (*bounds.start()).max(1) as f64,
            ceiling: *bounds.end() as f64,
            packet_len: packet_len as f64,
            rate: initial as f64,
            clean: None,
            full: 0.0,
            through: 0.0,
            listeners: HashMap::new(),
            behind: 0,
            has_news: false,
            sent: Sent::default(),
            window,
            socket: f64::INFINITY,
            room_end: u64::MAX,
            shortage: None,
            round: Round { began: now, sent: Sent::default() },
            trial: None,
            was_lowered: false,
            sweep_at: now + SWEEP,
            heard_at: now,
        }
    }

    /// Takes a report.
    pub(super) fn take(&mut self, now: Instant, report: &Report, told: Told) {
        let Told { passed, said, age } = told;
        if report.standing.is_final() {
            self.has_news |= self.listeners.remove(&report.receiver).is_some();
            return;
        }
        if !self.listeners.contains_key(&report.receiver) && self.listeners.len() == LISTENERS_MAX {
            return;
        }
        let began = self.round.sent.packets;
        let mark = Mark { said, heard: report.heard };
        let new = Listener::new(now, mark);
        let listener = self.listeners.entry(report.receiver).or_insert(new);
        if !listener.hear(now, mark, began) {
            return;
        }
        listener.lag = listener.lag.min(age);
        listener.socket = f64::from(report.socket);
        let room = (report.headroom as f64 / self.packet_len) as u64;
        let behind = said.saturating_sub(passed);
        listener.room_end = said.saturating_add(room.min(self.window.saturating_sub(behind)));
        // A receiver that repeats the same report gets no more than a silent one.
        if listener.last_heard_at() == now || said >= self.sent.packets {
            self.heard_at = now;
        }
        self.has_news = true;
    }

    /// The interval at which each receiver is to report: a few times in the time that fills a socket buffer, but all together within a
    /// share of the rate.
    pub(super) fn interval(&self) -> Duration {
        let least = (self.socket / UNREPORTED / self.rate).clamp(INTERVAL_MIN, INTERVAL_USUAL);
        Duration::from_secs_f64(self.share_interval().clamp(least, INTERVAL_MAX))
    }

    /// The interval in seconds at which all receivers' reports use up their share of the rate.
    fn share_interval(&self) -> f64 {
        let share = if self.clean.is_none() { REPORTS_SHARE_START } else { REPORTS_SHARE };
        let all = (self.rate * share).max(REPORTS_MIN);
        self.listeners.len().max(1) as f64 * REPORT_LEN / all
    }

    /// The rate from now on; `sent` is what was sent so far.
    pub(super) fn rate(&mut self, now: Instant, sent: Sent) -> u64 {
        self.sent = sent;
        if self.sweep_at <= now {
            self.sweep(now);
        }
        if std::mem::take(&mut self.has_news) {
            self.look();
        }
        if self.behind == 0 && !self.listeners.is_empty() {
            self.judge(now, sent);
        }
        // The room in the fullest buffer is spread over the time in which its receiver can report more. Repairs need some rate all the
        // same: they may be what makes room.
        let room = self.room_end.saturating_sub(sent.packets) as f64 * self.packet_len;
        let horizon = self.interval().as_secs_f64() * HORIZON;
        let rate = self.rate.min((room / horizon).max(self.rate * REPAIRS_SHARE));
        rate.clamp(self.floor, self.ceiling) as u64
    }

    /// Whether the rate was lowered for a loss since this was last called: that loss may have been the rate's, and says nothing about
    /// the links.
    pub(super) fn take_lowered(&mut self) -> bool {
        std::mem::take(&mut self.was_lowered)
    }

    /// How many packets may be sent in all, repairs aside, if `sent` were: as many as there is room for, and beyond that as many as the
    /// floor rate allows, whatever is reported.
    pub(super) fn sent_max(&mut self, now: Instant, sent: Sent) -> u64 {
        if sent.packets < self.room_end {
            self.shortage = None;
            return self.room_end;
        }
        let packet = Duration::from_secs_f64(self.packet_len / self.floor);
        let new = Shortage { sent_max: sent.packets, next_at: now + packet };
        let shortage = self.shortage.get_or_insert(new);
        if shortage.next_at <= now {
            *shortage = Shortage { sent_max: sent.packets + 1, next_at: now + packet };
        }
        shortage.sent_max
    }

    /// When [`Governor::rate`] is to be called again at the latest.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.shortage.map_or(self.sweep_at, |shortage| shortage.next_at.min(self.sweep_at))
    }

    /// Ends a round, about which each receiver has reported enough.
    fn judge(&mut self, now: Instant, sent: Sent) {
        let seconds = now.since(self.round.began).as_secs_f64().max(1e-6);
        let achieved = Achieved {
            bytes: sent.bytes.saturating_sub(self.round.sent.bytes) as f64 / seconds,
            packets: sent.packets.saturating_sub(self.round.sent.packets).max(1) as f64 / seconds,
        };
        let doubt = self.doubt();
        let excesses = self.listeners.values_mut().filter_map(|listener| listener.judge(doubt));
        let excess = excesses.reduce(|most, one| if one.share > most.share { one } else { most });
        match (excess, self.trial.take()) {
            (Some(excess), _) if excess.grows => self.lower(achieved.bytes, excess.share, None),
            (Some(_), Some(trial)) if trial.rounds == TRIALS => self.end_trial(trial.rate),
            (Some(excess), trial) => self.lower(achieved.bytes, excess.share, trial),
            (None, Some(trial)) if trial.is_deep() => self.end_trial(trial.back),
            (None, _) => self.raise(achieved),
        }
        self.round = Round { began: now, sent };
        self.listeners.values_mut().for_each(Listener::begin);
        self.behind = self.listeners.len();
    }

    /// Lowers the rate to a little less than came through; when that does not help, far below that, where it stays for the trial.
    fn lower(&mut self, achieved: f64, excess: f64, trial: Option<Trial>) {
        let rate = self.rate;
        let through = rate.min(achieved) * (1.0 - excess);
        // Far below what came through at the last loss this may be bad luck; it is the limit only if it occurs again.
        let is_doubted = trial.is_none() && achieved < self.through * MET;
        if trial.is_none() {
            self.through = through;
        }
        let mut trial = trial.unwrap_or(Trial { rate, excess, rounds: 0, back: 0.0 });
        // A rate that lost far more than this one is not one to go back to.
        if excess < trial.excess * PERSISTS {
            trial.rate = rate;
        }
        if !trial.is_deep() {
            trial.back = (through * BACK).clamp(self.floor, self.ceiling);
        }
        (trial.rounds, trial.excess) = (trial.rounds + 1, excess);
        let part = if trial.is_deep() { DEPTH } else { 1.0 };
        self.rate = (trial.back * part).max(self.floor);
        (self.trial, self.was_lowered) = (Some(trial), true);
        (self.clean, self.full) = (Some(if is_doubted { DOUBTED } else { 0 }), achieved);
    }

    /// Ends a trial at a rate that overruns no path: what was lost there is the links' own.
    fn end_trial(&mut self, rate: f64) {
        self.listeners.values_mut().for_each(Listener::acquit);
        self.rate = rate;
    }

    /// Raises the rate, but not far beyond what comes through, since the rest waits in a queue or will be lost; and a rate that is not
    /// used shows nothing.
    fn raise(&mut self, achieved: Achieved) {
        let through = self.listeners.values().filter_map(Listener::through).fold(f64::INFINITY, f64::min);
        // The share that came through of everything sent, repairs included, is taken to be that of the original data.
        let share = (through / achieved.packets).min(1.0);
        let is_used = achieved.bytes >= self.rate * FLOWING;
        let growth = 1.0 + self.growth();
        let reach = if self.clean.is_none() { growth } else { REACH };
        let raised = (self.rate * growth).min(achieved.bytes * share * reach).min(self.ceiling);
        self.rate = self.rate.max(raised);
        // If packets come through more slowly than they are sent, a queue fills: the limit is near. And doubling a rate that is not
        // used finds nothing.
        self.clean = match self.clean {
            None if share < FLOWING || !is_used => Some(0),
            clean => clean.map(|rounds| rounds + u32::from(achieved.bytes > self.full)),
        };
    }

    /// The part by which the rate grows after a round without loss. On a path that loses much anyway a larger step does little harm,
    /// and a smaller one would not show whether the path is full.
    fn growth(&self) -> f64 {
        let least = GROWTH_MIN.max(self.given() * GIVEN_GROWN);
        let growth = |rounds| least * (f64::from(rounds) / GROWTH_DOUBLES).exp2();
        self.clean.map_or(GROWTH_START, |rounds| growth(rounds).min(GROWTH_MAX))
    }

    /// What the worst link loses at any rate.
    fn given(&self) -> f64 {
        self.listeners.values().map(Listener::given).fold(0.0, f64::max)
    }

    /// Which loss counts as more than chance. The less the rate grows, the less is lost when that was too much, so the smaller a loss
    /// counts. The more listeners there are, the more often one of them has bad luck: the greatest of n draws is about sqrt(2 ln n)
    /// deviations out.
    fn doubt(&self) -> Doubt {
        if self.clean.is_none() {
            return DOUBT_START;
        }
        let least = self.given() * GIVEN_SEEN;
        let tolerance = |tested: f64| tested.clamp(TOLERANCE_MIN, TOLERANCE_MAX).max(least);
        Doubt {
            tolerance: match self.trial {
                Some(trial) => tolerance(trial.excess * TRIAL_SEEN),
                None => tolerance(self.growth() * GROWTH_SEEN),
            },
            deviations: DEVIATIONS + (2.0 * (self.listeners.len().max(1) as f64).ln()).sqrt(),
        }
    }

    /// Updates which listeners are behind, and where room ends.
    fn look(&mut self) {
        let doubt = self.doubt();
        self.behind = self.listeners.values().filter(|listener| !listener.has_told(doubt)).count();
        if self.listeners.values().any(|listener| listener.cries(doubt)) {
            self.behind = 0;
        }
        // By the present rate and interval, which may have changed since a receiver that reports rarely did so.
        let unreported = self.rate * self.share_interval() * UNREPORTED;
        let room_end = |listener: &Listener| {
            // What was sent to it is in flight, or in its socket buffer, which fills while it is not read.
            let under_way = self.rate * listener.lag.as_secs_f64() + listener.socket.max(unreported);
            listener.room_end.min(listener.said().saturating_add((under_way / self.packet_len) as u64))
        };
        self.room_end = self.listeners.values().map(room_end).min().unwrap_or(u64::MAX);
        self.socket = self.listeners.values().map(|listener| listener.socket).fold(f64::INFINITY, f64::min);
    }

    /// Forgets listeners that get nothing any more; when nobody reports, halves the rate each time.
    fn sweep(&mut self, now: Instant) {
        self.sweep_at = now + SWEEP;
        let patience = PATIENCE.max(self.interval() * 4);
        self.listeners.retain(|_, listener| now.since(listener.last_heard_at()) < patience);
        self.has_news = true;
        if now.since(self.heard_at) > patience {
            self.rate = (self.rate / 2.0).max(self.floor);
            self.heard_at = now;
        }
    }
}

/// By how much the rate grows in a round: it doubles until the first loss, or the first sign of a queue; from then on it grows a
/// little, so that a limit is exceeded by 1 or 2 %. Beyond the rate that last lost something the step doubles every `GROWTH_DOUBLES`
/// rounds, so that a limit far away is found within a second.
const GROWTH_START: f64 = 1.0;
const GROWTH_MIN: f64 = 1.0 / 64.0;
const GROWTH_DOUBLES: f64 = 3.0;
const GROWTH_MAX: f64 = 0.25;
/// A loss at no less than this part of what came through last confirms the limit; after one below it the rate grows as after `DOUBTED`
/// rounds without loss, by an eighth.
const MET: f64 = 0.85;
const DOUBTED: u32 = 9;
/// The rate counts as used if at least this share of it is sent, and a queue as not growing if at least this share of that comes
/// through in time. At twice the limit half comes through, and reports are not very punctual.
const FLOWING: f64 = 0.75;
/// How far a rate goes beyond what comes through.
const REACH: f64 = 1.0 + GROWTH_MAX;
/// The part of what came through that is sent after a loss, so that queues empty, and sessions that have less get room.
const BACK: f64 = 0.9;
/// The bounds of the loss that is tolerated.
const TOLERANCE_MIN: f64 = 0.01;
const TOLERANCE_MAX: f64 = 0.05;
/// The loss that is tolerated, as a part of what a step that is too large would lose, and of what the rate was lowered for.
const GROWTH_SEEN: f64 = 1.0 / 6.0;
const TRIAL_SEEN: f64 = 1.0 / 4.0;
/// The least step, and the least loss that is tolerated, as parts of what the worst link loses.
const GIVEN_GROWN: f64 = 1.0 / 4.0;
const GIVEN_SEEN: f64 = 1.0 / 8.0;
/// How many standard deviations count as chance, with one listener.
const DEVIATIONS: f64 = 2.5;
/// Which loss counts while the rate still doubles: a rate beyond the limit then loses a third; a smaller loss is a link's, or caused by
/// another session that is to give way. So much is tolerated that the bad luck of one of many listeners hardly matters, and the reports of
/// many take long: to require more of them would overrun the way for as long.
const DOUBT_START: Doubt = Doubt { tolerance: 0.25, deviations: DEVIATIONS };
/// The rounds of a trial through which a loss must persist; the part of what came through that is sent from the second one on.
const TRIALS: u8 = 3;
const DEPTH: f64 = 0.5;
/// For how many report intervals a socket buffer is to last. With longer intervals it is assumed to last that long, too: otherwise many
/// receivers, each reporting rarely, would hold the rate down.
const UNREPORTED: f64 = 4.0;
/// Over how many report intervals the room in the buffers is spread.
const HORIZON: f64 = 2.0;
/// The part of the rate that is left for repairs when there is no room for new data.
const REPAIRS_SHARE: f64 = 0.25;
/// The share of the rate that all reports together may take; the same while the rate still doubles, which many receivers would
/// otherwise slow down; the least for all reports in bytes a second; and the bytes of one report.
const REPORTS_SHARE: f64 = 0.01;
const REPORTS_SHARE_START: f64 = 0.04;
const REPORTS_MIN: f64 = 250.0 * REPORT_LEN;
const REPORT_LEN: f64 = 120.0;
/// In seconds. The usual interval is short enough to judge a round by; shorter ones cost processor time.
const INTERVAL_MIN: f64 = 0.001;
const INTERVAL_USUAL: f64 = 0.005;
const INTERVAL_MAX: f64 = 60.0;
/// How long a receiver may get nothing new, or all may be silent.
const PATIENCE: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_millis(200);
/// The most receivers that are considered.
const LISTENERS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
