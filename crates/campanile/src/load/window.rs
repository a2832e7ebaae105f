//! The packets of one socket that wait for their replies.

use std::time::Duration;

use super::packet_state::{PacketState, Reply};
use crate::clock::Instant;

/// A window of packets: which are in flight, which came back, which are lost.
///
/// Call [`Window::send`] for each packet to be sent, [`Window::receive`] for each reply, and [`Window::expire`] when
/// [`Window::next_timeout`] has come. Nothing here allocates after the start, and each call's work is bounded by the size.
///
/// A packet has the place `seq mod places`, and there are at least twice as many places as packets in flight. A sequence number is
/// skipped if its place is still held by a packet in flight; so numbers ascend by one as long as nothing is lost.
#[derive(Debug)]
pub(crate) struct Window {
    places: Box<[Place]>,
    size: usize,
    outstanding: usize,
    next_seq: u64,
    /// The ends of the list of packets in flight, in the order of sending.
    oldest: Link,
    newest: Link,
    timeout: Duration,
}

/// What is known of the last packet with this place.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: u64,
    sent: Instant,
    state: PacketState,
    older: Link,
    newer: Link,
}

/// A place in a list, by its index.
type Link = Option<u16>;

impl Window {
    /// The most packets in flight.
    pub(crate) const SIZE_MAX: usize = 4096;

    /// A window for `size` packets, each lost if it is not answered for `timeout`.
    pub(crate) fn new(size: usize, timeout: Duration) -> Self {
        assert!((1..=Self::SIZE_MAX).contains(&size), "the links between places have 16 bits");
        let unused =
            Place { seq: 0, sent: Instant::default(), state: PacketState::Unused, older: None, newer: None };
        Self {
            places: vec![unused; (2 * size).next_power_of_two()].into_boxed_slice(),
            size,
            outstanding: 0,
            next_seq: 0,
            oldest: None,
            newest: None,
            timeout,
        }
    }

    /// How many packets may be sent now.
    pub(crate) fn room(&self) -> usize {
        self.size - self.outstanding
    }

    /// Packets in flight.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Takes the next sequence number into flight; `None` if the window is full.
    pub(crate) fn send(&mut self, now: Instant) -> Option<u64> {
        if self.outstanding == self.size {
            return None;
        }
        // At most half of the places are held, so this ends.
        while self.places[self.index(self.next_seq)].state == PacketState::InFlight {
            self.next_seq += 1;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let index = self.index(seq);
        self.places[index] =
            Place { seq, sent: now, state: PacketState::InFlight, older: self.newest, newer: None };
        let link = Some(index as u16);
        match self.newest {
            Some(newest) => self.places[usize::from(newest)].newer = link,
            None => self.oldest = link,
        }
        self.newest = link;
        self.outstanding += 1;
        Some(seq)
    }

    /// Handles a reply that names the packet `seq`, sent at `stamp`.
    pub(crate) fn receive(&mut self, seq: u64, stamp: Instant, now: Instant) -> Reply {
        let index = self.index(seq);
        let place = &mut self.places[index];
        if place.seq != seq || place.state == PacketState::Unused {
            return if seq < self.next_seq { Reply::Late } else { Reply::Foreign };
        }
        if place.sent != stamp {
            return Reply::Foreign;
        }
        match std::mem::replace(&mut place.state, PacketState::Answered) {
            PacketState::InFlight => {
                let round_trip = now.since(place.sent);
                self.unlink(index);
                Reply::Fresh(round_trip)
            }
            PacketState::Lost => Reply::Late,
            PacketState::Answered | PacketState::Unused => Reply::Duplicate,
        }
    }

    /// Gives up the packets that have timed out, and calls `lost` with each one's number and time of sending.
    pub(crate) fn expire(&mut self, now: Instant, mut lost: impl FnMut(u64, Instant)) {
        while let Some(oldest) = self.oldest.map(usize::from) {
            if self.places[oldest].sent.after(self.timeout) > now {
                break;
            }
            let place = &mut self.places[oldest];
            place.state = PacketState::Lost;
            lost(place.seq, place.sent);
            self.unlink(oldest);
        }
    }

    /// When the oldest packet in flight will be given up.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.oldest.map(|oldest| self.places[usize::from(oldest)].sent.after(self.timeout))
    }

    fn index(&self, seq: u64) -> usize {
        seq as usize & (self.places.len() - 1)
    }

    /// Takes a place out of the list of packets in flight.
    fn unlink(&mut self, index: usize) {
        let Place { older, newer, .. } = self.places[index];
        match older {
            Some(older) => self.places[usize::from(older)].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.places[usize::from(newer)].older = older,
            None => self.newest = older,
        }
        self.outstanding -= 1;
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

    fn window(size: usize) -> Window {
        Window::new(size, TIMEOUT)
    }

    fn expired(window: &mut Window, now: u64) -> usize {
        let mut count = 0;
        window.expire(at(now), |_, _| count += 1);
        count
    }

    #[test]
    fn a_full_window_waits_for_a_reply() {
        let mut window = window(2);
        assert_eq!(window.send(at(10)), Some(0));
        assert_eq!(window.send(at(20)), Some(1));
        assert_eq!(window.send(at(30)), None);
        assert_eq!(window.receive(1, at(20), at(50)), Reply::Fresh(Duration::from_nanos(30)));
        assert_eq!(window.outstanding(), 1);
        assert_eq!(window.send(at(50)), Some(2));
        assert_eq!(window.send(at(50)), None);
    }

    #[test]
    fn what_is_not_answered_in_time_is_lost_in_the_order_of_sending() {
        let mut window = window(4);
        (0..3).for_each(|seq| assert_eq!(window.send(at(seq * 100)), Some(seq)));
        assert_eq!(window.next_timeout(), Some(at(1000)));
        assert_eq!(expired(&mut window, 999), 0);
        assert_eq!(window.receive(1, at(100), at(999)), Reply::Fresh(Duration::from_nanos(899)));
        assert_eq!(expired(&mut window, 1199), 1);
        assert_eq!(window.next_timeout(), Some(at(1200)));
        assert_eq!(expired(&mut window, 5000), 1);
        assert_eq!((window.outstanding(), window.next_timeout()), (0, None));
    }

    #[test]
    fn late_and_duplicate_replies_are_told_apart() {
        let mut window = window(4);
        (0..2).for_each(|_| assert!(window.send(at(0)).is_some()));
        assert_eq!(window.receive(0, at(0), at(9)), Reply::Fresh(Duration::from_nanos(9)));
        assert_eq!(window.receive(0, at(0), at(9)), Reply::Duplicate);
        assert_eq!(expired(&mut window, 1000), 1);
        assert_eq!(window.receive(1, at(0), at(1001)), Reply::Late);
        assert_eq!(window.receive(1, at(0), at(1002)), Reply::Duplicate);
    }

    #[test]
    fn what_was_never_sent_is_foreign() {
        let mut window = window(4);
        assert_eq!(window.receive(0, at(0), at(0)), Reply::Foreign);
        assert_eq!(window.send(at(5)), Some(0));
        assert_eq!(window.receive(0, at(6), at(9)), Reply::Foreign, "sent at another time");
        assert_eq!(window.receive(7, at(5), at(9)), Reply::Foreign);
        assert_eq!(window.receive(u64::MAX, at(5), at(9)), Reply::Foreign);
        assert_eq!(window.outstanding(), 1);
    }

    #[test]
    fn a_lost_packet_keeps_its_place_until_its_time() {
        let mut window = window(2);
        assert_eq!(window.send(at(0)), Some(0));
        for seq in 1..4 {
            assert_eq!(window.send(at(seq)), Some(seq));
            assert!(matches!(window.receive(seq, at(seq), at(seq)), Reply::Fresh(_)));
        }
        assert_eq!(window.send(at(4)), Some(5), "packet 0 has the place of 4");
        assert_eq!(
            window.receive(4, at(4), at(5)),
            Reply::Late,
            "too old to be told, as far as a window knows"
        );
        assert_eq!(expired(&mut window, 1000), 1);
    }

    #[test]
    fn a_window_in_use_allocates_nothing() {
        let mut window = Window::new(Window::SIZE_MAX, TIMEOUT);
        let allocations = allocation_counter::measure(|| {
            for now in 0..20_000 {
                while window.send(at(now)).is_some() {}
                let _ = window.receive(now, at(now), at(now));
                window.expire(at(now), |_, _| ());
            }
        });
        assert_eq!(allocations.count_total, 0);
    }

    proptest! {
        /// Against the plain model: a map from the numbers in flight to the times of sending.
        #[test]
        fn it_is_a_bounded_map_with_timeouts(
            size in 1..20_usize,
            steps in prop::collection::vec((0..3_u8, 0..400_u64, 0..64_u64), 1..400),
        ) {
            let mut window = window(size);
            let mut model = BTreeMap::new();
            let (mut now, mut last) = (0, None);
            for (step, pause, pick) in steps {
                now += pause;
                match step {
                    0 => match window.send(at(now)) {
                        Some(seq) => {
                            prop_assert!(last < Some(seq), "numbers ascend");
                            last = Some(seq);
                            model.insert(seq, now);
                        }
                        None => prop_assert_eq!(model.len(), size),
                    },
                    1 => {
                        let seq = last.unwrap_or(0).saturating_sub(pick);
                        let sent = model.remove(&seq);
                        let reply = window.receive(seq, at(sent.unwrap_or(0)), at(now));
                        let fresh = sent.map(|sent| Reply::Fresh(Duration::from_nanos(now - sent)));
                        match fresh {
                            Some(fresh) => prop_assert_eq!(reply, fresh),
                            None => prop_assert!(!matches!(reply, Reply::Fresh(_))),
                        }
                    }
                    _ => {
                        let before = model.len();
                        model.retain(|_, sent| *sent + 1000 > now);
                        prop_assert_eq!(expired(&mut window, now), before - model.len());
                    }
                }
                prop_assert_eq!(window.outstanding(), model.len());
                prop_assert_eq!(window.next_timeout(), model.values().min().map(|sent| at(sent + 1000)));
            }
        }
    }
}
