//! The trace of a run, reduced to a hash.

use crate::time::Time;

/// A running hash of everything that happened: the same for the same run, and almost certainly different for different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace(u64);

/// The kinds of events in a trace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// A party sent a packet.
    Sent = 1,
    /// A packet came to a party.
    Arrived = 2,
    /// A deadline of a party passed.
    TimedOut = 3,
    /// An alarm was due.
    Alarm = 4,
}

impl Default for Trace {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Trace {
    /// The hash so far.
    pub(crate) fn hash(self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    /// Adds an event of a party or an alarm, given by its number.
    pub(crate) fn note(&mut self, at: Time, what: Happening, number: u32) {
        self.mix(at.0);
        self.mix((what as u64) << 32 | u64::from(number));
    }

    pub(crate) fn note_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        rest.iter().for_each(|&byte| self.mix(u64::from(byte)));
        self.mix(bytes.len() as u64);
    }

    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
}
