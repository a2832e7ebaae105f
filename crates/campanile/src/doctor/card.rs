//! What an interface and its card drop and have room for, and their offloads.

use campanile_engine::card::{self, Coalescing, Setting};
use campanile_engine::offload::{self, Offload};

use super::tree::Tree;
use super::{Finding, Severity};
use crate::host::DeviceCounters;

/// Without `knows_files`, the files in `/sys` are those of other interfaces.
pub(super) fn examine(tree: &Tree, interface: &str, knows_files: bool) -> Vec<Finding> {
    let mut findings = vec![drops(tree, interface)];
    let offloads = offload::of(interface).unwrap_or_default();
    findings.extend(OFFLOADS.iter().map(|offload| offload.examine(&offloads, interface)));
    if let (true, Ok(ring)) = (knows_files, card::receive_ring(interface)) {
        findings.push(room(tree, interface, ring));
    }
    findings.extend(card::coalescing(interface).ok().map(|set| delay(interface, set)));
    findings
}

/// What the interface's device has counted.
pub(super) fn counters(tree: &Tree, interface: &str) -> Option<DeviceCounters> {
    DeviceCounters::parse(&tree.text("proc/net/dev")?, interface)
}

fn drops(tree: &Tree, interface: &str) -> Finding {
    let check = "drops of the interface";
    let Some(device) = counters(tree, interface) else { return Finding::unknown(check) };
    let DeviceCounters { receive_damaged: damaged, receive_dropped: dropped, .. } = device;
    let sent = device.send_damaged.saturating_add(device.send_dropped);
    if damaged == 0 && dropped == 0 && sent == 0 {
        return Finding::new(check, Severity::Fine, format!("{interface} dropped nothing"));
    }
    let arrived =
        format!("{interface} dropped {dropped} on arrival, discarded {damaged} as damaged or too long");
    Finding::new(check, Severity::Notice, format!("{arrived}, and dropped {sent} on sending"))
        .costs("packets were lost before any socket saw them")
        .fix(format!(
            "# the same MTU at both ends, and a longer queue where the card has one: ethtool -G {interface} rx NUMBER"
        ))
        .verify(format!("ip -s -s link show dev {interface}"))
}

/// The ring that the card puts packets in until a processor takes them.
fn room(tree: &Tree, interface: &str, ring: Setting) -> Finding {
    let check = "receive ring";
    let count = |name| tree.number(&format!("sys/class/net/{interface}/statistics/{name}")).unwrap_or(0);
    let missed = count("rx_missed_errors").saturating_add(count("rx_fifo_errors"));
    let Setting { now, max } = ring;
    let evidence =
        format!("a queue of {interface} holds {now} packets, at most {max}; {missed} found no room");
    if missed == 0 || now >= max {
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Notice, evidence)
        .costs("a burst or a pause of the processor loses packets at the card")
        .fix(format!("ethtool -G {interface} rx {max}"))
        .verify(format!("ethtool -g {interface} && ip -s -s link show dev {interface}"))
}

/// How long a single packet stays in the ring before a processor is interrupted.
fn delay(interface: &str, set: Coalescing) -> Finding {
    let check = "delay of interrupts";
    let Coalescing { receive_us, receive_packets, is_adaptive } = set;
    let evidence = match (is_adaptive, receive_packets) {
        (true, _) => format!("{interface} adapts its interrupts to what arrives"),
        (false, 1) => format!("{interface} interrupts for each packet"),
        (false, _) => format!("{interface} interrupts {receive_us} µs after a packet at the latest"),
    };
    if is_adaptive || receive_packets == 1 || receive_us < LONG_US {
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Notice, evidence)
        .costs("each round trip may take that much longer")
        .fix(format!("ethtool -C {interface} rx-usecs 20"))
        .verify(format!("ethtool -c {interface} | grep rx-usecs:"))
}

/// Longer than drivers' defaults, and than a round trip through a switch.
const LONG_US: u32 = 100;

/// An offload: what an interface, or the stack next to it, can do for several packets at once.
struct OffloadCheck {
    check: &'static str,
    /// The system's name for it.
    name: &'static str,
    /// The name that ethtool shows it by.
    shown: &'static str,
    cost: &'static str,
}

const OFFLOADS: [OffloadCheck; 3] = [
    // Consecutive datagrams of one sender can go through the stack together.
    OffloadCheck {
        check: "generic receive offload",
        name: "rx-gro",
        shown: "generic-receive-offload",
        cost: "each datagram goes through the stack by itself: a stream of them costs up to twice the processor time",
    },
    OffloadCheck {
        check: "UDP segmentation offload",
        name: "tx-udp-segmentation",
        shown: "tx-udp-segmentation",
        cost: "trains are cut into datagrams by the processor, before the interface sees them",
    },
    OffloadCheck {
        check: "receive checksum offload",
        name: "rx-checksum",
        shown: "rx-checksumming",
        cost: "the processor computes the checksum of each datagram",
    },
];

impl OffloadCheck {
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
                format!("{name} is off for {interface}, which cannot turn it on"),
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
    fn an_interface_that_lost_packets_says_which() {
        let found = |line: &str| {
            let planted = Planted::new(&[("proc/net/dev", &format!("Inter-| Receive\n eth0: {line}\n"))]);
            drops(planted.tree(), "eth0")
        };
        assert_eq!(found("9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0").severity, Severity::Fine);
        assert_eq!(
            found("9 9 1 2 3 0 0 0 9 9 4 5 0 0 0 0").evidence,
            "eth0 dropped 5 on arrival, discarded 1 as damaged or too long, and dropped 9 on sending"
        );
        assert_eq!(found("9 9").severity, Severity::Unknown);
    }

    #[test]
    fn a_ring_that_was_full_and_can_be_longer_is_noticed() {
        let found = |missed: &str, now| {
            let planted = Planted::new(&[("sys/class/net/e/statistics/rx_missed_errors", missed)]);
            room(planted.tree(), "e", Setting { now, max: 4096 })
        };
        assert_eq!((found("0", 256).severity, found("7", 4096).severity), (Severity::Fine, Severity::Fine));
        let full = found("7", 256);
        assert_eq!(full.evidence, "a queue of e holds 256 packets, at most 4096; 7 found no room");
        assert_eq!((full.severity, full.fix.as_deref()), (Severity::Notice, Some("ethtool -G e rx 4096")));
    }

    #[test]
    fn interrupts_that_come_late_are_noticed() {
        let severity = |receive_us, receive_packets, is_adaptive| {
            delay("e", Coalescing { receive_us, receive_packets, is_adaptive }).severity
        };
        assert_eq!((severity(99, 0, false), severity(100, 0, false)), (Severity::Fine, Severity::Notice));
        assert_eq!(severity(250, 64, false), Severity::Notice);
        assert_eq!((severity(250, 1, false), severity(250, 0, true)), (Severity::Fine, Severity::Fine));
    }

    #[test]
    fn a_task_that_the_interface_could_do_is_noticed() {
        let severity = |is_on, can_change| {
            let offload = Offload { name: "rx-gro".to_owned(), is_on, can_change };
            OFFLOADS[0].examine(&[offload], "e").severity
        };
        assert_eq!((severity(true, true), severity(false, true)), (Severity::Fine, Severity::Notice));
        assert_eq!(severity(false, false), Severity::Fine, "it cannot be turned on");
        assert_eq!(OFFLOADS[0].examine(&[], "e").severity, Severity::Unknown);
    }
}
