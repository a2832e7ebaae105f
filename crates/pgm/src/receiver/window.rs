//! The receive window (RFC 3208 §3.4): which packets are there, missing, or lost.

use std::ops::Range;

use super::bits::{mask_below, mask_between, runs};
use super::block::Block;
use super::blocks::Blocks;
use super::hold::Hold;
use super::repair::Repair;
use crate::Seq;
use crate::ranges::Ranges;

/// What is known of a source's packets.
///
/// A *position* is a sequence number extended so that it does not wrap: its low 32 bits are the sequence number. Positions are
/// divided into blocks of equal length, numbered by their *key*. Only blocks with some state exist here: those of which nothing has
/// come take no memory, however many of them a jump leaves out.
#[derive(Debug)]
pub(super) struct Window {
    /// The binary logarithm of the block length.
    shift: u32,
    /// Nothing below is wanted any more: it was delivered, reported lost, or is before the beginning.
    floor: u64,
    /// Nothing below can be repaired (RXW_TRAIL).
    trail: u64,
    /// The newest position of received data.
    data_lead: Option<u64>,
    /// The lead that the latest SPM gives.
    spm_lead: Option<u64>,
    /// The newer one of the two (RXW_LEAD).
    lead: Option<u64>,
    blocks: Blocks,
    /// The keys of complete blocks (bulk), whose state is dropped.
    done: Ranges,
    /// The detection frontier: gaps below it were found, and are being repaired or were given up.
    detected: u64,
}

/// The place of a packet: its position, and so the key of its block and its index there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) key: u64,
    pub(super) index: u8,
}

/// What is next in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The packet at the floor is there: in this block at this index.
    Packet { key: u64, index: u8 },
    /// These positions are lost for good; the floor is after them now.
    Lost { first: u64, last: u64 },
    /// The packet at the floor is missing, or was not sent yet.
    Nothing,
}

impl Window {
    /// A window that begins at a sequence number, in blocks of 64.
    pub(super) fn new(first: Seq) -> Self {
        let floor = ORIGIN + u64::from(first.0);
        Window {
            shift: 6,
            floor,
            trail: floor,
            data_lead: None,
            spm_lead: None,
            lead: None,
            blocks: Blocks::default(),
            done: Ranges::default(),
            detected: floor,
        }
    }

    /// The position of a sequence number: the one nearest to the reference.
    pub(super) fn position(&self, sqn: Seq) -> u64 {
        let reference = self.reference();
        reference.wrapping_add_signed(sqn.signed_distance_from(Seq(reference as u32)).into())
    }

    /// The lead, or the floor while there is none.
    pub(super) fn reference(&self) -> u64 {
        self.lead.unwrap_or(self.floor)
    }

    pub(super) fn seq(position: u64) -> Seq {
        Seq(position as u32)
    }

    pub(super) fn block_len(&self) -> u8 {
        1 << self.shift
    }

    pub(super) fn key(&self, position: u64) -> u64 {
        position >> self.shift
    }

    pub(super) fn index(&self, position: u64) -> u8 {
        (position & u64::from(self.block_len() - 1)) as u8
    }

    #[inline]
    pub(super) fn place(&self, position: u64) -> Place {
        Place { position, key: self.key(position), index: self.index(position) }
    }

    pub(super) fn start(&self, key: u64) -> u64 {
        key << self.shift
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn trail(&self) -> u64 {
        self.trail
    }

    /// The newest position known to exist (RXW_LEAD).
    pub(super) fn lead(&self) -> Option<u64> {
        self.lead
    }

    pub(super) fn detected(&self) -> u64 {
        self.detected
    }

    pub(super) fn block(&self, key: u64) -> Option<&Block> {
        self.blocks.get(key)
    }

    pub(super) fn block_mut(&mut self, key: u64) -> Option<&mut Block> {
        self.blocks.get_mut(key)
    }

    /// The block of a key; made if there is none.
    #[inline]
    pub(super) fn ensure(&mut self, key: u64) -> &mut Block {
        let block_len = self.block_len();
        self.blocks.ensure(key, block_len)
    }

    pub(super) fn is_done(&self, key: u64) -> bool {
        self.done.contains(key)
    }

    /// Whether nothing of a block is wanted any more: it lies below the floor, or is complete.
    pub(super) fn is_past(&self, key: u64) -> bool {
        self.start(key + 1) <= self.floor || self.is_done(key)
    }

    /// The packets of a block that are missing and wanted: from the floor to the lead, as far as they can be repaired.
    pub(super) fn wanted(&self, key: u64) -> u128 {
        let start = self.start(key);
        let end = self.lead().map_or(0, |lead| lead + 1);
        let below = |position: u64| mask_below(position.saturating_sub(start).min(128) as u8);
        self.block(key).map_or(0, |block| block.missing() & below(end) & !below(self.floor.max(self.trail)))
    }

    /// The position itself, or the start of the next block if a short group leaves the position out.
    pub(super) fn behind_hole(&self, position: u64) -> u64 {
        let key = self.key(position);
        let is_hole = self.block(key).is_some_and(|block| self.index(position) >= block.size());
        if is_hole { self.start(key + 1) } else { position }
    }

    /// Raises the floor over all that is there or lost (bulk).
    pub(super) fn settle(&mut self, recycle: &mut impl FnMut(Box<Hold>)) {
        let Some(lead) = self.lead() else { return };
        // Packets that come in order need nothing else.
        let at = self.index(lead);
        if self.floor == lead && self.block(self.key(lead)).is_some_and(|block| block.present & 1 << at != 0)
        {
            return self.raise_floor(lead + 1, recycle);
        }
        while self.floor <= lead {
            let key = self.key(self.floor);
            let end = match self.done.end_of(key) {
                Some(end) => self.start(end),
                None if self.blocks.contains(key) && self.wanted(key) == 0 => self.start(key + 1),
                None if self.blocks.contains(key) => self.trail,
                None => self.unknown_up_to(key, self.trail),
            };
            if end <= self.floor {
                return;
            }
            self.raise_floor(end.min(lead + 1), recycle);
        }
    }

    /// Moves the beginning back, before anything was delivered.
    pub(super) fn begin_earlier(&mut self, floor: u64) {
        if floor < self.floor {
            (self.floor, self.detected) = (floor, floor);
            self.trail = self.trail.min(floor);
        }
    }

    /// Records that data came at a position. With `moves_frontier`, a detection frontier at this position moves on.
    #[inline]
    pub(super) fn arrived(&mut self, position: u64, moves_frontier: bool) {
        self.heard_of(position);
        if moves_frontier && position == self.detected {
            self.detected += 1;
        }
    }

    /// Records that a position exists, whether its data were kept or not.
    #[inline]
    pub(super) fn heard_of(&mut self, position: u64) {
        if self.data_lead.is_none_or(|lead| lead < position) {
            self.data_lead = Some(position);
            self.lead = self.data_lead.max(self.spm_lead);
        }
    }

    /// Takes the lead of the latest SPM, even if it is lower than the one before, which may have been forged. But it is raised to just
    /// below the floor, since sequence numbers are read as the positions nearest to the lead.
    pub(super) fn set_spm_lead(&mut self, lead: u64) {
        let lead = lead.max(self.floor - 1);
        let is_back = self.spm_lead.replace(lead).is_some_and(|earlier| lead < earlier);
        self.lead = self.data_lead.max(self.spm_lead);
        if is_back {
            let end = self.lead().map_or(self.floor, |lead| lead + 1);
            self.detected = self.detected.min(end.max(self.floor));
        }
    }

    /// Moves the trailing edge. What is missing below it is lost, and passed to `lose` range by range.
    pub(super) fn advance_trail(&mut self, trail: u64, mut lose: impl FnMut(Range<u64>)) {
        if trail <= self.trail {
            return;
        }
        let from = self.trail.max(self.floor);
        self.trail = trail;
        self.detected = self.detected.max(trail);
        let mut at = from;
        while at < trail {
            let key = self.key(at);
            let end = self.start(key + 1).min(trail);
            if let Some(done) = self.done.end_of(key) {
                at = self.start(done);
                continue;
            }
            let start = self.start(key);
            let Some(block) = self.blocks.get_mut(key) else {
                let end = self.unknown_up_to(key, trail);
                lose(at..end);
                at = end;
                continue;
            };
            let span = mask_between((at - start) as u8, (end - start) as u8);
            let lost = block.missing() & span;
            block.lost |= lost;
            runs(lost).for_each(|run| lose(start + u64::from(run.start)..start + u64::from(run.end)));
            match &mut block.repair {
                Repair::Packets(repair) => repair.remove(lost),
                Repair::Group(_) | Repair::Idle => {}
            }
            at = end;
        }
    }

    /// The end of a run of blocks without state that begins with this one: the start of the next block with state, or `limit`.
    fn unknown_up_to(&self, key: u64, limit: u64) -> u64 {
        let next = self.blocks.next_from(key).into_iter().chain(self.done.next_after(key)).min();
        next.map_or(limit, |next| self.start(next).min(limit))
    }

    /// Moves the detection frontier, at most to `limit`, until it has found gaps in a block; returns that block's key and its missing
    /// packets. The block is made if there is none, so the caller must bound the number of calls.
    pub(super) fn detect(&mut self, limit: u64) -> Option<(u64, u128)> {
        while self.detected < limit {
            let key = self.key(self.detected);
            if let Some(end) = self.done.end_of(key) {
                self.detected = self.start(end);
                continue;
            }
            let start = self.start(key);
            let end = self.start(key + 1).min(limit);
            let span = mask_between((self.detected - start) as u8, (end - start) as u8);
            self.detected = end;
            self.ensure(key);
            let missing = self.wanted(key) & span;
            if missing != 0 {
                return Some((key, missing));
            }
        }
        None
    }

    /// Moves the detection frontier back to a block, whose parity was dropped.
    pub(super) fn look_again(&mut self, key: u64) {
        self.detected = self.detected.min(self.start(key).max(self.floor));
    }

    /// The next step in order. The caller steps over a packet by raising the floor.
    pub(super) fn step(&mut self, recycle: &mut impl FnMut(Box<Hold>)) -> Step {
        let first = self.floor;
        loop {
            let found = self.look();
            let lost_to = match found {
                Look::Packet { .. } | Look::Nothing if self.floor > first => break,
                Look::Packet { key, index } => return Step::Packet { key, index },
                Look::Nothing => return Step::Nothing,
                Look::Hole { end } if self.floor == first => {
                    self.raise_floor(end, recycle);
                    return self.step(recycle);
                }
                Look::Hole { .. } => break,
                Look::Lost { end } => end,
            };
            self.raise_floor(lost_to, recycle);
        }
        Step::Lost { first, last: self.floor - 1 }
    }

    /// Raises the floor: everything below is delivered or given up.
    pub(super) fn raise_floor(&mut self, floor: u64, recycle: &mut impl FnMut(Box<Hold>)) {
        let key = self.key(floor);
        self.floor = floor;
        self.detected = self.detected.max(floor);
        while let Some(first) = self.blocks.first().filter(|&first| first < key) {
            self.blocks.remove(first).and_then(|block| block.hold).into_iter().for_each(&mut *recycle);
        }
    }

    /// Marks a block as done and takes its state out. Done blocks below the floor are forgotten.
    pub(super) fn finish(&mut self, key: u64) -> Option<Block> {
        self.done.forget_below(self.key(self.floor));
        self.done.insert(key..key + 1);
        self.blocks.remove(key)
    }

    /// Records that positions are already there; complete blocks among them are done.
    pub(super) fn have(&mut self, positions: Range<u64>, recycle: &mut impl FnMut(Box<Hold>)) {
        let first_whole = self.key(positions.start + u64::from(self.block_len()) - 1);
        let last_whole = self.key(positions.end);
        if first_whole < last_whole {
            self.done.insert(first_whole..last_whole);
            while let Some(key) = self.blocks.next_from(first_whole).filter(|&key| key < last_whole) {
                self.blocks.remove(key).and_then(|block| block.hold).into_iter().for_each(&mut *recycle);
            }
        }
        for key in [self.key(positions.start), self.key(positions.end - 1)] {
            if self.done.contains(key) {
                continue;
            }
            let start = self.start(key);
            let from = positions.start.saturating_sub(start).min(128) as u8;
            let to = (positions.end - start).min(128) as u8;
            let block = self.ensure(key);
            block.present |= mask_between(from, to) & block.all();
            if block.missing() == 0 {
                self.finish(key).and_then(|block| block.hold).into_iter().for_each(&mut *recycle);
            }
        }
    }

    /// The blocks with symbols in memory, newest first.
    pub(super) fn holds_from_newest(&self) -> impl Iterator<Item = (u64, &Hold)> {
        self.blocks.newest_first().filter_map(|(key, block)| Some((key, block.hold.as_deref()?)))
    }

    /// The number of entries that are kept: blocks with state, and runs of blocks that are done.
    pub(super) fn entries(&self) -> usize {
        self.blocks.len() + self.done.len()
    }

    /// Sets the block length, which follows from the first SPM with parity. Returns the old blocks, each with its first position; the
    /// search for gaps begins again.
    pub(super) fn set_block_len(&mut self, block_len: u8) -> Vec<(u64, Block)> {
        let old: Vec<(u64, Block)> =
            self.blocks.drain().map(|(key, block)| (key << self.shift, block)).collect();
        let done = std::mem::take(&mut self.done);
        let old_shift = self.shift;
        self.shift = block_len.trailing_zeros();
        self.detected = self.floor.max(self.trail);
        for range in done.iter() {
            self.have(range.start << old_shift..range.end << old_shift, &mut |_| {});
        }
        old
    }

    fn look(&self) -> Look {
        let Some(lead) = self.lead().filter(|&lead| lead >= self.floor) else { return Look::Nothing };
        let key = self.key(self.floor);
        let Some(block) = self.blocks.get(key) else {
            let known = self.blocks.first().map_or(u64::MAX, |next| self.start(next));
            let end = self.trail.min(lead + 1).min(known);
            return if end > self.floor { Look::Lost { end } } else { Look::Nothing };
        };
        let index = self.index(self.floor);
        let bit = 1 << index;
        if index >= block.size() {
            return Look::Hole { end: self.start(key + 1) };
        }
        if block.present & bit != 0 {
            return Look::Packet { key, index };
        }
        if block.lost & bit != 0 || self.floor < self.trail {
            return Look::Lost { end: self.floor + 1 };
        }
        Look::Nothing
    }
}

/// What is at the floor.
enum Look {
    Packet {
        key: u64,
        index: u8,
    },
    Lost {
        end: u64,
    },
    /// A short group leaves these positions out.
    Hole {
        end: u64,
    },
    Nothing,
}

/// Added to the first sequence number, so that positions can go below it: by half the space of sequence numbers for the lead of an
/// SPM, by another half for the start that its OPT_JOIN allows, and by another for positions before that.
const ORIGIN: u64 = 1 << 33;

#[cfg(test)]
mod tests {
    use super::*;

    fn window(first: u32) -> Window {
        Window::new(Seq(first))
    }

    fn position(sqn: u32) -> u64 {
        ORIGIN + u64::from(sqn)
    }

    fn arrive(window: &mut Window, sqns: impl IntoIterator<Item = u32>) {
        for sqn in sqns {
            let position = window.position(Seq(sqn));
            let (key, bit) = (window.key(position), 1 << window.index(position));
            window.ensure(key).present |= bit;
            window.arrived(position, true);
        }
    }

    fn steps(window: &mut Window) -> Vec<(u32, Option<u32>)> {
        let mut steps = Vec::new();
        loop {
            match window.step(&mut |_| {}) {
                Step::Packet { key, index } => {
                    steps.push((Window::seq(window.start(key) + u64::from(index)).0, None));
                    window.raise_floor(window.floor() + 1, &mut |_| {});
                }
                Step::Lost { first, last } => steps.push((Window::seq(first).0, Some(Window::seq(last).0))),
                Step::Nothing => return steps,
            }
        }
    }

    #[test]
    fn positions_do_not_wrap() {
        let mut window = window(u32::MAX - 1);
        arrive(&mut window, [u32::MAX - 1, u32::MAX, 0, 1]);
        assert_eq!(window.lead(), Some(position(u32::MAX) + 2));
        assert_eq!(steps(&mut window), [(u32::MAX - 1, None), (u32::MAX, None), (0, None), (1, None)]);
        assert!(window.blocks.len() <= 1, "what was delivered is not kept");
    }

    #[test]
    fn gaps_are_found_once() {
        let mut window = window(10);
        arrive(&mut window, [10, 11, 14]);
        let lead = window.lead().unwrap();
        assert_eq!(window.detect(lead + 1), Some((window.key(position(12)), 0b11 << 12)));
        assert_eq!(window.detect(lead + 1), None);
        arrive(&mut window, [15, 18]);
        assert_eq!(window.detect(position(19)), Some((window.key(position(12)), 0b11 << 16)));
        assert_eq!(steps(&mut window), [(10, None), (11, None)]);
    }

    #[test]
    fn a_jump_costs_nothing_until_it_is_looked_into() {
        let mut window = window(0);
        arrive(&mut window, [0, 1 << 30]);
        assert_eq!(window.blocks.len(), 2);
        let limit = window.lead().unwrap() + 1;
        assert_eq!(window.detect(limit), Some((position(0) >> 6, u128::from(u64::MAX - 1))));
        assert_eq!(window.detect(limit), Some((position(64) >> 6, u128::from(u64::MAX))));
        assert_eq!(window.blocks.len(), 3);
        let mut lost = Vec::new();
        window.advance_trail(position(1 << 30), |range| lost.push(range));
        assert_eq!(
            lost,
            [position(1)..position(64), position(64)..position(128), position(128)..position(1 << 30)]
        );
        assert_eq!(steps(&mut window), [(0, None), (1, Some((1 << 30) - 1)), (1 << 30, None)]);
    }

    #[test]
    fn a_lost_range_is_reported_exactly() {
        let mut window = window(0);
        arrive(&mut window, [0, 3, 4, 70, 200]);
        window.advance_trail(position(2), |_| {});
        assert_eq!(steps(&mut window), [(0, None), (1, Some(1))]);
        window.advance_trail(position(72), |_| {});
        assert_eq!(
            steps(&mut window),
            [(2, Some(2)), (3, None), (4, None), (5, Some(69)), (70, None), (71, Some(71))]
        );
        let key = window.key(position(72));
        window.ensure(key).lost |= u128::MAX << 8;
        assert_eq!(steps(&mut window), [(72, Some(127))]);
    }

    #[test]
    fn holes_of_a_short_group_are_passed_over() {
        let mut window = window(0);
        arrive(&mut window, [0, 1, 64]);
        let key = window.key(position(0));
        assert!(window.ensure(key).set_size(2));
        assert_eq!(steps(&mut window), [(0, None), (1, None), (64, None)]);
        arrive(&mut window, [128]);
        let key = window.key(position(64));
        assert!(window.ensure(key).set_size(3));
        window.advance_trail(position(128), |_| {});
        assert_eq!(steps(&mut window), [(65, Some(66)), (128, None)]);
    }

    #[test]
    fn a_lead_that_only_an_spm_gave_can_be_taken_back() {
        let mut window = window(0);
        arrive(&mut window, [0]);
        window.set_spm_lead(position(1000));
        assert!(window.detect(position(1001)).is_some());
        window.set_spm_lead(position(0));
        assert_eq!((window.lead(), window.detected()), (Some(position(0)), position(1)));
    }

    #[test]
    fn the_floor_settles_after_what_is_past_repair() {
        let mut window = window(0);
        let settle = |window: &mut Window| {
            window.settle(&mut |_| {});
            window.floor() - ORIGIN
        };
        arrive(&mut window, [0, 1, 2]);
        assert_eq!(settle(&mut window), 3);
        arrive(&mut window, [10, 500]);
        assert_eq!(settle(&mut window), 3);
        window.advance_trail(position(5), |_| {});
        assert_eq!(settle(&mut window), 5);
        window.advance_trail(position(300), |_| {});
        assert_eq!(settle(&mut window), 300);
    }

    #[test]
    fn what_is_there_already_is_not_missing() {
        let mut window = window(0);
        window.have(position(3)..position(1000), &mut |_| {});
        window.set_spm_lead(position(1100));
        assert_eq!(window.done.len(), 1);
        let mut missing = Vec::new();
        while let Some((key, bits)) = window.detect(position(1101)) {
            missing.extend(runs(bits).map(|run| {
                let start = window.start(key) - ORIGIN;
                start + u64::from(run.start)..start + u64::from(run.end)
            }));
        }
        assert_eq!(missing, [0..3, 1000..1024, 1024..1088, 1088..1101]);
        window.have(position(0)..position(3), &mut |_| {});
        assert!(window.is_done(position(0) >> 6) && window.done.len() == 1);
    }

    #[test]
    fn blocks_take_another_length() {
        let mut window = window(0);
        window.have(position(0)..position(640), &mut |_| {});
        arrive(&mut window, [650]);
        let old = window.set_block_len(128);
        assert_eq!(old.len(), 1);
        assert_eq!((old[0].0, old[0].1.present), (position(640), 1 << 10));
        assert!((0..5).all(|key| window.is_done((ORIGIN >> 7) + key)));
        assert_eq!(window.detected(), position(0));
    }
}
