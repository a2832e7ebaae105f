//! Source path messages: their schedule and their contents (RFC 3208 §5.1.4 to §5.1.6).

use std::num::NonZeroU32;
use std::time::Duration;

use super::Source;
use super::config::{Join, ProActive, SpmConfig};
use super::phase::End;
use crate::Seq;
use crate::wire::{ParityPrm, Spm, SpmOptions, WindowState};

/// The schedule of SPMs, with the decaying heartbeat while there is nothing else to send, and their sequence numbers.
#[derive(Debug)]
pub(super) struct Heartbeat {
    min: Duration,
    max: Duration,
    interval: Duration,
    /// Heartbeats since the last data.
    beats: u8,
    /// The time to the next ambient SPM.
    ambient: Duration,
    sqn: Seq,
    /// How many of the SPMs that open the session are still to be sent.
    opening: u8,
    /// Whether an SPM is to be sent now.
    pub(super) spm_due: bool,
}

impl Heartbeat {
    pub(super) fn new(config: &SpmConfig) -> Self {
        let max = config.heartbeat_max.max(config.heartbeat_min);
        Heartbeat {
            min: config.heartbeat_min,
            max,
            interval: config.heartbeat_min,
            beats: 0,
            ambient: config.heartbeat_min,
            sqn: Seq(0),
            opening: config.opening,
            spm_due: true,
        }
    }

    /// Something was sent: the next heartbeat comes after the shortest interval.
    pub(super) fn restart(&mut self) {
        self.interval = self.min;
        self.beats = 0;
    }

    /// The time to the next heartbeat. The first few come quickly: they announce the end of a burst to all receivers, and some
    /// receivers lose each of them. After that, each interval is twice as long as the one before.
    pub(super) fn beat(&mut self) -> Duration {
        let interval = self.interval;
        self.beats = self.beats.saturating_add(1);
        if self.beats >= QUICK_BEATS {
            self.interval = interval.saturating_mul(2).min(self.max);
        }
        interval
    }

    /// The time to the next ambient SPM, up to `max`. They are more frequent at the start: a receiver cannot ask for anything before
    /// it has received one.
    pub(super) fn ambient(&mut self, max: Duration) -> Duration {
        let interval = self.ambient.min(max);
        self.ambient = interval.saturating_mul(2);
        interval
    }

    /// The sequence number of an SPM that is sent now. At the start others follow at once.
    fn number(&mut self) -> Seq {
        self.opening = self.opening.saturating_sub(1);
        self.spm_due = self.opening > 0;
        let sqn = self.sqn;
        self.sqn = sqn.next();
        sqn
    }
}

impl Source {
    /// Whether an SPM is due and nothing has to be sent before it.
    ///
    /// An SPM whose lead ends a group makes receivers ask for what they lack, so it must not overtake the parity of that group.
    pub(super) fn is_spm_due(&self) -> bool {
        self.heartbeat.spm_due && self.owed.is_none()
    }

    pub(super) fn next_spm(&mut self) -> Spm {
        let parity = self.config.parity.map(|parity| {
            ParityPrm::new(parity.group.into(), parity.pro_active != ProActive::Off, parity.on_demand)
                .expect("the configuration was checked")
        });
        let curr_tgsize = match parity {
            Some(_) => self.window.short_group_at_lead().and_then(|size| NonZeroU32::new(size.into())),
            None => None,
        };
        let end = self.phase.end();
        let options = SpmOptions {
            join: self.join_from(),
            parity,
            curr_tgsize,
            fin: end.is_some_and(End::is_fin),
            reset: end.and_then(End::reset),
            ..SpmOptions::default()
        };
        Spm {
            sqn: self.heartbeat.number(),
            window: WindowState::Known(self.window.edges()),
            path: self.config.endpoint.nla,
            options,
        }
    }

    /// The oldest sequence number that a late joiner may ask for (RFC 3208 §9.4).
    pub(super) fn join_from(&self) -> Option<Seq> {
        let trail = self.window.trail();
        match self.config.window.join {
            Join::None => None,
            Join::All => Some(self.window.seq(trail)),
            Join::Share(percent) => {
                let share = self.window.capacity() * u64::from(percent.min(100)) / 100;
                let end = self.window.lead().map_or(0, |lead| lead + 1);
                // Transmission groups are requested as a whole; and a number in the middle of one may be one that a short group left
                // out.
                let begin = match self.config.parity {
                    Some(_) => self.window.start_of(self.window.group_of(end.saturating_sub(share))),
                    None => end.saturating_sub(share),
                };
                Some(self.window.seq(begin.max(trail)))
            }
        }
    }
}

/// Enough to reach a hundred receivers that lose a third of the packets each.
const QUICK_BEATS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_open_the_session_follow_each_other() {
        let sent = |opening| {
            let mut heartbeat = Heartbeat::new(&SpmConfig { opening, ..SpmConfig::default() });
            std::iter::from_fn(|| heartbeat.spm_due.then(|| heartbeat.number())).count()
        };
        assert_eq!([0, 1, 3].map(sent), [1, 1, 3]);
    }

    #[test]
    fn the_beat_decays_and_restarts() {
        let ms = Duration::from_millis;
        let config = SpmConfig { heartbeat_min: ms(5), heartbeat_max: ms(30), ..SpmConfig::default() };
        let mut heartbeat = Heartbeat::new(&config);
        let beats = [ms(5), ms(5), ms(5), ms(5), ms(10), ms(20), ms(30), ms(30)];
        assert_eq!([(); 8].map(|()| heartbeat.beat()), beats);
        assert_eq!([(); 4].map(|()| heartbeat.ambient(ms(25))), [ms(5), ms(10), ms(20), ms(25)]);
        heartbeat.restart();
        assert_eq!([(); 5].map(|()| heartbeat.beat()), [ms(5), ms(5), ms(5), ms(5), ms(10)]);
    }
}
