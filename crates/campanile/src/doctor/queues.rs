//! How received packets get to the processors: queues, their interrupts, and the processors near the card.

use std::collections::BTreeSet;

use campanile_engine::card::{self, Channels, Setting};

use super::tree::{LOOPBACK, Tree};
use super::{Finding, Severity, things};

pub(super) fn examine(tree: &Tree, interface: &str) -> Vec<Finding> {
    let cores = crate::cores::allowed().unwrap_or_default();
    let mut findings = vec![steering(tree, interface, &cores, card::channels(interface).ok())];
    if receive_queues(tree, interface).len() > 1 && cores.len() > 1 {
        findings.extend(interrupts(tree, interface, &cores));
        findings.extend(card::spreads_by_port(interface).ok().map(|by_port| ports(interface, by_port)));
    }
    findings.extend(near(tree, interface, &cores));
    findings
}

/// One receive queue and no steering means one processor for all that arrives.
fn steering(tree: &Tree, interface: &str, cores: &[usize], channels: Option<Channels>) -> Finding {
    let check = "steering to processors";
    if tree.flags(interface).is_some_and(|flags| flags & LOOPBACK != 0) {
        return Finding::new(
            check,
            Severity::Fine,
            format!("{interface} receives on the processor that sends"),
        );
    }
    let queues = receive_queues(tree, interface);
    let steered = queues.iter().any(|queue| {
        let file = format!("sys/class/net/{interface}/queues/{queue}/rps_cpus");
        let mask = tree.word(&file).unwrap_or_default();
        mask.chars().any(|digit| digit.is_ascii_hexdigit() && digit != '0')
    });
    let count = queues.len();
    let (receiving, processors) =
        (things(count as u64, "receive queue"), things(cores.len() as u64, "processor"));
    let evidence = format!("{interface} has {receiving} for {processors}");
    if count == 0 {
        return Finding::unknown(check);
    }
    if count >= cores.len() || steered {
        return Finding::new(check, Severity::Fine, evidence);
    }
    // The queues of an interface without a card are emptied by the processor that fills them.
    let more =
        channels.filter(|_| has_card(tree, interface)).and_then(|channels| more(channels, cores.len()));
    let spread = format!("/sys/class/net/{interface}/queues/rx-*/rps_cpus");
    let (evidence, fix, verify) = match more {
        Some((kind, number)) => (
            format!("{evidence}, and could have {number}"),
            format!("ethtool -L {interface} {kind} {number}  # the link goes down for a moment"),
            format!("ls /sys/class/net/{interface}/queues"),
        ),
        None => (
            format!("{evidence}, and packets are not spread further"),
            format!("echo {} | tee {spread}", mask(cores)),
            format!("cat {spread}"),
        ),
    };
    Finding::new(check, Severity::Notice, evidence)
        .costs("the other processors receive nothing by themselves")
        .fix(fix)
        .verify(verify)
}

fn receive_queues(tree: &Tree, interface: &str) -> Vec<String> {
    let names = tree.names(&format!("sys/class/net/{interface}/queues"));
    names.into_iter().filter(|name| name.starts_with("rx-")).collect()
}

fn has_card(tree: &Tree, interface: &str) -> bool {
    !tree.names(&format!("sys/class/net/{interface}/device")).is_empty()
}

/// Which channels to ask for, in the word of ethtool, and how many, to have a queue for each processor or at least more of them.
fn more(channels: Channels, cores: usize) -> Option<(&'static str, u32)> {
    let wanted = u32::try_from(cores).unwrap_or(u32::MAX);
    let of_kind =
        |(kind, has): (_, Setting)| (has.now < has.max.min(wanted)).then_some((kind, has.max.min(wanted)));
    [("combined", channels.combined), ("rx", channels.receive)].into_iter().find_map(of_kind)
}

/// Where the interrupts of several queues go; `None` where the system does not report which they are.
fn interrupts(tree: &Tree, interface: &str, cores: &[usize]) -> Option<Finding> {
    let check = "interrupts of the queues";
    let busy = busy_interrupts(tree, interface)?;
    let target = |number: &String| {
        let file = |name| tree.word(&format!("proc/irq/{number}/{name}"));
        file("effective_affinity_list").or_else(|| file("smp_affinity_list"))
    };
    let targets: BTreeSet<String> = busy.iter().filter_map(target).collect();
    let evidence = format!("the {} of {interface} that are in use go to processor ", busy.len());
    let is_one = targets.len() == 1 && targets.iter().all(|target| target.parse::<usize>().is_ok());
    let listed = targets.into_iter().collect::<Vec<_>>().join(", ");
    if busy.len() < 2 || !is_one {
        return Some(Finding::new(check, Severity::Fine, evidence + &listed));
    }
    let pairs: Vec<String> =
        busy.iter().zip(cores.iter().cycle()).map(|(number, core)| format!("{number}:{core}")).collect();
    let finding = Finding::new(check, Severity::Notice, format!("{evidence}{listed} alone"))
        .costs("one processor receives what the card has spread over queues for several")
        .fix(format!(
            "for one in {}; do echo ${{one#*:}} > /proc/irq/${{one%:*}}/smp_affinity_list; done  # or run irqbalance",
            pairs.join(" ")
        ))
        .verify(format!("awk '/{}/' /proc/interrupts", busy.iter().map(|number| format!(" {number}:")).collect::<Vec<_>>().join("|")));
    Some(finding)
}

/// The numbers of the interrupts that the card uses, without those for configuration, errors and spare queues.
fn busy_interrupts(tree: &Tree, interface: &str) -> Option<Vec<String>> {
    let numbers = of_card(interface).into_iter().map(|folder| tree.names(&format!("{folder}/msi_irqs")));
    let numbers = numbers.into_iter().find(|numbers| !numbers.is_empty())?;
    let text = tree.text("proc/interrupts")?;
    // A line: number, how often on each processor, and what it is.
    let count = |line: &str| {
        let (number, counts) = line.split_once(':')?;
        let number = numbers.iter().find(|one| *one == number.trim())?;
        let counts = counts.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        Some((number.clone(), counts.fold(0, u64::saturating_add)))
    };
    let counted: Vec<(String, u64)> = text.lines().filter_map(count).collect();
    let most = counted.iter().map(|(_, count)| *count).max()?;
    let is_busy = |count: u64| count > 0 && count >= most / 10;
    Some(counted.into_iter().filter(|(_, count)| is_busy(*count)).map(|(number, _)| number).collect())
}

/// Where a card may have its files: its own folder, or that of its parent device, as in virtual machines.
fn of_card(interface: &str) -> [String; 2] {
    ["device", "device/.."].map(|folder| format!("sys/class/net/{interface}/{folder}"))
}

/// Whether datagrams between two addresses may be spread over several queues.
fn ports(interface: &str, by_port: bool) -> Finding {
    let check = "spreading to queues";
    if by_port {
        return Finding::new(check, Severity::Fine, format!("{interface} spreads by addresses and ports"));
    }
    Finding::new(check, Severity::Notice, format!("{interface} spreads UDP by addresses alone"))
        .costs("all datagrams between two machines come by one queue, and to one processor")
        .fix(format!("ethtool -N {interface} rx-flow-hash udp4 sdfn"))
        .verify(format!("ethtool -n {interface} rx-flow-hash udp4"))
}

/// Whether this program may run near the card; `None` where all memory is equally near.
fn near(tree: &Tree, interface: &str, cores: &[usize]) -> Option<Finding> {
    let check = "processors near the interface";
    let folder = "sys/devices/system/node";
    let is_node =
        |name: &&String| name.strip_prefix("node").is_some_and(|number| number.parse::<u32>().is_ok());
    if tree.names(folder).iter().filter(is_node).count() < 2 {
        return None;
    }
    let node = of_card(interface).iter().find_map(|card| tree.number(&format!("{card}/numa_node")))?;
    let list = tree.word(&format!("{folder}/node{node}/cpulist"))?;
    let count = cores.iter().filter(|&&core| is_in(&list, core)).count();
    let evidence =
        format!("{interface} is at node {node}, processors {list}: this program may use {count} of them");
    if count > 0 {
        return Some(Finding::new(check, Severity::Fine, evidence));
    }
    let finding = Finding::new(check, Severity::Notice, evidence)
        .costs("every packet is fetched from the memory of another node")
        .fix(format!(
            "taskset --cpu-list {list} campanile echo 5000  # or the like for the program that is slow"
        ))
        .verify(format!("taskset --cpu-list {list} campanile doctor --interface {interface}"));
    Some(finding)
}

/// Whether a list such as `0-3,8` names a processor.
fn is_in(list: &str, core: usize) -> bool {
    list.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = first.parse::<usize>().ok().zip(last.parse::<usize>().ok());
        bounds.is_some_and(|(first, last)| (first..=last).contains(&core))
    })
}

/// A set of processors as the system takes it: words of 32 bits in hexadecimal, the highest first, without words beyond the last
/// processor.
fn mask(cores: &[usize]) -> String {
    let highest = cores.iter().max().map_or(0, |core| core / 32);
    let word = |at: usize| {
        cores.iter().filter(|&core| core / 32 == at).fold(0_u32, |word, core| word | 1 << (core % 32))
    };
    let lower: String = (0..highest).rev().map(|at| format!(",{:08x}", word(at))).collect();
    format!("{:x}{lower}", word(highest))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    const RX_0: &str = "sys/class/net/e/queues/rx-0/rps_cpus";

    #[test]
    fn packets_are_spread_by_queues_or_by_a_mask() {
        let found = |mask, cores: &[usize]| steering(Planted::new(&[(RX_0, mask)]).tree(), "e", cores, None);
        assert_eq!(found("00000000,0000000f", &[0, 1]).severity, Severity::Fine);
        assert_eq!(found("00000000,00000000", &[0]).severity, Severity::Fine);
        let none = found("00000000,00000000", &[0, 1]);
        assert_eq!(none.severity, Severity::Notice);
        assert!(none.fix.is_some_and(|fix| fix.starts_with("echo 3 | tee /sys/")));
    }

    #[test]
    fn a_card_that_may_have_more_queues_gets_a_hint() {
        let of = |now, max| Setting { now, max };
        let fix = |files: &[(&str, &str)], channels| {
            steering(Planted::new(files).tree(), "e", &[0, 1, 2, 3], Some(channels)).fix.unwrap_or_default()
        };
        let card = [(RX_0, "0"), ("sys/class/net/e/device/vendor", "0x1af4")];
        let combined = Channels { receive: of(0, 0), combined: of(1, 16) };
        assert!(fix(&card, combined).starts_with("ethtool -L e combined 4 "));
        let receive = Channels { receive: of(1, 3), combined: of(0, 0) };
        assert!(fix(&card, receive).starts_with("ethtool -L e rx 3 "));
        assert!(fix(&card, Channels { receive: of(0, 0), combined: of(1, 1) }).starts_with("echo f | tee "));
        assert!(fix(&card[..1], combined).starts_with("echo f | tee "), "it has no card");
    }

    #[test]
    fn loopback_needs_no_steering() {
        let files = [("sys/class/net/l/queues/rx-0/rps_cpus", "0"), ("sys/class/net/l/flags", "0x9")];
        assert_eq!(steering(Planted::new(&files).tree(), "l", &[0, 1], None).severity, Severity::Fine);
    }

    #[test]
    fn interrupts_of_several_queues_that_go_to_one_processor_are_noticed() {
        let found = |counts: [u64; 3], targets: [&str; 3]| {
            let line = |at: usize| format!(" 4{at}:  {}  0  PCI-MSIX  e-{at}\n", counts[at]);
            let text = format!("      CPU0  CPU1\n{}{}{} 50: 9 9 other\n", line(0), line(1), line(2));
            let mut files = vec![("proc/interrupts".to_owned(), text)];
            for (at, target) in targets.into_iter().enumerate() {
                files.push((format!("sys/class/net/e/device/msi_irqs/4{at}"), "msix".to_owned()));
                files.push((format!("proc/irq/4{at}/effective_affinity_list"), target.to_owned()));
            }
            let files: Vec<(&str, &str)> =
                files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
            interrupts(Planted::new(&files).tree(), "e", &[0, 1]).expect("they are told")
        };
        let one = found([900, 700, 1], ["1", "1", "0"]);
        assert_eq!(one.evidence, "the 2 of e that are in use go to processor 1 alone");
        assert!(one.fix.is_some_and(|fix| fix.starts_with("for one in 40:0 41:1; do ")));
        assert_eq!(one.verify.as_deref(), Some("awk '/ 40:| 41:/' /proc/interrupts"));
        assert_eq!(found([900, 700, 1], ["0", "1", "0"]).severity, Severity::Fine);
        assert_eq!(found([900, 1, 1], ["1", "1", "1"]).severity, Severity::Fine, "one queue is in use");
        assert_eq!(found([900, 700, 1], ["0-1", "0-1", "0"]).severity, Severity::Fine);
        assert_eq!(interrupts(Planted::new(&[]).tree(), "e", &[0, 1]), None);
    }

    #[test]
    fn a_queue_for_each_peer_is_noticed() {
        assert_eq!(
            (ports("e", true).severity, ports("e", false).severity),
            (Severity::Fine, Severity::Notice)
        );
    }

    #[test]
    fn a_card_that_is_far_from_all_processors_is_noticed() {
        let mut files = vec![
            ("sys/class/net/e/device/numa_node", "1"),
            ("sys/devices/system/node/node0/cpulist", "0-3,8-11"),
            ("sys/devices/system/node/possible", "0-1"),
        ];
        let found = |files: &[(&str, &str)], cores: &[usize]| near(Planted::new(files).tree(), "e", cores);
        assert_eq!(found(&files, &[0]), None, "there is one node");
        files.push(("sys/devices/system/node/node1/cpulist", "4-7,12-15"));
        let far = found(&files, &[0, 9]).expect("there are two");
        assert_eq!(far.evidence, "e is at node 1, processors 4-7,12-15: this program may use 0 of them");
        assert_eq!(far.severity, Severity::Notice);
        assert_eq!(found(&files, &[0, 5, 15]).map(|near| near.severity), Some(Severity::Fine));
        files[0].1 = "-1";
        assert_eq!(found(&files, &[0]), None, "it is at none");
    }

    #[test]
    fn a_mask_names_the_processors_that_there_are() {
        assert_eq!(mask(&[0, 1]), "3");
        assert_eq!(mask(&(0..32).collect::<Vec<_>>()), "ffffffff");
        assert_eq!(mask(&[0, 33, 65]), "2,00000002,00000001");
    }
}
