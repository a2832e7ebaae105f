//! Sessions from the first SPM to the last: a source and its receivers, script by script.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod bulk;
mod framing;
mod hostile;
mod join;
mod oracle;
mod ordered;
mod packed;
mod parity;
mod receiver;
mod rig;
mod slow;
mod source;
mod world;
