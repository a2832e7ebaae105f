//! A run: builds the world from its options, runs it, and judges it.

use std::rc::Rc;
use std::time::Duration;

use campanile_pgm::Tsi;
use campanile_pgm::source::SourceConfig;
use campanile_pgm::wire::NakList;

use super::address;
use super::canary::Canary;
use super::content::Content;
use super::due::due;
use super::hostile::Hostile;
use super::join::Share;
use super::node::Node;
use super::options::{Fault, Options, ReceiverOptions, SourceOptions};
use super::receiver_node::{ReceiverNode, Records};
use super::source_node::SourceNode;
use super::summary::Summary;
use super::violation::{Promise, Violation};
use crate::{Attachment, Log, PartyId, Rng, Step, Time, World};

/// Runs a world and judges it.
///
/// # Errors
///
/// The first broken promise.
pub fn run(options: &Options, canary: Option<Canary>) -> Result<Summary, Violation> {
    finish(Scenario::new(options, canary))
}

/// As [`run`], and calls `log` with each packet that is sent.
///
/// # Errors
///
/// The first broken promise.
pub fn run_logged(options: &Options, log: Log) -> Result<Summary, Violation> {
    let mut scenario = Scenario::new(options, None);
    scenario.world.set_log(log);
    finish(scenario)
}

fn finish(mut scenario: Scenario<'_>) -> Result<Summary, Violation> {
    scenario.live()?;
    scenario.judge()?;
    Ok(Summary::of(&scenario.world, scenario.options))
}

/// The multicast group that all parties are in, on the first interface.
const GROUP: u32 = 0;

/// A running world.
struct Scenario<'a> {
    options: &'a Options,
    canary: Option<Canary>,
    world: World<Node>,
    records: Records,
    alarms: Vec<Fault>,
    rng: Rng,
    /// When each receiver that must get everything has to have it.
    due: Time,
}

impl<'a> Scenario<'a> {
    fn new(options: &'a Options, canary: Option<Canary>) -> Self {
        let mut rng = Rng::new(options.seed);
        let mut world = World::new(options.medium, rng.next_u64());
        let mut records = Vec::new();
        let mut contents = Vec::new();
        for (source, id) in options.sources.iter().zip((0..).map(PartyId)) {
            let content = Content::new(options.kind, source.bytes, source.longest, &mut rng);
            let content = Rc::new(match source.part_len {
                Some(part_len) => content.in_parts(part_len as usize),
                None => content,
            });
            contents.push(Rc::clone(&content));
            let mut source = source.clone();
            let further = 1..options.interfaces();
            source.config.endpoint.nla = address::of_party(id, 0);
            source.config.further = further.map(|interface| address::of_party(id, interface)).collect();
            source.config.endpoint.group = address::of_group(GROUP);
            let now = source.attachment.clock.local(Time::START);
            let node = SourceNode::new(now, &source, content, canary);
            records.push((source.config.endpoint.session.tsi, Rc::clone(node.record())));
            world.join(source.attachment, Node::Source(Box::new(node)));
        }
        let mut scenario = Self {
            options,
            canary,
            world,
            records: Rc::from(records),
            alarms: Vec::new(),
            rng,
            due: due(options, contents.iter().map(Rc::as_ref)),
        };
        scenario.seat_receivers();
        scenario.seat_hostile();
        for &(at, fault) in &options.faults {
            scenario.plan(at, fault);
        }
        scenario
    }

    fn seat_receivers(&mut self) {
        for (number, receiver) in (0..).zip(&self.options.receivers) {
            let node = self.receiver(number);
            let id = self.world.join(receiver.attachment, node);
            self.world.join_group(id, GROUP + receiver.interface);
            if receiver.joins > Time::START {
                self.world.crash(id);
                self.plan(receiver.joins, Fault::Revive(number));
            }
        }
    }

    fn seat_hostile(&mut self) {
        let Some(hostile) = self.options.hostile else { return };
        let victims = self.world.parties();
        let node = Hostile::new(self.rng.next_u64(), hostile.packets, hostile.interval, GROUP, victims);
        let id = self.world.join(Attachment::default(), Node::Hostile(Box::new(node)));
        self.world.join_group(id, GROUP);
    }

    fn receiver(&mut self, number: u32) -> Node {
        let options = &self.options.receivers[number as usize];
        let (records, rng) = (Rc::clone(&self.records), self.rng.fork());
        let node = ReceiverNode::new(options, records, &self.shares(), rng, self.canary);
        Node::Receiver(Box::new(node))
    }

    /// What sources let late joiners ask for. Empty where forged packets, or a source that ends early, may make receivers begin
    /// elsewhere.
    fn shares(&self) -> Vec<(Tsi, Share)> {
        let watched = (0..)
            .zip(&self.options.sources)
            .filter(|(source, _)| self.options.hostile.is_none() && !self.options.is_failing(*source));
        let of = |config: &SourceConfig| (config.endpoint.session.tsi, Share::of(config));
        watched.map(|(_, source)| of(&source.config)).collect()
    }

    fn plan(&mut self, at: Time, fault: Fault) {
        self.world.set_alarm(at, self.alarms.len() as u32);
        self.alarms.push(fault);
    }

    fn live(&mut self) -> Result<(), Violation> {
        let limit = self.limit();
        while self.world.next_time().is_some_and(|next| next <= limit) && !self.is_over() {
            match self.world.step() {
                Some(Step::Alarm(alarm)) => self.inject(self.alarms[alarm as usize]),
                Some(Step::Acted(id)) => self.watch(id)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Injects a fault.
    fn inject(&mut self, fault: Fault) {
        let id = |receiver: u32| PartyId(self.options.sources.len() as u32 + receiver);
        match fault {
            Fault::Crash(receiver) => drop(self.world.crash(id(receiver))),
            Fault::Revive(receiver) => {
                let node = self.receiver(receiver);
                self.world.revive(id(receiver), node);
            }
            Fault::Pause(receiver) => self.world.pause(id(receiver)),
            Fault::Resume(receiver) => self.world.resume(id(receiver)),
            Fault::Cut(receiver) => self.world.set_side(id(receiver), 1),
            Fault::Heal => self.world.heal(),
            Fault::Leave(receiver) => self.tell_receiver(id(receiver), ReceiverNode::leave),
            Fault::Rejoin(receiver) => self.tell_receiver(id(receiver), ReceiverNode::rejoin),
            Fault::Fail(source) => drop(self.world.crash(PartyId(source))),
            Fault::Abort(source, no_repair) => {
                self.tell_source(source, |node, now| node.abort(now, no_repair))
            }
            Fault::CutShort(source) => self.tell_source(source, SourceNode::cut_short),
            Fault::Rate(source, rate) => self.tell_source(source, |node, now| node.set_rate(now, rate)),
            Fault::Forget(source) => self.tell_source(source, |node, _| node.forget_losses()),
            Fault::Linger(source, linger) => {
                self.tell_source(source, |node, now| node.set_linger(now, linger))
            }
            Fault::Hold(source, packets) => self.tell_source(source, |node, now| node.hold(now, packets)),
            Fault::Release(source) => self.tell_source(source, SourceNode::release),
            Fault::Freeze(source) => self.world.pause(PartyId(source)),
            Fault::Thaw(source) => self.world.resume(PartyId(source)),
        }
    }

    fn tell_source(&mut self, source: u32, what: impl FnOnce(&mut SourceNode, Time)) {
        self.world.command(PartyId(source), |node, now| {
            if let Node::Source(node) = node {
                what(node, now);
            }
        });
    }

    fn tell_receiver(&mut self, id: PartyId, what: impl FnOnce(&mut ReceiverNode)) {
        self.world.command(id, |node, _| {
            if let Node::Receiver(node) = node {
                what(node);
            }
        });
    }

    fn watch(&self, id: PartyId) -> Result<(), Violation> {
        match self.world.party(id).and_then(Node::broken) {
            Some(promise) => self.broken(id, promise.clone()),
            None => self.judge_rest(id),
        }
    }

    /// Whether there is nothing more to observe: the sources' sessions and lingers are over, and all receivers could hear that.
    fn is_over(&self) -> bool {
        (0..self.options.sources.len() as u32).all(|source| {
            matches!(self.world.party(PartyId(source)), Some(Node::Source(node)) if node.is_over())
                && !self.options.leaves_early(source)
        })
    }

    /// When to stop the run in any case.
    fn limit(&self) -> Time {
        self.due + Duration::from_secs(30)
    }

    /// Checks what can only be checked at the end.
    fn judge(&self) -> Result<(), Violation> {
        let sources = self.options.sources.len() as u32;
        (0..self.world.parties()).try_for_each(|id| self.watch(PartyId(id)))?;
        for number in 0..self.options.receivers.len() as u32 {
            let id = PartyId(sources + number);
            if let Some(Node::Receiver(receiver)) = self.world.party(id) {
                self.judge_receiver(id, number, receiver)?;
            }
        }
        // A source may still be there because a receiver asks and asks.
        for id in (0..sources).map(PartyId) {
            if let Some(Node::Source(source)) = self.world.party(id) {
                self.judge_source(id, source)?;
            }
        }
        Ok(())
    }

    /// Checks that a source has left, and that NAKs do not grow with the number of receivers. A source confirms each new request once (RFC 3208 §5.2), so one NAK
    /// for each confirmation is the price of repair. Receivers sent the others without having heard of each other; they must be fewer
    /// than the data and repairs that caused them, and the numbers that short groups left out: a receiver that has not heard how short
    /// a group is asks for those, too, in lists where it cannot ask for parity.
    fn judge_source(&self, id: PartyId, source: &SourceNode) -> Result<(), Violation> {
        // A small window, the source's or a receiver's, may have to be waited for again and again.
        let keeps_all = self.options.sources[id.0 as usize].keeps_all;
        if !source.is_over() && keeps_all && self.world_keeps_up() {
            return self.broken(id, Promise::Departure);
        }
        let (naks, sent) =
            (source.naks(), self.world.counters(id).sent / u64::from(self.options.interfaces()));
        let asks_in_lists = !self.options.sources[id.0 as usize].offers_parity();
        let lists = source.record().borrow().left_out().div_ceil(NakList::MAX) * self.options.receivers.len();
        let bound = NAKS_FREE + sent + if asks_in_lists { lists as u64 } else { 0 };
        if naks > bound && self.options.hostile.is_none() {
            return self.broken(id, Promise::Naks { naks, sent });
        }
        Ok(())
    }

    /// Whether the applications of all receivers take, and answer, all that their machines give them.
    fn world_keeps_up(&self) -> bool {
        let is_hijacked = |id| match self.world.party(PartyId(id)) {
            Some(Node::Receiver(node)) => node.is_hijacked(),
            _ => false,
        };
        self.options.receivers.iter().all(ReceiverOptions::keeps_up)
            && !(0..self.world.parties()).any(is_hijacked)
    }

    /// Checks that the deadlines of a machine follow from the packets that it receives, and of a source also from those that it sends, but
    /// for a few in each second: a receiver that sent one packet after the other would be called for each of them. It is checked with each
    /// call, or a machine that is called again and again would be called without end.
    fn judge_rest(&self, id: PartyId) -> Result<(), Violation> {
        let counters = self.world.counters(id);
        let packets = match self.world.party(id) {
            Some(Node::Source(_)) => counters.received + counters.sent,
            Some(Node::Receiver(_)) => counters.received,
            Some(Node::Hostile(_)) | None => return Ok(()),
        };
        let seconds = (self.world.now() - Time::START).as_secs();
        let (timeouts, bound) = (counters.timeouts, TIMEOUTS_FREE * (1 + seconds) + 2 * packets);
        if timeouts > bound {
            return self.broken(id, Promise::Rest { timeouts, bound });
        }
        Ok(())
    }

    fn judge_receiver(&self, id: PartyId, number: u32, node: &ReceiverNode) -> Result<(), Violation> {
        let receiver = &self.options.receivers[number as usize];
        let (open, lost) = (node.open(), node.given_up());
        let done_at = node.done_at().map_or(self.world.now(), |at| receiver.attachment.clock.world(at));
        let late = done_at - self.due;
        let owed = self.options.is_owed_everything(number) && !node.is_hijacked();
        // A receiver that joins when everything was sent may lose all but one of the last SPMs.
        let cannot_know = open > 0 && open == node.unheard() && self.world.counters(id).lost > 0;
        let is_complete = lost == 0 && (cannot_know || open == 0 && late.is_zero());
        if owed && !is_complete {
            return self.broken(id, Promise::Convergence { open, lost, late });
        }
        let has_left = |source| match self.world.party(PartyId(source)) {
            Some(Node::Source(node)) => node.is_over(),
            _ => true,
        };
        let failed = (0..self.options.sources.len() as u32)
            .filter(|&source| self.options.is_failing(source) && has_left(source));
        let mut open = failed.filter(|&source| node.is_open(source)).count() as u32;
        let asks_to_the_end = receiver.keeps_up() && !node.is_hijacked();
        if self.is_over() && !self.options.has_failing_source() && asks_to_the_end {
            // Whatever it missed, it asked until it had it or gave it up, and sources stay that long.
            open = node.open().saturating_sub(node.unheard());
        }
        if open > 0 {
            return self.broken(id, Promise::Ending { open });
        }
        let sent = self.world.counters(id).sent;
        let untouched = self.world.is_undisturbed(id) && self.options.is_left_alone(number);
        if untouched && sent > 0 {
            return self.broken(id, Promise::Silence { sent });
        }
        let group_bytes = self.options.sources.iter().map(SourceOptions::group_bytes).max().unwrap_or(0);
        let bound = receiver.memory_bound(group_bytes);
        if node.memory() > bound {
            return self.broken(id, Promise::Memory { used: node.memory(), bound });
        }
        Ok(())
    }

    fn broken<T>(&self, party: PartyId, promise: Promise) -> Result<T, Violation> {
        Err(Violation { at: self.world.now(), party, promise })
    }
}

/// Deadlines that a machine may have in each second, however little it sends and receives: a source whose rate holds packets back
/// looks with each heartbeat whether one is due.
const TIMEOUTS_FREE: u64 = 250;

/// NAKs that a source may get, however little it sends.
const NAKS_FREE: u64 = 50;
