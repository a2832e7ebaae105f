//! The wire format of PGM packets (RFC 3208 §8, §9, and the packets and options of the appendices).
//!
//! [`Packet::parse`] turns a datagram into a value that can only be valid, or says which rule the datagram broke
//! ([`Malformed`]). [`Packet::emit`] turns a value into bytes in the caller's buffer; [`DataHead::emit_around`] does the same
//! around a payload that is in the buffer already. Neither allocates, and both cost little more than a checksum.
//!
//! A value holds what its packet means. What has no meaning is neither kept nor an error: reserved fields, options of unknown
//! type, a second option of the same type, the extensibility bits (only network elements look at them, §9), the order of
//! options. Everything else in a packet is reproduced byte for byte when its value is emitted.
//!
//! Where the RFC and its implementations disagree, this module follows the implementations: the bits of the options flags are
//! counted from the right (§8 counts them from the left), OPT_FRAGMENT is 16 bytes long (§9.2.4 prints 12), OPT_REDIRECT 8 and
//! an address (§9.5.5 prints 4), and ACK is 0x0D (0x0B in tcpdump and IBM's implementation). Where only OpenPGM disagrees with
//! the RFC, in the position of the F bit and the bits of OPT_PARITY_PRM, this module follows the RFC.

mod ack;
mod checksum;
mod cursor;
mod data;
mod header;
mod malformed;
mod nak;
mod nla;
mod options;
mod packet;
mod plain;
mod poll;
mod private;
mod spm;
mod window;

pub use ack::Ack;
pub(crate) use checksum::Sum;
pub use data::{Data, DataContent, DataHead, DataKind, DataOptions};
pub(crate) use header::Stamp;
pub use header::{HEADER_LEN, HeaderView, PacketType, Session};
pub use malformed::Malformed;
pub use nak::{Nak, Ncf, Reach, Request};
pub use options::{
    BackoffInterval, BackoffRange, CongestionReport, EncodedFragment, Fragment, NakList, ParityPrm,
    PgmccData, PgmccFeedback, ReportRequest, Reset,
};
pub use packet::{Body, Packet};
pub(crate) use plain::PlainHead;
pub use poll::{Poll, PollKind, Polr};
pub use private::PrivateType;
pub use spm::{Spm, SpmOptions, WindowState};
pub use window::Window;
