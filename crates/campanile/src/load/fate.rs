//! What becomes of a packet, and what a reply makes of it: the same in a closed loop and in an open one.

use std::time::Duration;

/// What became of the packet that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There was none yet.
    Unused,
    /// It waits for its reply.
    InFlight,
    /// Its reply has come.
    Answered,
    /// It was given up.
    Lost,
}

/// What a reply turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer to a packet in flight, after this long.
    Fresh(Duration),
    /// The packet had been given up: it counts as lost, and this as late. So does what is too old to be told.
    Late,
    /// The packet had been answered before.
    Duplicate,
    /// No such packet was sent at that time.
    Foreign,
}
