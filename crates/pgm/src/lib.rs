//! PGM, the reliable multicast protocol of RFC 3208, as sans-IO state machines: bytes and time in, bytes and deadlines out.
//!
//! The crate knows no socket, no clock and no global randomness. [`wire`] turns bytes into values that can only be valid and
//! back; the state machines are built on it.
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
