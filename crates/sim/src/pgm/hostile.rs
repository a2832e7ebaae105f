//! A hostile peer: it listens, and sends forged packets of every type, to the group and to single parties.
//!
//! It writes bytes itself, independently of the code that it attacks. Most forged packets have a correct checksum, since random
//! bytes would only test the checksum. It sends from its own address.

use std::time::Duration;

use crate::rng::{Chance, Rng};
use crate::time::Time;
use crate::world::Transmit;
use crate::{Destination, PartyId};

/// Forges packets at a steady rate until it has sent as many as configured.
#[derive(Debug)]
pub struct Hostile {
    rng: Rng,
    interval: Duration,
    left: u32,
    next: Time,
    due: bool,
    group: u32,
    victims: u32,
    heard: Vec<u8>,
    types: [u32; 16],
}

impl Hostile {
    /// A peer that forges `packets` packets, one each `interval`, to `group` and to the parties numbered below `victims`.
    pub fn new(seed: u64, packets: u32, interval: Duration, group: u32, victims: u32) -> Self {
        Self {
            rng: Rng::new(seed),
            interval,
            left: packets,
            next: Time::START,
            due: false,
            group,
            victims,
            heard: Vec::new(),
            types: [0; 16],
        }
    }

    /// How many packets it forged, by type code.
    pub fn forged(&self) -> &[u32; 16] {
        &self.types
    }

    /// Keeps a packet now and then, to imitate it.
    pub(crate) fn handle(&mut self, stride: usize, bytes: &[u8]) {
        let packet = &bytes[..stride.min(bytes.len())];
        if packet.len() >= HEADER && (self.heard.is_empty() || self.rng.chance(Chance::new(0.05))) {
            self.heard.clear();
            self.heard.extend_from_slice(packet);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.due = true;
        self.next = now + self.interval;
    }

    pub(crate) fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        if !std::mem::take(&mut self.due) || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let to = match self.rng.below(3) {
            0 => Destination::Party(PartyId(self.rng.below(u64::from(self.victims)) as u32)),
            _ => Destination::Group(self.group),
        };
        let mut packet = Vec::new();
        self.forge(&mut packet);
        self.types[usize::from(packet.get(4).copied().unwrap_or(0) & 15)] += 1;
        buf[..packet.len()].copy_from_slice(&packet);
        Some(Transmit { to, stride: packet.len().max(1), len: packet.len() })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        (self.left > 0).then_some(self.next)
    }

    fn forge(&mut self, packet: &mut Vec<u8>) {
        match self.rng.below(10) {
            0 if !self.heard.is_empty() => {
                packet.extend_from_slice(&self.heard);
                return;
            }
            1 if !self.heard.is_empty() => self.mutate(packet),
            2 => packet.extend((0..self.rng.below(80)).map(|_| self.rng.next_u64() as u8)),
            _ => self.compose(packet),
        }
        self.sign(packet);
    }

    /// A packet that was heard, with a few bytes changed and perhaps cut short.
    fn mutate(&mut self, packet: &mut Vec<u8>) {
        packet.extend_from_slice(&self.heard);
        for _ in 0..self.rng.between(1, 4) {
            let at = self.rng.below(packet.len().min(60) as u64) as usize;
            packet[at] = self.byte();
        }
        if self.rng.below(4) == 0 {
            packet.truncate(self.rng.below(packet.len() as u64 + 1) as usize);
        }
    }

    /// A packet of a random type, mostly well-formed.
    fn compose(&mut self, packet: &mut Vec<u8>) {
        let kind = self.rng.pick(&[SPM, POLL, POLR, ODATA, RDATA, NAK, NNAK, NCF, SPMR, ACK, 0x03, 0x0b]);
        let options = self.rng.below(2) == 0;
        let data = if matches!(kind, ODATA | RDATA) { self.rng.pick(&[0, 1, 2, 3, 40, 1400]) } else { 0 };
        self.ports_of_a_session(kind, packet);
        packet.push(kind);
        let flags = match kind {
            ODATA | RDATA | NAK | NNAK | NCF => self.rng.pick(&[0, 0, 0x80, 0xc0, 0x02]),
            _ => self.rng.pick(&[0, 0, 0, 0, 0, 0, 0x80, 0x40]),
        };
        packet.push(flags | u8::from(options));
        packet.extend([0, 0]);
        packet.extend(self.gsi());
        let said = if self.rng.below(8) == 0 { self.rng.next_u64() as u16 } else { data };
        packet.extend(said.to_be_bytes());
        self.body(kind, packet);
        if options {
            self.options(kind, packet);
        }
        packet.extend((0..data).map(|i| i as u8));
    }

    fn body(&mut self, kind: u8, packet: &mut Vec<u8>) {
        match kind {
            SPM => {
                self.number(packet);
                self.ordered_pair(packet);
                self.address(UNICAST, packet);
            }
            POLL => {
                self.numbers(2, packet);
                self.address(UNICAST, packet);
                self.numbers(3, packet);
            }
            // The sequence number and the trailing edge, which is the lower one.
            ODATA | RDATA => {
                self.ordered_pair(packet);
                packet[HEADER..].rotate_left(4);
            }
            POLR | ACK => self.numbers(2, packet),
            NAK | NNAK | NCF => {
                self.number(packet);
                self.address(UNICAST, packet);
                self.address(MULTICAST, packet);
            }
            _ => {}
        }
    }

    /// Options whose types, lengths, ends and number are mostly right.
    fn options(&mut self, kind: u8, packet: &mut Vec<u8>) {
        let usual: &[u8] = match kind {
            SPM => &[JOIN, NAK_BO_RNG, PARITY_PRM, CURR_TGSIZE, FIN, RST, CRQST],
            ODATA | RDATA => &[FRAGMENT, JOIN, PARITY_GRP, CURR_TGSIZE, SYN, FIN, PGMCC_DATA],
            NAK | NNAK | NCF => {
                &[NAK_LIST, NAK_LIST, NAK_BO_IVL, NAK_BO_RNG, REDIRECT, NBR_UNREACH, PATH_NLA]
            }
            ACK => &[PGMCC_FEEDBACK],
            _ => &[NAK_BO_IVL, NAK_BO_RNG, REDIRECT],
        };
        let start = packet.len();
        packet.extend([0, 4, 0, 0]);
        let count = self.rng.pick(&[1, 1, 1, 1, 2, 3, 15, 16, 40]);
        for nth in 1..=count {
            let end = if nth == count && self.rng.below(20) > 0 { 0x80 } else { 0 };
            let any = self.rng.pick(&OPTIONS);
            let kind = match self.rng.below(5) {
                _ if count > 3 => UNKNOWN,
                0 => any,
                _ => self.rng.pick(usual),
            };
            self.option(kind, end, packet);
        }
        let total =
            if self.rng.below(20) == 0 { self.rng.next_u64() as u16 } else { (packet.len() - start) as u16 };
        packet[start + 2..start + 4].copy_from_slice(&total.to_be_bytes());
    }

    fn option(&mut self, kind: u8, end: u8, packet: &mut Vec<u8>) {
        let len = match kind {
            NAK_LIST => 4 + 4 * self.rng.between(1, 62) as u8,
            JOIN | PARITY_PRM | PARITY_GRP | CURR_TGSIZE | PATH_NLA => 8,
            NAK_BO_IVL | NAK_BO_RNG | REDIRECT => 12,
            FRAGMENT | PGMCC_DATA | PGMCC_FEEDBACK => 16,
            CR => 24,
            _ => 4,
        };
        let said = if self.rng.below(20) == 0 { self.byte() } else { len };
        let specific = if self.rng.below(3) == 0 { self.byte() } else { self.rng.below(4) as u8 };
        packet.extend([kind | end, said, self.rng.pick(&[0, 0, 0, 1, 2, 4, 0xff]), specific]);
        match kind {
            NAK_LIST => self.list(len / 4 - 1, packet),
            REDIRECT => self.address(UNICAST, packet),
            PARITY_PRM => packet.extend((self.rng.pick(&[1u32, 1, 1, 3]) << self.rng.below(9)).to_be_bytes()),
            CURR_TGSIZE => packet.extend((self.rng.below(130) as u32).to_be_bytes()),
            PGMCC_DATA | PGMCC_FEEDBACK => {
                self.number(packet);
                self.address(UNICAST, packet);
            }
            _ => self.numbers(usize::from(len / 4 - 1), packet),
        }
    }

    /// A list of numbers that, most of the time, ascend from the one in the body.
    fn list(&mut self, count: u8, packet: &mut Vec<u8>) {
        let first: [u8; 4] = packet[HEADER..HEADER + 4].try_into().expect("a body begins with a number");
        let mut number = u32::from_be_bytes(first);
        for _ in 0..count {
            number = number.wrapping_add(if self.rng.below(100) == 0 {
                1 << 31
            } else {
                self.rng.between(1, 9) as u32
            });
            packet.extend(number.to_be_bytes());
        }
    }

    /// The ports of a session that was heard, swapped for upstream packets, or random ones.
    fn ports_of_a_session(&mut self, kind: u8, packet: &mut Vec<u8>) {
        match self.heard.first_chunk::<4>() {
            Some(&[a, b, c, d]) if self.rng.below(4) > 0 => {
                let same_way = is_upstream(self.heard[4]) == is_upstream(kind);
                packet.extend(if same_way { [a, b, c, d] } else { [c, d, a, b] });
            }
            _ => self.number(packet),
        }
    }

    fn gsi(&mut self) -> [u8; 6] {
        match self.heard.get(8..14) {
            Some(heard) if self.rng.below(4) > 0 => heard.try_into().expect("six bytes"),
            _ => std::array::from_fn(|_| self.byte()),
        }
    }

    /// Sequence numbers near the ones in use, half the sequence space away, or random.
    fn numbers(&mut self, count: usize, packet: &mut Vec<u8>) {
        (0..count).for_each(|_| self.number(packet));
    }

    fn number(&mut self, packet: &mut Vec<u8>) {
        let near =
            self.heard.get(16..20).map_or(0, |seq| u32::from_be_bytes(seq.try_into().expect("four bytes")));
        let number = match self.rng.below(6) {
            0 => near.wrapping_add(1 << 31),
            1 => near.wrapping_add((1 << 31) - 1),
            2 => self.rng.next_u64() as u32,
            3 => self.rng.pick(&[0, 1, u32::MAX]),
            _ => near.wrapping_add(self.rng.below(200) as u32).wrapping_sub(100),
        };
        packet.extend(number.to_be_bytes());
    }

    /// A sequence number and one that follows it by up to half the sequence space.
    fn ordered_pair(&mut self, packet: &mut Vec<u8>) {
        self.number(packet);
        let low: [u8; 4] = packet[packet.len() - 4..].try_into().expect("four bytes");
        let distance = self.rng.pick(&[0, 1, 63, 1000, (1 << 31) - 2, (1 << 31) - 1, 1 << 31]);
        packet.extend(u32::from_be_bytes(low).wrapping_add(distance).to_be_bytes());
    }

    fn address(&mut self, usual: [u8; 3], packet: &mut Vec<u8>) {
        let family = self.rng.pick(&[1, 1, 1, 1, 1, 1, 2, 0, 3]);
        packet.extend([0, family, 0, 0]);
        match family {
            2 => self.numbers(4, packet),
            _ if self.rng.below(5) == 0 => self.number(packet),
            _ => {
                packet.extend(usual);
                packet.push(self.rng.between(1, 9) as u8);
            }
        }
    }

    /// Writes a checksum, which is correct most of the time.
    fn sign(&mut self, packet: &mut [u8]) {
        if packet.len() < HEADER {
            return;
        }
        packet[6..8].fill(0);
        let sum = match self.rng.below(12) {
            0 => 0,
            1 => self.rng.next_u64() as u16,
            _ => checksum(packet),
        };
        packet[6..8].copy_from_slice(&sum.to_be_bytes());
    }

    fn byte(&mut self) -> u8 {
        let any = self.rng.next_u64() as u8;
        self.rng.pick(&[0, 1, 0x7f, 0x80, 0xff, any, any, any])
    }
}

/// The fixed part of every packet (RFC 3208 §8).
const HEADER: usize = 16;

// Types of packets (§8).
const SPM: u8 = 0x00;
const POLL: u8 = 0x01;
const POLR: u8 = 0x02;
const ODATA: u8 = 0x04;
const RDATA: u8 = 0x05;
const NAK: u8 = 0x08;
const NNAK: u8 = 0x09;
const NCF: u8 = 0x0a;
const SPMR: u8 = 0x0c;
const ACK: u8 = 0x0d;

// Types of options (§9, and those of PGMCC).
const FRAGMENT: u8 = 0x01;
const NAK_LIST: u8 = 0x02;
const JOIN: u8 = 0x03;
const NAK_BO_IVL: u8 = 0x04;
const NAK_BO_RNG: u8 = 0x05;
const REDIRECT: u8 = 0x07;
const PARITY_PRM: u8 = 0x08;
const PARITY_GRP: u8 = 0x09;
const CURR_TGSIZE: u8 = 0x0a;
const NBR_UNREACH: u8 = 0x0b;
const PATH_NLA: u8 = 0x0c;
const SYN: u8 = 0x0d;
const FIN: u8 = 0x0e;
const RST: u8 = 0x0f;
const CR: u8 = 0x10;
const CRQST: u8 = 0x11;
const PGMCC_DATA: u8 = 0x12;
const PGMCC_FEEDBACK: u8 = 0x13;

/// All option types, and OPT_INVALID.
const OPTIONS: [u8; 19] = [
    FRAGMENT,
    NAK_LIST,
    JOIN,
    NAK_BO_IVL,
    NAK_BO_RNG,
    REDIRECT,
    PARITY_PRM,
    PARITY_GRP,
    CURR_TGSIZE,
    NBR_UNREACH,
    PATH_NLA,
    SYN,
    FIN,
    RST,
    CR,
    CRQST,
    PGMCC_DATA,
    PGMCC_FEEDBACK,
    INVALID,
];
const INVALID: u8 = 0x7f;

/// An option type that is not defined anywhere.
const UNKNOWN: u8 = 0x5a;

/// Prefixes of the addresses of the world's parties and groups.
const UNICAST: [u8; 3] = [10, 0, 0];
const MULTICAST: [u8; 3] = [239, 0, 0];

/// Whether packets of a type go towards the source, with their ports swapped.
fn is_upstream(kind: u8) -> bool {
    matches!(kind, POLR | NAK | NNAK | SPMR | ACK)
}

/// The one's complement sum of RFC 1071, over the packet with its checksum field zero; 0 is written as all ones.
fn checksum(packet: &[u8]) -> u16 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u64 = packet.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    if sum == 0xffff { 0xffff } else { !(sum as u16) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_pgm::wire::{Malformed, Packet, PacketType};

    /// Forged packets that no receiver accepts would prove little.
    #[test]
    fn forgeries_are_believable_and_break_every_rule() {
        let mut hostile = Hostile::new(1, u32::MAX, Duration::from_millis(1), 0, 4);
        let spm = [0xce, 3, 0x15, 0xb3, SPM, 0, 0x84, 0xec, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 1, 0, 0, 0, 1, 7];
        hostile.handle(spm.len(), &spm);
        let mut buf = vec![0; 65_536];
        let mut taken = [0; 16];
        let mut broken = [0; Malformed::COUNT];
        for i in 0..100_000 {
            hostile.handle_timeout(Time(i));
            let transmit = hostile.poll_transmit(&mut buf).unwrap();
            match Packet::parse(&buf[..transmit.len]) {
                Ok(packet) => taken[packet.packet_type() as usize] += 1,
                Err(rule) => broken[rule.index()] += 1,
            }
        }
        use PacketType::*;
        for kind in [Spm, Poll, Polr, Odata, Rdata, Nak, Nnak, Ncf, Spmr, Ack] {
            assert!(taken[kind as usize] > 1000, "{kind:?}: {taken:?}");
        }
        let unbroken = broken.iter().filter(|&&count| count == 0).count();
        assert_eq!(unbroken, 0, "{broken:?}");
    }
}
