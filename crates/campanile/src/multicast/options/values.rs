//! Values of options as text: read, and shown as they would be read again.

use std::str::FromStr;
use std::time::Duration;

use campanile_pgm::source::{ParityConfig, ProActive, WindowSize};

/// A value, or what would be one.
pub(super) type Taken<T> = Result<T, &'static str>;

/// A rate in bits a second: `5mbit`, `800kbit`, `1gbit`, `5000000`.
pub(super) fn rate(text: &str) -> Taken<u64> {
    const TAKES: &str = "give a rate in bits a second, such as 5mbit, 800kbit or 1gbit";
    let units = [("", 1), ("bit", 1), ("kbit", 1000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
    scaled(text, &units).filter(|&rate| (8.0..=1e12).contains(&rate)).map(|rate| rate as u64).ok_or(TAKES)
}

pub(super) fn show_rate(bps: u64) -> String {
    let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1000, "kbit")];
    show_scaled(bps, &units, "bit")
}

/// A number of bytes: `64k`, `4m`, `1g` (powers of 1024), or plain.
pub(super) fn bytes(text: &str) -> Taken<u64> {
    const TAKES: &str = "give a number of bytes, such as 65536, 512k or 4m";
    let units = [("", 1), ("b", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)];
    scaled(text, &units)
        .filter(|&bytes| (1.0..=(1_u64 << 40) as f64).contains(&bytes))
        .map(|bytes| bytes as u64)
        .ok_or(TAKES)
}

pub(super) fn show_bytes(bytes: u64) -> String {
    show_scaled(bytes, &[(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")], "")
}

/// A length of time: `5ms`, `250us`, `2s`, `0.5` (seconds).
pub(super) fn time(text: &str) -> Taken<Duration> {
    const TAKES: &str = "give a time, such as 5ms, 250us, 2s or 0.5 (seconds)";
    let units = [
        ("", 1_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1000),
        ("ns", 1),
        ("min", 60_000_000_000),
    ];
    let nanos = scaled(text, &units).filter(|&nanos| (1.0..=86_400e9).contains(&nanos));
    nanos.map(|nanos| Duration::from_nanos(nanos as u64)).ok_or(TAKES)
}

pub(super) fn show_time(time: Duration) -> String {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    show_scaled(nanos, &[(1_000_000_000, "s"), (1_000_000, "ms"), (1000, "us")], "ns")
}

/// A whole number within bounds.
pub(super) fn number<T: FromStr + PartialOrd>(
    text: &str,
    least: T,
    most: T,
    takes: &'static str,
) -> Taken<T> {
    text.trim().parse().ok().filter(|number| (least..=most).contains(number)).ok_or(takes)
}

/// A share in percent: `20%` or `20`.
pub(super) fn percent(text: &str) -> Taken<f64> {
    let digits = text.trim().trim_end_matches('%');
    digits
        .parse()
        .ok()
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or("give a share in percent, such as 20% or 0.5%")
}

/// Yes or no.
pub(super) fn switch(text: &str) -> Taken<bool> {
    match text.trim() {
        "yes" | "on" | "true" => Ok(true),
        "no" | "off" | "false" => Ok(false),
        _ => Err("give yes or no"),
    }
}

pub(super) fn show_switch(on: bool) -> String {
    if on { "yes" } else { "no" }.to_owned()
}

/// A list, its members separated by commas; empty for none.
pub(super) fn list<T: FromStr>(text: &str, takes: &'static str) -> Taken<Vec<T>> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    members.map(|member| member.parse().map_err(|_| takes)).collect()
}

pub(super) fn show_list<T: ToString>(list: &[T]) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// How much a window holds: bytes, a time, or packets.
pub(super) fn window(text: &str) -> Taken<WindowSize> {
    const TAKES: &str = "give bytes (32m), a time (10s) or packets (4096packets)";
    let text = text.trim();
    if let Some(packets) = text.strip_suffix("packets") {
        return number(packets, 2, 1 << 24, TAKES).map(WindowSize::Packets);
    }
    if let Ok(bytes) = bytes(text) {
        return Ok(WindowSize::Bytes(bytes));
    }
    time(text).map(WindowSize::Time).map_err(|_| TAKES)
}

/// Parity that is sent unasked: none, a number of packets, or a target.
pub(super) fn pro_active(text: &str) -> Taken<ProActive> {
    const TAKES: &str = "give off, a number of packets, or a target from 1% to 99%";
    if text == "off" {
        return Ok(ProActive::Off);
    }
    match text.strip_suffix('%') {
        Some(target) => {
            number(target, 1, 99, TAKES).map(|target_percent| ProActive::Adaptive { target_percent })
        }
        None => number(text, 1, 253, TAKES).map(ProActive::Fixed),
    }
}

pub(super) fn show_window(window: WindowSize) -> String {
    match window {
        WindowSize::Packets(packets) => format!("{packets}packets"),
        WindowSize::Bytes(bytes) => show_bytes(bytes),
        WindowSize::Time(time) => show_time(time),
    }
}

pub(super) fn show_pro_active(parity: Option<ParityConfig>) -> String {
    match parity.map(|parity| parity.pro_active) {
        None | Some(ProActive::Off) => "off".to_owned(),
        Some(ProActive::Fixed(packets)) => packets.to_string(),
        Some(ProActive::Adaptive { target_percent }) => format!("{target_percent}%"),
    }
}

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
        for (text, nanos) in
            [("5ms", 5_000_000), ("0.5", 500_000_000), ("250us", 250_000), ("2min", 120_000_000_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_nanos(nanos)), "{text}");
            assert_eq!(time(&show_time(Duration::from_nanos(nanos))), Ok(Duration::from_nanos(nanos)));
        }
        for text in ["", "0", "-1s", "1h", "ms"] {
            assert!(time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn bytes_have_units() {
        for (text, count) in [("1", 1), ("64k", 65_536), ("4M", 4 << 20)] {
            assert_eq!(bytes(text), Ok(count), "{text}");
            assert_eq!(bytes(&show_bytes(count)), Ok(count));
        }
        assert!(bytes("0").is_err() && bytes("-1k").is_err() && bytes("k").is_err());
    }

    #[test]
    fn shares_are_within_the_whole() {
        assert_eq!((percent("20%"), percent("0.5"), percent("100")), (Ok(20.0), Ok(0.5), Ok(100.0)));
        assert!(percent("101").is_err() && percent("-1").is_err() && percent("nan").is_err());
    }
}
