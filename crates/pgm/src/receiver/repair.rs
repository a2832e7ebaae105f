//! The repair of one block: the states of RFC 3208 §6.3.

use crate::Instant;

/// How far the repair of a block has got.
///
/// Without parity each packet is in a state of its own; packets in one state share its timer. With parity the group is repaired as
/// a whole.
#[derive(Debug, Clone)]
pub(super) enum Repair {
    /// Nothing is asked for.
    Idle,
    /// Single packets are.
    Packets(Lanes),
    /// Parity is.
    Group(GroupRepair),
}

/// The states of a block's packets: for each state the packets in it, and when its timer ends.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    pub(super) backoff: u128,
    pub(super) wait_ncf: u128,
    pub(super) wait_data: u128,
    pub(super) backoff_at: Instant,
    pub(super) wait_ncf_at: Instant,
    pub(super) wait_data_at: Instant,
    pub(super) retries: Retries,
}

/// The state of a group.
#[derive(Debug, Clone)]
pub(super) struct GroupRepair {
    pub(super) stage: Stage,
    /// When the stage's timer ends.
    pub(super) at: Instant,
    /// How many packets the NAK asked for that was sent or confirmed last.
    pub(super) asked: u8,
    pub(super) retries: Retries,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    BackOff,
    WaitNcf,
    WaitData,
}

/// What a block's repair remembers from one NAK to the next.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Retries {
    pub(super) ncf: u8,
    pub(super) data: u8,
    /// When the last NAK was sent, until it is confirmed.
    pub(super) nak_at: Option<Instant>,
    /// When it was confirmed, until data come.
    pub(super) ncf_at: Option<Instant>,
}

/// What the end of a timer calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// A NAK is to be sent.
    Nak,
    /// These packets were asked for too often.
    Lost(u128),
    Nothing,
}

/// What a timer needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) ncf_retries: u8,
    pub(super) data_retries: u8,
}

impl Repair {
    /// The end of the earliest timer.
    pub(super) fn deadline(&self) -> Instant {
        match self {
            Repair::Idle => Instant::FAR_FUTURE,
            Repair::Packets(lanes) => lanes.backoff_at.min(lanes.wait_ncf_at).min(lanes.wait_data_at),
            Repair::Group(group) => group.at,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Repair::Idle)
    }

    pub(super) fn retries_mut(&mut self) -> Option<&mut Retries> {
        match self {
            Repair::Idle => None,
            Repair::Packets(lanes) => Some(&mut lanes.retries),
            Repair::Group(group) => Some(&mut group.retries),
        }
    }
}

impl Lanes {
    pub(super) fn new() -> Self {
        Lanes {
            backoff: 0,
            wait_ncf: 0,
            wait_data: 0,
            backoff_at: Instant::FAR_FUTURE,
            wait_ncf_at: Instant::FAR_FUTURE,
            wait_data_at: Instant::FAR_FUTURE,
            retries: Retries::default(),
        }
    }

    pub(super) fn all(&self) -> u128 {
        self.backoff | self.wait_ncf | self.wait_data
    }

    /// Packets begin to back off, together with those that do already.
    pub(super) fn back_off(&mut self, packets: u128, until: Instant) {
        self.backoff |= packets;
        self.backoff_at = self.backoff_at.min(until);
    }

    /// A NAK was sent for some of the packets that backed off; the others follow at once.
    pub(super) fn nak_sent(&mut self, packets: u128, now: Instant, confirmation_ns: u64) {
        self.backoff &= !packets;
        self.wait_ncf |= packets;
        self.wait_ncf_at = now.plus_nanos(confirmation_ns);
        self.backoff_at = if self.backoff == 0 { Instant::FAR_FUTURE } else { now };
        self.retries.nak_at = Some(now);
    }

    /// Another receiver's NAK was heard (§6.3): as if we had sent it.
    pub(super) fn nak_heard(&mut self, packets: u128, now: Instant, confirmation_ns: u64) {
        let matching = packets & (self.backoff | self.wait_ncf);
        if matching != 0 {
            self.backoff &= !matching;
            self.wait_ncf |= matching;
            self.wait_ncf_at = now.plus_nanos(confirmation_ns);
            self.stop_empty();
        }
    }

    /// Packets were confirmed.
    pub(super) fn confirmed(&mut self, packets: u128, now: Instant, repair_ns: u64) {
        let matching = packets & self.all();
        if matching != 0 {
            self.backoff &= !matching;
            self.wait_ncf &= !matching;
            self.wait_data |= matching;
            self.wait_data_at = now.plus_nanos(repair_ns);
            self.retries.ncf = 0;
            self.stop_empty();
        }
    }

    /// Packets are there, or given up.
    pub(super) fn remove(&mut self, packets: u128) {
        self.backoff &= !packets;
        self.wait_ncf &= !packets;
        self.wait_data &= !packets;
        self.stop_empty();
    }

    /// Ends the timers that are due. Packets that wait again back off until `backoff_until`.
    pub(super) fn expire(&mut self, now: Instant, limits: Limits, backoff_until: Instant) -> Expired {
        let mut lost = 0;
        if self.wait_ncf_at <= now {
            let packets = std::mem::take(&mut self.wait_ncf);
            self.wait_ncf_at = Instant::FAR_FUTURE;
            self.retries.ncf += 1;
            self.retries.nak_at = None;
            if self.retries.ncf > limits.ncf_retries {
                lost |= packets;
            } else {
                self.back_off(packets, backoff_until);
            }
        }
        if self.wait_data_at <= now {
            let packets = std::mem::take(&mut self.wait_data);
            self.wait_data_at = Instant::FAR_FUTURE;
            self.retries.data += 1;
            self.retries.ncf_at = None;
            if self.retries.data > limits.data_retries {
                lost |= packets;
            } else {
                self.back_off(packets, backoff_until);
            }
        }
        if lost != 0 {
            return Expired::Lost(lost);
        }
        if self.backoff != 0 && self.backoff_at <= now {
            // Until poll_transmit sends the NAK nothing else is due.
            self.backoff_at = Instant::FAR_FUTURE;
            return Expired::Nak;
        }
        Expired::Nothing
    }

    fn stop_empty(&mut self) {
        for (packets, at) in [
            (self.backoff, &mut self.backoff_at),
            (self.wait_ncf, &mut self.wait_ncf_at),
            (self.wait_data, &mut self.wait_data_at),
        ] {
            if packets == 0 {
                *at = Instant::FAR_FUTURE;
            }
        }
    }
}

impl GroupRepair {
    pub(super) fn back_off(until: Instant) -> Self {
        GroupRepair { stage: Stage::BackOff, at: until, asked: 0, retries: Retries::default() }
    }

    /// A NAK for so many packets was sent.
    pub(super) fn nak_sent(&mut self, asked: u8, now: Instant, confirmation_ns: u64) {
        self.stage = Stage::WaitNcf;
        self.at = now.plus_nanos(confirmation_ns);
        self.asked = asked;
        self.retries.nak_at = Some(now);
    }

    /// Another receiver's NAK was heard: as if we had sent it, if it asks for as much as we lack.
    pub(super) fn nak_heard(&mut self, asked: u8, lacking: u8, now: Instant, confirmation_ns: u64) {
        if asked >= lacking && self.stage != Stage::WaitData {
            self.stage = Stage::WaitNcf;
            self.at = now.plus_nanos(confirmation_ns);
            self.asked = asked;
        }
    }

    /// So many packets were confirmed; true when that is as many as we lack (§6.3, §11.5).
    pub(super) fn confirmed(&mut self, asked: u8, lacking: u8, now: Instant, repair_ns: u64) -> bool {
        let enough = asked >= lacking;
        if enough {
            self.stage = Stage::WaitData;
            self.at = now.plus_nanos(repair_ns);
            self.asked = asked;
            self.retries.ncf = 0;
        }
        enough
    }

    /// Ends the timer if it is due. Who has to wait again backs off until `backoff_until`.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        limits: Limits,
        missing: u128,
        backoff_until: Instant,
    ) -> Expired {
        if self.at > now {
            return Expired::Nothing;
        }
        let retries = &mut self.retries;
        let too_often = match self.stage {
            Stage::BackOff => {
                self.at = Instant::FAR_FUTURE;
                return Expired::Nak;
            }
            Stage::WaitNcf => {
                retries.ncf += 1;
                retries.nak_at = None;
                retries.ncf > limits.ncf_retries
            }
            Stage::WaitData => {
                retries.data += 1;
                retries.ncf_at = None;
                retries.data > limits.data_retries
            }
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

    const LIMITS: Limits = Limits { ncf_retries: 2, data_retries: 1 };

    #[test]
    fn a_packet_goes_from_back_off_to_data() {
        let mut lanes = Lanes::new();
        lanes.back_off(0b110, Instant(10));
        lanes.back_off(0b1, Instant(12));
        assert_eq!(lanes.expire(Instant(9), LIMITS, Instant(99)), Expired::Nothing);
        assert_eq!(lanes.expire(Instant(10), LIMITS, Instant(99)), Expired::Nak);
        assert_eq!(lanes.expire(Instant(11), LIMITS, Instant(99)), Expired::Nothing, "once");
        lanes.nak_sent(0b111, Instant(11), 5);
        assert_eq!((lanes.wait_ncf, lanes.wait_ncf_at), (0b111, Instant(16)));
        lanes.confirmed(0b1011, Instant(13), 10);
        assert_eq!((lanes.wait_ncf, lanes.wait_data, lanes.wait_data_at), (0b100, 0b011, Instant(23)));
        lanes.remove(0b111);
        assert_eq!((lanes.all(), Repair::Packets(lanes).deadline()), (0, Instant::FAR_FUTURE));
    }

    #[test]
    fn an_unconfirmed_nak_is_repeated_and_then_given_up() {
        let mut lanes = Lanes::new();
        lanes.back_off(0b1, Instant(1));
        for attempt in 0..3 {
            let now = 10 * attempt + 1;
            assert_eq!(lanes.expire(Instant(now), LIMITS, Instant(0)), Expired::Nak);
            lanes.nak_sent(0b1, Instant(now), 5);
            let expected = if attempt == 2 { Expired::Lost(1) } else { Expired::Nothing };
            assert_eq!(lanes.expire(Instant(now + 5), LIMITS, Instant(now + 10)), expected);
        }
    }

    #[test]
    fn another_receivers_nak_and_ncf_suppress_ours() {
        let mut lanes = Lanes::new();
        lanes.back_off(0b11, Instant(10));
        lanes.nak_heard(0b01, Instant(5), 20);
        assert_eq!((lanes.backoff, lanes.wait_ncf, lanes.wait_ncf_at), (0b10, 0b01, Instant(25)));
        lanes.confirmed(0b10, Instant(6), 30);
        assert_eq!((lanes.backoff_at, lanes.wait_data_at), (Instant::FAR_FUTURE, Instant(36)));
        assert_eq!(lanes.expire(Instant(36), LIMITS, Instant(40)), Expired::Nothing, "both waited in vain");
        assert_eq!((lanes.backoff, lanes.backoff_at), (0b11, Instant(40)));
    }

    #[test]
    fn a_group_waits_for_as_much_as_it_lacks() {
        let mut group = GroupRepair::back_off(Instant(10));
        group.nak_heard(2, 3, Instant(5), 20);
        assert_eq!((group.stage, group.at), (Stage::BackOff, Instant(10)), "less than we lack");
        assert!(!group.confirmed(2, 3, Instant(5), 20));
        assert_eq!(group.expire(Instant(10), LIMITS, 7, Instant(50)), Expired::Nak);
        group.nak_sent(3, Instant(10), 5);
        assert!(group.confirmed(4, 3, Instant(12), 20));
        assert_eq!((group.stage, group.at), (Stage::WaitData, Instant(32)));
        assert_eq!(group.expire(Instant(32), LIMITS, 7, Instant(50)), Expired::Nothing);
        assert_eq!((group.stage, group.at), (Stage::BackOff, Instant(50)));
        group.confirmed(3, 3, Instant(50), 20);
        assert_eq!(group.expire(Instant(70), LIMITS, 7, Instant(99)), Expired::Lost(7));
    }
}
