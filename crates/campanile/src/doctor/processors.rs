//! How fast the processors wake up, how much of them a hypervisor gives away, and how busy they are.

use std::thread;
use std::time::{Duration, Instant};

use campanile_engine::cpu;

use super::tree::Tree;
use super::{Finding, Severity, things};
use crate::host::{Processors, Times, softnet_sum};

pub(super) fn examine(tree: &Tree) -> Vec<Finding> {
    vec![governor(tree), stolen(Processors::read().all()), waking(tree, lateness())]
}

/// What the processors do during the rest of the examination.
pub(super) struct Watch {
    begun: Instant,
    before: Processors,
    packets: u64,
}

impl Watch {
    pub(super) fn begin(tree: &Tree) -> Self {
        Self { begun: Instant::now(), before: processors(tree), packets: packets(tree) }
    }

    /// Waits until it has lasted long enough, and judges.
    pub(super) fn end(self, tree: &Tree) -> Finding {
        thread::sleep(WATCHED.saturating_sub(self.begun.elapsed()));
        let packets = packets(tree).saturating_sub(self.packets);
        load(&self.before, &processors(tree), packets, self.begun.elapsed())
    }
}

/// The system counts in hundredths of a second; twenty of them resolve 5 %.
const WATCHED: Duration = Duration::from_millis(200);

fn processors(tree: &Tree) -> Processors {
    Processors::parse(&tree.text("proc/stat").unwrap_or_default())
}

/// How many packets all processors together took from interfaces and from each other.
fn packets(tree: &Tree) -> u64 {
    tree.text("proc/net/softnet_stat").and_then(|text| softnet_sum(&text, 0)).unwrap_or(0)
}

/// Whether one processor has time for nothing but interrupts while the others are idle.
fn load(before: &Processors, after: &Processors, packets: u64, watched: Duration) -> Finding {
    let check = "load of the processors";
    let each: Vec<(usize, Times)> = after.each_since(before).collect();
    let interrupted = |times: &Times| times.percent(times.irq_ns.saturating_add(times.softirq_ns));
    let most = each.iter().max_by(|one, other| interrupted(&one.1).total_cmp(&interrupted(&other.1)));
    let Some((hot, times)) = most else { return Finding::unknown(check) };
    let others = each.iter().filter(|(number, _)| number != hot);
    let work: f64 = others.map(|(_, times)| times.percent(times.busy_ns)).sum();
    let mean = work / each.len().saturating_sub(1).max(1) as f64;
    let evidence = format!(
        "within {:.1} s processor {hot} spent {:.0} % in interrupts, and the others were at work {mean:.0} %; \
         {} came to them",
        watched.as_secs_f64(),
        interrupted(times),
        things(packets, "packet"),
    );
    // Disks interrupt too, but not for packets.
    if each.len() < 2 || interrupted(times) < HOT || mean > IDLE || packets < PACKETS_MIN {
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Notice, evidence)
        .costs("one processor receives nearly all that it can, and more is lost while the others have time to spare")
        .fix("# more queues, or RPS: campanile doctor --interface NAME says how; what comes from one port stays on one processor")
        .verify("awk '/^cpu[0-9]/ { print $1, $7 + $8 }' /proc/stat  # twice: hundredths of a second in interrupts")
}

/// In percent; above it little time is left.
const HOT: f64 = 80.0;

/// In percent; below it the others could take some of it.
const IDLE: f64 = 60.0;

/// Fewer packets are not what keeps a processor busy.
const PACKETS_MIN: u64 = 1000;

/// Whether a waiting thread wakes up in time.
fn waking(tree: &Tree, mut late: Vec<Duration>) -> Finding {
    let check = "wake-up delay";
    late.sort_unstable();
    let Some((median, worst)) = late.get(late.len() / 2).zip(late.last()) else {
        return Finding::unknown(check);
    };
    let mut evidence = format!(
        "a thread that sleeps for {} ms is {} µs late (median of {}), {} µs at worst",
        NAP.as_millis(),
        median.as_micros(),
        late.len(),
        worst.as_micros()
    );
    if let Some(state_us) = deepest_us(tree).filter(|&state_us| state_us > 0) {
        evidence += &format!("; the deepest idle state takes {state_us} µs to leave");
    }
    if *median < LATE {
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Notice, evidence)
        .costs("whatever waits for a packet or a timer continues that much later: longer round trips, an uneven pace")
        .fix("# less else to do for these processors (see top), and a kernel with high-resolution timers (without highres=off)")
        .verify("campanile doctor | grep 'wake-up delay'")
}

/// How long the first processor takes to leave the deepest idle state that is enabled.
fn deepest_us(tree: &Tree) -> Option<u64> {
    let folder = "sys/devices/system/cpu/cpu0/cpuidle";
    let of = |state: &String, name| tree.number(&format!("{folder}/{state}/{name}"));
    let states = tree.names(folder);
    states
        .iter()
        .filter(|state| of(state, "disable") == Some(0))
        .filter_map(|state| of(state, "latency"))
        .max()
}

/// How late a thread woke up, for each of several naps.
fn lateness() -> Vec<Duration> {
    let nap = |_| {
        let begun = Instant::now();
        thread::sleep(NAP);
        begun.elapsed().saturating_sub(NAP)
    };
    let measure = move || {
        cpu::wake_on_time();
        (0..NAPS).map(nap).collect()
    };
    // In a thread of its own: the request to be woken on time applies to a thread for good.
    thread::spawn(measure).join().unwrap_or_default()
}

const NAP: Duration = Duration::from_millis(1);
const NAPS: usize = 25;

/// As late as this is a system whose timers follow its clock's ticks, or one that has too much to do.
const LATE: Duration = Duration::from_millis(1);

/// Time that this virtual machine wanted and others got.
fn stolen(since_start: Option<Times>) -> Finding {
    let check = "time of the processors";
    let Some(times) = since_start.filter(|times| times.all_ns > 0) else {
        return Finding::unknown(check);
    };
    let percent = times.percent(times.steal_ns);
    let evidence = format!("{percent:.2} % was given to other machines on the same host since the start");
    if percent < 1.0 {
        return Finding::new(check, Severity::Fine, evidence);
    }
    Finding::new(check, Severity::Notice, evidence)
        .costs("while it is given away nothing is taken from the network: queues overflow and round trips are long")
        .fix("# ask the host for dedicated processors")
        .verify("awk '/^cpu / { print $9 }' /proc/stat")
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
            let evidence = format!("{slow} of {all} processors do not have the governor performance");
            Finding::new(check, Severity::Notice, evidence)
                .costs("the first packets after a pause find a slow processor: longer round trips")
                .fix("cpupower frequency-set --governor performance")
                .verify("cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Planted;
    use super::*;

    #[test]
    fn a_slow_governor_is_seen() {
        let planted = Planted::new(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
        ]);
        assert!(governor(planted.tree()).evidence.starts_with("1 of 2 processors"));
    }

    #[test]
    fn time_taken_by_others_is_reported() {
        let found = |steal_ns| stolen(Some(Times { steal_ns, all_ns: 1000, ..Times::default() }));
        assert_eq!((found(9).severity, found(20).severity), (Severity::Fine, Severity::Notice));
        assert!(found(20).evidence.starts_with("2.00 % "));
    }

    #[test]
    fn one_processor_that_receives_alone_is_noticed() {
        let idle = Processors::parse("cpu0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 0\n");
        let found = |one: &str, other: &str, packets| {
            let text = format!("cpu0 {other}\ncpu1 {one}\ncpu2 {other}\n");
            load(&idle, &Processors::parse(&text), packets, WATCHED)
        };
        let (hot, quiet, busy) = ("0 0 1 0 0 2 17 0", "1 0 1 18 0 0 0 0", "19 0 1 0 0 0 0 0");
        let alone = found(hot, quiet, 9000);
        assert_eq!(alone.severity, Severity::Notice);
        assert_eq!(
            alone.evidence,
            "within 0.2 s processor 1 spent 95 % in interrupts, and the others were at work 10 %; 9000 packets came to them"
        );
        assert_eq!(found(hot, busy, 9000).severity, Severity::Fine, "all have work");
        assert_eq!(found(hot, quiet, 9).severity, Severity::Fine, "it is not for packets");
        assert_eq!(found("0 0 1 9 0 0 10 0", quiet, 9000).severity, Severity::Fine);
        assert_eq!(load(&idle, &Processors::parse(""), 9000, WATCHED).severity, Severity::Unknown);
    }

    #[test]
    fn a_watch_waits_until_it_can_tell() {
        let planted =
            Planted::new(&[("proc/stat", "cpu0 0 0 0 9 0 0 0 0\n"), ("proc/net/softnet_stat", "0a 0 0\n")]);
        let watch = Watch::begin(planted.tree());
        let begun = watch.begun;
        assert_eq!((watch.packets, watch.end(planted.tree()).severity), (10, Severity::Fine));
        assert!(begun.elapsed() >= WATCHED);
    }

    #[test]
    fn mostly_late_wake_ups_are_reported() {
        let planted = Planted::new(&[
            ("sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "1\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state0/disable", "0\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "170\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "890\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "1\n"),
        ]);
        let found = |late: [u64; 3]| waking(planted.tree(), late.map(Duration::from_micros).into());
        assert_eq!(
            found([4000, 60, 50]).evidence,
            "a thread that sleeps for 1 ms is 60 µs late (median of 3), 4000 µs at worst; \
             the deepest idle state takes 170 µs to leave"
        );
        assert_eq!(
            (found([4000, 999, 50]).severity, found([4000, 1000, 50]).severity),
            (Severity::Fine, Severity::Notice)
        );
        assert_eq!(waking(planted.tree(), Vec::new()).severity, Severity::Unknown);
        assert_eq!(lateness().len(), NAPS);
    }
}
