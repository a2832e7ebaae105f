//! A deterministic world of many parties for sans-IO state machines.
//!
//! The world holds parties (anything that implements [`Party`]), a network between them and virtual time. Nothing in it reads a
//! clock or the system's randomness: one seed gives one run, and [`World::trace_hash`] is its fingerprint. What goes wrong on
//! real networks goes wrong here as the seed decides: loss in both directions, independent or in bursts, delay, jitter,
//! duplication, reordering, a shared medium with a rate, partitions, crashes, pauses, clocks that drift.
//!
//! A packet is stored once, however many receivers it has, and once warm no copy of it allocates: a thousand receivers are an
//! ordinary test.

#![forbid(unsafe_code)]

mod link;
pub mod model;
mod network;
mod packets;
pub mod pgm;
mod queue;
mod rng;
mod time;
mod trace;
mod world;

pub use link::{Link, Loss};
pub use network::{Counters, Destination, Medium, PartyId};
pub use rng::{Chance, Rng};
pub use time::{Clock, Time};
pub use world::{Attachment, Log, Party, Path, Step, Transmit, World};
