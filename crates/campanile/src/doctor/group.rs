//! What a multicast group needs to be heard.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use campanile_engine::Interface;

use super::tree::Tree;
use super::{Finding, Severity};
use crate::beacon::{Listener, ListenerConfig};

/// The interface that the system takes for a group.
pub(super) fn interface_for(group: IpAddr) -> Option<String> {
    let every = if group.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(every).ok()?;
    socket.connect(SocketAddr::new(group, 9)).ok()?;
    let local = socket.local_addr().ok()?.ip();
    let all = if_addrs::get_if_addrs().ok()?;
    all.into_iter().find(|entry| entry.ip() == local).map(|entry| entry.name)
}

pub(super) fn examine_interface(tree: &Tree, interface: &str, for_group: bool) -> Vec<Finding> {
    let mut findings = vec![link(tree, interface, for_group)];
    if for_group {
        findings.push(reverse_path(tree, interface));
    }
    findings
}

pub(super) fn examine(tree: &Tree, group: SocketAddr, interface: Option<&str>) -> Vec<Finding> {
    let mut findings = vec![route(group, interface, interface_for(group.ip()))];
    if let (IpAddr::V4(address), Some(interface)) = (group.ip(), interface) {
        findings.push(querier(tree, interface));
        findings.push(membership(tree, address, interface));
    }
    let second = Finding::new("the network between", Severity::Unknown, "this machine cannot see it alone");
    findings.push(
        second
            .costs("a switch that snoops without a querier forgets the group after minutes; a TTL of 1 ends at the first router")
            .fix(format!("campanile beacon send --group {group} --count 5 (on another machine)"))
            .verify(format!("campanile beacon listen --group {group} --count 1 --duration 10 (here, first)")),
    );
    findings
}

pub(super) fn listen(group: SocketAddr, interface: Option<&str>, patience: Duration) -> Finding {
    let check = "live test";
    let interfaces = interface.map(|name| Interface::Name(name.to_owned())).into_iter().collect();
    let until = Instant::now() + patience;
    let heard = Listener::open(&ListenerConfig { group, interfaces })
        .and_then(|mut listener| listener.hear(Some(until)));
    match heard {
        Ok(Some(heard)) => {
            let by = heard.interface.as_deref().unwrap_or("an interface that the system does not name");
            let evidence = format!("{} bytes from {} were heard by {by}", heard.bytes, heard.from);
            Finding::new(check, Severity::Fine, evidence)
        }
        Ok(None) => {
            let evidence = format!("nothing was heard of {group} within {} s", patience.as_secs_f64());
            Finding::new(check, Severity::Fault, evidence)
                .costs("if somebody sent meanwhile, it does not arrive here")
                .fix(format!("campanile beacon send --group {group} (on another machine, and listen again)"))
                .verify(format!("campanile doctor --listen --group {group}"))
        }
        Err(error) => Finding::new(check, Severity::Fault, error.to_string())
            .costs("the group cannot be joined")
            .verify(format!("campanile doctor --listen --group {group}")),
    }
}

/// Bits of an interface's flags (if.h).
const UP: u64 = 0x1;
const MULTICAST: u64 = 0x1000;

fn link(tree: &Tree, interface: &str, for_group: bool) -> Finding {
    let check = "interface";
    let word = |name: &str| tree.word(&format!("sys/class/net/{interface}/{name}"));
    let flags = word("flags").and_then(|flags| u64::from_str_radix(flags.strip_prefix("0x")?, 16).ok());
    let Some(flags) = flags else {
        let known = tree.names("sys/class/net").join(", ");
        return Finding::new(check, Severity::Fault, format!("there is no {interface} (there are: {known})"))
            .costs("nothing comes or goes by it")
            .verify("ip link");
    };
    let mtu = word("mtu").unwrap_or_default();
    let show = format!("ip link show dev {interface}");
    if flags & UP == 0 {
        return Finding::new(check, Severity::Fault, format!("{interface} is down"))
            .costs("nothing comes or goes by it")
            .fix(format!("ip link set {interface} up"))
            .verify(show);
    }
    if word("carrier").as_deref() == Some("0") {
        return Finding::new(check, Severity::Fault, format!("{interface} is up, and has no link"))
            .costs("nothing comes or goes by it")
            .fix("see to its cable, or to the other end")
            .verify(show);
    }
    if for_group && flags & MULTICAST == 0 {
        return Finding::new(check, Severity::Fault, format!("{interface} does not do multicast"))
            .costs("no group is sent or heard by it")
            .fix(format!("ip link set {interface} multicast on"))
            .verify(show);
    }
    Finding::new(check, Severity::Fine, format!("{interface} is up, packets of up to {mtu} bytes"))
}

/// The system takes the stricter of the two settings, of which 1 is strict and 2 loose (ip-sysctl).
fn reverse_path(tree: &Tree, interface: &str) -> Finding {
    let check = "reverse path filter";
    let of = |name: &str| tree.number(&format!("proc/sys/net/ipv4/conf/{name}/rp_filter"));
    let Some((all, own)) = of("all").zip(of(interface)) else { return Finding::unknown(check) };
    let text = tree.text("proc/net/netstat").unwrap_or_default();
    let dropped = crate::host::of_rows(&text, "TcpExt", "IPReversePathFilter").unwrap_or(0);
    let evidence =
        format!("rp_filter is {} on {interface}; {dropped} packets were dropped for it", all.max(own));
    if all.max(own) != 1 {
        return Finding::new(check, Severity::Fine, evidence);
    }
    let severity = if dropped > 0 { Severity::Warning } else { Severity::Notice };
    Finding::new(check, severity, evidence)
        .costs("a sender whose way back leads by another interface is not heard")
        .fix(format!("sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{interface}.rp_filter=2"))
        .verify("nstat -az TcpExtIPReversePathFilter")
}

fn route(group: SocketAddr, interface: Option<&str>, chosen: Option<String>) -> Finding {
    let check = "way to the group";
    let ip = group.ip();
    let by = interface.unwrap_or("eth0");
    match (chosen, interface) {
        (None, _) => Finding::new(check, Severity::Fault, format!("there is no route to {ip}"))
            .costs("nothing is sent to the group unless an interface is named")
            .fix(format!("ip route add {ip} dev {by} (or name it: campanile beacon send --interface {by})"))
            .verify(format!("ip route get {ip}")),
        (Some(chosen), Some(named)) if chosen != named => {
            let evidence = format!("the system sends to {ip} by {chosen}, not by {named}");
            Finding::new(check, Severity::Warning, evidence)
                .costs("who names no interface sends and joins on the other one")
                .fix(format!("ip route add {ip} dev {named} (or name it: --interface {named})"))
                .verify(format!("ip route get {ip}"))
        }
        (Some(chosen), _) => Finding::new(check, Severity::Fine, format!("{ip} is reached by {chosen}")),
    }
}

/// The lines of `/proc/net/igmp` that belong to an interface: its own first, then a line for each group.
fn igmp<'t>(text: &'t str, interface: &str) -> Vec<&'t str> {
    let is_head = |line: &&str| line.starts_with(|first: char| first.is_ascii_digit());
    let mut lines =
        text.lines().skip_while(|line| !(is_head(line) && line.split_whitespace().nth(1) == Some(interface)));
    let head = lines.next();
    head.into_iter().chain(lines.take_while(|line| !is_head(line))).collect()
}

fn querier(tree: &Tree, interface: &str) -> Finding {
    let check = "IGMP version";
    let text = tree.text("proc/net/igmp").unwrap_or_default();
    let lines = igmp(&text, interface);
    let version =
        lines.first().and_then(|head| head.split_whitespace().find(|word| ["V1", "V2", "V3"].contains(word)));
    match version {
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

fn membership(tree: &Tree, group: Ipv4Addr, interface: &str) -> Finding {
    let check = "membership";
    let Some(text) = tree.text("proc/net/igmp") else { return Finding::unknown(check) };
    let groups: Vec<&str> = igmp(&text, interface)
        .into_iter()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    // The file has the address as the machine's word: its bytes from the last to the first on a little-endian one.
    let bits = format!("{:08X}", u32::from_ne_bytes(group.octets()));
    let allowed = tree.number("proc/sys/net/ipv4/igmp_max_memberships").unwrap_or(u64::MAX);
    let evidence =
        format!("{interface} is a member of {} groups (a socket may have {allowed})", groups.len());
    if groups.contains(&bits.as_str()) {
        return Finding::new(check, Severity::Fine, format!("{evidence}, {group} among them"));
    }
    Finding::new(check, Severity::Warning, format!("{evidence}, {group} is not among them"))
        .costs("the interface does not listen to the group: no program here has joined it on this interface")
        .fix(format!("campanile beacon listen --group {group} --interface {interface}"))
        .verify(format!("ip maddress show dev {interface}"))
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
        let gone = link(Planted::new(&[("sys/class/net/e/flags", "0x1003")]).tree(), "f", true);
        assert!(gone.evidence == "there is no f (there are: e)" && gone.severity == Severity::Fault);
    }

    #[test]
    fn a_strict_filter_is_worse_once_it_dropped() {
        let found = |all: &str, dropped: &str| {
            let netstat = format!("TcpExt: A IPReversePathFilter\nTcpExt: 1 {dropped}\n");
            let files = [
                ("proc/sys/net/ipv4/conf/all/rp_filter", all),
                ("proc/sys/net/ipv4/conf/e/rp_filter", "0"),
                ("proc/net/netstat", &netstat),
            ];
            reverse_path(Planted::new(&files).tree(), "e").severity
        };
        assert_eq!(found("2", "5"), Severity::Fine);
        assert_eq!(found("1", "0"), Severity::Notice);
        assert_eq!(found("1", "5"), Severity::Warning);
    }

    #[test]
    fn memberships_belong_to_their_interface() {
        let group: Ipv4Addr = "239.192.7.1".parse().expect("a literal address");
        let bits = format!("{:08X}", u32::from_ne_bytes(group.octets()));
        let igmp = format!(
            "Idx\tDevice    : Count Querier\tGroup\n1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:0\t0\n\
             4\te         :     2      V2\n\t\t\t\t{bits}     1 0:0\t0\n\t\t\t\t010000E0     1 0:0\t0\n"
        );
        let planted = Planted::new(&[("proc/net/igmp", &igmp)]);
        assert_eq!(membership(planted.tree(), group, "e").severity, Severity::Fine);
        assert_eq!(membership(planted.tree(), group, "lo").severity, Severity::Warning);
        assert_eq!(
            (querier(planted.tree(), "lo").severity, querier(planted.tree(), "e").severity),
            (Severity::Fine, Severity::Notice)
        );
        assert_eq!(querier(planted.tree(), "f").severity, Severity::Unknown);
    }

    #[test]
    fn the_way_is_missing_another_or_right() {
        let group = "239.192.7.1:7125".parse().expect("a literal address");
        let severity = |named, chosen: Option<&str>| route(group, named, chosen.map(str::to_owned)).severity;
        assert_eq!(severity(Some("e"), None), Severity::Fault);
        assert_eq!(severity(Some("e"), Some("f")), Severity::Warning);
        assert_eq!(
            (severity(Some("e"), Some("e")), severity(None, Some("f"))),
            (Severity::Fine, Severity::Fine)
        );
    }
}
