//! The processors that this process may use, and keeping a thread on one of them.

use std::io;
use std::time::Duration;

/// The processors in this process's affinity mask, by the system's numbers, ascending. Never empty.
///
/// # Errors
/// The system does not report it.
pub fn allowed() -> io::Result<Vec<usize>> {
    crate::sys::allowed_cpus()
}

/// Keeps the calling thread on one processor.
///
/// # Errors
/// There is no such processor, or it is outside what this process may use.
pub fn pin(cpu: usize) -> io::Result<()> {
    crate::sys::pin(cpu)
}

/// Asks the system to end the calling thread's waits at their deadlines, not a little later together with other timers (Linux delays
/// them by up to 50 µs). Nothing happens where the system has no such request.
pub fn wake_on_time() {
    crate::sys::wake_on_time();
}

/// The processor time that the calling thread has used, in user and in kernel mode; `None` where the system does not report it.
#[must_use]
pub fn thread_time() -> Option<Duration> {
    crate::sys::thread_time()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_of_its_thread() {
        wake_on_time();
        let before = thread_time().expect("the system tells");
        while thread_time().expect("the system tells") < before + Duration::from_millis(20) {}
        let idle = std::thread::spawn(thread_time).join().expect("it does not panic");
        assert!(idle.expect("the system tells") < Duration::from_millis(20), "another thread has its own");
    }

    #[test]
    fn a_thread_stays_where_it_was_put() {
        let allowed = allowed().expect("the system tells");
        let last = *allowed.last().expect("never empty");
        std::thread::spawn(move || {
            pin(last).expect("an allowed processor");
            assert_eq!(crate::cpu::allowed().expect("the system tells"), [last]);
        })
        .join()
        .expect("the assertion holds");
    }

    #[test]
    fn a_processor_that_is_not_there_is_refused() {
        assert!(pin(100_000).is_err());
    }
}
