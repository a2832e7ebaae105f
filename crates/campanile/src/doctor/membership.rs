//! Which groups the interfaces listen to.

use std::net::{IpAddr, SocketAddr};

use super::tree::Tree;
use super::{Finding, Severity};

/// Whether an interface listens to a group.
pub(super) fn examine(tree: &Tree, at: SocketAddr, interface: &str) -> Finding {
    let check = "membership";
    let group = at.ip();
    let Some(all) = Membership::read_all(tree, group) else { return Finding::unknown(check) };
    let own = all.iter().filter(|one| one.interface == interface).count();
    let mut evidence = format!("{interface} is a member of {own} group{}", if own == 1 { "" } else { "s" });
    let limit = tree.number("proc/sys/net/ipv4/igmp_max_memberships").filter(|_| group.is_ipv4());
    if let Some(limit) = limit {
        evidence += &format!(" (a socket may have {limit})");
    }
    let joined: Vec<&str> =
        all.iter().filter(|one| one.is_of(group)).map(|one| one.interface.as_str()).collect();
    if joined.contains(&interface) {
        return Finding::new(check, Severity::Fine, format!("{evidence}, {group} among them"));
    }
    evidence += &format!(", {group} is not among them");
    let cost = match joined.first() {
        None => "the interface does not listen to the group: no program here has joined it",
        Some(other) => {
            evidence += &format!("; {other} listens to it");
            "the group was joined on another interface: what arrives on this one is not heard"
        }
    };
    Finding::new(check, Severity::Warning, evidence)
        .costs(cost)
        .fix(format!("campanile beacon listen --group {at} --interface {interface}"))
        .verify(format!("ip maddress show dev {interface}"))
}

/// The version of IGMP that an interface speaks: an older one than 3 if a querier of that age is heard.
pub(super) fn igmp_version(tree: &Tree, interface: &str) -> Finding {
    let check = "IGMP version";
    let text = tree.text("proc/net/igmp").unwrap_or_default();
    let head = text
        .lines()
        .filter(|line| is_head(line))
        .find(|line| line.split_whitespace().nth(1) == Some(interface));
    match head.and_then(|head| head.split_whitespace().find(|word| ["V1", "V2", "V3"].contains(word))) {
        None => Finding::unknown(check),
        Some("V3") => Finding::new(check, Severity::Fine, format!("{interface} speaks version 3")),
        Some(version) => {
            let evidence =
                format!("{interface} speaks {version}: an older querier is heard, or it is told to");
            Finding::new(check, Severity::Notice, evidence)
                .costs("groups cannot be joined for one source alone")
                .fix(format!("sysctl -w net.ipv4.conf.{interface}.force_igmp_version=0"))
                .verify("cat /proc/net/igmp")
        }
    }
}

/// A group that an interface listens to.
struct Membership {
    interface: String,
    /// In hexadecimal, as the system's file has it.
    group: String,
}

impl Membership {
    fn read_all(tree: &Tree, group: IpAddr) -> Option<Vec<Self>> {
        if group.is_ipv6() {
            let text = tree.text("proc/net/igmp6")?;
            return Some(text.lines().filter_map(Self::read_v6).collect());
        }
        let (mut all, mut interface) = (Vec::new(), "");
        for line in tree.text("proc/net/igmp")?.lines() {
            let mut words = line.split_whitespace();
            if is_head(line) {
                interface = words.nth(1).unwrap_or_default();
            } else if let Some(group) = words.next() {
                all.push(Self { interface: interface.to_owned(), group: group.to_owned() });
            }
        }
        Some(all)
    }

    /// A line: number and name of the interface, group, users, flags, timer.
    fn read_v6(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1).map(str::to_owned);
        Some(Self { interface: words.next()?, group: words.next()? })
    }

    fn is_of(&self, group: IpAddr) -> bool {
        let text = match group {
            // The machine's word: its bytes from the last to the first on a little-endian one.
            IpAddr::V4(group) => format!("{:08X}", u32::from_ne_bytes(group.octets())),
            IpAddr::V6(group) => format!("{:032x}", u128::from(group)),
        };
        self.group == text
    }
}

/// Whether a line of `/proc/net/igmp` is an interface's own; those of its groups follow.
fn is_head(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    fn group(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().expect("a literal address"), 7000)
    }

    #[test]
    fn memberships_belong_to_their_interface() {
        let bits = format!("{:08X}", u32::from_ne_bytes([239, 192, 7, 1]));
        let igmp = format!(
            "Idx\tDevice    : Count Querier\tGroup\n1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:0\t0\n\
             4\te         :     2      V2\n\t\t\t\t{bits}     1 0:0\t0\n\t\t\t\t010000E0     1 0:0\t0\n"
        );
        let planted = Planted::new(&[("proc/net/igmp", &igmp)]);
        let found = |interface| examine(planted.tree(), group("239.192.7.1"), interface);
        assert_eq!(found("e").evidence, "e is a member of 2 groups, 239.192.7.1 among them");
        let wrong = found("lo");
        assert_eq!(
            wrong.evidence,
            "lo is a member of 1 group, 239.192.7.1 is not among them; e listens to it"
        );
        assert_eq!((found("e").severity, wrong.severity), (Severity::Fine, Severity::Warning));
        let fix = "campanile beacon listen --group 239.192.7.1:7000 --interface lo";
        assert_eq!(wrong.fix.as_deref(), Some(fix), "the port is the one that was complained of");
        let version = |interface| igmp_version(planted.tree(), interface).severity;
        assert_eq!(
            (version("lo"), version("e"), version("f")),
            (Severity::Fine, Severity::Notice, Severity::Unknown)
        );
    }

    #[test]
    fn groups_of_ipv6_are_told_too() {
        let file = "1    lo              ff020000000000000000000000000001     1 0000000C 0\n\
                    4    e               ff150000000000000000000000000007     1 00000004 0\n";
        let planted = Planted::new(&[("proc/net/igmp6", file)]);
        let severity = |interface| examine(planted.tree(), group("ff15::7"), interface).severity;
        assert_eq!((severity("e"), severity("lo")), (Severity::Fine, Severity::Warning));
        assert_eq!(examine(planted.tree(), group("239.192.7.1"), "e").severity, Severity::Unknown);
    }
}
