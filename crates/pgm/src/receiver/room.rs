//! The bounds on what a receiver keeps of a source, and what it drops when there is no more room.

use std::time::Duration;

use super::config::Slow;
use super::hold::Hold;
use super::peer::{Peer, Sink, Timer};
use super::repair::Repair;
use super::retries::Retries;
use super::shared::{Pool, Shared};
use crate::Instant;

/// How much of a source's data is in memory.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Bytes of payload.
    pub(super) bytes: usize,
    /// Blocks that have a [`Hold`].
    pub(super) blocks: usize,
}

impl Held {
    /// Gives the memory of a block back to the pool.
    pub(super) fn give_back(&mut self, hold: Box<Hold>, pool: &mut Pool) {
        self.blocks -= 1;
        self.bytes -= hold.len();
        pool.put(hold);
    }
}

impl Peer {
    /// Whether a packet may be kept. One of the block at the floor always may, since its delivery makes room; others may within the
    /// limits. In order, [`Slow`] decides what happens when an application that does not keep up has exhausted the limits.
    #[inline(always)]
    pub(super) fn has_room(&mut self, position: u64, len: usize, shared: &mut Shared) -> bool {
        let limits = &shared.config.limits;
        let is_new = position >= self.window.detected();
        let bytes_max = if is_new { limits.new_bytes() } else { limits.bytes };
        let is_next = self.window.key(position) == self.window.key(self.window.floor());
        let fits = self.held.bytes + len <= bytes_max || is_next;
        let Sink::Ordered(_) = &self.sink else {
            return fits && self.has_room_for_block(self.window.key(position), shared);
        };
        if fits && position < self.window.floor() + u64::from(limits.packets) {
            return true;
        }
        self.make_room(position, len, bytes_max, shared)
    }

    /// Whether a block may have state: in order, if it lies in the window; in bulk, while there are fewer entries than the bound.
    pub(super) fn has_room_for_block(&self, key: u64, shared: &Shared) -> bool {
        match self.sink {
            Sink::Ordered(_) => {
                self.window.start(key) < self.window.floor() + u64::from(shared.config.limits.packets)
            }
            Sink::Bulk(_) => self.window.entries() < ENTRIES_MAX || self.window.block(key).is_some(),
        }
    }

    /// How many bytes of data after the lead there is room for, if the application takes `taken` bytes before it pauses the source. It
    /// takes none of them while a packet before them is missing.
    pub(super) fn room(&self, taken: usize, shared: &Shared) -> usize {
        let Sink::Ordered(_) = &self.sink else { return taken };
        let limits = &shared.config.limits;
        let ahead = self.window.lead().map_or(0, |lead| (lead + 1).saturating_sub(self.window.floor()));
        let packets = u64::from(limits.packets).saturating_sub(ahead) as usize;
        let kept = limits.new_bytes().saturating_sub(self.held.bytes);
        let room = kept.min(packets.saturating_mul(self.payload_len_max));
        if ahead == 0 { room.saturating_add(taken) } else { room }
    }

    /// Makes room for a packet by giving up older ones if the application does not keep up and the policy says so. False before it is
    /// known where delivery begins: otherwise a loss could be reported before packets with lower numbers.
    fn make_room(&mut self, position: u64, len: usize, bytes_max: usize, shared: &mut Shared) -> bool {
        let Sink::Ordered(ordered) = &mut self.sink else { return false };
        if ordered.slow != Slow::Lose || !ordered.is_paused() || !self.begun {
            ordered.stalled = true;
            return false;
        }
        let span = u64::from(shared.config.limits.packets);
        while self.window.floor() < position
            && (self.held.bytes + len > bytes_max || position >= self.window.floor() + span)
        {
            self.skip_half(position, span, shared);
        }
        true
    }

    /// Handles a packet of a block for which there was no room. The source has sent what we asked for, so the block comes no nearer to
    /// being given up. NAKs are held back while repairs would be dropped: in bulk while packets wait for the application, or packets
    /// of a group are awaited from it; in order while it has paused delivery. Otherwise, in order, the next packet always has room and
    /// its delivery makes more, and only the repair of this block ends until then.
    pub(super) fn refuse(&mut self, now: Instant, key: u64) {
        let retries = self.window.block_mut(key).and_then(|block| block.repair.retries_mut());
        let is_asked_for = retries.is_some();
        retries.into_iter().for_each(Retries::progress);
        let holds_back = match &self.sink {
            Sink::Bulk(bulk) => bulk.is_waiting() || bulk.asked_for().is_some(),
            Sink::Ordered(ordered) if is_asked_for && !ordered.is_paused() => {
                self.put_back(key);
                false
            }
            Sink::Ordered(_) => is_asked_for,
        };
        if holds_back {
            self.shortage.get_or_insert(now);
        }
    }

    /// Ends the repair of a block, unless it is the one at the floor. The repair begins again when there is room.
    fn put_back(&mut self, key: u64) {
        if key == self.window.key(self.window.floor()) {
            return;
        }
        if let Some(block) = self.window.block_mut(key) {
            block.repair = Repair::Idle;
        }
        self.active.retain(|&active| active != key);
        self.window.look_again(key);
        self.waits_for_room = true;
    }

    /// Records that there is room again: NAKs that were held back are due.
    pub(super) fn has_room_again(&mut self) {
        if self.shortage.take().is_some() {
            self.timers.set(Timer::Repair, Instant::ZERO);
        }
    }

    /// How many sequence numbers a NAK may have now: as many as the source has credit for. While there is no room, none, but for one
    /// now and then that keeps the source from ending its linger. If none, the repair timer ends when that may change.
    pub(super) fn nak_limit(&mut self, now: Instant) -> usize {
        let limit = self.credit.limit(now);
        if limit == 0 {
            self.timers.set_by(Timer::Repair, self.credit.next_at());
            return 0;
        }
        match self.shortage {
            None => limit,
            Some(since) if now < since + SHORTAGE_ROUND => {
                self.timers.set_by(Timer::Repair, since + SHORTAGE_ROUND);
                0
            }
            Some(_) => {
                self.shortage = Some(now);
                1
            }
        }
    }

    /// Gives up the older half of what is kept to make room for new data.
    fn skip_half(&mut self, position: u64, span: u64, shared: &mut Shared) {
        let floor = self.window.behind_hole(self.window.floor()).min(position);
        let ahead = position - floor;
        let skipped = ahead.div_ceil(2).max((ahead + 1).saturating_sub(span / 2)).min(ahead);
        let end = self.window.behind_hole(floor + skipped);
        // A part of a group is of no use: it cannot be decoded, and the group's length may never be known.
        let block_len = if self.parity.is_some() { self.window.block_len() } else { 1 };
        let end = end.next_multiple_of(block_len.into()).min(position);
        self.raise_floor(end, shared);
        if let Sink::Ordered(ordered) = &mut self.sink
            && floor < end
        {
            shared.stats.lost += end - floor;
            ordered.skip(floor..end);
        }
    }

    /// Whether there will be room for the repair of one more block. If there is none, its packets would be asked for again and again,
    /// and dropped.
    pub(super) fn has_room_to_repair(&self, key: u64, shared: &Shared) -> bool {
        let block_bytes = usize::from(self.window.block_len()) * self.payload_len_max;
        let expected = (self.active.len() + 1).saturating_mul(block_bytes);
        let is_begun = key == self.window.key(self.window.floor()) || self.active.contains(&key);
        is_begun || self.held.bytes.saturating_add(expected) <= shared.config.limits.bytes
    }

    /// Whether a group may have symbols in memory. In bulk their number is limited, and the newest group makes room for an older one.
    /// But the group that the application was asked for stays: if it were asked for again, the first answer would be taken for the
    /// second one, and may lack what came in between.
    pub(super) fn may_hold(&mut self, key: u64, shared: &mut Shared) -> bool {
        let Sink::Bulk(bulk) = &mut self.sink else { return true };
        let is_held = self.window.block(key).is_some_and(|block| block.hold.is_some());
        if is_held || self.held.blocks < shared.config.limits.groups {
            return true;
        }
        let asked_for = bulk.asked_for();
        let newest = self.window.holds_from_newest().find(|&(newest, _)| Some(newest) != asked_for);
        let newest = newest.map(|(newest, _)| newest).filter(|&newest| newest > key);
        let Some(newest) = newest else { return false };
        bulk.forget(newest);
        let hold = self.window.block_mut(newest).and_then(|block| block.hold.take());
        hold.into_iter().for_each(|hold| self.held.give_back(hold, &mut shared.pool));
        self.window.look_again(newest);
        true
    }

    pub(super) fn raise_floor(&mut self, floor: u64, shared: &mut Shared) {
        if let Sink::Ordered(ordered) = &mut self.sink {
            ordered.forget_before(self.window.key(floor));
        }
        self.window.raise_floor(floor, &mut |hold| self.held.give_back(hold, &mut shared.pool));
    }
}

/// The most entries of a source in bulk, each a group with gaps or a run of groups without: some 20 MB.
const ENTRIES_MAX: usize = 1 << 16;
/// The interval of NAKs for data that have no room: shorter than the linger of a source.
const SHORTAGE_ROUND: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use crate::receiver::{Consumer, Limits, NakConfig, Receiver, ReceiverConfig};
    use crate::wire::{
        Body, Data, DataHead, DataKind, Packet, ParityPrm, Session, Spm, SpmOptions, Window, WindowState,
    };
    use crate::{Instant, Path, Seq};

    /// A receiver, and a source that may send anything.
    struct Liar {
        receiver: Receiver,
        spm_sqn: Seq,
    }

    impl Liar {
        fn new(consumer: Consumer) -> Self {
            let limits = Limits { packets: 1024, ..Limits::default() };
            let config = ReceiverConfig { consumer, limits, ..ReceiverConfig::new(7500) };
            Liar { receiver: Receiver::new(config), spm_sqn: Seq(0) }
        }

        /// An SPM of a session in groups of two.
        fn spm(&mut self, lead: u32) {
            let window = WindowState::Known(Window::new(Seq(0), Seq(lead)).unwrap());
            let parity = Some(ParityPrm::new(2, false, true).unwrap());
            let options = SpmOptions { parity, ..SpmOptions::default() };
            self.spm_sqn = self.spm_sqn.next();
            self.say(Body::Spm(Spm { sqn: self.spm_sqn, window, path: SOURCE, options }));
        }

        fn odata(&mut self, sqn: u32) {
            let head = DataHead::new(DataKind::Original, Seq(sqn), Seq(0));
            self.say(Body::Data(Data { head, payload: b"" }));
        }

        fn say(&mut self, body: Body<'_>) {
            let path = Path { from: SOURCE, to: IpAddr::from([239, 192, 0, 1]), interface: 1, ecn: 0 };
            let packet = Packet { session: Session { destination_port: 7500, ..Session::default() }, body };
            let mut bytes = [0; 256];
            let len = packet.emit(&mut bytes);
            self.receiver.handle_train(Instant(1), &path, len, &bytes[..len]);
            while self.receiver.poll_event().is_some() {}
        }

        /// How many entries the receiver keeps of the session.
        fn entries(&self) -> usize {
            self.receiver.peers.iter().map(|peer| peer.window.entries()).sum()
        }
    }

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn spms_make_no_more_blocks_than_there_is_room_for() {
        for (consumer, most) in [(Consumer::default(), 1024 / 2), (Consumer::Bulk, super::ENTRIES_MAX)] {
            let mut liar = Liar::new(consumer);
            (0..70_000).for_each(|group| liar.spm(2 * group + 1));
            assert!((100..=most).contains(&liar.entries()), "{consumer:?}: {}", liar.entries());
        }
    }

    #[test]
    fn groups_that_are_done_between_gaps_have_a_bound() {
        let mut liar = Liar::new(Consumer::Bulk);
        liar.spm(0);
        for group in (0..140_000).step_by(2) {
            liar.odata(2 * group);
            liar.odata(2 * group + 1);
        }
        assert!(liar.entries() <= super::ENTRIES_MAX, "{}", liar.entries());
    }

    #[test]
    fn groups_that_are_learned_late_have_a_bound() {
        let mut liar = Liar::new(Consumer::Bulk);
        (0..140_000).for_each(|group| liar.odata(4 * group));
        assert!(liar.entries() > 8000, "blocks of 64 packets: {}", liar.entries());
        liar.spm(4 * 140_000);
        let under_repair = usize::from(NakConfig::default().outstanding);
        assert!(liar.entries() <= super::ENTRIES_MAX + under_repair, "{}", liar.entries());
    }

    #[test]
    fn what_is_known_of_the_past_is_forgotten() {
        let mut liar = Liar::new(Consumer::Bulk);
        liar.spm(0);
        for round in 0..100 {
            let first = 4 * 100 * round;
            (0..100).flat_map(|group| [4 * group, 4 * group + 1]).for_each(|at| liar.odata(first + at));
            // The other groups are past repair.
            let (trail, lead) = (Seq(first + 400), Seq(first + 399));
            let window = WindowState::Known(Window::new(trail, lead).unwrap());
            liar.spm_sqn = liar.spm_sqn.next();
            let options = SpmOptions::default();
            liar.say(Body::Spm(Spm { sqn: liar.spm_sqn, window, path: SOURCE, options }));
        }
        assert!(liar.entries() < 300, "{}", liar.entries());
    }
}
