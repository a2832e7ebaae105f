//! The cores a process may run on, and what ran on them.

use std::{fs, io, mem};

use crate::socket::check;

/// The cores that the calling thread may run on, in order.
///
/// # Errors
/// The system call fails.
pub fn allowed() -> io::Result<Vec<usize>> {
    // SAFETY: a set of cores is plain bits, and none of them set is a valid one.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the set is a local of the length given.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
    // SAFETY: the index stays below the size of the set.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect())
}

/// Pins the calling thread, and what it starts, to these cores.
///
/// Makes no allocation and takes no lock, so it may be called between `fork` and `exec`.
///
/// # Errors
/// One of the cores does not exist or is not allowed.
pub fn pin(cores: &[usize]) -> io::Result<()> {
    // SAFETY: a set of cores is plain bits, and none of them set is a valid one.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &core in cores.iter().filter(|&&core| core < libc::CPU_SETSIZE as usize) {
        // SAFETY: the index is below the size of the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: the set is a local of the length given.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

/// Times of cores since the system started, in ticks of [`TICKS_PER_SECOND`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// Spent on anything, interrupts included.
    pub busy: u64,
    /// Taken by the hypervisor for other machines.
    pub stolen: u64,
}

/// The ticks of a second in the kernel's tables, on every architecture that Linux runs on.
pub const TICKS_PER_SECOND: u64 = 100;

/// The summed times of these cores.
///
/// # Errors
/// There is no `/proc`.
pub fn times(cores: &[usize]) -> io::Result<Times> {
    Ok(sum(&fs::read_to_string("/proc/stat")?, cores))
}

/// Sums the lines of `/proc/stat` for these cores: user, nice, system, idle, iowait, irq, softirq, steal.
fn sum(stat: &str, cores: &[usize]) -> Times {
    let mut times = Times::default();
    for line in stat.lines() {
        let mut fields = line.split_whitespace();
        let name = fields.next().and_then(|name| name.strip_prefix("cpu"));
        let Some(core) = name.and_then(|name| name.parse::<usize>().ok()) else { continue };
        if !cores.contains(&core) {
            continue;
        }
        let ticks: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
        let tick = |index: usize| ticks.get(index).copied().unwrap_or(0);
        times.busy += tick(0) + tick(1) + tick(2) + tick(5) + tick(6);
        times.stolen += tick(7);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_only_the_cores_asked_for() {
        let stat = "cpu  9 9 9 9 9 9 9 9\ncpu0 1 2 3 100 100 4 5 6\ncpu1 10 20 30 100 100 40 50 60\nintr 5\n";
        let times = sum(stat, &[1]);
        assert_eq!((times.busy, times.stolen), (150, 60));
        let times = sum(stat, &[0, 1]);
        assert_eq!((times.busy, times.stolen), (165, 66));
    }

    #[test]
    fn a_pinned_thread_is_allowed_one_core() {
        let first = allowed().expect("affinity is readable")[0];
        std::thread::spawn(move || {
            pin(&[first]).expect("the core is allowed");
            assert_eq!(allowed().expect("affinity is readable"), [first]);
        })
        .join()
        .expect("the thread ends");
    }
}
