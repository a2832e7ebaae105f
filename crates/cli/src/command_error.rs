//! How a command fails: with one line that says what is wrong and what to do, and an exit code.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::output::InLine;
use crate::system_error::room;

/// A failure with its exit code and its hint.
#[derive(Debug)]
pub(crate) struct CommandError {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

/// The kind of a failure, which determines the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The run failed: exit code 1.
    Failed,
    /// The arguments cannot be used: exit code 2.
    BadInput,
    /// The run did not reach its goal: exit code 3.
    Incomplete,
    /// A text that the user asked for, such as help: printed to standard output, exit code 0.
    Asked,
    /// The help page on standard error, because the command is missing: exit code 2.
    Page,
    /// The output is no longer read. That ends the command, but is not a failure: exit code 0.
    Unread,
}

impl CommandError {
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Failed, message: message.to_string(), hint: None }
    }

    pub(crate) fn bad_input(message: impl fmt::Display) -> Self {
        Self { kind: Kind::BadInput, message: message.to_string(), hint: None }
    }

    pub(crate) fn incomplete(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Incomplete, message: message.to_string(), hint: None }
    }

    /// Adds a hint: what to do about the failure.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds a hint, where there is one.
    pub(crate) fn hint_if(self, hint: Option<&'static str>) -> Self {
        Self { hint: hint.map(str::to_owned).or(self.hint), ..self }
    }

    /// The error, unless it is that the output is no longer read.
    pub(crate) fn unless_unread(self) -> Result<(), Self> {
        if self.kind == Kind::Unread { Ok(()) } else { Err(self) }
    }

    /// Prints the failure and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // If this cannot be written, there is nowhere left to report it.
        let _ = match self.kind {
            Kind::Unread => Ok(()),
            Kind::Asked => return self.print(),
            Kind::Page => write!(io::stderr(), "{self}"),
            Kind::Failed | Kind::BadInput | Kind::Incomplete => {
                writeln!(io::stderr(), "error: {}", InLine(self))
            }
        };
        match self.kind {
            Kind::Asked | Kind::Unread => ExitCode::SUCCESS,
            Kind::Failed => ExitCode::from(1),
            Kind::BadInput | Kind::Page => ExitCode::from(2),
            Kind::Incomplete => ExitCode::from(3),
        }
    }

    /// Prints the text that was asked for.
    fn print(&self) -> ExitCode {
        let mut stdout = io::stdout();
        match write!(stdout, "{self}").and_then(|()| stdout.flush()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Self::from(error).report(),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl From<clap::Error> for CommandError {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        let whole = |kind| Self { kind, message: text.clone(), hint: None };
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => whole(Kind::Asked),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => whole(Kind::Page),
            // The message says which values are allowed, so it needs no tips.
            ErrorKind::ValueValidation => Self::bad_input(in_one_line(&text)),
            _ => Self::bad_input(in_one_line(&text)).hint("see --help"),
        }
    }
}

impl From<io::Error> for CommandError {
    /// An error of writing to the output.
    fn from(error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::Unread } else { Kind::Failed };
        Self { kind, message: format!("cannot write the output: {error}"), hint: None }.hint_if(room(&error))
    }
}

/// The message and the tips of the argument parser's rendered error, without the usage.
fn in_one_line(rendered: &str) -> String {
    let end = ["\nUsage:", "\nFor more information"].iter().filter_map(|mark| rendered.find(mark)).min();
    let told = &rendered[..end.unwrap_or(rendered.len())];
    let told = told.strip_prefix("error: ").unwrap_or(told);
    let mut line = String::new();
    for part in told.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_and_its_hint_are_one_line() {
        let error = CommandError::bad_input("port 5000 is in use").hint("choose another");
        assert_eq!(error.to_string(), "port 5000 is in use; choose another");
    }

    #[test]
    fn a_parser_error_loses_its_usage() {
        let rendered = "error: required arguments were not provided:\n  <PORT>\n\nUsage: x\n\nFor more information, try '--help'.\n";
        assert_eq!(in_one_line(rendered), "required arguments were not provided: <PORT>");
        assert_eq!(in_one_line("error: no\n\nFor more information, try '--help'.\n"), "no");
        let with_tip = "error: unrecognized subcommand 'ech'\n\n  tip: there is 'echo'\n\nUsage: x\n";
        assert_eq!(in_one_line(with_tip), "unrecognized subcommand 'ech'; tip: there is 'echo'");
        assert_eq!(in_one_line("odd"), "odd");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let kind = |kind: io::ErrorKind| CommandError::from(io::Error::from(kind)).kind;
        assert_eq!(kind(io::ErrorKind::BrokenPipe), Kind::Unread);
        assert_eq!(kind(io::ErrorKind::StorageFull), Kind::Failed);
    }
}
