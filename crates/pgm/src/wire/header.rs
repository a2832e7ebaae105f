//! The common header, 16 bytes (RFC 3208 §8).
//!
//! The bits of the options flags are those of Cisco, OpenPGM, Wireshark and tcpdump: the RFC numbers them the other way around,
//! and no implementation follows it.

use std::fmt;

use super::Malformed;
use super::checksum::Sum;
use crate::{Gsi, Tsi};

/// A view of the common header: the fields as they are, with nothing checked but the length.
///
/// For finding the session of a datagram before parsing it.
#[derive(Debug, Clone, Copy)]
pub struct HeaderView<'a>(&'a [u8; HEADER_LEN]);

impl<'a> HeaderView<'a> {
    /// The header of a datagram; `None` when the datagram is shorter.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Option<Self> {
        datagram.first_chunk().map(HeaderView)
    }

    /// The session that the packet says it belongs to; `None` when its type is not known.
    #[must_use]
    pub fn session(self) -> Option<Session> {
        self.packet_type().ok().map(|packet_type| self.session_of(packet_type))
    }

    /// The type of the packet.
    ///
    /// # Errors
    ///
    /// The version is not 0, reserved bits are set, or the type is not a known one.
    pub fn packet_type(self) -> Result<PacketType, Malformed> {
        PacketType::parse(self.0[TYPE])
    }

    /// Whether the packet carries parity or asks for it.
    #[must_use]
    pub fn is_parity(self) -> bool {
        self.flags() & PARITY != 0
    }

    /// Whether options follow the body.
    #[must_use]
    pub fn has_options(self) -> bool {
        self.flags() & OPTIONS_PRESENT != 0
    }

    pub(crate) fn session_of(self, packet_type: PacketType) -> Session {
        self.session_towards(packet_type.is_upstream())
    }

    /// The session of a packet that goes in the given direction.
    pub(crate) fn session_towards(self, upstream: bool) -> Session {
        let (first, second) = (self.u16(SOURCE_PORT), self.u16(DESTINATION_PORT));
        // Upstream the ports are swapped: DPORT is always the endpoint in the recipient's host (§8.3).
        let (port, destination_port) = if upstream { (second, first) } else { (first, second) };
        let mut gsi = Gsi::default();
        gsi.0.copy_from_slice(&self.0[GSI..GSI + 6]);
        Session { tsi: Tsi { gsi, port }, destination_port }
    }

    pub(crate) fn type_byte(self) -> u8 {
        self.0[TYPE]
    }

    pub(crate) fn flags(self) -> u8 {
        self.0[FLAGS]
    }

    /// Whether the packet has a checksum, right or wrong: 0 means that it has none.
    #[must_use]
    pub fn has_checksum(self) -> bool {
        self.u16(CHECKSUM) != 0
    }

    pub(crate) fn tsdu_len(self) -> usize {
        self.u16(TSDU_LENGTH).into()
    }

    fn u16(self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }
}

/// What identifies a transport session in each of its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Session {
    /// The transport session identifier; its port is the data-source port.
    pub tsi: Tsi,
    /// The data-destination port, whichever way the packet goes.
    pub destination_port: u16,
}

impl Session {
    /// Writes the common header of a packet without options and data, with a checksum of zero; returns its sum: adding up the fields
    /// at hand is faster than reading back what was just written.
    #[inline]
    pub(crate) fn emit_typed(self, type_byte: u8, upstream: bool, header: &mut [u8; HEADER_LEN]) -> Sum {
        let (first, second) = if upstream {
            (self.destination_port, self.tsi.port)
        } else {
            (self.tsi.port, self.destination_port)
        };
        header.fill(0);
        header[SOURCE_PORT..][..2].copy_from_slice(&first.to_be_bytes());
        header[DESTINATION_PORT..][..2].copy_from_slice(&second.to_be_bytes());
        header[TYPE] = type_byte;
        header[GSI..][..6].copy_from_slice(&self.tsi.gsi.0);
        let [a, b, c, d, e, f] = self.tsi.gsi.0;
        let fields =
            [[a, b], [c, d], [e, f], [type_byte, 0]].map(|pair| Sum::of_u16(u16::from_be_bytes(pair)));
        fields.into_iter().fold(Sum::of_u16(first).then(Sum::of_u16(second)), Sum::then)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.tsi, self.destination_port)
    }
}

/// The common header of a session's packets of one kind, made once for all of them: only the length of the data and the checksum
/// differ.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    header: [u8; HEADER_LEN],
    sum: Sum,
}

impl Stamp {
    #[inline]
    pub(crate) fn new(session: Session, packet_type: PacketType, flags: u8) -> Self {
        let mut header = [0; HEADER_LEN];
        let sum = session.emit_typed(packet_type as u8, packet_type.is_upstream(), &mut header);
        header[FLAGS] = flags;
        Stamp { header, sum: sum.then(Sum::of_u16(flags.into())) }
    }

    /// Writes the header of a packet with `tsdu_len` bytes of data; `behind` is the sum of everything after the header.
    #[inline]
    pub(crate) fn seal(&self, tsdu_len: usize, behind: Sum, header: &mut [u8; HEADER_LEN]) {
        let tsdu_len = u16::try_from(tsdu_len).expect("a TSDU fits a datagram");
        let checksum = self.sum.then(Sum::of_u16(tsdu_len)).then(behind).field();
        *header = self.header;
        header[CHECKSUM..][..2].copy_from_slice(&checksum);
        header[TSDU_LENGTH..][..2].copy_from_slice(&tsdu_len.to_be_bytes());
    }
}

/// The type of a packet (RFC 3208 §8, §13, §14; ACK is from the PGMCC draft, with the code of OpenPGM and Wireshark).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// Source path message.
    Spm = 0x00,
    /// Poll request.
    Poll = 0x01,
    /// Poll response.
    Polr = 0x02,
    /// Original data.
    Odata = 0x04,
    /// Repair data.
    Rdata = 0x05,
    /// Negative acknowledgement.
    Nak = 0x08,
    /// Null negative acknowledgement.
    Nnak = 0x09,
    /// NAK confirmation.
    Ncf = 0x0a,
    /// SPM request.
    Spmr = 0x0c,
    /// Acknowledgement of PGMCC.
    Ack = 0x0d,
}

impl PacketType {
    fn parse(byte: u8) -> Result<PacketType, Malformed> {
        Ok(match byte {
            0x00 => PacketType::Spm,
            0x01 => PacketType::Poll,
            0x02 => PacketType::Polr,
            0x04 => PacketType::Odata,
            0x05 => PacketType::Rdata,
            0x08 => PacketType::Nak,
            0x09 => PacketType::Nnak,
            0x0a => PacketType::Ncf,
            0x0c => PacketType::Spmr,
            0x0d => PacketType::Ack,
            _ if byte & VERSION_BITS != 0 => return Err(Malformed::Version),
            _ if byte & RESERVED_TYPE_BITS != 0 => return Err(Malformed::ReservedTypeBits),
            _ => return Err(Malformed::UnknownType),
        })
    }

    /// Whether packets of this type go from receivers towards the source.
    #[must_use]
    pub const fn is_upstream(self) -> bool {
        matches!(
            self,
            PacketType::Polr | PacketType::Nak | PacketType::Nnak | PacketType::Spmr | PacketType::Ack
        )
    }

    /// Whether packets of this type carry application data.
    #[must_use]
    pub const fn is_data(self) -> bool {
        matches!(self, PacketType::Odata | PacketType::Rdata)
    }

    /// Whether OPT_PARITY may be set in the header (§9.5.2 for POLR, §11.3).
    pub(crate) const fn may_be_parity(self) -> bool {
        !matches!(self, PacketType::Spm | PacketType::Poll | PacketType::Spmr | PacketType::Ack)
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PacketType::Spm => "SPM",
            PacketType::Poll => "POLL",
            PacketType::Polr => "POLR",
            PacketType::Odata => "ODATA",
            PacketType::Rdata => "RDATA",
            PacketType::Nak => "NAK",
            PacketType::Nnak => "NNAK",
            PacketType::Ncf => "NCF",
            PacketType::Spmr => "SPMR",
            PacketType::Ack => "ACK",
        })
    }
}

/// The length of the common header.
pub const HEADER_LEN: usize = 16;

/// Option extensions are present.
pub(crate) const OPTIONS_PRESENT: u8 = 0x01;
/// Some of the options are for network elements.
pub(crate) const NETWORK_SIGNIFICANT: u8 = 0x02;
/// A parity packet over packets whose lengths differ.
pub(crate) const VAR_PKTLEN: u8 = 0x40;
/// A parity packet, or a request for one.
pub(crate) const PARITY: u8 = 0x80;

/// The offset of the checksum.
pub(crate) const CHECKSUM: usize = 6;

const SOURCE_PORT: usize = 0;
const DESTINATION_PORT: usize = 2;
const TYPE: usize = 4;
const FLAGS: usize = 5;
const GSI: usize = 8;
const TSDU_LENGTH: usize = 14;

const VERSION_BITS: u8 = 0xc0;
const RESERVED_TYPE_BITS: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for byte in 0..=255 {
            match PacketType::parse(byte) {
                Ok(packet_type) => assert_eq!(packet_type as u8, byte),
                Err(Malformed::Version) => assert_ne!(byte >> 6, 0),
                Err(Malformed::ReservedTypeBits) => assert!(byte >> 6 == 0 && byte & 0x30 != 0),
                Err(Malformed::UnknownType) => assert!([3, 6, 7, 11, 14, 15].contains(&byte)),
                Err(other) => panic!("{byte:#x}: {other}"),
            }
        }
    }

    #[test]
    fn ports_are_swapped_upstream() {
        let session =
            Session { tsi: Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 0x1111 }, destination_port: 0x2222 };
        let mut bytes = [0xee; HEADER_LEN];
        let behind = Sum::of(b"behind");
        Stamp::new(session, PacketType::Odata, 0).seal(7, behind, &mut bytes);
        assert!(Sum::of(&bytes).then(behind).is_valid());
        bytes[CHECKSUM..][..2].fill(0);
        assert_eq!(bytes, *b"\x11\x11\x22\x22\x04\x00\x00\x00\x01\x02\x03\x04\x05\x06\x00\x07");
        assert_eq!(HeaderView::new(&bytes).unwrap().session(), Some(session));
        Stamp::new(session, PacketType::Nak, 3).seal(0, behind, &mut bytes);
        assert!(Sum::of(&bytes).then(behind).is_valid());
        bytes[CHECKSUM..][..2].fill(0);
        assert_eq!(bytes, *b"\x22\x22\x11\x11\x08\x03\x00\x00\x01\x02\x03\x04\x05\x06\x00\x00");
        assert_eq!(HeaderView::new(&bytes).unwrap().session(), Some(session));
        assert!(HeaderView::new(&bytes[1..]).is_none());
    }
}
