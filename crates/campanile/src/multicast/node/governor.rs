//! The rate that receivers take, found by what they report.
//!
//! A report says which packet a receiver heard last, how many it has heard, and how much its buffers still take. From these follow two
//! limits. What was lost says when the way is full: the rate grows until something is lost, falls to what came through, and grows again
//! by small steps. What the buffers take says when a receiver is behind, before anything is lost.
//!
//! A machine with more to do than processors leaves a receiver's socket unread for longer than it takes to fill it, at a rate that is right
//! otherwise. So no more is under way than the socket holds, beside what the way itself does.
//!
//! A report says, too, from which packet on the receiver may need repair. New data are held back before they push that out of the
//! window, whatever the rate; repairs are not.
//!
//! Judgement is passed in rounds. A round is over when each receiver has heard what was sent after it began, so that it tells of this
//! rate and of no other, however long the way is, and heard so much of it that what chance loses is told from what the rate loses; at
//! once when somebody loses far more than that.
//!
//! A loss that a lower rate does not lessen is the link's and not ours: from then on it counts as given. That is found out by a trial and
//! never by getting used to it: what the rate loses would be taken for the link's, little by little. A trial goes far down and stays there
//! for two rounds: what another session on the same way loses for us ends when that one has gone back, too. Whatever a trial shows, what is
//! lost at its end is what the links lose.
//!
//! Links that lose packets in runs lose much in one round and nothing in the next, and what they lose at a lower rate says little. So a rate
//! that was lowered far below the last limit soon rises again: the limit is where something is lost twice.

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
    /// The rate that the ways take.
    rate: f64,
    /// The rate that was the last to lose something, and rounds without loss at a greater one, or as if there had been; `None` before that.
    clean: Option<u32>,
    full: f64,
    /// What came through when something was lost last, trials aside.
    through: f64,
    listeners: HashMap<ReceiverId, Listener>,
    /// Listeners that have yet to hear of this round.
    behind: usize,
    /// Somebody has reported since the listeners were looked at: once a turn, however many reports it brings.
    has_news: bool,
    /// What had been sent when the rate was asked for last.
    sent: Sent,
    /// Packets that may be sent from the first one on that somebody needs.
    window: u64,
    /// What the smallest socket of a receiver holds, in bytes.
    socket: f64,
    /// The first packet that would find no room somewhere, or push out of the window what somebody needs.
    room_end: u64,
    shortage: Option<Shortage>,
    round: Round,
    trial: Option<Trial>,
    /// The rate was lowered for a loss since somebody asked.
    was_lowered: bool,
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

/// What a report tells of all that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// Packets before the first one that its receiver needs.
    pub(crate) passed: u64,
    /// Packets up to the last one that it heard.
    pub(crate) said: u64,
    /// How long ago that one was sent at least.
    pub(crate) age: Duration,
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

/// What was sent in a second of a round.
#[derive(Debug, Clone, Copy)]
struct Achieved {
    /// Bytes in all.
    bytes: f64,
    /// Original packets.
    packets: f64,
}

/// A rate that was lowered for a loss, to see whether that helps.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The rate to go back to if the loss is the link's.
    rate: f64,
    /// What was lost at last.
    excess: f64,
    /// Rounds that lost too much.
    rounds: u8,
    /// The rate to go on with if that helps.
    back: f64,
}

impl Trial {
    /// Whether the rate is far below what came through.
    fn is_deep(&self) -> bool {
        self.rounds > 1
    }
}

impl Governor {
    /// A session that begins now with the rate `initial`. `packet_len` is what a packet counts for rates. `window` packets may be sent from
    /// the first one on that a receiver needs.
    pub(super) fn new(
        now: Instant,
        bounds: RangeInclusive<u64>,
        initial: u64,
        packet_len: u64,
        window: u64,
    ) -> Self {
        Governor {
            // A floor below a byte a second is written in bits.
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
        // A receiver that reports the same again and again hears no more than a silent one.
        if listener.last_heard_at() == now || said >= self.sent.packets {
            self.heard_at = now;
        }
        self.has_news = true;
    }

    /// How often each receiver is to report: a few times in what fills a socket, within a share of the rate for all of them.
    pub(super) fn interval(&self) -> Duration {
        let least = (self.socket / UNREPORTED / self.rate).clamp(INTERVAL_MIN, INTERVAL_USUAL);
        Duration::from_secs_f64(self.share_interval().clamp(least, INTERVAL_MAX))
    }

    /// Seconds in which the reports' share of the rate lets each receiver report once.
    fn share_interval(&self) -> f64 {
        let share = if self.clean.is_none() { REPORTS_SHARE_START } else { REPORTS_SHARE };
        let all = (self.rate * share).max(REPORTS_MIN);
        self.listeners.len().max(1) as f64 * REPORT_LEN / all
    }

    /// The rate from now on, when so much was sent.
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
        // What the tightest buffer takes is used up in the time in which it can say that there is more. Repairs need some rate all the
        // same: it may be they that make room.
        let room = self.room_end.saturating_sub(sent.packets) as f64 * self.packet_len;
        let horizon = self.interval().as_secs_f64() * HORIZON;
        let rate = self.rate.min((room / horizon).max(self.rate * REPAIRS_SHARE));
        rate.clamp(self.floor, self.ceiling) as u64
    }

    /// Whether the rate was lowered for a loss since this was asked last: it may have been the rate's, and says nothing of the links.
    pub(super) fn take_lowered(&mut self) -> bool {
        std::mem::take(&mut self.was_lowered)
    }

    /// How many packets may be sent in all, repairs aside, when so much was sent: what there is room for, and beyond that what the floor
    /// lets through, whatever is reported.
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

    /// When [`Governor::rate`] is to be asked again at the latest.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.shortage.map_or(self.sweep_at, |shortage| shortage.next_at.min(self.sweep_at))
    }

    /// A round is over: each receiver has told enough of it.
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

    /// Goes back to a little less than came through; when that does not help, far below it, to stay there.
    fn lower(&mut self, achieved: f64, excess: f64, trial: Option<Trial>) {
        let rate = self.rate;
        let through = rate.min(achieved) * (1.0 - excess);
        // Far below what came through when something was lost last this may be bad luck: it is the limit if it is met again.
        let is_doubted = trial.is_none() && achieved < self.through * MET;
        if trial.is_none() {
            self.through = through;
        }
        let mut trial = trial.unwrap_or(Trial { rate, excess, rounds: 0, back: 0.0 });
        // What lost far more than this is no rate to go back to.
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

    /// Goes back to a rate from one that no way is overrun by: what was lost there is the links' own.
    fn end_trial(&mut self, rate: f64) {
        self.listeners.values_mut().for_each(Listener::acquit);
        self.rate = rate;
    }

    /// Goes on to a greater rate, and not far beyond what comes through: what does not waits in a queue, or will be lost; and a rate that
    /// is not used tells nothing.
    fn raise(&mut self, achieved: Achieved) {
        let through = self.listeners.values().filter_map(Listener::through).fold(f64::INFINITY, f64::min);
        // Of all that was sent, repairs included, as much came through as of the original data.
        let share = (through / achieved.packets).min(1.0);
        let is_used = achieved.bytes >= self.rate * FLOWING;
        let growth = 1.0 + self.growth();
        let reach = if self.clean.is_none() { growth } else { REACH };
        let raised = (self.rate * growth).min(achieved.bytes * share * reach).min(self.ceiling);
        self.rate = self.rate.max(raised);
        // What does not come through as fast as it is sent fills a queue: the limit is near. A rate that is not used is not found by
        // doubling it.
        self.clean = match self.clean {
            None if share < FLOWING || !is_used => Some(0),
            clean => clean.map(|rounds| rounds + u32::from(achieved.bytes > self.full)),
        };
    }

    /// The part by which a round without loss lets the rate grow. A way that loses much anyway is not spoilt by a greater step, and is
    /// told from one that is full by nothing less.
    fn growth(&self) -> f64 {
        let least = GROWTH_MIN.max(self.given() * GIVEN_GROWN);
        let growth = |rounds| least * (f64::from(rounds) / GROWTH_DOUBLES).exp2();
        self.clean.map_or(GROWTH_START, |rounds| growth(rounds).min(GROWTH_MAX))
    }

    /// What the worst link loses at any rate.
    fn given(&self) -> f64 {
        self.listeners.values().map(Listener::given).fold(0.0, f64::max)
    }

    /// What loss is to be told from chance. The less the rate grows, the less is lost when that was too much, and the closer is to be
    /// looked; the more listeners there are, the oftener one of them has bad luck: the greatest of n draws lies about sqrt(2 ln n)
    /// deviations out.
    fn doubt(&self) -> Doubt {
        let least = self.given() * GIVEN_SEEN;
        let tolerance = |tested: f64| tested.clamp(TOLERANCE_MIN, TOLERANCE_MAX).max(least);
        Doubt {
            tolerance: match (self.trial, self.clean) {
                (Some(trial), _) => tolerance(trial.excess * TRIAL_SEEN),
                (None, None) => TOLERANCE_START,
                (None, Some(_)) => tolerance(self.growth() * GROWTH_SEEN),
            },
            deviations: DEVIATIONS + (2.0 * (self.listeners.len().max(1) as f64).ln()).sqrt(),
        }
    }

    /// Sees who is behind, and where room ends.
    fn look(&mut self) {
        let doubt = self.doubt();
        self.behind = self.listeners.values().filter(|listener| !listener.has_told(doubt)).count();
        if self.listeners.values().any(|listener| listener.cries(doubt)) {
            self.behind = 0;
        }
        // By the rate and the interval that are now: they may have changed since a receiver that reports seldom was heard.
        let unreported = self.rate * self.share_interval() * UNREPORTED;
        let room_end = |listener: &Listener| {
            // What has left for it is on its way, or in its socket, which fills while nobody reads it.
            let under_way = self.rate * listener.lag.as_secs_f64() + listener.socket.max(unreported);
            listener.room_end.min(listener.said().saturating_add((under_way / self.packet_len) as u64))
        };
        self.room_end = self.listeners.values().map(room_end).min().unwrap_or(u64::MAX);
        self.socket = self.listeners.values().map(|listener| listener.socket).fold(f64::INFINITY, f64::min);
    }

    /// Goes on without those that hear nothing any more; when nobody reports, ever more slowly.
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

/// What the rate grows by in a round: twofold until the first loss, or the first sign of a queue; from then on by a little, so that a
/// limit is crossed by 1 or 2 %, which beyond the rate that lost something doubles every so many rounds: a limit that is far away is found
/// in a second.
const GROWTH_START: f64 = 1.0;
const GROWTH_MIN: f64 = 1.0 / 64.0;
const GROWTH_DOUBLES: f64 = 3.0;
const GROWTH_MAX: f64 = 0.25;
/// The part of what came through last where a limit is met again; and as after how many rounds without loss the rate goes on from a lower
/// one: by an eighth.
const MET: f64 = 0.85;
const DOUBTED: u32 = 9;
/// The share of the rate that is sent where it is the limit, and the share of that which comes through in time where no queue grows. At
/// twice the limit it is a half, and reports are not that punctual.
const FLOWING: f64 = 0.75;
/// How far a rate goes beyond what comes through.
const REACH: f64 = 1.0 + GROWTH_MAX;
/// The part of what came through that is sent after a loss, so that queues empty, and there is room for those who have less.
const BACK: f64 = 0.9;
/// A loss that is borne.
const TOLERANCE_MIN: f64 = 0.01;
const TOLERANCE_MAX: f64 = 0.05;
/// The same while the rate still doubles: what is too much then loses a third, and what is less is a link's, or another's that is to give
/// way.
const TOLERANCE_START: f64 = 0.25;
/// A loss that is judged is many times what is borne: of what the rate grows by, and of what it was lowered for.
const GROWTH_SEEN: f64 = 1.0 / 6.0;
const TRIAL_SEEN: f64 = 1.0 / 4.0;
/// The part of what the worst link loses that a step may lose, and that is borne.
const GIVEN_GROWN: f64 = 1.0 / 4.0;
const GIVEN_SEEN: f64 = 1.0 / 8.0;
/// Standard deviations that are chance, with one listener.
const DEVIATIONS: f64 = 2.5;
/// The rounds of a trial, in which a loss has to stay; the part of what came through that is sent from the second one on.
const TRIALS: u8 = 3;
const DEPTH: f64 = 0.5;
/// Intervals for which a socket is to last. Where they are longer it is taken to last all the same: else many receivers, each of which
/// reports seldom, would hold the rate down.
const UNREPORTED: f64 = 4.0;
/// Intervals in which what the buffers take is used up.
const HORIZON: f64 = 2.0;
/// The part of the rate that stays for repairs when there is no room for new data.
const REPAIRS_SHARE: f64 = 0.25;
/// The share of the rate that all reports together may take, the same while it still doubles, so that many receivers do not hold that up,
/// or so many bytes a second if that is more; and what one takes.
const REPORTS_SHARE: f64 = 0.01;
const REPORTS_SHARE_START: f64 = 0.04;
const REPORTS_MIN: f64 = 250.0 * REPORT_LEN;
const REPORT_LEN: f64 = 120.0;
/// Seconds. The usual ones are short enough to judge a round by; shorter ones cost processor time.
const INTERVAL_MIN: f64 = 0.001;
const INTERVAL_USUAL: f64 = 0.005;
const INTERVAL_MAX: f64 = 60.0;
/// How long a receiver may hear nothing, or nobody report.
const PATIENCE: Duration = Duration::from_secs(1);
const SWEEP: Duration = Duration::from_millis(200);
/// Receivers that are heeded.
const LISTENERS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
