//! What on this machine slows datagrams down or keeps them away, and what to do about it.
//!
//! [`examine`] reads what the system reports (`/proc` and `/sys` on Linux) and tries what can be tried without harm. Each [`Finding`]
//! has its evidence, its cost, a command that mends it and one that shows whether it did. Where the system does not report something,
//! the finding says so.

mod card;
mod firewall;
mod group;
mod interface;
mod live;
mod machine;
mod membership;
mod port;
mod processors;
mod queues;
mod tree;

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use processors::Watch;
use tree::Tree;

/// What to look at beyond the machine itself.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The interface that datagrams come and go by; if `None`, the one that the system uses for the group.
    pub interface: Option<String>,
    /// The group that is not heard, with its port.
    pub group: Option<SocketAddr>,
    /// The port that is not heard, or is slow.
    pub port: Option<u16>,
    /// How long to listen to the group first, while somebody else sends to it.
    pub listen: Option<Duration>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub evidence: String,
    /// What that costs; empty if nothing.
    pub cost: &'static str,
    /// A command that mends it.
    pub fix: Option<String>,
    /// A command that shows whether it did.
    pub verify: Option<String>,
}

/// How bad a finding is, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// The system does not report it.
    Unknown,
    /// It may matter.
    Notice,
    /// It costs packets or speed.
    Warning,
    /// Something does not work at all.
    Fault,
}

impl Severity {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Unknown => "unknown",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// Examines this machine.
#[must_use]
pub fn examine(scope: &Scope) -> Vec<Finding> {
    let tree = Tree::system();
    let watch = Watch::begin(&tree);
    let chosen = || {
        let group = scope.group?.ip();
        group::interface_for(group).ok().or_else(|| interface::likely(&tree))
    };
    let interface = scope.interface.clone().or_else(chosen);
    let interface = interface.as_deref();
    // First, so that what it receives is in the counters that the others read.
    let live = scope.group.zip(scope.listen);
    let mut findings: Vec<Finding> =
        live.into_iter().map(|(group, patience)| live::listen(&tree, group, interface, patience)).collect();
    findings.extend(machine::examine(&tree));
    findings.extend(processors::examine(&tree));
    findings.extend(interface::loopback(&tree));
    if let Some(interface) = interface {
        let foreign = interface::foreign_files(&tree, interface);
        findings.extend(card::examine(&tree, interface, foreign.is_none()));
        if foreign.is_none() {
            findings.extend(queues::examine(&tree, interface));
        }
        findings.extend(interface::examine(&tree, interface, scope.group, foreign));
    }
    // If this program listens itself, no other program has to.
    let if_unheard = if live.is_some() { Severity::Notice } else { Severity::Warning };
    if let Some(group) = scope.group {
        findings.extend(group::examine(&tree, group, interface, if_unheard));
    }
    if let Some(port) = scope.port.or(scope.group.map(|group| group.port())) {
        let group = scope.group.map(|group| group.ip());
        findings.push(port::sockets(&tree, port, group, if_unheard));
        findings.extend(firewall::examine(&tree, port, group, interface));
    }
    findings.push(watch.end(&tree));
    if tree.is_mounted_read_only("/proc/sys") {
        findings.iter_mut().for_each(Finding::move_to_host);
    }
    findings
}

/// A group and its port as a word of a command. Shells take brackets for a pattern, and zsh refuses one that no file name matches.
#[must_use]
pub fn quoted(group: SocketAddr) -> String {
    if group.is_ipv6() { format!("'{group}'") } else { group.to_string() }
}

/// A count with a noun, given in the singular.
fn things(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

impl Finding {
    fn new(check: &'static str, severity: Severity, evidence: impl Into<String>) -> Self {
        Self { check, severity, evidence: evidence.into(), cost: "", fix: None, verify: None }
    }

    fn unknown(check: &'static str) -> Self {
        Self::new(check, Severity::Unknown, "not known on this system")
    }

    /// Adapts a command to be run on the host, where settings are not read-only.
    fn move_to_host(&mut self) {
        if let Some(fix) = self.fix.as_mut().filter(|fix| fix.starts_with("sysctl ")) {
            *fix =
                format!("# /proc/sys is read-only here; on the host: nsenter --net=/proc/PID/ns/net {fix}");
        }
    }

    /// The finding with a severity of at most `most`.
    fn at_most(self, most: Severity) -> Self {
        Self { severity: self.severity.min(most), ..self }
    }

    fn costs(self, cost: &'static str) -> Self {
        Self { cost, ..self }
    }

    fn fix(self, command: impl Into<String>) -> Self {
        Self { fix: Some(command.into()), ..self }
    }

    fn verify(self, command: impl Into<String>) -> Self {
        Self { verify: Some(command.into()), ..self }
    }
}
