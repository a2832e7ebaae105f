//! PGM, the reliable multicast protocol of RFC 3208, as sans-IO state machines: bytes and time in, bytes and deadlines out.
//!
//! A [`source::Source`] multicasts what is published, and repairs losses. A [`receiver::Receiver`] finds the sources of a group, asks
//! for the packets that it misses, and delivers. Neither uses a socket, a clock or global randomness: a driver gives them the received
//! datagrams, the time and a seed. Both are built on [`wire`], which turns bytes into values that can only be valid, and back.
//!
//! The order of calls is the same for both: after any input (`handle_train`, `handle_timeout`, or a command) ask `poll_transmit` and
//! `poll_event` until each says `None`; then wait for a datagram, for a command, or for the moment that `poll_timeout` gives.
//!
//! ```
//! use std::net::IpAddr;
//!
//! use campanile_pgm::receiver::{Event, Receiver, ReceiverConfig};
//! use campanile_pgm::source::{Endpoint, Source, SourceConfig};
//! use campanile_pgm::wire::Session;
//! use campanile_pgm::{Gsi, Instant, Path, Tsi};
//!
//! let tsi = Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 7 };
//! let session = Session { tsi, destination_port: 7500 };
//! let (group, nla): (IpAddr, IpAddr) = ("239.192.7.1".parse()?, "192.0.2.1".parse()?);
//! let now = Instant(1_000_000_000); // nanoseconds since any moment
//! let mut source = Source::new(now, SourceConfig::new(Endpoint { session, group, nla }))?;
//! let mut receiver = Receiver::new(ReceiverConfig::new(session.destination_port));
//!
//! source.publish(now, b"said once")?;
//! let path = Path { from: nla, to: group, interface: 0, ecn: 0 };
//! let mut buffer = [0; 2048];
//! while let Some(train) = source.poll_transmit(now, &mut buffer) {
//!     receiver.handle_train(now, &path, train.stride, &buffer[..train.len]); // here a network would be
//! }
//! let mut heard = Vec::new();
//! while let Some(event) = receiver.poll_event() {
//!     if let Event::Messages { messages, .. } = event {
//!         heard.extend(messages.iter().map(|(message, _)| message.to_vec()));
//!     }
//! }
//! assert_eq!(heard, [b"said once"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod blame;
mod framing;
pub mod fuzz;
mod instant;
mod pacer;
mod path;
mod ranges;
pub mod receiver;
mod rng;
mod seq;
pub mod source;
mod timers;
mod tsi;
pub mod wire;

pub use blame::Blame;
pub use framing::Framing;
pub use instant::Instant;
pub use path::{Destination, Path, Transmit};
pub use seq::Seq;
pub use tsi::{Gsi, Tsi};
