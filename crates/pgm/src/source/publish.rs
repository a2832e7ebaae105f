//! How messages get into the window.

use super::packed::{Packed, PackedTsdu};
use super::store::Store;
use super::{Advance, Phase, PublishError, Source, Timer};
use crate::Instant;
use crate::framing::Framing;

impl Source {
    /// Publishes a message; in stream mode, bytes.
    ///
    /// # Errors
    ///
    /// The message is refused as a whole when there is not enough room, when it is longer than [`Source::message_len_max`], when the
    /// session is finished, or when its data are kept elsewhere.
    pub fn publish(&mut self, now: Instant, message: &[u8]) -> Result<(), PublishError> {
        self.put(now, message, false)
    }

    /// Publishes a part of a message that continues with the next part, and ends with [`Source::publish`].
    ///
    /// # Errors
    ///
    /// As [`Source::publish`]; and only packed messages have parts.
    pub fn publish_part(&mut self, now: Instant, part: &[u8]) -> Result<(), PublishError> {
        if self.config.framing != Framing::Packed {
            return Err(PublishError::NoParts);
        }
        self.put(now, part, true)
    }

    /// Takes packets that a separate [`super::Packer`] has packed, in the order of packing, as many as there is room for. It cannot be
    /// mixed with [`Source::publish`].
    ///
    /// # Errors
    ///
    /// As [`Source::publish`], when a packet is not taken. That packet and those after it stay in `packed`.
    pub fn push(&mut self, now: Instant, packed: &mut Packed) -> Result<(), PublishError> {
        self.check_open()?;
        let (mut bytes, mut done) = (0, Ok(()));
        while let Some(tsdu) = packed.first() {
            done = if tsdu.len > self.tsdu_len() { Err(PublishError::TooLong) } else { self.make_room(1) };
            if done.is_err() {
                break;
            }
            bytes += packed.pop().map_or(0, |tsdu| self.append(tsdu));
        }
        self.put_memory(packed, bytes);
        self.timers.set_by(Timer::Pace, now);
        done
    }

    fn put(&mut self, now: Instant, bytes: &[u8], more: bool) -> Result<(), PublishError> {
        self.check_open()?;
        if bytes.len() as u64 > self.message_len_max() {
            return Err(PublishError::TooLong);
        }
        let packets = self.packer.packets_for(bytes.len());
        // The packet that is being filled had room when it was begun.
        if packets > 0 {
            self.make_room(packets)?;
        }
        self.packer.put(bytes, more);
        if self.packer.filled() > 0 {
            self.take_in();
        }
        self.timers.set_by(Timer::Pace, now);
        Ok(())
    }

    fn check_open(&self) -> Result<(), PublishError> {
        match (&self.store, self.phase) {
            (Store::Elsewhere(_), _) => Err(PublishError::KeptElsewhere),
            (Store::Here(_), Phase::Open) => Ok(()),
            (Store::Here(_), _) => Err(PublishError::Finished),
        }
    }

    /// Makes room in the window for this many new packets, and for the one that is being filled.
    fn make_room(&mut self, packets: u64) -> Result<(), PublishError> {
        let in_window = packets + u64::from(self.packer.is_open());
        if self.may_take(packets) && self.window.make_room(in_window) {
            return Ok(());
        }
        self.signals.refused = Some(packets);
        Err(PublishError::Full)
    }

    /// Whether this many new packets may wait, and new data may push out what they have no room beside.
    pub(super) fn may_take(&self, packets: u64) -> bool {
        let in_window = packets + u64::from(self.packer.is_open());
        self.waiting() + packets <= self.queue_max()
            && (self.window.room() >= in_window || self.config.window.advance == Advance::Data)
    }

    /// Moves what was packed here into the window, which has room for it.
    pub(super) fn take_in(&mut self) {
        let mut packed = std::mem::take(&mut self.packed);
        self.packer.give(&mut packed);
        let mut bytes = 0;
        while let Some(tsdu) = packed.pop() {
            bytes += self.append(tsdu);
        }
        self.put_memory(&mut packed, bytes);
        self.packed = packed;
    }

    /// Makes the next packet of the window, which has room for it; returns how many bytes of memory must follow.
    fn append(&mut self, mut tsdu: PackedTsdu) -> usize {
        let Store::Here(slots) = &mut self.store else { return 0 };
        let len = tsdu.len;
        if let Some(fragment) = &mut tsdu.fragment {
            fragment.first_sqn = self.apdu.unwrap_or(self.window.next_sqn());
            self.apdu = (!fragment.is_last(len)).then_some(fragment.first_sqn);
        }
        let ends_burst = tsdu.take_end_of_burst();
        slots.put(self.window.append(), tsdu);
        if ends_burst && self.closes_groups() {
            self.window.close_group();
        }
        tsdu.packet_len()
    }

    /// Takes the memory of the packets just made.
    fn put_memory(&mut self, packed: &mut Packed, bytes: usize) {
        if let Store::Here(slots) = &mut self.store {
            slots.put_memory(packed, bytes);
        }
    }
}
