//! What people link: services that run on the completion engine, and reliable multicast.
//!
//! - [`echo`] is an echo server that mirrors trains, and knows whom not to answer.
//! - [`load`] is its counterpart: packets in a closed or an open loop that measure rates, loss and round trips.
//! - [`packet`] is what the two exchange, as the classic tools do.
//! - [`multicast`] says something once, and every member of a group has it: messages, streams, and what is kept elsewhere.
//! - [`files`] sends and receives files that way, whole or not at all.
//! - [`beacon`] is plain multicast: numbered datagrams to a group, and a listener that counts what was lost.
//! - [`capture`] reads capture files and finds the PGM in them.
//! - [`doctor`] finds what keeps datagrams away from this machine.
//! - [`host`] is what the system tells of itself, [`cores`] which processors it gives.
//! - [`utc`] is the time as text, [`amount`] rates, bytes and lengths of time.
//!
//! A run is started with a configuration, watched by snapshots, ended by a [`Stopper`] or by itself, and joined. The
//! configuration structs have a `Default` or a `new` to start from. Whatever goes wrong in one worker ends the run with an error.
#![forbid(unsafe_code)]

pub mod amount;
pub mod beacon;
pub mod capture;
mod clock;
pub mod cores;
pub mod doctor;
pub mod echo;
pub mod files;
pub mod host;
pub mod load;
pub mod multicast;
pub mod packet;
mod probe;
pub mod utc;
mod worker;

pub use campanile_engine::udp::{Shard, UnknownShard};
pub use campanile_engine::{Choice, Interface, Shortage, UnknownBackend};
pub use worker::{Stopper, WorkerError};
