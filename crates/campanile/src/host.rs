//! What the system reports about itself: the machine, its load, and its network counters.
//!
//! All of it is read from files (`/proc` and `/sys` on Linux). Every fact is an `Option`: `None` on a system that has no such file.

mod counters;
mod device;
mod environment;
mod processors;
pub(crate) mod text;

pub use counters::Counters;
pub(crate) use counters::{snmp_counter, snmp6_counter, softnet_sum};
pub(crate) use device::{DeviceCounters, has_files};
pub use environment::Environment;
pub(crate) use processors::{Processors, Times};
