//! The world of PGM: sources, receivers and a hostile peer, the oracles that watch them, and the options drawn from a seed.

mod address;
mod canary;
mod content;
mod delivery;
mod draw;
mod due;
pub mod figures;
mod heap;
mod hostile;
mod interfaces;
mod join;
mod measure;
mod node;
mod options;
mod pulse;
mod rate;
mod receiver_node;
mod record;
mod repair_share;
mod scenario;
mod source_node;
mod summary;
mod tuning;
mod violation;

pub use canary::Canary;
pub use content::Kind;
pub use delivery::Misdelivery;
pub use hostile::Hostile;
pub use measure::{Case, Measured, Mode};
pub use node::Node;
pub use options::{Fault, Feed, HostileOptions, Naps, Options, ReceiverOptions, SourceOptions};
pub use receiver_node::ReceiverNode;
pub use scenario::{run, run_logged};
pub use source_node::SourceNode;
pub use summary::Summary;
pub use violation::{Promise, Violation};
