//! What the packet filter does with datagrams to a port, as far as reading its rules tells.

use std::collections::BTreeMap;
use std::process::Command;

use super::{Finding, Severity};

pub(super) fn examine(port: u16) -> Finding {
    match rules() {
        Some(rules) => judge(&rules, port),
        None => Finding::new(CHECK, Severity::Unknown, "the rules cannot be read: no nft, or no right to")
            .verify("nft list ruleset; iptables -L -n"),
    }
}

const CHECK: &str = "firewall";

/// The rules, as the filter's own program prints them.
fn rules() -> Option<String> {
    let output = Command::new("nft").args(["list", "ruleset"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn judge(rules: &str, port: u16) -> Finding {
    let chains = Chain::read_all(rules);
    // Of chains that are as bad as each other the last by name is told.
    let worst = chains
        .values()
        .filter(|chain| chain.is_on_the_way_in)
        .map(|chain| {
            let mut walk = Walk { chains: &chains, port, rules_left: RULES_MAX, outcome: Outcome::Passed };
            walk.base(chain);
            (walk.outcome, chain)
        })
        .max_by_key(|(outcome, _)| outcome.badness());
    let fine = || Finding::new(CHECK, Severity::Fine, "no rule is in the way of the port");
    let Some((outcome, Chain { table, name, .. })) = worst else { return fine() };
    let (severity, evidence, cost) = match outcome {
        Outcome::Passed => return fine(),
        Outcome::Dropped(rule) => {
            (Severity::Fault, format!("a rule takes them: {rule}"), "no program sees these datagrams")
        }
        Outcome::SomeDropped(rule) => {
            (Severity::Warning, format!("a rule takes some: {rule}"), "no program sees those that it takes")
        }
        Outcome::Unnamed => (
            Severity::Warning,
            "what no rule accepts is dropped, and none names the port".to_owned(),
            "unless another rule accepts them, no program sees these datagrams",
        ),
    };
    Finding::new(CHECK, severity, format!("{table} {name}: {evidence}"))
        .costs(cost)
        .fix(format!("nft insert rule {table} {name} udp dport {port} accept"))
        .verify(format!("nft list chain {table} {name}"))
}

/// A chain of rules.
#[derive(Debug)]
struct Chain<'t> {
    /// Family and name.
    table: &'t str,
    name: &'t str,
    is_on_the_way_in: bool,
    drops_by_default: bool,
    rules: Vec<&'t str>,
}

impl<'t> Chain<'t> {
    /// The chains of a listing, by table and name. Sets and maps are passed over.
    fn read_all(listing: &'t str) -> BTreeMap<(&'t str, &'t str), Self> {
        let mut chains = BTreeMap::new();
        let (mut table, mut open) = ("", None::<Self>);
        for line in listing.lines().map(str::trim) {
            if let Some(name) = block(line, "table") {
                table = name;
            } else if let Some(name) = block(line, "chain") {
                open = Some(Self {
                    table,
                    name,
                    is_on_the_way_in: false,
                    drops_by_default: false,
                    rules: Vec::new(),
                });
            } else if let Some(mut chain) = open.take() {
                if line == "}" {
                    chains.insert((chain.table, chain.name), chain);
                    continue;
                }
                chain.add(line);
                open = Some(chain);
            }
        }
        chains
    }

    fn add(&mut self, line: &'t str) {
        if !line.starts_with("type ") {
            self.rules.push(line);
            return;
        }
        let hook = line.split_whitespace().skip_while(|&word| word != "hook").nth(1);
        self.is_on_the_way_in = hook.is_some_and(|hook| ["input", "prerouting", "ingress"].contains(&hook));
        self.drops_by_default = line.contains("policy drop");
    }
}

/// The name of a block that a line opens.
fn block<'t>(line: &'t str, kind: &str) -> Option<&'t str> {
    line.strip_prefix(kind)?.strip_prefix(' ')?.strip_suffix('{').map(str::trim)
}

/// What becomes of datagrams to the port in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome<'t> {
    Passed,
    /// They are dropped at the end, unless a rule accepts them that does not name the port.
    Unnamed,
    /// The rule drops those that meet its other conditions.
    SomeDropped(&'t str),
    Dropped(&'t str),
}

impl Outcome<'_> {
    fn badness(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Unnamed => 1,
            Self::SomeDropped(_) => 2,
            Self::Dropped(_) => 3,
        }
    }
}

/// A way through chains, in the order in which the system asks their rules.
struct Walk<'a, 't> {
    chains: &'a BTreeMap<(&'t str, &'t str), Chain<'t>>,
    port: u16,
    rules_left: usize,
    outcome: Outcome<'t>,
}

/// Chains that call each other can make a way as long as they like.
const RULES_MAX: usize = 100_000;
/// As deep as the system lets chains call each other.
const DEPTH_MAX: usize = 16;

impl<'t> Walk<'_, 't> {
    fn base(&mut self, chain: &Chain<'t>) {
        let mut is_named = false;
        let is_over = self.chain(chain, true, DEPTH_MAX, &mut is_named);
        if !is_over && chain.drops_by_default && !is_named {
            self.note(Outcome::Unnamed);
        }
    }

    /// Whether no rule behind this chain is asked: all datagrams to the port are accepted or dropped. `is_named` is set where some
    /// are accepted by a rule that names the port.
    fn chain(&mut self, chain: &Chain<'t>, is_certain: bool, depth: usize, is_named: &mut bool) -> bool {
        for &text in &chain.rules {
            if self.rules_left == 0 {
                return true;
            }
            self.rules_left -= 1;
            let Some(rule) = Rule::read(text, self.port) else { continue };
            let is_certain = is_certain && rule.is_certain;
            let is_over = match rule.verdict {
                Verdict::Accept => {
                    *is_named |= rule.names_port;
                    is_certain
                }
                Verdict::Drop => {
                    if is_certain {
                        self.note(Outcome::Dropped(text));
                    } else if rule.names_port {
                        self.note(Outcome::SomeDropped(text));
                    }
                    is_certain
                }
                Verdict::Call(name) => match self.chains.get(&(chain.table, name)) {
                    Some(called) if depth > 0 => self.chain(called, is_certain, depth - 1, is_named),
                    _ => false,
                },
                Verdict::Return if is_certain => return false,
                Verdict::Return => false,
            };
            if is_over {
                return true;
            }
        }
        false
    }

    fn note(&mut self, outcome: Outcome<'t>) {
        if outcome.badness() > self.outcome.badness() {
            self.outcome = outcome;
        }
    }
}

/// A rule that may meet a datagram to the port.
struct Rule<'t> {
    verdict: Verdict<'t>,
    /// It meets all of them: it has no other condition.
    is_certain: bool,
    names_port: bool,
}

enum Verdict<'t> {
    Accept,
    Drop,
    Call(&'t str),
    Return,
}

impl<'t> Rule<'t> {
    /// `None` of a rule that does not meet them, or decides nothing that can be read.
    fn read(text: &'t str, port: u16) -> Option<Self> {
        let text = text.split(" comment ").next().unwrap_or(text);
        let words: Vec<&str> = text.split_whitespace().collect();
        let (verdict, conditions) = verdict(&words)?;
        let (mut is_certain, mut names_port) = (true, false);
        let mut rest = conditions;
        while let Some((&word, behind)) = rest.split_first() {
            rest = match (word, behind) {
                ("udp" | "th", ["dport", behind @ ..]) => {
                    names_port = true;
                    let (meets, behind) = ports(behind, port)?;
                    is_certain &= meets == Meets::Yes;
                    behind
                }
                ("meta", ["l4proto", protocol, behind @ ..])
                | ("ip", ["protocol", protocol, behind @ ..])
                | ("ip6", ["nexthdr", protocol, behind @ ..]) => {
                    if *protocol == "udp" || *protocol == "17" {
                        behind
                    } else if protocol.parse::<u8>().is_ok() || OTHERS.contains(protocol) {
                        return None;
                    } else {
                        is_certain = false;
                        behind
                    }
                }
                (word, ["dport" | "sport" | "flags" | "type", ..]) if OTHERS.contains(&word) => return None,
                ("counter", ["packets", _, "bytes", _, behind @ ..]) => behind,
                ("counter", behind) => behind,
                ("log", ["prefix", ..]) => &[],
                (_, behind) => {
                    is_certain = false;
                    behind
                }
            };
        }
        Some(Self { verdict, is_certain, names_port })
    }
}

/// Protocols that are not this one.
const OTHERS: [&str; 9] = ["tcp", "sctp", "dccp", "icmp", "icmpv6", "ipv6-icmp", "igmp", "esp", "ah"];

/// What a rule decides, and the words before that.
fn verdict<'w, 't>(words: &'w [&'t str]) -> Option<(Verdict<'t>, &'w [&'t str])> {
    // What it refuses with stands behind the word.
    if let Some(at) = words.iter().position(|&word| word == "reject") {
        return Some((Verdict::Drop, &words[..at]));
    }
    match words {
        [before @ .., "accept"] => Some((Verdict::Accept, before)),
        [before @ .., "drop"] => Some((Verdict::Drop, before)),
        [before @ .., "return"] => Some((Verdict::Return, before)),
        [before @ .., "jump" | "goto", chain] => Some((Verdict::Call(chain), before)),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meets {
    Yes,
    /// The numbers stand elsewhere.
    Perhaps,
}

/// Whether the ports that a condition lists hold this one, and the words behind it; `None` if they do not.
fn ports<'w, 't>(words: &'w [&'t str], port: u16) -> Option<(Meets, &'w [&'t str])> {
    let (is_negated, words) = match words {
        ["!=", words @ ..] => (true, words),
        words => (false, words),
    };
    let (listed, behind) = match words {
        ["{", words @ ..] => words.split_at(words.iter().position(|&word| word == "}")?),
        words => words.split_at(words.len().min(1)),
    };
    let behind = behind.strip_prefix(&["}"]).unwrap_or(behind);
    let mut is_read = true;
    let holds = listed.iter().any(|entry| match range(entry.trim_end_matches(',')) {
        Some((first, last)) => (first..=last).contains(&port),
        None => {
            is_read = false;
            false
        }
    });
    match (holds != is_negated, is_read) {
        (_, false) if !holds => Some((Meets::Perhaps, behind)),
        (true, _) => Some((Meets::Yes, behind)),
        (false, _) => None,
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(policy: &str, rules: &str) -> Finding {
        let listing = format!(
            "table inet own {{\n chain way {{\n  type filter hook input priority filter; policy {policy};\n{rules}\n }}\n \
             chain called {{\n  udp dport 5000 drop\n }}\n}}\n"
        );
        judge(&listing, 5000)
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
            ("counter drop", Severity::Fault),
            ("jump called", Severity::Fault),
            ("meta l4proto { tcp, udp } udp dport 5000 drop", Severity::Warning),
            ("udp dport @closed drop", Severity::Warning),
            ("iifname \"one\" udp dport 5000 drop", Severity::Warning),
            ("iifname \"one\" jump called", Severity::Warning),
            ("udp dport 5000 accept\nudp dport 5000 drop", Severity::Fine),
            ("udp dport 50001 drop", Severity::Fine),
            ("udp dport { 22, 6000-7000 } drop", Severity::Fine),
            ("udp dport != 5000 drop", Severity::Fine),
            ("tcp dport 5000 drop", Severity::Fine),
            ("meta l4proto tcp drop", Severity::Fine),
            ("ct state invalid drop", Severity::Fine),
            ("udp dport vmap { 5000 : drop }", Severity::Fine),
            ("udp dport\nudp dport {", Severity::Fine),
        ];
        for (rules, severity) in cases {
            assert_eq!(found("accept", rules).severity, severity, "{rules}");
        }
    }

    #[test]
    fn a_chain_that_drops_by_default_needs_a_rule_for_the_port() {
        assert_eq!(found("drop", "tcp dport 22 accept").severity, Severity::Warning);
        assert_eq!(found("drop", "iif \"lo\" accept").severity, Severity::Warning);
        assert_eq!(found("drop", "udp dport 5000 accept").severity, Severity::Fine);
        assert_eq!(
            found("drop", "ip saddr 192.0.2.0/24 udp dport 5000-5010 accept").severity,
            Severity::Fine
        );
    }

    #[test]
    fn what_mends_it_names_the_chain() {
        let finding = found("accept", "udp dport 5000 drop");
        assert_eq!(finding.evidence, "inet own way: a rule takes them: udp dport 5000 drop");
        assert_eq!(finding.fix.as_deref(), Some("nft insert rule inet own way udp dport 5000 accept"));
        assert_eq!(finding.verify.as_deref(), Some("nft list chain inet own way"));
    }

    #[test]
    fn chains_that_call_each_other_come_to_an_end() {
        let hook = "  type filter hook input priority filter; policy accept;\n";
        let calls = "  jump a\n  jump b\n".repeat(20);
        let listing = format!("table ip t {{\n chain a {{\n{hook}{calls} }}\n chain b {{\n{calls} }}\n}}\n");
        assert_eq!(judge(&listing, 5000).severity, Severity::Fine);
        let out = "table ip t {\n chain o {\n  type filter hook output priority 0; policy drop;\n }\n}\n";
        assert_eq!(judge(out, 5000).severity, Severity::Fine, "not the way in");
    }
}
