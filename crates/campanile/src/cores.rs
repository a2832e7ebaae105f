//! Which processors a run uses.

use std::fmt;
use std::io;

use campanile_engine::cpu;

/// The processors that this process may use, by the system's numbers, ascending. Never empty.
///
/// # Errors
/// The system does not report it.
pub fn allowed() -> io::Result<Vec<usize>> {
    cpu::allowed()
}

/// The first `count` of the processors that this process may use.
///
/// # Errors
/// `count` is 0 or more than there are.
pub fn first(count: usize) -> Result<Vec<usize>, CoresError> {
    let mut cores = allowed().map_err(CoresError::System)?;
    if count == 0 || count > cores.len() {
        return Err(CoresError::Count { asked: count, available: cores.len() });
    }
    cores.truncate(count);
    Ok(cores)
}

/// The named processors, or all of them if none is named.
pub(crate) fn or_all(named: &[usize]) -> io::Result<Vec<usize>> {
    if named.is_empty() { allowed() } else { Ok(named.to_vec()) }
}

/// Why a process does not get the processors that it asked for.
#[derive(Debug)]
pub enum CoresError {
    /// None, or more than there are.
    Count {
        /// How many were asked for.
        asked: usize,
        /// How many this process may use.
        available: usize,
    },
    /// The system did not report which there are.
    System(io::Error),
}

impl fmt::Display for CoresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { asked, available } => {
                write!(f, "{asked} cores cannot be had: this process may use {available}")
            }
            Self::System(error) => write!(f, "the system does not tell its cores: {error}"),
        }
    }
}

impl std::error::Error for CoresError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_those_allowed_are_taken() {
        let all = allowed().expect("the system tells");
        assert_eq!(first(all.len()).expect("all of them"), all);
        assert_eq!(first(1).expect("one is always there"), all[..1]);
        assert_eq!(or_all(&[]).expect("the system tells"), all);
        assert_eq!(or_all(&[7]).expect("named is taken"), [7]);
    }

    #[test]
    fn none_and_too_many_are_refused() {
        let there = allowed().expect("the system tells").len();
        for count in [0, there + 1, usize::MAX] {
            let error = first(count).expect_err("out of range");
            assert!(
                matches!(error, CoresError::Count { asked, available } if asked == count && available == there)
            );
        }
    }
}
