//! A source in the world: its machine, its application, and the oracles that watch what it sends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use campanile_pgm::source::{Join, Packed, Packer, PublishError, Source, SourceEvent};
use campanile_pgm::wire::Reset;
use campanile_pgm::{Instant, Seq};

use super::address;
use super::canary::Canary;
use super::content::{Content, Kind};
use super::interfaces::Interfaces;
use super::options::{Feed, SourceOptions, group_len};
use super::pulse::Pulse;
use super::rate::RateOracle;
use super::record::Record;
use super::repair_share::RepairShare;
use super::violation::{Promise, TOLD_MOST};
use crate::{Path, Time, Transmit};

/// A source party.
#[derive(Debug)]
pub struct SourceNode {
    machine: Source,
    content: Rc<Content>,
    record: Rc<RefCell<Record>>,
    feed: Feed,
    packet_len: usize,
    overhead: u64,
    /// The size of the blocks of packets by which NAKs are counted: a group, or 64 without parity.
    counted_by: usize,
    rate: RateOracle,
    repair_share: RepairShare,
    interfaces: Interfaces,
    /// How many packets of new data it has sent, and how many it may send.
    data_sent: u64,
    data_most: u64,
    /// The next message, or byte of a stream, to be published, and how many bytes of the message were published already.
    next: usize,
    next_part: usize,
    /// Bytes that have arrived at the application and were not published yet.
    budget: u64,
    next_burst: Option<Time>,
    /// The application's own packer, if it has one, and what was packed and not taken yet.
    packer: Option<Packer>,
    packed: Packed,
    /// How long it takes to supply what the machine asks for, and what is on its way.
    disk: Duration,
    answers: VecDeque<(Time, Range<u64>)>,
    /// Whether the machine refused a publish because it had no room, until it says that it has some.
    blocked: bool,
    finished: bool,
    aborted: bool,
    over: bool,
    /// The events of its machine.
    told: Pulse,
    /// NAKs by the block of the packet that they ask for first.
    naks: Vec<u32>,
    canary: Option<Canary>,
    broken: Option<Promise>,
}

impl SourceNode {
    pub(crate) fn new(
        now: Time,
        options: &SourceOptions,
        content: Rc<Content>,
        canary: Option<Canary>,
    ) -> Self {
        let mut config = options.config.clone();
        let repair_share = RepairShare::new(config.repair.share_percent);
        match canary {
            Some(Canary::Lavish) => config.window.join = Join::All,
            Some(Canary::Greedy) => config.repair.share_percent = 100,
            _ => {}
        }
        let machine = Source::new(Instant(now.0), config.clone()).expect("drawn configurations are valid");
        let pace = config.pace;
        let overhead = u64::from(pace.overhead);
        let two_packets = 2 * (config.packet_len as u64 + overhead);
        let rate = RateOracle::new(pace.bytes_per_second, pace.burst, two_packets);
        let (first_sqn, tsdu_len) = (config.first_sqn.0, machine.tsdu_len() as u64);
        let record = Record::new(Rc::clone(&content), first_sqn, group_len(&config), tsdu_len);
        let record = Rc::new(RefCell::new(record));
        Self {
            machine,
            content,
            record,
            feed: options.feed,
            packet_len: config.packet_len,
            overhead,
            counted_by: config.parity.map_or(64, |parity| parity.group.into()),
            rate,
            repair_share,
            interfaces: Interfaces::new(1 + config.further.len() as u32),
            data_sent: 0,
            data_most: u64::MAX,
            next: 0,
            next_part: 0,
            budget: 0,
            next_burst: Some(now),
            packer: options.packs.then(|| Packer::new(config.framing, tsdu_len as usize)),
            packed: Packed::default(),
            disk: options.disk,
            answers: VecDeque::new(),
            blocked: false,
            finished: false,
            aborted: false,
            over: false,
            told: Pulse::default(),
            naks: Vec::new(),
            canary,
            broken: None,
        }
    }

    /// The machine.
    pub fn machine(&self) -> &Source {
        &self.machine
    }

    /// NAKs that reached it before its session was over.
    pub fn naks(&self) -> u64 {
        self.naks.len() as u64
    }

    /// NAKs that reached it, by the transmission group (or block of 64 packets) that they ask for first.
    pub fn naks_by_group(&self) -> Vec<u32> {
        let record = self.record.borrow();
        let mut counts = vec![0; (record.packets() as usize).div_ceil(self.counted_by)];
        for index in self.naks.iter().filter_map(|&sqn| record.index(sqn)) {
            counts[index / self.counted_by] += 1;
        }
        counts
    }

    /// Bytes of payload that it publishes in all.
    pub fn useful(&self) -> u64 {
        self.content.useful()
    }

    /// Whether its session is over, including the linger.
    pub fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn record(&self) -> &Rc<RefCell<Record>> {
        &self.record
    }

    pub(crate) fn broken(&self) -> Option<&Promise> {
        self.broken.as_ref()
    }

    pub(crate) fn handle_train(&mut self, now: Time, path: Path, stride: usize, bytes: &[u8]) {
        bytes.chunks(stride.max(1)).for_each(|packet| self.note_nak(packet));
        self.machine.handle_train(Instant(now.0), &address::path(path, 0), stride, bytes);
        self.serve(now);
    }

    /// The application aborts the session.
    pub(crate) fn abort(&mut self, now: Time, no_repair: bool) {
        (self.finished, self.aborted) = (true, true);
        self.next_burst = None;
        self.machine.reset(Instant(now.0), Reset::new(no_repair, ABORTED).expect("a reason below 64"));
    }

    /// The application ends the session before everything was published.
    pub(crate) fn cut_short(&mut self, now: Time) {
        self.finished = true;
        self.next_burst = None;
        self.machine.cut(Instant(now.0), Reset::new(false, ABORTED).expect("a reason below 64"));
    }

    /// Changes the rate, in bytes a second.
    pub(crate) fn set_rate(&mut self, now: Time, bytes_per_second: u64) {
        self.machine.set_rate(Instant(now.0), bytes_per_second);
        self.rate.set_rate(now, bytes_per_second);
    }

    /// Its losses so far say nothing about later ones.
    pub(crate) fn forget_losses(&mut self) {
        self.machine.forget_losses();
    }

    /// Changes how long it repairs after its end.
    pub(crate) fn set_linger(&mut self, now: Time, linger: Duration) {
        self.machine.set_linger(Instant(now.0), linger);
    }

    /// Lets this many packets of new data be sent, and no more until the [`release`](Self::release).
    pub(crate) fn hold(&mut self, now: Time, packets: u64) {
        self.data_most = self.data_sent + packets;
        if self.canary != Some(Canary::Eager) {
            self.machine.set_sent_max(Instant(now.0), self.data_most);
        }
    }

    pub(crate) fn release(&mut self, now: Time) {
        self.data_most = u64::MAX;
        self.machine.set_sent_max(Instant(now.0), self.data_most);
    }

    fn note_nak(&mut self, packet: &[u8]) {
        const NAK: u8 = 0x08;
        if let Some(&[a, b, c, d]) = packet.get(16..20)
            && packet[4] == NAK
            && !self.over
        {
            self.naks.push(u32::from_be_bytes([a, b, c, d]));
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.machine.handle_timeout(Instant(now.0));
        self.serve(now);
    }

    pub(crate) fn poll_transmit(&mut self, now: Time, buf: &mut [u8]) -> Option<Transmit> {
        // What a machine sends without end must not keep the run from ending.
        if self.broken.is_some() {
            return None;
        }
        if let Some(transmit) = self.interfaces.poll(buf) {
            return Some(transmit);
        }
        let has_data = match self.next_train(now, buf) {
            // An event may need an answer before there is more to send.
            None if self.serve(now) => self.next_train(now, buf)?,
            has_data => has_data?,
        };
        self.watch(now, has_data);
        self.interfaces.poll(buf)
    }

    /// Takes the machine's next train; returns whether it could have been one of new data.
    fn next_train(&mut self, now: Time, buf: &mut [u8]) -> Option<bool> {
        let may_send = self.data_sent < self.data_most && !self.aborted;
        // New data of a file may wait for the disk.
        let has_data = !self.machine.is_drained() && may_send && self.content.kind() != Kind::File;
        let transmit = self.machine.poll_transmit(Instant(now.0), buf)?;
        self.interfaces.take(address::transmit(&transmit, 0), transmit.apart, buf);
        Some(has_data)
    }

    /// Checks the packets of the train that leaves now. `has_data` says whether new data waited when it was made.
    fn watch(&mut self, now: Time, has_data: bool) {
        for packet in self.interfaces.packets() {
            let len = packet.len() * if self.canary == Some(Canary::Length) { 2 } else { 1 };
            if len > self.packet_len {
                self.broken.get_or_insert(Promise::Length { len, bound: self.packet_len });
            }
            let times = if self.canary == Some(Canary::Rate) { 2 } else { 1 };
            for _ in 0..times {
                if let Err((sent, bound)) = self.rate.sent(now, packet.len() as u64 + self.overhead) {
                    self.broken.get_or_insert(Promise::Rate { sent, bound });
                }
            }
            if !self.record.borrow_mut().note(packet) {
                let sqn =
                    packet.get(16..20).and_then(|sqn| sqn.try_into().ok()).map_or(0, u32::from_be_bytes);
                self.broken.get_or_insert(Promise::Framing { sqn: Seq(sqn) });
            }
            match *packet {
                [_, _, _, _, ODATA, flags, ..] if flags & PARITY == 0 => {
                    self.data_sent += 1;
                    self.repair_share.data_sent(packet.len() as u64);
                    if self.data_sent > self.data_most {
                        let (sent, bound) = (self.data_sent, self.data_most);
                        self.broken.get_or_insert(Promise::Held { sent, bound });
                    }
                }
                [_, _, _, _, RDATA, ..] if has_data => {
                    let ahead = self.repair_share.repair_sent(packet.len() as u64);
                    // A train of each kind is sent as a whole.
                    let bound = self.rate.burst();
                    if ahead > bound {
                        self.broken.get_or_insert(Promise::RepairShare { ahead, bound });
                    }
                }
                _ => {}
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let machine = self.machine.poll_timeout().map(|at| Time(at.0));
        let answer = self.answers.front().map(|&(at, _)| at);
        machine.into_iter().chain(self.next_burst).chain(answer).min()
    }

    /// Lets the application act; returns whether it did anything.
    fn serve(&mut self, now: Time) -> bool {
        let mut acted = false;
        while let Some(at) = self.next_burst.filter(|&at| at <= now) {
            acted = true;
            match self.feed {
                Feed::AtOnce => {
                    self.budget = u64::MAX;
                    self.next_burst = None;
                }
                Feed::Bursts { bytes, every } => {
                    self.budget += u64::from(bytes);
                    self.next_burst = Some(at + every).filter(|_| !self.finished);
                }
            }
        }
        while let Some((_, range)) = self.answers.pop_front_if(|(at, _)| *at <= now) {
            acted = true;
            self.supply(now, &range);
        }
        while let Some(event) = self.machine.poll_event() {
            acted = true;
            if self.told.beat(now) > TOLD_MOST {
                self.broken.get_or_insert(Promise::Progress);
                break;
            }
            match event {
                SourceEvent::Need(range) if self.disk.is_zero() => self.supply(now, &range),
                SourceEvent::Need(range) => self.answers.push_back((now + self.disk, range)),
                SourceEvent::Writable => self.blocked = false,
                SourceEvent::Drained => {}
                SourceEvent::Finished => self.over = self.canary != Some(Canary::Clinging),
            }
        }
        self.publish(now) || acted
    }

    /// Supplies what was asked for.
    fn supply(&mut self, now: Time, range: &Range<u64>) {
        let mut bytes = self.content.bytes()[range.start as usize..range.end as usize].to_vec();
        self.machine.supply(Instant(now.0), range, &mut bytes).expect("it was asked for");
    }

    /// Publishes what has arrived at the application; returns whether there was anything.
    fn publish(&mut self, now: Time) -> bool {
        if self.finished || self.blocked || self.budget == 0 && self.packed.is_empty() {
            return false;
        }
        let now = Instant(now.0);
        if self.content.kind() == Kind::File {
            self.machine.offer(now, self.content.useful()).expect("it is the one offer");
            self.next = self.content.bytes().len();
        }
        let content = Rc::clone(&self.content);
        while let Some((piece, more)) = self.next_piece(&content) {
            match self.hand_over(now, piece, more) {
                Ok(()) => self.advance(piece.len(), more),
                Err(PublishError::Full) => {
                    self.blocked = true;
                    return true;
                }
                Err(error) => panic!("publishing is in order: {error}"),
            }
        }
        if self.push_rest(now).is_err() {
            self.blocked = true;
        } else if self.next == self.pieces() {
            self.finished = true;
            self.next_burst = None;
            self.machine.finish(now);
        } else {
            self.machine.flush(now);
        }
        true
    }

    /// Publishes a piece, by way of the packer if there is one; `more` of its message may follow.
    fn hand_over(&mut self, now: Instant, piece: &[u8], more: bool) -> Result<(), PublishError> {
        let Some(packer) = &mut self.packer else {
            return if more {
                self.machine.publish_part(now, piece)
            } else {
                self.machine.publish(now, piece)
            };
        };
        self.machine.push(now, &mut self.packed)?;
        packer.put(piece, more);
        packer.give(&mut self.packed);
        Ok(())
    }

    /// Goes on to what comes after a piece of this length.
    fn advance(&mut self, len: usize, more: bool) {
        self.budget = self.budget.saturating_sub(len as u64 + 1);
        self.next_part = if more { self.next_part + len } else { 0 };
        if !more {
            self.next += if self.content.kind() == Kind::Stream { len } else { 1 };
        }
    }

    /// Pushes all that is packed, with the packet that is being filled.
    fn push_rest(&mut self, now: Instant) -> Result<(), PublishError> {
        let Some(packer) = &mut self.packer else { return Ok(()) };
        self.machine.push(now, &mut self.packed)?;
        packer.end_burst();
        packer.close();
        packer.give(&mut self.packed);
        self.machine.push(now, &mut self.packed)
    }

    /// What is published next, if it has arrived at the application, and whether more of its message follows.
    fn next_piece<'a>(&self, content: &'a Content) -> Option<(&'a [u8], bool)> {
        const PIECE: usize = 2000;
        if self.budget == 0 || self.next == self.pieces() {
            return None;
        }
        Some(match content.kind() {
            Kind::Packed | Kind::Apdu => content.part(self.next, self.next_part),
            Kind::Stream | Kind::File => {
                let rest = &content.bytes()[self.next..];
                (&rest[..rest.len().min(PIECE)], false)
            }
        })
    }

    fn pieces(&self) -> usize {
        match self.content.kind() {
            Kind::Packed | Kind::Apdu => self.content.messages(),
            Kind::Stream | Kind::File => self.content.bytes().len(),
        }
    }
}

// Types of packets and a flag (RFC 3208 §8), independent of the machine's code.
const ODATA: u8 = 0x04;
const RDATA: u8 = 0x05;
const PARITY: u8 = 0x80;

/// The reason that an application gives for an abort.
const ABORTED: u8 = 7;
