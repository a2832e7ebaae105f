//! The live display of a load.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use campanile::load::{Load, LoadCounts};
use console::Term;

use crate::command_error::CommandError;
use crate::figures::{Count, Span};
use crate::output;

/// Shows the load until it ends: on a terminal one line that is rewritten, elsewhere a line each second.
pub(super) fn follow(load: &mut Load) -> Result<(), CommandError> {
    let is_terminal = io::stdout().is_terminal();
    let step = if is_terminal { Duration::from_millis(250) } else { Duration::from_secs(1) };
    let started = Instant::now();
    let sent_by = started + load.config().warm_up + load.config().duration;
    let mut last = (started, LoadCounts::default());
    while !load.wait(step) {
        let (at, counts) = (Instant::now(), load.progress());
        let moment = Moment {
            seconds: at.duration_since(started).as_secs_f64(),
            span: span(last.0, at, sent_by).as_secs_f64(),
            sent: counts.all_sent - last.1.all_sent,
            answered: counts.answered - last.1.answered,
            round_trips_ns: counts.round_trips_ns - last.1.round_trips_ns,
            any: counts.answered > 0,
            lost: counts.lost,
            server_busy_percent: load.server_busy_percent(),
        };
        if is_terminal {
            rewrite(&moment)?
        } else {
            output::line(&moment)?
        }
        last = (at, counts);
    }
    if is_terminal { rewrite("") } else { Ok(()) }
}

/// The part of an interval before the end of sending; all of it if it began after the end.
fn span(from: Instant, to: Instant, end: Instant) -> Duration {
    let to = if from < end { to.min(end) } else { to };
    to.duration_since(from)
}

/// Overwrites the last line, cut to the terminal's width, and leaves the cursor at its beginning.
fn rewrite(text: impl fmt::Display) -> Result<(), CommandError> {
    let (_, columns) = Term::stdout().size();
    let mut stdout = io::stdout().lock();
    write!(stdout, "\r{}\r", fitted(&text.to_string(), usize::from(columns)))?;
    Ok(stdout.flush()?)
}

/// A text cut or padded to all columns but the last, since writing there may begin a new line.
fn fitted(text: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1);
    let text: String = text.chars().take(room).collect();
    format!("{text:room$}")
}

/// What happened in a short interval.
struct Moment {
    /// The time since the start.
    seconds: f64,
    span: f64,
    sent: u64,
    answered: u64,
    round_trips_ns: u64,
    /// Whether anything was answered since the start.
    any: bool,
    /// Packets lost since the start.
    lost: u64,
    server_busy_percent: Option<f64>,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |count: u64| Count::rounded(count as f64 / self.span);
        let (seconds, lost) = (self.seconds, Count(self.lost));
        let Some(mean_ns) = self.round_trips_ns.checked_div(self.answered) else {
            let (sent, none) = (rate(self.sent), if self.any { "no reply" } else { "none measured yet" });
            return write!(f, "{seconds:4.0} s  {sent:>11} packets/s sent, {none}, lost {lost}");
        };
        let (answered, mean) = (rate(self.answered), Span::from_ns(mean_ns));
        write!(f, "{seconds:4.0} s  {answered:>11} packets/s  round trip {mean}  lost {lost}")?;
        match self.server_busy_percent {
            Some(busy) => write!(f, "  server {busy:.0} %"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_rates_of_its_own_time() {
        let moment = Moment {
            seconds: 3.0,
            span: 0.5,
            sent: 600,
            answered: 500,
            round_trips_ns: 50_000_000,
            any: true,
            lost: 7,
            server_busy_percent: None,
        };
        assert_eq!(moment.to_string(), "   3 s        1,000 packets/s  round trip 100.0 µs  lost 7");
        let silent = Moment { answered: 0, round_trips_ns: 0, ..moment };
        assert_eq!(silent.to_string(), "   3 s        1,200 packets/s sent, no reply, lost 7");
        let new = Moment { any: false, ..silent };
        assert_eq!(new.to_string(), "   3 s        1,200 packets/s sent, none measured yet, lost 7");
    }

    #[test]
    fn a_rate_is_that_of_the_time_in_which_something_was_sent() {
        let (from, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(span(from, from + second, from + second * 9), second);
        assert_eq!(span(from, from + second, from + second / 2), second / 2);
        assert_eq!(span(from + second, from + second * 2, from + second / 2), second);
    }

    #[test]
    fn a_line_leaves_no_rest_and_begins_no_other() {
        assert_eq!(
            (fitted("12 µs", 8), fitted("12 µs lost", 8)),
            ("12 µs  ".to_owned(), "12 µs l".to_owned())
        );
        assert_eq!(fitted("12", 0), "");
    }
}
