//! OPT_NAK_BO_IVL and OPT_NAK_BO_RNG: how long receivers wait before a NAK (RFC 3208 §15.4).

use std::fmt;

use crate::Seq;
use crate::wire::Malformed;
use crate::wire::options::{OptionKind, OptionsWriter, RawOption, end};

/// The back-off interval that receivers should use (OPT_NAK_BO_IVL, RFC 3208 §15.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackoffInterval {
    /// NAK_BO_IVL in microseconds.
    pub interval_us: u32,
    /// The poll that the interval was derived from. `Seq(0)`: from no poll, and it may be used at once.
    pub poll_sqn: Seq,
}

impl BackoffInterval {
    pub(crate) const LEN: usize = 8;

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        let mut reader = option.reader();
        let (interval_us, poll_sqn) = (reader.u32()?, reader.seq()?);
        end(reader)?;
        Ok(BackoffInterval { interval_us, poll_sqn })
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        let out = options.network(OptionKind::NakBoIvl, Self::LEN, 0);
        out.u32(self.interval_us);
        out.seq(self.poll_sqn);
    }
}

impl fmt::Display for BackoffInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nak_bo_ivl {} us of poll {}", self.interval_us, self.poll_sqn)
    }
}

/// The bounds between which the back-off interval is tuned (OPT_NAK_BO_RNG, RFC 3208 §15.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackoffRange {
    min_us: u32,
    max_us: u32,
}

impl BackoffRange {
    pub(crate) const LEN: usize = 8;

    /// Both bounds in microseconds; `None` when the minimum is above the maximum.
    #[must_use]
    pub fn new(min_us: u32, max_us: u32) -> Option<Self> {
        (min_us <= max_us).then_some(BackoffRange { min_us, max_us })
    }

    /// NAK_BO_IVL_MIN in microseconds.
    #[must_use]
    pub fn min_us(self) -> u32 {
        self.min_us
    }

    /// NAK_BO_IVL_MAX in microseconds.
    #[must_use]
    pub fn max_us(self) -> u32 {
        self.max_us
    }

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        let mut reader = option.reader();
        let (max_us, min_us) = (reader.u32()?, reader.u32()?);
        end(reader)?;
        BackoffRange::new(min_us, max_us).ok_or(Malformed::NakBoRange)
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        let out = options.network(OptionKind::NakBoRng, Self::LEN, 0);
        out.u32(self.max_us);
        out.u32(self.min_us);
    }
}

impl fmt::Display for BackoffRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nak_bo_rng {}..{} us", self.min_us, self.max_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cursor::Writer;
    use crate::wire::options::RawOptions;

    #[test]
    fn layout() {
        let mut buffer = [0; 28];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        let interval = BackoffInterval { interval_us: 50_000, poll_sqn: Seq(7) };
        let range = BackoffRange::new(10, 0x0102_0304).unwrap();
        interval.emit(&mut options);
        range.emit(&mut options);
        options.finish();
        assert_eq!(
            buffer,
            *b"\x00\x04\x00\x1c\x04\x0c\x00\x00\x00\x00\xc3\x50\x00\x00\x00\x07\x85\x0c\x00\x00\x01\x02\x03\x04\x00\x00\x00\x0a"
        );
        let (mut options, _) = RawOptions::split(&buffer).unwrap();
        assert_eq!(BackoffInterval::parse(&options.next().unwrap().unwrap()), Ok(interval));
        assert_eq!(BackoffRange::parse(&options.next().unwrap().unwrap()), Ok(range));
    }

    #[test]
    fn a_range_has_its_minimum_below_its_maximum() {
        assert_eq!(BackoffRange::new(2, 1), None);
        let bytes = b"\x00\x04\x00\x10\x85\x0c\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02";
        let option = RawOptions::split(bytes).unwrap().0.next().unwrap().unwrap();
        assert_eq!(BackoffRange::parse(&option), Err(Malformed::NakBoRange));
    }
}
