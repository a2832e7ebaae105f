//! Packets of types that RFC 3208 leaves free, for messages between an application's own source and receivers within a session.
//!
//! They have the common header with its checksum, so that they take the paths of the session's other packets and are assigned to it
//! by its TSI. A node that does not know a type drops its packets, as it must drop any unknown one.

use super::checksum::Sum;
use super::header::{self, HEADER_LEN, HeaderView, Session};

/// A type that RFC 3208 leaves free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrivateType {
    /// 0x0E, from the source to receivers.
    Downstream,
    /// 0x0F, from a receiver to the source: the ports are swapped, as in a NAK.
    Upstream,
}

impl PrivateType {
    fn byte(self) -> u8 {
        match self {
            PrivateType::Downstream => 0x0e,
            PrivateType::Upstream => 0x0f,
        }
    }

    /// The private type of a datagram, judging by its header alone.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<PrivateType> {
        match HeaderView::new(datagram)?.type_byte() {
            0x0e => Some(PrivateType::Downstream),
            0x0f => Some(PrivateType::Upstream),
            _ => None,
        }
    }

    /// Reads a datagram of this type: its session, and what follows the header. `None` when it is of another type, its checksum is
    /// missing or wrong, or the header claims options or data.
    #[must_use]
    pub fn parse(self, datagram: &[u8]) -> Option<(Session, &[u8])> {
        let header = HeaderView::new(datagram)?;
        let is_plain = header.flags() == 0 && header.tsdu_len() == 0 && header.has_checksum();
        let is_right = PrivateType::of(datagram) == Some(self) && is_plain && Sum::of(datagram).is_valid();
        is_right.then(|| (header.session_towards(self == PrivateType::Upstream), &datagram[HEADER_LEN..]))
    }

    /// Writes the header at the front of `packet`; the body already follows, behind room for the header.
    ///
    /// # Panics
    ///
    /// When the packet is shorter than the header.
    pub fn emit_around(self, session: Session, packet: &mut [u8]) {
        let header = packet.first_chunk_mut().expect("a packet has room for its header");
        session.emit_typed(self.byte(), self == PrivateType::Upstream, header);
        let sum = Sum::of(packet).field();
        packet[header::CHECKSUM..][..2].copy_from_slice(&sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Malformed, Packet};
    use crate::{Gsi, Tsi};

    fn session() -> Session {
        Session { tsi: Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 0x1111 }, destination_port: 0x2222 }
    }

    #[test]
    fn what_is_written_is_read() {
        for private in [PrivateType::Downstream, PrivateType::Upstream] {
            let mut packet = [7; HEADER_LEN + 5];
            private.emit_around(session(), &mut packet);
            assert_eq!(PrivateType::of(&packet), Some(private));
            assert_eq!(private.parse(&packet), Some((session(), &[7; 5][..])));
            assert_eq!(Packet::parse(&packet), Err(Malformed::UnknownType));
            for at in 0..packet.len() {
                let mut changed = packet;
                changed[at] ^= 1;
                assert_eq!(private.parse(&changed), None, "{at}");
            }
            assert_eq!(private.parse(&packet[..HEADER_LEN - 1]), None);
        }
    }

    #[test]
    fn ports_are_swapped_upstream() {
        let mut packet = [0; HEADER_LEN];
        PrivateType::Upstream.emit_around(session(), &mut packet);
        assert_eq!(packet[..6], *b"\x22\x22\x11\x11\x0f\0");
        PrivateType::Downstream.emit_around(session(), &mut packet);
        assert_eq!(packet[..6], *b"\x11\x11\x22\x22\x0e\0");
    }
}
