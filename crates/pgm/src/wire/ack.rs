//! Acknowledgements of the PGMCC draft, in OpenPGM's layout. RFC 3208 has none.

use std::fmt;

use super::cursor::{Reader, Writer};
use super::options::{OptionKind, OptionsWriter, PgmccFeedback, RawOptions, options_len};
use super::{HEADER_LEN, Malformed};
use crate::Seq;

/// An acknowledgement by the acker of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The newest sequence number that was received.
    pub rx_max: Seq,
    /// Which of the 32 packets up to `rx_max` were received; bit 0 is `rx_max` itself.
    pub bitmap: u32,
    /// Congestion control (OPT_PGMCC_FEEDBACK).
    pub feedback: Option<PgmccFeedback>,
}

impl Ack {
    /// The length of the packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let feedback = self.feedback.map_or(0, |feedback| feedback.len());
        HEADER_LEN + 8 + options_len([(self.feedback.is_some(), feedback)])
    }

    pub(crate) fn parse(flags: u8, mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (rx_max, bitmap) = (reader.seq()?, reader.u32()?);
        let mut feedback = None;
        for option in RawOptions::without_payload(flags, reader.rest())? {
            let option = option?;
            match option.kind {
                OptionKind::PgmccFeedback => feedback.get_or_insert(PgmccFeedback::parse(&option)?),
                _ => return Err(Malformed::OptionMisplaced),
            };
        }
        Ok(Ack { rx_max, bitmap, feedback })
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> u8 {
        out.seq(self.rx_max);
        out.u32(self.bitmap);
        let mut options = OptionsWriter::new(out);
        self.feedback.iter().for_each(|feedback| feedback.emit(&mut options));
        options.finish()
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ACK {} bitmap {:08x}", self.rx_max, self.bitmap)?;
        self.feedback.iter().try_for_each(|feedback| write!(f, ", {feedback}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let ack = Ack { rx_max: Seq(1), bitmap: 0x0102_0304, feedback: None };
        let mut buffer = [0xee; 8];
        assert_eq!(ack.emit(&mut Writer::new(&mut buffer, 0)), 0);
        assert_eq!(buffer, *b"\0\0\0\x01\x01\x02\x03\x04");
        assert_eq!(Ack::parse(0, Reader::new(&buffer, Malformed::ShortBody)), Ok(ack));
    }
}
