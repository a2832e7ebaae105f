//! Universal time as text.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in universal time, shown as RFC 3339 has it: `2026-11-21T07:44:05.123456Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc {
    /// The time since the start of 1970.
    since_1970: Duration,
}

impl Utc {
    /// A moment, given as the time since the start of 1970.
    #[must_use]
    pub fn since_1970(since_1970: Duration) -> Self {
        Self { since_1970 }
    }
}

impl From<SystemTime> for Utc {
    /// A clock before 1970 is shown as the start of 1970.
    fn from(time: SystemTime) -> Self {
        Self::since_1970(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.since_1970.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let micros = self.since_1970.subsec_micros();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// Year, month and day, from the number of days since the start of 1970.
///
/// Years are counted from March, so that the leap day is the last of its year, and in eras of 400 years, which are all alike.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

/// Counted from the first of March of the year 0.
const DAYS_BEFORE_1970: u64 = 719_468;
const DAYS_OF_ERA: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: u64, micros: u32) -> String {
        Utc::since_1970(Duration::new(seconds, micros * 1000)).to_string()
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(951_782_399, 999_999), "2000-02-28T23:59:59.999999Z");
        assert_eq!(text(951_782_400, 0), "2000-02-29T00:00:00.000000Z");
        assert_eq!(text(951_868_800, 0), "2000-03-01T00:00:00.000000Z");
        assert_eq!(text(1_709_164_800, 7), "2024-02-29T00:00:00.000007Z");
        assert_eq!(text(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
        assert_eq!(text(1_795_247_045, 0), "2026-11-21T07:44:05.000000Z");
    }

    #[test]
    fn a_clock_before_its_epoch_shows_the_epoch() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Utc::from(before), Utc::from(UNIX_EPOCH));
    }
}
