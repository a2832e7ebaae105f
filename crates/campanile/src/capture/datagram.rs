//! From a frame to what may be PGM: the payload of UDP, or of IP protocol 113.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Frame;

/// A payload that may be PGM, with its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender.
    pub from: IpAddr,
    /// The receiver or group.
    pub to: IpAddr,
    /// What carries it.
    pub carrier: Carrier,
    /// The bytes that the capture holds of it.
    pub payload: &'a [u8],
    /// Bytes of it that the capture does not hold.
    pub missing: usize,
    /// It is a part of an IP packet that was cut into fragments.
    pub is_fragment: bool,
}

/// What carries PGM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// IP itself, as protocol 113.
    Ip,
    /// UDP.
    Udp {
        /// The sender's port.
        from: u16,
        /// The receiver's port.
        to: u16,
    },
}

impl<'a> Datagram<'a> {
    /// What a frame carries, if that is UDP or IP protocol 113. Of a fragmented packet only the first fragment is read.
    #[must_use]
    pub fn of_frame(frame: &Frame<'a>) -> Option<Self> {
        let bytes = frame.link.ip(frame.bytes)?;
        let packet = match bytes.first()? >> 4 {
            4 => IpPacket::v4(bytes)?,
            6 => IpPacket::v6(bytes)?,
            _ => return None,
        };
        let IpPacket { from, to, protocol, payload, missing, is_fragment } = packet;
        match protocol {
            PGM => Some(Self { from, to, carrier: Carrier::Ip, payload, missing, is_fragment }),
            UDP => {
                let (header, rest) = payload.split_first_chunk::<8>()?;
                let [a, b, c, d, e, g, _, _] = *header;
                let carrier =
                    Carrier::Udp { from: u16::from_be_bytes([a, b]), to: u16::from_be_bytes([c, d]) };
                // If the length in the UDP header is less than IP's, the rest is padding.
                let len = usize::from(u16::from_be_bytes([e, g])).checked_sub(8);
                let len = len.filter(|&len| len < rest.len() + missing).unwrap_or(rest.len() + missing);
                let held = &rest[..len.min(rest.len())];
                let missing = len - held.len();
                Some(Self { from, to, carrier, payload: held, missing, is_fragment })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.carrier {
            Carrier::Ip => write!(f, "{} > {}", self.from, self.to),
            Carrier::Udp { from, to } => {
                write!(f, "{} > {}", SocketAddr::new(self.from, from), SocketAddr::new(self.to, to))
            }
        }
    }
}

/// What is needed of an IP packet to read its payload.
struct IpPacket<'a> {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    payload: &'a [u8],
    missing: usize,
    is_fragment: bool,
}

impl<'a> IpPacket<'a> {
    fn v4(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<20>()?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        // With segmentation offload a system may leave the length 0 for the network card to fill in.
        let total = if total == 0 { bytes.len() } else { total };
        if header_len < 20 || total < header_len {
            return None;
        }
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        if fragment & 0x1fff != 0 {
            return None;
        }
        let end = total.min(bytes.len());
        let address =
            |at: usize| Ipv4Addr::from_bits(u32::from_be_bytes([0, 1, 2, 3].map(|i| header[at + i])));
        Some(Self {
            from: address(12).into(),
            to: address(16).into(),
            protocol: header[9],
            payload: bytes.get(header_len..end)?,
            missing: total - end,
            is_fragment: fragment & 0x2000 != 0,
        })
    }

    fn v6(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<40>()?;
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let len = if len == 0 { rest.len() } else { len };
        let held = len.min(rest.len());
        let address = |at: usize| Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| header[at + i]));
        let (protocol, payload, is_fragment) = behind_extensions(header[6], &rest[..held])?;
        Some(Self {
            from: address(8).into(),
            to: address(24).into(),
            protocol,
            payload,
            missing: len - held,
            is_fragment,
        })
    }
}

/// The protocol and the payload after the extension headers of an IPv6 packet, and whether it is a fragment.
fn behind_extensions(mut next: u8, mut rest: &[u8]) -> Option<(u8, &[u8], bool)> {
    let mut is_fragment = false;
    for _ in 0..EXTENSIONS_MAX {
        let len = match next {
            HOP_BY_HOP | ROUTING | DESTINATION => 8 + usize::from(*rest.get(1)?) * 8,
            AUTHENTICATION => 8 + usize::from(*rest.get(1)?) * 4,
            FRAGMENT => {
                let bits = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
                if bits & 0xfff8 != 0 {
                    return None;
                }
                is_fragment |= bits & 1 != 0;
                8
            }
            _ => return Some((next, rest, is_fragment)),
        };
        next = *rest.first()?;
        rest = rest.get(len..)?;
    }
    None
}

/// The most extension headers that are read.
const EXTENSIONS_MAX: usize = 8;

const HOP_BY_HOP: u8 = 0;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const PGM: u8 = 113;
