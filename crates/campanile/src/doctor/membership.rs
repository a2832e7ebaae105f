//! Which groups the interfaces listen to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::tree::Tree;
use super::{Finding, Severity, quoted, things};

/// Whether an interface listens to a group; `if_unheard` is how bad it is that none does.
pub(super) fn examine(tree: &Tree, at: SocketAddr, interface: &str, if_unheard: Severity) -> Finding {
    let check = "membership";
    let (group, at) = (at.ip(), quoted(at));
    let Some(all) = Membership::read_all(tree, group) else { return Finding::unknown(check) };
    let own = all.iter().filter(|one| one.interface == interface).count();
    let mut evidence = format!("{interface} is a member of {}", things(own as u64, "group"));
    let limit = tree.number("proc/sys/net/ipv4/igmp_max_memberships").filter(|_| group.is_ipv4());
    if let Some(limit) = limit {
        evidence += &format!(" (a socket may have {limit})");
    }
    let joined: Vec<&Membership> = all.iter().filter(|one| one.is_of(group)).collect();
    let show = format!("ip maddress show dev {interface}");
    if let Some(here) = joined.iter().find(|one| one.interface == interface) {
        evidence += &format!(", {group} among them");
        let sources = sources(tree, group, &here.number);
        if sources.is_empty() {
            return Finding::new(check, Severity::Fine, evidence);
        }
        return Finding::new(
            check,
            Severity::Notice,
            format!("{evidence}; programs filter sources: {}", sources.join(", ")),
        )
        .costs("these programs hear no other sources, or all but these")
        .fix(format!("campanile beacon listen --group {at} --interface {interface}  # hears them all"))
        .verify(format!("cat /proc/net/mcfilter{}", if group.is_ipv4() { "" } else { "6" }));
    }
    evidence += &format!(", {group} is not among them");
    let (severity, cost) = match joined.first() {
        None => (if_unheard, "the interface does not listen to the group: no program here has joined it"),
        Some(other) => {
            evidence += &format!("; {} listens to it", other.interface);
            let cost = "the group was joined on another interface: what arrives on this one is not heard";
            (Severity::Warning, cost)
        }
    };
    Finding::new(check, severity, evidence)
        .costs(cost)
        .fix(format!("campanile beacon listen --group {at} --interface {interface}"))
        .verify(show)
}

/// The version of IGMP that an interface speaks: below 3 if a querier of an older version is heard.
pub(super) fn igmp_version(tree: &Tree, interface: &str) -> Finding {
    let check = "IGMP version";
    let text = tree.text("proc/net/igmp").unwrap_or_default();
    let own = text.lines().find(|line| head(line).is_some_and(|(_, name)| name == interface));
    match own.and_then(|line| line.split_whitespace().find(|word| ["V1", "V2", "V3"].contains(word))) {
        None => Finding::unknown(check),
        Some("V3") => Finding::new(check, Severity::Fine, format!("{interface} speaks version 3")),
        Some(version) => {
            let told = |name: &str| tree.number(&format!("proc/sys/net/ipv4/conf/{name}/force_igmp_version"));
            let is_told = [told("all"), told(interface)].iter().flatten().any(|&version| version != 0);
            let (why, fix) = if is_told {
                let all = "sysctl -w net/ipv4/conf/all/force_igmp_version=0";
                ("a setting forces it to", format!("{all} net/ipv4/conf/{interface}/force_igmp_version=0"))
            } else {
                (
                    "an older querier is heard",
                    "# have the querier speak version 3: this machine follows it".to_owned(),
                )
            };
            Finding::new(check, Severity::Notice, format!("{interface} speaks {version}: {why}"))
                .costs(ANY_SOURCE)
                .fix(fix)
                .verify("cat /proc/net/igmp")
        }
    }
}

/// Whether a setting makes an interface speak MLD version 1. The system does not report whether it follows a querier of that version.
pub(super) fn mld_version(tree: &Tree, interface: &str) -> Finding {
    let check = "MLD version";
    let told = |name: &str| tree.number(&format!("proc/sys/net/ipv6/conf/{name}/force_mld_version"));
    let Some((all, own)) = told("all").zip(told(interface)) else { return Finding::unknown(check) };
    // The setting for all interfaces comes before that of one.
    let version = if all == 0 { own } else { all };
    if version != 1 {
        return Finding::new(check, Severity::Fine, format!("{interface} is not forced to speak version 1"));
    }
    let settings = ["all", interface].map(|name| format!("net/ipv6/conf/{name}/force_mld_version"));
    Finding::new(check, Severity::Notice, format!("{interface} speaks version 1: a setting forces it to"))
        .costs(ANY_SOURCE)
        .fix(format!("sysctl -w {}=0 {}=0", settings[0], settings[1]))
        .verify(format!("sysctl {}", settings.join(" ")))
}

/// What the old versions lack.
const ANY_SOURCE: &str = "groups cannot be joined for one source alone";

/// The sources that programs named when they joined a group, to hear only them or all but them, on the interface of this number.
fn sources(tree: &Tree, group: IpAddr, interface_number: &str) -> Vec<String> {
    let (file, of_group) = match group {
        IpAddr::V4(group) => ("proc/net/mcfilter", format!("{:#010x}", group.to_bits())),
        IpAddr::V6(group) => ("proc/net/mcfilter6", format!("{:032x}", group.to_bits())),
    };
    // A line: number of the interface, six letters of its name, group, source, how many sockets include it, how many exclude it.
    let text = tree.text(file).unwrap_or_default();
    let source = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [number, _, to, source, ..] = words[..] else { return None };
        let bits = u128::from_str_radix(source.trim_start_matches("0x"), 16).ok()?;
        let address: IpAddr = match group {
            IpAddr::V4(_) => Ipv4Addr::from_bits(bits.try_into().ok()?).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
        };
        (number == interface_number && to == of_group).then(|| address.to_string())
    };
    text.lines().filter_map(source).collect()
}

/// A group that an interface listens to.
struct Membership {
    /// The number of the interface.
    number: String,
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
        let (mut all, mut of) = (Vec::new(), None);
        for line in tree.text("proc/net/igmp")?.lines() {
            if let Some(head) = head(line) {
                of = Some(head);
            } else if let (Some((number, interface)), Some(group)) = (of, line.split_whitespace().next()) {
                let [number, interface, group] = [number, interface, group].map(str::to_owned);
                all.push(Self { number, interface, group });
            }
        }
        Some(all)
    }

    /// A line: number and name of the interface, group, users, flags, timer.
    fn read_v6(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Self { number: words.next()?, interface: words.next()?, group: words.next()? })
    }

    fn is_of(&self, group: IpAddr) -> bool {
        let text = match group {
            // A word in the machine's byte order: reversed on a little-endian one.
            IpAddr::V4(group) => format!("{:08X}", u32::from_ne_bytes(group.octets())),
            IpAddr::V6(group) => format!("{:032x}", u128::from(group)),
        };
        self.group == text
    }
}

/// The number and the name of an interface in its own line of `/proc/net/igmp`; those of its groups follow.
fn head(line: &str) -> Option<(&str, &str)> {
    let (number, rest) = line.split_once('\t').filter(|(number, _)| number.parse::<u32>().is_ok())?;
    // A long name touches the colon.
    Some((number, rest.split_once(':')?.0.trim_end()))
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
        let found = |interface| examine(planted.tree(), group("239.192.7.1"), interface, Severity::Warning);
        assert_eq!(found("e").evidence, "e is a member of 2 groups, 239.192.7.1 among them");
        let wrong = found("lo");
        assert_eq!(
            wrong.evidence,
            "lo is a member of 1 group, 239.192.7.1 is not among them; e listens to it"
        );
        assert_eq!((found("e").severity, wrong.severity), (Severity::Fine, Severity::Warning));
        let fix = "campanile beacon listen --group 239.192.7.1:7000 --interface lo";
        assert_eq!(wrong.fix.as_deref(), Some(fix), "the port is the one that was complained of");
        let if_unheard = examine(planted.tree(), group("239.192.7.9"), "e", Severity::Notice).severity;
        assert_eq!(if_unheard, Severity::Notice, "as bad as it was said to be");
        let version = |interface| igmp_version(planted.tree(), interface).severity;
        assert_eq!(
            (version("lo"), version("e"), version("f")),
            (Severity::Fine, Severity::Notice, Severity::Unknown)
        );
    }

    #[test]
    fn a_membership_for_some_sources_is_reported_with_them() {
        let bits = format!("{:08X}", u32::from_ne_bytes([239, 192, 7, 1]));
        let igmp = format!("4\te         :     2      V3\n\t\t\t\t{bits}     1 0:0\t0\n");
        let found = |mcfilter: &str| {
            let files = [("proc/net/igmp", &*igmp), ("proc/net/mcfilter", mcfilter)];
            examine(Planted::new(&files).tree(), group("239.192.7.1"), "e", Severity::Notice)
        };
        let head = "Idx Device        MCA        SRC    INC    EXC\n";
        let finding = found(&format!("{head}  4      e 0xefc00701 0xc000024d      1      0\n"));
        assert!(finding.evidence.ends_with("programs filter sources: 192.0.2.77"), "{finding:?}");
        assert_eq!(finding.severity, Severity::Notice);
        let others =
            format!("{head}  4      e 0xefc00702 0xc000024d 1 0\n  5      f 0xefc00701 0xc000024d 1 0\n");
        assert_eq!(found(&others).severity, Severity::Fine);
    }

    /// In the system's files a long name touches the colon behind it, or is cut off.
    #[test]
    fn an_interface_may_have_a_long_name() {
        let bits = format!("{:08X}", u32::from_ne_bytes([239, 192, 7, 1]));
        let igmp = format!("4\tbr-0123456789ab:     2      V3\n\t\t\t\t{bits}     1 0:0\t0\n");
        let mcfilter = "  4 br-012 0xefc00701 0xc000024d      1      0\n";
        let planted = Planted::new(&[("proc/net/igmp", &igmp), ("proc/net/mcfilter", mcfilter)]);
        let found = examine(planted.tree(), group("239.192.7.1"), "br-0123456789ab", Severity::Warning);
        assert_eq!(
            found.evidence,
            "br-0123456789ab is a member of 1 group, 239.192.7.1 among them; programs filter sources: 192.0.2.77"
        );
        assert_eq!(igmp_version(planted.tree(), "br-0123456789ab").severity, Severity::Fine);
    }

    #[test]
    fn a_forced_old_version_is_reported() {
        let found = |forced: &str| {
            let files = [
                ("proc/net/igmp", "4\te         :     1      V2\n"),
                ("proc/sys/net/ipv4/conf/e/force_igmp_version", forced),
            ];
            igmp_version(Planted::new(&files).tree(), "e")
        };
        assert!(found("2").fix.is_some_and(|fix| fix.starts_with("sysctl -w ")));
        assert_eq!(found("0").evidence, "e speaks V2: an older querier is heard");
    }

    #[test]
    fn groups_of_ipv6_are_reported_too() {
        let file = "1    lo              ff020000000000000000000000000001     1 0000000C 0\n\
                    4    e               ff150000000000000000000000000007     1 00000004 0\n";
        let planted = Planted::new(&[("proc/net/igmp6", file)]);
        let severity =
            |interface| examine(planted.tree(), group("ff15::7"), interface, Severity::Warning).severity;
        assert_eq!((severity("e"), severity("lo")), (Severity::Fine, Severity::Warning));
        assert_eq!(
            examine(planted.tree(), group("239.192.7.1"), "e", Severity::Warning).severity,
            Severity::Unknown
        );
    }
}
