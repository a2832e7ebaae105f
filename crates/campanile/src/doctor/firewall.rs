//! What the packet filter does with datagrams to a port, as far as its rules show.

mod chain;
mod rule;
mod walk;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use super::tree::Tree;
use super::{Finding, Severity};
use chain::{Chain, Chains};
use rule::{Direction, Kind, Packet};
use walk::{Outcome, outcome};

/// What the rules do with datagrams to a port, and to a group if there is one.
pub(super) fn examine(
    tree: &Tree,
    port: u16,
    group: Option<IpAddr>,
    interface: Option<&str>,
) -> Vec<Finding> {
    match rules() {
        Some(rules) => judge(
            tree,
            &rules,
            Packet { kind: Kind::Udp { port }, to: group, interface, direction: Direction::In },
        ),
        None => vec![
            Finding::new(
                IN,
                Severity::Unknown,
                "the rules cannot be read: there is no nft, or no permission",
            )
            .verify("sudo nft list ruleset"),
        ],
    }
}

const IN: &str = "firewall";
const OUT: &str = "firewall, output";
const ON: &str = "firewall, forwarding";
const MEMBERSHIP: &str = "firewall, membership";

/// The rules, as the filter's own program prints them.
fn rules() -> Option<String> {
    let output = Command::new("nft").args(["list", "ruleset"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn judge(tree: &Tree, rules: &str, packet: Packet<'_>) -> Vec<Finding> {
    let filter = Filter { chains: Chain::read_all(rules), place: Place::of(tree, packet.interface) };
    let mut findings = vec![
        filter.finding(IN, &[packet], legacy(tree)),
        filter
            .finding(OUT, &[Packet { direction: Direction::Out, ..packet }], None)
            .at_most(Severity::Warning),
    ];
    if filter.place.forwards {
        let on = Packet { direction: Direction::Forward, ..packet };
        findings.push(filter.finding(ON, &[on], None).at_most(Severity::Warning));
    }
    if let Some(group) = packet.to {
        // Where queries go and where reports go (RFC 3376 sections 4.1.12 and 4.2.14, RFC 3810 sections 5.1.15 and 5.2.14).
        let (queries, reports): (IpAddr, IpAddr) = if group.is_ipv4() {
            (Ipv4Addr::new(224, 0, 0, 1).into(), Ipv4Addr::new(224, 0, 0, 22).into())
        } else {
            (
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16).into(),
            )
        };
        let both = [(queries, Direction::In), (reports, Direction::Out)].map(|(to, direction)| Packet {
            kind: Kind::Membership,
            to: Some(to),
            direction,
            ..packet
        });
        findings.push(filter.finding(MEMBERSHIP, &both, None).at_most(Severity::Warning));
    }
    findings
}

/// Tables of iptables-legacy, whose rules nft does not show.
fn legacy(tree: &Tree) -> Option<String> {
    let tables: Vec<String> = ["proc/net/ip_tables_names", "proc/net/ip6_tables_names"]
        .into_iter()
        .filter_map(|path| tree.text(path))
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    (!tables.is_empty()).then(|| tables.join(", "))
}

/// Which packets of this machine the filter's rules apply to.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Whether the interface is a bridge; unknown without an interface.
    is_bridge: Option<bool>,
    /// This machine forwards datagrams.
    forwards: bool,
    /// Rules of the IP families apply to forwarded datagrams too.
    asks_ip: bool,
}

impl Place {
    fn of(tree: &Tree, interface: Option<&str>) -> Self {
        let is_bridge = interface.map(|name| !tree.names(&format!("sys/class/net/{name}/bridge")).is_empty());
        // A head line, then a line for each interface of the multicast router.
        let routes = tree.text("proc/net/ip_mr_vif").is_some_and(|text| text.lines().count() > 1);
        let asks = |file: &str| tree.number(&format!("proc/sys/net/bridge/bridge-nf-call-{file}")) == Some(1);
        let bridges = is_bridge == Some(true);
        let asks_ip = routes || bridges && (asks("iptables") || asks("ip6tables"));
        Self { is_bridge, forwards: routes || bridges, asks_ip }
    }
}

/// The rules, and which packets they apply to.
struct Filter<'t> {
    chains: Chains<'t>,
    place: Place,
}

impl<'t> Filter<'t> {
    /// The worst outcome of these packets. `unread` names rules that could not be read.
    fn finding(&self, check: &'static str, packets: &[Packet<'_>], unread: Option<String>) -> Finding {
        // Of several equally bad ones the last is reported.
        let worst = packets
            .iter()
            .flat_map(|packet| self.chains.values().map(move |chain| (packet, chain)))
            .filter_map(|(packet, chain)| {
                let is_certain = self.is_asked(chain, packet)?;
                Some((outcome(&self.chains, chain, packet, is_certain), packet, chain))
            })
            .max_by_key(|(outcome, ..)| *outcome);
        match worst {
            Some((outcome, packet, chain)) if outcome != Outcome::Passed => {
                told(check, outcome, packet, chain)
            }
            _ => match unread {
                Some(tables) => {
                    let evidence =
                        format!("no rule of nft is in the way; iptables-legacy has tables too: {tables}");
                    Finding::new(check, Severity::Unknown, evidence).verify("iptables-legacy-save")
                }
                None => Finding::new(check, Severity::Fine, "no rule is in the way"),
            },
        }
    }

    /// Whether the chain applies to all such packets, or perhaps only to some; `None` if to none.
    fn is_asked(&self, chain: &Chain<'t>, packet: &Packet<'_>) -> Option<bool> {
        let hooks: &[&str] = match packet.direction {
            Direction::In => &["ingress", "prerouting", "input"],
            Direction::Out => &["output", "postrouting", "egress"],
            Direction::Forward => &["forward"],
        };
        if !hooks.contains(&chain.hook?) {
            return None;
        }
        if !chain.devices.is_empty() {
            let Some(interface) = packet.interface else { return Some(false) };
            return chain.devices.contains(&interface).then_some(true);
        }
        let is_asked = packet.direction != Direction::Forward || self.place.asks_ip;
        match chain.family() {
            "inet" => is_asked.then_some(true),
            "ip" => (is_asked && packet.to.is_none_or(|to| to.is_ipv4())).then_some(true),
            "ip6" => (is_asked && packet.to.is_none_or(|to| to.is_ipv6())).then_some(true),
            "bridge" => self.place.is_bridge.map_or(Some(false), |is_bridge| is_bridge.then_some(true)),
            _ => None,
        }
    }
}

/// The outcome in words.
fn told(check: &'static str, outcome: Outcome<'_>, packet: &Packet<'_>, chain: &Chain<'_>) -> Finding {
    let Chain { table, name, .. } = chain;
    let (severity, evidence) = match outcome {
        Outcome::Passed => (Severity::Fine, "they pass".to_owned()),
        Outcome::PerhapsDropped(rule) => {
            (Severity::Notice, format!("a rule drops those that match it: {rule}"))
        }
        Outcome::Redirected(rule) => (Severity::Notice, format!("a rule sends them elsewhere: {rule}")),
        Outcome::Only(rule) => {
            (Severity::Notice, format!("nothing passes but what reaches this rule: {rule}"))
        }
        Outcome::Unnamed => {
            (Severity::Warning, "what no rule accepts is dropped, and none names these datagrams".to_owned())
        }
        Outcome::SomeDropped(rule) => (Severity::Warning, format!("a rule drops some: {rule}")),
        Outcome::Dropped(rule) => (Severity::Fault, format!("a rule drops them: {rule}")),
        Outcome::DroppedByDefault => {
            (Severity::Fault, "what no rule accepts is dropped, and none accepts these datagrams".to_owned())
        }
    };
    let rule = match (packet.kind, packet.to) {
        (Kind::Udp { port }, _) => format!("udp dport {port}"),
        (Kind::Membership, Some(IpAddr::V6(_))) => "meta l4proto ipv6-icmp".to_owned(),
        (Kind::Membership, _) => "ip protocol igmp".to_owned(),
    };
    Finding::new(check, severity, format!("{table} {name}: {evidence}"))
        .costs(match (check, packet.direction) {
            (MEMBERSHIP, _) => {
                "routers and switches do not learn that a group is heard here, or forget it after minutes"
            }
            (_, Direction::In) => "no program on this port sees them",
            (_, Direction::Out) => "what programs here send does not leave",
            (_, Direction::Forward) => "machines behind this one do not receive what is dropped",
        })
        .fix(format!("nft insert rule {table} {name} {rule} accept"))
        .verify(format!("nft list chain {table} {name}"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    /// The findings about port 5000 with these rules, some of which are in another chain.
    fn all(way: &str, policy: &str, rules: &str, to: Option<&str>, interface: Option<&str>) -> Vec<Finding> {
        let listing = format!(
            "table inet own {{\n chain way {{\n  type filter hook {way} priority filter; policy {policy};\n{rules}\n }}\n \
             chain called {{\n  udp dport 5000 drop\n }}\n chain taken {{\n  counter drop\n }}\n}}\n"
        );
        let to = to.map(|to| to.parse().expect("a literal address"));
        let packet = Packet { kind: Kind::Udp { port: 5000 }, to, interface, direction: Direction::In };
        judge(Planted::new(&[]).tree(), &listing, packet)
    }

    fn found(policy: &str, rules: &str) -> Finding {
        all("input", policy, rules, None, None).remove(0)
    }

    fn of_group(policy: &str, rules: &str) -> Severity {
        all("input", policy, rules, Some("239.192.7.1"), Some("one")).remove(0).severity
    }

    #[test]
    fn rules_are_asked_in_their_order() {
        let cases = [
            ("", Severity::Fine),
            ("udp dport 5000 drop", Severity::Fault),
            ("udp dport 5000 counter packets 7 bytes 99 drop", Severity::Fault),
            ("meta l4proto udp th dport 5000 reject with icmpx port-unreachable", Severity::Fault),
            ("udp dport { 22, 4000-6000 } drop", Severity::Fault),
            ("udp dport 4999-5000 drop comment \"not to accept\"", Severity::Fault),
            ("udp dport != 53 drop", Severity::Fault),
            ("ip protocol udp drop", Severity::Fault),
            ("meta l4proto { tcp, udp } drop", Severity::Fault),
            ("counter drop", Severity::Fault),
            ("jump called", Severity::Fault),
            ("udp dport vmap { 53 : accept, 5000 : drop }", Severity::Fault),
            ("meta l4proto vmap { tcp : jump taken, udp : goto called }", Severity::Fault),
            ("udp dport @closed drop", Severity::Warning),
            ("iifname \"one\" udp dport 5000 drop", Severity::Warning),
            ("iifname \"one\" jump called", Severity::Warning),
            ("ip saddr 192.0.2.7 accept\nudp dport 5000 drop", Severity::Warning),
            ("ip saddr 192.0.2.7 drop", Severity::Notice),
            ("udp dport 5000 redirect to :6000", Severity::Notice),
            ("iifname \"one\" udp dport 5000 dnat ip to 192.0.2.7:5000", Severity::Notice),
            ("udp dport 5001 redirect to :6000", Severity::Fine),
            ("fib saddr . mark . iif oif missing drop", Severity::Notice),
            ("ip saddr 192.0.2.7 jump taken", Severity::Notice),
            ("udp dport 5000 accept\nudp dport 5000 drop", Severity::Fine),
            ("udp dport vmap { 5000 : accept, 53 : drop }\ncounter drop", Severity::Fine),
            ("meta l4proto vmap { tcp : jump called, udp : accept }\ncounter drop", Severity::Fine),
            ("udp dport 50001 drop", Severity::Fine),
            ("udp dport { 22, 6000-7000 } drop", Severity::Fine),
            ("udp dport != 5000 drop", Severity::Fine),
            ("tcp dport 5000 drop", Severity::Fine),
            ("tcp dport 5000 udp dport 5000 drop", Severity::Fine),
            ("meta l4proto tcp drop", Severity::Fine),
            ("ct state invalid drop", Severity::Fine),
            ("ct state vmap { established : accept, invalid : drop }", Severity::Fine),
            ("udp dport @map vmap @verdicts", Severity::Fine),
            ("goto called\ncounter drop", Severity::Fault),
            ("udp dport\nudp dport {\nvmap {\nvmap { }", Severity::Fine),
        ];
        for (rules, severity) in cases {
            assert_eq!(found("accept", rules).severity, severity, "{rules}");
        }
    }

    #[test]
    fn rules_for_a_group_are_as_sure_as_those_for_a_port() {
        let cases = [
            ("meta pkttype multicast drop", Severity::Fault),
            ("ip daddr 224.0.0.0/4 drop", Severity::Fault),
            ("ip daddr 239.192.7.1 udp dport 5000 drop", Severity::Fault),
            ("ip daddr 239.192.0.0-239.192.255.255 drop", Severity::Fault),
            ("fib daddr type multicast drop", Severity::Fault),
            ("iifname \"one\" drop", Severity::Fault),
            ("iifname \"o*\" udp dport 5000 drop", Severity::Fault),
            ("iifname != \"lo\" ct state new drop", Severity::Fault),
            ("ip daddr @groups drop", Severity::Warning),
            ("ip saddr != 192.0.2.0/24 udp dport 5000 drop", Severity::Warning),
            ("ip daddr 224.0.0.0/24 drop", Severity::Fine),
            ("ip daddr != 224.0.0.0/4 drop", Severity::Fine),
            ("ip6 daddr ff00::/8 drop", Severity::Fine),
            ("meta nfproto ipv6 drop", Severity::Fine),
            ("iifname \"two\" drop", Severity::Fine),
            ("meta pkttype { unicast, broadcast } drop", Severity::Fine),
            ("fib daddr type local accept\nct state established,related drop", Severity::Fine),
        ];
        for (rules, severity) in cases {
            assert_eq!(of_group("accept", rules), severity, "{rules}");
        }
    }

    #[test]
    fn a_chain_that_drops_by_default_needs_a_rule_for_the_port() {
        assert_eq!(found("drop", "tcp dport 22 accept").severity, Severity::Fault);
        assert_eq!(found("drop", "iif \"lo\" accept").severity, Severity::Warning);
        assert_eq!(
            of_group("drop", "iif \"lo\" accept\nct state established,related accept"),
            Severity::Fault
        );
        assert_eq!(found("drop", "udp dport 5000 accept").severity, Severity::Fine);
        let some = "ip saddr 192.0.2.0/24 udp dport 5000-5010 accept";
        assert_eq!(found("drop", some).severity, Severity::Notice);
        assert_eq!(
            found("accept", &format!("{some}\nreject with icmpx admin-prohibited")).severity,
            Severity::Notice
        );
    }

    /// Rules as firewall front ends generate them.
    #[test]
    fn an_open_port_is_seen_behind_zones_and_returns() {
        let zones = "ct state { established, related } accept\nct status dnat accept\niifname \"lo\" accept\nct state invalid drop\n\
                     jump zones\nreject with icmpx admin-prohibited\n }\n chain zones {\n  iifname \"one\" goto public\n \
                     goto public\n }\n chain public {\n  ip saddr 192.0.2.0/24 drop\n  udp dport 5000 accept";
        assert_eq!(of_group("accept", zones), Severity::Notice);
        assert_eq!(of_group("accept", &zones.replace("5000", "5001")), Severity::Fault);
        let returns = "jump not_local\njump user\n }\n chain not_local {\n  xt match \"addrtype\" counter return\n \
                       counter drop\n }\n chain user {\n  udp dport 5000 counter packets 0 bytes 0 accept";
        assert_eq!(of_group("drop", returns), Severity::Fine);
        assert_eq!(of_group("drop", &returns.replace("5000", "5001")), Severity::Fault);
    }

    #[test]
    fn chains_are_asked_about_what_passes_them() {
        let severities = |chain: &str, files: &[(&str, &str)]| -> Vec<(&'static str, Severity)> {
            let to = "239.192.7.1".parse().expect("a literal address");
            let packet = Packet {
                kind: Kind::Udp { port: 5000 },
                to: Some(to),
                interface: Some("one"),
                direction: Direction::In,
            };
            let (table, hook) = chain.split_once(": ").expect("a table and a hook");
            let listing = format!(
                "table {table} t {{\n chain c {{\n  type filter hook {hook} priority 0; policy accept;\n  udp dport 5000 drop\n }}\n}}\n"
            );
            let findings = judge(Planted::new(files).tree(), &listing, packet);
            findings
                .iter()
                .filter(|finding| finding.severity != Severity::Fine)
                .map(|one| (one.check, one.severity))
                .collect()
        };
        let (taken, none) = (vec![(IN, Severity::Fault)], Vec::new());
        for chain in [
            "ip: input",
            "inet: prerouting",
            "netdev: ingress device \"one\"",
            "inet: ingress devices = { two, one }",
        ] {
            assert_eq!(severities(chain, &[]), taken, "{chain}");
        }
        for chain in
            ["ip6: input", "arp: input", "netdev: ingress device \"two\"", "bridge: input", "ip: forward"]
        {
            assert_eq!(severities(chain, &[]), none, "{chain}");
        }
        assert_eq!(severities("ip: output", &[]), [(OUT, Severity::Warning)]);
        let bridge = ("sys/class/net/one/bridge/stp_state", "0");
        assert_eq!(severities("bridge: input", &[bridge]), taken);
        assert_eq!(severities("bridge: forward", &[bridge]), [(ON, Severity::Warning)]);
        assert_eq!(severities("ip: forward", &[bridge]), none);
        let asks = ("proc/sys/net/bridge/bridge-nf-call-iptables", "1");
        assert_eq!(severities("ip: forward", &[bridge, asks]), [(ON, Severity::Warning)]);
        let routes = ("proc/net/ip_mr_vif", "Interface\n 0 one 1 1 1 1 1\n");
        assert_eq!(severities("inet: forward", &[routes]), [(ON, Severity::Warning)]);
    }

    #[test]
    fn rules_that_keep_queries_or_reports_away_are_noticed() {
        let membership = |way: &str, policy: &str, rules: &str, group: &str| {
            let findings = all(way, policy, rules, Some(group), Some("one"));
            findings.into_iter().find(|finding| finding.check == MEMBERSHIP).expect("it has a group")
        };
        let severity = |way, policy, rules| membership(way, policy, rules, "239.192.7.1").severity;
        assert_eq!(severity("input", "drop", "udp dport 5000 accept"), Severity::Warning);
        assert_eq!(severity("output", "accept", "ip protocol igmp drop"), Severity::Warning);
        assert_eq!(
            severity("input", "accept", "ip saddr . udp dport { 192.0.2.7 . 5000 } drop"),
            Severity::Fine
        );
        assert_eq!(
            severity("input", "drop", "udp dport 5000 accept\nigmp type membership-query accept"),
            Severity::Fine
        );
        assert_eq!(
            severity("input", "drop", "udp dport 5000 accept\nip daddr 224.0.0.0/4 accept"),
            Severity::Fine
        );
        assert_eq!(
            severity("input", "accept", "udp dport 5000 drop\nip daddr 239.0.0.0/8 drop"),
            Severity::Fine
        );
        let some = "icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept\nudp dport 5000 accept";
        let finding = membership("input", "drop", some, "ff15::7");
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(
            finding.fix.as_deref(),
            Some("nft insert rule inet own way meta l4proto ipv6-icmp accept")
        );
        let query = some.replace("nd-router-advert", "mld-listener-query");
        assert_eq!(membership("input", "drop", &query, "ff15::7").severity, Severity::Fine);
    }

    #[test]
    fn the_fix_names_the_chain() {
        let finding = found("accept", "udp dport 5000 drop");
        assert_eq!(finding.evidence, "inet own way: a rule drops them: udp dport 5000 drop");
        assert_eq!(finding.fix.as_deref(), Some("nft insert rule inet own way udp dport 5000 accept"));
        assert_eq!(finding.verify.as_deref(), Some("nft list chain inet own way"));
    }

    #[test]
    fn rules_that_nft_does_not_show_are_reported() {
        let packet =
            Packet { kind: Kind::Udp { port: 5000 }, to: None, interface: None, direction: Direction::In };
        let planted = Planted::new(&[("proc/net/ip_tables_names", "filter\nmangle\n")]);
        let finding = judge(planted.tree(), "", packet).remove(0);
        assert_eq!(finding.severity, Severity::Unknown);
        assert!(finding.evidence.ends_with("filter, mangle"), "{finding:?}");
    }

    #[test]
    fn chains_that_call_each_other_come_to_an_end() {
        let calls = "  jump a\n  jump b\n".repeat(20);
        let rules = format!("{calls} }}\n chain a {{\n{calls} }}\n chain b {{\n{calls}");
        assert_eq!(found("accept", &rules).severity, Severity::Fine);
    }
}
