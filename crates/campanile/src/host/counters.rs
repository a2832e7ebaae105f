//! The system's counters of datagrams, interfaces and processors.

use serde::Serialize;

use super::device::DeviceCounters;
use super::text;

/// The current counters of the whole machine (or of the network namespace); `None` for those that the system does not report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Datagrams dropped because a socket's receive buffer was full, IPv4 and IPv6.
    pub receive_buffer_errors: Option<u64>,
    /// Datagrams not sent because a socket's send buffer was full.
    pub send_buffer_errors: Option<u64>,
    /// IP packets that were discarded on their way out, IPv4 and IPv6: an interface's queue was full, or a filter dropped them. A train
    /// counts as one.
    pub send_discarded: Option<u64>,
    /// Datagrams with a wrong checksum.
    pub checksum_errors: Option<u64>,
    /// Messages of other hosts that a destination cannot be reached, ICMP and ICMPv6.
    pub unreachable: Option<u64>,
    /// Packets dropped because a processor's backlog was full.
    pub backlog_dropped: Option<u64>,
    /// Times that a processor stopped receiving because its budget was spent, with work left.
    pub backlog_squeezed: Option<u64>,
    /// Packets that the interface dropped on receive, those that it had no memory for included.
    pub interface_receive_dropped: Option<u64>,
    /// Packets that the interface dropped on sending.
    pub interface_send_dropped: Option<u64>,
}

impl Counters {
    /// Reads all counters; those of an interface only if one is named.
    #[must_use]
    pub fn read(interface: Option<&str>) -> Self {
        let mut counters = Self::default();
        if let Some(v4) = text::read("/proc/net/snmp") {
            let of = |name| snmp_counter(&v4, "Udp", name);
            counters.send_discarded = snmp_counter(&v4, "Ip", "OutDiscards");
            counters.receive_buffer_errors = of("RcvbufErrors");
            counters.send_buffer_errors = of("SndbufErrors");
            counters.checksum_errors = of("InCsumErrors");
            counters.unreachable = snmp_counter(&v4, "Icmp", "InDestUnreachs");
        }
        if let Some(v6) = text::read("/proc/net/snmp6") {
            let add = |sum: &mut Option<u64>, name| *sum = plus(*sum, snmp6_counter(&v6, name));
            add(&mut counters.receive_buffer_errors, "Udp6RcvbufErrors");
            add(&mut counters.send_buffer_errors, "Udp6SndbufErrors");
            add(&mut counters.send_discarded, "Ip6OutDiscards");
            add(&mut counters.checksum_errors, "Udp6InCsumErrors");
            add(&mut counters.unreachable, "Icmp6InDestUnreachs");
        }
        if let Some(softnet) = text::read("/proc/net/softnet_stat") {
            counters.backlog_dropped = softnet_sum(&softnet, 1);
            counters.backlog_squeezed = softnet_sum(&softnet, 2);
        }
        let devices = interface.and_then(|_| text::read("/proc/net/dev"));
        if let Some(device) = interface.and_then(|name| DeviceCounters::parse(&devices?, name)) {
            counters.interface_receive_dropped = Some(device.receive_dropped);
            counters.interface_send_dropped = Some(device.send_dropped.saturating_add(device.send_damaged));
        }
        counters
    }

    /// What was counted between an earlier reading and this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Self {
            receive_buffer_errors: less(self.receive_buffer_errors, earlier.receive_buffer_errors),
            send_buffer_errors: less(self.send_buffer_errors, earlier.send_buffer_errors),
            send_discarded: less(self.send_discarded, earlier.send_discarded),
            checksum_errors: less(self.checksum_errors, earlier.checksum_errors),
            unreachable: less(self.unreachable, earlier.unreachable),
            backlog_dropped: less(self.backlog_dropped, earlier.backlog_dropped),
            backlog_squeezed: less(self.backlog_squeezed, earlier.backlog_squeezed),
            interface_receive_dropped: less(
                self.interface_receive_dropped,
                earlier.interface_receive_dropped,
            ),
            interface_send_dropped: less(self.interface_send_dropped, earlier.interface_send_dropped),
        }
    }
}

fn plus(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    }
}

/// A counter of `/proc/net/snmp` or `netstat`: a line of names, and below it a line of numbers.
pub(crate) fn snmp_counter(text: &str, row: &str, name: &str) -> Option<u64> {
    let mut rows = text.lines().filter_map(|line| line.strip_prefix(row)?.strip_prefix(": "));
    let (names, numbers) = (rows.next()?, rows.next()?);
    let index = names.split_whitespace().position(|word| word == name)?;
    numbers.split_whitespace().nth(index)?.parse().ok()
}

/// A counter of `/proc/net/snmp6`: a name and a number on each line.
pub(crate) fn snmp6_counter(text: &str, name: &str) -> Option<u64> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
    pairs.find(|(word, _)| *word == name)?.1.trim().parse().ok()
}

/// The sum of a column of `/proc/net/softnet_stat`: a line for each processor, in hexadecimal.
pub(crate) fn softnet_sum(text: &str, column: usize) -> Option<u64> {
    let numbers = text.lines().map(|line| u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok());
    numbers.reduce(plus).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_below_their_names() {
        let text = "Udp: InDatagrams NoPorts RcvbufErrors\nUdp: 7 8 9\nUdpLite: InDatagrams\nUdpLite: 1\n";
        assert_eq!(snmp_counter(text, "Udp", "RcvbufErrors"), Some(9));
        assert_eq!(snmp_counter(text, "UdpLite", "InDatagrams"), Some(1));
        assert_eq!(
            (snmp_counter(text, "Udp", "MemErrors"), snmp_counter("", "Udp", "NoPorts")),
            (None, None)
        );
        assert_eq!(snmp6_counter("Udp6InErrors   \t3\nUdp6NoPorts  4\n", "Udp6NoPorts"), Some(4));
        assert_eq!(softnet_sum("0a 10 1\n0b 0f 2\n", 1), Some(31));
        assert_eq!((softnet_sum("", 1), softnet_sum("0a\n", 1)), (None, None));
    }

    #[test]
    fn a_difference_needs_both_ends() {
        let one = Counters { checksum_errors: Some(5), backlog_dropped: Some(9), ..Counters::default() };
        let other = Counters { checksum_errors: Some(7), ..Counters::default() };
        assert_eq!(other.since(&one), Counters { checksum_errors: Some(2), ..Counters::default() });
    }
}
