//! What is wrong with an option.

use std::fmt;

/// Why an option was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionError {
    /// No option has this name.
    Unknown {
        /// The name that was given.
        name: String,
        /// The name that is most like it.
        nearest: &'static str,
    },
    /// The option does not take this value.
    Value {
        /// The option.
        name: &'static str,
        /// What it was given.
        value: String,
        /// What it takes.
        takes: &'static str,
    },
    /// The text is not TOML.
    Toml {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionError::Unknown { name, nearest } => {
                write!(f, "no option '{name}'; the nearest one is '{nearest}'")
            }
            OptionError::Value { name, value, takes } => write!(f, "'{value}' for {name}: {takes}"),
            OptionError::Toml { line, message } => write!(f, "line {line}: {message}"),
        }
    }
}

impl std::error::Error for OptionError {}
