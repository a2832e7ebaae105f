//! The packets of one socket of an open loop: sent by the clock, however many are still in flight.

use std::time::Duration;

use super::packet_state::{PacketState, Reply};
use crate::clock::Instant;

/// What became of the last packets, in a ring over their numbers.
///
/// Call [`SentRing::send`] for each packet to be sent while there is [`SentRing::room`], [`SentRing::receive`] for each reply, and
/// [`SentRing::expire`] when [`SentRing::next_timeout`] has come. Nothing here allocates after the start. The ring is as long as the
/// packets of two timeouts at the rate asked for, so a full one means that sending is far behind; it waits until the oldest packet
/// is answered or lost.
#[derive(Debug)]
pub(crate) struct SentRing {
    places: Box<[Place]>,
    next_seq: u64,
    /// The oldest packet in flight, or the next to be sent.
    oldest: u64,
    outstanding: usize,
    timeout: Duration,
}

/// When a packet was sent in nanoseconds, above two bits of its state: a place is one word, so that a second's packets at a million
/// a second fit into a cache.
#[derive(Clone, Copy, Debug)]
struct Place(u64);

impl SentRing {
    /// The most places: 32 MiB.
    const PLACES_MAX: usize = 1 << 22;
    const PLACES_MIN: usize = 1 << 10;

    /// A ring for `rate` packets a second, each lost if it is not answered for `timeout`.
    pub(crate) fn new(rate: f64, timeout: Duration) -> Self {
        // A float that is too large becomes the largest integer.
        let wanted = (2.0 * rate * timeout.as_secs_f64()) as usize;
        let places = wanted.clamp(Self::PLACES_MIN, Self::PLACES_MAX).next_power_of_two();
        Self {
            places: vec![Place(0); places].into_boxed_slice(),
            next_seq: 0,
            oldest: 0,
            outstanding: 0,
            timeout,
        }
    }

    /// How many packets may be sent now.
    pub(crate) fn room(&self) -> usize {
        self.places.len() - (self.next_seq - self.oldest) as usize
    }

    /// Packets in flight.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Takes the next sequence number into flight.
    ///
    /// # Panics
    /// If there is no room.
    pub(crate) fn send(&mut self, now: Instant) -> u64 {
        assert!(self.room() > 0, "a packet in flight keeps its place");
        let seq = self.next_seq;
        *self.place(seq) = Place::new(now, PacketState::InFlight);
        self.next_seq += 1;
        self.outstanding += 1;
        seq
    }

    /// Handles a reply that names the packet `seq`, sent at `stamp`.
    pub(crate) fn receive(&mut self, seq: u64, stamp: Instant, now: Instant) -> Reply {
        if seq >= self.next_seq {
            return Reply::Foreign;
        }
        if self.next_seq - seq > self.places.len() as u64 {
            return Reply::Late;
        }
        let place = self.place(seq);
        if place.sent() != stamp {
            return Reply::Foreign;
        }
        match place.state() {
            PacketState::InFlight => {
                *place = Place::new(stamp, PacketState::Answered);
                self.outstanding -= 1;
                self.advance();
                Reply::Fresh(now.since(stamp))
            }
            PacketState::Lost => {
                *place = Place::new(stamp, PacketState::Answered);
                Reply::Late
            }
            PacketState::Answered | PacketState::Unused => Reply::Duplicate,
        }
    }

    /// Gives up the packets that have timed out, and calls `lost` with each one's number and time of sending.
    pub(crate) fn expire(&mut self, now: Instant, mut lost: impl FnMut(u64, Instant)) {
        while self.next_timeout().is_some_and(|at| at <= now) {
            let seq = self.oldest;
            let sent = self.place(seq).sent();
            *self.place(seq) = Place::new(sent, PacketState::Lost);
            self.outstanding -= 1;
            lost(seq, sent);
            self.advance();
        }
    }

    /// When the oldest packet in flight will be given up.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let place = self.places[self.index(self.oldest)];
        (self.oldest < self.next_seq).then(|| place.sent().after(self.timeout))
    }

    /// Advances to the oldest packet that is still in flight.
    fn advance(&mut self) {
        while self.oldest < self.next_seq && self.place(self.oldest).state() != PacketState::InFlight {
            self.oldest += 1;
        }
    }

    fn place(&mut self, seq: u64) -> &mut Place {
        let index = self.index(seq);
        &mut self.places[index]
    }

    fn index(&self, seq: u64) -> usize {
        seq as usize & (self.places.len() - 1)
    }
}

impl Place {
    /// The clock starts at zero, so 62 bits are 146 years.
    fn new(sent: Instant, state: PacketState) -> Self {
        Self(sent.as_ns() << 2 | state as u64)
    }

    fn sent(self) -> Instant {
        Instant::from_ns(self.0 >> 2)
    }

    fn state(self) -> PacketState {
        match self.0 & 3 {
            0 => PacketState::Unused,
            1 => PacketState::InFlight,
            2 => PacketState::Answered,
            _ => PacketState::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const TIMEOUT: Duration = Duration::from_nanos(1000);

    fn at(ns: u64) -> Instant {
        Instant::from_ns(ns)
    }

    fn ring() -> SentRing {
        SentRing::new(1.0, TIMEOUT)
    }

    fn expired(ring: &mut SentRing, now: u64) -> Vec<u64> {
        let mut lost = Vec::new();
        ring.expire(at(now), |seq, _| lost.push(seq));
        lost
    }

    #[test]
    fn a_ring_holds_two_timeouts_within_bounds() {
        assert_eq!(ring().room(), 1024);
        assert_eq!(SentRing::new(100_000.0, Duration::from_secs(1)).room(), 1 << 18);
        assert_eq!(SentRing::new(f64::MAX, Duration::MAX).room(), 1 << 22);
    }

    #[test]
    fn each_kind_of_reply_is_recognized() {
        let mut ring = ring();
        assert_eq!(ring.receive(0, at(0), at(0)), Reply::Foreign, "nothing was sent");
        (0..3).for_each(|seq| assert_eq!(ring.send(at(seq * 10)), seq));
        assert_eq!(ring.receive(1, at(11), at(50)), Reply::Foreign, "sent at another time");
        assert_eq!(ring.receive(1, at(10), at(50)), Reply::Fresh(Duration::from_nanos(40)));
        assert_eq!(ring.receive(1, at(10), at(60)), Reply::Duplicate);
        assert_eq!(expired(&mut ring, 1019), [0]);
        assert_eq!(expired(&mut ring, 1020), [2]);
        assert_eq!(ring.receive(2, at(20), at(1030)), Reply::Late);
        assert_eq!(ring.receive(2, at(20), at(1031)), Reply::Duplicate);
        assert_eq!((ring.outstanding(), ring.next_timeout()), (0, None));
        assert_eq!(ring.receive(u64::MAX, at(20), at(1030)), Reply::Foreign);
    }

    #[test]
    fn a_full_ring_waits_for_its_oldest() {
        let mut ring = ring();
        (0..1024).for_each(|_| assert!(ring.send(at(5)) < 1024));
        assert_eq!(ring.room(), 0);
        assert!(matches!(ring.receive(1, at(5), at(6)), Reply::Fresh(_)));
        assert_eq!(ring.room(), 0, "the oldest is still out");
        assert!(matches!(ring.receive(0, at(5), at(6)), Reply::Fresh(_)));
        assert_eq!(ring.room(), 2);
        (0..2).for_each(|_| assert!(ring.send(at(7)) >= 1024));
        assert_eq!(ring.receive(0, at(5), at(8)), Reply::Late, "too old to be told");
    }

    #[test]
    fn a_ring_in_use_allocates_nothing() {
        let mut ring = ring();
        let allocations = allocation_counter::measure(|| {
            for now in 0..20_000 {
                let seq = ring.send(at(now));
                let _ = ring.receive(seq, at(now), at(now));
                ring.expire(at(now), |_, _| ());
            }
        });
        assert_eq!(allocations.count_total, 0);
    }

    proptest! {
        /// Against the plain model: a map from the numbers in flight to the times of sending.
        #[test]
        fn it_is_a_map_with_timeouts(
            steps in prop::collection::vec((0..3_u8, 0..400_u64, 0..64_u64), 1..400),
        ) {
            let mut ring = ring();
            let mut model = BTreeMap::new();
            let (mut now, mut next) = (0, 0);
            for (step, pause, pick) in steps {
                now += pause;
                match step {
                    0 => {
                        prop_assert_eq!(ring.send(at(now)), next);
                        model.insert(next, now);
                        next += 1;
                    }
                    1 => {
                        let seq = next.saturating_sub(pick);
                        let sent = model.remove(&seq);
                        let reply = ring.receive(seq, at(sent.unwrap_or(0)), at(now));
                        match sent {
                            Some(sent) => prop_assert_eq!(reply, Reply::Fresh(Duration::from_nanos(now - sent))),
                            None => prop_assert!(!matches!(reply, Reply::Fresh(_))),
                        }
                    }
                    _ => {
                        let due: Vec<u64> =
                            model.iter().filter(|(_, sent)| **sent + 1000 <= now).map(|(&seq, _)| seq).collect();
                        model.retain(|_, sent| *sent + 1000 > now);
                        prop_assert_eq!(expired(&mut ring, now), due);
                    }
                }
                prop_assert_eq!(ring.outstanding(), model.len());
                prop_assert_eq!(ring.next_timeout(), model.values().min().map(|sent| at(sent + 1000)));
            }
        }
    }
}
