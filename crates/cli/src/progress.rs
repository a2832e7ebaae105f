//! The progress of a transfer: lines and a bar for people, one JSON value per line for scripts.

use std::fmt;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::output;

/// Something that happened, printed for people as `Display`, for scripts as `Serialize`.
pub(crate) trait Event: Serialize + fmt::Display {
    /// The name of the event for scripts.
    const NAME: &'static str;
}

/// How a run ended, as the first word of its summary.
pub(crate) fn ended(interrupted: bool) -> &'static str {
    if interrupted { "interrupted" } else { "finished" }
}

/// Prints the progress of a transfer.
pub(crate) struct Printer {
    json: bool,
    /// On standard error, if that is a terminal and the output is for people.
    bar: Option<ProgressBar>,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        // Without a terminal, or on one that cannot move its cursor (TERM=dumb), there is no bar.
        let is_shown = !json && !ProgressDrawTarget::stderr().is_hidden();
        // The bar is hidden until the transfer begins.
        let bar = || ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        Self { json, bar: is_shown.then(bar) }
    }

    /// Whether the output is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether a bar is shown.
    pub(crate) fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Prints an event, above the bar if there is one. When the output is no longer read, the transfer still continues.
    ///
    /// # Errors
    /// Writing fails for another reason, as on a full device.
    pub(crate) fn print<T: Event>(&self, event: &T) -> Result<(), CommandError> {
        let printed = match &self.bar {
            _ if self.json => output::event(T::NAME, event),
            Some(bar) => bar.suspend(|| output::line(event)),
            None => output::line(event),
        };
        printed.or_else(CommandError::unless_unread)
    }

    /// Writes a note for people to standard error; scripts can tell it from later events.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            _ if self.json => {}
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Begins to show the progress to `total` bytes, of which `had` are there already.
    pub(crate) fn begin(&self, had: u64, total: u64) {
        let Some(bar) = &self.bar else { return };
        let style = ProgressStyle::with_template(FORM).expect("the form is right");
        let pace = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar cannot handle an error.
            let _ = out.write_str(&pace(state.per_sec(), state.eta()));
        };
        bar.set_style(style.progress_chars("=> ").with_key("pace", pace));
        bar.set_length(total);
        bar.set_position(had);
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        // The rate counts only what arrives from now on.
        bar.reset_eta();
    }

    /// Updates the progress.
    pub(crate) fn show(&self, bytes: u64, message: impl FnOnce() -> String) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(bytes);
        bar.set_message(message());
    }

    /// How many lines fit below the bar and one more line without scrolling the screen's contents away.
    pub(crate) fn room(&self) -> usize {
        let (rows, _) = Term::stderr().size();
        usize::from(rows).saturating_sub(3)
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The rate and the time left; empty while they are not known.
fn pace(bytes_per_second: f64, left: Duration) -> String {
    if bytes_per_second < 1.0 {
        return String::new();
    }
    format!(", {}/s, {:#} left", DecimalBytes(bytes_per_second as u64), HumanDuration(left))
}

const FORM: &str = "[{bar:30}] {percent:>3} % of {decimal_total_bytes}{pace}{msg}";

/// A periodic timer.
pub(crate) struct Ticker {
    interval: Duration,
    due: Instant,
}

impl Ticker {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, due: Instant::now() + interval }
    }

    /// Whether the interval has passed since this last returned true.
    pub(crate) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.due;
        if is_due {
            self.due = now + self.interval;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_pace_is_not_shown() {
        assert_eq!(pace(0.0, Duration::ZERO), "");
        assert_eq!(pace(2_500_000.0, Duration::from_secs(30)), ", 2.50 MB/s, 30s left");
    }
}
