//! What concerns every datagram: buffers, drops, processors, fragments, the engine's needs.

use campanile_engine::offload::{self, Offload};
use campanile_engine::{Choice, Config, Engine};

use super::tree::{LOOPBACK, Tree};
use super::{Finding, Severity};
use crate::host::{Counters, Processors, Times, of_column, of_rows};

pub(super) fn examine(tree: &Tree) -> Vec<Finding> {
    let counters = Counters::read(None);
    let mut findings =
        vec![buffers(tree), socket_drops(&counters), checksums(&counters), backlog(tree, &counters)];
    findings.extend([governor(tree), fragments(tree), backend(tree), stolen(Processors::read().all())]);
    findings.extend(tracking(tree));
    findings
}

/// What an interface has of its own. Without `knows_files` those of `/sys` are of other interfaces.
pub(super) fn examine_interface(tree: &Tree, interface: &str, knows_files: bool) -> Vec<Finding> {
    let mut findings = vec![interface_drops(tree, interface)];
    let offloads = offload::of(interface).unwrap_or_default();
    findings.extend(TASKS.iter().map(|task| task.examine(&offloads, interface)));
    findings.extend(knows_files.then(|| steering(tree, interface)));
    findings
}

/// What a core of a fast network brings in a few milliseconds.
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

/// Sets what the first network namespace has for all: the others may read it at best.
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
        Some(count) => Finding::new(check, Severity::Notice, format!("{count} datagrams since the start"))
            .costs("programs were too slow for what arrived, or their buffers too small")
            .fix("campanile echo 5000 --recv-buffer 4m  # or the like for the program that loses")
            .verify("nstat -az UdpRcvbufErrors Udp6RcvbufErrors"),
    }
}

fn checksums(counters: &Counters) -> Finding {
    let check = "checksums";
    match counters.checksum_errors {
        None => Finding::unknown(check),
        Some(0) => Finding::new(check, Severity::Fine, "no datagram had a wrong one since the start"),
        Some(count) => Finding::new(check, Severity::Notice, format!("{count} datagrams had a wrong one since the start"))
            .costs("they were thrown away")
            .fix("# see to cables and cards, and to what rewrites packets on the way, such as a tunnel or a translator")
            .verify("nstat -az UdpInCsumErrors Udp6InCsumErrors"),
    }
}

fn backlog(tree: &Tree, counters: &Counters) -> Finding {
    let check = "backlog of the processors";
    match (counters.backlog_dropped, counters.backlog_squeezed) {
        (None, _) => Finding::unknown(check),
        (Some(0), squeezed) => {
            let evidence = format!("nothing dropped; budget spent {} times", squeezed.unwrap_or(0));
            Finding::new(check, Severity::Fine, evidence)
        }
        (Some(dropped), _) => {
            Finding::new(check, Severity::Notice, format!("{dropped} packets dropped since the start"))
                .costs("packets were lost before any socket saw them")
                .fix(set_for_all(
                    tree,
                    "proc/sys/net/core/netdev_max_backlog",
                    "net.core.netdev_max_backlog=10000",
                ))
                .verify("awk '{ print $2 }' /proc/net/softnet_stat")
        }
    }
}

/// What a network device has counted, as `/proc/net/dev` of this network namespace has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    pub(super) received: u64,
    received_damaged: u64,
    received_dropped: u64,
    sent_damaged: u64,
    sent_dropped: u64,
}

impl Device {
    /// A line: bytes, packets, errors, dropped, lack of room, frames, compressed, multicast; then of those that were sent.
    pub(super) fn read(tree: &Tree, interface: &str) -> Option<Self> {
        let text = tree.text("proc/net/dev")?;
        let line =
            text.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
        let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [_, received, damaged, dropped, no_room, _, _, _, _, _, sent_damaged, sent_dropped, ..] =
            numbers[..]
        else {
            return None;
        };
        let received_dropped = dropped.saturating_add(no_room);
        Some(Self { received, received_damaged: damaged, received_dropped, sent_damaged, sent_dropped })
    }

    /// Packets that came to it, and were lost there.
    pub(super) fn not_received(self) -> u64 {
        self.received_damaged.saturating_add(self.received_dropped)
    }
}

fn interface_drops(tree: &Tree, interface: &str) -> Finding {
    let check = "drops of the interface";
    let Some(device) = Device::read(tree, interface) else { return Finding::unknown(check) };
    let Device { received_damaged: damaged, received_dropped: dropped, sent_damaged, sent_dropped, .. } =
        device;
    let sent = sent_damaged.saturating_add(sent_dropped);
    if damaged == 0 && dropped == 0 && sent == 0 {
        return Finding::new(check, Severity::Fine, format!("{interface} dropped nothing"));
    }
    let arrived = format!("{interface} dropped {dropped} on arrival, took {damaged} for damaged or too long");
    Finding::new(check, Severity::Notice, format!("{arrived}, and dropped {sent} on their way out"))
        .costs("packets were lost before any socket saw them")
        .fix(format!(
            "# the same MTU at both ends, and a longer queue where the card has one: ethtool -G {interface} rx NUMBER"
        ))
        .verify(format!("ip -s -s link show dev {interface}"))
}

/// Time that a virtual machine wanted and others had.
fn stolen(since_start: Option<Times>) -> Finding {
    let check = "time of the processors";
    let Some(times) = since_start.filter(|times| times.all_ns > 0) else {
        return Finding::unknown(check);
    };
    let percent = times.steal_ns as f64 * 100.0 / times.all_ns as f64;
    let evidence = format!("{percent:.2} % was given to other machines of the same host since the start");
    if percent < 1.0 {
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Notice, evidence)
        .costs("while it is given away nothing is taken from the network: queues overflow and round trips are long")
        .fix("# ask the host for processors of this machine's own")
        .verify("awk '/^cpu / { print $9 }' /proc/stat")
}

/// The filter's table of connections; `None` where there is none.
fn tracking(tree: &Tree) -> Option<Finding> {
    let check = "connection tracking";
    let of = |name: &str| tree.number(&format!("proc/sys/net/netfilter/nf_conntrack_{name}"));
    let (count, max) = of("count").zip(of("max"))?;
    let evidence = format!("{count} of {max} entries are taken");
    // Close to the end it drops what is new.
    if count < max - max / 10 {
        return Some(Finding::new(check, Severity::Fine, evidence));
    }
    let more = format!("net.netfilter.nf_conntrack_max={}", max.saturating_mul(4));
    let finding = Finding::new(check, Severity::Warning, evidence)
        .costs("when it is full, what is of no known connection is dropped")
        .fix(set_for_all(tree, "proc/sys/net/netfilter/nf_conntrack_max", &more))
        .verify("sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max");
    Some(finding)
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
    let (v4, v6) =
        (tree.text("proc/net/snmp").unwrap_or_default(), tree.text("proc/net/snmp6").unwrap_or_default());
    let of = |name: &str| {
        let six = of_column(&v6, &format!("Ip6{name}")).unwrap_or(0);
        of_rows(&v4, "Ip", name).map(|four| four.saturating_add(six))
    };
    match of("ReasmFails").zip(of("ReasmReqds")) {
        None => Finding::unknown(check),
        Some((0, _)) => Finding::new(check, Severity::Fine, "none was lost"),
        Some((failed, arrived)) => {
            let evidence = format!("{failed} times not put together, of {arrived} fragments since the start");
            Finding::new(check, Severity::Notice, evidence)
                .costs("one lost fragment loses the whole datagram")
                .fix("# send datagrams that fit the wire: of Ethernet, 1472 bytes over IPv4, 1452 over IPv6")
                .verify("nstat -az IpReasmFails Ip6ReasmFails")
        }
    }
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
        .costs("nothing as long as --backend uring is not asked for: the other backend serves")
        .fix(if is_disabled {
            "sysctl -w kernel.io_uring_disabled=0"
        } else {
            "# in a container, a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
        })
        .verify("campanile doctor | grep io_uring")
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

/// What an interface, or the stack at its door, can do for all packets at once.
struct Task {
    check: &'static str,
    /// The system's name for it.
    name: &'static str,
    /// The name that ethtool shows it by.
    shown: &'static str,
    cost: &'static str,
}

const TASKS: [Task; 3] = [
    // Datagrams of one sender that arrive in a row can go through the stack together.
    Task {
        check: "merging of what arrives",
        name: "rx-gro",
        shown: "generic-receive-offload",
        cost: "each datagram takes the way to the socket alone: a stream of them costs up to twice the processor time",
    },
    Task {
        check: "cutting of what leaves",
        name: "tx-udp-segmentation",
        shown: "tx-udp-segmentation",
        cost: "trains are cut into datagrams by the processor, before the interface sees them",
    },
    Task {
        check: "checksums of what arrives",
        name: "rx-checksum",
        shown: "rx-checksumming",
        cost: "the processor computes the checksum of each datagram",
    },
];

impl Task {
    fn examine(&self, offloads: &[Offload], interface: &str) -> Finding {
        let Self { check, name, shown, cost } = *self;
        let Some(offload) = offloads.iter().find(|offload| offload.name == name) else {
            return Finding::unknown(check);
        };
        match (offload.is_on, offload.can_change) {
            (true, _) => Finding::new(check, Severity::Fine, format!("{name} is on for {interface}")),
            (false, false) => Finding::new(
                check,
                Severity::Fine,
                format!("{name} is off for {interface}, which has no other way"),
            ),
            (false, true) => Finding::new(check, Severity::Notice, format!("{name} is off for {interface}"))
                .costs(cost)
                .fix(format!("ethtool -K {interface} {name} on"))
                .verify(format!("ethtool -k {interface} | grep {shown}:")),
        }
    }
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
    fn drops_are_told_with_their_count() {
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
    fn a_slow_governor_and_lost_fragments_are_seen() {
        let planted = Planted::new(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
            ("proc/net/snmp", "Ip: ReasmReqds ReasmFails\nIp: 20 3\n"),
            ("proc/net/snmp6", "Ip6ReasmReqds 4\nIp6ReasmFails 1\n"),
        ]);
        assert!(governor(planted.tree()).evidence.starts_with("1 of 2 processors"));
        assert!(fragments(planted.tree()).evidence.starts_with("4 times not put together, of 24"));
    }

    #[test]
    fn an_interface_that_lost_packets_says_which() {
        let found = |line: &str| {
            let planted = Planted::new(&[("proc/net/dev", &format!("Inter-| Receive\n eth0: {line}\n"))]);
            interface_drops(planted.tree(), "eth0")
        };
        assert_eq!(found("9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0").severity, Severity::Fine);
        assert_eq!(
            found("9 9 1 2 3 0 0 0 9 9 4 5 0 0 0 0").evidence,
            "eth0 dropped 5 on arrival, took 1 for damaged or too long, and dropped 9 on their way out"
        );
        assert_eq!(found("9 9").severity, Severity::Unknown);
    }

    #[test]
    fn a_table_of_connections_that_is_nearly_full_is_a_warning() {
        let severity = |count: &str| {
            let files = [
                ("proc/sys/net/netfilter/nf_conntrack_count", count),
                ("proc/sys/net/netfilter/nf_conntrack_max", "1000"),
            ];
            tracking(Planted::new(&files).tree()).map(|finding| finding.severity)
        };
        assert_eq!((severity("899"), severity("900")), (Some(Severity::Fine), Some(Severity::Warning)));
        assert_eq!(tracking(Planted::new(&[]).tree()), None);
    }

    #[test]
    fn time_that_others_had_is_told() {
        let found = |steal_ns| stolen(Some(Times { steal_ns, all_ns: 1000, ..Times::default() }));
        assert_eq!((found(9).severity, found(20).severity), (Severity::Fine, Severity::Notice));
        assert!(found(20).evidence.starts_with("2.00 % "));
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
    fn a_task_that_the_interface_could_do_is_noticed() {
        let severity = |is_on, can_change| {
            let offload = Offload { name: "rx-gro".to_owned(), is_on, can_change };
            TASKS[0].examine(&[offload], "e").severity
        };
        assert_eq!((severity(true, true), severity(false, true)), (Severity::Fine, Severity::Notice));
        assert_eq!(severity(false, false), Severity::Fine, "nobody can mend it");
        assert_eq!(TASKS[0].examine(&[], "e").severity, Severity::Unknown);
    }
}
