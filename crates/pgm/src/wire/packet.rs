use std::fmt;

use super::checksum::Sum;
use super::cursor::{Reader, Writer};
use super::header::{HeaderView, OPTIONS_PRESENT, PARITY, Stamp, VAR_PKTLEN};
use super::options::RawOptions;
use super::plain::PlainHead;
use super::{
    Ack, Data, DataHead, DataKind, HEADER_LEN, Malformed, Nak, Ncf, PacketType, Poll, Polr, Request, Session,
    Spm,
};

/// A packet that obeys every rule of RFC 3208 that can be checked from the packet alone.
///
/// Borrows the payload and the NAK list from the datagram. Nothing here allocates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The transport session.
    pub session: Session,
    /// What the packet says.
    pub body: Body<'a>,
}

/// The content of a packet, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// Source path message.
    Spm(Spm),
    /// Poll request.
    Poll(Poll),
    /// Poll response.
    Polr(Polr),
    /// ODATA or RDATA.
    Data(Data<'a>),
    /// Negative acknowledgement.
    Nak(Nak<'a>),
    /// Null negative acknowledgement.
    Nnak(Request<'a>),
    /// NAK confirmation.
    Ncf(Ncf<'a>),
    /// SPM request.
    Spmr,
    /// Acknowledgement of PGMCC.
    Ack(Ack),
}

impl<'a> Packet<'a> {
    /// Reads a datagram: what follows the IP header, or the UDP header when PGM is encapsulated in UDP.
    ///
    /// Costs little more than a checksum, whatever the options; there are at most 16 of them.
    ///
    /// # Errors
    ///
    /// The first rule that the datagram breaks.
    pub fn parse(datagram: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let header = HeaderView::new(datagram).ok_or(Malformed::ShortHeader)?;
        let packet_type = header.packet_type()?;
        let flags = header.flags();
        if header.has_checksum() {
            if !Sum::of(datagram).is_valid() {
                return Err(Malformed::BadChecksum);
            }
        } else if packet_type.is_data() {
            return Err(Malformed::NoChecksum);
        }
        // Most packets of a session are data without options and parity: built right here, they are not moved about.
        if packet_type.is_data() && flags & (OPTIONS_PRESENT | VAR_PKTLEN | PARITY) == 0 {
            let kind = if packet_type == PacketType::Odata { DataKind::Original } else { DataKind::Repair };
            let (PlainHead { sqn, trail }, payload) = PlainHead::parse(datagram, header.tsdu_len())?;
            let data = Data { head: DataHead::new(kind, sqn, trail), payload };
            return Ok(Packet { session: header.session_towards(false), body: Body::Data(data) });
        }
        if flags & PARITY != 0 && !packet_type.may_be_parity() {
            return Err(Malformed::ParityMisplaced);
        }
        if flags & (VAR_PKTLEN | PARITY) == VAR_PKTLEN {
            return Err(Malformed::VarPktlenWithoutParity);
        }
        if header.tsdu_len() != 0 && !packet_type.is_data() {
            return Err(Malformed::TsduMisplaced);
        }
        let session = header.session_of(packet_type);
        let reader = Reader::new(&datagram[HEADER_LEN..], Malformed::ShortBody);
        let data = |kind| Data::parse(kind, flags, header.tsdu_len(), reader).map(Body::Data);
        let body = match packet_type {
            PacketType::Odata => data(DataKind::Original)?,
            PacketType::Rdata => data(DataKind::Repair)?,
            PacketType::Spm => Body::Spm(Spm::parse(flags, reader)?),
            PacketType::Poll => Body::Poll(Poll::parse(flags, reader)?),
            PacketType::Polr => Body::Polr(Polr::parse(flags, reader)?),
            PacketType::Nak => Body::Nak(Nak::parse(flags, reader)?),
            PacketType::Nnak => Body::Nnak(Request::parse_nnak(flags, reader)?),
            PacketType::Ncf => Body::Ncf(Ncf::parse(flags, reader)?),
            PacketType::Spmr => parse_spmr(flags, reader)?,
            PacketType::Ack => Body::Ack(Ack::parse(flags, reader)?),
        };
        Ok(Packet { session, body })
    }

    /// The length of the packet.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match &self.body {
            Body::Spm(spm) => spm.wire_len(),
            Body::Poll(poll) => poll.wire_len(),
            Body::Polr(polr) => polr.wire_len(),
            Body::Data(data) => data.wire_len(),
            Body::Nak(nak) => nak.wire_len(),
            Body::Nnak(request) => request.wire_len(),
            Body::Ncf(ncf) => ncf.wire_len(),
            Body::Spmr => HEADER_LEN,
            Body::Ack(ack) => ack.wire_len(),
        }
    }

    /// The type of the packet.
    #[must_use]
    pub fn packet_type(&self) -> PacketType {
        match &self.body {
            Body::Spm(_) => PacketType::Spm,
            Body::Poll(_) => PacketType::Poll,
            Body::Polr(_) => PacketType::Polr,
            Body::Data(data) => data.head.packet_type(),
            Body::Nak(_) => PacketType::Nak,
            Body::Nnak(_) => PacketType::Nnak,
            Body::Ncf(_) => PacketType::Ncf,
            Body::Spmr => PacketType::Spmr,
            Body::Ack(_) => PacketType::Ack,
        }
    }

    /// Writes the packet into `buffer`, checksum included, and returns its length, which is [`Packet::wire_len`].
    ///
    /// # Panics
    ///
    /// When the buffer is shorter than that; for data also as [`super::DataHead::emit_around`].
    pub fn emit(&self, buffer: &mut [u8]) -> usize {
        if let Body::Data(data) = &self.body {
            return data.emit(self.session, buffer);
        }
        let mut out = Writer::new(buffer, HEADER_LEN);
        let flags = match &self.body {
            Body::Spm(spm) => spm.emit(&mut out),
            Body::Poll(poll) => poll.emit(&mut out),
            Body::Polr(polr) => polr.emit(&mut out),
            Body::Nak(nak) => nak.emit(&mut out),
            Body::Nnak(request) => request.emit_nnak(&mut out),
            Body::Ncf(ncf) => ncf.emit(&mut out),
            Body::Ack(ack) => ack.emit(&mut out),
            Body::Spmr | Body::Data(_) => 0,
        };
        let len = out.at();
        seal(self.session, self.packet_type(), flags, 0, &mut buffer[..len]);
        len
    }
}

/// Writes the common header at the front of a packet, with the checksum of the whole packet.
pub(crate) fn seal(session: Session, packet_type: PacketType, flags: u8, tsdu_len: usize, packet: &mut [u8]) {
    let (head, behind) = packet.split_first_chunk_mut().expect("a packet is longer than its header");
    Stamp::new(session, packet_type, flags).seal(tsdu_len, Sum::of(behind), head);
}

/// An SPMR has no fixed part, and the RFC defines no option for it (§13.6).
fn parse_spmr<'a>(flags: u8, reader: Reader<'_>) -> Result<Body<'a>, Malformed> {
    match RawOptions::without_payload(flags, reader.rest())?.next() {
        None => Ok(Body::Spmr),
        Some(option) => Err(option.err().unwrap_or(Malformed::OptionMisplaced)),
    }
}

impl fmt::Display for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.session)?;
        match &self.body {
            Body::Spm(spm) => spm.fmt(f),
            Body::Poll(poll) => poll.fmt(f),
            Body::Polr(polr) => polr.fmt(f),
            Body::Data(data) => data.fmt(f),
            Body::Nak(nak) => nak.fmt(f),
            Body::Nnak(request) => write!(f, "NNAK {request}"),
            Body::Ncf(ncf) => ncf.fmt(f),
            Body::Spmr => f.write_str("SPMR"),
            Body::Ack(ack) => ack.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{NakList, SpmOptions, Window, WindowState};
    use crate::{Gsi, Seq, Tsi};

    fn emitted(packet: &Packet<'_>) -> Vec<u8> {
        let mut buffer = vec![0xee; packet.wire_len()];
        assert_eq!(packet.emit(&mut buffer), buffer.len());
        buffer
    }

    /// As ZeroMQ's publisher sends it when it starts, measured.
    #[test]
    fn a_first_spm() {
        let session = Session {
            tsi: Tsi { gsi: Gsi([0xb7, 0xc6, 0xd1, 0xbc, 3, 0x8a]), port: 0xce03 },
            destination_port: 5555,
        };
        let spm = Spm {
            sqn: Seq(0),
            window: WindowState::Known(Window::new(Seq(0), Seq(u32::MAX)).unwrap()),
            path: "10.77.0.1".parse().unwrap(),
            options: SpmOptions::default(),
        };
        let packet = Packet { session, body: Body::Spm(spm) };
        let bytes = b"\xce\x03\x15\xb3\x00\x00\x84\xec\xb7\xc6\xd1\xbc\x03\x8a\x00\x00\
            \x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x01\x00\x00\x0a\x4d\x00\x01";
        assert_eq!(emitted(&packet), bytes);
        assert_eq!(Packet::parse(bytes), Ok(packet));
    }

    /// As ZeroMQ's subscriber sends it, measured.
    #[test]
    fn a_nak() {
        let session = Session {
            tsi: Tsi { gsi: Gsi([0xde, 0xad, 0xbe, 0xef, 0, 1]), port: 1234 },
            destination_port: 5555,
        };
        let request = Request {
            sqns: NakList::one(Seq(1_000_002)),
            parity: false,
            source: "10.77.0.1".parse().unwrap(),
            group: "239.192.1.1".parse().unwrap(),
        };
        let packet = Packet { session, body: Body::Nak(Nak::new(request)) };
        let bytes = b"\x15\xb3\x04\xd2\x08\x00\x02\x79\xde\xad\xbe\xef\x00\x01\x00\x00\
            \x00\x0f\x42\x42\x00\x01\x00\x00\x0a\x4d\x00\x01\x00\x01\x00\x00\xef\xc0\x01\x01";
        assert_eq!(emitted(&packet), bytes);
        assert_eq!(Packet::parse(bytes), Ok(packet));
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_short_buffer_is_an_error_of_the_caller() {
        let packet = Packet { session: Session::default(), body: Body::Spmr };
        packet.emit(&mut [0; HEADER_LEN - 1]);
    }
}
