//! The states of a packet and the kinds of replies, the same in a closed loop and in an open one.

use std::time::Duration;

/// The state of the packet at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketState {
    /// There was none yet.
    Unused,
    /// It waits for its reply.
    InFlight,
    /// Its reply has come.
    Answered,
    /// It was given up.
    Lost,
}

/// What kind of reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The answer to a packet in flight, after this long.
    Fresh(Duration),
    /// The packet had been given up: it counts as lost, and the reply as late. A reply to a packet too old to be known is late too.
    Late,
    /// The packet had been answered before.
    Duplicate,
    /// No such packet was sent at that time.
    Foreign,
}
