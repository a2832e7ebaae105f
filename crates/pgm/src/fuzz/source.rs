use std::time::Duration;

use super::choices::Choices;
use crate::source::{
    Advance, Endpoint, Join, Kept, Pace, ParityConfig, ProActive, RepairConfig, Source, SourceConfig,
    SourceEvent, SpmConfig, WindowConfig, WindowSize,
};
use crate::wire::{Body, Nak, Packet, Reset, Session};
use crate::{Framing, Gsi, Instant, Path, Seq, Transmit, Tsi};

/// Runs a source by the script in `input`: a configuration, then commands, received packets, and the passage of time.
///
/// # Panics
///
/// When the source panics, sends something that is not a packet, sends faster than its rate, or asks to be called without end.
pub fn source(input: &[u8]) {
    let mut choices = Choices::new(input);
    let config = config(&mut choices);
    let bucket = Bucket::new(&config.pace, config.packet_len);
    let Ok(source) = Source::new(START, config.clone()) else { return };
    let mut life = Life { now: START, source, bucket, config, buffer: vec![0; 4096], needs: Vec::new() };
    life.settle();
    while !choices.is_empty() {
        life.step(&mut choices);
        life.settle();
    }
    life.source.finish(life.now);
    for _ in 0..200 {
        life.settle();
        let Some(next) = life.source.poll_timeout() else { break };
        life.now = life.now.max(next);
        life.source.handle_timeout(life.now);
    }
}

struct Life {
    now: Instant,
    source: Source,
    bucket: Bucket,
    config: SourceConfig,
    buffer: Vec<u8>,
    needs: Vec<std::ops::Range<u64>>,
}

impl Life {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let now = self.now;
        match choices.u8() % 16 {
            // Whether a command is refused does not matter here.
            0..3 => _ = self.source.publish(now, choices.bytes()),
            3 => _ = self.source.publish_part(now, choices.bytes()),
            4 => _ = self.source.publish(now, &vec![choices.u8(); 16 * usize::from(choices.u8())]),
            5 => _ = self.source.offer(now, choices.u32().into()),
            6 => self.supply(choices),
            7 => self.source.flush(now),
            8 if choices.one_in(8) => self.source.finish(now),
            9 if choices.one_in(8) => {
                self.source.reset(now, Reset::new(choices.flag(), 1).expect("a small code"));
            }
            8..13 => self.receive(choices),
            _ => {
                self.now += choices.duration();
                self.source.handle_timeout(self.now);
            }
        }
    }

    fn supply(&mut self, choices: &mut Choices<'_>) {
        let Some(range) = self.needs.pop() else { return };
        let len = usize::try_from(range.end - range.start).expect("a group of packets");
        let len = if choices.one_in(8) { len / 2 } else { len };
        _ = self.source.supply(self.now, &range, &mut vec![choices.u8(); len]);
    }

    fn receive(&mut self, choices: &mut Choices<'_>) {
        let Endpoint { session, group, nla } = self.config.endpoint;
        let path = Path { from: nla, to: nla, interface: 1, ecn: choices.u8() % 4 };
        let mut room = Vec::new();
        let body = match choices.u8() % 8 {
            0 => {
                let bytes = choices.bytes();
                return self.source.handle_train(self.now, &path, choices.u8().into(), bytes);
            }
            1 => Body::Spmr,
            2 => Body::Nnak(choices.request(self.config.first_sqn, [nla, group], &mut room)),
            _ => Body::Nak(Nak::new(choices.request(self.config.first_sqn, [nla, group], &mut room))),
        };
        let packet = Packet { session, body };
        let mut datagram = vec![0; packet.wire_len()];
        packet.emit(&mut datagram);
        self.source.handle_train(self.now, &path, datagram.len(), &datagram);
    }

    /// Drains the polls, and handles timeouts that are due at once.
    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut polls = 0;
            loop {
                let mut is_quiet = true;
                while let Some(transmit) = self.source.poll_transmit(self.now, &mut self.buffer) {
                    self.send(&transmit);
                    polls += 1;
                    assert!(polls < POLLS_MAX, "sending has no end");
                }
                while let Some(event) = self.source.poll_event() {
                    is_quiet = false;
                    polls += 1;
                    assert!(polls < POLLS_MAX, "events have no end");
                    if let SourceEvent::Need(range) = event {
                        self.needs.push(range);
                    }
                }
                if is_quiet {
                    break;
                }
            }
            if self.source.poll_timeout().is_none_or(|at| at > self.now) {
                return;
            }
            self.source.handle_timeout(self.now);
        }
        panic!("a timeout that is always due");
    }

    fn send(&mut self, transmit: &Transmit) {
        assert!(transmit.len > 0 && transmit.stride > 0 && transmit.len <= self.buffer.len());
        for datagram in self.buffer[..transmit.len].chunks(transmit.stride) {
            let packet = Packet::parse(datagram).expect("a source sends packets");
            assert_eq!(packet.session, self.config.endpoint.session);
            assert!(datagram.len() <= self.config.packet_len, "{packet}");
            self.bucket.charge(self.now, datagram.len());
        }
    }
}

/// What a source may send: over any time, what the rate allows, plus one burst, or two packets where that is more.
struct Bucket {
    bytes_per_second: u128,
    overhead: u128,
    /// In bytes times 10^9.
    size: u128,
    level: u128,
    at: Instant,
}

impl Bucket {
    fn new(pace: &Pace, packet_len: usize) -> Self {
        let bytes_per_second = u128::from(pace.bytes_per_second);
        let packets = 2 * (packet_len as u128 + u128::from(pace.overhead)) * NANOS;
        let size = packets.max(bytes_per_second * pace.burst.as_nanos());
        Bucket { bytes_per_second, overhead: pace.overhead.into(), size, level: 0, at: START }
    }

    fn charge(&mut self, now: Instant, len: usize) {
        let leaked = self.bytes_per_second * u128::from(now.nanos_since(self.at));
        self.level = self.level.saturating_sub(leaked) + (len as u128 + self.overhead) * NANOS;
        self.at = now;
        assert!(self.level <= self.size, "more is sent than the rate allows");
    }
}

fn config(choices: &mut Choices<'_>) -> SourceConfig {
    let session = Session { tsi: Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 1000 }, destination_port: 7500 };
    let [group, nla] = if choices.flag() { ["ff02::5:5", "fd00::1"] } else { ["239.192.0.1", "10.0.0.1"] };
    let [group, nla] = [group, nla].map(|address| address.parse().expect("addresses are right"));
    let parity = choices.flag().then(|| ParityConfig {
        group: 2 << (choices.u8() % 7),
        pro_active: match choices.u8() % 3 {
            0 => ProActive::Off,
            1 => ProActive::Fixed(1 + choices.u8() % 9),
            _ => ProActive::Adaptive { target_percent: 1 + choices.u8() % 99 },
        },
        on_demand: choices.flag(),
    });
    let k = parity.map_or(1, |parity| u32::from(parity.group));
    SourceConfig {
        first_sqn: Seq(if choices.flag() { 0_u32.wrapping_sub(4 * k) } else { 0 }),
        seed: choices.u8().into(),
        packet_len: 400 + usize::from(choices.u8()) * 4,
        framing: [Framing::Packed, Framing::Apdu, Framing::Stream][usize::from(choices.below(3))],
        pace: Pace {
            bytes_per_second: 1 << (6 + choices.u8() % 24),
            overhead: choices.u8().into(),
            burst: choices.duration().min(Duration::from_millis(100)),
        },
        window: WindowConfig {
            size: WindowSize::Packets(choices.u8().into()),
            advance: if choices.flag() { Advance::Data } else { Advance::Time(choices.duration()) },
            increment_percent: 1 + choices.u8() % 100,
            join: [Join::None, Join::Share(choices.u8()), Join::All][usize::from(choices.below(3))],
            kept: if choices.one_in(4) {
                Kept::Elsewhere { groups: 2 + choices.u8() % 4 }
            } else {
                Kept::Here
            },
            join_in_data: choices.one_in(4),
        },
        spm: SpmConfig {
            ambient: choices.duration(),
            heartbeat_min: choices.duration(),
            heartbeat_max: choices.duration(),
            linger: choices.duration(),
            ..SpmConfig::default()
        },
        repair: RepairConfig { share_percent: 1 + choices.u8() % 100, eliminate: choices.duration() },
        parity,
        ..SourceConfig::new(Endpoint { session, group, nla })
    }
}

const START: Instant = Instant(1_000_000_000_000);
const NANOS: u128 = 1_000_000_000;
const ROUNDS_MAX: usize = 8;
/// More than a burst at the highest rate in the smallest packets, plus all confirmations and events.
const POLLS_MAX: usize = 100_000;
