//! What a script of the shell leaves in the background does not outlive the test that failed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, id};
use std::thread;
use std::time::{Duration, Instant};

use campanile_rig::{Process, network, shell};

/// How many processes have this among their arguments.
fn processes_of(mark: &str) -> usize {
    let all = fs::read_dir("/proc").expect("it is there on Linux").flatten();
    let arguments = all.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    arguments.filter(|arguments| String::from_utf8_lossy(arguments).contains(mark)).count()
}

/// Panics while a loop runs in the background and another one in front; gives how many of their processes are left a while later.
fn left_by_a_panic(mark: &str, command: &mut Command) -> usize {
    let failed = catch_unwind(AssertUnwindSafe(|| {
        let mut shell = Process::start("shell", command).expect("it starts");
        shell.line(PATIENCE, |line| line == "ready").expect("both run");
        assert_eq!(processes_of(mark), 0, "they run");
    }));
    assert!(failed.is_err(), "{mark}: there was nothing to leave");
    let end = Instant::now() + Duration::from_secs(10);
    while processes_of(mark) > 0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    processes_of(mark)
}

#[test]
fn a_panic_leaves_no_process_behind() {
    let Some(network) = network(1) else { return };
    let script = |mark: &str| {
        format!(
            "(: {mark}; while :; do sleep 0.05; done) & (while :; do sleep 0.05; done) & echo ready; wait"
        )
    };
    let mark = format!("shell of its own {}", id());
    assert_eq!(left_by_a_panic(&mark, &mut shell(&script(&mark), "sh")), 0);
    let mark = format!("shell on a node {}", id());
    assert_eq!(left_by_a_panic(&mark, &mut network.nodes()[0].shell(&script(&mark))), 0);
}

/// Longer than it takes to begin.
const PATIENCE: Duration = Duration::from_secs(120);
