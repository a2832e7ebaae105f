//! Counters of an engine: written by its thread alone, copied out whole.

/// What an engine did since it was made. A copy is a consistent snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// What arrived whole.
    pub received: Traffic,
    /// What the kernel accepted for sending.
    pub sent: Traffic,
    /// What did not get through, by cause.
    pub dropped: Dropped,
    /// Calls of [`crate::Engine::poll`].
    pub polls: u64,
    /// Completions (receives and sends) over all polls.
    pub completions: u64,
    /// The most completions that one poll brought.
    pub completions_max: u64,
    /// Receives that ended and were started again: a zero-length datagram, an error, a lack of buffers.
    pub rearms: u64,
    /// Times that no receive buffer was free when data waited.
    pub starved: u64,
    /// Sends that went out in pieces because the system or the route takes no trains of that size.
    pub split: u64,
    /// Sends that met a full socket buffer and waited.
    pub blocked: u64,
    /// Errors that a receive reported (ICMP and the like).
    pub receive_errors: u64,
    /// Receive buffers that are not free at this moment: with the user, or with a reply on its way.
    pub receive_buffers_in_use: u64,
    /// Transmit buffers that are not free at this moment.
    pub transmit_buffers_in_use: u64,
}

/// Counts of traffic in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Operations: a train counts once.
    pub trains: u64,
    /// Datagrams in those trains.
    pub datagrams: u64,
    /// Payload bytes in those datagrams.
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, len: usize, stride: usize) {
        self.trains += 1;
        self.datagrams += datagrams(len, stride) as u64;
        self.bytes += len as u64;
    }
}

/// Datagrams lost at or in the engine, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// By the kernel, because the socket's buffer was full (where the backend has a drop counter).
    pub kernel: u64,
    /// Larger than a receive buffer: reported as an event, never delivered.
    pub truncated: u64,
    /// Arrived for another multicast group on the same port.
    pub filtered: u64,
    /// Trains whose send the kernel refused.
    pub send: u64,
    /// Failure events that found the event queue full.
    pub events: u64,
}

/// How many datagrams a train holds; an empty train is one empty datagram.
pub(crate) fn datagrams(len: usize, stride: usize) -> usize {
    if stride == 0 { 1 } else { len.div_ceil(stride).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_tail_and_an_empty_datagram_count_as_one() {
        assert_eq!(datagrams(10, 4), 3);
        assert_eq!(datagrams(8, 4), 2);
        assert_eq!(datagrams(0, 0), 1);
        assert_eq!(datagrams(0, 9), 1);
    }
}
