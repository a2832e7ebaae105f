//! Amounts as text: rates, bytes and times are read, and shown in a form that can be read again.
//!
//! An amount is a number and a unit, in upper or lower case; without a unit it is in bits a second, bytes, or seconds. The error for a
//! text that cannot be read says what to give.

use std::time::Duration;

/// A rate in bits a second, 8 bit/s to 1 Tbit/s: `5mbit`, `800kbit`, `1gbit`, `5000000`.
pub fn rate(text: &str) -> Result<u64, &'static str> {
    const TAKES: &str = "give bits a second from 8 to 1000gbit, such as 5mbit, 800kbit or 1gbit";
    let units = [("", 1), ("bit", 1), ("kbit", 1000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
    scaled(text, &units).filter(|&rate| (8.0..=1e12).contains(&rate)).map(|rate| rate as u64).ok_or(TAKES)
}

/// The rate as text that [`rate`] reads.
#[must_use]
pub fn show_rate(bps: u64) -> String {
    let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1000, "kbit")];
    show_scaled(bps, &units, "bit")
}

/// A number of bytes, 1 to 1 TiB: `64k`, `4m`, `1g` (powers of 1024), or plain.
pub fn bytes(text: &str) -> Result<u64, &'static str> {
    const TAKES: &str = "give a number of bytes from 1 to 1024g, such as 65536, 512k or 4m";
    let units = [("", 1), ("b", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)];
    scaled(text, &units)
        .filter(|&bytes| (1.0..=(1_u64 << 40) as f64).contains(&bytes))
        .map(|bytes| bytes as u64)
        .ok_or(TAKES)
}

/// The bytes as text that [`bytes()`] reads.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    show_scaled(bytes, &[(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")], "")
}

/// A length of time, a nanosecond to a year: `5ms`, `250us`, `2s`, `3min`, `1h`, `0.5` (seconds).
pub fn time(text: &str) -> Result<Duration, &'static str> {
    const TAKES: &str = "give a time above 0 and up to a year, such as 5ms, 2s, 10min or 0.5 (seconds)";
    let units = [
        ("", 1_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1000),
        ("ns", 1),
        ("min", 60_000_000_000),
        ("h", HOUR_NS),
    ];
    let nanos = scaled(text, &units).filter(|&nanos| (1.0..=365.0 * 24.0 * HOUR_NS as f64).contains(&nanos));
    nanos.map(|nanos| Duration::from_nanos(nanos as u64)).ok_or(TAKES)
}

/// The time as text that [`time`] reads.
#[must_use]
pub fn show_time(time: Duration) -> String {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    show_scaled(nanos, &[(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")], "ns")
}

const HOUR_NS: u64 = 3_600_000_000_000;

/// A number with a unit, in the smallest unit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].trim();
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let number: f64 = digits.trim().parse().ok()?;
    let value = number * *scale as f64;
    value.is_finite().then_some(value.round())
}

/// The number in the greatest unit that divides it.
fn show_scaled(value: u64, units: &[(u64, &str)], smallest: &str) -> String {
    match units.iter().find(|(scale, _)| value > 0 && value.is_multiple_of(*scale)) {
        Some((scale, unit)) => format!("{}{unit}", value / scale),
        None => format!("{value}{smallest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        for (text, bps) in
            [("5mbit", 5_000_000), ("800 kbit", 800_000), ("1.5Gbit", 1_500_000_000), ("9600", 9600)]
        {
            assert_eq!(rate(text), Ok(bps), "{text}");
            assert_eq!(rate(&show_rate(bps)), Ok(bps));
        }
        for text in ["", "mbit", "0", "-5mbit", "5mb", "nan", "inf", "1e99"] {
            assert!(rate(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, nanos) in [
            ("5ms", 5_000_000),
            ("0.5", 500_000_000),
            ("250us", 250_000),
            ("2min", 120_000_000_000),
            ("1h", 3_600_000_000_000),
        ] {
            assert_eq!(time(text), Ok(Duration::from_nanos(nanos)), "{text}");
            assert_eq!(time(&show_time(Duration::from_nanos(nanos))), Ok(Duration::from_nanos(nanos)));
        }
        for text in ["", "0", "-1s", "1d", "ms", "nan", "inf", "1e300", "1e-300"] {
            assert!(time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn bytes_have_units() {
        for (text, count) in [("1", 1), ("64k", 65_536), ("4 M", 4 << 20), ("1.5k", 1536)] {
            assert_eq!(bytes(text), Ok(count), "{text}");
            assert_eq!(bytes(&show_bytes(count)), Ok(count));
        }
        for text in ["", "0", "-1k", "k", "4mb", "99999999999999999999"] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
    }
}
