//! OPT_PGMCC_DATA and OPT_PGMCC_FEEDBACK: congestion control with an acker (the PGMCC draft, in OpenPGM's layout).

use std::fmt;
use std::net::IpAddr;

use crate::wire::Malformed;
use crate::wire::nla;
use crate::wire::options::{OptionKind, OptionsWriter, RawOption, end};

/// What a source tells its acker in ODATA (OPT_PGMCC_DATA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PgmccData {
    /// The source's time in milliseconds.
    pub timestamp_ms: u32,
    /// The receiver that is to acknowledge; unspecified while there is none.
    pub acker: IpAddr,
}

impl PgmccData {
    pub(crate) fn len(&self) -> usize {
        8 + nla::len(self.acker)
    }

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        let mut reader = option.reader();
        let timestamp_ms = reader.u32()?;
        let (acker, _reserved) = reader.nla()?;
        end(reader)?;
        Ok(PgmccData { timestamp_ms, acker })
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        let out = options.receiver(OptionKind::PgmccData, self.len(), 0);
        out.u32(self.timestamp_ms);
        out.nla(self.acker, 0);
    }
}

impl fmt::Display for PgmccData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pgmcc {} ms acker {}", self.timestamp_ms, self.acker)
    }
}

/// What a receiver reports in an ACK or a NAK (OPT_PGMCC_FEEDBACK).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PgmccFeedback {
    /// The last source time that the receiver saw, plus the receiver's own delay since then, in milliseconds.
    pub timestamp_ms: u32,
    /// The share of packets lost; 0xFFFF is all of them.
    pub loss_rate: u16,
    /// The receiver that reports.
    pub receiver: IpAddr,
}

impl PgmccFeedback {
    pub(crate) fn len(&self) -> usize {
        8 + nla::len(self.receiver)
    }

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        let mut reader = option.reader();
        let timestamp_ms = reader.u32()?;
        let (receiver, loss_rate) = reader.nla()?;
        end(reader)?;
        Ok(PgmccFeedback { timestamp_ms, loss_rate, receiver: nla::unicast(receiver)? })
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        let out = options.receiver(OptionKind::PgmccFeedback, self.len(), 0);
        out.u32(self.timestamp_ms);
        out.nla(self.receiver, self.loss_rate);
    }
}

impl fmt::Display for PgmccFeedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pgmcc {} ms loss {} receiver {}", self.timestamp_ms, self.loss_rate, self.receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cursor::Writer;
    use crate::wire::options::RawOptions;

    #[test]
    fn layout() {
        let mut buffer = [0xee; 36];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        let data = PgmccData { timestamp_ms: 7, acker: "0.0.0.0".parse().unwrap() };
        let feedback =
            PgmccFeedback { timestamp_ms: 8, loss_rate: 0x1234, receiver: "10.0.0.1".parse().unwrap() };
        data.emit(&mut options);
        feedback.emit(&mut options);
        options.finish();
        assert_eq!(
            buffer,
            *b"\x00\x04\x00\x24\x12\x10\x00\x00\x00\x00\x00\x07\x00\x01\x00\x00\x00\x00\x00\x00\x93\x10\x00\x00\x00\x00\x00\x08\x00\x01\x12\x34\x0a\x00\x00\x01"
        );
        let (mut options, _) = RawOptions::split(&buffer).unwrap();
        assert_eq!(PgmccData::parse(&options.next().unwrap().unwrap()), Ok(data));
        assert_eq!(PgmccFeedback::parse(&options.next().unwrap().unwrap()), Ok(feedback));
    }
}
