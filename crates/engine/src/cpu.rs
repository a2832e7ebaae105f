//! The processors that this process may use, and keeping a thread on one of them.

use std::io;

/// The processors in this process's affinity mask, by the system's numbers, ascending. Never empty.
///
/// # Errors
/// The system does not tell.
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

#[cfg(test)]
mod tests {
    use super::*;

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
