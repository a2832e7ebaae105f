//! OPT_PARITY_PRM, OPT_PARITY_GRP and OPT_CURR_TGSIZE (RFC 3208 §11.8).

use std::fmt;
use std::num::NonZeroU32;

use crate::wire::Malformed;
use crate::wire::options::{OptionKind, OptionsWriter, RawOption};

/// The parity that a source provides (OPT_PARITY_PRM, RFC 3208 §11.8.1).
///
/// The two bits are in the RFC's order; OpenPGM has them the other way around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParityPrm {
    tgsize: u32,
    pro_active: bool,
    on_demand: bool,
}

impl ParityPrm {
    pub(crate) const LEN: usize = 4;

    /// The maximum transmission group size in packets, a power of 2, and the kinds of parity, at least one.
    ///
    /// # Errors
    ///
    /// [`Malformed::TgsizeNotPowerOfTwo`] and [`Malformed::ParityPrmEmpty`].
    pub fn new(tgsize: u32, pro_active: bool, on_demand: bool) -> Result<Self, Malformed> {
        if !tgsize.is_power_of_two() {
            return Err(Malformed::TgsizeNotPowerOfTwo);
        }
        if !pro_active && !on_demand {
            return Err(Malformed::ParityPrmEmpty);
        }
        Ok(ParityPrm { tgsize, pro_active, on_demand })
    }

    /// The maximum number of data packets in a transmission group (PARITY_PRM_TGS).
    #[must_use]
    pub fn tgsize(self) -> u32 {
        self.tgsize
    }

    /// Whether parity is sent after each group without a request (PARITY_PRM_PRO).
    #[must_use]
    pub fn pro_active(self) -> bool {
        self.pro_active
    }

    /// Whether parity can be asked for (PARITY_PRM_OND).
    #[must_use]
    pub fn on_demand(self) -> bool {
        self.on_demand
    }

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        ParityPrm::new(option.number()?, option.specific & PRO != 0, option.specific & OND != 0)
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        let specific = if self.pro_active { PRO } else { 0 } | if self.on_demand { OND } else { 0 };
        options.network(OptionKind::ParityPrm, Self::LEN, specific).u32(self.tgsize);
    }
}

impl fmt::Display for ParityPrm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = match (self.pro_active, self.on_demand) {
            (true, true) => "pro-active and on demand",
            (true, false) => "pro-active",
            _ => "on demand",
        };
        write!(f, "parity over {} packets {kinds}", self.tgsize)
    }
}

pub(crate) fn parse_curr_tgsize(option: &RawOption<'_>) -> Result<NonZeroU32, Malformed> {
    NonZeroU32::new(option.number()?).ok_or(Malformed::CurrTgsizeZero)
}

/// Writes OPT_CURR_TGSIZE; network elements look at it except on ODATA (§11.8.3).
pub(crate) fn emit_curr_tgsize(tgsize: NonZeroU32, to_network: bool, options: &mut OptionsWriter<'_, '_>) {
    let out = if to_network {
        options.network(OptionKind::CurrTgsize, 4, 0)
    } else {
        options.receiver(OptionKind::CurrTgsize, 4, 0)
    };
    out.u32(tgsize.get());
}

pub(crate) fn parse_parity_grp(option: &RawOption<'_>) -> Result<NonZeroU32, Malformed> {
    NonZeroU32::new(option.number()?).ok_or(Malformed::ParityGrpZero)
}

pub(crate) fn emit_parity_grp(group: NonZeroU32, options: &mut OptionsWriter<'_, '_>) {
    options.receiver(OptionKind::ParityGrp, 4, 0).u32(group.get());
}

const PRO: u8 = 0x02;
const OND: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cursor::Writer;
    use crate::wire::options::RawOptions;

    #[test]
    fn layout() {
        let mut buffer = [0xee; 28];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        let parity = ParityPrm::new(64, true, false).unwrap();
        let (size, group) = (NonZeroU32::new(5).unwrap(), NonZeroU32::new(2).unwrap());
        parity.emit(&mut options);
        emit_curr_tgsize(size, true, &mut options);
        emit_parity_grp(group, &mut options);
        options.finish();
        assert_eq!(
            buffer,
            *b"\x00\x04\x00\x1c\x08\x08\x00\x02\x00\x00\x00\x40\x0a\x08\x00\x00\x00\x00\x00\x05\x89\x08\x00\x00\x00\x00\x00\x02"
        );
        let (mut options, _) = RawOptions::split(&buffer).unwrap();
        let mut next = || options.next().unwrap().unwrap();
        assert_eq!(ParityPrm::parse(&next()), Ok(parity));
        assert_eq!(parse_curr_tgsize(&next()), Ok(size));
        assert_eq!(parse_parity_grp(&next()), Ok(group));
    }

    #[test]
    fn bits() {
        assert_eq!(ParityPrm::new(8, false, false), Err(Malformed::ParityPrmEmpty));
        assert_eq!(ParityPrm::new(12, true, true), Err(Malformed::TgsizeNotPowerOfTwo));
        assert_eq!(ParityPrm::new(0, true, true), Err(Malformed::TgsizeNotPowerOfTwo));
        let on_demand = ParityPrm::new(1 << 31, false, true).unwrap();
        assert!(on_demand.on_demand() && !on_demand.pro_active());
    }

    #[test]
    fn zero_means_nothing() {
        for (kind, rule) in [(0x8a, Malformed::CurrTgsizeZero), (0x89, Malformed::ParityGrpZero)] {
            let bytes = [0, 4, 0, 12, kind, 8, 0, 0, 0, 0, 0, 0];
            let option = RawOptions::split(&bytes).unwrap().0.next().unwrap().unwrap();
            let parsed = if kind == 0x8a { parse_curr_tgsize(&option) } else { parse_parity_grp(&option) };
            assert_eq!(parsed, Err(rule));
        }
    }
}
