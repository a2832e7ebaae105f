//! The library: services that run on the completion engine, and reliable multicast.
//!
//! - [`echo`] is an echo server that mirrors trains, except those that could feed a loop or a flood.
//! - [`load`] is its client: it sends packets in a closed or an open loop and measures rates, loss and round trips.
//! - [`packet`] is the packet that the two exchange, the one of the classic tools.
//! - [`multicast`] sends something once, and every member of a group receives it: messages, streams, and bulk data kept elsewhere.
//! - [`files`] sends and receives files that way, whole or not at all.
//! - [`beacon`] is plain multicast: numbered datagrams to a group, and a listener that counts what was lost.
//! - [`capture`] reads capture files and finds the PGM in them.
//! - [`doctor`] finds what keeps datagrams away from this machine.
//! - [`host`] reads what the system reports about itself, [`cores`] lists the processors that a process may use.
//! - [`utc`] shows times as text; [`amount`] reads and shows rates, bytes and lengths of time.
//!
//! A run is started with a configuration, watched by snapshots, ended by a [`Stopper`] or by itself, and joined. The
//! configuration structs have a `Default` or a `new` to start from. A failure of one worker ends the run with an error.
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
mod random;
pub mod utc;
mod worker;

pub use campanile_engine::udp::{Shard, UnknownShard};
pub use campanile_engine::{Choice, Interface, Shortage, UnknownBackend, hangup};
pub use worker::{Stopper, WorkerError};
