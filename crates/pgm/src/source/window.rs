//! The transmit window: which packets exist, in which groups, and which of them were sent (RFC 3208 §3.3).

use std::collections::VecDeque;

use super::group::Group;
use crate::wire;
use crate::{Instant, Seq};

/// The transmit window, without the data.
///
/// A *position* counts sequence numbers from 0 at the first one, and does not wrap. Positions are divided into groups of equal length,
/// a power of 2; a transmission group that was closed early has packets at its first positions and holes at the others (§11.2). A
/// *packet number* counts only packets, without holes; it says where the data are kept.
///
/// `trail ≤ cursor ≤ head`: the window proper goes from `trail` to the last position sent; packets from `cursor` to `head` wait.
#[derive(Debug)]
pub(super) struct Window {
    first_sqn: Seq,
    shift: u32,
    capacity: u64,
    /// The groups from the one of `trail` to the one of `head`.
    groups: VecDeque<Group>,
    /// The number of the first group in `groups`.
    first_group: u64,
    cursor: u64,
    head: u64,
    /// The last position sent.
    lead: Option<u64>,
    /// The number of packets in the lead's group, if that was a short one and has been given up.
    short_at_lead: Option<u8>,
    /// How many packets were ever made, and how many were ever sent.
    made: u64,
    sent: u64,
    /// How many groups are given up at a time when the window advances.
    step: usize,
}

impl Window {
    /// An empty window for `capacity` packets in groups of `group_len`, which advances by `increment_percent`.
    pub(super) fn new(first_sqn: Seq, capacity: usize, group_len: u8, increment_percent: u8) -> Self {
        let step = capacity as u64 * u64::from(increment_percent) / 100 / u64::from(group_len);
        Window {
            first_sqn,
            shift: group_len.trailing_zeros(),
            capacity: capacity as u64,
            groups: VecDeque::with_capacity(capacity / usize::from(group_len) + 2),
            first_group: 0,
            cursor: 0,
            head: 0,
            lead: None,
            short_at_lead: None,
            made: 0,
            sent: 0,
            step: step.max(1) as usize,
        }
    }

    pub(super) fn group_len(&self) -> u8 {
        1 << self.shift
    }

    /// How many packets it holds.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How many packets were ever made.
    pub(super) fn made(&self) -> u64 {
        self.made
    }

    /// The number of the oldest group.
    pub(super) fn first_group(&self) -> u64 {
        self.first_group
    }

    pub(super) fn seq(&self, position: u64) -> Seq {
        self.first_sqn + position as u32
    }

    /// The position of a sequence number that was sent and can be repaired.
    pub(super) fn position(&self, sqn: Seq) -> Option<u64> {
        let lead = self.lead?;
        let position = lead.checked_add_signed(sqn.signed_distance_from(self.seq(lead)).into())?;
        (self.trail()..=lead).contains(&position).then_some(position)
    }

    /// The position of a group's first sequence number, if any packet of the group was sent and can be repaired.
    pub(super) fn position_of_group(&self, sqn: Seq) -> Option<u64> {
        let lead = self.lead?;
        let position = lead.checked_add_signed(sqn.signed_distance_from(self.seq(lead)).into())?;
        (position <= lead && self.group(self.group_of(position)).is_some()).then_some(position)
    }

    pub(super) fn group_of(&self, position: u64) -> u64 {
        position >> self.shift
    }

    /// The index of a position in its group.
    pub(super) fn index_of(&self, position: u64) -> u8 {
        (position & u64::from(self.group_len() - 1)) as u8
    }

    /// The position of the first packet of a group.
    pub(super) fn start_of(&self, group: u64) -> u64 {
        group << self.shift
    }

    pub(super) fn group(&self, group: u64) -> Option<&Group> {
        self.groups.get(usize::try_from(group.checked_sub(self.first_group)?).ok()?)
    }

    pub(super) fn group_mut(&mut self, group: u64) -> Option<&mut Group> {
        self.groups.get_mut(usize::try_from(group.checked_sub(self.first_group)?).ok()?)
    }

    /// The packet at a position; `None` for one that left the window, was never made, or is a hole.
    pub(super) fn packet(&self, position: u64) -> Option<u64> {
        let index = self.index_of(position);
        let group = self.group(self.group_of(position))?;
        (index < group.count).then(|| group.first_packet + u64::from(index))
    }

    /// How many packets were made before a sequence number, if it is in the window or next.
    pub(super) fn packets_before(&self, sqn: Seq) -> Option<u64> {
        let position = self.head.checked_add_signed(sqn.signed_distance_from(self.seq(self.head)).into())?;
        if position >= self.head {
            return (position == self.head).then_some(self.made);
        }
        let group = self.group(self.group_of(position))?;
        Some(group.first_packet + u64::from(self.index_of(position).min(group.count)))
    }

    /// The oldest position that can be repaired; one past the lead when none can.
    pub(super) fn trail(&self) -> u64 {
        self.start_of(self.first_group).min(self.lead.map_or(0, |lead| lead + 1))
    }

    /// The trailing edge that the packet at `position` carries: the start of the oldest group, but no later than the packet itself,
    /// since data may not precede the trailing edge.
    #[inline]
    pub(super) fn trail_of(&self, position: u64) -> u64 {
        self.start_of(self.first_group).min(position)
    }

    /// The last position sent.
    pub(super) fn lead(&self) -> Option<u64> {
        self.lead
    }

    /// The edges as SPMs carry them.
    pub(super) fn edges(&self) -> wire::Window {
        let lead = self.lead.map_or(self.first_sqn.previous(), |lead| self.seq(lead));
        wire::Window::new(self.seq(self.trail()), lead).expect("a window spans less than 2^30 positions")
    }

    /// How many packets were ever sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// How many packets wait to be sent.
    pub(super) fn waiting(&self) -> u64 {
        self.made - self.sent
    }

    /// How many more packets fit without giving others up.
    pub(super) fn room(&self) -> u64 {
        let first_packet = self.groups.front().map_or(self.made, |group| group.first_packet);
        let span = self.head - self.start_of(self.first_group);
        if span >= SPAN_MAX { 0 } else { self.capacity - (self.made - first_packet) }
    }

    /// Makes the next packet and returns its number. There must be room.
    pub(super) fn append(&mut self) -> u64 {
        debug_assert!(self.room() > 0, "room is made before packets are");
        if self.index_of(self.head) == 0 {
            self.groups.push_back(Group::new(self.made, self.group_len()));
        }
        let packet = self.made;
        let group = self.groups.back_mut().expect("a partial group, or the one just begun");
        group.count += 1;
        self.made += 1;
        self.head += 1;
        packet
    }

    /// The sequence number of the packet that is made next.
    pub(super) fn next_sqn(&self) -> Seq {
        self.seq(self.head)
    }

    /// Ends the group that is being filled, if there is one: the next packet begins a new one.
    pub(super) fn close_group(&mut self) {
        if self.index_of(self.head) != 0 {
            let next = self.start_of(self.group_of(self.head) + 1);
            self.groups.back_mut().expect("the group that is being filled").closed = true;
            if self.cursor == self.head {
                self.cursor = next;
            }
            self.head = next;
        }
    }

    /// Whether the last group has packets and may still get more.
    pub(super) fn is_group_open(&self) -> bool {
        self.index_of(self.head) != 0
    }

    /// The next position to send.
    pub(super) fn next_unsent(&self) -> Option<u64> {
        (self.waiting() > 0).then_some(self.cursor)
    }

    /// Notes that the position given by [`Self::next_unsent`] was sent.
    pub(super) fn mark_sent(&mut self, now: Instant) {
        debug_assert!(self.waiting() > 0 && self.packet(self.cursor) == Some(self.sent));
        let (group, index) = (self.group_of(self.cursor), self.index_of(self.cursor));
        let state = self.group_mut(group).expect("what waits is in the window");
        state.sent_at = now;
        let is_last = state.closed && index + 1 == state.count;
        self.lead = Some(self.cursor);
        self.short_at_lead = None;
        self.cursor = if is_last { self.start_of(group + 1) } else { self.cursor + 1 };
        self.sent += 1;
    }

    /// Whether all packets of a group were sent and no more will be added.
    pub(super) fn is_sent(&self, group: u64) -> bool {
        let Some(state) = self.group(group) else { return false };
        self.is_complete(state) && self.sent >= state.first_packet + u64::from(state.count)
    }

    /// How many packets of a group were not sent yet.
    pub(super) fn unsent_of(&self, group: u64) -> u8 {
        let end = self.group(group).map_or(0, |state| state.first_packet + u64::from(state.count));
        end.saturating_sub(self.sent).min(self.group_len().into()) as u8
    }

    /// The number of packets in the lead's group, if that is a short one and the lead is its last packet. Known even after the group
    /// was given up: receivers must not take the numbers that it left out for losses.
    pub(super) fn short_group_at_lead(&self) -> Option<u8> {
        self.short_group_ending_at(self.lead?).or(self.short_at_lead)
    }

    /// The number of packets in a position's group, if that was closed early and the position is its last one.
    pub(super) fn short_group_ending_at(&self, position: u64) -> Option<u8> {
        let group = self.group(self.group_of(position))?;
        let is_last = self.index_of(position) + 1 == group.count;
        (is_last && group.closed && group.count < self.group_len()).then_some(group.count)
    }

    /// Gives up the oldest groups, a step at a time, until there is room for `packets`; false when the remaining groups must stay.
    ///
    /// Only groups that were sent are given up. The work is bounded by the room that is asked for.
    pub(super) fn make_room(&mut self, packets: u64) -> bool {
        while self.room() < packets {
            if !self.advance() {
                return false;
            }
        }
        true
    }

    /// Gives up the groups that were sent before `limit`, in whole steps; or all groups, if even the last one was.
    pub(super) fn advance_to_age(&mut self, limit: Instant) {
        let expired = |group: &Group| group.sent_at <= limit;
        while self.groups.get(self.step - 1).is_some_and(expired) && self.advance() {}
        if self.groups.back().is_some_and(expired) {
            while self.advance() {}
        }
    }

    /// When the oldest step of groups was sent, or all groups if there are fewer; `None` while one of them is not complete or not sent.
    pub(super) fn oldest_sent_at(&self) -> Option<Instant> {
        let last = self.step.min(self.groups.len()).checked_sub(1)?;
        self.is_sent(self.first_group + last as u64).then_some(self.groups[last].sent_at)
    }

    fn advance(&mut self) -> bool {
        let mut given_up = false;
        for _ in 0..self.step {
            if !self.is_sent(self.first_group) {
                break;
            }
            self.short_at_lead = self.lead.and_then(|lead| self.short_group_ending_at(lead));
            self.groups.pop_front();
            self.first_group += 1;
            given_up = true;
        }
        given_up
    }

    fn is_complete(&self, group: &Group) -> bool {
        group.closed || group.count == self.group_len()
    }
}

/// The greatest width of a window in positions, far below the half of the sequence space that comparison allows (RFC 3208 §3.3).
pub(super) const SPAN_MAX: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn window(capacity: usize, group_len: u8, increment_percent: u8) -> Window {
        Window::new(Seq(u32::MAX - 7), capacity, group_len, increment_percent)
    }

    fn append(window: &mut Window, packets: u64) {
        (0..packets).for_each(|_| {
            window.append();
        });
    }

    fn send_all(window: &mut Window, now: Instant) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(position) = window.next_unsent() {
            window.mark_sent(now);
            sent.push(position);
        }
        sent
    }

    #[test]
    fn a_new_window_is_empty() {
        let window = window(16, 4, 25);
        assert!(window.edges().is_empty());
        assert_eq!((window.edges().trail(), window.trail(), window.lead()), (Seq(u32::MAX - 7), 0, None));
        assert_eq!((window.room(), window.waiting(), window.position(Seq(u32::MAX - 7))), (16, 0, None));
    }

    #[test]
    fn only_what_was_sent_is_in_the_window() {
        let mut window = window(16, 4, 25);
        append(&mut window, 9);
        assert_eq!((window.waiting(), window.edges().len()), (9, 0));
        assert_eq!(send_all(&mut window, Instant(1)), (0..9).collect::<Vec<_>>());
        assert_eq!((window.edges().len(), window.lead(), window.room()), (9, Some(8), 7));
        assert_eq!(window.position(Seq(0)), Some(8), "sequence numbers wrap");
        assert_eq!(window.position(Seq(1)), None);
        assert_eq!(window.packet(8), Some(8));
        assert!(window.is_sent(1) && !window.is_sent(2), "the third group is not complete");
    }

    #[test]
    fn a_group_closed_early_leaves_holes() {
        let mut window = window(16, 4, 25);
        append(&mut window, 6);
        assert!(window.is_group_open());
        window.close_group();
        window.close_group();
        append(&mut window, 1);
        assert_eq!(send_all(&mut window, Instant(1)), [0, 1, 2, 3, 4, 5, 8]);
        assert_eq!((window.packet(5), window.packet(6), window.packet(8)), (Some(5), None, Some(6)));
        assert_eq!((window.short_group_ending_at(5), window.short_group_ending_at(4)), (Some(2), None));
        assert_eq!((window.short_group_ending_at(3), window.short_group_at_lead()), (None, None));
        window.close_group();
        assert_eq!(window.short_group_at_lead(), Some(1));
    }

    #[test]
    fn data_push_the_oldest_steps_out() {
        let mut window = window(16, 4, 50);
        append(&mut window, 16);
        assert!(!window.make_room(1), "nothing was sent");
        for _ in 0..6 {
            window.next_unsent();
            window.mark_sent(Instant(1));
        }
        assert!(window.make_room(1), "a step of two groups, of which one was sent");
        assert_eq!((window.trail(), window.room()), (4, 4));
        assert!(!window.make_room(5));
        send_all(&mut window, Instant(2));
        assert!(window.make_room(5));
        assert_eq!((window.trail(), window.room()), (12, 12));
        assert_eq!((window.packet(11), window.packet(12)), (None, Some(12)));
    }

    #[test]
    fn age_pushes_them_out_in_steps() {
        let mut window = window(16, 2, 25);
        for second in 1..=3 {
            append(&mut window, 2);
            send_all(&mut window, Instant(second));
        }
        assert_eq!(window.oldest_sent_at(), Some(Instant(2)), "a step is two groups");
        window.advance_to_age(Instant(1));
        assert_eq!(window.trail(), 0);
        window.advance_to_age(Instant(2));
        assert_eq!((window.trail(), window.oldest_sent_at()), (4, Some(Instant(3))));
        window.advance_to_age(Instant(3));
        assert_eq!(
            (window.trail(), window.oldest_sent_at()),
            (6, None),
            "less than a step, but it is all there is"
        );
        assert!(window.edges().is_empty());
        append(&mut window, 1);
        assert_eq!((window.trail(), window.waiting()), (6, 1));
    }

    #[test]
    fn an_empty_window_trails_its_lead_by_one_even_after_holes() {
        let mut window = window(16, 8, 100);
        append(&mut window, 1);
        send_all(&mut window, Instant(1));
        window.close_group();
        window.advance_to_age(Instant(1));
        assert_eq!((window.trail(), window.edges().is_empty()), (1, true));
        append(&mut window, 1);
        assert_eq!(send_all(&mut window, Instant(2)), [8]);
        assert_eq!((window.trail(), window.edges().len()), (8, 1));
    }
}
