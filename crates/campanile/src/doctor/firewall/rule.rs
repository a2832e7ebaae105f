//! What a rule says about a datagram, as far as its text shows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The datagrams that the rules are examined for. Their sender is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'p> {
    pub(super) kind: Kind,
    /// The group that it is sent to, if it is to a group.
    pub(super) to: Option<IpAddr>,
    /// The interface that it comes or leaves by, if that is known.
    pub(super) interface: Option<&'p str>,
    pub(super) direction: Direction,
}

/// What is in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Udp {
        port: u16,
    },
    /// A membership query or report: IGMP, or MLD over IPv6.
    Membership,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// To a program of this machine.
    In,
    /// From one.
    Out,
    /// From another machine to another.
    Forward,
}

/// A rule that may match the datagrams.
pub(super) struct Rule<'t> {
    pub(super) verdict: Verdict<'t>,
    /// It matches all of them.
    pub(super) is_certain: bool,
    /// It names their port, group or protocol.
    pub(super) names_them: bool,
}

pub(super) enum Verdict<'t> {
    Accept,
    Drop,
    /// Gives them another address or port.
    Redirect,
    /// Calls another chain, then goes on with this one.
    Jump(&'t str),
    /// Continues in another chain, without the rest of this one.
    Goto(&'t str),
    Return,
}

impl<'t> Rule<'t> {
    /// `None` for a rule that does not match them, or whose verdict is none that is known here.
    pub(super) fn read(words: &[&'t str], packet: &Packet<'_>) -> Option<Self> {
        let (verdict, mut rest) = verdict(words)?;
        let (mut is_certain, mut names_them) = (true, false);
        while !rest.is_empty() {
            let condition = packet.condition(rest);
            match condition.matches {
                Match::No => return None,
                Match::Yes => {}
                Match::Perhaps => is_certain = false,
            }
            names_them |= condition.names_them;
            rest = condition.rest;
        }
        Some(Self { verdict, is_certain, names_them })
    }
}

/// The verdict of a rule, and the words before it.
fn verdict<'w, 't>(words: &'w [&'t str]) -> Option<(Verdict<'t>, &'w [&'t str])> {
    // How it rejects follows the word.
    if let Some(at) = words.iter().position(|&word| word == "reject") {
        return Some((Verdict::Drop, &words[..at]));
    }
    match words {
        [before @ .., "accept"] => Some((Verdict::Accept, before)),
        [before @ .., "drop"] => Some((Verdict::Drop, before)),
        [before @ .., "return"] => Some((Verdict::Return, before)),
        [before @ .., "jump", chain] => Some((Verdict::Jump(chain), before)),
        [before @ .., "goto", chain] => Some((Verdict::Goto(chain), before)),
        _ => {
            // Where to follows the word.
            let at = words.iter().position(|word| ["redirect", "dnat", "tproxy"].contains(word))?;
            Some((Verdict::Redirect, &words[..at]))
        }
    }
}

/// Whether a datagram matches a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    /// The condition depends on what is not known here.
    Perhaps,
}

impl From<bool> for Match {
    fn from(does: bool) -> Self {
        if does { Self::Yes } else { Self::No }
    }
}

/// The first condition in the words of a rule.
struct Condition<'w, 't> {
    matches: Match,
    names_them: bool,
    rest: &'w [&'t str],
}

impl Packet<'_> {
    fn condition<'w, 't>(&self, words: &'w [&'t str]) -> Condition<'w, 't> {
        let nothing = |rest| Condition { matches: Match::Yes, names_them: false, rest };
        let ask = |values, test: &dyn Fn(&str) -> Match| {
            let (matches, rest) = ask(values, test);
            Condition { matches, names_them: false, rest }
        };
        let named = |condition| Condition { names_them: true, ..condition };
        let to_group = |condition| Condition { names_them: self.to.is_some(), ..condition };
        let perhaps = |values| ask(values, &|_| Match::Perhaps);
        match words {
            ["ip" | "ip6", ..] if !self.is_of_family(words[0]) => {
                Condition { matches: Match::No, names_them: false, rest: &[] }
            }
            ["udp" | "th", field, values @ ..] if self.kind != Kind::Membership => match *field {
                "dport" => named(ask(values, &|value| self.is_port(value))),
                _ => perhaps(values),
            },
            ["meta", "l4proto", values @ ..] | ["ip", "protocol", values @ ..] => {
                let condition = ask(values, &|value| self.is_protocol(value));
                Condition { names_them: self.kind == Kind::Membership, ..condition }
            }
            ["ip6", "nexthdr", values @ ..] => ask(values, &|value| match self.kind {
                Kind::Udp { .. } => self.is_protocol(value),
                // These have a hop-by-hop header first, with Router Alert.
                Kind::Membership => Match::from(value == "hopopt" || value == "0"),
            }),
            ["ip" | "ip6", "daddr", values @ ..] => to_group(ask(values, &|value| self.is_to(value))),
            ["ip" | "ip6", _, values @ ..] => perhaps(values),
            ["igmp" | "icmpv6", field, values @ ..] if self.is_protocol(words[0]) == Match::Yes => {
                match *field {
                    "type" => named(ask(values, &|value| self.is_type(value))),
                    _ => perhaps(values),
                }
            }
            ["meta", "pkttype", values @ ..]
            | ["pkttype", values @ ..]
            | ["fib", "daddr", "type", values @ ..] => to_group(ask(values, &|value| self.is_cast(value))),
            // A route lookup: its result depends on what is not known here.
            ["fib", ..] => Condition { matches: Match::Perhaps, names_them: false, rest: &[] },
            // No address translation applies to what is sent to a group, or has been applied before the first datagram to a port.
            ["ct", "status", values @ ..] => ask(values, &|_| Match::No),
            ["meta", "nfproto", values @ ..] => ask(values, &|value| self.is_ip(value)),
            // Nobody answers from a group's address, so every datagram is the first of a connection.
            ["ct", "state", values @ ..] => {
                ask(values, &|value| Match::from(value == "new" || value == "0x8"))
            }
            [side @ ("iif" | "iifname" | "oif" | "oifname"), values @ ..] => {
                let side = if side.starts_with('i') { Direction::In } else { Direction::Out };
                ask(values, &|value| self.is_interface(value, side))
            }
            ["meta", rest @ ..] => nothing(rest),
            [word, _, ..] if OTHERS.contains(word) || ["udp", "th"].contains(word) => {
                Condition { matches: Match::No, names_them: false, rest: &[] }
            }
            ["counter", "packets", _, "bytes", _, rest @ ..] | ["counter", rest @ ..] => nothing(rest),
            // The log options follow the word; the conditions come before it.
            ["log", ..] | [] => nothing(&[]),
            [_, rest @ ..] => Condition { matches: Match::Perhaps, names_them: false, rest },
        }
    }

    fn is_ip(&self, version: &str) -> Match {
        self.to
            .map_or(Match::Perhaps, |to| Match::from(version == if to.is_ipv4() { "ipv4" } else { "ipv6" }))
    }

    fn is_port(&self, value: &str) -> Match {
        let Kind::Udp { port } = self.kind else { return Match::No };
        let (first, last) = value.split_once('-').unwrap_or((value, value));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => Match::from((first..=last).contains(&port)),
            _ => Match::Perhaps,
        }
    }

    fn is_protocol(&self, value: &str) -> Match {
        let own: &[&str] = match (self.kind, self.to) {
            (Kind::Udp { .. }, _) => &["udp", "17"],
            (Kind::Membership, Some(IpAddr::V6(_))) => &["ipv6-icmp", "icmpv6", "58"],
            (Kind::Membership, _) => &["igmp", "2"],
        };
        if own.contains(&value) {
            Match::Yes
        } else if value == "udp" || value.parse::<u8>().is_ok() || OTHERS.contains(&value) {
            Match::No
        } else {
            Match::Perhaps
        }
    }

    fn is_type(&self, value: &str) -> Match {
        let own: &[&str] = match self.direction {
            Direction::Out => &["membership-report-v3", "0x22", "mld2-listener-report", "143"],
            Direction::In | Direction::Forward => &["membership-query", "0x11", "mld-listener-query", "130"],
        };
        Match::from(own.contains(&value))
    }

    fn is_of_family(&self, family: &str) -> bool {
        self.to.is_none_or(|to| to.is_ipv4() == (family == "ip"))
    }

    /// Whether it is sent to an address, to one of a range, or to one with a prefix.
    fn is_to(&self, value: &str) -> Match {
        let Some(to) = self.to else { return Match::Perhaps };
        if let Some((network, bits)) = value.split_once('/') {
            let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
                return Match::Perhaps;
            };
            return Match::from(prefix(network, bits) == prefix(to, bits));
        }
        let (first, last) = value.split_once('-').unwrap_or((value, value));
        match (first.parse::<IpAddr>(), last.parse::<IpAddr>()) {
            (Ok(first), Ok(last)) => Match::from((first..=last).contains(&to)),
            _ => Match::Perhaps,
        }
    }

    /// Whether it comes in, or goes out, by an interface.
    fn is_interface(&self, value: &str, side: Direction) -> Match {
        let Some(own) = self.interface.filter(|_| self.direction == side) else {
            // What comes in has no outgoing interface, and the other way round; what is forwarded has both.
            return if self.direction == Direction::Forward || self.direction == side {
                Match::Perhaps
            } else {
                Match::No
            };
        };
        let value = value.trim_matches('"');
        match value.strip_suffix('*') {
            Some(begin) => Match::from(own.starts_with(begin)),
            None if value.starts_with(|first: char| first.is_ascii_digit() || first == '@') => Match::Perhaps,
            None => Match::from(own == value),
        }
    }

    fn is_cast(&self, value: &str) -> Match {
        if self.to.is_some() { Match::from(value == "multicast") } else { Match::Perhaps }
    }
}

/// An address with the bits after its prefix cleared.
fn prefix(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0))
                .into()
        }
        IpAddr::V6(v6) => Ipv6Addr::from_bits(
            v6.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0),
        )
        .into(),
    }
}

/// Whether one of the values at the front passes the test, and the words after them.
fn ask<'w, 't>(words: &'w [&'t str], test: &dyn Fn(&str) -> Match) -> (Match, &'w [&'t str]) {
    let (is_negated, words) = match words {
        ["!=", words @ ..] => (true, words),
        words => (false, words),
    };
    let (listed, rest) = match words {
        ["{", words @ ..] => {
            words.split_at(words.iter().position(|&word| word == "}").unwrap_or(words.len()))
        }
        words => words.split_at(words.len().min(1)),
    };
    let rest = rest.strip_prefix(&["}"]).unwrap_or(rest);
    // A dot concatenates several fields, and an at sign precedes the name of a set.
    if listed.iter().any(|word| *word == "." || word.starts_with('@')) {
        return (Match::Perhaps, rest);
    }
    let each: Vec<Match> =
        listed.iter().flat_map(|word| word.split(',')).filter(|value| !value.is_empty()).map(test).collect();
    let matches = match (each.contains(&Match::Yes), each.contains(&Match::Perhaps)) {
        (true, _) => Match::from(!is_negated),
        (false, true) => Match::Perhaps,
        (false, false) => Match::from(is_negated),
    };
    (matches, rest)
}

/// First words of conditions on other protocols, and names of these.
const OTHERS: [&str; 11] =
    ["tcp", "sctp", "dccp", "icmp", "icmpv6", "ipv6-icmp", "igmp", "esp", "ah", "arp", "udplite"];
