//! What a load cost this client.

use std::time::Duration;

use serde::Serialize;

use super::report::LoadCounts;
use crate::host::Counters;

/// Processor time, warm-up included; `None` where the system does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Of the workers for each packet sent, its reply included, in nanoseconds.
    pub cpu_ns_per_packet: Option<f64>,
    /// How busy the workers were on average, in percent of a core each.
    pub busy_percent: Option<f64>,
    /// Of the whole machine in software interrupts for each packet sent, in nanoseconds: the receive half of the network stack, which
    /// is charged to no process.
    pub softirq_ns_per_packet: Option<f64>,
    /// How busy all processors of this machine were, whoever's work it was.
    pub machine_busy_percent: Option<f64>,
}

impl Cost {
    /// `active` is the time of sending of all workers together.
    pub(super) fn new(counts: &LoadCounts, active: Duration, system: &Counters) -> Self {
        let each = |ns: u64| ns as f64 / counts.all_sent.max(1) as f64;
        let percent = |ns: u64, of_ns: u64| ns as f64 * 100.0 / of_ns.max(1) as f64;
        let cpu_ns = Some(counts.cpu_ns).filter(|&ns| ns > 0);
        Self {
            cpu_ns_per_packet: cpu_ns.map(each),
            busy_percent: cpu_ns.map(|ns| percent(ns, active.as_nanos() as u64).min(100.0)),
            softirq_ns_per_packet: system.softirq_ns.map(each),
            machine_busy_percent: system
                .busy_ns
                .zip(system.processor_ns)
                .map(|(ns, all_ns)| percent(ns, all_ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shared_among_packets_and_workers() {
        let counts = LoadCounts { all_sent: 100, cpu_ns: 150_000, ..LoadCounts::default() };
        let system = Counters {
            softirq_ns: Some(20_000),
            busy_ns: Some(30_000),
            processor_ns: Some(40_000),
            ..Counters::default()
        };
        let cost = Cost::new(&counts, Duration::from_nanos(200_000), &system);
        assert_eq!((cost.cpu_ns_per_packet, cost.busy_percent), (Some(1500.0), Some(75.0)));
        assert_eq!((cost.softirq_ns_per_packet, cost.machine_busy_percent), (Some(200.0), Some(75.0)));
    }
}
