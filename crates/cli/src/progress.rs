//! How a transfer goes: lines and a bar for people, a JSON value a line for scripts.

use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::output;

/// Something that is told: its form for people is `Display`, that for scripts `Serialize`.
pub(crate) trait Said: Serialize + fmt::Display {
    /// What scripts know it by.
    const EVENT: &'static str;
}

/// Tells how a transfer goes.
pub(crate) struct Teller {
    json: bool,
    /// On standard error, if that is a terminal and people are meant.
    bar: Option<ProgressBar>,
}

impl Teller {
    pub(crate) fn new(json: bool) -> Self {
        let is_shown = !json && std::io::stderr().is_terminal();
        // Until it begins there is nothing to show.
        let bar = || ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        Self { json, bar: is_shown.then(bar) }
    }

    /// Whether scripts are told.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether people see a bar.
    pub(crate) fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Says something, above the bar if there is one. A transfer goes on where nobody reads any more how it goes.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn tell<T: Said>(&self, said: &T) -> Result<(), CommandError> {
        let told = match &self.bar {
            _ if self.json => output::event(T::EVENT, said),
            Some(bar) => bar.suspend(|| output::line(said)),
            None => output::line(said),
        };
        told.or_else(CommandError::unless_unread)
    }

    /// Tells people something beside the output; scripts see it by what follows.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            _ if self.json => {}
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Begins to show the way to `total` bytes, of which `had` are behind.
    pub(crate) fn begin(&self, had: u64, total: u64) {
        let Some(bar) = &self.bar else { return };
        let style = ProgressStyle::with_template(FORM).expect("the form is right");
        let pace = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar cannot do anything about an error.
            let _ = out.write_str(&pace(state.per_sec(), state.eta()));
        };
        bar.set_style(style.progress_chars("=> ").with_key("pace", pace));
        bar.set_length(total);
        bar.set_position(had);
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        // The rate is that of what comes now.
        bar.reset_eta();
    }

    /// Shows where on that way it is.
    pub(crate) fn show(&self, bytes: u64, message: impl FnOnce() -> String) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(bytes);
        bar.set_message(message());
    }

    /// Lines that may stand below the bar and one more without what was there before being lost.
    pub(crate) fn room(&self) -> usize {
        let (rows, _) = Term::stderr().size();
        usize::from(rows).saturating_sub(3)
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How fast it goes, and how long it takes; nothing while that is not known.
fn pace(bytes_per_second: f64, left: Duration) -> String {
    if bytes_per_second < 1.0 {
        return String::new();
    }
    format!(", {}/s, {:#} left", DecimalBytes(bytes_per_second as u64), HumanDuration(left))
}

const FORM: &str = "[{bar:30}] {percent:>3} % of {decimal_total_bytes}{pace}{msg}";

/// A time that comes round.
pub(crate) struct Every {
    interval: Duration,
    due: Instant,
}

impl Every {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, due: Instant::now() + interval }
    }

    /// Whether it has come round since it was asked last.
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
    fn a_pace_that_is_not_known_is_not_told() {
        assert_eq!(pace(0.0, Duration::ZERO), "");
        assert_eq!(pace(2_500_000.0, Duration::from_secs(30)), ", 2.50 MB/s, 30s left");
    }
}
