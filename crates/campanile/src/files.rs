//! Files by multicast.

mod arrival;
mod blocks;
mod digest;
mod error;
mod filling;
mod inbox;
mod layout;
mod manifest;
mod name;
mod offering;
mod opened;
mod partial;
mod reading;
mod receiving;
#[cfg(test)]
mod scratch;
mod sending;
mod spool;

pub use arrival::Refusal;
pub use digest::{Digest, NoDigest};
pub use error::{FileAction, FileError};
pub use layout::TooLarge;
pub use manifest::{Entry, Manifest, ManifestError};
pub use name::{FileName, NameError};
pub use offering::{Offering, OfferingError};
pub use receiving::{
    Failing, FileReceiver, Incomplete, ReceiveConfig, ReceiveError, ReceiveEvent, ReceiveProgress,
    ReceiveStartError,
};
pub use sending::{FileSender, Listener, SendError, SendEvent, SendProgress, SendStartError};
