use std::fmt;
use std::ops::Range;

/// What a source tells its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// These bytes of what was offered are needed: [`super::Source::supply`] them.
    Need(Range<u64>),
    /// There is room again for what [`PublishError::Full`] refused.
    Writable,
    /// Everything that was published was sent.
    Drained,
    /// The session and its linger are over.
    Finished,
}

/// Why something was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishError {
    /// No room; [`SourceEvent::Writable`] says when there is some.
    Full,
    /// Longer than [`super::Source::message_len_max`].
    TooLong,
    /// The session was finished or reset.
    Finished,
    /// The session's data are kept elsewhere.
    KeptElsewhere,
    /// The framing has no messages of several parts.
    NoParts,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublishError::Full => "transmit window is full",
            PublishError::TooLong => "message is longer than half the transmit window",
            PublishError::Finished => "session is finished",
            PublishError::KeptElsewhere => "data of this session are kept elsewhere",
            PublishError::NoParts => "framing has no messages of several parts",
        })
    }
}

impl std::error::Error for PublishError {}

/// Why an offer was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OfferError {
    /// The session's data are kept in the source.
    KeptHere,
    /// There was an earlier offer.
    Again,
    /// Zero bytes, or more than 2^30 packets.
    Size,
    /// The session was finished or reset.
    Finished,
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OfferError::KeptHere => "data of this session are kept in the source",
            OfferError::Again => "something was offered already",
            OfferError::Size => "offer is empty or too large",
            OfferError::Finished => "session is finished",
        })
    }
}

impl std::error::Error for OfferError {}

/// The supplied range was not asked for, or the bytes do not have its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NotNeeded;

impl fmt::Display for NotNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("supplied what was not asked for")
    }
}

impl std::error::Error for NotNeeded {}
