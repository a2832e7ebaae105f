//! How far a session has got, and how it ends.

use crate::Instant;
use crate::wire::Reset;

/// How far a session has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Data may be published.
    Open,
    /// No more will be, but some is still to be sent.
    Draining { end: End },
    /// Nothing new is sent any more; repair goes on until the linger ends, at the latest at the moment given.
    Lingering { end: End, latest: Instant },
    /// The linger has ended.
    Over,
}

/// How a session ends, which the SPMs of its linger say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All was sent: OPT_FIN (RFC 3208 §9.7).
    Finished,
    /// All was sent, but more was meant to come: OPT_FIN and OPT_RST.
    Cut(Reset),
    /// What waited is not sent: OPT_RST (§9.8).
    Aborted(Reset),
}

impl Phase {
    /// How the session has ended, once nothing new is sent.
    pub(super) fn end(self) -> Option<End> {
        match self {
            Phase::Lingering { end, .. } => Some(end),
            Phase::Open | Phase::Draining { .. } | Phase::Over => None,
        }
    }

    pub(super) fn is_aborted(self) -> bool {
        matches!(self, Phase::Lingering { end: End::Aborted(_), .. })
    }
}

impl End {
    /// Whether SPMs bear OPT_FIN.
    pub(super) fn is_fin(self) -> bool {
        !matches!(self, End::Aborted(_))
    }

    /// The OPT_RST that SPMs bear.
    pub(super) fn reset(self) -> Option<Reset> {
        match self {
            End::Finished => None,
            End::Cut(reset) | End::Aborted(reset) => Some(reset),
        }
    }
}
