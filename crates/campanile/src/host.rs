//! What the system tells of itself: the machine, its load, and what it has counted of the network.
//!
//! All of it is read from files (`/proc` and `/sys` on Linux). A system that has no such file simply does not tell: every such
//! fact is an `Option`.

mod counters;
mod environment;
mod processors;
pub(crate) mod text;

pub use counters::Counters;
pub(crate) use counters::{snmp_counter, snmp6_counter, softnet_sum};
pub use environment::Environment;
pub(crate) use processors::{Processors, Times};
