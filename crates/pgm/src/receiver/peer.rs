//! What a receiver knows of one source, and how it handles the source's SPMs.

use std::collections::VecDeque;
use std::mem;
use std::net::IpAddr;

use super::bits::runs;
use super::block::Block;
use super::bulk::Bulk;
use super::config::{Consumer, JoinWish};
use super::credit::Credit;
use super::event::EndCause;
use super::flow::Flow;
use super::heard::Heard;
use super::hold::{Extra, Tsdu};
use super::intervals::Intervals;
use super::leap::Leap;
use super::order::Ordered;
use super::proof::{Proof, Rival, Run};
use super::room::Held;
use super::shared::Shared;
use super::spmr::SpmRequest;
use super::window::{Place, Window};
use crate::path::Path;
use crate::timers::{self, Timers};
use crate::wire::{Reset, Session, Spm, WindowState};
use crate::{Instant, Seq};

/// One source.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) session: Session,
    /// The network address that its packets come from.
    pub(super) source: IpAddr,
    /// The group to which the latest of them was sent, and the index of the interface that received it.
    pub(super) group: IpAddr,
    pub(super) interface: u32,
    /// The address for NAKs, from the latest SPM. No NAK is sent before the first SPM (RFC 3208 §6.2).
    pub(super) path: Option<IpAddr>,
    pub(super) last_heard: Instant,
    pub(super) flow: Flow,
    /// How many SPMs and data packets were heard; stops counting at 255.
    pub(super) packets_heard: u8,
    /// Evidence that the session really belongs to this address.
    pub(super) proof: Proof,
    /// Another address that claims to be the source.
    pub(super) rival: Option<Rival>,
    /// Packets from another address since the last one from the source.
    pub(super) stranger_packets: u8,
    /// The number of the latest SPM, extended so that it does not wrap: its low 32 bits are SPM_SQN.
    spm_sqn: Option<u64>,
    /// SPMs since then whose numbers look old.
    old_spms: Run,
    /// Checks of jumps of SPM numbers, and of data.
    spm_leap: Leap,
    pub(super) data_leap: Leap,
    pub(super) window: Window,
    pub(super) parity: Option<Parity>,
    /// The last packets of short groups and the numbers of packets in these groups, kept until the length of full groups is known.
    short_groups: VecDeque<(u64, u32)>,
    pub(super) sink: Sink,
    /// Whether it is known where delivery begins.
    pub(super) begun: bool,
    /// Whether the application was told of the source.
    pub(super) announced: bool,
    /// The position at which delivery begins.
    pub(super) first: u64,
    pub(super) intervals: Intervals,
    pub(super) timers: Timers<Timer, { Timer::COUNT }>,
    /// The keys of the blocks under repair.
    pub(super) active: Vec<u64>,
    /// The keys of those blocks for which a NAK is due now.
    pub(super) due: Vec<u64>,
    /// How much may be asked for now.
    pub(super) credit: Credit,
    pub(super) spm_request: SpmRequest,
    /// Confirmations heard recently.
    pub(super) heard: Heard,
    /// Whether the search for gaps stopped before its end because there was no room.
    pub(super) waits_for_room: bool,
    /// Since when there is no room for repairs, or when one was last asked for in spite of that; `None` while there is room.
    pub(super) shortage: Option<Instant>,
    /// The length in bytes of the longest payload so far.
    pub(super) payload_len_max: usize,
    pub(super) held: Held,
    /// The last position of a session that its source has ended, and how. What is missing up to there is still repaired.
    pub(super) fin: Option<(u64, EndCause)>,
    /// Set when the session is over at once, whatever is still missing.
    pub(super) end: Option<EndCause>,
    /// Whether the peer is in the queue of peers that may have events, and in that of peers that may have something to send.
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

/// The way of delivery, with its state.
#[derive(Debug)]
pub(super) enum Sink {
    Ordered(Ordered),
    Bulk(Bulk),
}

/// The timers that a receiver has for each source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// A timer of a block's repair ends.
    Repair,
    /// An SPMR is due.
    Spmr,
    /// Delivery begins without having heard an SPM.
    Begin,
    /// The application's time to say what it already has ends.
    Front,
    /// The source may have been silent for too long.
    Expiry,
}

impl Timer {
    const COUNT: usize = <Self as timers::Timer>::ALL.len();
}

impl timers::Timer for Timer {
    const ALL: &'static [Timer] = &[Timer::Repair, Timer::Spmr, Timer::Begin, Timer::Front, Timer::Expiry];

    fn number(self) -> usize {
        self as usize
    }
}

impl Peer {
    /// A peer whose first packet, an SPM or data, is handled next.
    pub(super) fn new(now: Instant, session: Session, path: &Path, first: Seq, shared: &Shared) -> Self {
        let config = &shared.config;
        let mut timers = Timers::new();
        timers.set(Timer::Expiry, now + config.expiry);
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
            packets_heard: 0,
            proof: Proof::default(),
            rival: None,
            stranger_packets: 0,
            spm_sqn: None,
            old_spms: Run::default(),
            spm_leap: Leap::default(),
            data_leap: Leap::default(),
            first: window.floor(),
            window,
            parity: None,
            short_groups: VecDeque::new(),
            sink,
            begun: false,
            announced: false,
            intervals: Intervals::new(&config.nak),
            timers,
            active: Vec::new(),
            due: Vec::new(),
            credit: Credit::default(),
            spm_request: SpmRequest::default(),
            heard: Heard::default(),
            waits_for_room: false,
            shortage: None,
            payload_len_max: 0,
            held: Held::default(),
            fin: None,
            end: None,
            is_ready: false,
            is_sending: false,
        }
    }

    /// Whether only a single packet was heard, which anybody may have sent by mistake or under another's name.
    pub(super) fn was_heard_once(&self) -> bool {
        self.packets_heard < 2
    }

    /// Whether NAKs ask for parity of a group, not for single packets.
    pub(super) fn by_group(&self) -> bool {
        self.parity.is_some_and(|parity| parity.on_demand)
    }

    /// Handles an SPM (RFC 3208 §6.2).
    pub(super) fn handle_spm(&mut self, now: Instant, path: &Path, spm: &Spm, shared: &mut Shared) {
        if !self.is_in_sequence(spm) {
            shared.stats.spms_old += 1;
            return;
        }
        let WindowState::Known(edges) = spm.window else {
            self.take_path(spm.path);
            return;
        };
        let lead = self.window.position(edges.lead());
        // Counted back from the lead: taken alone, a trail far behind may be nearer to a position ahead on the circle of numbers.
        let trail = lead + 1 - u64::from(edges.len());
        if !self.may_reach(lead) {
            shared.stats.leaps += 1;
            return;
        }
        shared.stats.spms += 1;
        self.heard_from(now);
        self.take_path(spm.path);
        (self.group, self.interface) = (path.to, path.interface);
        self.spm_answered();
        if let Some(interval) = spm.options.backoff_interval.filter(|interval| interval.poll_sqn == Seq(0)) {
            self.intervals.told(u64::from(interval.interval_us) * 1000);
        }
        if let Some(parity) = spm.options.parity {
            let group_len = u8::try_from(parity.tgsize()).unwrap_or(0);
            let (pro_active, on_demand) = (parity.pro_active(), parity.on_demand());
            self.learn_parity(Parity { group_len, pro_active, on_demand }, shared);
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
        match (spm.options.fin, spm.options.reset) {
            // With OPT_FIN, a reset says that more was meant to come; without the N bit, NAKs are still answered (§9.8.1).
            (true, reset) if !reset.is_some_and(Reset::no_repair) => {
                self.fin = Some((lead, reset.map_or(EndCause::Fin, EndCause::Reset)));
            }
            (_, Some(reset)) => _ = self.end.get_or_insert(EndCause::Reset(reset)),
            _ => {}
        }
        if let Some(silent_ns) = self.flow.ceased(now) {
            self.repairs_ceased(now, silent_ns);
        }
        self.detect(now, shared);
    }

    /// Whether a packet may be true that says that there are packets up to a position: if that is far ahead, others must agree. None
    /// may be so far ahead of what is still to be delivered, or reported lost, that sequence numbers do not tell which one comes first.
    pub(super) fn may_reach(&mut self, position: u64) -> bool {
        let known = self.window.reference();
        let skipped_from = match &self.sink {
            Sink::Ordered(ordered) => ordered.skipped_from(),
            Sink::Bulk(_) => None,
        };
        position < skipped_from.unwrap_or(self.window.floor()) + SPAN_MAX
            && self.data_leap.admit(position, known, HORIZON)
    }

    fn take_path(&mut self, path: IpAddr) {
        if self.path.replace(path).is_some_and(|before| before != path) {
            self.credit.moved();
        }
    }

    pub(super) fn heard_from(&mut self, now: Instant) {
        self.last_heard = now;
        self.credit.heard();
        self.packets_heard = self.packets_heard.saturating_add(1);
        self.stranger_packets = 0;
    }

    /// An SPM is in sequence if its number is greater than that of the last one (§6.2). A number far ahead must be confirmed by
    /// others: otherwise a single forged SPM would make all true ones look old. A forged SPM that is less far ahead does so only for a
    /// short time: a run of SPMs that look old is taken for the true ones.
    fn is_in_sequence(&mut self, spm: &Spm) -> bool {
        let Some(last) = self.spm_sqn else {
            self.spm_sqn = Some(SPM_ORIGIN + u64::from(spm.sqn.0));
            return true;
        };
        let distance = spm.sqn.signed_distance_from(Seq(last as u32));
        let sqn = last.saturating_add_signed(distance.into());
        let is_true = if distance > 0 {
            self.spm_leap.admit(sqn, last, SPM_HORIZON)
        } else {
            self.old_spms.note(spm.sqn);
            self.old_spms.steps() >= OLD_STEPS
        };
        if is_true {
            self.spm_sqn = Some(sqn);
            self.old_spms = Run::default();
        }
        is_true
    }

    /// Decides by the first SPM where delivery begins: as far back as the source and the limits allow, or with the first packet.
    fn begin(&mut self, spm: &Spm, lead: u64, trail: u64, shared: &Shared) {
        self.begun = true;
        self.timers.stop(Timer::Begin);
        // Once the trailing edge has advanced past the first packet, what is before it is gone.
        let may_reach_back = self.window.trail() <= self.first;
        if let (Some(join), JoinWish::History { .. }, true) =
            (spm.options.join, shared.config.join, may_reach_back)
        {
            let mut first = self.window.position(join).clamp(trail, lead.max(trail) + 1);
            if let Sink::Ordered(_) = self.sink {
                first = first.max((lead + 1).saturating_sub(shared.config.limits.packets.into()));
                if self.parity.is_some() {
                    // A position inside a group may be one that a short group leaves out.
                    let next = self.window.start(self.window.key(first) + 1);
                    let is_start = first == self.window.start(self.window.key(first));
                    first = if is_start { first } else { next.min(lead + 1) };
                }
            }
            self.window.begin_earlier(first);
            self.first = self.first.min(first);
        }
    }

    pub(super) fn advance_trail(&mut self, trail: u64, shared: &mut Shared) {
        let Sink::Bulk(bulk) = &mut self.sink else {
            // In order, the loss is found when delivery gets there.
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

    /// Learns that the source provides parity: its groups become the blocks of the window.
    fn learn_parity(&mut self, parity: Parity, shared: &Shared) {
        // A group length that the code cannot handle counts as no parity; and a session keeps its group length (§11.2).
        let is_usable = (2..=128).contains(&parity.group_len);
        if !is_usable || self.parity.is_some() {
            return;
        }
        self.parity = Some(parity);
        // Blocks are divided even if their length stays the same: repair and memory follow other rules with parity.
        self.active.clear();
        self.due.clear();
        for (start, block) in self.window.set_block_len(parity.group_len) {
            self.divide(start, &block, shared);
        }
        for (last, size) in mem::take(&mut self.short_groups) {
            let Place { key, index, .. } = self.window.place(last);
            let may_have_state = !self.window.is_past(key) && self.has_room_for_block(key, shared);
            if may_have_state && size == u32::from(index) + 1 {
                self.window.ensure(key).set_size(index + 1);
            }
        }
        self.held = Held::default();
        for (_, hold) in self.window.holds_from_newest() {
            self.held.blocks += 1;
            self.held.bytes += hold.len();
        }
    }

    /// Divides the state of an earlier block, which began at `start`, among the groups of its packets, as far as there is room for them:
    /// packets of others are asked for again.
    fn divide(&mut self, start: u64, block: &Block, shared: &Shared) {
        let is_ordered = matches!(self.sink, Sink::Ordered(_));
        for old_index in runs(block.present | block.lost).flatten() {
            let Place { key, index, .. } = self.window.place(start + u64::from(old_index));
            if self.window.is_past(key) || !self.has_room_for_block(key, shared) {
                continue;
            }
            let group = self.window.ensure(key);
            if block.present & 1 << old_index == 0 {
                group.lost |= 1 << index;
                continue;
            }
            match block.hold.as_ref().and_then(|hold| hold.data(old_index)) {
                Some(Tsdu { payload, fragment }) => {
                    group.hold.get_or_insert_default().push(index, payload, Extra::Data(fragment));
                }
                // A packet that was delivered without being kept does not help to decode the group.
                None if is_ordered => continue,
                None => {}
            }
            group.present |= 1 << index;
        }
    }

    /// Records the last packet of a short group while it is not known where groups begin.
    #[cold]
    pub(super) fn note_short_group(&mut self, last: u64, size: u32) {
        if self.short_groups.len() == SHORT_GROUPS_MAX {
            self.short_groups.pop_front();
        }
        self.short_groups.push_back((last, size));
    }

    /// Closes the group of an SPM's lead if the lead ends it, and learns its length if it is a short one (§11.4).
    fn close_at(&mut self, lead: u64, spm: &Spm, shared: &mut Shared) {
        let key = self.window.key(lead);
        // A short group whose last packet was delivered is not past yet: the floor still has to pass the positions that it leaves out.
        if self.parity.is_none() || self.window.is_past(key) {
            return;
        }
        // If there is no room for the group now, a later SPM says it again.
        if !self.has_room_for_block(key, shared) {
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
}

/// Steps ahead that are accepted at once: of data, and of SPM numbers.
const HORIZON: u64 = 1 << 16;
const SPM_HORIZON: u64 = 1 << 10;
/// Half of the sequence numbers.
pub(super) const SPAN_MAX: u64 = 1 << 31;
/// Added to the first SPM number, so that the count can also go back.
const SPM_ORIGIN: u64 = 1 << 62;
/// How many steps a run of SPMs that look old must have to be taken for the true ones.
const OLD_STEPS: u8 = 3;
/// How many short groups are remembered before the first SPM says how long groups are.
const SHORT_GROUPS_MAX: usize = 64;
