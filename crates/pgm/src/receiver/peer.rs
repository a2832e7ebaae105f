//! What a receiver knows of one source, and what the source's packets do to it.

use std::net::IpAddr;

use super::bulk::Bulk;
use super::config::{Consumer, JoinWish};
use super::decode::Group;
use super::event::EndCause;
use super::flow::Flow;
use super::heard::Heard;
use super::hold::Extra;
use super::intervals::Intervals;
use super::leap::Leap;
use super::nak::SpmRequest;
use super::order::Ordered;
use super::proof::{Proof, Rival};
use super::repair::Repair;
use super::shared::Shared;
use super::window::{Window, runs};
use crate::path::Path;
use crate::timers::Timers;
use crate::wire::{Content, Data, DataKind, Session, Spm, WindowState};
use crate::{Instant, Seq};

/// One source.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) session: Session,
    /// The network address its packets come from, and the group they come to.
    pub(super) source: IpAddr,
    pub(super) group: IpAddr,
    pub(super) interface: u32,
    /// Where NAKs go: what the latest SPM says. None is sent before (RFC 3208 §6.2).
    pub(super) path: Option<IpAddr>,
    pub(super) last_heard: Instant,
    flow: Flow,
    /// SPMs and data packets heard, up to a few.
    pub(super) heard: u8,
    /// What the source has shown of being it, and who else claims to be.
    pub(super) proof: Proof,
    pub(super) rival: Option<Rival>,
    /// Packets from another address since the last one from the source.
    pub(super) rivals: u8,
    spm_sqn: Option<u64>,
    spm_leap: Leap,
    data_leap: Leap,
    pub(super) window: Window,
    pub(super) parity: Option<Parity>,
    pub(super) sink: Sink,
    /// Whether it is known where delivery begins, and whether the application was told.
    pub(super) begun: bool,
    pub(super) announced: bool,
    /// Where delivery begins.
    pub(super) first: u64,
    pub(super) intervals: Intervals,
    pub(super) timers: Timers<{ Timer::COUNT }>,
    /// The blocks under repair, and those of which a NAK is due.
    pub(super) active: Vec<u64>,
    pub(super) due: Vec<u64>,
    pub(super) spm_request: SpmRequest,
    pub(super) recent: Heard,
    /// Whether something may be missing that was not looked for yet.
    pub(super) waits_for_room: bool,
    /// Since when repairs find no room, or when one was last asked for nevertheless.
    pub(super) shortage: Option<Instant>,
    /// The longest payload of a packet so far.
    pub(super) payload_len_max: usize,
    /// Bytes and blocks in memory.
    pub(super) held_bytes: usize,
    pub(super) held_blocks: usize,
    /// The last position of a session that its source has ended.
    pub(super) fin: Option<u64>,
    pub(super) end: Option<EndCause>,
    pub(super) ended: bool,
    /// Whether the peer waits in the receiver's queues.
    pub(super) is_ready: bool,
    pub(super) is_sending: bool,
}

/// The parity that a source provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parity {
    pub(super) group_len: u8,
    pub(super) pro_active: bool,
    pub(super) on_demand: bool,
}

/// Who takes the data.
#[derive(Debug)]
pub(super) enum Sink {
    Ordered(Ordered),
    Bulk(Bulk),
}

/// The timers that a receiver has for each source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// A state of a block's repair ends.
    Repair,
    /// An SPMR is due.
    Spmr,
    /// Delivery has waited long enough for the first SPM.
    Begin,
    /// The application has had long enough to say what it has.
    Front,
    /// The source may have been silent for too long.
    Expiry,
}

impl Timer {
    pub(super) const ALL: [Timer; 5] =
        [Timer::Repair, Timer::Spmr, Timer::Begin, Timer::Front, Timer::Expiry];
    pub(super) const COUNT: usize = Self::ALL.len();
}

impl Peer {
    /// A peer of which the first packet, an SPM or data, is about to be handled.
    pub(super) fn new(now: Instant, session: Session, path: &Path, first: Seq, shared: &Shared) -> Self {
        let config = &shared.config;
        let mut timers = Timers::new();
        timers.set(Timer::Expiry as usize, now + config.expiry);
        let window = Window::new(first);
        let sink = match config.consumer {
            Consumer::Ordered { framing, on_loss, slow } => {
                Sink::Ordered(Ordered::new(framing, &config.limits, on_loss, slow))
            }
            Consumer::Bulk => Sink::Bulk(Bulk::default()),
        };
        Peer {
            session,
            source: path.from,
            group: path.to,
            interface: path.interface,
            path: None,
            last_heard: now,
            flow: Flow::default(),
            heard: 0,
            proof: Proof::default(),
            rival: None,
            rivals: 0,
            spm_sqn: None,
            spm_leap: Leap::default(),
            data_leap: Leap::default(),
            first: window.floor(),
            window,
            parity: None,
            sink,
            begun: false,
            announced: false,
            intervals: Intervals::new(&config.nak),
            timers,
            active: Vec::new(),
            due: Vec::new(),
            spm_request: SpmRequest::default(),
            recent: Heard::default(),
            waits_for_room: false,
            shortage: None,
            payload_len_max: 0,
            held_bytes: 0,
            held_blocks: 0,
            fin: None,
            end: None,
            ended: false,
            is_ready: false,
            is_sending: false,
        }
    }

    /// Whether more than a single packet was heard.
    pub(super) fn is_proven(&self) -> bool {
        self.heard >= 2
    }

    /// Whether repair is by group.
    pub(super) fn by_group(&self) -> bool {
        self.parity.is_some_and(|parity| parity.on_demand)
    }

    /// Takes an SPM (RFC 3208 §6.2).
    pub(super) fn handle_spm(&mut self, now: Instant, path: &Path, spm: &Spm, shared: &mut Shared) {
        if !self.is_in_sequence(spm) {
            shared.stats.spms_old += 1;
            return;
        }
        let WindowState::Known(edges) = spm.window else {
            self.path = Some(spm.path);
            return;
        };
        let (trail, lead) = (self.window.position(edges.trail()), self.window.position(edges.lead()));
        let known = self.window.reference();
        if !self.data_leap.admit(lead, known, HORIZON) {
            shared.stats.leaps += 1;
            return;
        }
        shared.stats.spms += 1;
        self.heard_from(now);
        self.path = Some(spm.path);
        (self.group, self.interface) = (path.to, path.interface);
        self.spm_answered();
        if let Some(interval) = spm.options.backoff_interval.filter(|interval| interval.poll_sqn == Seq(0)) {
            self.intervals.told(u64::from(interval.interval_us) * 1000);
        }
        if let Some(parity) = spm.options.parity {
            self.learn_parity(Parity {
                group_len: u8::try_from(parity.tgsize()).unwrap_or(0),
                pro_active: parity.pro_active(),
                on_demand: parity.on_demand(),
            });
        }
        if !self.begun {
            self.begin(spm, lead, trail, shared);
            self.await_front(now, lead, shared);
        }
        if trail > self.window.trail() {
            self.advance_trail(trail, shared);
        }
        self.window.set_spm_lead(lead);
        self.close_at(lead, spm, shared);
        if spm.options.fin {
            self.fin = Some(lead);
        }
        if let Some(reset) = spm.options.reset {
            self.end.get_or_insert(EndCause::Reset(reset));
        }
        if let Some(silent_ns) = self.flow.ceased(now) {
            self.repairs_ceased(now, silent_ns);
        }
        self.detect(now, shared);
    }

    /// Takes a data packet, original or repair, source or parity.
    pub(super) fn handle_data(&mut self, now: Instant, path: &Path, data: &Data<'_>, shared: &mut Shared) {
        let head = &data.head;
        let (position, trail) = (self.window.position(head.sqn), self.window.position(head.trail));
        let known = self.window.reference();
        if !self.data_leap.admit(position.max(trail), known, HORIZON) {
            shared.stats.leaps += 1;
            return;
        }
        match head.kind {
            DataKind::Original => shared.stats.odata += 1,
            DataKind::Repair => shared.stats.rdata += 1,
        }
        self.heard_from(now);
        self.flow.note(now);
        (self.group, self.interface) = (path.to, path.interface);
        self.payload_len_max = self.payload_len_max.max(data.payload.len());
        if trail > self.window.trail() {
            self.advance_trail(trail, shared);
        }
        if head.kind == DataKind::Repair && self.by_group() {
            self.repair_heard(now, self.window.key(position));
        }
        match head.content {
            Content::Source { .. } => self.take_source(now, position, data, shared),
            Content::Parity { .. } => self.take_parity(now, position, data, shared),
        }
        if self.path.is_none() {
            self.want_spm(now, shared);
        }
        if !self.begun {
            match shared.config.join {
                JoinWish::Recent => self.begun = true,
                JoinWish::History { wait } if !self.timers.is_set(Timer::Begin as usize) => {
                    self.timers.set(Timer::Begin as usize, now + wait);
                }
                JoinWish::History { .. } => {}
            }
        }
        self.detect(now, shared);
    }

    fn heard_from(&mut self, now: Instant) {
        self.last_heard = now;
        self.heard = self.heard.saturating_add(1);
        self.rivals = 0;
    }

    /// An SPM is in sequence when its number is greater than that of the last one (§6.2). A number far ahead needs witnesses: else a
    /// single forged one would make all true ones look old.
    fn is_in_sequence(&mut self, spm: &Spm) -> bool {
        let Some(last) = self.spm_sqn else {
            self.spm_sqn = Some((1 << 32) + u64::from(spm.sqn.0));
            return true;
        };
        let distance = spm.sqn.signed_distance_from(Seq(last as u32));
        let sqn = last.saturating_add_signed(distance.into());
        let is_new = distance > 0 && self.spm_leap.admit(sqn, last, SPM_HORIZON);
        if is_new {
            self.spm_sqn = Some(sqn);
        }
        is_new
    }

    /// The first SPM says where delivery begins: as far back as the source allows and the limits do, or with the first packet.
    fn begin(&mut self, spm: &Spm, lead: u64, trail: u64, shared: &Shared) {
        self.begun = true;
        self.timers.stop(Timer::Begin as usize);
        // Once the trailing edge was seen to advance, what is behind it is known to be gone.
        let may_reach_back = self.window.trail() <= self.first;
        if let (Some(join), JoinWish::History { .. }, true) =
            (spm.options.join, shared.config.join, may_reach_back)
        {
            let mut first = self.window.position(join).clamp(trail, lead.max(trail) + 1);
            if let Sink::Ordered(_) = self.sink {
                first = first.max((lead + 1).saturating_sub(shared.config.limits.packets.into()));
                if self.parity.is_some() {
                    // The middle of a group may be what a short group left out.
                    let next = self.window.start(self.window.key(first) + 1);
                    let is_start = first == self.window.start(self.window.key(first));
                    first = if is_start { first } else { next.min(lead + 1) };
                }
            }
            self.window.begin_earlier(first);
            self.first = self.first.min(first);
        }
    }

    fn advance_trail(&mut self, trail: u64, shared: &mut Shared) {
        let Sink::Bulk(bulk) = &mut self.sink else {
            // In order the loss is found when delivery gets there.
            self.window.advance_trail(trail, |_| {});
            return;
        };
        let mut lost = 0;
        self.window.advance_trail(trail, |range| {
            lost += range.end - range.start;
            bulk.lose(range);
        });
        shared.stats.lost += lost;
    }

    /// A source that provides parity numbers its packets in groups, and they become the blocks of the window.
    fn learn_parity(&mut self, parity: Parity) {
        // Group sizes beyond what the code can do are as good as no parity; and a session keeps to its size (§11.2).
        let is_usable = (2..=128).contains(&parity.group_len);
        if !is_usable || self.parity.is_some() {
            return;
        }
        self.parity = Some(parity);
        if parity.group_len == self.window.block_len() {
            return;
        }
        self.active.clear();
        self.due.clear();
        let is_ordered = matches!(self.sink, Sink::Ordered(_));
        for (start, block) in self.window.set_block_len(parity.group_len) {
            for index in runs(block.present | block.lost).flatten() {
                let (bit, position) = (1 << index, start + u64::from(index));
                let (key, new_bit) = (self.window.key(position), 1 << self.window.index(position));
                let new_index = self.window.index(position);
                if self.window.is_done(key) || self.window.start(key + 1) <= self.window.floor() {
                    continue;
                }
                let new = self.window.ensure(key);
                if block.present & bit == 0 {
                    new.lost |= new_bit;
                    continue;
                }
                match block.hold.as_ref().and_then(|hold| hold.data(index)) {
                    Some((payload, fragment)) => {
                        new.hold.get_or_insert_default().push(new_index, payload, Extra::Data(fragment));
                    }
                    // What was delivered without being kept does not help to decode the group.
                    None if is_ordered => continue,
                    None => {}
                }
                new.present |= new_bit;
            }
        }
        (self.held_blocks, self.held_bytes) = (0, 0);
        for (_, hold) in self.window.holds_from_newest() {
            self.held_blocks += 1;
            self.held_bytes += hold.len();
        }
    }

    /// What an SPM says of the group that its lead ends (§11.4).
    fn close_at(&mut self, lead: u64, spm: &Spm, shared: &mut Shared) {
        let key = self.window.key(lead);
        // What a short group leaves out is behind its last packet, which may have been delivered.
        let is_past = self.window.start(key + 1) <= self.window.floor();
        if self.parity.is_none() || self.window.is_done(key) || is_past {
            return;
        }
        let index = self.window.index(lead);
        let block = self.window.ensure(key);
        if let Some(size) = spm.options.curr_tgsize
            && size.get() == u32::from(index) + 1
        {
            block.set_size(index + 1);
        }
        block.closed |= index + 1 == block.size();
        self.complete(key, shared);
    }

    fn take_source(&mut self, now: Instant, position: u64, data: &Data<'_>, shared: &mut Shared) {
        let (key, index) = (self.window.key(position), self.window.index(position));
        let bit = 1 << index;
        let known = self.window.block(key);
        // In bulk a loss is told when it is known, and stands; and blocks that are complete are not kept.
        let is_over = matches!(self.sink, Sink::Bulk(_))
            && (position < self.window.trail()
                || self.window.is_done(key)
                || known.is_some_and(|block| block.lost & bit != 0));
        let is_old = position < self.window.floor() || is_over;
        if is_old || known.is_some_and(|block| block.present & bit != 0 || index >= block.size()) {
            shared.stats.duplicates += 1;
            self.learn_size(key, index, data, shared);
            return;
        }
        if self.read_at_once(position, data, shared) {
            return;
        }
        if !self.has_room(position, data.payload.len(), shared) {
            self.window.heard_of(position);
            shared.stats.dropped_full += 1;
            self.refuse(now, key);
            return;
        }
        let fragment = match data.head.content {
            Content::Source { fragment } => fragment,
            Content::Parity { .. } => None,
        };
        if let Sink::Bulk(bulk) = &mut self.sink
            && !bulk.push(position, data.payload)
        {
            self.window.heard_of(position);
            shared.stats.dropped_overrun += 1;
            self.refuse(now, key);
            return;
        }
        let is_ordered = matches!(self.sink, Sink::Ordered(_));
        let block = self.window.ensure(key);
        if is_ordered {
            let held_blocks = &mut self.held_blocks;
            let hold = block.hold.get_or_insert_with(|| {
                *held_blocks += 1;
                shared.pool.take()
            });
            hold.push(index, data.payload, Extra::Data(fragment));
            self.held_bytes += data.payload.len();
        }
        block.present |= bit;
        block.lost &= !bit;
        if data.head.options.curr_tgsize.is_some_and(|size| size.get() == u32::from(index) + 1) {
            block.set_size(index + 1);
        }
        // With nothing to come unasked, the last packet of a group ends it (§11.5).
        let is_last = index + 1 == block.size();
        block.closed |= is_last && self.parity.is_some_and(|parity| !parity.pro_active);
        if let Repair::Packets(lanes) = &mut block.repair
            && let Some(after_ns) = lanes.arrived(bit, now)
        {
            self.intervals.repaired(after_ns);
        }
        // What comes in order, without loss, ends here: there is no repair to end and nothing to decode.
        let is_quiet = is_ordered && block.repair.is_idle() && block.parity_count() == 0;
        self.window.arrived(position, self.parity.is_none());
        if !is_quiet {
            self.progress(now, key);
            self.complete(key, shared);
        }
    }

    /// A packet that is there already may tell that its group is a short one.
    fn learn_size(&mut self, key: u64, index: u8, data: &Data<'_>, shared: &mut Shared) {
        let is_last = data.head.options.curr_tgsize.is_some_and(|size| size.get() == u32::from(index) + 1);
        if let Some(block) = self.window.block_mut(key).filter(|_| is_last)
            && block.set_size(index + 1)
        {
            self.complete(key, shared);
        }
    }

    /// Compiled by itself: source data, which come in between and are far more, would pay for its registers.
    #[inline(never)]
    fn take_parity(&mut self, now: Instant, position: u64, data: &Data<'_>, shared: &mut Shared) {
        shared.stats.parity += 1;
        let Content::Parity { group, var_pktlen, fragment } = data.head.content else { return };
        let Some(parity) = self.parity else {
            shared.stats.ignored += 1;
            return;
        };
        let key = self.window.key(position);
        let run = u64::from(group.map_or(0, |run| run.get()));
        let group_len = u64::from(parity.group_len);
        let symbol = u8::try_from(group_len + run * group_len + u64::from(self.window.index(position)));
        let Some(symbol) = symbol.ok().filter(|&symbol| symbol < u8::MAX) else {
            shared.stats.parity_mismatches += 1;
            return;
        };
        let start = self.window.start(key);
        if self.window.start(key + 1) <= self.window.floor() || self.window.is_done(key) {
            shared.stats.duplicates += 1;
            return;
        }
        if !self.has_room(start, data.payload.len(), shared) {
            shared.stats.dropped_full += 1;
            self.refuse(now, key);
            return;
        }
        let curr_tgsize = data.head.options.curr_tgsize.map_or(parity.group_len.into(), |size| size.get());
        let size = u8::try_from(curr_tgsize).unwrap_or(0);
        let block = self.window.ensure(key);
        if !block.set_size(size) {
            shared.stats.parity_mismatches += 1;
            return;
        }
        // On demand it comes after all that comes unasked (§11.4).
        block.closed |= data.head.kind == DataKind::Repair || !parity.pro_active;
        self.window.heard_of(start + u64::from(size) - 1);
        let is_wanted = self.window.wanted(key) != 0;
        let block = self.window.ensure(key);
        let is_new = block.hold.as_ref().is_none_or(|hold| !hold.has_parity(symbol));
        if !is_wanted || !is_new || block.lacking() == 0 {
            shared.stats.duplicates += 1;
            return;
        }
        if !self.may_hold(key, shared) {
            shared.stats.dropped_full += 1;
            self.refuse(now, key);
            return;
        }
        self.hold(key, symbol, data.payload, Extra::Parity { var_pktlen, fragment }, shared);
        self.progress(now, key);
        self.complete(key, shared);
    }

    /// Keeps a symbol in memory.
    fn hold(&mut self, key: u64, index: u8, payload: &[u8], extra: Extra, shared: &mut Shared) {
        let held_blocks = &mut self.held_blocks;
        let hold = self.window.ensure(key).hold.get_or_insert_with(|| {
            *held_blocks += 1;
            shared.pool.take()
        });
        hold.push(index, payload, extra);
        self.held_bytes += payload.len();
    }

    /// Something came of a block: if it is complete, or can be made so, it is.
    pub(super) fn complete(&mut self, key: u64, shared: &mut Shared) {
        let Some(block) = self.window.block(key) else { return };
        let (all_there, can_decode) =
            (block.missing() == 0, block.parity_count() > 0 && block.lacking() == 0);
        if !all_there && can_decode {
            match &mut self.sink {
                Sink::Bulk(bulk) => bulk.want(key),
                Sink::Ordered(_) => self.decode(key, shared),
            }
        }
        let is_bulk = matches!(self.sink, Sink::Bulk(_));
        if all_there && is_bulk {
            let hold = self.window.finish(key).and_then(|block| block.hold);
            hold.into_iter().for_each(|hold| self.release(hold, shared));
        }
        self.rest(key);
    }

    /// Raises the floor over what needs no more attention (bulk); not before it is known where delivery begins, which may be further
    /// back.
    pub(super) fn settle(&mut self, shared: &mut Shared) {
        if !self.begun {
            return;
        }
        let (held_blocks, held_bytes) = (&mut self.held_blocks, &mut self.held_bytes);
        self.window.settle(&mut |hold| {
            *held_blocks -= 1;
            *held_bytes -= hold.len();
            shared.pool.put(hold);
        });
    }

    /// Recovers what a group in memory lacks.
    fn decode(&mut self, key: u64, shared: &mut Shared) {
        let group_len = self.window.block_len();
        let start = self.window.start(key);
        let Some(block) = self.window.block_mut(key) else { return };
        let (size, present) = (block.size(), block.present);
        let Some(hold) = &mut block.hold else { return };
        let group = Group { group_len, size, present, hold, kept: None };
        if shared.workshop.recover(&group).is_err() {
            shared.stats.parity_mismatches += 1;
            self.held_bytes -= hold.drop_parity();
            self.window.look_again(key);
            return;
        }
        let mut recovered = 0;
        for (index, payload, fragment) in shared.workshop.recovered() {
            let sqn = Window::seq(start + u64::from(index));
            let fragment = fragment.filter(|fragment| fragment.check(sqn, payload.len()).is_ok());
            hold.push(index, payload, Extra::Data(fragment));
            self.held_bytes += payload.len();
            recovered |= 1_u128 << index;
        }
        block.present |= recovered;
        block.lost &= !recovered;
        shared.stats.recovered += u64::from(recovered.count_ones());
    }
}

/// Steps ahead that are nothing unusual, of data and of SPMs.
const HORIZON: u64 = 1 << 16;
const SPM_HORIZON: u64 = 1 << 10;
