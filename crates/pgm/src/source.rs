//! The source of a transport session (RFC 3208 §5, §11.4).
//!
//! A [`Source`] numbers what is published, sends it at its rate, and keeps it for repair. It confirms NAKs and answers them with data
//! or parity, announces its window in SPMs, and lingers after the end until nobody asks any more.

mod adapt;
mod cache;
mod config;
mod confirm;
mod emit;
mod event;
mod group;
mod nak;
mod pack;
mod packed;
mod pages;
mod parity;
mod phase;
mod pro_active;
mod publish;
mod repairs;
mod share;
mod slots;
mod spm;
mod stats;
mod store;
mod train;
mod transmit;
mod window;

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
pub use config::{
    Advance, ConfigError, Endpoint, Join, Kept, Pace, ParityConfig, ProActive, RepairConfig, SourceConfig,
    SpmConfig, WindowConfig, WindowSize,
};
pub use event::{NotNeeded, OfferError, PublishError, SourceEvent};
pub use pack::Packer;
pub use packed::Packed;
pub use stats::SourceStats;

use self::adapt::Adapt;
use self::config::{N_MAX, RATE_MAX};
use self::confirm::Confirmations;
use self::parity::Encoder;
use self::phase::{End, Phase};
use self::pro_active::Owed;
use self::repairs::Repairs;
use self::share::Share;
use self::spm::Heartbeat;
use self::store::Store;
use self::window::{SPAN_MAX, Window};
use crate::instant::nanos;
use crate::pacer::Pacer;
use crate::path::{Path, Transmit};
use crate::rng::Rng;
use crate::timers::{self, Timers};
use crate::wire::{DataKind, Reset, Stamp};
use crate::{Instant, Seq};

/// The source of one transport session.
///
/// # Order of calls
///
/// After any input (`handle_train`, `handle_timeout`, or a command) ask [`Source::poll_transmit`] and [`Source::poll_event`] until
/// both say `None`, then wait for a train, for a command, or for [`Source::poll_timeout`].
///
/// # Bounds
///
/// Data take the memory of as many packets as the window holds, allocated on first use. The work of a call is proportional to the
/// packets that it is given or returns. Beyond that, a NAK touches at most 63 groups of 128 packets, and for each of them looks at up
/// to 1024 waiting repairs, a few nanoseconds each; `poll_transmit` makes at most 8 parity packets more than it returns.
#[derive(Debug)]
pub struct Source {
    config: SourceConfig,
    /// The headers of new data and of repairs, without options and parity.
    odata: Stamp,
    rdata: Stamp,
    window: Window,
    store: Store,
    /// Packs what is published here. The packet that it is filling waits behind those in the window.
    packer: Packer,
    /// Carries packets from the packer to the window: empty between calls, and kept for its memory.
    packed: Packed,
    /// The first sequence number of the APDU that is not complete yet.
    apdu: Option<Seq>,
    pacer: Pacer,
    share: Share,
    timers: Timers<Timer, { Timer::COUNT }>,
    heartbeat: Heartbeat,
    confirmations: Confirmations,
    repairs: Repairs,
    encoder: Option<Encoder>,
    adapt: Option<Adapt>,
    /// The pro-active parity that is being sent. New data wait for it.
    owed: Option<Owed>,
    /// Bytes of confirmations and SPMs sent while data or repairs waited, since data or repairs were last sent.
    urgent_bytes: usize,
    /// How many data packets may be sent in all.
    sent_max: u64,
    phase: Phase,
    signals: Signals,
    last_spm_at: Option<Instant>,
    eliminate_ns: u64,
    rng: Rng,
    stats: SourceStats,
}

/// Events that wait for [`Source::poll_event`].
#[derive(Debug, Default, Clone, Copy)]
struct Signals {
    /// A publish was refused because there was no room for this many new packets.
    refused: Option<u64>,
    drained: bool,
    finished: bool,
}

/// The timers of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// An ambient SPM is due.
    Ambient,
    /// A heartbeat SPM is due: nothing was sent for a while.
    Heartbeat,
    /// The oldest data reach the age at which they leave the window.
    Advance,
    /// The linger ends.
    Linger,
    /// The rate, or the gap between confirmations, allows something to be sent.
    Pace,
}

impl Timer {
    const COUNT: usize = <Self as timers::Timer>::ALL.len();
}

impl timers::Timer for Timer {
    const ALL: &'static [Timer] =
        &[Timer::Ambient, Timer::Heartbeat, Timer::Advance, Timer::Linger, Timer::Pace];

    fn number(self) -> usize {
        self as usize
    }
}

impl Source {
    /// A source that begins at once: its first SPM waits in [`Source::poll_transmit`].
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration.
    pub fn new(now: Instant, config: SourceConfig) -> Result<Self, ConfigError> {
        let derived = config.check()?;
        let Pace { bytes_per_second, overhead, burst } = config.pace;
        let eliminate_ns = nanos(config.repair.eliminate);
        let adapt = config.parity.and_then(|parity| match parity.pro_active {
            ProActive::Adaptive { target_percent } => {
                // Some symbols are left for parity on demand.
                let limit = (N_MAX - parity.group) / 4 * 3;
                Some(Adapt::new(target_percent, parity.on_demand, parity.group, limit))
            }
            ProActive::Off | ProActive::Fixed(_) => None,
        });
        let window = &config.window;
        let [odata, rdata] =
            [DataKind::Original, DataKind::Repair].map(|kind| kind.stamp(config.endpoint.session));
        let mut source = Source {
            odata,
            rdata,
            window: Window::new(
                config.first_sqn,
                derived.packets,
                derived.group_len,
                window.increment_percent,
            ),
            store: Store::new(window.kept, &derived),
            packer: Packer::new(config.framing, derived.tsdu_len),
            packed: Packed::default(),
            apdu: None,
            pacer: Pacer::new(bytes_per_second, overhead.into(), burst, config.packet_len),
            share: Share::new(config.repair.share_percent),
            timers: Timers::new(),
            heartbeat: Heartbeat::new(&config.spm),
            confirmations: Confirmations::new(eliminate_ns, derived.group_len),
            repairs: Repairs::new(eliminate_ns, derived.packets, derived.group_len),
            encoder: config.parity.map(|parity| Encoder::new(parity.group, derived.tsdu_len)),
            adapt,
            owed: None,
            urgent_bytes: 0,
            sent_max: u64::MAX,
            phase: Phase::Open,
            signals: Signals::default(),
            last_spm_at: None,
            eliminate_ns,
            rng: Rng::new(config.seed),
            stats: SourceStats::default(),
            config,
        };
        let ambient = source.heartbeat.ambient(source.config.spm.ambient);
        source.timers.set(Timer::Ambient, now + ambient);
        source.restart_heartbeat(now);
        Ok(source)
    }

    /// Handles a train of datagrams of `stride` bytes each, of which the last may be shorter: NAKs and SPMRs. Never fails: what is
    /// malformed, or not for a source, is counted and dropped.
    pub fn handle_train(&mut self, now: Instant, path: &Path, stride: usize, bytes: &[u8]) {
        if path.ecn == Path::CE {
            self.stats.ecn_ce += 1;
        }
        if bytes.is_empty() {
            self.handle_datagram(now, bytes);
        }
        bytes.chunks(stride.max(1)).for_each(|datagram| self.handle_datagram(now, datagram));
    }

    /// Does what is due. An early call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Ambient => {
                    self.heartbeat.spm_due = true;
                    let ambient = self.heartbeat.ambient(self.config.spm.ambient);
                    self.timers.set(Timer::Ambient, now + ambient);
                }
                Timer::Heartbeat => {
                    self.end_burst(now);
                    if self.has_work() && self.pacer.opens_at() + self.config.spm.heartbeat_min > now {
                        // Packets that the rate holds back, or has just released, tell receivers soon that the source is alive.
                        self.restart_heartbeat(now);
                    } else {
                        self.heartbeat.spm_due = true;
                        self.timers.set(Timer::Heartbeat, now + self.heartbeat.beat());
                    }
                }
                Timer::Advance => self.advance_with_time(now),
                Timer::Linger => self.end_linger(now),
                // poll_transmit is called next and sends what may leave now.
                Timer::Pace => {}
            }
        }
    }

    /// Announces how many bytes, kept elsewhere, are to be sent. They are cut into packets of [`Source::tsdu_len`] bytes of which only
    /// the last may be shorter: the packet of sequence number `first_sqn` + i begins at byte i · `tsdu_len`. Framing is not used.
    ///
    /// # Errors
    ///
    /// A source takes one offer, of at most 2^30 packets, and only if its data are kept elsewhere.
    pub fn offer(&mut self, now: Instant, bytes: u64) -> Result<(), OfferError> {
        let Store::Elsewhere(cache) = &mut self.store else { return Err(OfferError::KeptHere) };
        if self.phase != Phase::Open {
            return Err(OfferError::Finished);
        }
        if cache.packets() > 0 {
            return Err(OfferError::Again);
        }
        if bytes == 0 || bytes.div_ceil(self.packer.tsdu_len() as u64) > SPAN_MAX {
            return Err(OfferError::Size);
        }
        cache.offer(bytes);
        self.timers.set(Timer::Pace, now);
        self.refill();
        Ok(())
    }

    /// Takes the bytes that [`SourceEvent::Need`] asked for, without a copy, and leaves a buffer in their place that it no longer
    /// uses, with arbitrary contents.
    ///
    /// # Errors
    ///
    /// Only a range that was asked for is taken, and only once. Bytes that are not taken stay in `bytes`.
    pub fn supply(&mut self, now: Instant, range: &Range<u64>, bytes: &mut Vec<u8>) -> Result<(), NotNeeded> {
        let Store::Elsewhere(cache) = &mut self.store else { return Err(NotNeeded) };
        if !cache.supply(range, bytes) {
            return Err(NotNeeded);
        }
        self.timers.set(Timer::Pace, now);
        Ok(())
    }

    /// Marks the end of a burst: once everything that waits has been sent, a partial transmission group is closed without waiting for
    /// the heartbeat, so that its repair can begin.
    pub fn flush(&mut self, now: Instant) {
        if self.packer.end_burst() {
            return;
        }
        if self.window.waiting() == 0 {
            self.end_burst(now);
        } else if self.closes_groups() {
            self.window.close_group();
        }
    }

    /// Ends the session: what waits is still sent, then SPMs say that it is over, and repair continues through the linger.
    pub fn finish(&mut self, now: Instant) {
        self.drain(now, End::Finished);
    }

    /// Ends a session that is incomplete: as [`Source::finish`], but the SPMs also carry `reset`.
    pub fn cut(&mut self, now: Instant, reset: Reset) {
        self.drain(now, End::Cut(reset));
    }

    /// Changes how long repair continues after the end; if the linger has begun, counted from now.
    pub fn set_linger(&mut self, now: Instant, linger: Duration) {
        self.config.spm.linger = linger;
        if let Phase::Lingering { latest, .. } = &mut self.phase {
            *latest = now + linger.saturating_mul(LINGER_MOST);
            self.timers.set(Timer::Linger, now + linger);
        }
    }

    /// Aborts the session: what waits is not sent any more, and SPMs carry `reset` through the linger.
    pub fn reset(&mut self, now: Instant, reset: Reset) {
        if self.phase == Phase::Over {
            return;
        }
        self.owed = None;
        if reset.no_repair() {
            self.repairs.clear();
        }
        self.linger(now, End::Aborted(reset));
    }

    /// Changes the rate from now on, in bytes a second, clamped to the range from 1 to 10^14.
    pub fn set_rate(&mut self, now: Instant, bytes_per_second: u64) {
        let bytes_per_second = bytes_per_second.clamp(1, RATE_MAX);
        self.config.pace.bytes_per_second = bytes_per_second;
        self.pacer.set_rate(now, bytes_per_second);
        self.timers.set(Timer::Pace, now);
    }

    /// Limits how many data packets may be sent, counted from the start of the session. Further ones wait; repairs, parity, SPMs and
    /// confirmations do not.
    pub fn set_sent_max(&mut self, now: Instant, packets: u64) {
        if packets > self.sent_max {
            self.timers.set(Timer::Pace, now);
        }
        self.sent_max = packets;
    }

    /// The next train to send; call it only while a transmit slot is free. A longer buffer gets longer trains.
    ///
    /// # Panics
    ///
    /// When the buffer is shorter than the configuration's `packet_len`, or, with further addresses, than an SPM or a confirmation for
    /// each address: 316 bytes each at most.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        let (transmit, lent) = self.poll_train(now, buffer)?;
        if let Some(train) = lent {
            buffer[..train.len()].copy_from_slice(&train);
        }
        Some(transmit)
    }

    /// As [`Source::poll_transmit`], but packets that are contiguous in the window's memory are returned as they are, without a copy.
    /// Any other train is in the buffer, whose length limits both.
    ///
    /// # Panics
    ///
    /// As [`Source::poll_transmit`].
    pub fn poll_train(&mut self, now: Instant, buffer: &mut [u8]) -> Option<(Transmit, Option<Bytes>)> {
        assert!(buffer.len() >= self.config.packet_len, "a transmit buffer holds a packet");
        self.transmit(now, buffer)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SourceEvent> {
        if let Store::Elsewhere(cache) = &mut self.store
            && let Some(range) = cache.next_need()
        {
            return Some(SourceEvent::Need(range));
        }
        if let Some(packets) = self.signals.refused
            && self.waiting() <= self.queue_max() / 2
            && self.may_take(packets)
        {
            self.signals.refused = None;
            return Some(SourceEvent::Writable);
        }
        if std::mem::take(&mut self.signals.drained) {
            return Some(SourceEvent::Drained);
        }
        std::mem::take(&mut self.signals.finished).then_some(SourceEvent::Finished)
    }

    /// The latest moment at which to call [`Source::handle_timeout`] and [`Source::poll_transmit`] again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.timers.next();
        (next != Instant::FAR_FUTURE).then_some(next)
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &SourceStats {
        &self.stats
    }

    /// The payload length of a full packet.
    #[must_use]
    pub fn tsdu_len(&self) -> usize {
        self.packer.tsdu_len()
    }

    /// The length of the longest message, or part of one, that can be published: what fills half the window.
    #[must_use]
    pub fn message_len_max(&self) -> u64 {
        self.packer.capacity(self.queue_max())
    }

    /// The transmit window: what was sent and can be repaired.
    #[must_use]
    pub fn window(&self) -> crate::wire::Window {
        self.window.edges()
    }

    /// How many packets the window holds, of which half may wait to be sent.
    #[must_use]
    pub fn window_packets(&self) -> u64 {
        self.window.capacity()
    }

    /// The rate, in bytes a second.
    #[must_use]
    pub fn bytes_per_second(&self) -> u64 {
        self.config.pace.bytes_per_second
    }

    /// How many data packets were sent up to and including a sequence number; `None` for one that was not sent or has left the window.
    /// Numbers that a short group left out do not count.
    #[must_use]
    pub fn packets_until(&self, sqn: Seq) -> Option<u64> {
        let position = self.window.position(sqn)?;
        Some(self.window.packet(position)? + 1)
    }

    /// How many data packets were made before a sequence number; `None` for one that has left the window, or is far ahead of it.
    #[must_use]
    pub fn packets_before(&self, sqn: Seq) -> Option<u64> {
        self.window.packets_before(sqn)
    }

    /// When the latest packet was sent of the group that a sequence number is in; `None` for a number that is not in the window.
    #[must_use]
    pub fn sent_at(&self, sqn: Seq) -> Option<Instant> {
        let group = self.window.group(self.window.group_of(self.window.position(sqn)?))?;
        (group.sent_at != Instant::FAR_FUTURE).then_some(group.sent_at)
    }

    /// When the rate allows new data to be sent; not after `now` if it does already.
    pub fn opens_at(&mut self, now: Instant) -> Instant {
        if self.pacer.is_open(now) { now } else { self.pacer.opens_at() }
    }

    /// How many packets wait to be sent, including one that is still being filled.
    fn waiting(&self) -> u64 {
        self.window.waiting() + u64::from(self.packer.is_open())
    }

    /// How many packets may wait.
    fn queue_max(&self) -> u64 {
        config::queue_max(self.window.capacity())
    }

    /// Makes packets as they are needed: from what was offered, or by closing the open packet when no other one waits.
    #[inline]
    fn refill(&mut self) {
        if let Store::Elsewhere(cache) = &self.store {
            self.make_packets(cache.packets());
        } else if self.window.waiting() == 0 && self.packer.is_open() {
            self.packer.close();
            self.take_in();
        }
    }

    #[inline(never)]
    fn make_packets(&mut self, total: u64) {
        while self.window.made() < total && self.window.waiting() < u64::from(self.window.group_len()) {
            if self.config.window.advance == Advance::Data {
                self.window.make_room(1);
            }
            if self.window.room() == 0 {
                return;
            }
            self.window.append();
        }
        // The last group of all is closed before it is sent, so that its last packet can say that it is a short one.
        if self.window.made() == total && self.config.parity.is_some() {
            self.window.close_group();
        }
    }

    /// A burst may be over: if everything was sent, closes a partial transmission group and announces it in an SPM (RFC 3208 §11.4).
    fn end_burst(&mut self, now: Instant) {
        if self.closes_groups() && self.waiting() == 0 && self.window.is_group_open() {
            self.window.close_group();
            self.group_completed(now);
            self.schedule_advance();
            self.heartbeat.spm_due = true;
        }
    }

    /// Whether groups may be closed early. That leaves holes in the sequence numbers, which are not allowed where a packet's number
    /// determines its place in the data (those kept elsewhere), nor within an APDU.
    fn closes_groups(&self) -> bool {
        self.config.parity.is_some() && matches!(self.store, Store::Here(_)) && self.apdu.is_none()
    }

    fn advance_with_time(&mut self, now: Instant) {
        if let Advance::Time(age) = self.config.window.advance {
            self.window.advance_to_age(Instant(now.0.saturating_sub(nanos(age))));
            self.schedule_advance();
        }
    }

    /// Sets the timer for the oldest groups, once they are complete and sent: until then they stay, however old they are.
    fn schedule_advance(&mut self) {
        if let (Advance::Time(age), Some(sent_at)) =
            (self.config.window.advance, self.window.oldest_sent_at())
        {
            self.timers.set(Timer::Advance, sent_at + age);
        }
    }

    /// If everything was sent, signals it, and enters the linger if the session is finished.
    #[inline]
    fn check_drained(&mut self, now: Instant) {
        if !self.is_drained() {
            return;
        }
        self.signals.drained = true;
        if let Phase::Draining { end } = self.phase {
            self.linger(now, end);
        }
    }

    /// Whether everything that was published was sent, together with the parity that follows it.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        !self.has_unsent() && self.owed.is_none()
    }

    /// Whether packets wait to be sent, or are still to be made from what was offered.
    fn has_unsent(&self) -> bool {
        let offered = match &self.store {
            Store::Elsewhere(cache) => cache.packets(),
            Store::Here(_) => 0,
        };
        self.waiting() > 0 || self.window.made() < offered
    }

    /// Takes no more data, and lingers once everything was sent.
    fn drain(&mut self, now: Instant, end: End) {
        if self.phase == Phase::Open {
            // The rest of an APDU does not come any more: receivers can repair its last group only if they know how short that is.
            self.apdu = None;
            self.flush(now);
            self.phase = Phase::Draining { end };
            if self.is_drained() {
                self.linger(now, end);
            }
        }
    }

    fn linger(&mut self, now: Instant, end: End) {
        let linger = self.config.spm.linger;
        self.phase = Phase::Lingering { end, latest: now + linger.saturating_mul(LINGER_MOST) };
        self.timers.set(Timer::Linger, now + linger);
        // OPT_FIN and OPT_RST are sent at once (RFC 3208 §9.7.2, §9.8.2).
        self.heartbeat.spm_due = true;
        self.restart_heartbeat(now);
    }

    /// Ends the session, unless repairs wait that were asked for: a slow source may send them for longer than a linger, and meanwhile
    /// receivers do not ask again.
    fn end_linger(&mut self, now: Instant) {
        if let Phase::Lingering { latest, .. } = self.phase
            && self.repairs.len() > 0
            && now < latest
        {
            return self.timers.set(Timer::Linger, (now + self.config.spm.linger).min(latest));
        }
        self.phase = Phase::Over;
        self.signals.finished = true;
        self.timers = Timers::new();
    }

    fn restart_heartbeat(&mut self, now: Instant) {
        self.heartbeat.restart();
        self.timers.set(Timer::Heartbeat, now + self.heartbeat.beat());
    }
}

/// NAKs may prolong a linger up to this many times its configured length.
const LINGER_MOST: u32 = 10;
