//! A live test: is the group heard while somebody sends to it?

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use campanile_engine::{Interface, Shortage};

use super::card;
use super::group::interface_option;
use super::tree::Tree;
use super::{Finding, Severity, quoted, things};
use crate::beacon::{BeaconError, Listener, ListenerConfig};
use crate::host::{DeviceCounters, snmp_counter, snmp6_counter};

const CHECK: &str = "live test";

/// Joins the group for a while, and reports what was heard, what was lost, and what the system dropped meanwhile.
pub(super) fn listen(tree: &Tree, group: SocketAddr, interface: Option<&str>, patience: Duration) -> Finding {
    let before = Counts::read(tree, interface);
    let found = match hear(group, interface, Instant::now() + patience) {
        Err(error) => not_joined(&error, group),
        Ok(heard) => {
            let told = heard.told(group, interface, patience);
            let meanwhile = Counts::read(tree, interface).since(&before, interface);
            match told.severity {
                Severity::Fine => told,
                _ => Finding { evidence: format!("{}; meanwhile {meanwhile}", told.evidence), ..told },
            }
        }
    };
    found.verify(format!(
        "campanile doctor --listen --group {}{}",
        quoted(group),
        interface_option(interface)
    ))
}

/// The group cannot be joined.
fn not_joined(error: &BeaconError, group: SocketAddr) -> Finding {
    let shortage = match error {
        BeaconError::Socket { error, .. } | BeaconError::Engine(error) => Shortage::of(error),
        _ => None,
    };
    let fix = match (shortage, error) {
        (Some(Shortage::Memberships), _) if group.is_ipv4() => {
            "sysctl -w net.ipv4.igmp_max_memberships=100".to_owned()
        }
        (Some(Shortage::OpenFiles), _) => "ulimit -n 1024".to_owned(),
        (_, BeaconError::Socket { error, .. }) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let port = group.port();
            format!(
                "ss -ulpn 'sport = :{port}'  # end this program, or have it share the port (SO_REUSEADDR)"
            )
        }
        _ => "ip address  # name an interface that is up and has an address, with --interface".to_owned(),
    };
    Finding::new(CHECK, Severity::Fault, error.to_string()).costs("the group cannot be joined").fix(fix)
}

/// What was heard of the group.
#[derive(Debug, Default)]
struct Heard {
    /// Datagrams, by the interface that they came by.
    by: BTreeMap<String, u64>,
    from: Option<SocketAddr>,
    /// Numbers that never came, from sources that number their datagrams.
    lost: u64,
    /// Datagrams without a number.
    foreign: u64,
    /// Datagrams that the kernel dropped because they came faster than they were taken.
    overrun: u64,
}

/// Listens on the interface, and on the others too, in case the datagrams come there.
fn hear(group: SocketAddr, interface: Option<&str>, until: Instant) -> Result<Heard, BeaconError> {
    let open = |interfaces| Listener::open(&ListenerConfig { group, interfaces });
    let named = interface.map(|name| open(vec![Interface::Name(name.to_owned())])).transpose()?;
    let is_among =
        |all: &Listener| interface.is_none_or(|name| all.interfaces().iter().any(|one| one == name));
    // A listener on all interfaces leaves out those without an address of the group's family.
    let mut listener = match (open(Vec::new()), named) {
        (Ok(all), _) if is_among(&all) => all,
        (_, Some(named)) => named,
        (all, None) => all?,
    };
    let mut heard = Heard::default();
    while let Some(datagram) = listener.hear(Some(until))? {
        heard.from.get_or_insert(datagram.from);
        *heard.by.entry(datagram.interface.unwrap_or_default()).or_default() += 1;
    }
    heard.lost = listener.summary().map(|source| source.arrivals.lost).fold(0, u64::saturating_add);
    heard.foreign = listener.foreign();
    heard.overrun = listener.dropped_by_kernel();
    Ok(heard)
}

impl Heard {
    fn told(&self, group: SocketAddr, interface: Option<&str>, patience: Duration) -> Finding {
        let (at, seconds) = (quoted(group), patience.as_secs_f64());
        let names: Vec<&str> = self.by.keys().map(String::as_str).collect();
        let here: u64 = match interface {
            Some(name) => self.by.get(name).copied().unwrap_or(0),
            None => self.by.values().sum(),
        };
        let (Some(from), true) = (self.from, here > 0) else {
            let elsewhere: u64 = self.by.values().sum();
            let other = names.first().copied().unwrap_or_default();
            let nothing = format!("nothing was heard of {group} within {seconds} s");
            if elsewhere > 0 {
                let (named, others) = (interface.unwrap_or_default(), names.join(", "));
                let came = things(elsewhere, "datagram");
                let evidence = format!("{nothing} by {named}, but {came} came by {others}");
                return Finding::new(CHECK, Severity::Fault, evidence)
                    .costs("programs that listen on this interface hear nothing: the sender is behind another one")
                    .fix(format!(
                        "campanile beacon listen --group {at} --interface {other}  # and so in the program"
                    ));
            }
            return Finding::new(CHECK, Severity::Fault, nothing)
                .costs("if somebody sent meanwhile, it does not arrive here")
                .fix(format!(
                    "campanile beacon send --group {at} --ttl 16  # on another machine, and listen again"
                ));
        };
        let mut evidence = format!(
            "{} came by {}, the first from {from}",
            things(here, "datagram"),
            interface.map_or(names.join(", "), str::to_owned)
        );
        if self.foreign > 0 {
            evidence += &format!("; {} not from a beacon, whose loss is not known", self.foreign);
        }
        if self.lost == 0 {
            return Finding::new(CHECK, Severity::Fine, evidence);
        }
        let lost = self.lost as f64 * 100.0 / (self.lost as f64 + here as f64);
        evidence += &format!(
            "; {} lost ({lost:.1} %), {} of them at the socket",
            self.lost,
            self.overrun.min(self.lost)
        );
        Finding::new(CHECK, Severity::Warning, evidence)
            .costs("programs here hear the group only in part")
            .fix(format!("campanile beacon send --group {at} --size 100 --every 0.1  # elsewhere: are small ones lost too?"))
    }
}

/// The system's counters of what arrives, and of where it drops datagrams.
struct Counts {
    /// Packets that the interface received, and those that it could not.
    arrived: Option<u64>,
    ended: [(&'static str, Option<u64>); 6],
    fragments: Option<u64>,
    assembled: Option<u64>,
}

impl Counts {
    fn read(tree: &Tree, interface: Option<&str>) -> Self {
        let text = |name: &str| tree.text(&format!("proc/net/{name}")).unwrap_or_default();
        let (v4, v6, more) = (text("snmp"), text("snmp6"), text("netstat"));
        let both = |row: &str, name: &str| {
            let four = snmp_counter(&v4, row, name);
            let six = snmp6_counter(&v6, &format!("{row}6{name}")).unwrap_or(0);
            four.map(|four| four.saturating_add(six))
        };
        let device = interface.and_then(|name| card::counters(tree, name));
        Self {
            arrived: device.map(|device| device.received),
            ended: [
                ("the interface dropped or discarded as damaged", device.map(DeviceCounters::receive_lost)),
                ("the reverse path filter dropped", snmp_counter(&more, "TcpExt", "IPReversePathFilter")),
                ("had a wrong header", both("Ip", "InHdrErrors")),
                ("had a wrong checksum", both("Udp", "InCsumErrors")),
                ("found a socket full", both("Udp", "RcvbufErrors")),
                ("found no socket of their group and port", both("Udp", "IgnoredMulti")),
            ],
            fragments: both("Ip", "ReasmReqds"),
            assembled: both("Ip", "ReasmOKs"),
        }
    }

    /// What was counted since an earlier reading, in words.
    fn since(&self, earlier: &Self, interface: Option<&str>) -> String {
        let grown =
            |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?)).filter(|&count| count > 0);
        let arrived = grown(self.arrived, earlier.arrived);
        let mut dropped = Vec::new();
        for ((what, now), (_, then)) in self.ended.iter().zip(&earlier.ended) {
            dropped.extend(grown(*now, *then).map(|count| format!("{what} {count}")));
        }
        if let Some(count) = grown(self.fragments, earlier.fragments) {
            let whole = grown(self.assembled, earlier.assembled).unwrap_or(0);
            dropped.push(format!("{} made {}", things(count, "fragment"), things(whole, "datagram")));
        }
        match interface.zip(self.arrived) {
            Some((name, _)) => {
                dropped.insert(0, format!("{name} received {}", things(arrived.unwrap_or(0), "packet")));
                dropped.join(", ")
            }
            None if dropped.is_empty() => "no drops were counted".to_owned(),
            None => format!("what the system dropped: {}", dropped.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    fn told(heard: &Heard, interface: Option<&str>) -> Finding {
        let group = "239.192.7.1:7125".parse().expect("a literal address");
        heard.told(group, interface, Duration::from_millis(500))
    }

    fn heard(by: &[(&str, u64)]) -> Heard {
        let by = by.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Heard { by, from: Some("192.0.2.2:9".parse().expect("a literal address")), ..Heard::default() }
    }

    #[test]
    fn a_group_is_heard_whole_or_in_part_or_elsewhere_or_not() {
        let whole = told(&heard(&[("e", 9)]), Some("e"));
        assert_eq!(whole.evidence, "9 datagrams came by e, the first from 192.0.2.2:9");
        let part = told(&Heard { lost: 3, overrun: 1, foreign: 2, ..heard(&[("e", 9)]) }, None);
        assert!(part.evidence.ends_with("3 lost (25.0 %), 1 of them at the socket"), "{part:?}");
        let absurd = told(&Heard { lost: u64::MAX, ..heard(&[("e", 9)]) }, None);
        assert!(absurd.evidence.contains(" lost (100.0 %)"), "numbers may be forged: {absurd:?}");
        let elsewhere = told(&heard(&[("f", 9)]), Some("e"));
        assert!(elsewhere.evidence.ends_with(" by e, but 9 datagrams came by f"), "{elsewhere:?}");
        let nothing = told(&Heard::default(), Some("e"));
        let of_v6 = "[ff15::7]:7125".parse().expect("a literal address");
        let fix = Heard::default().told(of_v6, None, Duration::ZERO).fix;
        assert!(
            fix.is_some_and(|fix| fix.contains(" --group '[ff15::7]:7125' ")),
            "zsh takes brackets for a pattern"
        );
        assert_eq!(nothing.evidence, "nothing was heard of 239.192.7.1:7125 within 0.5 s");
        let severities = [whole, part, elsewhere, nothing].map(|finding| finding.severity);
        assert_eq!(severities, [Severity::Fine, Severity::Warning, Severity::Fault, Severity::Fault]);
    }

    #[test]
    fn what_the_system_counts_during_the_test_is_reported() {
        let counts = |packets: u32, filtered: u32, fragments: u32| {
            let files = [
                ("proc/net/dev", format!(" e: 9 {packets} 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n")),
                ("proc/net/netstat", format!("TcpExt: A IPReversePathFilter\nTcpExt: 1 {filtered}\n")),
                ("proc/net/snmp", format!("Ip: ReasmReqds ReasmOKs\nIp: {fragments} 0\n")),
            ];
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            Counts::read(Planted::new(&files).tree(), Some("e"))
        };
        let before = counts(3, 4, 5);
        assert_eq!(counts(3, 4, 5).since(&before, Some("e")), "e received 0 packets");
        assert_eq!(
            counts(9, 6, 8).since(&before, Some("e")),
            "e received 6 packets, the reverse path filter dropped 2, 3 fragments made 0 datagrams"
        );
        let of_none = |counts: Counts| Counts { arrived: None, ..counts }.since(&before, None);
        assert_eq!(of_none(counts(9, 4, 5)), "no drops were counted");
        assert_eq!(of_none(counts(9, 6, 5)), "what the system dropped: the reverse path filter dropped 2");
    }

    #[test]
    fn a_failed_join_says_how_to_mend_it() {
        let fix = |error: std::io::Error| {
            let group = "239.192.7.1:7125".parse().expect("a literal address");
            not_joined(&BeaconError::Socket { group, interface: None, error }, group).fix.unwrap_or_default()
        };
        assert!(fix(std::io::ErrorKind::AddrInUse.into()).starts_with("ss -ulpn 'sport = :7125'"));
        assert!(fix(std::io::ErrorKind::NotFound.into()).starts_with("ip address "));
    }
}
