//! OPT_CR and OPT_CRQST: congestion reports, and requests for them (RFC 3208 §12.7).

use std::fmt;
use std::net::IpAddr;

use crate::Seq;
use crate::wire::Malformed;
use crate::wire::nla;
use crate::wire::options::{OptionKind, OptionsWriter, RawOption, end};

/// A congestion report (OPT_CR, RFC 3208 §12.7.1).
///
/// A load is a share of packets lost; 0xFFFF is all of them. A load that is `None` is not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CongestionReport {
    /// The sequence number that the loads refer to (OPT_CR_LEAD).
    pub lead: Seq,
    /// The load of the worst link, as network elements measured it (OPT_CR_NE_WL).
    pub worst_link: Option<u16>,
    /// The load of the worst path, as network elements measured it (OPT_CR_NE_WP).
    pub worst_path: Option<u16>,
    /// The load of the worst path, as receivers measured it (OPT_CR_RX_WP).
    pub receiver_path: Option<u16>,
    /// The receiver that measured `receiver_path` (OPT_CR_RCVR).
    pub receiver: IpAddr,
}

impl CongestionReport {
    pub(crate) fn len(&self) -> usize {
        16 + nla::len(self.receiver)
    }

    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        let mut reader = option.reader();
        let lead = reader.seq()?;
        let mut load = |bit| reader.u16().map(|load| (option.specific & bit != 0).then_some(load));
        let (worst_link, worst_path, receiver_path) = (load(NEL)?, load(NEP)?, load(RXP)?);
        let _reserved = reader.u16()?;
        let receiver = reader.unicast_nla()?;
        end(reader)?;
        Ok(CongestionReport { lead, worst_link, worst_path, receiver_path, receiver })
    }

    pub(crate) fn emit(&self, options: &mut OptionsWriter<'_, '_>) {
        let reported = ReportRequest {
            worst_link: self.worst_link.is_some(),
            worst_path: self.worst_path.is_some(),
            receiver_path: self.receiver_path.is_some(),
        };
        let out = options.network(OptionKind::Cr, self.len(), reported.bits());
        out.seq(self.lead);
        for load in [self.worst_link, self.worst_path, self.receiver_path] {
            out.u16(load.unwrap_or(0));
        }
        out.u16(0);
        out.nla(self.receiver, 0);
    }
}

impl fmt::Display for CongestionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cr lead {} receiver {}", self.lead, self.receiver)?;
        for (name, load) in
            [("link", self.worst_link), ("path", self.worst_path), ("receiver path", self.receiver_path)]
        {
            if let Some(load) = load {
                write!(f, " {name} {load}")?;
            }
        }
        Ok(())
    }
}

/// Which loads a source asks receivers to report (OPT_CRQST, RFC 3208 §12.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReportRequest {
    /// OPT_CR_NE_WL.
    pub worst_link: bool,
    /// OPT_CR_NE_WP.
    pub worst_path: bool,
    /// OPT_CR_RX_WP.
    pub receiver_path: bool,
}

impl ReportRequest {
    pub(crate) fn parse(option: &RawOption<'_>) -> Result<Self, Malformed> {
        option.mark()?;
        let has = |bit| option.specific & bit != 0;
        Ok(ReportRequest { worst_link: has(NEL), worst_path: has(NEP), receiver_path: has(RXP) })
    }

    pub(crate) fn emit(self, options: &mut OptionsWriter<'_, '_>) {
        options.network(OptionKind::Crqst, 0, self.bits());
    }

    fn bits(self) -> u8 {
        let bit = |set, bit| if set { bit } else { 0 };
        bit(self.worst_link, NEL) | bit(self.worst_path, NEP) | bit(self.receiver_path, RXP)
    }
}

impl fmt::Display for ReportRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("crqst")?;
        for (name, set) in
            [(" link", self.worst_link), (" path", self.worst_path), (" receiver path", self.receiver_path)]
        {
            f.write_str(if set { name } else { "" })?;
        }
        Ok(())
    }
}

const NEL: u8 = 0x04;
const NEP: u8 = 0x02;
const RXP: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cursor::Writer;
    use crate::wire::options::RawOptions;

    #[test]
    fn layout() {
        let mut buffer = [0xee; 32];
        let mut out = Writer::new(&mut buffer, 0);
        let mut options = OptionsWriter::new(&mut out);
        let report = CongestionReport {
            lead: Seq(9),
            worst_link: Some(0x1111),
            worst_path: None,
            receiver_path: Some(0x3333),
            receiver: "10.0.0.7".parse().unwrap(),
        };
        let request = ReportRequest { worst_link: false, worst_path: true, receiver_path: false };
        report.emit(&mut options);
        request.emit(&mut options);
        options.finish();
        assert_eq!(
            buffer,
            *b"\x00\x04\x00\x20\x10\x18\x00\x05\x00\x00\x00\x09\x11\x11\x00\x00\x33\x33\x00\x00\x00\x01\x00\x00\x0a\x00\x00\x07\x91\x04\x00\x02"
        );
        let (mut options, _) = RawOptions::split(&buffer).unwrap();
        assert_eq!(CongestionReport::parse(&options.next().unwrap().unwrap()), Ok(report));
        assert_eq!(ReportRequest::parse(&options.next().unwrap().unwrap()), Ok(request));
    }
}
