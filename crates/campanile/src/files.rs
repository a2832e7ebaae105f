//! Files by multicast: one machine sends, many receive.
//!
//! - An [`Offering`] is what is sent: files and directories, listed and hashed, by a thread of its own if that takes long
//!   ([`Collecting`]). A [`FileSender`] sends it.
//! - A [`FileReceiver`] puts what it hears into a directory.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use campanile::files::{FileSender, Offering, SendEvent};
//! use campanile::multicast::Options;
//!
//! let offering = Offering::collect(&["image.iso".into()])?;
//! let options = Options::new("239.192.7.1:7500".parse()?);
//! let mut sender = FileSender::start(&options, offering, Some(40))?; // until forty receivers have it
//! loop {
//!     match sender.next(Duration::from_secs(1))? {
//!         Some(SendEvent::Finished) => break,
//!         Some(SendEvent::Receiver(listener)) => println!("{}", listener.report),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A file appears under its name only when all of it is there and its BLAKE3 hash is right. Incomplete contents stay in the
//! subdirectory `.campanile`, under their hashes: another run, or another session that brings the same content in packets of the same
//! size, resumes them.

mod blocks;
mod collecting;
mod contents;
mod digest;
mod error;
mod finisher;
pub mod fuzz;
mod inbox;
mod incoming;
mod layout;
mod manifest;
mod meter;
mod name;
mod offering;
mod open_cache;
mod partial;
mod reader;
mod reading;
mod receiving;
#[cfg(test)]
mod scratch;
mod sending;
mod spool;
mod thread;
mod writer;

pub use collecting::{CollectProgress, Collecting};
pub use digest::{Digest, DigestError};
pub use error::{FileAction, FileError};
pub use incoming::Refusal;
pub use layout::TooLarge;
pub use manifest::{Entry, Manifest, ManifestError};
pub use name::{FileName, NameError};
pub use offering::{Offering, OfferingError};
pub use receiving::{
    Failing, FileReceiver, Incomplete, ReceiveConfig, ReceiveError, ReceiveEvent, ReceiveProgress,
    ReceiveStartError,
};
pub use sending::{FileSender, Listener, SendError, SendEvent, SendProgress, SendStartError};
