//! How a load is doing, while it is.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use campanile::load::{Load, LoadCounts};

use crate::command_error::CommandError;
use crate::figures::{Count, Span};
use crate::output;

/// Shows the load until it has ended: on a terminal one line that changes, elsewhere a line each second.
pub(super) fn follow(load: &mut Load) -> Result<(), CommandError> {
    let is_terminal = io::stdout().is_terminal();
    let step = if is_terminal { Duration::from_millis(250) } else { Duration::from_secs(1) };
    let started = Instant::now();
    let mut last = (started, LoadCounts::default());
    while !load.wait(step) {
        let (at, counts) = (Instant::now(), load.progress());
        let moment = Moment {
            seconds: at.duration_since(started).as_secs_f64(),
            span: at.duration_since(last.0).as_secs_f64(),
            sent: counts.all_sent - last.1.all_sent,
            answered: counts.answered - last.1.answered,
            round_trips_ns: counts.round_trips_ns - last.1.round_trips_ns,
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

/// Writes a line over the last one, and stays at its begin.
fn rewrite(text: impl fmt::Display) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "\r{:78}\r", text.to_string())?;
    Ok(stdout.flush()?)
}

/// What happened in a short time.
struct Moment {
    /// Since the start.
    seconds: f64,
    span: f64,
    sent: u64,
    answered: u64,
    round_trips_ns: u64,
    /// Since the start.
    lost: u64,
    server_busy_percent: Option<f64>,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |count: u64| Count::rounded(count as f64 / self.span);
        let (seconds, lost) = (self.seconds, Count(self.lost));
        let Some(mean_ns) = self.round_trips_ns.checked_div(self.answered) else {
            let sent = rate(self.sent);
            return write!(f, "{seconds:4.0} s  {sent:>11} packets/s sent, none measured yet, lost {lost}");
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
            lost: 7,
            server_busy_percent: None,
        };
        assert_eq!(moment.to_string(), "   3 s        1,000 packets/s  round trip 100.0 µs  lost 7");
        let silent = Moment { answered: 0, round_trips_ns: 0, ..moment };
        assert_eq!(silent.to_string(), "   3 s        1,200 packets/s sent, none measured yet, lost 7");
    }
}
