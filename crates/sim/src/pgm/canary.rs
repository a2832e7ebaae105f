//! Faults on purpose: each must make an oracle fail, or the oracle proves nothing.

/// A fault between a machine and what watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// A receiver's delivery is altered by a bit.
    Alter,
    /// A delivery is left out.
    Omit,
    /// A delivery comes twice.
    Repeat,
    /// What is left out, because it is lost or too long, is not told.
    Conceal,
    /// The oracle of the length of packets sees each twice as long.
    Length,
    /// The oracle of the rate sees each packet twice.
    Rate,
    /// Each NAK that a receiver sends is sent a hundred times.
    Implosion,
    /// Of forty NAKs that a receiver sends one is sent, as if its waits were forty times as long.
    Sluggish,
    /// A receiver that lost nothing asks for something.
    Chatter,
    /// A receiver hears nothing more from the middle of the run on.
    Deaf,
    /// The end of a session is not told.
    Undead,
    /// A receiver keeps 64 KiB for each train that it takes.
    Hoard,
    /// A receiver that joins late asks for nothing of what was sent before.
    Forego,
    /// A source lets late joiners ask for all of its window.
    Lavish,
    /// A receiver always asks to be called at once.
    Spin,
}
