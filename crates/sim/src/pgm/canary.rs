//! Deliberate faults: each must make an oracle fail, or the oracle proves nothing.

/// A fault between a machine and the oracles that watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// A bit is flipped in a receiver's delivery.
    Alter,
    /// A delivery is omitted.
    Omit,
    /// A delivery is repeated.
    Repeat,
    /// Losses, and messages that are too long, are not reported.
    Conceal,
    /// The oracle of packet length sees each packet twice as long.
    Length,
    /// The oracle of the rate sees each packet twice.
    Rate,
    /// The end of a source's linger is not reported.
    Clinging,
    /// A source is not told that it is held.
    Eager,
    /// A source's repairs may take all of its rate.
    Greedy,
    /// Each NAK that a receiver sends is sent a hundred times.
    Implosion,
    /// Only one in forty NAKs of a receiver is sent, as if its waits were forty times as long.
    Sluggish,
    /// A receiver that has lost nothing sends a NAK.
    Chatter,
    /// A receiver gets no packets from the middle of the run on.
    Deaf,
    /// The end of a session is not reported.
    Undead,
    /// A receiver leaks 64 KiB for each train that it handles.
    Hoard,
    /// A receiver that joins late does not ask for earlier packets.
    Forego,
    /// A source lets late joiners ask for its whole window.
    Lavish,
    /// A receiver always asks to be called at once.
    Spin,
    /// A receiver asks to be called each microsecond.
    Restless,
    /// A receiver sends packets without end once it has delivered something.
    Babble,
}
