//! Source path messages (RFC 3208 §8.1).

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::cursor::{Reader, Writer};
use super::options::{
    BackoffInterval, BackoffRange, OptionKind, OptionsWriter, ParityPrm, RawOption, RawOptions,
    ReportRequest, Reset, emit_curr_tgsize, options_len, parse_curr_tgsize,
};
use super::{Malformed, Window, nla};
use crate::Seq;

/// A source path message: where to send NAKs, and what can be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spm {
    /// The number of this SPM, in a sequence of its own.
    pub sqn: Seq,
    /// The state of the transmit window.
    pub window: WindowState,
    /// Where receivers send their NAKs (SPM_PATH).
    pub path: IpAddr,
    /// The options.
    pub options: SpmOptions,
}

/// What an SPM says about the transmit window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowState {
    /// The window's edges.
    Known(Window),
    /// Nothing: trail 0, lead 0x80000000 (§8.1).
    Unknown,
    /// Nothing, and multicast from the network element that sent this does not reach its downstream (OPT_NBR_UNREACH, §15.3.2).
    Unreachable,
}

/// The options of an SPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpmOptions {
    /// The oldest sequence number that a late joiner may ask for (OPT_JOIN).
    pub join: Option<Seq>,
    /// The parity that the source provides (OPT_PARITY_PRM).
    pub parity: Option<ParityPrm>,
    /// The number of data packets in the group that the leading edge closes (OPT_CURR_TGSIZE).
    pub curr_tgsize: Option<NonZeroU32>,
    /// The session has ended (OPT_FIN).
    pub fin: bool,
    /// The session was aborted (OPT_RST).
    pub reset: Option<Reset>,
    /// The congestion reports that the source asks for (OPT_CRQST).
    pub report_request: Option<ReportRequest>,
    /// The back-off interval to use (OPT_NAK_BO_IVL).
    pub backoff_interval: Option<BackoffInterval>,
    /// The bounds of the back-off interval (OPT_NAK_BO_RNG).
    pub backoff_range: Option<BackoffRange>,
}

impl Spm {
    /// The length of the packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        super::HEADER_LEN + 16 + nla::len(self.path) + self.options_len()
    }

    pub(crate) fn parse(flags: u8, mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let (sqn, trail, lead) = (reader.seq()?, reader.seq()?, reader.seq()?);
        let path = reader.unicast_nla()?;
        let mut options = SpmOptions::default();
        let mut unreachable = false;
        for option in RawOptions::without_payload(flags, reader.rest())? {
            let option = option?;
            match option.kind {
                OptionKind::NbrUnreach => unreachable = option.mark()?,
                _ => options.take(&option)?,
            }
        }
        let window = if unreachable {
            WindowState::Unreachable
        } else if (trail, lead) == NO_WINDOW {
            WindowState::Unknown
        } else {
            WindowState::Known(Window::new(trail, lead).ok_or(Malformed::WindowTooWide)?)
        };
        Ok(Spm { sqn, window, path, options })
    }

    pub(crate) fn emit(&self, out: &mut Writer<'_>) -> u8 {
        let (trail, lead) = match self.window {
            WindowState::Known(window) => (window.trail(), window.lead()),
            WindowState::Unknown | WindowState::Unreachable => NO_WINDOW,
        };
        out.seq(self.sqn);
        out.seq(trail);
        out.seq(lead);
        out.nla(self.path, 0);
        let mut options = OptionsWriter::new(out);
        if self.window == WindowState::Unreachable {
            options.network(OptionKind::NbrUnreach, 0, 0);
        }
        self.options.emit(&mut options);
        options.finish()
    }

    fn options_len(&self) -> usize {
        let options = &self.options;
        let parts = [
            (self.window == WindowState::Unreachable, 0),
            (options.join.is_some(), 4),
            (options.parity.is_some(), ParityPrm::LEN),
            (options.curr_tgsize.is_some(), 4),
            (options.fin, 0),
            (options.reset.is_some(), 0),
            (options.report_request.is_some(), 0),
            (options.backoff_interval.is_some(), BackoffInterval::LEN),
            (options.backoff_range.is_some(), BackoffRange::LEN),
        ];
        options_len(parts)
    }
}

impl SpmOptions {
    fn take(&mut self, option: &RawOption<'_>) -> Result<(), Malformed> {
        match option.kind {
            OptionKind::Join => {
                self.join.get_or_insert(option.join()?);
            }
            OptionKind::ParityPrm => {
                self.parity.get_or_insert(ParityPrm::parse(option)?);
            }
            OptionKind::CurrTgsize => {
                self.curr_tgsize.get_or_insert(parse_curr_tgsize(option)?);
            }
            OptionKind::Fin => self.fin = option.mark()?,
            OptionKind::Rst => {
                self.reset.get_or_insert(Reset::parse(option)?);
            }
            OptionKind::Crqst => {
                self.report_request.get_or_insert(ReportRequest::parse(option)?);
            }
            OptionKind::NakBoIvl => {
                self.backoff_interval.get_or_insert(BackoffInterval::parse(option)?);
            }
            OptionKind::NakBoRng => {
                self.backoff_range.get_or_insert(BackoffRange::parse(option)?);
            }
            _ => return Err(Malformed::OptionMisplaced),
        }
        Ok(())
    }

    fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        self.parity.iter().for_each(|parity| parity.emit(options));
        self.curr_tgsize.iter().for_each(|tgsize| emit_curr_tgsize(*tgsize, true, options));
        self.report_request.iter().for_each(|request| request.emit(options));
        self.backoff_interval.iter().for_each(|interval| interval.emit(options));
        self.backoff_range.iter().for_each(|range| range.emit(options));
        if let Some(min) = self.join {
            options.receiver(OptionKind::Join, 4, 0).seq(min);
        }
        if self.fin {
            options.receiver(OptionKind::Fin, 0, 0);
        }
        self.reset.iter().for_each(|reset| reset.emit(options));
    }
}

impl fmt::Display for Spm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SPM {} {} path {}", self.sqn, self.window, self.path)?;
        let options = &self.options;
        options.join.iter().try_for_each(|min| write!(f, ", join {min}"))?;
        options.parity.iter().try_for_each(|parity| write!(f, ", {parity}"))?;
        options.curr_tgsize.iter().try_for_each(|tgsize| write!(f, ", curr_tgsize {tgsize}"))?;
        f.write_str(if options.fin { ", fin" } else { "" })?;
        options.reset.iter().try_for_each(|reset| write!(f, ", {reset}"))?;
        options.report_request.iter().try_for_each(|request| write!(f, ", {request}"))?;
        options.backoff_interval.iter().try_for_each(|interval| write!(f, ", {interval}"))?;
        options.backoff_range.iter().try_for_each(|range| write!(f, ", {range}"))
    }
}

impl fmt::Display for WindowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowState::Known(window) => window.fmt(f),
            WindowState::Unknown => f.write_str("no window"),
            WindowState::Unreachable => f.write_str("neighbour unreachable"),
        }
    }
}

/// Trailing and leading edge of an SPM without window information (§8.1).
const NO_WINDOW: (Seq, Seq) = (Seq(0), Seq(0x8000_0000));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display() {
        let mut spm = Spm {
            sqn: Seq(4),
            window: WindowState::Known(Window::new(Seq(1), Seq(9)).unwrap()),
            path: "10.0.0.1".parse().unwrap(),
            options: SpmOptions { fin: true, join: Some(Seq(3)), ..SpmOptions::default() },
        };
        assert_eq!(spm.to_string(), "SPM 4 1..=9 path 10.0.0.1, join 3, fin");
        spm.window = WindowState::Unreachable;
        spm.options = SpmOptions {
            parity: ParityPrm::new(8, true, true).ok(),
            backoff_range: BackoffRange::new(1, 2),
            ..SpmOptions::default()
        };
        assert_eq!(
            spm.to_string(),
            "SPM 4 neighbour unreachable path 10.0.0.1, parity over 8 packets pro-active and on demand, nak_bo_rng 1..2 us"
        );
    }
}
