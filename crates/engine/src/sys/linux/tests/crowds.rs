//! Multicast and broadcast on two cables: by which interface they leave, how far they go, who receives them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use super::{PATIENCE, config, in_a_namespace, ip};
use crate::multicast::{self, Membership, Sending};
use crate::{Cast, Choice, Engine, Event, Failure, Interface, Path, Transmit, udp};

const PORT: u16 = 7500;

/// An engine with one socket.
struct Party(Engine, crate::SocketId);

impl Party {
    fn new(backend: Choice, socket: udp::UdpSocket) -> Self {
        let mut engine = Engine::new(&config(backend)).expect("a backend works");
        let id = engine.add(socket).expect("a bound socket is accepted");
        Self(engine, id)
    }

    fn at(backend: Choice, config: &udp::UdpConfig) -> Self {
        Self::new(backend, udp::bind(config).expect("the address is there"))
    }

    fn member(backend: Choice, membership: &Membership, config: &udp::UdpConfig) -> Self {
        Self::new(backend, multicast::bind(membership, PORT, config).expect("the interface is there"))
    }

    fn say(&mut self, to: IpAddr, word: &[u8]) {
        let Self(engine, id) = self;
        let mut slot = engine.transmit_slot().expect("one datagram at a time");
        slot.bytes_mut()[..word.len()].copy_from_slice(word);
        slot.send(*id, &Transmit::datagram(Some((to, PORT).into()), word.len()));
        engine.poll(Some(Instant::now())).expect("polls");
    }

    /// The next event.
    fn hear(&mut self) -> Result<(Path, Vec<u8>), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.0.poll(Some(deadline)).expect("polls");
            match self.0.next_event() {
                Some(Event::Train(train)) => return Ok((*train.path(), train.bytes().to_vec())),
                Some(Event::Failed(failure)) => return Err(failure),
                // What came was for another.
                None => {}
                other => panic!("{other:?}"),
            }
        }
        panic!("nothing comes")
    }
}

/// Runs a test with each backend where there are two cables.
fn on_two_cables(test: fn(Choice)) {
    for backend in [Choice::Epoll, Choice::Uring] {
        in_a_namespace(move || {
            lay_cables();
            test(backend);
        });
    }
}

/// Whether the system has IPv6; if not, the test says so.
fn has_ipv6() -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        println!("skipped: this system has no IPv6");
    }
    has
}

/// Two cables, `a0` to `a1` and `b0` to `b1`, whose near ends have addresses.
fn lay_cables() {
    for (cable, net) in [("a", 1), ("b", 2)] {
        ip(&format!("link add {cable}0 type veth peer name {cable}1"));
        ip(&format!("addr add 10.{net}.0.1/24 broadcast + dev {cable}0"));
        ip(&format!("link set {cable}0 up"));
        ip(&format!("link set {cable}1 up"));
    }
}

fn wildcard() -> udp::UdpConfig {
    udp::UdpConfig::new("0.0.0.0:0".parse().expect("a literal address"))
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("a literal address")
}

fn named(cable: &str) -> Option<Interface> {
    Some(Interface::Name(cable.to_owned()))
}

#[test]
fn packets_to_a_group_leave_as_their_socket_is_configured() {
    on_two_cables(|backend| {
        let group = address("239.192.7.1");
        // What leaves by an interface is looped back as if it had arrived there. A raw socket hears it with its IP header.
        let raw = udp::UdpConfig { protocol: Some(17), ..wildcard() };
        let member = |cable| {
            let membership = Membership { interface: named(cable), ..Membership::any_source(group) };
            Party::member(backend, &membership, &raw)
        };
        let (mut at_a, mut at_b) = (member("a0"), member("b0"));
        let say = |sending, word: &[u8]| {
            let socket = udp::UdpConfig { multicast: sending, ..wildcard() };
            Party::at(backend, &socket).say(group, word);
        };
        let index = Interface::Name("a0".to_owned()).resolve().expect("it is there").index;
        for interface in
            [named("a0"), Some(Interface::Index(index)), Some(Interface::Address(address("10.1.0.1")))]
        {
            say(Sending { ttl: 7, loopback: false, interface: interface.clone() }, b"unheard here");
            say(Sending { ttl: 7, loopback: true, interface }, b"by a");
            let (path, packet) = at_a.hear().expect("it comes");
            // The time to live is in the ninth byte (RFC 791 section 3.1); 28 bytes are headers.
            assert_eq!((packet[8], &packet[28..], path.cast), (7, &b"by a"[..], Cast::Multicast));
        }
        say(Sending { interface: named("b0"), ..Sending::default() }, b"by b");
        let (_, packet) = at_b.hear().expect("it comes");
        assert_eq!((packet[8], &packet[28..]), (1, &b"by b"[..]), "the first that went by it");
    });
}

#[test]
fn broadcast_is_sent_only_if_configured_and_received_as_such() {
    on_two_cables(|backend| {
        let everyone = address("10.1.0.255");
        let any = udp::UdpConfig::new(SocketAddr::new(address("0.0.0.0"), PORT));
        let mut listener = Party::at(backend, &any);
        let mut silent = Party::at(backend, &wildcard());
        silent.say(everyone, b"no");
        let failure = silent.hear().expect_err("it was not asked for");
        assert_eq!(failure.error().kind(), std::io::ErrorKind::PermissionDenied);
        Party::at(backend, &udp::UdpConfig { broadcast: true, ..wildcard() }).say(everyone, b"all");
        let (path, word) = listener.hear().expect("it comes");
        assert_eq!((path.cast, path.to, &word[..]), (Cast::Broadcast, everyone, &b"all"[..]));
    });
}

#[test]
fn a_group_of_ipv6_is_heard_from_all_or_from_one() {
    on_two_cables(|backend| {
        if !has_ipv6() {
            return;
        }
        for last in [1, 2] {
            ip(&format!("addr add fd00::{last}/64 dev a0 nodad"));
        }
        let group = address("ff3e::7");
        let wildcard = udp::UdpConfig::new("[::]:0".parse().expect("a literal address"));
        let any = Membership { interface: named("a0"), ..Membership::any_source(group) };
        let one = Membership { source: Some(address("fd00::1")), ..any.clone() };
        let mut of_all = Party::member(backend, &any, &wildcard);
        let mut of_one = Party::member(backend, &one, &wildcard);
        let sending = Sending { interface: named("a0"), ..Sending::default() };
        for (last, word) in [(2, b"two"), (1, b"one")] {
            let from = SocketAddr::new(address(&format!("fd00::{last}")), 0);
            let socket = udp::UdpConfig { multicast: sending.clone(), ..udp::UdpConfig::new(from) };
            Party::at(backend, &socket).say(group, word);
            let (path, heard) = of_all.hear().expect("it comes");
            assert_eq!((path.from.ip(), path.to, path.cast), (from.ip(), group, Cast::Multicast));
            assert_eq!(heard, word);
        }
        let (path, heard) = of_one.hear().expect("it comes");
        assert_eq!((path.from.ip(), &heard[..]), (address("fd00::1"), &b"one"[..]), "the first it hears");
    });
}

#[test]
fn a_group_of_ipv6_is_heard_where_it_was_joined() {
    on_two_cables(|backend| {
        if !has_ipv6() {
            return;
        }
        for (cable, net) in [("a0", "fd0a"), ("b0", "fd0b")] {
            ip(&format!("addr add {net}::1/64 dev {cable} nodad"));
        }
        let group = address("ff15::7");
        let wildcard = udp::UdpConfig::new("[::]:0".parse().expect("a literal address"));
        let membership = |cable| Membership { interface: named(cable), ..Membership::any_source(group) };
        let mut at_a = Party::member(backend, &membership("a0"), &wildcard);
        let mut at_b = Party::member(backend, &membership("b0"), &wildcard);
        let both = multicast::bind(&membership("a0"), PORT, &wildcard).expect("the interface is there");
        both.join(&membership("b0")).expect("the interface is there");
        let mut at_both = Party::new(backend, both);
        for (cable, net) in [("a0", "fd0a"), ("b0", "fd0b"), ("a0", "fd0a"), ("b0", "fd0b")] {
            let sending = Sending { interface: named(cable), ..Sending::default() };
            let from = SocketAddr::new(address(&format!("{net}::1")), 0);
            let socket = udp::UdpConfig { multicast: sending, ..udp::UdpConfig::new(from) };
            Party::at(backend, &socket).say(group, cable.as_bytes());
        }
        let words =
            |party: &mut Party, count| Vec::from_iter((0..count).map(|_| party.hear().expect("it comes").1));
        assert_eq!(words(&mut at_both, 4), [b"a0", b"b0", b"a0", b"b0"]);
        assert_eq!(words(&mut at_a, 2), [b"a0", b"a0"]);
        assert_eq!(words(&mut at_b, 2), [b"b0", b"b0"]);
        assert_eq!(at_b.0.stats().dropped.filtered, 2);
    });
}
