//! Which payloads are PGM, and what is wrong with them.

use std::fmt;

use campanile_pgm::wire::{HeaderView, Malformed, Packet, Session};

use super::{Carrier, Datagram};
use crate::multicast::{Receipt, Report};

/// Tells PGM from other traffic.
///
/// IP protocol 113 is PGM. A UDP payload is PGM if it parses as a PGM packet with a correct checksum. To the ports that were given, and
/// to those that carried such a packet before, every payload is PGM: what does not parse is broken PGM.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// A bit for each port.
    ports: Box<[u64; 1024]>,
}

/// What a PGM payload is: a packet, or a broken one.
pub type Verdict<'a> = Result<Seen<'a>, Flaw>;

/// A packet that breaks no rule.
#[derive(Debug)]
pub enum Seen<'a> {
    /// One of RFC 3208.
    Packet(Packet<'a>),
    /// What our receivers report to the source (`docs/multicast.md`).
    Report(Session, Report),
    /// The source's answer to a report.
    Receipt(Session, Receipt),
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It breaks a rule of RFC 3208.
    Malformed(Malformed),
    /// The capture does not hold all of it.
    CutShort {
        /// Bytes that are missing.
        missing: usize,
    },
    /// It is the first fragment of a larger IP packet.
    Fragment,
}

impl Classifier {
    /// A classifier that takes every UDP payload to one of `ports` for PGM.
    #[must_use]
    pub fn new(ports: &[u16]) -> Self {
        let mut classifier = Self { ports: Box::new([0; 1024]) };
        ports.iter().for_each(|&port| classifier.expect(port));
        classifier
    }

    /// Whether a payload is PGM, and if so the packet or what is wrong with it.
    pub fn classify<'a>(&mut self, datagram: &Datagram<'a>) -> Option<Verdict<'a>> {
        let expected = match datagram.carrier {
            Carrier::Ip => true,
            Carrier::Udp { to, .. } => self.expects(to),
        };
        if datagram.is_fragment {
            return expected.then_some(Err(Flaw::Fragment));
        }
        if datagram.missing > 0 {
            return expected.then_some(Err(Flaw::CutShort { missing: datagram.missing }));
        }
        let parsed = Seen::read(datagram.payload);
        if expected {
            return Some(parsed.map_err(Flaw::Malformed));
        }
        // Without a checksum too much other traffic would pass as PGM.
        let seen = parsed.ok()?;
        HeaderView::new(datagram.payload).filter(|header| header.has_checksum())?;
        if let Carrier::Udp { to, .. } = datagram.carrier {
            self.expect(to);
        }
        Some(Ok(seen))
    }

    fn expects(&self, port: u16) -> bool {
        self.ports[usize::from(port / 64)] & (1 << (port % 64)) != 0
    }

    fn expect(&mut self, port: u16) {
        self.ports[usize::from(port / 64)] |= 1 << (port % 64);
    }
}

impl<'a> Seen<'a> {
    fn read(datagram: &'a [u8]) -> Result<Self, Malformed> {
        if let Some((session, report)) = Report::parse(datagram) {
            return Ok(Self::Report(session, report));
        }
        if let Some((session, receipt)) = Receipt::parse(datagram) {
            return Ok(Self::Receipt(session, receipt));
        }
        Packet::parse(datagram).map(Self::Packet)
    }

    /// The session that it belongs to.
    #[must_use]
    pub fn session(&self) -> Session {
        match self {
            Self::Packet(packet) => packet.session,
            Self::Report(session, _) | Self::Receipt(session, _) => *session,
        }
    }
}

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(packet) => packet.fmt(f),
            Self::Report(session, report) => write!(f, "{session}: {report}"),
            Self::Receipt(session, receipt) => write!(f, "{session}: {receipt}"),
        }
    }
}

impl Flaw {
    /// The section of RFC 3208 that has the rule, if it is one of its rules.
    #[must_use]
    pub fn section(self) -> Option<&'static str> {
        match self {
            Self::Malformed(malformed) => Some(malformed.section()),
            Self::CutShort { .. } | Self::Fragment => None,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::CutShort { missing } => write!(f, "not captured whole, {missing} bytes are missing"),
            Self::Fragment => f.write_str("the first fragment of an IP packet, not put together"),
        }
    }
}

impl std::error::Error for Flaw {}
