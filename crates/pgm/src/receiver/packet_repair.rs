//! The repair of single packets of a block, each in a state of RFC 3208 §6.3.

use super::heard::Answer;
use super::repair::Expired;
use super::retries::{Patience, Retries};
use crate::Instant;

/// For each state, the packets of a block that are in it, and when its timer ends.
#[derive(Debug, Clone)]
pub(super) struct PacketRepair {
    /// BACK-OFF_STATE: the packets for which a NAK is sent at `backoff_at`.
    pub(super) backoff: u128,
    pub(super) backoff_at: Instant,
    /// WAIT_NCF_STATE.
    pub(super) wait_ncf: Waiting,
    /// WAIT_DATA_STATE.
    pub(super) wait_data: Waiting,
    /// The packets that wait for data without a confirmation, because parity makes up for them.
    put_off: u128,
    /// The packets for which another receiver's NAK has replaced ours since we last sent one.
    refrained: u128,
    pub(super) retries: Retries,
}

/// Packets that wait for the same thing, with one timer for all of them.
///
/// They wait in two generations: packets that join while others wait are in the younger one, whose interval begins when that of the
/// elder one ends. So each packet waits for at least one interval and at most two, and packets that join later delay no others.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    elder: u128,
    younger: u128,
    /// When the elder generation has waited long enough.
    at: Instant,
    interval_ns: u64,
}

impl Waiting {
    const EMPTY: Waiting = Waiting { elder: 0, younger: 0, at: Instant::FAR_FUTURE, interval_ns: 0 };

    pub(super) fn packets(&self) -> u128 {
        self.elder | self.younger
    }

    /// Lets packets begin to wait, or begin again.
    fn add(&mut self, packets: u128, now: Instant, interval_ns: u64) {
        self.elder &= !packets;
        self.interval_ns = interval_ns;
        if self.elder == 0 && self.younger == 0 {
            self.elder = packets;
            self.at = now.plus_nanos(interval_ns);
        } else {
            self.younger |= packets;
        }
    }

    fn remove(&mut self, packets: u128) {
        self.elder &= !packets;
        self.younger &= !packets;
        if self.packets() == 0 {
            self.at = Instant::FAR_FUTURE;
        }
    }

    /// Ends the wait of the elder generation if it has waited for `enough_ns`; returns whether it has.
    pub(super) fn cut_short(&mut self, now: Instant, enough_ns: u64) -> bool {
        let is_enough =
            self.elder != 0 && self.at <= now.plus_nanos(self.interval_ns.saturating_sub(enough_ns));
        if is_enough {
            self.at = self.at.min(now);
        }
        is_enough
    }

    /// Takes out the elder generation if it has waited long enough, and starts the interval of the younger one.
    fn expire(&mut self, now: Instant) -> u128 {
        if self.at > now {
            return 0;
        }
        let expired = std::mem::replace(&mut self.elder, std::mem::take(&mut self.younger));
        self.at = if self.elder == 0 { Instant::FAR_FUTURE } else { now.plus_nanos(self.interval_ns) };
        expired
    }
}

impl PacketRepair {
    pub(super) fn new() -> Self {
        PacketRepair {
            backoff: 0,
            backoff_at: Instant::FAR_FUTURE,
            wait_ncf: Waiting::EMPTY,
            wait_data: Waiting::EMPTY,
            put_off: 0,
            refrained: 0,
            retries: Retries::default(),
        }
    }

    /// When the earliest of the timers ends.
    pub(super) fn deadline(&self) -> Instant {
        self.backoff_at.min(self.wait_ncf.at).min(self.wait_data.at)
    }

    /// All packets under repair.
    pub(super) fn all(&self) -> u128 {
        self.backoff | self.wait_ncf.packets() | self.wait_data.packets()
    }

    /// Lets packets back off, with one timer for all packets of the block that do.
    pub(super) fn back_off(&mut self, packets: u128, until: Instant) {
        self.backoff |= packets;
        self.put_off &= !packets;
        self.backoff_at = self.backoff_at.min(until);
    }

    /// Limits the packets that are asked for to `enough`, including those that already were. The others wait for data as if they had
    /// been confirmed.
    pub(super) fn put_off_beyond(&mut self, enough: u8, now: Instant, repair_ns: u64) {
        let waiting = self.wait_ncf.packets() | self.wait_data.packets();
        let under_way = (waiting & !self.put_off).count_ones();
        let mut beyond = self.backoff;
        for _ in under_way..enough.into() {
            beyond &= beyond.wrapping_sub(1);
        }
        if beyond != 0 {
            self.wait_data.add(beyond, now, repair_ns);
            self.put_off |= beyond;
            self.end_back_off(beyond);
        }
    }

    /// Records that a NAK was sent for some of the packets that back off; the NAK for the others is due at once.
    pub(super) fn nak_sent(&mut self, packets: u128, now: Instant, confirmation_ns: u64) {
        self.backoff &= !packets;
        self.refrained &= !packets;
        self.wait_ncf.add(packets, now, confirmation_ns);
        self.backoff_at = if self.backoff == 0 { Instant::FAR_FUTURE } else { now };
        self.retries.nak_at = Some(now);
    }

    /// Handles another receiver's NAK as if we had sent it (§6.3), but only once for each NAK of ours, so that nobody can keep us
    /// from asking forever.
    pub(super) fn nak_heard(&mut self, packets: u128, now: Instant, confirmation_ns: u64) {
        let matching = packets & (self.backoff | self.wait_ncf.packets()) & !self.refrained;
        if matching != 0 {
            self.refrained |= matching;
            self.wait_ncf.add(matching, now, confirmation_ns);
            self.end_back_off(matching);
        }
    }

    /// Records that packets were confirmed.
    pub(super) fn confirmed(&mut self, packets: u128, now: Instant, repair_ns: u64) {
        let matching = packets & self.all();
        if matching != 0 {
            self.wait_ncf.remove(matching);
            self.put_off &= !matching;
            self.wait_data.add(matching, now, repair_ns);
            self.retries.confirmed();
            self.retries.ncf_at.get_or_insert(now);
            self.end_back_off(matching);
        }
    }

    /// Records that a packet came; returns what it shows about the wait for repairs, if it was under repair. What comes after a wait
    /// has ended may answer any of the confirmations.
    pub(super) fn arrived(&mut self, packet: u128, now: Instant) -> Option<Answer> {
        let awaited = self.wait_data.packets() & packet != 0;
        let is_under_repair = self.all() & packet != 0;
        self.remove(packet);
        match self.retries.ncf_at.take_if(|_| awaited) {
            _ if is_under_repair && self.retries.data > 0 => Some(Answer::Unclear),
            at => at.map(|at| Answer::After(now.nanos_since(at))),
        }
    }

    /// Ends the repair of packets that are there or given up.
    pub(super) fn remove(&mut self, packets: u128) {
        self.wait_ncf.remove(packets);
        self.wait_data.remove(packets);
        self.end_back_off(packets);
    }

    /// Handles the timers that are due. Packets that have to be asked for again back off until `backoff_until`.
    pub(super) fn expire(&mut self, now: Instant, patience: Patience, backoff_until: Instant) -> Expired {
        let mut lost = 0;
        let unconfirmed = self.wait_ncf.expire(now);
        if unconfirmed != 0 {
            if self.retries.unconfirmed(now, patience) {
                lost |= unconfirmed;
            } else {
                self.back_off(unconfirmed, backoff_until);
            }
        }
        let waited = self.wait_data.expire(now);
        let put_off = waited & self.put_off;
        if put_off != 0 {
            // These were not confirmed: that they did not come says nothing about the source.
            self.back_off(put_off, backoff_until);
        }
        let unanswered = waited & !put_off;
        if unanswered != 0 {
            if self.retries.unanswered(now, patience) {
                lost |= unanswered;
            } else {
                self.back_off(unanswered, backoff_until);
            }
        }
        if lost != 0 {
            return Expired::Lost(lost);
        }
        if self.backoff != 0 && self.backoff_at <= now {
            // Nothing else is due until poll_transmit sends the NAK.
            self.backoff_at = Instant::FAR_FUTURE;
            return Expired::Nak;
        }
        Expired::Nothing
    }

    fn end_back_off(&mut self, packets: u128) {
        self.backoff &= !packets;
        if self.backoff == 0 {
            self.backoff_at = Instant::FAR_FUTURE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_goes_from_back_off_to_data() {
        let mut repair = PacketRepair::new();
        repair.back_off(0b110, Instant(10));
        repair.back_off(0b1, Instant(12));
        assert_eq!(repair.expire(Instant(9), Patience::LITTLE, Instant(99)), Expired::Nothing);
        assert_eq!(repair.expire(Instant(10), Patience::LITTLE, Instant(99)), Expired::Nak);
        assert_eq!(repair.expire(Instant(11), Patience::LITTLE, Instant(99)), Expired::Nothing, "once");
        repair.nak_sent(0b111, Instant(11), 5);
        assert_eq!((repair.wait_ncf.packets(), repair.wait_ncf.at), (0b111, Instant(16)));
        repair.confirmed(0b1011, Instant(13), 10);
        assert_eq!((repair.wait_ncf.packets(), repair.wait_data.packets()), (0b100, 0b011));
        assert_eq!(repair.wait_data.at, Instant(23));
        repair.remove(0b111);
        assert_eq!((repair.all(), repair.deadline()), (0, Instant::FAR_FUTURE));
    }

    #[test]
    fn a_packet_that_comes_late_may_answer_any_confirmation() {
        let mut repair = PacketRepair::new();
        repair.back_off(0b111, Instant(1));
        repair.confirmed(0b111, Instant(2), 5);
        assert_eq!(repair.arrived(0b1, Instant(4)), Some(Answer::After(2)));
        assert_eq!(repair.arrived(0b1, Instant(5)), None, "it was there");
        assert_eq!(
            repair.expire(Instant(7), Patience { data_retries: 9, ..Patience::LITTLE }, Instant(8)),
            Expired::Nothing
        );
        assert_eq!(repair.arrived(0b10, Instant(9)), Some(Answer::Unclear), "it backs off");
        repair.confirmed(0b100, Instant(10), 5);
        assert_eq!(repair.arrived(0b100, Instant(11)), Some(Answer::Unclear), "it was confirmed twice");
    }

    #[test]
    fn no_more_is_asked_for_than_parity_leaves_lacking() {
        let mut repair = PacketRepair::new();
        repair.back_off(0b11_0110, Instant(10));
        repair.put_off_beyond(3, Instant(10), 20);
        assert_eq!((repair.backoff, repair.wait_data.packets()), (0b1_0110, 0b10_0000));
        repair.nak_sent(0b1_0110, Instant(10), 5);
        repair.back_off(0b1, Instant(12));
        repair.put_off_beyond(3, Instant(12), 20);
        assert_eq!((repair.backoff, repair.backoff_at), (0, Instant::FAR_FUTURE));
        assert_eq!(repair.wait_data.packets(), 0b10_0001);
        // Packets that were put off do not count as asked for.
        repair.remove(0b1_0110);
        let waited = repair.wait_data.expire(Instant(40));
        repair.back_off(waited, Instant(41));
        repair.put_off_beyond(1, Instant(41), 20);
        assert_eq!((repair.backoff, repair.wait_data.packets()), (0b10_0000, 0b1));
    }

    #[test]
    fn an_unconfirmed_nak_is_repeated_and_then_given_up() {
        let mut repair = PacketRepair::new();
        repair.back_off(0b1, Instant(1));
        for attempt in 0..3 {
            let now = 10 * attempt + 1;
            assert_eq!(repair.expire(Instant(now), Patience::LITTLE, Instant(0)), Expired::Nak);
            repair.nak_sent(0b1, Instant(now), 5);
            let expected = if attempt == 2 { Expired::Lost(1) } else { Expired::Nothing };
            assert_eq!(repair.expire(Instant(now + 5), Patience::LITTLE, Instant(now + 10)), expected);
        }
    }

    #[test]
    fn packets_that_join_later_do_not_delay_the_others() {
        let mut waiting = Waiting::EMPTY;
        waiting.add(0b1, Instant(0), 10);
        waiting.add(0b10, Instant(4), 10);
        waiting.add(0b100, Instant(8), 10);
        assert_eq!(
            (waiting.expire(Instant(9)), waiting.expire(Instant(10)), waiting.at),
            (0, 0b1, Instant(20))
        );
        waiting.add(0b10, Instant(15), 10);
        assert_eq!(
            (waiting.expire(Instant(20)), waiting.expire(Instant(30)), waiting.at),
            (0b100, 0b10, Instant::FAR_FUTURE)
        );
    }

    #[test]
    fn a_wait_is_cut_short_for_packets_that_have_waited_a_while() {
        let mut waiting = Waiting::EMPTY;
        assert!(!waiting.cut_short(Instant(50), 0), "nobody waits");
        waiting.add(0b1, Instant(0), 100);
        waiting.add(0b10, Instant(5), 100);
        assert!(!waiting.cut_short(Instant(3), 4));
        assert!(waiting.cut_short(Instant(8), 4));
        assert_eq!((waiting.expire(Instant(8)), waiting.packets(), waiting.at), (0b1, 0b10, Instant(108)));
        assert!(!waiting.cut_short(Instant(9), 4) && waiting.cut_short(Instant(12), 4));
        assert_eq!((waiting.expire(Instant(12)), waiting.at), (0b10, Instant::FAR_FUTURE));
    }

    #[test]
    fn short_intervals_do_not_shorten_the_patience() {
        let patient = Patience { ncf_patience_ns: 100, ..Patience::LITTLE };
        let mut repair = PacketRepair::new();
        for now in (0..200).step_by(10) {
            repair.nak_sent(0b1, Instant(now), 5);
            let expected = if now < 100 { Expired::Nothing } else { Expired::Lost(1) };
            assert_eq!(repair.expire(Instant(now + 5), patient, Instant(900)), expected, "at {now}");
        }
    }

    #[test]
    fn nothing_is_given_up_while_the_source_is_silent() {
        let mut repair = PacketRepair::new();
        for now in (0..1000).step_by(10) {
            let silent =
                Patience { heard_at: Instant(if now < 900 { 0 } else { now + 1 }), ..Patience::LITTLE };
            repair.nak_sent(0b1, Instant(now), 5);
            let expected = if now < 920 { Expired::Nothing } else { Expired::Lost(1) };
            assert_eq!(repair.expire(Instant(now + 5), silent, Instant(2000)), expected, "at {now}");
        }
        assert!(repair.retries.unanswered_naks() > 90);
        repair.nak_sent(0b1, Instant(1000), 5);
        repair.confirmed(0b1, Instant(1001), 10);
        assert_eq!(repair.retries.unanswered_naks(), 0);
    }

    #[test]
    fn what_was_put_off_is_not_given_up_while_the_source_is_silent() {
        let silent = Patience { heard_at: Instant(0), ..Patience::LITTLE };
        let mut repair = PacketRepair::new();
        repair.back_off(0b11, Instant(1));
        for now in (1..1000).step_by(10) {
            repair.put_off_beyond(1, Instant(now), 5);
            assert_eq!(repair.backoff.count_ones(), 1);
            repair.nak_sent(repair.backoff, Instant(now), 5);
            assert_eq!(
                repair.expire(Instant(now + 5), silent, Instant(now + 10)),
                Expired::Nothing,
                "at {now}"
            );
        }
    }

    #[test]
    fn another_receivers_nak_and_ncf_suppress_ours() {
        let mut repair = PacketRepair::new();
        repair.back_off(0b11, Instant(10));
        repair.nak_heard(0b01, Instant(5), 20);
        assert_eq!(
            (repair.backoff, repair.wait_ncf.packets(), repair.wait_ncf.at),
            (0b10, 0b01, Instant(25))
        );
        repair.confirmed(0b10, Instant(6), 30);
        assert_eq!((repair.backoff_at, repair.wait_data.at), (Instant::FAR_FUTURE, Instant(36)));
        assert_eq!(
            repair.expire(Instant(36), Patience::LITTLE, Instant(40)),
            Expired::Nothing,
            "both waited in vain"
        );
        assert_eq!((repair.backoff, repair.backoff_at), (0b11, Instant(40)));
    }
}
