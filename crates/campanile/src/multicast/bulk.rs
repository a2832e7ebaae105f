//! Sessions whose data are kept elsewhere, such as in files: the basis of the file transfer.
//!
//! A [`BulkPublisher`] offers a number of bytes and asks for ranges of them when they are to be sent. A [`BulkSubscriber`] hands over
//! packets as they come, with their sequence numbers, and asks for a group of them when it can be decoded. Neither ever waits for the
//! application: what it does not take in time is repaired later. And a command of the application waits for one turn of the node at
//! most.

mod feed;
mod publisher;
mod sink;
mod subscriber;

pub(crate) use publisher::Supplier;
pub use publisher::{BulkPublisher, BulkSent, Offer};
pub(crate) use subscriber::First;
pub use subscriber::{Batch, BulkReceived, BulkSubscriber, Progress};

/// The most events that wait for the application; a batch of packets counts as one.
const EVENTS: usize = 1024;
/// The most bytes of packets that wait for the application.
const BYTES: usize = 8 << 20;
/// The most commands that wait for the node.
const COMMANDS: usize = 64;

/// The most packets of a session: a source's window has 2^30, and takes a group more than there are.
pub(crate) const PACKETS_MAX: u64 = (1 << 30) - 128;
