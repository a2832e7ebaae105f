//! The repair of one block: the states of RFC 3208 §6.3.

use super::packet_repair::PacketRepair;
use super::retries::{Patience, Retries};
use crate::Instant;

/// The state of a block's repair.
///
/// Without parity on demand each packet has a state of its own, and packets in the same state share a timer. With it the group is
/// repaired as a whole.
#[derive(Debug, Clone)]
pub(super) enum Repair {
    /// Nothing is asked for.
    Idle,
    /// Single packets are asked for.
    Packets(PacketRepair),
    /// Parity is asked for.
    Group(GroupRepair),
}

/// The state of a group.
#[derive(Debug, Clone)]
pub(super) struct GroupRepair {
    pub(super) stage: Stage,
    /// When the stage's timer ends.
    pub(super) at: Instant,
    /// How many packets the last NAK that was sent, heard or confirmed asked for.
    pub(super) asked: u8,
    /// Whether another receiver's NAK has replaced ours since we last sent one.
    has_refrained: bool,
    pub(super) retries: Retries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    BackOff,
    WaitNcf,
    WaitData,
}

/// What has to be done at the end of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// A NAK is to be sent.
    Nak,
    /// These packets were asked for too often, and are given up.
    Lost(u128),
    Nothing,
}

impl Repair {
    /// The end of the earliest timer.
    pub(super) fn deadline(&self) -> Instant {
        match self {
            Repair::Idle => Instant::FAR_FUTURE,
            Repair::Packets(repair) => repair.deadline(),
            Repair::Group(group) => group.at,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Repair::Idle)
    }

    pub(super) fn retries_mut(&mut self) -> Option<&mut Retries> {
        match self {
            Repair::Idle => None,
            Repair::Packets(repair) => Some(&mut repair.retries),
            Repair::Group(group) => Some(&mut group.retries),
        }
    }
}

impl GroupRepair {
    pub(super) fn back_off(until: Instant) -> Self {
        let retries = Retries::default();
        GroupRepair { stage: Stage::BackOff, at: until, asked: 0, has_refrained: false, retries }
    }

    /// Records that a NAK for this many packets was sent.
    pub(super) fn nak_sent(&mut self, asked: u8, now: Instant, confirmation_ns: u64) {
        self.stage = Stage::WaitNcf;
        self.at = now.plus_nanos(confirmation_ns);
        self.asked = asked;
        self.has_refrained = false;
        self.retries.nak_at = Some(now);
    }

    /// Handles another receiver's NAK as if we had sent it, if it asks for as much as we lack; only once for each NAK of ours.
    pub(super) fn nak_heard(&mut self, asked: u8, lacking: u8, now: Instant, confirmation_ns: u64) {
        if asked >= lacking && self.stage != Stage::WaitData && !self.has_refrained {
            self.has_refrained = true;
            self.stage = Stage::WaitNcf;
            self.at = now.plus_nanos(confirmation_ns);
            self.asked = asked;
        }
    }

    /// Records that a repair of the group was heard: repairs are on their way, even if the confirmation was lost. A receiver that has
    /// not asked yet still does, since it may lack more.
    pub(super) fn repair_heard(&mut self, now: Instant, more_ns: u64) {
        if self.stage == Stage::WaitNcf {
            self.stage = Stage::WaitData;
            self.at = now.plus_nanos(more_ns);
            self.retries.ncf = 0;
        }
    }

    /// Records that this many packets were confirmed; true when these are as many as we lack (§6.3, §11.5).
    pub(super) fn confirmed(&mut self, asked: u8, lacking: u8, now: Instant, repair_ns: u64) -> bool {
        let enough = asked >= lacking;
        if enough {
            self.stage = Stage::WaitData;
            self.at = now.plus_nanos(repair_ns);
            self.asked = asked;
            self.retries.confirmed();
        }
        enough
    }

    /// Handles the timer if it is due. A group that has to be asked for again backs off until `backoff_until`.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        patience: Patience,
        missing: u128,
        backoff_until: Instant,
    ) -> Expired {
        if self.at > now {
            return Expired::Nothing;
        }
        let too_often = match self.stage {
            Stage::BackOff => {
                self.at = Instant::FAR_FUTURE;
                return Expired::Nak;
            }
            Stage::WaitNcf => self.retries.unconfirmed(now, patience),
            Stage::WaitData => self.retries.unanswered(now, patience),
        };
        if too_often {
            return Expired::Lost(missing);
        }
        self.stage = Stage::BackOff;
        self.at = backoff_until;
        Expired::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_as_much_as_it_lacks() {
        let mut group = GroupRepair::back_off(Instant(10));
        group.nak_heard(2, 3, Instant(5), 20);
        assert_eq!((group.stage, group.at), (Stage::BackOff, Instant(10)), "less than we lack");
        assert!(!group.confirmed(2, 3, Instant(5), 20));
        assert_eq!(group.expire(Instant(10), Patience::LITTLE, 7, Instant(50)), Expired::Nak);
        group.nak_sent(3, Instant(10), 5);
        assert!(group.confirmed(4, 3, Instant(12), 20));
        assert_eq!((group.stage, group.at), (Stage::WaitData, Instant(32)));
        assert_eq!(group.expire(Instant(32), Patience::LITTLE, 7, Instant(50)), Expired::Nothing);
        assert_eq!((group.stage, group.at), (Stage::BackOff, Instant(50)));
        group.confirmed(3, 3, Instant(50), 20);
        assert_eq!(group.expire(Instant(70), Patience::LITTLE, 7, Instant(99)), Expired::Lost(7));
    }
}
