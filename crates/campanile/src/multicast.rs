//! Reliable multicast: PGM sessions (RFC 3208) over the engine.
//!
//! - A [`Publisher`] sends messages, or a stream of bytes, to a group; a [`Subscriber`] receives from all sources of a group through
//!   one queue, a [`SessionSubscriber`] from each through a channel of its own.
//! - A [`BulkPublisher`] and a [`BulkSubscriber`] do the same with bytes that are kept elsewhere, as in files.
//! - [`Options`] hold every setting, set from code, TOML or a command line.
//!
//! Each of them is run by a thread with an engine, and connected to the application by bounded queues; publishers that share an address
//! and port share the thread. Repair goes on whatever the application does; what the application does not take in time waits, and holds
//! up what follows. Those of [`current_thread`] have no thread and run in their caller's: messages arrive sooner, but repair waits for
//! the caller.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use campanile::multicast::{Options, Published, Publisher, Received, Subscriber};
//!
//! let options = Options::new("239.192.7.1:7500".parse()?);
//! let subscriber = Subscriber::start(&options)?;
//! let publisher = Publisher::start(&options)?;
//! publisher.publish(b"said once")?;
//! publisher.finish(); // repair goes on until the publisher says that it is over
//! while let Some(event) = subscriber.next(Duration::from_secs(1)) {
//!     match event {
//!         Received::Message { bytes, .. } => println!("{}", String::from_utf8_lossy(&bytes)),
//!         Received::End { .. } => break,
//!         _ => {}
//!     }
//! }
//! while publisher.next(Duration::MAX).is_some_and(|event| event != Published::Finished) {}
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For asynchronous applications [`Publisher::send`], [`Publisher::recv`], [`Subscriber::recv`] and the like are futures for any
//! executor; with the feature `futures` publishers are sinks, and subscribers and session channels are streams.
//!
//! Raw IP needs a privilege only to open its sockets: once all sessions are started, [`drop_raw`] gives it up.
//!
//! `docs/multicast.md` describes what a session adds to RFC 3208 on the wire.

mod bulk;
mod counts;
pub mod current_thread;
mod diagnostics;
#[cfg(feature = "futures")]
mod futures;
mod node;
mod options;
mod profile;
mod publisher;
mod queue;
mod report;
mod sockets;
mod subscriber;
mod waiting;

pub use bulk::{Batch, BulkPublisher, BulkReceived, BulkSent, BulkSubscriber, Offer, Progress};
pub(crate) use bulk::{First, PACKETS_MAX as BULK_PACKETS_MAX, Supplier};
pub use campanile_engine::privilege::drop_raw;
pub use campanile_pgm::receiver::{EndCause, JoinWish, Limits, NakConfig, OnLoss, Packets, Run, Slow};
pub use campanile_pgm::source::{Advance, Join, ParityConfig, ProActive, WindowSize};
pub use campanile_pgm::wire::Session;
pub use campanile_pgm::{Gsi, Seq, Tsi};
pub use counts::{Counter, Counts};
#[cfg(feature = "futures")]
pub use futures::{PublisherSink, SessionStream, SubscriberStream};
pub use node::StartError;
pub use options::{
    Carrier, Diagnostics, InjectedLoss, KEYS, Key, Mode, Network, OptionError, Options, Rate, Receiving,
    Sending, Side,
};
pub use profile::{Cipher, ContentKind, Hash, Profile, ProfileError};
pub use publisher::{PublishError, Published, Publisher};
#[cfg(test)]
pub(crate) use queue::wait;
pub use report::{Receipt, ReceiverId, Report, Standing};
pub use sockets::SocketError;
pub use subscriber::{Bytes, Foreign, Received, SessionChannel, SessionSubscriber, Subscriber};
