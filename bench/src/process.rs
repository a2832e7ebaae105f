//! The processor time and memory of a process, from the kernel.

use std::ops::Sub;
use std::time::Duration;
use std::{fs, io, mem};

use serde::{Deserialize, Serialize};

/// Time of a process's threads, to the nanosecond. It includes the kernel's work for their system calls, and softirqs as long as
/// the kernel accounts interrupts to the task (`CONFIG_IRQ_TIME_ACCOUNTING` off).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time on a core.
    pub ran_ns: u64,
    /// Time in which it was ready to run but another thread had the core.
    pub waited_ns: u64,
    /// How often it was scheduled on a core.
    pub turns: u64,
}

impl Usage {
    /// The summed usage of the living threads of a process.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut usage = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and the read.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let mut fields = text.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
            usage.ran_ns += fields.next().unwrap_or(0);
            usage.waited_ns += fields.next().unwrap_or(0);
            usage.turns += fields.next().unwrap_or(0);
        }
        Ok(usage)
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            ran_ns: self.ran_ns.saturating_sub(earlier.ran_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
            turns: self.turns.saturating_sub(earlier.turns),
        }
    }
}

/// Processor time of all descendants of this process that have ended and been waited for. The kernel also splits it into user and
/// system time, but by sampling with its ticks: for the second that a sender runs, that split means nothing.
#[must_use]
pub fn ended_children() -> Duration {
    // SAFETY: the structure is plain numbers, for which zeros are values; the call fills in this local and nothing else.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        // It fails only for an unknown `who` or a bad address.
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let time = |part: libc::timeval| {
        Duration::from_secs(part.tv_sec as u64) + Duration::from_micros(part.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Resident memory of a process, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The peak (`VmHWM`).
    pub peak_kib: u64,
    /// The present value (`VmRSS`).
    pub now_kib: u64,
}

impl Memory {
    /// The memory of a process.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value =
                line.and_then(|line| line.split_whitespace().next()).and_then(|value| value.parse().ok());
            value.ok_or_else(|| io::Error::other(format!("{name} is not in the status of process {pid}")))
        };
        Ok(Self { peak_kib: field("VmHWM:")?, now_kib: field("VmRSS:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_of_this_process_are_there() {
        let before = Usage::of(std::process::id()).expect("own process");
        let memory = Memory::of(std::process::id()).expect("own process");
        assert!(before.turns > 0);
        assert!(memory.peak_kib >= memory.now_kib && memory.now_kib > 0);
        assert_eq!((before - before).ran_ns, 0);
    }

    #[test]
    fn time_of_a_child_counts_when_it_has_ended() {
        let before = ended_children();
        let counting = ["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"];
        let status = std::process::Command::new("sh").args(counting).status().expect("there is a shell");
        assert!(status.success() && ended_children() > before);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Usage::of(u32::MAX).is_err());
        assert!(Memory::of(u32::MAX).is_err());
    }
}
