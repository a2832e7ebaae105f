//! What a network device has counted.

/// Packets, counted by one network device of this network namespace. `/sys` has the same counters, but shows the namespace in which it was
/// mounted ([`has_files`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceCounters {
    pub(crate) received: u64,
    /// Damaged or too long.
    pub(crate) receive_damaged: u64,
    /// For lack of memory or of time.
    pub(crate) receive_dropped: u64,
    pub(crate) send_damaged: u64,
    pub(crate) send_dropped: u64,
}

impl DeviceCounters {
    /// Parses the text of `/proc/net/dev`. A line has a name, then bytes, packets, errors, drops, FIFO errors, frame errors, compressed and
    /// multicast packets for receiving; then the same kinds for sending. `None` if there is no line of that interface.
    pub(crate) fn parse(text: &str, interface: &str) -> Option<Self> {
        let line =
            text.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
        let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [_, received, receive_damaged, dropped, no_room, _, _, _, _, _, send_damaged, send_dropped, ..] =
            numbers[..]
        else {
            return None;
        };
        let receive_dropped = dropped.saturating_add(no_room);
        Some(Self { received, receive_damaged, receive_dropped, send_damaged, send_dropped })
    }

    /// Packets that arrived at it and were lost there.
    pub(crate) fn receive_lost(self) -> u64 {
        self.receive_damaged.saturating_add(self.receive_dropped)
    }
}

/// Whether what `/sys` shows by this name, if anything, is the interface of this network namespace. Interfaces of two namespaces may have
/// the same name, but their packet counts differ. `text` reads a file, by its path without the first slash.
pub(crate) fn has_files(interface: &str, text: impl Fn(&str) -> Option<String>) -> bool {
    let received = || {
        text("proc/net/dev")
            .and_then(|listed| DeviceCounters::parse(&listed, interface))
            .map(|own| own.received)
    };
    let before = received();
    let file = text(&format!("sys/class/net/{interface}/statistics/rx_packets"));
    let count: Option<u64> = file.and_then(|count| count.trim().parse().ok());
    count.is_none_or(|count| (before..=received()).contains(&Some(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_another_namespace_count_other_packets() {
        let is_own = |packets: &str| {
            has_files("e", |path| match path {
                "proc/net/dev" => Some("face |\n e: 9 7 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n".to_owned()),
                "sys/class/net/e/statistics/rx_packets" => Some(packets.to_owned()),
                _ => None,
            })
        };
        assert!(is_own("7\n") && !is_own("6\n") && !is_own("8\n"));
        assert!(has_files("f", |_| None), "there is none that could be another's");
    }

    #[test]
    fn an_interface_is_found_by_its_whole_name() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes  packets\n\
                    veth0: 9 8 7 6 5 0 0 0 9 9 4 3 0 0 0 0\n  eth0:9 1 2 3 4 0 0 0 9 9 5 6 0 0 0 0\n    lo: 9\n";
        let eth0 = DeviceCounters {
            received: 1,
            receive_damaged: 2,
            receive_dropped: 7,
            send_damaged: 5,
            send_dropped: 6,
        };
        assert_eq!(DeviceCounters::parse(text, "eth0"), Some(eth0));
        assert_eq!(["eth", "lo", "../eth0"].map(|name| DeviceCounters::parse(text, name)), [None; 3]);
    }
}
