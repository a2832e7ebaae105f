use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::choices::Choices;
use crate::receiver::{Consumer, Event, JoinWish, Limits, NakConfig, OnLoss, Receiver, ReceiverConfig, Slow};
use crate::wire::{Body, DataContent, Nak, Ncf, Packet, Session};
use crate::{Framing, Gsi, Instant, Path, Seq, Transmit, Tsi};

/// Runs a receiver by the script in `input`: a configuration, then packets of a few sources, commands, and the passage of time.
///
/// # Panics
///
/// When the receiver panics, keeps more than its limits, sends something that is not a packet, asks to be called without end, or
/// reports events that contradict each other: data before the start or after the end of a source, losses out of order, a packet twice.
pub fn receiver(input: &[u8]) {
    let mut choices = Choices::new(input);
    let config = config(&mut choices);
    let receiver = Receiver::new(config.clone());
    let mut life = Life { now: START, receiver, config, stories: Stories::default(), needs: Vec::new() };
    while !choices.is_empty() {
        life.step(&mut choices);
        life.settle();
    }
    for _ in 0..200 {
        let Some(next) = life.receiver.poll_timeout() else { break };
        life.now = life.now.max(next);
        life.receiver.handle_timeout(life.now);
        life.settle();
    }
}

struct Life {
    now: Instant,
    receiver: Receiver,
    config: ReceiverConfig,
    stories: Stories,
    needs: Vec<(Tsi, Seq, u8)>,
}

/// What was reported about a source since it was found.
#[derive(Default)]
struct Story {
    /// The first packet that may still be needed.
    needs: Option<Seq>,
    /// The last number reported as lost.
    lost_to: Option<Seq>,
    /// The packets handed over in bulk.
    packets: HashSet<u32>,
}

impl Life {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let tsi = tsi(choices.u8() % 3);
        let command = choices.u8();
        match command % 16 {
            9 if command >= 64 => self.receive_run(choices, tsi),
            0..10 => self.receive(choices, tsi),
            // Whether a command is refused does not matter here.
            10 if command >= 192 => {
                if self.receiver.leave(tsi).is_ok() {
                    self.stories.0.remove(&tsi);
                }
            }
            11 if command >= 192 => self.receiver.rejoin(tsi),
            10 => _ = self.receiver.pause(tsi),
            11 => _ = self.receiver.resume(tsi),
            12 => {
                let (first, last) = (choices.seq(BASE), choices.seq(BASE));
                _ = self.receiver.have(self.now, tsi, first, last);
            }
            13 => self.supply(choices),
            _ => {
                self.now += choices.duration();
                self.receiver.handle_timeout(self.now);
            }
        }
    }

    fn receive(&mut self, choices: &mut Choices<'_>, tsi: Tsi) {
        let path = path(choices, tsi);
        let [from, group] = [path.from, path.to];
        let mut room = Vec::new();
        let body = match choices.u8() % 16 {
            0 => {
                let bytes = choices.bytes();
                return self.receiver.handle_train(self.now, &path, choices.u8().into(), bytes);
            }
            1 => Body::Spmr,
            2..5 => Body::Spm(choices.spm(BASE, from)),
            5 => Body::Nak(Nak::new(choices.request(BASE, [from, group], &mut room))),
            6..8 => Body::Ncf(Ncf::new(choices.request(BASE, [from, group], &mut room))),
            _ => Body::Data(choices.data(BASE)),
        };
        let datagram = datagram(tsi, body);
        self.receiver.handle_train(self.now, &path, datagram.len(), &datagram);
    }

    /// Receives a train of packets that are alike and follow each other: much state from little input.
    fn receive_run(&mut self, choices: &mut Choices<'_>, tsi: Tsi) {
        let path = path(choices, tsi);
        let mut data = choices.data(BASE);
        let (count, step) = (choices.u8(), 1 + u32::from(choices.u8() % 4));
        let mut train = Vec::new();
        let mut stride = 0;
        for _ in 0..count {
            let datagram = datagram(tsi, Body::Data(data));
            stride = datagram.len();
            train.extend(datagram);
            data.head.sqn += step;
            if let DataContent::Source { fragment: Some(fragment) } = &mut data.head.content {
                fragment.first_sqn += step;
            }
        }
        self.receiver.handle_train(self.now, &path, stride, &train);
    }

    fn supply(&mut self, choices: &mut Choices<'_>) {
        let Some((tsi, first, count)) = self.needs.pop() else { return };
        let stride = usize::from(choices.u8()) + 1;
        let short = usize::from(choices.u8()) % stride;
        let bytes = vec![choices.u8(); usize::from(count) * stride - short];
        _ = self.receiver.supply(self.now, tsi, first, stride, &bytes);
    }

    /// Drains the polls, and handles timeouts that are due at once.
    fn settle(&mut self) {
        let mut buffer = [0; Receiver::TRANSMIT_LEN];
        for _ in 0..ROUNDS_MAX {
            let mut polls = 0;
            loop {
                let mut is_quiet = true;
                while let Some(transmit) = self.receiver.poll_transmit(self.now, &mut buffer) {
                    check_sent(&transmit, &buffer);
                    polls += 1;
                    assert!(polls < POLLS_MAX, "sending has no end");
                }
                while let Some(event) = self.receiver.poll_event() {
                    is_quiet = false;
                    polls += 1;
                    assert!(polls < POLLS_MAX, "events have no end");
                    let is_bulk = self.config.consumer == Consumer::Bulk;
                    self.needs.extend(self.stories.tell(is_bulk, event));
                }
                if is_quiet {
                    break;
                }
            }
            if self.receiver.poll_timeout().is_none_or(|at| at > self.now) {
                return self.check_bounds();
            }
            self.receiver.handle_timeout(self.now);
        }
        panic!("a timeout that is always due");
    }

    fn check_bounds(&mut self) {
        for (tsi, story) in &mut self.stories.0 {
            let needs = self.receiver.needs(tsi).expect("a source is known from its start to its end");
            assert!(story.needs.is_none_or(|before| !needs.precedes(before)), "{needs} was not needed");
            story.needs = Some(needs);
            let room = self.receiver.room(tsi, 100).expect("a source that is known");
            assert!(room <= 100 + self.config.limits.bytes, "{room} bytes of room");
        }
        let sources = self.receiver.sources().count();
        assert!(sources <= self.config.limits.sources, "{sources} sources");
        let held = self.receiver.held_bytes();
        // Of the block that is delivered next, everything is kept.
        let held_max = sources * (self.config.limits.bytes + BLOCK_LEN_MAX);
        assert!(held <= held_max, "{held} bytes of {sources} sources");
    }
}

/// The way of a packet of a source: mostly from its own address, now and then from another one.
fn path(choices: &mut Choices<'_>, tsi: Tsi) -> Path {
    let is_stranger = choices.one_in(16);
    let from = IpAddr::from([10, 0, u8::from(is_stranger), (tsi.port & 0xff) as u8]);
    Path { from, to: IpAddr::from([239, 192, 0, 1]), interface: 1, ecn: choices.u8() % 4 }
}

fn datagram(tsi: Tsi, body: Body<'_>) -> Vec<u8> {
    let packet = Packet { session: Session { tsi, destination_port: 7500 }, body };
    let mut datagram = vec![0; packet.wire_len()];
    packet.emit(&mut datagram);
    datagram
}

fn check_sent(transmit: &Transmit, buffer: &[u8]) {
    assert!(transmit.len > 0 && transmit.stride == transmit.len, "a receiver sends packet by packet");
    let packet = Packet::parse(&buffer[..transmit.len]).expect("a receiver sends packets");
    assert!(packet.packet_type().is_upstream(), "{packet}");
}

/// What was reported about each source.
#[derive(Default)]
struct Stories(HashMap<Tsi, Story>);

impl Stories {
    fn of(&mut self, tsi: Tsi) -> &mut Story {
        self.0.get_mut(&tsi).expect("a source starts before anything is told of it")
    }

    /// Checks an event against those before it; returns what is needed if the event says so.
    fn tell(&mut self, is_bulk: bool, event: Event<'_>) -> Option<(Tsi, Seq, u8)> {
        match event {
            Event::Start { tsi, .. } => {
                assert!(self.0.insert(tsi, Story::default()).is_none(), "a source starts once");
            }
            Event::End { tsi, .. } => {
                assert!(self.0.remove(&tsi).is_some(), "a source ends once, after it started");
            }
            Event::TooLong { tsi, .. }
            | Event::Unreadable { tsi, .. }
            | Event::Stalled { tsi }
            | Event::Resumed { tsi } => {
                self.of(tsi);
                assert!(!is_bulk);
            }
            Event::Messages { tsi, messages } => {
                self.of(tsi);
                assert!(!is_bulk && !messages.is_empty());
            }
            Event::Bytes { tsi, bytes } => {
                self.of(tsi);
                assert!(!is_bulk && bytes.len() == 1 && bytes.bytes_len() > 0);
            }
            Event::Packets { tsi, packets } => {
                let told = &mut self.of(tsi).packets;
                assert!(is_bulk && !packets.is_empty());
                packets.iter().for_each(|(sqn, _)| {
                    assert!(told.insert(sqn.0), "{sqn} was handed over before");
                });
                assert_eq!(packets.runs().map(|run| run.count).sum::<usize>(), packets.iter().count());
            }
            Event::Need { tsi, first, count } => {
                self.of(tsi);
                assert!(is_bulk && count > 0);
                return Some((tsi, first, count));
            }
            Event::Lost { tsi, first, last } => {
                assert!(!last.precedes(first), "{first} to {last}");
                let Story { lost_to, packets, .. } = self.of(tsi);
                if is_bulk {
                    assert!(
                        !packets.contains(&first.0) && !packets.contains(&last.0),
                        "handed over, then lost"
                    );
                    // After leaps around the circle, numbers are used again.
                    if last.distance_from(first) > LEAP {
                        packets.clear();
                    }
                } else {
                    assert!(lost_to.is_none_or(|lost_to| first.follows(lost_to)), "losses are told in order");
                    *lost_to = Some(last);
                }
            }
        }
        None
    }
}

fn tsi(port: u8) -> Tsi {
    // Hosts with one name and different ports are different sources.
    Tsi { gsi: Gsi([9, 8, 7, 6, 5, 4]), port: 1000 + u16::from(port) }
}

fn config(choices: &mut Choices<'_>) -> ReceiverConfig {
    let framing = [Framing::Packed, Framing::Apdu, Framing::Stream][usize::from(choices.below(3))];
    let on_loss = if choices.flag() { OnLoss::Stop } else { OnLoss::Continue };
    let slow = if choices.flag() { Slow::Lose } else { Slow::Stall };
    let config = ReceiverConfig {
        seed: choices.u8().into(),
        consumer: if choices.flag() { Consumer::Bulk } else { Consumer::Ordered { framing, on_loss, slow } },
        join: match choices.u8() % 2 {
            0 => JoinWish::Recent,
            _ => JoinWish::History { wait: choices.duration() },
        },
        nak: NakConfig {
            backoff: choices.duration(),
            repeat: choices.duration(),
            rdata: choices.duration(),
            ncf_retries: choices.u8(),
            data_retries: choices.u8(),
            outstanding: choices.below(64),
            spmr: choices.duration(),
        },
        limits: Limits {
            sources: 1 + usize::from(choices.below(4)),
            heard_once: 1 + usize::from(choices.below(4)),
            packets: 1 + choices.u32() % 1024,
            bytes: 2048 + usize::from(choices.u8()) * 64,
            groups: 1 + usize::from(choices.below(4)),
            message_len: 1 + usize::from(choices.u8()) * 16,
        },
        expiry: choices.duration(),
        ..ReceiverConfig::new(7500)
    };
    ReceiverConfig { front: if choices.flag() { choices.duration() } else { config.expiry / 2 }, ..config }
}

const START: Instant = Instant(1_000_000_000_000);
/// The sequence numbers are around this one, near the end of their space.
const BASE: Seq = Seq(0xffff_ff80);
/// As many payloads as the longest group has packets.
const BLOCK_LEN_MAX: usize = 128 * 255;
/// Farther than a source gets in one life without a leap.
const LEAP: u32 = 1 << 17;
const ROUNDS_MAX: usize = 8;
/// More than all NAKs, losses, one-byte messages and packets that one train can cause within the limits.
const POLLS_MAX: usize = 100_000;
