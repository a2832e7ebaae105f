//! Two guards set on each other: the proof that forged packets do not circle.

use std::net::SocketAddr;
use std::time::Duration;

use super::SmallLimits;
use super::fingerprint::Key;
use super::guard::{Guard, Offer, Rules};
use super::replies::Replies;
use crate::clock::Instant;
use crate::packet::Header;
use crate::random::Rng;

/// Two servers, and what is on its way between them.
struct Ring {
    servers: [Server; 2],
    now: Instant,
    one_way: Duration,
    rng: Rng,
}

struct Server {
    address: SocketAddr,
    /// One for each core.
    guards: Vec<Guard>,
}

/// How the network cuts what passes through it into trains.
#[derive(Clone, Copy)]
enum Cut {
    Singles,
    /// At random places, into trains of at most 64.
    Random,
}

/// What became of the forged packets.
#[derive(Debug)]
struct End {
    trips: usize,
    replies: usize,
}

impl Ring {
    fn new(cores: usize, one_way: Duration) -> Self {
        let server = |port: u16| Server {
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            guards: (0..cores).map(|_| Guard::new(&rules(port), Key::random())).collect(),
        };
        let servers = [server(5000), server(6000)];
        Self { servers, now: Instant::from_ns(0), one_way, rng: Rng::new(1) }
    }

    /// Sends `forged` to the first server, as if from the second, and follows them until nothing moves any more.
    fn run(&mut self, mut flying: Vec<Vec<u8>>, cut: Cut, trips_max: usize) -> End {
        let mut end = End { trips: 0, replies: 0 };
        while !flying.is_empty() {
            assert!(end.trips < trips_max, "{} packets still circle after {trips_max} trips", flying.len());
            flying = self.trip(flying, cut, end.trips % 2);
            end.trips += 1;
            end.replies += flying.len();
            self.now = self.now.after(self.one_way);
        }
        end
    }

    /// One way through the network and one server; what the server sends back is returned, in its order.
    fn trip(&mut self, flying: Vec<Vec<u8>>, cut: Cut, to: usize) -> Vec<Vec<u8>> {
        let mut replies = Vec::new();
        let mut rest = &flying[..];
        while !rest.is_empty() {
            let longest = match cut {
                Cut::Singles => 1,
                Cut::Random => 1 + self.random() % 64,
            };
            let alike = rest.iter().take(longest).take_while(|packet| packet.len() == rest[0].len()).count();
            let (train, after) = rest.split_at(alike);
            rest = after;
            let core = self.random() % self.servers[to].guards.len();
            let from = self.servers[1 - to].address;
            let offer = Offer { from, unicast: true, count: train.len(), head: &train[0] };
            if self.servers[to].guards[core].admit(&offer, self.now).is_ok() {
                replies.extend_from_slice(train);
            }
        }
        replies
    }

    fn random(&mut self) -> usize {
        (self.rng.word() >> 33) as usize
    }
}

/// The table alone: no limit hides what it does.
fn rules(own_port: u16) -> Rules {
    Rules { own_ports: vec![own_port], source_limit: 0, small: None }
}

fn forged(count: usize) -> Vec<Vec<u8>> {
    (0..count as u64).map(|seq| Header { seq, stamp_ns: 7 }.to_bytes().to_vec()).collect()
}

const FAST: Duration = Duration::from_micros(20);

#[test]
fn a_forged_packet_is_answered_once_by_each() {
    let end = Ring::new(1, FAST).run(forged(1), Cut::Singles, 3);
    assert_eq!((end.trips, end.replies), (3, 2));
    // A few of very many meet in one set of the table, and take a trip or two more.
    for count in [100, 10_000] {
        let end = Ring::new(1, FAST).run(forged(count), Cut::Singles, 12);
        assert!(end.replies < 2 * count + count / 50, "{end:?} of {count}");
    }
}

#[test]
fn trains_cut_differently_on_each_trip_die_out() {
    for (count, trips_max) in [(1, 3), (100, 200), (10_000, 200)] {
        let end = Ring::new(1, FAST).run(forged(count), Cut::Random, trips_max);
        assert!(end.replies <= 2 * 64 * count, "{end:?} of {count}");
    }
}

#[test]
fn a_slow_path_does_not_keep_a_loop_alive() {
    for millis in [10, 100, 450] {
        let one_way = Duration::from_millis(millis);
        Ring::new(1, one_way).run(forged(10_000), Cut::Singles, 12);
        Ring::new(1, one_way).run(forged(10_000), Cut::Random, 1_000);
    }
}

#[test]
fn more_packets_than_entries_die_out() {
    let count = 3 * Replies::ENTRIES;
    let end = Ring::new(1, FAST).run(forged(count), Cut::Singles, 60);
    assert!(end.trips > 3, "the table is too small for the easy way: {end:?}");
}

#[test]
fn several_cores_take_a_trip_each() {
    let end = Ring::new(4, FAST).run(forged(100), Cut::Singles, 200);
    assert!(end.replies <= 2 * 4 * 100, "{end:?}");
}

#[test]
fn short_packets_do_not_circle_either() {
    let short: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte; usize::from(byte % 16)]).collect();
    let end = Ring::new(1, FAST).run(short.clone(), Cut::Random, 200);
    assert!(end.replies > 0);
    let capped = Rules { small: Some(SmallLimits::default()), ..rules(5000) };
    let mut ring = Ring::new(1, FAST);
    ring.servers[0].guards[0] = Guard::new(&capped, Key::random());
    let end = ring.run(short, Cut::Singles, 5);
    assert!(end.replies <= 2 * 20, "{end:?}");
}

/// What the documentation admits: beyond a second a loop lives on, without growing.
#[test]
fn a_path_slower_than_the_memory_keeps_what_it_has() {
    let mut ring = Ring::new(1, Duration::from_millis(501));
    let mut flying = forged(10);
    for trip in 0..20 {
        flying = ring.trip(flying, Cut::Singles, trip % 2);
        ring.now = ring.now.after(ring.one_way);
        assert_eq!(flying.len(), 10);
    }
}
