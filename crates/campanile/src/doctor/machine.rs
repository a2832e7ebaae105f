//! What concerns every datagram: buffers, drops, fragments, the filter's memory, the engine's needs.

use campanile_engine::{Choice, Config, Engine};

use super::tree::Tree;
use super::{Finding, Severity, things};
use crate::host::{Counters, snmp_counter, snmp6_counter};

pub(super) fn examine(tree: &Tree) -> Vec<Finding> {
    let counters = Counters::read(None);
    let mut findings =
        vec![buffers(tree), socket_drops(&counters), checksums(&counters), backlog(tree, &counters)];
    findings.extend([fragments(tree), cut(tree), backend(tree)]);
    findings.extend(tracking(tree));
    findings
}

/// What one core receives from a fast network in a few milliseconds.
const BUFFER: u64 = 4 << 20;

fn buffers(tree: &Tree) -> Finding {
    let (check, file) = ("largest receive buffer", "proc/sys/net/core/rmem_max");
    let Some(bytes) = tree.number(file) else { return Finding::unknown(check) };
    let evidence = format!("net.core.rmem_max is {bytes} bytes");
    if bytes >= BUFFER {
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Warning, evidence)
        .costs("a socket cannot have more, so a burst or a pause of some milliseconds loses packets")
        .fix(set_for_all(tree, file, &format!("net.core.rmem_max={BUFFER}")))
        .verify("sysctl net.core.rmem_max")
}

/// A command for a setting that only the initial network namespace can change.
fn set_for_all(tree: &Tree, file: &str, setting: &str) -> String {
    if tree.can_be_written(file) {
        format!("sysctl -w {setting}")
    } else {
        format!("nsenter --net=/proc/1/ns/net sysctl -w {setting}  # as root; of a container, on its host")
    }
}

fn socket_drops(counters: &Counters) -> Finding {
    let check = "full receive buffers";
    match counters.receive_buffer_errors {
        None => Finding::unknown(check),
        Some(0) => Finding::new(check, Severity::Fine, "no datagram found one since the start"),
        Some(count) => {
            Finding::new(check, Severity::Notice, format!("{} since the start", things(count, "datagram")))
                .costs("programs were too slow for what arrived, or their buffers too small")
                .fix("campanile echo 5000 --recv-buffer 4m  # or the like for the program that loses")
                .verify("nstat -az UdpRcvbufErrors Udp6RcvbufErrors")
        }
    }
}

fn checksums(counters: &Counters) -> Finding {
    let check = "checksums";
    match counters.checksum_errors {
        None => Finding::unknown(check),
        Some(0) => Finding::new(check, Severity::Fine, "no datagram had a wrong one since the start"),
        Some(count) => Finding::new(
            check,
            Severity::Notice,
            format!("{} had a wrong one since the start", things(count, "datagram")),
        )
        .costs("they were dropped")
        .fix("# check cables and cards, and whatever rewrites packets on the way, such as a tunnel or NAT")
        .verify("nstat -az UdpInCsumErrors Udp6InCsumErrors"),
    }
}

fn backlog(tree: &Tree, counters: &Counters) -> Finding {
    let check = "backlog of the processors";
    match (counters.backlog_dropped, counters.backlog_squeezed) {
        (None, _) => Finding::unknown(check),
        (Some(0), squeezed) => {
            let times = things(squeezed.unwrap_or(0), "time");
            let evidence = format!("nothing dropped; budget spent {times}");
            Finding::new(check, Severity::Fine, evidence)
        }
        (Some(dropped), _) => Finding::new(
            check,
            Severity::Notice,
            format!("{} dropped since the start", things(dropped, "packet")),
        )
        .costs("packets were lost before any socket saw them")
        .fix(set_for_all(tree, "proc/sys/net/core/netdev_max_backlog", "net.core.netdev_max_backlog=10000"))
        .verify("awk '{ print $2 }' /proc/net/softnet_stat"),
    }
}

/// The packet filter's table of connections; `None` where there is none that can be full.
fn tracking(tree: &Tree) -> Option<Finding> {
    let check = "connection tracking";
    let of = |name: &str| tree.number(&format!("proc/sys/net/netfilter/nf_conntrack_{name}"));
    // A table whose limit is 0 has none.
    let (count, max) = of("count").zip(of("max").filter(|&max| max > 0))?;
    let evidence = format!("{count} of {max} entries are taken");
    // A full table drops packets of new connections.
    if count < max - max / 10 {
        return Some(Finding::new(check, Severity::Fine, evidence));
    }
    let more = format!("net.netfilter.nf_conntrack_max={}", max.saturating_mul(4));
    let finding = Finding::new(check, Severity::Warning, evidence)
        .costs("when it is full, packets of new connections are dropped")
        .fix(set_for_all(tree, "proc/sys/net/netfilter/nf_conntrack_max", &more))
        .verify("sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max");
    Some(finding)
}

fn fragments(tree: &Tree) -> Finding {
    let check = "fragments";
    match of_ip(tree, "ReasmFails").zip(of_ip(tree, "ReasmReqds")) {
        None => Finding::unknown(check),
        Some((0, _)) => Finding::new(check, Severity::Fine, "none was lost"),
        Some((failed, arrived)) => {
            let (times, arrived) = (things(failed, "time"), things(arrived, "fragment"));
            let evidence = format!("reassembly failed {times}, of {arrived} since the start");
            Finding::new(check, Severity::Notice, evidence)
                .costs("one lost fragment loses the whole datagram")
                .fix(FITTING)
                .verify("nstat -az IpReasmFails Ip6ReasmFails")
        }
    }
}

/// Packets that were longer than the MTU on their way out.
fn cut(tree: &Tree) -> Finding {
    let check = "fragments sent";
    match of_ip(tree, "FragOKs").zip(of_ip(tree, "FragCreates")) {
        None => Finding::unknown(check),
        Some((0, _)) => Finding::new(check, Severity::Fine, "no packet was cut"),
        Some((cut, made)) => {
            let (cut, made) = (things(cut, "packet"), things(made, "fragment"));
            let evidence = format!("{cut} cut into {made} since the start");
            Finding::new(check, Severity::Notice, evidence)
                .costs("one lost fragment loses the whole datagram, and switches and filters lose them more easily")
                .fix(FITTING)
                .verify("nstat -az IpFragOKs Ip6FragOKs")
        }
    }
}

const FITTING: &str = "# send datagrams that fit the wire: of Ethernet, 1472 bytes over IPv4, 1452 over IPv6";

/// A counter of IPv4 and IPv6 together.
fn of_ip(tree: &Tree, name: &str) -> Option<u64> {
    let text = |file: &str| tree.text(&format!("proc/net/{file}")).unwrap_or_default();
    let six = snmp6_counter(&text("snmp6"), &format!("Ip6{name}")).unwrap_or(0);
    snmp_counter(&text("snmp"), "Ip", name).map(|four| four.saturating_add(six))
}

fn backend(tree: &Tree) -> Finding {
    let check = "io_uring";
    let engine = match Engine::new(&Config { backend: Choice::Uring, ..Config::default() }) {
        Err(error) => return Finding::new(check, Severity::Unknown, error.to_string()),
        Ok(engine) => engine,
    };
    let Some(fallback) = engine.fallback() else { return Finding::new(check, Severity::Fine, "available") };
    let is_disabled = tree.number("proc/sys/kernel/io_uring_disabled").is_some_and(|level| level != 0);
    Finding::new(check, Severity::Notice, fallback.to_string())
        .costs("nothing, unless --backend uring is asked for: the other backend is used")
        .fix(if is_disabled {
            "sysctl -w kernel.io_uring_disabled=0"
        } else if fallback.reason.contains("ulimit -l") {
            "ulimit -l 8192  # KiB, in the shell that starts it; beyond its hard limit as root, or with LimitMEMLOCK=8M in a service"
        } else {
            "# in a container, a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
        })
        .verify("campanile doctor | grep io_uring")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    #[test]
    fn a_small_buffer_is_a_warning_with_its_cure() {
        let small = Planted::new(&[("proc/sys/net/core/rmem_max", "212992\n")]);
        let finding = buffers(small.tree());
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.fix.as_deref(), Some("sysctl -w net.core.rmem_max=4194304"));
        small.protect("proc/sys/net/core/rmem_max");
        assert!(
            buffers(small.tree())
                .fix
                .is_some_and(|fix| fix.starts_with("nsenter --net=/proc/1/ns/net sysctl "))
        );
        let large = Planted::new(&[("proc/sys/net/core/rmem_max", "4194304\n")]);
        assert_eq!(buffers(large.tree()).severity, Severity::Fine);
        assert_eq!(buffers(Planted::new(&[]).tree()).severity, Severity::Unknown);
    }

    #[test]
    fn drops_are_reported_with_their_count() {
        let planted = Planted::new(&[]);
        let tree = planted.tree();
        let none =
            Counters { receive_buffer_errors: Some(0), backlog_dropped: Some(0), ..Counters::default() };
        assert_eq!(
            (socket_drops(&none).severity, backlog(tree, &none).severity),
            (Severity::Fine, Severity::Fine)
        );
        let some =
            Counters { receive_buffer_errors: Some(7), backlog_dropped: Some(9), ..Counters::default() };
        assert!(
            socket_drops(&some).evidence.starts_with("7 ") && backlog(tree, &some).evidence.starts_with("9 ")
        );
        assert_eq!(backlog(tree, &Counters::default()).severity, Severity::Unknown);
    }

    #[test]
    fn a_table_of_connections_that_is_nearly_full_is_a_warning() {
        let severity = |count: &str, max: &str| {
            let files = [
                ("proc/sys/net/netfilter/nf_conntrack_count", count),
                ("proc/sys/net/netfilter/nf_conntrack_max", max),
            ];
            tracking(Planted::new(&files).tree()).map(|finding| finding.severity)
        };
        let (fine, warning) = (severity("899", "1000"), severity("900", "1000"));
        assert_eq!((fine, warning), (Some(Severity::Fine), Some(Severity::Warning)));
        assert_eq!(severity("900", "0"), None, "it has no limit");
        assert_eq!(tracking(Planted::new(&[]).tree()), None);
    }

    #[test]
    fn fragments_are_reported_for_each_direction() {
        let planted = Planted::new(&[
            ("proc/net/snmp", "Ip: ReasmReqds ReasmFails FragOKs FragCreates\nIp: 20 3 2 6\n"),
            ("proc/net/snmp6", "Ip6ReasmReqds 4\nIp6ReasmFails 1\nIp6FragOKs 1\nIp6FragCreates 2\n"),
        ]);
        assert!(fragments(planted.tree()).evidence.starts_with("reassembly failed 4 times, of 24"));
        assert!(cut(planted.tree()).evidence.starts_with("3 packets cut into 8 fragments "));
        let none = Planted::new(&[("proc/net/snmp", "Ip: FragOKs FragCreates\nIp: 0 0\n")]);
        assert_eq!(cut(none.tree()).severity, Severity::Fine);
        assert_eq!(cut(Planted::new(&[]).tree()).severity, Severity::Unknown);
    }
}
