//! Reliable multicast: PGM sessions on the engine.

mod bulk;
mod chance;
mod counts;
mod links;
mod node;
mod options;
mod profile;
mod queue;
mod report;

pub use bulk::{Batch, BulkPublisher, BulkReceived, BulkSent, BulkSubscriber, Offer, Progress};
pub use campanile_pgm::receiver::{EndCause, JoinWish, Limits, NakConfig, OnLoss, Slow};
pub use campanile_pgm::source::{Advance, Join, ParityConfig, ProActive, WindowSize};
pub use campanile_pgm::{Gsi, Seq, Tsi};
pub use counts::{Counter, Counts};
pub use links::SocketError;
pub use node::StartError;
pub use options::{
    Carrier, Diagnostics, InjectedLoss, KEYS, Key, Mode, Network, OptionError, Options, Receiving, Sending,
    Side,
};
pub use profile::{Cipher, Content, Hash, Profile, ProfileError};
pub use report::{Receipt, ReceiverId, Report, Standing};
