//! What stands between the wire and the sockets of one port.

use std::process::Command;

use super::tree::Tree;
use super::{Finding, Severity};

pub(super) fn examine(tree: &Tree, port: u16) -> Vec<Finding> {
    let mut findings = vec![sockets(tree, port)];
    findings.push(match rules() {
        Some(rules) => firewall(&rules, port),
        None => Finding::new(FIREWALL, Severity::Unknown, "the rules cannot be read: no nft, or no right to")
            .verify("nft list ruleset; iptables -L -n"),
    });
    findings
}

const FIREWALL: &str = "firewall";

/// A socket of `/proc/net/udp`.
struct Bound {
    drops: u64,
    uid: u64,
}

fn sockets(tree: &Tree, port: u16) -> Finding {
    let check = "sockets on the port";
    let texts: Vec<String> =
        ["proc/net/udp", "proc/net/udp6"].into_iter().filter_map(|path| tree.text(path)).collect();
    if texts.is_empty() {
        return Finding::unknown(check);
    }
    let bound: Vec<Bound> = texts
        .iter()
        .flat_map(|text| text.lines().skip(1))
        .filter_map(|line| Bound::read(line, port))
        .collect();
    let drops: u64 = bound.iter().map(|socket| socket.drops).fold(0, u64::saturating_add);
    let evidence = format!("{} sockets have port {port}; {drops} datagrams found them full", bound.len());
    let strangers = bound.iter().any(|socket| socket.uid != bound[0].uid);
    match bound.len() {
        0 => Finding::new(check, Severity::Warning, evidence)
            .costs("nobody listens: what arrives is refused")
            .fix(format!("campanile echo {port} (or the program that is to listen)"))
            .verify(format!("ss -ulpn 'sport = :{port}'")),
        1 if drops == 0 => Finding::new(check, Severity::Fine, evidence),
        _ if strangers => Finding::new(check, Severity::Warning, format!("{evidence}; they have several owners"))
            .costs("a datagram to one address goes to one of them, and the others do not hear it")
            .fix("give each program a port of its own")
            .verify(format!("ss -ulpn 'sport = :{port}'")),
        _ if drops > 0 => Finding::new(check, Severity::Warning, evidence)
            .costs("these datagrams are lost")
            .fix("more receive buffer (--recv-buffer 4m), more cores, or less to receive")
            .verify(format!("ss -ulpmn 'sport = :{port}'")),
        _ => Finding::new(check, Severity::Notice, evidence)
            .costs("a datagram to one address goes to one of them; right for the cores of one server, wrong for two programs")
            .verify(format!("ss -ulpn 'sport = :{port}'")),
    }
}

impl Bound {
    /// A line: number, local address and port in hexadecimal, remote, state, queues, timer, retransmits, uid, timeout, inode,
    /// references, pointer, drops.
    fn read(line: &str, port: u16) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = words.get(1)?.rsplit_once(':')?;
        if u16::from_str_radix(local_port, 16).ok()? != port {
            return None;
        }
        Some(Self { uid: words.get(7)?.parse().ok()?, drops: words.get(12)?.parse().ok()? })
    }
}

/// The rules of the packet filter, as its own program prints them.
fn rules() -> Option<String> {
    let output = Command::new("nft").args(["list", "ruleset"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What can be said of a filter by reading it: whether a chain on the way in drops by default, and whether a rule names the port.
fn firewall(rules: &str, port: u16) -> Finding {
    let drops_by_default =
        rules.lines().any(|line| line.contains("hook input") && line.contains("policy drop"));
    let names = |line: &str, word: &str| line.contains(&format!("dport {port} ")) && line.contains(word);
    let accepted = rules.lines().any(|line| names(line, "accept"));
    let refused = rules.lines().find(|line| names(line, "drop") || names(line, "reject"));
    let verify = "nft list ruleset";
    if let Some(line) = refused {
        let evidence = format!("a rule names the port: {}", line.trim());
        return Finding::new(FIREWALL, Severity::Fault, evidence)
            .costs("no program sees these datagrams")
            .fix(format!("nft insert rule inet filter input udp dport {port} accept"))
            .verify(verify);
    }
    if drops_by_default && !accepted {
        return Finding::new(
            FIREWALL,
            Severity::Warning,
            "what no rule accepts is dropped, and none names the port",
        )
        .costs("unless another rule accepts them, no program sees these datagrams")
        .fix(format!("nft insert rule inet filter input udp dport {port} accept"))
        .verify(verify);
    }
    Finding::new(FIREWALL, Severity::Fine, "no rule is in the way of the port")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(port: u16, uid: u32, drops: u32) -> String {
        format!(
            " 7: 00000000:{port:04X} 00000000:0000 07 00000000:00000000 00:00000000 00000000 {uid} 0 99 2 0 {drops}\n"
        )
    }

    fn found(lines: &[String]) -> Finding {
        let planted = Planted::new(&[("proc/net/udp", &format!("{HEAD}{}", lines.concat()))]);
        sockets(planted.tree(), 5000)
    }

    #[test]
    fn sockets_are_counted_by_port_and_owner() {
        let other = line(5001, 0, 3);
        assert_eq!(found(std::slice::from_ref(&other)).severity, Severity::Warning);
        assert_eq!(found(&[line(5000, 0, 0), other]).severity, Severity::Fine);
        assert_eq!(found(&[line(5000, 0, 0), line(5000, 0, 0)]).severity, Severity::Notice);
        assert!(found(&[line(5000, 0, 0), line(5000, 7, 0)]).evidence.contains("several owners"));
        assert!(found(&[line(5000, 0, 8)]).evidence.ends_with("; 8 datagrams found them full"));
        assert_eq!(found(&["nonsense\n".to_owned()]).severity, Severity::Warning);
    }

    #[test]
    fn a_filter_is_judged_by_what_it_says_of_the_port() {
        let chain = |policy: &str, rule: &str| {
            format!(
                "table inet filter {{\n chain input {{\n  type filter hook input priority filter; policy {policy};\n  {rule}\n }}\n}}\n"
            )
        };
        let severity = |rules: &str| firewall(rules, 5000).severity;
        assert_eq!(severity(""), Severity::Fine);
        assert_eq!(severity(&chain("accept", "udp dport 5000 drop ")), Severity::Fault);
        assert_eq!(severity(&chain("accept", "udp dport 50001 drop ")), Severity::Fine);
        assert_eq!(severity(&chain("drop", "udp dport 5000 accept ")), Severity::Fine);
        assert_eq!(severity(&chain("drop", "tcp dport 22 accept ")), Severity::Warning);
    }
}
