//! What a publisher or subscriber counts.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::worker::Board;

/// Counters since the start. Serialised as a map from names, without the zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts([u64; Counter::ALL.len()]);

/// Where a node publishes its counters.
pub(super) type CountBoard = Board<{ Counter::ALL.len() }>;

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something that is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Counter {
            $($(#[$doc])* $variant,)*
        }

        impl Counter {
            /// Every counter, in the order of the reports.
            pub const ALL: &[Counter] = &[$(Counter::$variant,)*];

            /// The name in reports and in the documentation.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Counter::$variant => $name,)*
                }
            }
        }
    };
}

counters! {
    /// Sent: ODATA packets with data.
    OdataSent = "odata_sent",
    /// Sent: ODATA packets with parity.
    OdataParitySent = "odata_parity_sent",
    /// Sent: RDATA packets with data.
    RdataSent = "rdata_sent",
    /// Sent: RDATA packets with parity.
    RdataParitySent = "rdata_parity_sent",
    /// Sent: confirmations of NAKs.
    NcfsSent = "ncfs_sent",
    /// Sent: source path messages.
    SpmsSent = "spms_sent",
    /// Sent: bytes of PGM packets, without the headers of lower layers.
    BytesSent = "bytes_sent",
    /// Sent: bytes of application data, for the first time.
    PayloadSent = "payload_sent",
    /// Received by a source: NAKs, a list counting once.
    NaksReceived = "naks_received",
    /// Of these: packets or groups asked for.
    NakSqns = "nak_sqns",
    /// Of these: that were no longer, or not yet, in the window.
    NakSqnsOutside = "nak_sqns_outside",
    /// Of these: whose repairs were under way already.
    NakSqnsMerged = "nak_sqns_merged",
    /// Packets in the transmit window now.
    WindowPackets = "window_packets",
    /// Reports received.
    Reports = "reports",
    /// Reports without the session's cookie.
    ReportsForged = "reports_forged",
    /// Reports that were not accepted because the application did not keep up: they are repeated.
    ReportsPutOff = "reports_put_off",
    /// Receivers that have reported and did not leave, up to the number that is tracked.
    Receivers = "receivers",
    /// Received: ODATA packets, including parity.
    OdataReceived = "odata_received",
    /// Received: RDATA packets, including parity.
    RdataReceived = "rdata_received",
    /// Received: parity packets.
    ParityReceived = "parity_received",
    /// Received: packets that were there already, or that are no longer needed.
    Duplicates = "duplicates",
    /// Packets recovered by decoding.
    Recovered = "recovered",
    /// Packets lost for good.
    Lost = "lost",
    /// NAKs sent, a list counting once.
    NaksSent = "naks_sent",
    /// NAKs not sent because another receiver's was confirmed first.
    NaksSuppressed = "naks_suppressed",
    /// Data packets dropped because the window was full.
    DroppedFull = "dropped_full",
    /// Data packets dropped because the application did not keep up.
    DroppedOverrun = "dropped_overrun",
    /// Packets whose numbers are too far ahead to be accepted at once.
    Leaps = "leaps",
    /// Packets of a known session from another address.
    Strangers = "strangers",
    /// Packets of sources for which there was no room.
    SourcesRefused = "sources_refused",
    /// Packets whose contents contradict their group or framing.
    Contradictions = "contradictions",
    /// Reports sent.
    ReportsSent = "reports_sent",
    /// Sources known now.
    Sources = "sources",
    /// Bytes of payload kept now.
    HeldBytes = "held_bytes",
    /// Packets that broke a rule of PGM.
    Malformed = "malformed",
    /// Packets that are not for this session.
    Ignored = "ignored",
    /// Packets with the congestion mark (ECN CE).
    Congested = "congested",
    /// Turns of the node's loop, shared by sources that share a port.
    Turns = "turns",
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    KernelDrops = "kernel_drops",
    /// Datagrams dropped on purpose.
    Injected = "injected",
    /// Trains that the system refused to send.
    SendErrors = "send_errors",
}

impl Counts {
    /// One of the counters.
    #[must_use]
    pub fn of(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    pub(super) fn set(&mut self, counter: Counter, value: u64) {
        self.0[counter as usize] = value;
    }

    pub(super) fn read(board: &CountBoard) -> Self {
        Counts(board.read())
    }

    pub(super) fn publish(&self, board: &CountBoard) {
        board.publish(self.0);
    }
}

impl Default for Counts {
    fn default() -> Self {
        Counts([0; Counter::ALL.len()])
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let told = Counter::ALL.iter().filter(|counter| self.of(**counter) > 0);
        let mut map = serializer.serialize_map(None)?;
        for counter in told {
            map.serialize_entry(counter.name(), &self.of(*counter))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_places_and_names_of_their_own() {
        for (at, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter as usize, at);
            assert!(Counter::ALL[..at].iter().all(|other| other.name() != counter.name()));
        }
    }

    #[test]
    fn only_what_happened_is_listed() {
        let mut counts = Counts::default();
        counts.set(Counter::Lost, 3);
        assert_eq!(serde_json::to_string(&counts).unwrap(), r#"{"lost":3}"#);
    }
}
