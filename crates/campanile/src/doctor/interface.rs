//! The interface that datagrams come and go by, and loopback.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use campanile_engine::interface::Listed;

use super::card;
use super::tree::{LOOPBACK, MULTICAST, Tree, UP};
use super::{Finding, Severity, things};
use crate::host::{has_files, snmp_counter};

/// The interface itself, unless its files are `foreign`, and what the group needs of it.
pub(super) fn examine(
    tree: &Tree,
    interface: &str,
    group: Option<SocketAddr>,
    foreign: Option<Finding>,
) -> Vec<Finding> {
    let mut findings = vec![foreign.unwrap_or_else(|| link(tree, interface, group.is_some()))];
    if let Some(group) = group {
        findings.push(address(tree, &addresses(), interface, group.ip()));
        // IPv6 has no reverse path filter.
        findings.extend(group.is_ipv4().then(|| reverse_path(tree, interface)));
    }
    findings
}

/// A finding if `/sys` shows the interfaces of another network namespace than that of `/proc` and this program.
pub(super) fn foreign_files(tree: &Tree, interface: &str) -> Option<Finding> {
    let listed = tree.text("proc/net/dev")?;
    let names: BTreeSet<&str> =
        listed.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    let mut files = tree.names("sys/class/net");
    files.retain(|name| tree.flags(name).is_some());
    if files.iter().eq(&names) && has_files(interface, |path| tree.text(path)) {
        return None;
    }
    let evidence = match files.is_empty() {
        true => "/sys shows no interfaces".to_owned(),
        false => format!("/sys shows other interfaces than this program has: {}", files.join(", ")),
    };
    let again = format!("campanile doctor --interface {interface}");
    let finding = Finding::new("interface", Severity::Unknown, evidence)
        .costs("it belongs to another network namespace or to none, and was not used for this interface")
        .fix(format!("unshare --mount sh -c 'mount -t sysfs sysfs /sys && {again}'"))
        .verify("ls /sys/class/net");
    Some(finding)
}

/// All addresses, with the names of their interfaces.
pub(super) fn addresses() -> Vec<(String, IpAddr)> {
    let listed = campanile_engine::interface::list().unwrap_or_default();
    let of_one =
        |known: Listed| known.addresses.into_iter().map(move |address| (known.name.clone(), address));
    listed.into_iter().flat_map(of_one).collect()
}

/// An interface that could carry a group, where the system has no route to it.
pub(super) fn likely(tree: &Tree) -> Option<String> {
    let can = |name: &String| {
        let is_fit = |flags| flags & (UP | MULTICAST | LOOPBACK) == UP | MULTICAST;
        // Those of another network namespace are in `/sys` alone.
        tree.flags(name).is_some_and(is_fit) && card::counters(tree, name).is_some()
    };
    tree.names("sys/class/net").into_iter().find(can)
}

fn link(tree: &Tree, interface: &str, for_group: bool) -> Finding {
    let check = "interface";
    let word = |name: &str| tree.word(&format!("sys/class/net/{interface}/{name}"));
    let is_there = |name: &str| !tree.names(&format!("sys/class/net/{interface}/{name}")).is_empty();
    let Some(flags) = tree.flags(interface) else {
        let known = tree.names("sys/class/net").join(", ");
        return Finding::new(check, Severity::Fault, format!("there is no {interface} (there are: {known})"))
            .costs("nothing is received or sent by it")
            .fix("# name an interface that exists")
            .verify("ip link");
    };
    let show = format!("ip link show dev {interface}");
    let fault = |evidence: &str| Finding::new(check, Severity::Fault, format!("{interface} {evidence}"));
    let nothing_moves = "nothing is received or sent by it";
    if flags & UP == 0 {
        return fault("is down").costs(nothing_moves).fix(format!("ip link set {interface} up")).verify(show);
    }
    if word("carrier").as_deref() == Some("0") {
        let fix = "# check its cable and the other end";
        return fault("is up, and has no link").costs(nothing_moves).fix(fix).verify(show);
    }
    // Loopback carries groups if it is named, although it lacks the flag.
    if for_group && flags & (MULTICAST | LOOPBACK) == 0 {
        return fault("does not support multicast")
            .costs("no group is sent or heard by it")
            .fix(format!("ip link set {interface} multicast on"))
            .verify(show);
    }
    if is_there("brport") || is_there("bonding_slave") {
        let fix = "# name that one, here and in the programs: ip link shows it as master";
        return fault("is a part of another interface, a bridge or a bond")
            .costs("what arrives by it comes to programs by the other one")
            .fix(fix)
            .verify(show);
    }
    let mtu = tree.number(&format!("sys/class/net/{interface}/mtu")).unwrap_or(0);
    // Without options: the header of IP, and 8 bytes of UDP.
    let v4 = mtu.min(65_535).saturating_sub(20 + 8);
    let v6 = if mtu < MTU_MIN_V6 { "none".to_owned() } else { (mtu - 40 - 8).to_string() };
    let evidence = format!(
        "{interface} is up, packets of up to {mtu} bytes: datagrams of {v4} over IPv4, {v6} over IPv6"
    );
    Finding::new(check, Severity::Fine, evidence)
}

/// With a lower MTU an interface has no IPv6 (RFC 8200 section 5).
const MTU_MIN_V6: u64 = 1280;

/// A sender needs an address of the group's family, and so does a receiver that joins by address.
fn address(tree: &Tree, all: &[(String, IpAddr)], interface: &str, group: IpAddr) -> Finding {
    let check = "address";
    let family = if group.is_ipv4() { "IPv4" } else { "IPv6" };
    let is_link_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let own = all.iter().filter(|(name, address)| name == interface && address.is_ipv4() == group.is_ipv4());
    let (severity, evidence, cost) = match own
        .map(|(_, address)| address)
        .min_by_key(|address| is_link_local(address))
    {
        None => (
            Severity::Fault,
            format!("{interface} has no address of {family}"),
            "programs cannot send or join by it, and switches may ignore membership reports without one",
        ),
        Some(address) if is_link_local(address) => (
            Severity::Notice,
            format!("{interface} has {address}, and none beyond link scope"),
            "what is sent by it crosses no router, whatever the TTL",
        ),
        Some(address) => return Finding::new(check, Severity::Fine, format!("{interface} has {address}")),
    };
    let off = format!("net/ipv6/conf/{interface}/disable_ipv6");
    let mtu = tree.number(&format!("sys/class/net/{interface}/mtu"));
    let fix = if group.is_ipv6() && tree.number(&format!("proc/sys/{off}")) == Some(1) {
        format!("sysctl -w {off}=0")
    } else if group.is_ipv6() && mtu.is_some_and(|mtu| mtu < MTU_MIN_V6) {
        format!("ip link set {interface} mtu {MTU_MIN_V6}  # with less there is no IPv6")
    } else {
        format!("# one of its network: ip address add ADDRESS/BITS dev {interface}")
    };
    Finding::new(check, severity, evidence)
        .costs(cost)
        .fix(fix)
        .verify(format!("ip address show dev {interface}"))
}

/// The greater of the two settings counts; 1 is strict, 2 is loose (ip-sysctl).
fn reverse_path(tree: &Tree, interface: &str) -> Finding {
    let check = "reverse path filter";
    let of = |name: &str| tree.number(&format!("proc/sys/net/ipv4/conf/{name}/rp_filter"));
    let Some((all, own)) = of("all").zip(of(interface)) else { return Finding::unknown(check) };
    let mode = all.max(own);
    let text = tree.text("proc/net/netstat").unwrap_or_default();
    let dropped = snmp_counter(&text, "TcpExt", "IPReversePathFilter").unwrap_or(0);
    let packets = things(dropped, "packet");
    let evidence = format!("rp_filter is {mode} on {interface}; {packets} dropped for it on all interfaces");
    let (cost, lower) = match mode {
        0 => return Finding::new(check, Severity::Fine, evidence),
        1 => ("a sender to which the route leads through another interface is not heard", 2),
        // Drops may have been counted before the filter was loose.
        _ if dropped == 0 => return Finding::new(check, Severity::Fine, evidence),
        _ => ("a sender to which there is no route at all is not heard", 0),
    };
    let severity = if dropped > 0 && mode == 1 { Severity::Warning } else { Severity::Notice };
    Finding::new(check, severity, evidence)
        .costs(cost)
        .fix(format!(
            "sysctl -w net/ipv4/conf/all/rp_filter={lower} net/ipv4/conf/{interface}/rp_filter={lower}"
        ))
        .verify("nstat -az TcpExtIPReversePathFilter")
}

/// Programs of one machine reach each other by loopback, whichever of its addresses they use.
pub(super) fn loopback(tree: &Tree) -> Option<Finding> {
    let check = "loopback";
    let flags = tree.flags("lo")?;
    if flags & UP != 0 {
        return Some(Finding::new(check, Severity::Fine, "lo is up"));
    }
    let finding = Finding::new(check, Severity::Warning, "lo is down")
        .costs("programs of this machine cannot reach each other, by any of its addresses")
        .fix("ip link set lo up")
        .verify("ip link show dev lo");
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    fn severity_of(flags: &str, carrier: &str) -> Severity {
        let files = [("sys/class/net/e/flags", flags), ("sys/class/net/e/carrier", carrier)];
        link(Planted::new(&files).tree(), "e", true).severity
    }

    #[test]
    fn an_interface_must_be_there_up_linked_and_do_multicast() {
        assert_eq!(severity_of("0x1003\n", "1\n"), Severity::Fine);
        assert_eq!(severity_of("0x1002\n", "1\n"), Severity::Fault);
        assert_eq!(severity_of("0x1003\n", "0\n"), Severity::Fault);
        assert_eq!(severity_of("0x3\n", "1\n"), Severity::Fault);
        assert_eq!(severity_of("0x9\n", "1\n"), Severity::Fine, "loopback carries groups without the flag");
        let evidence = |mtu| {
            let files = [("sys/class/net/e/flags", "0x1003\n"), ("sys/class/net/e/mtu", mtu)];
            link(Planted::new(&files).tree(), "e", true).evidence
        };
        assert!(evidence("1500\n").ends_with(" 1500 bytes: datagrams of 1472 over IPv4, 1452 over IPv6"));
        assert!(evidence("1279\n").ends_with(": datagrams of 1251 over IPv4, none over IPv6"));
        assert!(evidence("65536\n").ends_with(": datagrams of 65507 over IPv4, 65488 over IPv6"));
        let gone = link(Planted::new(&[("sys/class/net/e/flags", "0x1003")]).tree(), "f", true);
        assert!(gone.evidence == "there is no f (there are: e)" && gone.severity == Severity::Fault);
    }

    #[test]
    fn files_of_another_namespace_are_not_taken_for_its_own() {
        let found = |name: &str, packets: u32, listed: &str| {
            let files = [
                (format!("sys/class/net/{name}/flags"), "0x1003".to_owned()),
                (format!("sys/class/net/{name}/statistics/rx_packets"), packets.to_string()),
                (
                    "proc/net/dev".to_owned(),
                    format!("Inter-|\n face |\n{listed}: 9 7 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n"),
                ),
            ];
            let files: Vec<(&str, &str)> =
                files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            foreign_files(Planted::new(&files).tree(), "e").is_some()
        };
        assert!(!found("e", 7, "e"));
        assert!(found("f", 7, "e") && found("e", 8, "e"));
    }

    #[test]
    fn a_group_may_be_on_what_is_up_and_does_multicast() {
        let found = |flags: &[(&str, &str)]| {
            let files: Vec<(String, &str)> =
                flags.iter().map(|(name, flags)| (format!("sys/class/net/{name}/flags"), *flags)).collect();
            let listed =
                ["b", "c"].map(|name| format!(" {name}: 9 7 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n")).concat();
            let mut files: Vec<(&str, &str)> =
                files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
            files.push(("proc/net/dev", &listed));
            likely(Planted::new(&files).tree())
        };
        assert_eq!(found(&[("b", "0x1009"), ("c", "0x1003")]).as_deref(), Some("c"));
        assert_eq!(found(&[("b", "0x1002"), ("c", "0x3")]), None);
        assert_eq!(found(&[("a", "0x1003")]), None, "it is another namespace's");
    }

    #[test]
    fn an_address_is_of_the_family_of_the_group() {
        let all: Vec<(String, IpAddr)> =
            [("e", "192.0.2.1"), ("e", "fe80::1"), ("g", "fe80::2"), ("g", "fd00::2")]
                .map(|(name, address)| (name.to_owned(), address.parse().expect("a literal address")))
                .into();
        let planted =
            Planted::new(&[("proc/sys/net/ipv6/conf/f/disable_ipv6", "1"), ("sys/class/net/h/mtu", "576")]);
        let found = |interface, group: &str| {
            address(planted.tree(), &all, interface, group.parse().expect("a literal address"))
        };
        assert_eq!(found("e", "239.192.7.1").evidence, "e has 192.0.2.1");
        assert_eq!(found("g", "ff15::7").evidence, "g has fd00::2");
        assert_eq!(found("e", "ff15::7").severity, Severity::Notice);
        assert_eq!(
            (found("f", "239.192.7.1").severity, found("g", "239.192.7.1").severity),
            (Severity::Fault, Severity::Fault)
        );
        let fix = |interface, group| found(interface, group).fix.unwrap_or_default();
        assert_eq!(fix("f", "ff15::7"), "sysctl -w net/ipv6/conf/f/disable_ipv6=0");
        assert!(fix("h", "ff15::7").starts_with("ip link set h mtu 1280 "));
        assert!(fix("f", "239.192.7.1").starts_with("# one of its network: "));
    }

    #[test]
    fn a_filter_is_worse_once_it_dropped() {
        let found = |all: &str, dropped: &str| {
            let netstat = format!("TcpExt: A IPReversePathFilter\nTcpExt: 1 {dropped}\n");
            let files = [
                ("proc/sys/net/ipv4/conf/all/rp_filter", all),
                ("proc/sys/net/ipv4/conf/e/rp_filter", "0"),
                ("proc/net/netstat", &netstat),
            ];
            reverse_path(Planted::new(&files).tree(), "e").severity
        };
        assert_eq!((found("0", "5"), found("2", "0")), (Severity::Fine, Severity::Fine));
        assert_eq!((found("1", "0"), found("2", "5")), (Severity::Notice, Severity::Notice));
        assert_eq!(found("1", "5"), Severity::Warning);
    }
}
