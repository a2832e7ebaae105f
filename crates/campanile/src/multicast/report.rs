//! Reports of receivers to the source, and the source's receipts for them.
//!
//! Both are PGM packets of private types: they take the path of NAKs and are demultiplexed by session. `docs/multicast.md` has the
//! layout. A receipt is never longer than the report that it answers.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use campanile_pgm::Seq;
use campanile_pgm::wire::{HEADER_LEN, PrivateType, Session};

use crate::random;

/// A receiver's own id: 128 random bits, or a hash for a receiver that keeps its identity over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverId(pub u128);

impl ReceiverId {
    /// All receivers: the id in a call.
    pub(super) const ALL: Self = ReceiverId(0);

    pub(super) fn random() -> Self {
        ReceiverId(u128::from(random::word()) << 64 | u128::from(random::word()))
    }

    /// The id of the receiver at an address that keeps its data at `place`.
    pub(super) fn keeping(address: IpAddr, place: &Path) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(address.to_string().as_bytes());
        // A separator that no address contains.
        hasher.update(&[0]);
        hasher.update(place.as_os_str().as_encoded_bytes());
        let hash = hasher.finalize();
        ReceiverId(u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes")))
    }
}

/// The first eight hexadecimal digits: enough to tell the receivers of one session apart.
impl fmt::Display for ReceiverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 96)
    }
}

/// How far a receiver has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It receives.
    Joined,
    /// It has everything: files under their names, messages and streams in the queue to its application, or taken from it.
    Complete,
    /// It will never have everything.
    Failed,
    /// It left before the end.
    Left,
}

impl Standing {
    /// Whether it will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Standing::Joined
    }
}

/// As one word.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::Joined => "receiving",
            Standing::Complete => "complete",
            Standing::Failed => "failed",
            Standing::Left => "left",
        })
    }
}

/// A receiver's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The cookie of the session's profile.
    pub cookie: u64,
    /// The receiver.
    pub receiver: ReceiverId,
    /// How far it has got.
    pub standing: Standing,
    /// Data packets that it has, of `total`.
    pub had: u32,
    /// Data packets of the session, as far as it knows; 0 when it does not.
    pub total: u32,
    /// The share of original packets that it lost, in 1/65536.
    pub loss: u16,
    /// Bytes that its buffers have room for.
    pub headroom: u64,
    /// The last original packet that it has received.
    pub lead: Seq,
    /// Original packets that it has received, modulo 2^32.
    pub heard: u32,
    /// The first packet that it may still need.
    pub needs: Seq,
    /// Bytes that its socket's receive buffer holds.
    pub socket: u32,
}

impl Report {
    /// The share of original packets that it lost, in percent.
    #[must_use]
    pub fn loss_percent(&self) -> f64 {
        loss_percent(self.loss)
    }

    /// The length of the packet.
    pub(super) const LEN: usize = HEADER_LEN + BODY_LEN;

    /// Reads a report from a datagram; `None` if it is none, or of an unknown version.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<(Session, Self)> {
        let (session, body) = PrivateType::Upstream.parse(datagram)?;
        let body: &[u8; BODY_LEN] = body.first_chunk()?;
        if body[0] != VERSION {
            return None;
        }
        let standing = match body[1] {
            0 => Standing::Joined,
            1 => Standing::Complete,
            2 => Standing::Failed,
            3 => Standing::Left,
            _ => return None,
        };
        let report = Report {
            cookie: u64::from_be_bytes(field(body, 4)),
            receiver: ReceiverId(u128::from_be_bytes(field(body, 12))),
            standing,
            had: u32::from_be_bytes(field(body, 28)),
            total: u32::from_be_bytes(field(body, 32)),
            loss: u16::from_be_bytes(field(body, 2)),
            headroom: u64::from_be_bytes(field(body, 36)),
            lead: Seq(u32::from_be_bytes(field(body, 44))),
            heard: u32::from_be_bytes(field(body, 48)),
            needs: Seq(u32::from_be_bytes(field(body, 52))),
            socket: u32::from_be_bytes(field(body, 56)),
        };
        Some((session, report))
    }

    /// The packet that says it.
    #[must_use]
    pub fn emit(&self, session: Session) -> [u8; Self::LEN] {
        let mut packet = [0; Self::LEN];
        let body = &mut packet[HEADER_LEN..];
        body[0] = VERSION;
        body[1] = match self.standing {
            Standing::Joined => 0,
            Standing::Complete => 1,
            Standing::Failed => 2,
            Standing::Left => 3,
        };
        body[2..4].copy_from_slice(&self.loss.to_be_bytes());
        body[4..12].copy_from_slice(&self.cookie.to_be_bytes());
        body[12..28].copy_from_slice(&self.receiver.0.to_be_bytes());
        body[28..32].copy_from_slice(&self.had.to_be_bytes());
        body[32..36].copy_from_slice(&self.total.to_be_bytes());
        body[36..44].copy_from_slice(&self.headroom.to_be_bytes());
        body[44..48].copy_from_slice(&self.lead.0.to_be_bytes());
        body[48..52].copy_from_slice(&self.heard.to_be_bytes());
        body[52..56].copy_from_slice(&self.needs.0.to_be_bytes());
        body[56..60].copy_from_slice(&self.socket.to_be_bytes());
        PrivateType::Upstream.emit_around(session, &mut packet);
        packet
    }
}

/// A loss in percent, from a report's 1/65536.
pub(super) fn loss_percent(loss: u16) -> f64 {
    f64::from(loss) * 100.0 / 65_536.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { receiver, standing, had, total, .. } = self;
        let loss = self.loss_percent();
        write!(f, "report of {receiver}: {standing}, {had} of {total} packets, loss {loss:.1} %")
    }
}

/// The source's answer to a report. Sent to the group, with receiver id 0, it is a call: all receivers are to report from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The cookie of the session's profile.
    pub cookie: u64,
    /// The receiver whose report arrived.
    pub receiver: ReceiverId,
    /// Whether nothing more is expected of it.
    pub is_final: bool,
    /// When the next report is wanted.
    pub interval: Duration,
    /// Receivers that the source knows.
    pub receivers: u32,
}

impl Receipt {
    /// The length of the packet.
    pub(super) const LEN: usize = HEADER_LEN + RECEIPT_LEN;

    /// Reads a receipt from a datagram; `None` if it is none, or of an unknown version.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<(Session, Self)> {
        let (session, body) = PrivateType::Downstream.parse(datagram)?;
        let body: &[u8; RECEIPT_LEN] = body.first_chunk()?;
        if body[0] != VERSION || body[1] > 1 {
            return None;
        }
        let interval = Duration::from_millis(u32::from_be_bytes(field(body, 28)).into());
        let receipt = Receipt {
            cookie: u64::from_be_bytes(field(body, 4)),
            receiver: ReceiverId(u128::from_be_bytes(field(body, 12))),
            is_final: body[1] == 1,
            interval,
            receivers: u32::from_be_bytes(field(body, 32)),
        };
        Some((session, receipt))
    }

    /// The packet that says it.
    #[must_use]
    pub fn emit(&self, session: Session) -> [u8; Self::LEN] {
        let mut packet = [0; Self::LEN];
        let body = &mut packet[HEADER_LEN..];
        let interval = u32::try_from(self.interval.as_millis()).unwrap_or(u32::MAX);
        body[0] = VERSION;
        body[1] = u8::from(self.is_final);
        body[4..12].copy_from_slice(&self.cookie.to_be_bytes());
        body[12..28].copy_from_slice(&self.receiver.0.to_be_bytes());
        body[28..32].copy_from_slice(&interval.to_be_bytes());
        body[32..36].copy_from_slice(&self.receivers.to_be_bytes());
        PrivateType::Downstream.emit_around(session, &mut packet);
        packet
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { receiver, is_final, interval, receivers, .. } = self;
        match (*receiver == ReceiverId::ALL, is_final) {
            (true, _) => write!(f, "call for reports within {interval:?}")?,
            (false, true) => write!(f, "receipt for {receiver}: it was the last")?,
            (false, false) => write!(f, "receipt for {receiver}: next in {interval:?}")?,
        }
        write!(f, ", {receivers} receivers")
    }
}

fn field<const N: usize>(body: &[u8], at: usize) -> [u8; N] {
    *body[at..].first_chunk().expect("fields lie within the body")
}

const VERSION: u8 = 4;
const BODY_LEN: usize = 60;
const RECEIPT_LEN: usize = 36;

// A report with a forged sender address must not be amplified.
const _: () = assert!(RECEIPT_LEN <= BODY_LEN);

#[cfg(test)]
mod tests {
    use campanile_pgm::{Gsi, Tsi};

    use super::*;

    fn session() -> Session {
        Session { tsi: Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 4096 }, destination_port: 7500 }
    }

    fn report(standing: Standing) -> Report {
        Report {
            cookie: 0x0102_0304_0506_0708,
            receiver: ReceiverId(0xaabb_ccdd << 96 | 9),
            standing,
            had: 70_000,
            total: 80_000,
            loss: 13_107,
            headroom: 5 << 32,
            lead: Seq(70_010),
            heard: 70_005,
            needs: Seq(66_000),
            socket: 4 << 20,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for standing in [Standing::Joined, Standing::Complete, Standing::Failed, Standing::Left] {
            let said = report(standing);
            assert_eq!(Report::parse(&said.emit(session())), Some((session(), said)));
        }
        let receipt = Receipt {
            cookie: 3,
            receiver: ReceiverId(4),
            is_final: true,
            interval: Duration::from_millis(1500),
            receivers: 40,
        };
        assert_eq!(Receipt::parse(&receipt.emit(session())), Some((session(), receipt)));
    }

    #[test]
    fn layout() {
        let packet = report(Standing::Complete).emit(session());
        assert_eq!(packet.len(), 76);
        assert_eq!(packet[..6], *b"\x1d\x4c\x10\x00\x0f\0");
        assert_eq!(packet[16..28], *b"\x04\x01\x33\x33\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!(packet[44..52], *b"\x00\x01\x11\x70\x00\x01\x38\x80");
    }

    #[test]
    fn damaged_and_foreign_packets_are_no_reports() {
        let good = report(Standing::Joined).emit(session());
        for at in 0..good.len() {
            let mut bad = good;
            bad[at] ^= 0x40;
            assert_eq!(Report::parse(&bad), None, "{at}");
            assert_eq!(Report::parse(&good[..at]), None, "{at}");
        }
        assert_eq!(Receipt::parse(&good), None);
        for (at, value) in [(HEADER_LEN, 1), (HEADER_LEN + 1, 4)] {
            let mut bad = good;
            bad[at] = value;
            PrivateType::Upstream.emit_around(session(), &mut bad);
            assert_eq!(Report::parse(&bad), None);
        }
    }

    #[test]
    fn display() {
        assert_eq!(
            report(Standing::Joined).to_string(),
            "report of aabbccdd: receiving, 70000 of 80000 packets, loss 20.0 %"
        );
        let receipt = |receiver, is_final| {
            let interval = Duration::from_millis(1500);
            Receipt { cookie: 3, receiver, is_final, interval, receivers: 40 }.to_string()
        };
        let receiver = ReceiverId(0xaabb_ccdd << 96);
        assert_eq!(receipt(receiver, false), "receipt for aabbccdd: next in 1.5s, 40 receivers");
        assert_eq!(receipt(receiver, true), "receipt for aabbccdd: it was the last, 40 receivers");
        assert_eq!(receipt(ReceiverId::ALL, false), "call for reports within 1.5s, 40 receivers");
    }
}
