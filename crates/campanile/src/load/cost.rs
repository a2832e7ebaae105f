//! What a load cost this client.

use std::time::Duration;

use serde::Serialize;

use super::report::LoadCounts;
use super::watch::Watched;

/// Processor time, warm-up included; `None` where the system does not report it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Of the workers for each packet sent, its reply included, in nanoseconds.
    pub cpu_ns_per_packet: Option<f64>,
    /// How busy the workers were on average, in percent of a core each.
    pub busy_percent: Option<f64>,
    /// Of the whole machine in software interrupts for each packet sent, in nanoseconds: the receive half of the network stack.
    pub softirq_ns_per_packet: Option<f64>,
    /// That time is also counted as that of the interrupted threads, because this kernel does not time interrupts.
    pub softirq_in_threads: bool,
    /// How busy all processors of this machine were, by this client or others.
    pub machine_busy_percent: Option<f64>,
    /// The same as a sum over all processors, in nanoseconds.
    pub machine_busy_ns: u64,
    /// The share of all processors' time that the hypervisor gave to other machines.
    pub steal_percent: Option<f64>,
    /// The busiest of the processors that the workers are pinned to.
    pub busiest: Option<Busiest>,
}

/// A processor, and how busy it was, by this client or others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Busiest {
    /// The system's number of it.
    pub core: usize,
    /// In percent.
    pub busy_percent: f64,
}

impl Cost {
    /// `active` is the time of sending, `cores` are the processors of the workers.
    pub(super) fn new(counts: &LoadCounts, active: Duration, cores: &[usize], processors: &Watched) -> Self {
        let each = |ns: u64| ns as f64 / counts.all_sent.max(1) as f64;
        let percent = |ns: u64, of_ns: u64| ns as f64 * 100.0 / of_ns.max(1) as f64;
        let cpu_ns = Some(counts.cpu_ns).filter(|&ns| ns > 0);
        let active_ns = active.as_nanos() as u64 * cores.len() as u64;
        let Watched { before, after } = processors;
        let all = after.all().zip(before.all()).map(|(after, before)| after.since(before));
        let busiest = after.busiest(before, cores);
        Self {
            cpu_ns_per_packet: cpu_ns.map(each),
            busy_percent: cpu_ns.map(|ns| percent(ns, active_ns).min(100.0)),
            softirq_ns_per_packet: all.map(|all| each(all.softirq_ns)),
            softirq_in_threads: after.all().is_some_and(|since_start| since_start.irq_ns == 0),
            machine_busy_percent: all.map(|all| percent(all.busy_ns, all.all_ns)),
            steal_percent: all.map(|all| percent(all.steal_ns, all.all_ns)),
            machine_busy_ns: all.map_or(0, |all| all.busy_ns),
            busiest: busiest.map(|(core, busy_percent)| Busiest { core, busy_percent }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Processors;

    #[test]
    fn time_is_shared_among_packets_and_workers() {
        let counts = LoadCounts { all_sent: 100, cpu_ns: 150_000_000, ..LoadCounts::default() };
        let before = Processors::parse("cpu  0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\n");
        let after = Processors::parse("cpu  5 0 8 5 0 0 2 0\ncpu0 5 0 4 0 0 0 1 0\ncpu1 0 0 4 5 0 0 1 0\n");
        let cost = Cost::new(&counts, Duration::from_millis(100), &[0, 1], &Watched { before, after });
        assert_eq!((cost.cpu_ns_per_packet, cost.busy_percent), (Some(1_500_000.0), Some(75.0)));
        assert_eq!((cost.softirq_ns_per_packet, cost.machine_busy_percent), (Some(200_000.0), Some(75.0)));
        assert_eq!(cost.busiest, Some(Busiest { core: 0, busy_percent: 100.0 }));
        assert!(cost.softirq_in_threads, "none was timed");
    }
}
