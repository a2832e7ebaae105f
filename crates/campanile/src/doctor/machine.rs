//! What concerns every datagram: buffers, drops, processors, fragments, the engine's needs.

use campanile_engine::offload::{self, Offload};
use campanile_engine::{Choice, Config, Engine};

use super::tree::{LOOPBACK, Tree};
use super::{Finding, Severity};
use crate::host::Counters;

pub(super) fn examine(tree: &Tree, interface: Option<&str>) -> Vec<Finding> {
    let counters = Counters::read(interface);
    let mut findings = vec![buffers(tree), socket_drops(&counters), backlog(&counters), governor(tree)];
    findings.push(fragments(tree));
    findings.push(backend());
    if let Some(interface) = interface {
        findings.push(steering(tree, interface));
        findings.push(interface_drops(&counters, interface));
        findings.push(merging(&offload::of(interface).unwrap_or_default(), interface));
    }
    findings
}

/// What a core of a fast network brings in a few milliseconds.
const BUFFER: u64 = 4 << 20;

fn buffers(tree: &Tree) -> Finding {
    let check = "largest receive buffer";
    let Some(bytes) = tree.number("proc/sys/net/core/rmem_max") else { return Finding::unknown(check) };
    let evidence = format!("net.core.rmem_max is {bytes} bytes");
    if bytes >= BUFFER {
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Warning, evidence)
        .costs("a socket cannot have more, so a burst or a pause of some milliseconds loses packets")
        .fix(format!("sysctl -w net.core.rmem_max={BUFFER}"))
        .verify("sysctl net.core.rmem_max")
}

fn socket_drops(counters: &Counters) -> Finding {
    let check = "full receive buffers";
    match counters.receive_buffer_errors {
        None => Finding::unknown(check),
        Some(0) => Finding::new(check, Severity::Fine, "no datagram found one since the start"),
        Some(count) => Finding::new(check, Severity::Notice, format!("{count} datagrams since the start"))
            .costs("programs were too slow for what arrived, or their buffers too small")
            .fix("campanile echo 5000 --recv-buffer 4m (or the like for the program that loses)")
            .verify("nstat -az UdpRcvbufErrors Udp6RcvbufErrors"),
    }
}

fn backlog(counters: &Counters) -> Finding {
    let check = "backlog of the processors";
    match (counters.backlog_dropped, counters.backlog_squeezed) {
        (None, _) => Finding::unknown(check),
        (Some(0), squeezed) => {
            let evidence = format!("nothing dropped; budget spent {} times", squeezed.unwrap_or(0));
            Finding::new(check, Severity::Fine, evidence)
        }
        (Some(dropped), _) => Finding::new(check, Severity::Warning, format!("{dropped} packets dropped"))
            .costs("packets were lost before any socket saw them")
            .fix("sysctl -w net.core.netdev_max_backlog=10000")
            .verify("awk '{ print $2 }' /proc/net/softnet_stat"),
    }
}

fn interface_drops(counters: &Counters, interface: &str) -> Finding {
    let check = "drops of the interface";
    match counters.interface_receive_dropped.zip(counters.interface_send_dropped) {
        None => Finding::unknown(check),
        Some((0, 0)) => Finding::new(check, Severity::Fine, format!("{interface} dropped nothing")),
        Some((received, sent)) => {
            let evidence = format!("{interface} dropped {received} on arrival and {sent} on their way out");
            Finding::new(check, Severity::Notice, evidence)
                .costs("packets were lost before any socket saw them")
                .fix(format!("ethtool -G {interface} rx 4096"))
                .verify(format!("ip -s -s link show dev {interface}"))
        }
    }
}

fn governor(tree: &Tree) -> Finding {
    let check = "processor speed";
    let governors: Vec<String> = tree
        .names("sys/devices/system/cpu")
        .iter()
        .filter_map(|cpu| tree.word(&format!("sys/devices/system/cpu/{cpu}/cpufreq/scaling_governor")))
        .collect();
    let slow = governors.iter().filter(|governor| *governor != "performance").count();
    match governors.len() {
        0 => Finding::unknown(check),
        _ if slow == 0 => Finding::new(check, Severity::Fine, "governor performance on every processor"),
        all => {
            let evidence = format!("{slow} of {all} processors have another governor than performance");
            Finding::new(check, Severity::Notice, evidence)
                .costs("the first packets after a pause find a slow processor: longer round trips")
                .fix("cpupower frequency-set --governor performance")
                .verify("cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
        }
    }
}

fn fragments(tree: &Tree) -> Finding {
    let check = "fragments";
    let text = tree.text("proc/net/snmp").unwrap_or_default();
    let of = |name| crate::host::of_rows(&text, "Ip", name);
    match (of("ReasmFails"), of("ReasmReqds")) {
        (Some(0), _) => Finding::new(check, Severity::Fine, "none was lost"),
        (Some(failed), Some(arrived)) => {
            let evidence = format!("{failed} datagrams not put together, of {arrived} fragments");
            Finding::new(check, Severity::Warning, evidence)
                .costs("one lost fragment loses the whole datagram")
                .fix("send datagrams that fit the wire: 1472 bytes over IPv4, 1452 over IPv6")
                .verify("nstat -az IpReasmFails")
        }
        _ => Finding::unknown(check),
    }
}

fn backend() -> Finding {
    let check = "io_uring";
    match Engine::new(&Config { backend: Choice::Uring, ..Config::default() }) {
        Err(error) => Finding::new(check, Severity::Unknown, error.to_string()),
        Ok(engine) => match engine.fallback() {
            None => Finding::new(check, Severity::Fine, "available"),
            Some(fallback) => Finding::new(check, Severity::Notice, fallback.to_string())
                .costs("nothing as long as --backend uring is not asked for: the other backend serves")
                .fix("sysctl -w kernel.io_uring_disabled=0 (in a container, a seccomp profile that allows it as well)")
                .verify("sysctl kernel.io_uring_disabled"),
        },
    }
}

/// One receive queue and no steering means one processor for all that arrives.
fn steering(tree: &Tree, interface: &str) -> Finding {
    let check = "steering to processors";
    let folder = format!("sys/class/net/{interface}/queues");
    let queues: Vec<String> =
        tree.names(&folder).into_iter().filter(|name| name.starts_with("rx-")).collect();
    let cores = crate::cores::allowed().unwrap_or_default();
    let steered = queues.iter().any(|queue| {
        let mask = tree.word(&format!("{folder}/{queue}/rps_cpus")).unwrap_or_default();
        mask.chars().any(|digit| digit.is_ascii_hexdigit() && digit != '0')
    });
    let (count, s) = (queues.len(), if queues.len() == 1 { "" } else { "s" });
    let evidence = format!("{interface} has {count} receive queue{s} for {} processors", cores.len());
    if tree.flags(interface).is_some_and(|flags| flags & LOOPBACK != 0) {
        return Finding::new(
            check,
            Severity::Fine,
            format!("{interface} receives on the processor that sends"),
        );
    }
    match count {
        0 => Finding::unknown(check),
        _ if count >= cores.len() || steered => Finding::new(check, Severity::Fine, evidence),
        _ => Finding::new(check, Severity::Notice, format!("{evidence}, and packets are not spread further"))
            .costs("the other processors receive nothing by themselves")
            .fix(format!("echo {} | tee /sys/class/net/{interface}/queues/rx-*/rps_cpus", mask(&cores)))
            .verify(format!("cat /sys/class/net/{interface}/queues/rx-*/rps_cpus")),
    }
}

/// A set of processors as the system takes it: words of 32 bits in hexadecimal, the highest first, and none that there is not.
fn mask(cores: &[usize]) -> String {
    let highest = cores.iter().max().map_or(0, |core| core / 32);
    let word = |at: usize| {
        cores.iter().filter(|&core| core / 32 == at).fold(0_u32, |word, core| word | 1 << (core % 32))
    };
    let lower: String = (0..highest).rev().map(|at| format!(",{:08x}", word(at))).collect();
    format!("{:x}{lower}", word(highest))
}

/// Datagrams of one sender that arrive in a row can go through the stack together, if the interface puts them together first.
fn merging(offloads: &[Offload], interface: &str) -> Finding {
    let check = "merging of what arrives";
    let Some(merges) = offloads.iter().find(|offload| offload.name == GRO) else {
        return Finding::unknown(check);
    };
    if merges.is_on {
        let evidence = format!("{interface} merges datagrams ({GRO} is on)");
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Notice, format!("{interface} merges no datagrams ({GRO} is off)"))
        .costs("each datagram takes the way to the socket alone: a stream of them costs up to twice the processor time")
        .fix(format!("ethtool -K {interface} gro on"))
        .verify(format!("ethtool -k {interface} | grep generic-receive-offload"))
}

/// The system's name for generic receive offload.
const GRO: &str = "rx-gro";

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
        let large = Planted::new(&[("proc/sys/net/core/rmem_max", "4194304\n")]);
        assert_eq!(buffers(large.tree()).severity, Severity::Fine);
        assert_eq!(buffers(Planted::new(&[]).tree()).severity, Severity::Unknown);
    }

    #[test]
    fn drops_are_told_with_their_count() {
        let none =
            Counters { receive_buffer_errors: Some(0), backlog_dropped: Some(0), ..Counters::default() };
        assert_eq!((socket_drops(&none).severity, backlog(&none).severity), (Severity::Fine, Severity::Fine));
        let some =
            Counters { receive_buffer_errors: Some(7), backlog_dropped: Some(9), ..Counters::default() };
        assert!(socket_drops(&some).evidence.starts_with("7 ") && backlog(&some).evidence.starts_with("9 "));
        assert_eq!(backlog(&Counters::default()).severity, Severity::Unknown);
    }

    #[test]
    fn a_slow_governor_and_lost_fragments_are_seen() {
        let planted = Planted::new(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
            ("proc/net/snmp", "Ip: ReasmReqds ReasmFails\nIp: 20 3\n"),
        ]);
        assert!(governor(planted.tree()).evidence.starts_with("1 of 2 processors"));
        assert!(fragments(planted.tree()).evidence.starts_with("3 datagrams not put together, of 20"));
    }

    #[test]
    fn packets_are_spread_by_queues_or_by_a_mask() {
        let masked = |mask| Planted::new(&[("sys/class/net/e/queues/rx-0/rps_cpus", mask)]);
        assert_eq!(steering(masked("00000000,0000000f").tree(), "e").severity, Severity::Fine);
        let severity = steering(masked("00000000,00000000").tree(), "e").severity;
        let alone = crate::cores::allowed().is_ok_and(|cores| cores.len() == 1);
        assert_eq!(severity, if alone { Severity::Fine } else { Severity::Notice });
    }

    #[test]
    fn loopback_needs_no_steering() {
        let files = [("sys/class/net/l/queues/rx-0/rps_cpus", "0"), ("sys/class/net/l/flags", "0x9")];
        assert_eq!(steering(Planted::new(&files).tree(), "l").severity, Severity::Fine);
    }

    #[test]
    fn a_mask_names_the_processors_that_there_are() {
        assert_eq!(mask(&[0, 1]), "3");
        assert_eq!(mask(&(0..32).collect::<Vec<_>>()), "ffffffff");
        assert_eq!(mask(&[0, 33, 65]), "2,00000002,00000001");
    }

    #[test]
    fn an_interface_that_merges_nothing_is_noticed() {
        let severity = |offloads: &[(&str, bool)]| {
            let offloads: Vec<Offload> =
                offloads.iter().map(|&(name, is_on)| Offload { name: name.to_owned(), is_on }).collect();
            merging(&offloads, "e").severity
        };
        assert_eq!(severity(&[("rx-checksum", true), ("rx-gro", true)]), Severity::Fine);
        assert_eq!(severity(&[("rx-checksum", true), ("rx-gro", false)]), Severity::Notice);
        assert_eq!(severity(&[]), Severity::Unknown);
    }
}
