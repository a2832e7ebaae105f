//! Numbers formatted for people.

use std::fmt;
use std::time::Duration;

/// A count with its thousands separated: `1,234,567`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A count with a noun, given in the singular: `1 line`, `6,000 lines`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Things(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Things {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, name) = *self;
        write!(f, "{} {name}{}", Count(count), if count == 1 { "" } else { "s" })
    }
}

impl Count {
    /// A rate, rounded to a whole number.
    pub(crate) fn rounded(rate: f64) -> Self {
        Self(rate.round() as u64)
    }
}

/// Bits per second in the unit that fits: `632.1 Mbit/s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BitRate(pub(crate) f64);

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")];
        let (scale, unit) = fitting(self.0, &units).unwrap_or((1.0, "bit/s"));
        f.pad(&format!("{:.1} {unit}", self.0 / scale))
    }
}

/// A short time in the unit that fits: `12.3 µs`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    pub(crate) fn from_ns(ns: u64) -> Self {
        Self(Duration::from_nanos(ns))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos() as f64;
        let (scale, unit) = fitting(ns, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs")]).unwrap_or((1.0, "ns"));
        let decimals = usize::from(scale > 1.0);
        f.pad(&format!("{:.decimals$} {unit}", ns / scale))
    }
}

/// Bytes of memory in the unit that fits: `208.0 KiB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory(pub(crate) usize);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let (scale, unit) = fitting(bytes, &[(f64::from(1 << 20), "MiB")]).unwrap_or((1024.0, "KiB"));
        f.pad(&format!("{:.1} {unit}", bytes / scale))
    }
}

/// Sizes of files in the unit that fits, by powers of 1000: `5.0 MB`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match fitting(bytes, &[(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")]) {
            Some((scale, unit)) => f.pad(&format!("{:.1} {unit}", bytes / scale)),
            None => f.pad(&Things(self.0, "byte").to_string()),
        }
    }
}

/// The greatest unit of which there is at least one, also once it is rounded to a decimal: 999.96 kB are 1.0 MB, not 1000.0 kB.
fn fitting<'a>(value: f64, units: &[(f64, &'a str)]) -> Option<(f64, &'a str)> {
    units.iter().copied().find(|(scale, _)| value >= scale * 0.99995)
}

/// A list of cores in words: `core 0`, `cores 0, 1 and 4`.
pub(crate) fn cores(cores: &[usize]) -> String {
    let numbers: Vec<String> = cores.iter().map(ToString::to_string).collect();
    match &numbers[..] {
        [] => "no core".to_owned(),
        [one] => format!("core {one}"),
        [all @ .., last] if all.len() < 8 => format!("cores {} and {last}", all.join(", ")),
        [first, .., last] => format!("{} cores from {first} to {last}", numbers.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let texts = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (100_000, "100,000")];
        for (count, text) in texts {
            assert_eq!(Count(count).to_string(), text);
        }
        assert_eq!(format!("{:>7}", Count(1000)), "  1,000");
        assert_eq!(Count::rounded(1999.6).to_string(), "2,000");
    }

    #[test]
    fn units_fit_their_figures() {
        assert_eq!(BitRate(632_100_000.0).to_string(), "632.1 Mbit/s");
        assert_eq!(BitRate(12.0).to_string(), "12.0 bit/s");
        assert_eq!(Span::from_ns(12_340).to_string(), "12.3 µs");
        assert_eq!(Span::from_ns(999).to_string(), "999 ns");
        assert_eq!(Span::from_ns(1_500_000_000).to_string(), "1.5 s");
        assert_eq!(Memory(212_992).to_string(), "208.0 KiB");
        assert_eq!(
            [Memory((1 << 20) - 1), Memory(4 << 20)].map(|size| size.to_string()),
            ["1.0 MiB", "4.0 MiB"]
        );
        assert_eq!(Size(999).to_string(), "999 bytes");
        assert_eq!(Size(5_242_880).to_string(), "5.2 MB");
        assert_eq!([Size(999_949), Size(999_950)].map(|size| size.to_string()), ["999.9 kB", "1.0 MB"]);
        assert_eq!(Span::from_ns(999_999_999).to_string(), "1.0 s");
        assert_eq!(BitRate(999_960.0).to_string(), "1.0 Mbit/s");
    }

    #[test]
    fn cores_are_named_as_long_as_they_are_few() {
        assert_eq!(cores(&[3]), "core 3");
        assert_eq!(cores(&[0, 1]), "cores 0 and 1");
        assert_eq!(cores(&[0, 1, 4]), "cores 0, 1 and 4");
        assert_eq!(cores(&(0..64).collect::<Vec<_>>()), "64 cores from 0 to 63");
    }
}
