//! How far a session has got, and how it ends.

use crate::Instant;
use crate::wire::Reset;

/// How far a session has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Data may be published.
    Open,
    /// No more data are accepted, but some are still to be sent.
    Draining { end: End },
    /// No new data are sent; repair continues until the linger ends, at `latest` in any case.
    Lingering { end: End, latest: Instant },
    /// The linger has ended.
    Over,
}

/// How a session ends; the SPMs of its linger announce it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was sent: OPT_FIN (RFC 3208 §9.7).
    Finished,
    /// Everything was sent, but the data are incomplete: OPT_FIN and OPT_RST.
    Cut(Reset),
    /// What waited was dropped: OPT_RST (§9.8).
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
    /// Whether SPMs carry OPT_FIN.
    pub(super) fn is_fin(self) -> bool {
        !matches!(self, End::Aborted(_))
    }

    /// The OPT_RST that SPMs carry.
    pub(super) fn reset(self) -> Option<Reset> {
        match self {
            End::Finished => None,
            End::Cut(reset) | End::Aborted(reset) => Some(reset),
        }
    }
}
