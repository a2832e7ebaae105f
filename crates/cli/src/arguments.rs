//! Parsers of command-line values that several commands take: each turns text into a value that can only be valid.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use campanile::load::Pace;
use campanile::{Interface, amount, cores};
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::command_error::CommandError;

/// A port number other than 0.
pub(crate) fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().ok().filter(|&port| port > 0).ok_or("give a port from 1 to 65535")
}

/// A count whose range is checked where it is used.
pub(crate) fn number(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "give a whole number of at least 1")
}

/// A count of at least one.
pub(crate) fn count(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|&count| count > 0).ok_or("give a whole number of at least 1")
}

/// Packets a second; k and m stand for thousands and millions.
pub(crate) fn rate(text: &str) -> Result<u64, &'static str> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1000),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let rate = digits.parse().ok().and_then(|count: u64| count.checked_mul(unit));
    let rate = rate.filter(|rate| (1..=Pace::RATE_MAX).contains(rate));
    rate.ok_or("give packets a second from 1 to 100m, such as 500, 20k or 1m")
}

/// A limit of packets a second; 0 is no limit.
pub(crate) fn limit(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "give packets a second, such as 100000, or 0 for no limit")
}

/// A time to live.
pub(crate) fn hops(text: &str) -> Result<u8, &'static str> {
    text.parse().map_err(|_| "give a number from 0 to 255")
}

/// A number of repetitions.
pub(crate) fn repeats(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|times| (1..=1000).contains(times)).ok_or("give a whole number from 1 to 1000")
}

/// An address to listen on.
pub(crate) fn address(text: &str) -> Result<IpAddr, &'static str> {
    let is_own = |ip: &IpAddr| !ip.is_multicast() && *ip != Ipv4Addr::BROADCAST;
    let address = text.parse().ok().filter(is_own);
    address.ok_or("give an IPv4 or IPv6 address of this machine, such as 127.0.0.1 or ::1")
}

/// An interface. An empty name is an error, as of a shell variable that is not set; it does not mean the system's choice.
pub(crate) fn interface(text: &str) -> Result<Interface, &'static str> {
    let Ok(interface) = text.parse();
    if text.is_empty() { Err("give the name, number or address of an interface") } else { Ok(interface) }
}

/// Addresses of senders, which are parsed where they are used. An empty list is refused: it would mean any sender.
pub(crate) fn senders(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("give addresses of senders, such as 192.0.2.1") } else { Ok(text.to_owned()) }
}

/// The path of a file or directory.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|path| {
        if path.is_empty() { Err("give the name of a file or directory") } else { Ok(PathBuf::from(path)) }
    })
}

/// The time between reports. Anything shorter would make a program do nothing but report.
pub(crate) fn interval(text: &str) -> Result<Duration, &'static str> {
    let interval = amount::time(text).ok().filter(|&interval| interval >= Duration::from_millis(1));
    interval.ok_or("give a time from 1ms up to a year, such as 500ms, 1s or 10min")
}

/// A buffer's size.
pub(crate) fn bytes(text: &str) -> Result<usize, &'static str> {
    // The system takes a signed 32-bit number.
    let bytes = amount::bytes(text).ok().and_then(|bytes| i32::try_from(bytes).ok());
    bytes.map(|bytes| bytes as usize).ok_or("give a number of bytes below 2g, such as 65536, 512k or 4m")
}

/// This many cores, or all of them.
pub(crate) fn cores(count: Option<usize>) -> Result<Vec<usize>, CommandError> {
    let Some(count) = count else { return Ok(Vec::new()) };
    cores::first(count).map_err(|error| {
        let hint = match error {
            cores::CoresError::Count { available: 1, .. } => "give 1, or leave the number out".to_owned(),
            cores::CoresError::Count { available, .. } => {
                format!("give 1 to {available}, or leave the number out for all")
            }
            cores::CoresError::System(_) => "leave the number out".to_owned(),
        };
        CommandError::bad_input(error).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_1_to_65535() {
        assert_eq!((port("1"), port("65535")), (Ok(1), Ok(65_535)));
        for text in ["0", "65536", "70000", "-1", "http", "", " 5"] {
            assert!(port(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn rates_are_counted_in_thousands() {
        let given = [("500", 500), ("20k", 20_000), ("1m", 1_000_000), ("100M", 100_000_000)];
        for (text, value) in given {
            assert_eq!(rate(text), Ok(value), "{text}");
        }
        for text in ["0", "", "k", "101m", "-1", "1.5k", "1g", "99999999999999999999k"] {
            assert!(rate(text).is_err(), "{text:?}");
        }
        assert_eq!(
            (repeats("1000"), repeats("0").is_err(), repeats("1001").is_err()),
            (Ok(1000), true, true)
        );
    }

    #[test]
    fn a_server_listens_on_an_address_of_its_own() {
        assert_eq!(address("::1"), Ok("::1".parse().expect("a literal address")));
        for text in ["", "localhost", "127.0.0.1:80", "239.192.7.1", "ff15::7", "255.255.255.255"] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn counts_begin_with_1() {
        assert_eq!((count("1"), count("18446744073709551615")), (Ok(1), Ok(u64::MAX)));
        assert!(count("0").is_err() && count("-1").is_err() && count("18446744073709551616").is_err());
    }

    #[test]
    fn buffers_are_below_2g() {
        assert_eq!((bytes("65536"), bytes("2047m")), (Ok(65_536), Ok(2047 << 20)));
        assert!(bytes("2g").is_err() && bytes("0").is_err());
    }
}
