//! Standard output: lines of text, or one JSON value per line.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::command_error::CommandError;

/// Writes a line and flushes it.
///
/// # Errors
/// The output is no longer read, or its device is full: the command ends.
pub(crate) fn line(text: impl fmt::Display) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Writes a value as a line of JSON.
///
/// # Errors
/// As [`line()`].
pub(crate) fn json(value: &impl Serialize) -> Result<(), CommandError> {
    line(serde_json::to_string(value).map_err(io::Error::from)?)
}

/// Writes an event as a line of JSON that begins with the event's name.
///
/// # Errors
/// As [`line()`].
pub(crate) fn event(name: &str, facts: &impl Serialize) -> Result<(), CommandError> {
    json(&Event { event: name, facts })
}

/// Writes the same without flushing.
///
/// # Errors
/// As [`line()`].
pub(crate) fn write_event(
    out: &mut impl Write,
    name: &str,
    facts: &impl Serialize,
) -> Result<(), CommandError> {
    serde_json::to_writer(&mut *out, &Event { event: name, facts }).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

#[derive(Serialize)]
struct Event<'a, T> {
    event: &'a str,
    #[serde(flatten)]
    facts: &'a T,
}

/// A text without line breaks and control characters, whatever file names are in it.
pub(crate) struct InLine<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for InLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        text.chars().try_for_each(|char| match char {
            char if char.is_control() => char.escape_default().fmt(f),
            char => char.fmt(f),
        })
    }
}

/// Writes a line to standard error. Errors of that are ignored.
pub(crate) fn aside(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes a note about something unusual to standard error.
pub(crate) fn note(text: impl fmt::Display) {
    aside(format_args!("note: {}", InLine(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_line() {
        assert_eq!(InLine("a\nb\u{1b}[2Jc\u{fc}").to_string(), "a\\nb\\u{1b}[2Jc\u{fc}");
    }
}
