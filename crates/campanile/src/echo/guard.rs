//! Which packets are answered.
//!
//! A single forged packet can make two echo servers answer each other without end, if they answer everything (CVE-2024-2169): one that
//! arrives at server A with server B's address as its source. The classic packet says nothing of its direction, so A's reply looks like
//! a request to B, and B's reply like a request to A, forever. The guard makes such a loop die out.
//!
//! # Why loops die out
//!
//! Replies are no larger and no more numerous than what they answer, so a loop never grows. It shrinks, because each reply is
//! remembered: the [`Replies`] of A hold the address it went to and its first 16 bytes, and a train that comes from that address with
//! the same bytes within a second is dropped.
//!
//! - A train that comes back as it was sent is dropped on its first return. One forged packet is answered once by A and once by B.
//! - Trains may be cut at other places on each trip. Only the head of a train (its first packet) is remembered, so a piece whose head
//!   was in the middle before is answered; but then that head is remembered too. Each answer turns one more packet into a known head,
//!   at each of the servers, and no packet becomes one twice within a second: `n` packets make at most `2n` replies. With random cuts
//!   the share of known heads grows with every trip, and what is left falls faster than exponentially.
//! - A server with several cores has a table for each. If different cores receive a packet each time, each of them answers it once.
//! - With more packets on their way than the table has entries, some entries are gone when their packets return. Which ones is random,
//!   so a share of at least about `e^(-n/65536)` of `n` packets is dropped on every trip: few at first, then more and more. Before that
//!   the source's limit drops what exceeds it.
//! - A forger cannot aim at entries: the fingerprints depend on a key that is drawn when the process starts.
//! - Packets of a source that counts upwards are answered without a look into the table ([`HighWater`]). A packet that comes back is
//!   never one of them, because its number is not above all those that were answered.
//!
//! What remains is a path on which a round trip takes longer than a second. There a loop goes on; it cannot grow, and it is held to the
//! limit for its source.

use std::net::{IpAddr, SocketAddr};

use super::counts::Cause;
use super::fingerprint::Key;
use super::high_water::HighWater;
use super::limit::{Bucket, Rate, Sources};
use super::replies::Replies;
use crate::clock::Instant;
use crate::packet::Header;

/// Decides for one core which trains are answered. It costs a few table look-ups per train and allocates nothing.
#[derive(Debug)]
pub(crate) struct Guard {
    key: Key,
    own_ports: Box<[u16]>,
    high_water: HighWater,
    replies: Replies,
    sources: Option<Sources>,
    small: Option<Small>,
}

/// What a guard is told about a train.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) from: SocketAddr,
    /// It was sent to this host alone.
    pub(crate) unicast: bool,
    /// Datagrams in the train.
    pub(crate) count: usize,
    /// The first datagram; its first 16 bytes are enough.
    pub(crate) head: &'a [u8],
}

/// What a guard allows.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Ports whose packets are never answered: the server's own, and those of other echo servers.
    pub(crate) own_ports: Vec<u16>,
    /// Packets per second for each source; 0 for any number.
    pub(crate) source_limit: u32,
    /// The cap for datagrams too short to be told apart; `None` for none.
    pub(crate) small: Option<SmallLimits>,
}

/// How many datagrams of less than 16 bytes are answered each second, by one core.
///
/// The classic packet has at least 16 bytes. A shorter datagram says too little to be told from one in a loop, so the limits let a
/// person at a terminal be answered, and not a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallLimits {
    /// For each source.
    pub per_source: u32,
    /// For all of them.
    pub total: u32,
}

impl Default for SmallLimits {
    fn default() -> Self {
        Self { per_source: 20, total: 100 }
    }
}

/// The [`SmallLimits`] at work.
#[derive(Debug)]
struct Small {
    /// What each source may still have answered.
    sources: Sources,
    /// How fast `bucket` fills again.
    rate: Rate,
    /// What all sources together may still have answered.
    bucket: Bucket,
}

impl Guard {
    pub(crate) fn new(rules: &Rules, key: Key) -> Self {
        let small = rules.small.map(|limits| Small {
            sources: Sources::new(SMALL_SETS, Rate::per_second(limits.per_source)),
            rate: Rate::per_second(limits.total),
            bucket: Bucket::default(),
        });
        let sources =
            (rules.source_limit > 0).then(|| Sources::new(SETS, Rate::per_second(rules.source_limit)));
        Self {
            own_ports: rules.own_ports.clone().into_boxed_slice(),
            high_water: HighWater::new(),
            replies: Replies::new(key.hash([])),
            key,
            sources,
            small,
        }
    }

    /// Whether a train is to be answered. If so, the answer is recorded.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn admit(&mut self, offer: &Offer<'_>, now: Instant) -> Result<(), Cause> {
        self.check_source(offer)?;
        let head = Head::of(offer.head);
        let source = self.key.hash(address_words(offer.from));
        let fingerprint = self.key.hash([source, head.low, head.high, head.len]);
        let place = self.high_water.visit(source, now);
        if !self.high_water.exceeds(place, head.number()) && self.replies.is_recent(fingerprint, now) {
            return Err(Cause::Repeated);
        }
        self.check_small(offer, now)?;
        self.check_limit(offer, now)?;
        self.high_water.note(place, head.number());
        self.replies.remember(fingerprint, now);
        Ok(())
    }

    /// The rules that need no memory.
    fn check_source(&self, offer: &Offer<'_>) -> Result<(), Cause> {
        let port = offer.from.port();
        match offer.from.ip() {
            _ if port == 0 => Err(Cause::PortZero),
            _ if port < 1024 => Err(Cause::LowPort),
            _ if self.own_ports.contains(&port) => Err(Cause::OwnPort),
            _ if !offer.unicast => Err(Cause::ToMany),
            IpAddr::V4(ip) if ip.is_multicast() || ip.is_broadcast() => Err(Cause::FromMany),
            ip if ip.is_multicast() || ip.is_unspecified() => Err(Cause::FromMany),
            _ => Ok(()),
        }
    }

    fn check_small(&mut self, offer: &Offer<'_>, now: Instant) -> Result<(), Cause> {
        let Some(small) = self.small.as_mut().filter(|_| offer.head.len() < Header::LEN) else {
            return Ok(());
        };
        let source = limited_source(&self.key, offer.from.ip());
        let admitted =
            small.sources.take(source, offer.count, now) && small.bucket.take(small.rate, offer.count, now);
        if admitted { Ok(()) } else { Err(Cause::Small) }
    }

    fn check_limit(&mut self, offer: &Offer<'_>, now: Instant) -> Result<(), Cause> {
        let ip = offer.from.ip();
        let Some(sources) = self.sources.as_mut().filter(|_| !ip.is_loopback()) else { return Ok(()) };
        let admitted = sources.take(limited_source(&self.key, ip), offer.count, now);
        if admitted { Ok(()) } else { Err(Cause::SourceLimit) }
    }
}

/// The first bytes of a datagram.
#[derive(Clone, Copy, Debug)]
struct Head {
    low: u64,
    high: u64,
    /// How many there are, 16 at most.
    len: u64,
}

impl Head {
    fn of(datagram: &[u8]) -> Self {
        let mut bytes = [0; Header::LEN];
        let len = datagram.len().min(Header::LEN);
        match datagram.first_chunk() {
            Some(chunk) => bytes = *chunk,
            None => bytes[..len].copy_from_slice(datagram),
        }
        let both = u128::from_le_bytes(bytes);
        Self { low: both as u64, high: (both >> 64) as u64, len: len as u64 }
    }

    /// A number that grows from packet to packet of a classic client: sequence and time, added.
    fn number(self) -> u64 {
        self.low.wrapping_add(self.high)
    }
}

/// A sender's address and port, as the words that are hashed.
fn address_words(from: SocketAddr) -> [u64; 3] {
    let ip = match from.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    [(ip >> 64) as u64, ip as u64, from.port().into()]
}

/// The hash of what has one limit: an IPv4 address, or the /64 network of an IPv6 address, whose owner is free to choose the other
/// half.
fn limited_source(key: &Key, ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => key.hash([u64::from(ip.to_bits()), 4]),
        IpAddr::V6(ip) => key.hash([(ip.to_bits() >> 64) as u64, 6]),
    }
}

/// Room for 16,384 sources.
const SETS: usize = 4096;
/// Room for 1,024 sources: no more than 100 a second are admitted.
const SMALL_SETS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: Instant = Instant::from_ns(7 * SECOND);

    fn rules() -> Rules {
        Rules { own_ports: vec![5000, 5001], source_limit: 1000, small: Some(SmallLimits::default()) }
    }

    fn guard() -> Guard {
        Guard::new(&rules(), Key::random())
    }

    fn from(address: &str) -> SocketAddr {
        address.parse().expect("a literal address")
    }

    fn offer<'a>(address: &str, head: &'a [u8]) -> Offer<'a> {
        Offer { from: from(address), unicast: true, count: 1, head }
    }

    fn packet(seq: u64) -> [u8; Header::LEN] {
        Header { seq, stamp_ns: 0 }.to_bytes()
    }

    #[test]
    fn a_client_is_answered() {
        let mut guard = guard();
        for seq in 0..500 {
            assert_eq!(guard.admit(&offer("192.0.2.1:40000", &packet(seq)), NOW), Ok(()));
            assert_eq!(guard.admit(&offer("[2001:db8::1]:40000", &packet(seq)), NOW), Ok(()));
        }
    }

    #[test]
    fn services_and_crowds_are_not_answered() {
        let cases = [
            ("192.0.2.1:0", Cause::PortZero),
            ("192.0.2.1:7", Cause::LowPort),
            ("[2001:db8::1]:1023", Cause::LowPort),
            ("192.0.2.1:5000", Cause::OwnPort),
            ("127.0.0.1:5001", Cause::OwnPort),
            ("224.0.0.1:40000", Cause::FromMany),
            ("255.255.255.255:40000", Cause::FromMany),
            ("0.0.0.0:40000", Cause::FromMany),
            ("[ff02::1]:40000", Cause::FromMany),
            ("[::]:40000", Cause::FromMany),
        ];
        for (address, cause) in cases {
            assert_eq!(guard().admit(&offer(address, &packet(1)), NOW), Err(cause), "{address}");
        }
        let to_many = Offer { unicast: false, ..offer("192.0.2.1:40000", b"0123456789abcdef") };
        assert_eq!(guard().admit(&to_many, NOW), Err(Cause::ToMany));
        assert_eq!(guard().admit(&offer("192.0.2.1:1024", &packet(1)), NOW), Ok(()));
    }

    #[test]
    fn what_was_just_answered_is_not_answered_again() {
        let mut guard = guard();
        let first = offer("192.0.2.1:40000", b"0123456789abcdef, first");
        assert_eq!(guard.admit(&first, NOW), Ok(()));
        let same_head = offer("192.0.2.1:40000", b"0123456789abcdef, second");
        assert_eq!(guard.admit(&same_head, NOW), Err(Cause::Repeated));
        assert_eq!(guard.admit(&offer("192.0.2.1:40001", first.head), NOW), Ok(()), "another port");
        assert_eq!(guard.admit(&offer("192.0.2.2:40000", first.head), NOW), Ok(()), "another host");
        assert_eq!(guard.admit(&same_head, Instant::from_ns(8 * SECOND)), Ok(()), "a second later");
    }

    /// After its first second a source that counts upwards is answered without a look into the table; what comes back is not.
    #[test]
    fn a_source_of_long_standing_is_not_answered_twice_either() {
        let mut guard = guard();
        for seq in 0..5000 {
            let now = Instant::from_ns(7 * SECOND + seq * SECOND / 500);
            assert_eq!(guard.admit(&offer("127.0.0.1:40000", &packet(seq)), now), Ok(()));
            for back in [0, 1, 100, 450] {
                let verdict = guard.admit(&offer("127.0.0.1:40000", &packet(seq.saturating_sub(back))), now);
                assert_eq!(verdict, Err(Cause::Repeated), "{seq} - {back}");
            }
        }
    }

    #[test]
    fn what_was_refused_is_not_remembered() {
        let mut guard = guard();
        let train = Offer { count: 1001, ..offer("192.0.2.1:40000", b"0123456789abcdef") };
        assert_eq!(guard.admit(&train, NOW), Err(Cause::SourceLimit));
        assert_eq!(guard.admit(&Offer { count: 1, ..train }, NOW), Ok(()));
    }

    #[test]
    fn a_source_is_a_host_or_a_network() {
        let mut guard = guard();
        let cases = [
            ("192.0.2.1:40000", Ok(())),
            ("192.0.2.1:40001", Err(Cause::SourceLimit)),
            ("192.0.2.2:40000", Ok(())),
            ("[2001:db8::1]:40000", Ok(())),
            ("[2001:db8::2]:40000", Err(Cause::SourceLimit)),
            ("[2001:db8:0:1::1]:40000", Ok(())),
        ];
        for (address, verdict) in cases {
            let seconds_worth = Offer { count: 1000, ..offer(address, b"0123456789abcdef") };
            assert_eq!(guard.admit(&seconds_worth, NOW), verdict, "{address}");
        }
    }

    #[test]
    fn loopback_has_no_limit_and_0_means_none() {
        let mut unlimited = Guard::new(&Rules { source_limit: 0, ..rules() }, Key::random());
        let mut limited = guard();
        for seq in 0..100 {
            let head = packet(seq);
            let train = |address| Offer { count: 64, ..offer(address, &head) };
            assert_eq!(limited.admit(&train("127.0.0.1:40000"), NOW), Ok(()));
            assert_eq!(limited.admit(&train("[::1]:40000"), NOW), Ok(()));
            assert_eq!(unlimited.admit(&train("192.0.2.1:40000"), NOW), Ok(()));
        }
    }

    #[test]
    fn short_datagrams_are_capped_by_source_and_in_all() {
        let mut guard = guard();
        let mut answered = [0; 8];
        for (source, answered) in answered.iter_mut().enumerate() {
            for line in 0..50_u8 {
                let address = format!("127.0.0.{}:40000", source + 1);
                *answered += u32::from(guard.admit(&offer(&address, &[line]), NOW).is_ok());
            }
        }
        assert_eq!(answered, [20, 20, 20, 20, 20, 0, 0, 0]);
        assert_eq!(guard.admit(&offer("127.0.0.9:40000", b""), NOW), Err(Cause::Small));
        assert_eq!(guard.admit(&offer("127.0.0.1:40000", &packet(1)), NOW), Ok(()), "16 bytes are enough");
    }

    #[test]
    fn a_zero_at_the_end_makes_another_line() {
        let mut guard = guard();
        for line in [&b""[..], b"\0", b"\0\0", b"a", b"a\0"] {
            assert_eq!(guard.admit(&offer("127.0.0.1:40000", line), NOW), Ok(()), "{line:?}");
            assert_eq!(guard.admit(&offer("127.0.0.1:40000", line), NOW), Err(Cause::Repeated), "{line:?}");
        }
    }

    #[test]
    fn a_verdict_allocates_nothing() {
        let mut guard = guard();
        let allocations = allocation_counter::measure(|| {
            for seq in 0..2000 {
                let _ = guard.admit(&offer("192.0.2.1:40000", &packet(seq)), NOW);
                let _ = guard.admit(&offer("[2001:db8::1]:40000", &packet(seq)[..8]), NOW);
            }
        });
        assert_eq!(allocations.count_total, 0);
    }

    #[test]
    fn raw_echo_has_no_cap_but_remembers() {
        let mut guard = Guard::new(&Rules { small: None, ..rules() }, Key::random());
        for line in 0..=u8::MAX {
            assert_eq!(guard.admit(&offer("127.0.0.1:40000", &[line]), NOW), Ok(()));
        }
        assert_eq!(guard.admit(&offer("127.0.0.1:40000", &[0]), NOW), Err(Cause::Repeated));
    }
}
