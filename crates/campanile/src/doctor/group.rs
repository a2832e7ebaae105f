//! What a multicast group needs to be heard.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use campanile_engine::Interface;

use super::tree::{LOOPBACK, MULTICAST, Tree, UP};
use super::{Finding, Severity, membership};
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

pub(super) fn examine_interface(tree: &Tree, interface: &str, group: Option<SocketAddr>) -> Vec<Finding> {
    let mut findings = vec![link(tree, interface, group.is_some())];
    // IPv6 has none.
    if group.is_some_and(|group| group.is_ipv4()) {
        findings.push(reverse_path(tree, interface));
    }
    findings
}

pub(super) fn examine(tree: &Tree, group: SocketAddr, interface: Option<&str>) -> Vec<Finding> {
    let mut findings = vec![route(group, interface, interface_for(group.ip()))];
    if let Some(interface) = interface {
        findings.extend(group.is_ipv4().then(|| membership::igmp_version(tree, interface)));
        findings.push(membership::examine(tree, group, interface));
    }
    findings.push(reach(group.ip()));
    let second = Finding::new("the network between", Severity::Unknown, "this machine cannot see it alone");
    findings.push(
        second
            .costs("a switch that snoops without a querier forgets the group after minutes")
            .fix(format!("campanile beacon send --group {group} --count 5 (on another machine)"))
            .verify(format!("campanile beacon listen --group {group} --count 1 --duration 10 (here, first)")),
    );
    findings
}

pub(super) fn listen(group: SocketAddr, interface: Option<&str>, patience: Duration) -> Finding {
    let check = "live test";
    let by = interface.map(|name| format!(" --interface {name}")).unwrap_or_default();
    let again = format!("campanile doctor --listen --group {group}{by}");
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
                .verify(again)
        }
        Err(error) => Finding::new(check, Severity::Fault, error.to_string())
            .costs("the group cannot be joined")
            .fix("ip link (shows the interfaces that are up: name one of them with --interface)")
            .verify(again),
    }
}

fn link(tree: &Tree, interface: &str, for_group: bool) -> Finding {
    let check = "interface";
    let word = |name: &str| tree.word(&format!("sys/class/net/{interface}/{name}"));
    let Some(flags) = tree.flags(interface) else {
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
    // Loopback carries groups for who names it, though it does not say so.
    if for_group && flags & (MULTICAST | LOOPBACK) == 0 {
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

/// How far datagrams to the group go: what the group is for (RFC 5771 section 4, RFC 4291 section 2.7), and the TTL of who sets none.
fn reach(group: IpAddr) -> Finding {
    let check = "reach";
    let (is_of_link, other) = match group {
        IpAddr::V4(group) => (group.octets()[..3] == [224, 0, 0], "239.192.7.1"),
        IpAddr::V6(group) => (matches!(group.octets()[1] & 0xf, 1 | 2), "ff15::7"),
    };
    if is_of_link {
        return Finding::new(check, Severity::Notice, format!("{group} is a group of one link"))
            .costs("no router takes it on, whatever the TTL")
            .fix(format!(
                "campanile beacon send --group {other} --ttl 16 (and the same group wherever it is heard)"
            ))
            .verify(format!("campanile doctor --group {other} --listen (behind the router)"));
    }
    let every = if group.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // The system has a number for the one, and none to ask for the other, which is the same (RFC 3493 section 5.2).
    let ttl = UdpSocket::bind(every)
        .and_then(|socket| if group.is_ipv4() { socket.multicast_ttl_v4() } else { Ok(1) });
    let Ok(ttl) = ttl else { return Finding::unknown(check) };
    Finding::new(check, Severity::Notice, format!("who sets no TTL sends to {group} with {ttl}"))
        .costs("it ends at the first router; on one link it does not matter")
        .fix(format!(
            "campanile beacon send --group {group} --ttl 16 (or the like for the program that sends)"
        ))
        .verify(format!("tcpdump -v -c 1 dst host {group} (here: the TTL that arrives)"))
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

    #[test]
    fn a_group_of_a_link_does_not_leave_it() {
        let told = |group: &str| reach(group.parse().expect("a literal address")).evidence;
        assert_eq!(told("224.0.0.251"), "224.0.0.251 is a group of one link");
        assert_eq!(told("ff12::7"), "ff12::7 is a group of one link");
        assert_eq!(told("239.192.7.1"), "who sets no TTL sends to 239.192.7.1 with 1");
        assert!(reach("ff15::7".parse().expect("a literal address")).fix.is_some());
    }
}
