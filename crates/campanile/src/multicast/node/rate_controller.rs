//! Finds the rate that the receivers can take, from their reports.
//!
//! A report says which packet a receiver got last, how many it got, and how much headroom its buffers have. This gives two limits. Loss
//! shows that the path is full: the rate doubles until something is lost (slow start), backs off to a little less than what came
//! through, and grows again in small steps. The headroom shows that a receiver is behind before anything is lost; it bounds what is sent
//! of new data, since repairs may be what makes room.
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
//! Loss that does not fall with the rate is no congestion, but the link's own: from then on it is expected. Only a probe can show that,
//! never gradual adaptation, which would bit by bit take congestion for the link's loss. A probe lowers the rate far and keeps it there
//! for two rounds, so that loss caused by another session on the same path ends, too, once that session has slowed down. Whatever a
//! probe shows, the loss at its end is the links' own. Slow start goes on after one that shows that it met no more than that.
//!
//! Links that lose packets in bursts lose much in one round and nothing in the next, so their loss at a lower rate says little.
//! Therefore a rate that backed off far below the last limit soon rises again: a limit is believed when loss occurs there twice.

mod receiver_state;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use campanile_pgm::Instant;

use self::receiver_state::{PERSISTS, Progress, ReceiverState, Significance};
use crate::multicast::report::{ReceiverId, Report};

/// Finds the rate of one session. Rates are in bytes a second.
///
/// # Order of calls
///
/// [`RateController::take`] with each report; [`RateController::rate`], then [`RateController::take_back_off`] and
/// [`RateController::sent_max`], before each turn of sending.
#[derive(Debug)]
pub(crate) struct RateController {
    floor: f64,
    ceiling: f64,
    packet_len: f64,
    /// The rate that the paths can take.
    rate: f64,
    /// Rounds without loss at a greater rate than `rate_at_loss`, or the number that the rate is to grow as after; `None` in
    /// slow start, before the first limit. `rate_at_loss` is the rate at the last loss.
    loss_free_rounds: Option<u32>,
    rate_at_loss: f64,
    /// The rate that came through at the last loss, probes aside.
    delivered_at_loss: f64,
    receivers: HashMap<ReceiverId, ReceiverState>,
    /// Receivers whose reports do not say enough about this round yet.
    unsampled: usize,
    /// There were reports since the receivers were looked at, which is done once a turn, however many reports it brings.
    has_news: bool,
    /// What had been sent when the rate was last asked for.
    sent: Sent,
    /// How many packets may be sent, counted from the first one that a receiver needs.
    window: u64,
    /// What the smallest socket buffer of a receiver holds, in bytes.
    socket_buffer: f64,
    /// The first packet that some receiver has no headroom for, or that would push a packet that it needs out of the window.
    headroom_end: u64,
    zero_window: Option<ZeroWindow>,
    round: Round,
    probe: Option<LossProbe>,
    /// The rate backed off since [`RateController::take_back_off`] was called.
    has_backed_off: bool,
    /// When silent receivers are looked for next.
    expiry_at: Instant,
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
pub(crate) struct Feedback {
    /// Packets before the first one that its receiver needs.
    pub(crate) acked: u64,
    /// Packets sent up to the last one that it got.
    pub(crate) highest: u64,
    /// At least how long ago that one was sent.
    pub(crate) age: Duration,
}

/// A receiver has no headroom: packets leave one by one, at the floor.
#[derive(Debug, Clone, Copy)]
struct ZeroWindow {
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
struct SendRate {
    /// Bytes in all.
    bytes: f64,
    /// Original packets.
    packets: f64,
}

/// A lowered rate, to see whether that lessens a loss.
#[derive(Debug, Clone, Copy)]
struct LossProbe {
    /// The rate to go back to if the loss is the link's.
    restore: f64,
    /// The loss at that rate.
    excess: f64,
    /// Rounds that lost too much.
    rounds: u8,
    /// The rate to go on with if lowering it helped.
    backed_off: f64,
    /// The loss that ended slow start, if that did.
    slow_start: Option<f64>,
}

impl LossProbe {
    /// Whether the rate is far below what came through.
    fn is_deep(&self) -> bool {
        self.rounds > 1
    }

    /// Takes the loss at a lower rate. One that lost far more is not one to go back to.
    fn compare(&mut self, excess: f64) {
        if excess < self.excess * PERSISTS {
            (self.restore, self.excess) = (self.backed_off, excess);
        }
    }

    /// Whether slow start ended for what links lose anyway: had that been known, it would have gone on.
    fn ended_slow_start_for(&self, link_loss: f64) -> bool {
        self.slow_start.is_some_and(|loss| loss - link_loss <= tolerance_slow_start(link_loss))
    }
}

impl RateController {
    /// A session that begins now with the rate `initial`. `packet_len` is what a packet counts for rates. `window` packets may be sent,
    /// counted from the first one that a receiver needs.
    pub(super) fn new(
        now: Instant,
        bounds: RangeInclusive<u64>,
        initial: u64,
        packet_len: u64,
        window: u64,
    ) -> Self {
        RateController {
            // A floor of less than 8 bits a second would be 0 bytes.
            floor: (*bounds.start()).max(1) as f64,
            ceiling: *bounds.end() as f64,
            packet_len: packet_len as f64,
            rate: initial as f64,
            loss_free_rounds: None,
            rate_at_loss: 0.0,
            delivered_at_loss: 0.0,
            receivers: HashMap::new(),
            unsampled: 0,
            has_news: false,
            sent: Sent::default(),
            window,
            socket_buffer: f64::INFINITY,
            headroom_end: u64::MAX,
            zero_window: None,
            round: Round { began: now, sent: Sent::default() },
            probe: None,
            has_backed_off: false,
            expiry_at: now + EXPIRY_INTERVAL,
            heard_at: now,
        }
    }

    /// Takes a report.
    pub(super) fn take(&mut self, now: Instant, report: &Report, feedback: Feedback) {
        let Feedback { acked, highest, age } = feedback;
        if report.standing.is_final() {
            self.has_news |= self.receivers.remove(&report.receiver).is_some();
            return;
        }
        if !self.receivers.contains_key(&report.receiver) && self.receivers.len() == RECEIVERS_MAX {
            return;
        }
        let began = self.round.sent.packets;
        let progress = Progress { highest, received: report.heard };
        let new = ReceiverState::new(now, progress);
        let receiver = self.receivers.entry(report.receiver).or_insert(new);
        if !receiver.take(now, progress, began) {
            return;
        }
        receiver.min_rtt = receiver.min_rtt.min(age);
        receiver.socket_buffer = f64::from(report.socket);
        let headroom = (report.headroom as f64 / self.packet_len) as u64;
        let behind = highest.saturating_sub(acked);
        receiver.headroom_end = highest.saturating_add(headroom.min(self.window.saturating_sub(behind)));
        // A receiver that repeats the same report gets no more than a silent one.
        if receiver.last_progress_at() == now || highest >= self.sent.packets {
            self.heard_at = now;
        }
        self.has_news = true;
    }

    /// The interval at which each receiver is to report: a few times in the time that fills a socket buffer, but all together within a
    /// share of the rate.
    pub(super) fn interval(&self) -> Duration {
        let least = (self.socket_buffer / BUFFER_INTERVALS / self.rate).clamp(INTERVAL_MIN, INTERVAL_USUAL);
        Duration::from_secs_f64(self.share_interval().clamp(least, INTERVAL_MAX))
    }

    /// The interval in seconds at which all receivers' reports use up their share of the rate.
    fn share_interval(&self) -> f64 {
        let share = if self.is_in_slow_start() { REPORTS_SHARE_SLOW_START } else { REPORTS_SHARE };
        let all = (self.rate * share).max(REPORTS_MIN);
        self.receivers.len().max(1) as f64 * REPORT_LEN / all
    }

    /// The rate from now on; `sent` is what was sent so far.
    pub(super) fn rate(&mut self, now: Instant, sent: Sent) -> u64 {
        self.sent = sent;
        if self.expiry_at <= now {
            self.expire(now);
        }
        if std::mem::take(&mut self.has_news) {
            self.update();
        }
        if self.unsampled == 0 && !self.receivers.is_empty() {
            self.end_round(now, sent);
        }
        self.rate.clamp(self.floor, self.ceiling) as u64
    }

    /// Whether the rate has backed off since this was last called: that loss may have been congestion, and says nothing about the links.
    pub(super) fn take_back_off(&mut self) -> bool {
        std::mem::take(&mut self.has_backed_off)
    }

    /// How many packets may be sent in all, repairs aside, if `sent` were: as many as there is headroom for, and beyond that as many as
    /// the floor rate allows, whatever is reported.
    pub(super) fn sent_max(&mut self, now: Instant, sent: Sent) -> u64 {
        if sent.packets < self.headroom_end {
            self.zero_window = None;
            return self.headroom_end;
        }
        let packet = Duration::from_secs_f64(self.packet_len / self.floor);
        let new = ZeroWindow { sent_max: sent.packets, next_at: now + packet };
        let zero_window = self.zero_window.get_or_insert(new);
        if zero_window.next_at <= now {
            *zero_window = ZeroWindow { sent_max: sent.packets + 1, next_at: now + packet };
        }
        zero_window.sent_max
    }

    /// When [`RateController::rate`] is to be called again at the latest.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.zero_window.map_or(self.expiry_at, |zero_window| zero_window.next_at.min(self.expiry_at))
    }

    /// Ends a round, about which each receiver has reported enough.
    fn end_round(&mut self, now: Instant, sent: Sent) {
        let seconds = now.since(self.round.began).as_secs_f64().max(1e-6);
        let send_rate = SendRate {
            bytes: sent.bytes.saturating_sub(self.round.sent.bytes) as f64 / seconds,
            packets: sent.packets.saturating_sub(self.round.sent.packets).max(1) as f64 / seconds,
        };
        let significance = self.significance();
        let excesses = self.receivers.values_mut().filter_map(|receiver| receiver.judge(significance));
        let excess = excesses.reduce(|most, one| if one.share > most.share { one } else { most });
        let mut probe = self.probe.take();
        if let (Some(excess), Some(probe)) = (excess, &mut probe) {
            probe.compare(excess.share);
        }
        match (excess, probe) {
            (Some(excess), _) if excess.grows => self.back_off(send_rate.bytes, excess.share, None),
            (Some(excess), Some(probe)) if probe.rounds == PROBE_ROUNDS => {
                self.end_probe(probe.restore, significance);
                if probe.ended_slow_start_for(excess.share) {
                    self.loss_free_rounds = None;
                }
            }
            (Some(excess), probe) => self.back_off(send_rate.bytes, excess.share, probe),
            (None, Some(probe)) if probe.is_deep() => self.end_probe(probe.backed_off, significance),
            (None, _) => self.increase(send_rate),
        }
        self.round = Round { began: now, sent };
        self.receivers.values_mut().for_each(ReceiverState::begin_round);
        self.unsampled = self.receivers.len();
    }

    /// Lowers the rate to a little less than came through; when that does not help, far below that, where it stays for the probe.
    fn back_off(&mut self, send_rate: f64, excess: f64, probe: Option<LossProbe>) {
        let rate = self.rate;
        let delivered = rate.min(send_rate) * (1.0 - excess);
        // Far below what came through at the last loss this may be bad luck; it is the limit only if it occurs again.
        let is_unconfirmed = probe.is_none() && send_rate < self.delivered_at_loss * CONFIRMED;
        if probe.is_none() {
            self.delivered_at_loss = delivered;
        }
        let slow_start = self.is_in_slow_start().then_some(excess);
        let new = LossProbe { restore: rate, excess, rounds: 0, backed_off: 0.0, slow_start };
        let mut probe = probe.unwrap_or(new);
        if !probe.is_deep() {
            probe.backed_off = (delivered * BACK_OFF).clamp(self.floor, self.ceiling);
        }
        probe.rounds += 1;
        let part = if probe.is_deep() { PROBE_DEPTH } else { 1.0 };
        self.rate = (probe.backed_off * part).max(self.floor);
        (self.probe, self.has_backed_off) = (Some(probe), true);
        (self.loss_free_rounds, self.rate_at_loss) =
            (Some(if is_unconfirmed { UNCONFIRMED_ROUNDS } else { 0 }), send_rate);
    }

    /// Ends a probe at a rate that overruns no path: what was lost there is the links' own.
    fn end_probe(&mut self, rate: f64, significance: Significance) {
        self.receivers.values_mut().for_each(|receiver| receiver.adopt_link_loss(significance));
        self.rate = rate;
    }

    /// Raises the rate, but not far beyond what comes through, since the rest waits in a queue or will be lost; and a rate that is not
    /// used shows nothing.
    fn increase(&mut self, send_rate: SendRate) {
        let delivered =
            self.receivers.values().filter_map(ReceiverState::delivery_rate).fold(f64::INFINITY, f64::min);
        // The share that came through of everything sent, repairs included, is taken to be that of the original data.
        let share = (delivered / send_rate.packets).min(1.0);
        let is_used = send_rate.bytes >= self.rate * USED;
        let growth = 1.0 + self.growth();
        let overshoot = if self.is_in_slow_start() { growth } else { OVERSHOOT };
        let raised = (self.rate * growth).min(send_rate.bytes * share * overshoot).min(self.ceiling);
        self.rate = self.rate.max(raised);
        // If packets come through more slowly than they are sent, a queue fills: the limit is near. And doubling a rate that is not
        // used finds nothing; but during the first round the session may have waited for receivers.
        let is_first = self.round.sent == Sent::default();
        self.loss_free_rounds = match self.loss_free_rounds {
            None if share < USED || !is_used && !is_first => Some(0),
            rounds => rounds.map(|rounds| rounds + u32::from(send_rate.bytes > self.rate_at_loss)),
        };
    }

    fn is_in_slow_start(&self) -> bool {
        self.loss_free_rounds.is_none()
    }

    /// The part by which the rate grows after a round without loss. On a path that loses much anyway a larger step does little harm,
    /// and a smaller one would not show whether the path is full.
    fn growth(&self) -> f64 {
        let least = GROWTH_MIN.max(self.link_loss() * STEP_OF_LINK_LOSS);
        let growth = |rounds| least * (f64::from(rounds) / GROWTH_DOUBLES).exp2();
        self.loss_free_rounds.map_or(GROWTH_SLOW_START, |rounds| growth(rounds).min(GROWTH_MAX))
    }

    /// What the worst link loses at any rate.
    fn link_loss(&self) -> f64 {
        self.receivers.values().map(ReceiverState::link_loss).fold(0.0, f64::max)
    }

    /// Which loss counts as more than chance. The less the rate grows, the less is lost when that was too much, so the smaller a loss
    /// counts. The more receivers there are, the more often one of them has bad luck: the greatest of n draws is about sqrt(2 ln n)
    /// deviations out.
    fn significance(&self) -> Significance {
        if self.is_in_slow_start() {
            let packets = self.rate * SAMPLE_SECONDS_SLOW_START / self.packet_len;
            return Significance {
                tolerance: tolerance_slow_start(self.link_loss()),
                deviations: DEVIATIONS,
                packets: packets.clamp(SAMPLE_MIN_SLOW_START, SAMPLE_OF_LOSS),
            };
        }
        let least = self.link_loss() * TOLERANCE_OF_LINK_LOSS;
        let tolerance = |tested: f64| tested.clamp(TOLERANCE_MIN, TOLERANCE_MAX).max(least);
        Significance {
            tolerance: match self.probe {
                Some(probe) => tolerance(probe.excess * TOLERANCE_OF_PROBE),
                None => tolerance(self.growth() * TOLERANCE_OF_STEP),
            },
            deviations: DEVIATIONS + (2.0 * (self.receivers.len().max(1) as f64).ln()).sqrt(),
            packets: SAMPLE_OF_LOSS,
        }
    }

    /// Updates how many receivers are unsampled, and where headroom ends.
    fn update(&mut self) {
        let significance = self.significance();
        self.unsampled =
            self.receivers.values().filter(|receiver| !receiver.is_sampled(significance)).count();
        // A deep probe is over when all links are known: one that is not would look like the next limit. At so low a rate there is time.
        let is_deep = self.probe.as_ref().is_some_and(LossProbe::is_deep);
        if !is_deep && self.receivers.values().any(|receiver| receiver.loses_heavily(significance)) {
            self.unsampled = 0;
        }
        // By the present rate and interval, which may have changed since a receiver that reports rarely did so.
        let unreported = self.rate * self.share_interval() * BUFFER_INTERVALS;
        let headroom_end = |receiver: &ReceiverState| {
            // What was sent to it is on the path, or in its socket buffer, which fills while it is not read.
            let in_flight =
                self.rate * receiver.min_rtt.as_secs_f64() + receiver.socket_buffer.max(unreported);
            receiver.headroom_end.min(receiver.highest().saturating_add((in_flight / self.packet_len) as u64))
        };
        self.headroom_end = self.receivers.values().map(headroom_end).min().unwrap_or(u64::MAX);
        self.socket_buffer =
            self.receivers.values().map(|receiver| receiver.socket_buffer).fold(f64::INFINITY, f64::min);
    }

    /// Forgets receivers that get nothing any more; when nobody reports, halves the rate each time.
    fn expire(&mut self, now: Instant) {
        self.expiry_at = now + EXPIRY_INTERVAL;
        let timeout = RECEIVER_TIMEOUT.max(self.interval() * 4);
        self.receivers.retain(|_, receiver| now.since(receiver.last_progress_at()) < timeout);
        self.has_news = true;
        if now.since(self.heard_at) > timeout {
            self.rate = (self.rate / 2.0).max(self.floor);
            self.heard_at = now;
        }
    }
}

/// The loss that is tolerated in slow start where links lose so much anyway: a rate beyond the limit then loses a third; a smaller loss
/// is a link's, or caused by another session that is to give way. So much is tolerated that the bad luck of one of many receivers hardly
/// matters, and the reports of many take long: to require more of them would overrun the path for as long.
fn tolerance_slow_start(link_loss: f64) -> f64 {
    (1.0 - link_loss) / 4.0
}

/// By how much the rate grows in a round: in slow start it doubles until the first loss, or the first sign of a queue; from then on it
/// grows a little, so that a limit is exceeded by 1 or 2 %. Beyond the rate that last lost something the step doubles every
/// `GROWTH_DOUBLES` rounds, so that a limit far away is found within a second.
const GROWTH_SLOW_START: f64 = 1.0;
const GROWTH_MIN: f64 = 1.0 / 64.0;
const GROWTH_DOUBLES: f64 = 3.0;
const GROWTH_MAX: f64 = 0.25;
/// A loss at no less than this part of what came through last confirms the limit; after one below it the rate grows as after
/// `UNCONFIRMED_ROUNDS` rounds without loss, by an eighth.
const CONFIRMED: f64 = 0.85;
const UNCONFIRMED_ROUNDS: u32 = 9;
/// The rate counts as used if at least this share of it is sent, and a queue as not growing if at least this share of that comes
/// through in time. At twice the limit half comes through, and reports are not very punctual.
const USED: f64 = 0.75;
/// How far a rate goes beyond what comes through.
const OVERSHOOT: f64 = 1.0 + GROWTH_MAX;
/// The part of what came through that is sent after a loss, so that queues empty, and sessions that have less get room.
const BACK_OFF: f64 = 0.9;
/// The bounds of the loss that is tolerated.
const TOLERANCE_MIN: f64 = 0.01;
const TOLERANCE_MAX: f64 = 0.05;
/// The loss that is tolerated, as a part of what a step that is too large would lose, and of what the rate backed off for.
const TOLERANCE_OF_STEP: f64 = 1.0 / 6.0;
const TOLERANCE_OF_PROBE: f64 = 1.0 / 4.0;
/// The least step, and the least loss that is tolerated, as parts of what the worst link loses.
const STEP_OF_LINK_LOSS: f64 = 1.0 / 4.0;
const TOLERANCE_OF_LINK_LOSS: f64 = 1.0 / 8.0;
/// How many standard deviations count as chance, with one receiver.
const DEVIATIONS: f64 = 2.5;
/// How many packets show how much is lost; the seconds of which the packets do in slow start, where the rate doubles, and a rate beyond
/// the limit loses far more than one within; and how many that are at least.
const SAMPLE_OF_LOSS: f64 = 192.0;
const SAMPLE_SECONDS_SLOW_START: f64 = 0.03;
const SAMPLE_MIN_SLOW_START: f64 = 64.0;
/// The rounds of a probe through which a loss must persist; the part of what came through that is sent from the second one on.
const PROBE_ROUNDS: u8 = 3;
const PROBE_DEPTH: f64 = 0.5;
/// For how many report intervals a socket buffer is to last. With longer intervals it is assumed to last that long, too: otherwise many
/// receivers, each reporting rarely, would hold the rate down.
const BUFFER_INTERVALS: f64 = 4.0;
/// The share of the rate that all reports together may take; the same in slow start, which many receivers would otherwise hold up; the
/// least for all reports in bytes a second; and the bytes of one report.
const REPORTS_SHARE: f64 = 0.01;
const REPORTS_SHARE_SLOW_START: f64 = 0.04;
const REPORTS_MIN: f64 = 250.0 * REPORT_LEN;
const REPORT_LEN: f64 = 120.0;
/// In seconds. The usual interval is short enough to judge a round by; shorter ones cost processor time.
const INTERVAL_MIN: f64 = 0.001;
const INTERVAL_USUAL: f64 = 0.005;
const INTERVAL_MAX: f64 = 60.0;
/// How long a receiver may get nothing new, or all may be silent.
const RECEIVER_TIMEOUT: Duration = Duration::from_secs(1);
const EXPIRY_INTERVAL: Duration = Duration::from_millis(200);
/// The most receivers that are considered.
const RECEIVERS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
