//! How fast the processors are there, and whose they are.

use super::tree::Tree;
use super::{Finding, Severity};
use crate::host::{Processors, Times};

pub(super) fn examine(tree: &Tree) -> Vec<Finding> {
    vec![governor(tree), stolen(Processors::read().all())]
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
    fn time_that_others_had_is_told() {
        let found = |steal_ns| stolen(Some(Times { steal_ns, all_ns: 1000, ..Times::default() }));
        assert_eq!((found(9).severity, found(20).severity), (Severity::Fine, Severity::Notice));
        assert!(found(20).evidence.starts_with("2.00 % "));
    }
}
