//! A block of the receive window: a transmission group, or 64 sequence numbers where there is no parity.

use super::bits::mask_below;
use super::hold::Hold;
use super::repair::Repair;
use super::room::Held;
use super::shared::Pool;

/// What is known of a block; made when first needed.
#[derive(Debug)]
pub(super) struct Block {
    /// The packets that were received or recovered, including those already delivered.
    pub(super) present: u128,
    /// The packets that were given up.
    pub(super) lost: u128,
    /// How many packets it has.
    size: u8,
    /// Whether the source has confirmed `size`; if not, the block may have fewer packets.
    sized: bool,
    /// Whether the source sends nothing more of it without a request.
    pub(super) closed: bool,
    pub(super) repair: Repair,
    pub(super) hold: Option<Box<Hold>>,
}

impl Block {
    /// The memory for its packets; taken from the pool and counted in `held` if it has none yet.
    #[inline(always)]
    pub(super) fn hold_mut(&mut self, held: &mut Held, pool: &mut Pool) -> &mut Hold {
        self.hold.get_or_insert_with(|| {
            held.blocks += 1;
            pool.take()
        })
    }

    pub(super) fn new(block_len: u8) -> Self {
        Block {
            present: 0,
            lost: 0,
            size: block_len,
            sized: false,
            closed: false,
            repair: Repair::Idle,
            hold: None,
        }
    }

    /// All packets of the block.
    pub(super) fn all(&self) -> u128 {
        mask_below(self.size)
    }

    pub(super) fn size(&self) -> u8 {
        self.size
    }

    /// The packets that are neither present nor given up.
    pub(super) fn missing(&self) -> u128 {
        self.all() & !self.present & !self.lost
    }

    /// Records the size that the source states; false when that contradicts what is known.
    pub(super) fn set_size(&mut self, size: u8) -> bool {
        if self.sized {
            return self.size == size;
        }
        let fits = size > 0 && size <= self.size && self.present & !mask_below(size) == 0;
        if fits {
            (self.size, self.sized) = (size, true);
        }
        fits
    }

    pub(super) fn parity_count(&self) -> u8 {
        self.hold.as_ref().map_or(0, |hold| hold.parity_count())
    }

    /// How many more symbols it takes to decode the block. Packets that were given up, or are too old to be wanted, count as lacking,
    /// too: decoding needs as many symbols as the block has packets, whichever they are.
    pub(super) fn lacking(&self) -> u8 {
        let there = (self.present & self.all()).count_ones() as u8;
        self.size.saturating_sub(there).saturating_sub(self.parity_count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::hold::Extra;

    #[test]
    fn a_size_is_believed_once_and_not_against_what_is_there() {
        let mut block = Block::new(8);
        block.present = 0b1011;
        assert_eq!((block.missing(), block.lacking()), (0b1111_0100, 5));
        assert!(!block.set_size(3) && !block.set_size(0) && !block.set_size(9));
        assert!(block.set_size(5) && block.set_size(5) && !block.set_size(8));
        assert_eq!((block.missing(), block.lacking()), (0b1_0100, 2));
        let mut hold = Box::new(Hold::new());
        hold.push(8, b"", Extra::Parity { var_pktlen: false, fragment: None });
        block.hold = Some(hold);
        block.lost = 0b100;
        assert_eq!((block.missing(), block.lacking()), (0b1_0000, 1));
    }
}
