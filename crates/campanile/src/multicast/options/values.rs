//! Values of options as text: read, and shown in a form that can be read again.

use std::str::FromStr;
use std::time::Duration;

use campanile_pgm::source::{ParityConfig, ProActive, WindowSize};

use crate::amount::{self, bytes, show_bytes, show_time};

/// A value that was read from text, or what the option takes instead.
pub(super) type Taken<T> = Result<T, &'static str>;

/// A length of time, a day at most.
pub(super) fn time(text: &str) -> Taken<Duration> {
    const TAKES: &str = "give a time above 0 and up to 24h, such as 5ms, 250us, 2s or 0.5 (seconds)";
    amount::time(text).ok().filter(|&time| time <= DAY).ok_or(TAKES)
}

/// The time between things that are done again and again.
pub(super) fn interval(text: &str) -> Taken<Duration> {
    const TAKES: &str = "give a time from 1ms up to 24h, such as 5ms, 2s or 0.5 (seconds)";
    time(text).ok().filter(|&time| time >= Duration::from_millis(1)).ok_or(TAKES)
}

const DAY: Duration = Duration::from_secs(24 * 3600);

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
        .ok_or("give a share up to 100%, such as 20% or 0.5%")
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

/// The choice of this name.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)], takes: &'static str) -> Taken<T> {
    choices.iter().find(|(name, _)| *name == text).map(|&(_, value)| value).ok_or(takes)
}

/// The name of a value among the choices, which name every value.
pub(super) fn show_choice<T: PartialEq>(value: T, choices: &[(&str, T)]) -> String {
    choices
        .iter()
        .find(|(_, choice)| *choice == value)
        .map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// A list, its members separated by commas; empty for none.
pub(super) fn list<T: FromStr>(text: &str, takes: &'static str) -> Taken<Vec<T>> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    members.map(|member| member.parse().map_err(|_| takes)).collect()
}

/// The list, if every member is valid.
pub(super) fn all<T>(list: Vec<T>, is_fit: impl Fn(&T) -> bool, takes: &'static str) -> Taken<Vec<T>> {
    if list.iter().all(is_fit) { Ok(list) } else { Err(takes) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_end_with_the_day() {
        assert_eq!(time("24h"), Ok(DAY));
        assert!(time("25h").is_err());
    }

    #[test]
    fn intervals_begin_with_the_millisecond() {
        assert_eq!(interval("1ms"), Ok(Duration::from_millis(1)));
        assert!(interval("999us").is_err() && interval("25h").is_err());
    }

    #[test]
    fn shares_are_within_the_whole() {
        assert_eq!((percent("20%"), percent("0.5"), percent("100")), (Ok(20.0), Ok(0.5), Ok(100.0)));
        assert!(percent("101").is_err() && percent("-1").is_err() && percent("nan").is_err());
    }
}
