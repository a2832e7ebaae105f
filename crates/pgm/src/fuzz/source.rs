use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::choices::Choices;
use crate::source::{
    Advance, Endpoint, Join, Kept, Pace, Packed, Packer, ParityConfig, ProActive, RepairConfig, Source,
    SourceConfig, SourceEvent, SpmConfig, WindowConfig, WindowSize,
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
    let bucket = Bucket::new(&config);
    let Ok(source) = Source::new(START, config.clone()) else { return };
    let mut life = Life {
        now: START,
        source,
        bucket,
        config,
        buffer: vec![0; BUFFER_LEN],
        needs: Vec::new(),
        packer: None,
        packed: Packed::default(),
        has_published: false,
    };
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
    /// Packs what is published, if not the source does.
    packer: Option<Packer>,
    /// Packed and not yet taken.
    packed: Packed,
    has_published: bool,
}

impl Life {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let now = self.now;
        let command = choices.u8();
        match command % 16 {
            // Whether a command is refused does not matter here.
            0..3 => self.publish(choices.bytes(), false),
            3 => self.publish(choices.bytes(), true),
            4 => self.publish(&vec![choices.u8(); 16 * usize::from(choices.u8())], false),
            5 => _ = self.source.offer(now, choices.u32().into()),
            6 => self.supply(choices),
            7 => self.flush(),
            8 if choices.one_in(8) => self.source.finish(now),
            9 if choices.one_in(8) => {
                self.source.reset(now, Reset::new(choices.flag(), 1).expect("a small code"));
            }
            8..13 => self.receive(choices),
            13 if command >= 64 => self.adjust(choices),
            _ => {
                self.now += choices.duration();
                self.source.handle_timeout(self.now);
            }
        }
    }

    /// A command that is seldom given.
    fn adjust(&mut self, choices: &mut Choices<'_>) {
        let now = self.now;
        match choices.u8() % 8 {
            0 => {
                let bytes_per_second = u64::from(choices.u32() >> (choices.u8() % 32)).max(1);
                self.source.set_rate(now, bytes_per_second);
                self.config.pace.bytes_per_second = bytes_per_second;
                self.bucket.change(now, &self.config);
            }
            1 => self.source.set_linger(now, choices.duration()),
            2 => self.source.set_sent_max(now, self.source.stats().odata + u64::from(choices.u8())),
            3 => self.source.set_sent_max(now, u64::MAX),
            4 => self.source.forget_losses(),
            5 => self.buffer.resize(BUFFER_LEN + 64 * usize::from(choices.u8()), 0),
            6 if !self.has_published => {
                self.packer = Some(Packer::new(self.config.framing, self.source.tsdu_len()));
            }
            7 if choices.one_in(8) => self.source.cut(now, Reset::new(false, 1).expect("a small code")),
            _ => {}
        }
    }

    fn publish(&mut self, bytes: &[u8], more: bool) {
        self.has_published = true;
        if let Some(packer) = &mut self.packer {
            packer.put(bytes, more);
            self.push();
        } else if more {
            _ = self.source.publish_part(self.now, bytes);
        } else {
            _ = self.source.publish(self.now, bytes);
        }
    }

    /// Hands over what is packed, as much as there is room for.
    fn push(&mut self) {
        let Some(packer) = &mut self.packer else { return };
        if self.packed.is_empty() {
            packer.give(&mut self.packed);
        }
        _ = self.source.push(self.now, &mut self.packed);
    }

    fn flush(&mut self) {
        if let Some(packer) = &mut self.packer {
            packer.end_burst();
            packer.close();
            self.push();
        } else {
            self.source.flush(self.now);
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
                    match event {
                        SourceEvent::Need(range) => self.needs.push(range),
                        SourceEvent::Writable => self.push(),
                        SourceEvent::Drained | SourceEvent::Finished => {}
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
        let datagrams = self.buffer[..transmit.len].chunks(transmit.stride);
        assert!(
            !transmit.apart || datagrams.len() == 1 + self.config.further.len(),
            "one for each interface"
        );
        for (nth, datagram) in datagrams.enumerate() {
            let packet = Packet::parse(datagram).expect("a source sends packets");
            assert_eq!(packet.session, self.config.endpoint.session);
            assert!(datagram.len() <= self.config.packet_len, "{packet}");
            // Those of other interfaces have their own rate.
            if nth == 0 || !transmit.apart {
                self.bucket.charge(self.now, datagram.len());
            }
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
    fn new(config: &SourceConfig) -> Self {
        let mut bucket = Bucket { bytes_per_second: 0, overhead: 0, size: 0, level: 0, at: START };
        bucket.change(START, config);
        bucket
    }

    /// Changes the rate.
    fn change(&mut self, now: Instant, SourceConfig { pace, packet_len, .. }: &SourceConfig) {
        self.leak(now);
        self.bytes_per_second = pace.bytes_per_second.into();
        self.overhead = pace.overhead.into();
        let packets = 2 * (*packet_len as u128 + self.overhead) * NANOS;
        // A source counts in nanoseconds, rounded up for each packet and at each change of the rate.
        self.size = packets.max(self.bytes_per_second * pace.burst.as_nanos()) + 4 * self.bytes_per_second;
    }

    fn leak(&mut self, now: Instant) {
        let leaked = self.bytes_per_second * u128::from(now.nanos_since(self.at));
        self.level = self.level.saturating_sub(leaked);
        self.at = now;
    }

    fn charge(&mut self, now: Instant, len: usize) {
        self.leak(now);
        self.level += (len as u128 + self.overhead) * NANOS;
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
        further: further_addresses(nla, choices.below(4)),
        ..SourceConfig::new(Endpoint { session, group, nla })
    }
}

/// So many addresses that follow this one.
fn further_addresses(nla: IpAddr, count: u16) -> Vec<IpAddr> {
    (1..=count)
        .map(|nth| match nla {
            IpAddr::V4(nla) => Ipv4Addr::from_bits(nla.to_bits() + u32::from(nth)).into(),
            IpAddr::V6(nla) => Ipv6Addr::from_bits(nla.to_bits() + u128::from(nth)).into(),
        })
        .collect()
}

const START: Instant = Instant(1_000_000_000_000);
const NANOS: u128 = 1_000_000_000;
/// Holds two packets of any configuration, and a confirmation for each interface.
const BUFFER_LEN: usize = 4096;
const ROUNDS_MAX: usize = 8;
/// More than a burst at the highest rate in the smallest packets, plus all confirmations and events.
const POLLS_MAX: usize = 100_000;
