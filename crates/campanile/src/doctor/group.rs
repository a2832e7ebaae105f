//! What a multicast group needs of routes, routers and switches to be heard.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use campanile_engine::multicast;

use super::tree::Tree;
use super::{Finding, Severity, interface, membership, quoted};

/// The interface by which the system sends to a group.
pub(super) fn interface_for(group: IpAddr) -> io::Result<String> {
    let socket = UdpSocket::bind(any(group))?;
    socket.connect(SocketAddr::new(group, 9))?;
    let local = socket.local_addr()?.ip();
    let its = interface::addresses().into_iter().find(|(_, address)| *address == local);
    its.map(|(name, _)| name).ok_or_else(|| {
        io::Error::new(io::ErrorKind::AddrNotAvailable, "no interface has an address to send from")
    })
}

/// `if_unheard` is how bad it is that no program listens.
pub(super) fn examine(
    tree: &Tree,
    group: SocketAddr,
    interface: Option<&str>,
    if_unheard: Severity,
) -> Vec<Finding> {
    let mut findings = vec![way(group, interface, interface_for(group.ip()), interface::likely(tree))];
    if let Some(interface) = interface {
        findings.push(match group {
            SocketAddr::V4(_) => membership::igmp_version(tree, interface),
            SocketAddr::V6(_) => membership::mld_version(tree, interface),
        });
        findings.push(membership::examine(tree, group, interface, if_unheard));
        findings.push(querier(tree, group.ip(), interface));
    }
    findings.push(reach(group, interface));
    let at = quoted(group);
    let second = Finding::new("the network between", Severity::Unknown, "this machine cannot see it alone");
    findings.push(
        second
            .fix(format!("campanile doctor --listen --group {at}{}", interface_option(interface)))
            .verify(format!("campanile beacon send --group {at}  # on another machine, meanwhile")),
    );
    findings
}

/// The option that names the interface in our commands, with a space before it.
pub(super) fn interface_option(interface: Option<&str>) -> String {
    interface.map(|name| format!(" --interface {name}")).unwrap_or_default()
}

/// The unspecified address of the group's family.
fn any(group: IpAddr) -> SocketAddr {
    let any = if group.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    any.parse().expect("a literal address")
}

/// Which interface is used to send to the group if the sender names none. `likely` is one that could be used.
fn way(
    at: SocketAddr,
    interface: Option<&str>,
    chosen: io::Result<String>,
    likely: Option<String>,
) -> Finding {
    let check = "route to the group";
    let (group, at) = (at.ip(), quoted(at));
    // IPv6 looks multicast routes up in the table `local` first.
    let route = |by: &str| match group {
        IpAddr::V4(_) => format!("ip route replace {group} dev {by}"),
        IpAddr::V6(_) => format!("ip -6 route replace multicast {group} dev {by} table local"),
    };
    let get = format!("ip route get {group}");
    if multicast::is_link_local(group) {
        let by = interface_option(interface.or(likely.as_deref()).or(Some("NAME")));
        return Finding::new(check, Severity::Notice, format!("{group} is another group on each link"))
            .costs("programs that name no interface cannot send to it")
            .fix(format!("campanile beacon send --group {at}{by}  # and so in the program"))
            .verify(format!("campanile doctor --listen --group {at}{by}"));
    }
    match (chosen, interface) {
        (Err(error), _) => {
            let evidence = if error.kind() == io::ErrorKind::NetworkUnreachable {
                format!("there is no route to {group}")
            } else {
                format!("nothing can be sent to {group}: {error}")
            };
            let fix = match interface.or(likely.as_deref()) {
                _ if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    "# it needs an address first; a tentative IPv6 address is ready in seconds: ip address"
                        .to_owned()
                }
                Some(by) => {
                    let send = format!("campanile beacon send --group {at} --interface {by}");
                    format!("{}  # or name it: {send}", route(by))
                }
                None => "# name an interface that is up and supports multicast: ip link".to_owned(),
            };
            Finding::new(check, Severity::Fault, evidence)
                .costs("nothing is sent to the group unless an interface is named")
                .fix(fix)
                .verify(get)
        }
        (Ok(chosen), Some(named)) if chosen != named => {
            let evidence = format!("the system sends to {group} by {chosen}, not by {named}");
            Finding::new(check, Severity::Warning, evidence)
                .costs("programs that name no interface send and join on the other one")
                .fix(format!("{}  # or name it: --interface {named}", route(named)))
                .verify(get)
        }
        (Ok(chosen), _) => Finding::new(check, Severity::Fine, format!("{group} is reached by {chosen}")),
    }
}

/// Whether there is a querier. Switches that snoop on the answers to its queries depend on it.
fn querier(tree: &Tree, group: IpAddr, interface: &str) -> Finding {
    let check = "querier";
    let forgets = "a switch that snoops forgets the group after minutes, unless it is a querier itself";
    let of_bridge = |name: &str| tree.number(&format!("sys/class/net/{interface}/bridge/{name}"));
    match of_bridge("multicast_snooping").zip(of_bridge("multicast_querier")) {
        Some((0, _)) => {
            return Finding::new(check, Severity::Fine, format!("{interface} does not snoop, it floods"));
        }
        Some((_, 0)) => {
            let evidence = format!("{interface} snoops, and sends no queries");
            return Finding::new(check, Severity::Notice, evidence)
                .costs("it floods while nobody sends queries, and other switches here may forget the group after minutes")
                .fix(format!(
                    "ip link set {interface} type bridge mcast_querier 1 mcast_igmp_version 3 mcast_mld_version 2"
                ))
                .verify(format!("cat /sys/class/net/{interface}/bridge/multicast_querier"));
        }
        Some(_) => return Finding::new(check, Severity::Fine, format!("{interface} sends queries")),
        None => {}
    }
    let filter = if group.is_ipv4() { "igmp" } else { "'icmp6 and ip6[48] == 130'" };
    let watch = format!("tcpdump -i {interface} -c 1 {filter}  # a querier asks every two minutes or so");
    let counters = tree.text(&format!("proc/net/dev_snmp6/{interface}")).filter(|_| group.is_ipv6());
    match counters.and_then(|text| crate::host::snmp6_counter(&text, "Icmp6InGroupMembQueries")) {
        None => Finding::new(check, Severity::Unknown, "this system does not count queries")
            .costs(forgets)
            .verify(watch),
        Some(0) => Finding::new(check, Severity::Notice, format!("{interface} has heard no query"))
            .costs(forgets)
            .fix("# let a switch or a router of this network be the querier of MLD")
            .verify(watch),
        Some(count) => Finding::new(check, Severity::Fine, format!("queries heard by {interface}: {count}")),
    }
}

/// How far datagrams to the group go: the group's scope (RFC 5771 section 4, RFC 4291 section 2.7), and the default TTL.
fn reach(at: SocketAddr, interface: Option<&str>) -> Finding {
    let check = "reach";
    let (group, at) = (at.ip(), quoted(at));
    let (is_link_local, other) = match group {
        IpAddr::V4(group) => (group.octets()[..3] == [224, 0, 0], "239.192.7.1"),
        IpAddr::V6(group) => (matches!(group.octets()[1] & 0xf, 1 | 2), "ff15::7"),
    };
    if is_link_local {
        return Finding::new(check, Severity::Notice, format!("{group} is a link-local group"))
            .costs("no router forwards it, whatever the TTL")
            .fix(format!(
                "campanile beacon send --group {other} --ttl 16  # and the same group wherever it is heard"
            ))
            .verify(format!("campanile doctor --group {other} --listen  # behind the router"));
    }
    // The system has a default for IPv4; for IPv6 it is fixed to 1 (RFC 3493 section 5.2).
    let ttl = UdpSocket::bind(any(group))
        .and_then(|socket| if group.is_ipv4() { socket.multicast_ttl_v4() } else { Ok(1) });
    let Ok(ttl) = ttl else { return Finding::unknown(check) };
    let on = interface.map(|name| format!(" -i {name}")).unwrap_or_default();
    Finding::new(check, Severity::Notice, format!("programs that set no TTL send to {group} with {ttl}"))
        .costs("it ends at the first router; on one link it does not matter")
        .fix(format!("campanile beacon send --group {at} --ttl 16  # or the like for the program that sends"))
        .verify(format!("tcpdump{on} -v -c 1 dst host {group}  # here: the TTL that arrives"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    #[test]
    fn a_route_is_missing_elsewhere_or_right() {
        let found = |group: &str, named, chosen: Result<&str, io::ErrorKind>| {
            let group = SocketAddr::new(group.parse().expect("a literal address"), 5000);
            way(group, named, chosen.map(str::to_owned).map_err(io::Error::from), Some("g".to_owned()))
        };
        let v4 = |named, chosen| found("239.192.7.1", named, chosen);
        let none = io::ErrorKind::NetworkUnreachable;
        assert_eq!(v4(Some("e"), Err(none)).evidence, "there is no route to 239.192.7.1");
        assert!(
            v4(Some("e"), Err(none))
                .fix
                .is_some_and(|fix| fix.starts_with("ip route replace 239.192.7.1 dev e "))
        );
        assert!(
            v4(None, Err(none)).fix.is_some_and(|fix| fix.starts_with("ip route replace 239.192.7.1 dev g "))
        );
        let refused = v4(None, Err(io::ErrorKind::PermissionDenied));
        assert_eq!(refused.evidence, "nothing can be sent to 239.192.7.1: permission denied");
        let tentative = v4(Some("e"), Err(io::ErrorKind::AddrNotAvailable)).fix;
        assert!(tentative.is_some_and(|fix| fix.starts_with("# it needs an address first")));
        assert_eq!((refused.severity, v4(Some("e"), Ok("f")).severity), (Severity::Fault, Severity::Warning));
        assert_eq!(
            (v4(Some("e"), Ok("e")).severity, v4(None, Ok("f")).severity),
            (Severity::Fine, Severity::Fine)
        );
        let of_link = found("ff12::7", Some("e"), Err(io::ErrorKind::InvalidInput));
        assert_eq!(of_link.evidence, "ff12::7 is another group on each link");
        assert!(of_link.fix.is_some_and(|fix| fix.contains(" --group '[ff12::7]:5000' --interface e  # ")));
        let v6 = found("ff15::7", Some("e"), Ok("f")).fix;
        assert!(
            v6.is_some_and(|fix| fix.starts_with("ip -6 route replace multicast ff15::7 dev e table local "))
        );
    }

    #[test]
    fn a_group_of_a_link_does_not_leave_it() {
        let reach =
            |group: &str| reach(SocketAddr::new(group.parse().expect("a literal address"), 5000), None);
        let told = |group: &str| reach(group).evidence;
        assert_eq!(told("224.0.0.251"), "224.0.0.251 is a link-local group");
        assert_eq!(told("ff12::7"), "ff12::7 is a link-local group");
        assert_eq!(told("239.192.7.1"), "programs that set no TTL send to 239.192.7.1 with 1");
        let fix = reach("ff15::7").fix;
        assert!(fix.is_some_and(|fix| fix.contains(" --group '[ff15::7]:5000' ")), "the port is kept");
    }

    #[test]
    fn a_bridge_asks_floods_or_forgets() {
        let found = |snooping, asks| {
            let folder = "sys/class/net/e/bridge";
            let files = [
                (format!("{folder}/multicast_snooping"), snooping),
                (format!("{folder}/multicast_querier"), asks),
            ];
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
            querier(Planted::new(&files).tree(), "239.192.7.1".parse().expect("a literal address"), "e")
                .severity
        };
        assert_eq!(
            (found("0", "0"), found("1", "1"), found("1", "0")),
            (Severity::Fine, Severity::Fine, Severity::Notice)
        );
    }

    #[test]
    fn queries_are_counted_where_the_system_does() {
        let found = |group: &str, count: &str| {
            let text = format!("Icmp6InMsgs 9\nIcmp6InGroupMembQueries {count}\n");
            let planted = Planted::new(&[("proc/net/dev_snmp6/e", &text)]);
            querier(planted.tree(), group.parse().expect("a literal address"), "e").severity
        };
        assert_eq!((found("ff15::7", "3"), found("ff15::7", "0")), (Severity::Fine, Severity::Notice));
        assert_eq!(found("239.192.7.1", "3"), Severity::Unknown);
    }
}
