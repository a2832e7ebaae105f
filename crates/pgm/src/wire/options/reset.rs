//! OPT_RST: a session that was aborted (RFC 3208 §9.8).

use std::fmt;

use crate::wire::Malformed;
use crate::wire::options::{OptionKind, OptionsWriter, RawOption};

/// The source aborted the session (OPT_RST).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reset {
    no_repair: bool,
    code: u8,
}

impl Reset {
    /// Whether NAKs will go unanswered (the N bit), and the application's reason, 0 to 63, 0 being unknown.
    ///
    /// `None` when the reason is above 63.
    #[must_use]
    pub const fn new(no_repair: bool, code: u8) -> Option<Self> {
        if code <= CODE { Some(Reset { no_repair, code }) } else { None }
    }

    /// Whether NAKs will go unanswered.
    #[must_use]
    pub const fn no_repair(self) -> bool {
        self.no_repair
    }

    /// The application's reason; 0 is unknown.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.code
    }

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        option.mark()?;
        Ok(Reset { no_repair: option.specific & N != 0, code: option.specific & CODE })
    }

    pub(crate) fn emit(self, options: &mut OptionsWriter<'_, '_>) {
        let n = if self.no_repair { N } else { 0 };
        options.receiver(OptionKind::Rst, 0, n | self.code);
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rst {}{}", self.code, if self.no_repair { " without repair" } else { "" })
    }
}

const N: u8 = 0x40;
const CODE: u8 = 0x3f;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cursor::Writer;
    use crate::wire::options::RawOptions;

    #[test]
    fn layout() {
        assert_eq!(Reset::new(false, 64), None);
        let reset = Reset::new(true, 33).unwrap();
        let mut buffer = [0xee; 8];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        reset.emit(&mut options);
        options.finish();
        assert_eq!(buffer, *b"\x00\x04\x00\x08\x8f\x04\x00\x61");
        let option = RawOptions::split(&buffer).unwrap().0.next().unwrap().unwrap();
        assert_eq!(Reset::parse(&option), Ok(reset));
        assert_eq!(reset.to_string(), "rst 33 without repair");
    }
}
