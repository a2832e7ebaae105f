//! The world with the simplest of parties: one that sends numbers, and ones that record what they hear.

use std::time::Duration;

use campanile_sim::{
    Attachment, Chance, Clock, Destination, Link, Loss, Medium, Party, PartyId, Path, Step, Time, Transmit,
    World,
};

const GROUP: u32 = 0;
const MILLISECOND: Duration = Duration::from_millis(1);

/// Sends numbers at an interval of its clock; records the numbers that it hears, and answers each hundredth if configured to.
#[derive(Debug, Default)]
struct Counter {
    interval: Option<Duration>,
    next: Option<Time>,
    last: u32,
    train: u32,
    pending: u32,
    numbers: u32,
    heard: Vec<(Time, u32)>,
    trains: Vec<usize>,
    answers: bool,
    answer: Option<PartyId>,
}

impl Counter {
    fn speaker(interval: Duration, numbers: u32) -> Self {
        Self { interval: Some(interval), next: Some(Time::START), train: 1, numbers, ..Self::default() }
    }

    fn listener() -> Self {
        Self::default()
    }

    fn numbers(&self) -> Vec<u32> {
        self.heard.iter().map(|&(_, number)| number).collect()
    }
}

impl Party for Counter {
    fn handle_train(&mut self, now: Time, path: Path, stride: usize, bytes: &[u8]) {
        self.trains.push(bytes.chunks(stride).count());
        for packet in bytes.chunks(stride) {
            let number =
                u32::from_be_bytes(*packet.first_chunk().expect("each packet begins with its number"));
            self.heard.push((now, number));
            if self.answers && number % 100 == 99 {
                self.answer = Some(path.from);
            }
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        self.pending += self.train;
        let interval = self.interval.expect("only a speaker has deadlines");
        self.next = (self.last + self.pending < self.numbers).then(|| now + interval);
    }

    fn poll_transmit(&mut self, _: Time, buf: &mut [u8]) -> Option<Transmit> {
        if let Some(to) = self.answer.take() {
            buf[..4].fill(0xff);
            return Some(Transmit { to: Destination::Party(to), stride: 4, len: 4 });
        }
        let train = std::mem::take(&mut self.pending);
        for packet in buf.chunks_mut(1000).take(train as usize) {
            packet.fill(0);
            packet[..4].copy_from_slice(&self.last.to_be_bytes());
            self.last += 1;
        }
        (train > 0).then_some(Transmit {
            to: Destination::Group(GROUP),
            stride: 1000,
            len: train as usize * 1000,
        })
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.next
    }
}

fn world(medium: Medium, seed: u64, speaker: Counter, attachments: &[Attachment]) -> World<Counter> {
    let mut world = World::new(medium, seed);
    world.join(Attachment::default(), speaker);
    for attachment in attachments {
        let id = world.join(*attachment, Counter::listener());
        world.join_group(id, GROUP);
    }
    world
}

fn run(world: &mut World<Counter>) {
    while let Some(step) = world.step() {
        assert_ne!(step, Step::Alarm(0));
    }
    assert_eq!(world.in_flight(), 0, "buffers are given back");
}

fn attachment(down: Link) -> Attachment {
    Attachment { down, ..Attachment::default() }
}

fn rough_link() -> Link {
    Link {
        loss: Loss::bursts(0.1, 3.0),
        delay: 2 * MILLISECOND,
        jitter: MILLISECOND,
        duplicate: Chance::new(0.01),
        reorder: Chance::new(0.02),
        held_back: 3 * MILLISECOND,
    }
}

#[test]
fn everything_arrives_after_the_delay() {
    let attachments = [attachment(Link::delay(2 * MILLISECOND)), attachment(Link::delay(5 * MILLISECOND))];
    let mut world = world(Medium::default(), 1, Counter::speaker(MILLISECOND, 50), &attachments);
    run(&mut world);
    for (id, delay) in [(1, 2), (2, 5)] {
        let expected: Vec<(Time, u32)> =
            (0..50).map(|i| (Time::START + (u64::from(i) as u32 + delay) * MILLISECOND, i)).collect();
        assert_eq!(world.party(PartyId(id)).unwrap().heard, expected);
        assert!(world.is_undisturbed(PartyId(id)));
    }
    assert_eq!(world.counters(PartyId(0)).sent, 50);
    assert_eq!(world.counters(PartyId(0)).sent_bytes, 50_000);
}

#[test]
fn one_seed_one_trace() {
    let trace = |seed| {
        let mut world = world(
            Medium::default(),
            seed,
            Counter::speaker(MILLISECOND, 500),
            &[attachment(rough_link()); 9],
        );
        run(&mut world);
        world.trace_hash()
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
    // Pinned, so that an unintended change of the order of draws is noticed. After an intended one, put the new number here.
    assert_eq!(trace(7), PINNED, "{:#x}", trace(7));
}

const PINNED: u64 = 0xf2a7_d4f2_476e_8481;

#[test]
fn losses_of_the_senders_link_are_common_and_of_the_receivers_own() {
    let lossy = Link { loss: Loss::independent(0.2), ..Link::default() };
    let missing = |up: Link, down: Link| {
        let mut world = World::new(Medium::default(), 5);
        world.join(Attachment { up, ..Attachment::default() }, Counter::speaker(MILLISECOND, 2000));
        for _ in 0..2 {
            let id = world.join(attachment(down), Counter::listener());
            world.join_group(id, GROUP);
        }
        run(&mut world);
        let heard = [1, 2].map(|id| world.party(PartyId(id)).unwrap().numbers());
        for (id, heard) in [1, 2].into_iter().zip(&heard) {
            assert_eq!(world.counters(PartyId(id)).lost as usize, 2000 - heard.len());
            assert!((1500..1700).contains(&heard.len()));
        }
        heard
    };
    let [a, b] = missing(lossy, Link::default());
    assert_eq!(a, b);
    let [a, b] = missing(Link::default(), lossy);
    assert_ne!(a, b);
}

#[test]
fn a_rough_link_disturbs_and_says_so() {
    let mut world =
        world(Medium::default(), 3, Counter::speaker(MILLISECOND, 5000), &[attachment(rough_link())]);
    run(&mut world);
    let heard = world.party(PartyId(1)).unwrap().numbers();
    let mut sorted = heard.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let duplicates = heard.len() - sorted.len();
    let overtaken = heard.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((20..90).contains(&duplicates), "{duplicates}");
    assert!((20..180).contains(&overtaken), "{overtaken}");
    let counters = world.counters(PartyId(1));
    assert!(counters.disturbed as usize >= duplicates + overtaken);
    assert!(!world.is_undisturbed(PartyId(1)));
}

#[test]
fn the_medium_carries_its_rate_and_no_more() {
    let medium = Medium { rate: Some(1_050_000), queue: 20_000, overhead: 50 };
    let mut world = world(
        medium,
        1,
        Counter { train: 30, ..Counter::speaker(MILLISECOND, 30) },
        &[Attachment::default()],
    );
    run(&mut world);
    let heard = &world.party(PartyId(1)).unwrap().heard;
    // 19 packets of 1050 bytes fit the queue; one leaves each millisecond.
    assert_eq!(heard.len(), 19);
    assert!((1..).zip(heard).all(|(nth, (at, _))| *at == Time(nth * 1_000_000)), "{heard:?}");
    assert_eq!(world.counters(PartyId(1)).lost, 11);
}

#[test]
fn a_partition_cuts_and_its_end_heals() {
    let mut world =
        world(Medium::default(), 1, Counter::speaker(MILLISECOND, 100), &[Attachment::default(); 2]);
    world.set_alarm(Time::START + 20 * MILLISECOND + MILLISECOND / 2, 1);
    world.set_alarm(Time::START + 60 * MILLISECOND + MILLISECOND / 2, 2);
    while let Some(step) = world.step() {
        match step {
            Step::Alarm(1) => world.set_side(PartyId(2), 1),
            Step::Alarm(_) => world.heal(),
            _ => {}
        }
    }
    assert_eq!(world.party(PartyId(1)).unwrap().numbers().len(), 100);
    let expected: Vec<u32> = (0..=20).chain(61..100).collect();
    assert_eq!(world.party(PartyId(2)).unwrap().numbers(), expected);
    assert_eq!(world.counters(PartyId(2)).lost, 40);
}

#[test]
fn a_pause_delays_and_hands_over_trains() {
    let mut world = world(Medium::default(), 1, Counter::speaker(MILLISECOND, 400), &[Attachment::default()]);
    world.set_alarm(Time(10_500_000), 1);
    world.set_alarm(Time(30_500_000), 2);
    while let Some(step) = world.step() {
        match step {
            Step::Alarm(1) => world.pause(PartyId(1)),
            Step::Alarm(_) => world.resume(PartyId(1)),
            _ => {}
        }
    }
    let listener = world.party(PartyId(1)).unwrap();
    assert_eq!(listener.numbers(), (0..400).collect::<Vec<u32>>());
    assert_eq!(listener.trains[11], 20);
    assert_eq!(listener.heard[11].0, Time(30_500_000));
}

#[test]
fn a_long_pause_overflows_the_inbox() {
    let mut world = world(Medium::default(), 1, Counter::speaker(MILLISECOND, 400), &[Attachment::default()]);
    world.pause(PartyId(1));
    world.set_alarm(Time(600_000_000), 1);
    while let Some(step) = world.step() {
        if step == Step::Alarm(1) {
            world.resume(PartyId(1));
        }
    }
    assert_eq!(world.party(PartyId(1)).unwrap().numbers(), (0..262).collect::<Vec<u32>>());
    assert_eq!(world.counters(PartyId(1)).lost, 138);
}

#[test]
fn a_paused_speaker_is_silent_and_a_crashed_one_for_good() {
    let mut world = world(Medium::default(), 1, Counter::speaker(MILLISECOND, 30), &[Attachment::default()]);
    for (alarm, at) in [(1, 4_500_000), (2, 9_500_000), (3, 19_200_000), (4, 40_000_000)] {
        world.set_alarm(Time(at), alarm);
    }
    while let Some(step) = world.step() {
        match step {
            Step::Alarm(1) => world.pause(PartyId(0)),
            Step::Alarm(2) => world.resume(PartyId(0)),
            Step::Alarm(3) => assert!(world.crash(PartyId(0)).is_some()),
            Step::Alarm(_) => {
                world.revive(PartyId(0), Counter { last: 90, ..Counter::speaker(MILLISECOND, 92) })
            }
            _ => {}
        }
    }
    let heard = &world.party(PartyId(1)).unwrap().heard;
    assert!(!heard.iter().any(|(at, _)| (4_500_000..9_500_000).contains(&at.0)));
    assert_eq!(heard[5], (Time(9_500_000), 5));
    assert_eq!(
        heard.iter().filter(|(at, _)| at.0 >= 19_200_000).map(|(_, n)| *n).collect::<Vec<_>>(),
        [90, 91]
    );
}

#[test]
fn moderation_collects_trains() {
    let attachments = [Attachment { moderation: 5 * MILLISECOND, ..Attachment::default() }];
    let mut world = world(Medium::default(), 1, Counter::speaker(MILLISECOND, 60), &attachments);
    run(&mut world);
    let listener = world.party(PartyId(1)).unwrap();
    assert_eq!(listener.numbers(), (0..60).collect::<Vec<u32>>());
    assert_eq!(listener.trains, [5; 12]);
}

#[test]
fn parties_live_by_their_own_clocks() {
    let fast = Attachment { clock: Clock { offset: 1_000, drift_ppb: 100_000_000 }, ..Attachment::default() };
    let mut world = World::new(Medium::default(), 1);
    world.join(fast, Counter { next: Some(Time(1_000)), ..Counter::speaker(11 * MILLISECOND, 3) });
    let listener = world.join(fast, Counter::listener());
    let straight = world.join(Attachment::default(), Counter::listener());
    world.join_group(listener, GROUP);
    world.join_group(straight, GROUP);
    run(&mut world);
    let times = |id| world.party(id).unwrap().heard.iter().map(|(at, _)| at.0).collect::<Vec<u64>>();
    assert_eq!(times(straight), [0, 10_000_000, 20_000_000]);
    assert_eq!(times(listener), [1_000, 11_001_000, 22_001_000]);
}

#[test]
fn answers_go_to_one_party() {
    let mut world =
        world(Medium::default(), 1, Counter::speaker(MILLISECOND, 300), &[Attachment::default(); 3]);
    world.command(PartyId(2), |party, _| party.answers = true);
    run(&mut world);
    assert_eq!(world.party(PartyId(0)).unwrap().numbers(), [u32::MAX; 3]);
    assert_eq!(world.counters(PartyId(2)).sent, 3);
    assert_eq!(world.party(PartyId(1)).unwrap().heard.len(), 300);
}

#[test]
fn membership_begins_and_ends() {
    let mut world = world(Medium::default(), 1, Counter::speaker(MILLISECOND, 30), &[Attachment::default()]);
    world.leave_group(PartyId(1), GROUP);
    world.set_alarm(Time(9_500_000), 1);
    world.set_alarm(Time(14_500_000), 2);
    while let Some(step) = world.step() {
        match step {
            Step::Alarm(1) => world.join_group(PartyId(1), GROUP),
            Step::Alarm(_) => world.leave_group(PartyId(1), GROUP),
            _ => {}
        }
    }
    assert_eq!(world.party(PartyId(1)).unwrap().numbers(), [10, 11, 12, 13, 14]);
    assert!(world.is_undisturbed(PartyId(1)), "what others get is no loss");
}

#[test]
fn warm_a_copy_allocates_nothing() {
    let mut world =
        world(Medium::default(), 1, Counter::speaker(MILLISECOND, 2000), &[attachment(rough_link()); 50]);
    for id in 1..51 {
        world.command(PartyId(id), |party, _| {
            party.heard.reserve(4000);
            party.trains.reserve(4000);
        });
    }
    while world.now() < Time(500_000_000) {
        world.step();
    }
    let before = world.counters(PartyId(1)).received;
    let counted = allocation_counter::measure(|| while world.step().is_some() {});
    assert!(world.counters(PartyId(1)).received > before + 1000);
    // The event queue and the packet store may still grow to a new high-water mark; 75,000 copies may not.
    assert!(counted.count_total <= 8, "{} allocations", counted.count_total);
}
