//! The receiver of any number of transport sessions (RFC 3208 §6, §11.5).
//!
//! A [`Receiver`] finds the sources of a group and port, asks for the data that it misses, recovers them from parity where there is
//! some, and delivers them: in order, or in bulk, which means packet by packet as they come.

mod arrival;
mod assemble;
mod bits;
mod block;
mod blocks;
mod bulk;
mod config;
mod credit;
mod decode;
mod delivered;
mod event;
mod flow;
mod heard;
mod hold;
mod intervals;
mod leap;
mod lent;
mod messages;
mod nak;
mod order;
mod over;
mod packet_repair;
mod packets;
mod peer;
mod peers;
mod proof;
mod repair;
mod retries;
mod room;
mod shared;
mod spmr;
mod stats;
mod window;

pub use config::{Consumer, JoinWish, Limits, NakConfig, OnLoss, ReceiverConfig, Slow};
pub use event::{CommandError, EndCause, Event};
pub use messages::Messages;
pub use packets::{Packets, Run};
pub use stats::ReceiverStats;

use self::decode::Recovery;
use self::lent::Lent;
use self::order::Delivery;
use self::peer::{Peer, Sink, Timer};
use self::peers::Peers;
use self::proof::Rival;
use self::shared::{Pool, Shared};
use self::window::Window;
use crate::path::{Path, Transmit};
use crate::rng::Rng;
use crate::wire::{Body, Packet};
use crate::{Framing, Instant, Seq, Tsi};

/// The receiver of all sources of one group and port.
///
/// # Order of calls
///
/// After any input (`handle_train`, `handle_timeout`, or a command) call [`Receiver::poll_transmit`] and [`Receiver::poll_event`]
/// until both return `None`, then wait for a train, for a command, or until [`Receiver::poll_timeout`].
///
/// # Trust
///
/// Nothing here is authenticated. A packet belongs to a session if it has the session's identifier and comes from the session's
/// address: the first address that sent a run of packets, and until then the first one heard. Packets far ahead of all others are
/// believed once several agree. A source that was heard once is asked for little, and one that does not answer for less and less, so
/// that a forged packet does not cause a flood of NAKs. An attacker who can forge addresses and guess a session's sequence numbers, or
/// who forges a whole session before the true one begins, can still do harm.
///
/// # Bounds
///
/// [`Limits`] bound the sources, and the packets and bytes of each. In bulk the number of packets has no bound, but the records of
/// them have: at most 65,536 entries a source, some 20 MB, each for a group with gaps or for a run of groups without, beside the
/// groups under repair. The work for a packet does not depend on how far its number jumps; that for a timeout is bounded by the repairs
/// under way, at most [`NakConfig::outstanding`] for each source.
#[derive(Debug)]
pub struct Receiver {
    shared: Shared,
    peers: Peers,
    /// Nothing is due before this moment.
    next: Instant,
}

impl Receiver {
    /// The length that a transmit buffer must have at least, in bytes.
    pub const TRANSMIT_LEN: usize = 512;

    /// A receiver that knows no source yet.
    #[must_use]
    pub fn new(config: ReceiverConfig) -> Self {
        let config = config.bounded();
        Receiver {
            peers: Peers::new(&config),
            next: Instant::FAR_FUTURE,
            shared: Shared {
                rng: Rng::new(config.seed),
                stats: ReceiverStats::default(),
                recovery: Recovery::default(),
                pool: Pool::new(config.limits.bytes),
                lent: Lent::default(),
                config,
            },
        }
    }

    /// Handles a train of datagrams of `stride` bytes each; the last one may be shorter. Never fails: datagrams that are malformed or
    /// not for us are counted and dropped.
    pub fn handle_train(&mut self, now: Instant, path: &Path, stride: usize, bytes: &[u8]) {
        if path.ecn == Path::CE {
            self.shared.stats.ecn_ce += 1;
        }
        if bytes.is_empty() {
            self.handle_datagram(now, path, bytes);
        }
        bytes.chunks(stride.max(1)).for_each(|datagram| self.handle_datagram(now, path, datagram));
    }

    /// Does what is due. A call before its time does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        let mut next = Instant::FAR_FUTURE;
        for at in 0..self.peers.slots() {
            let Some(peer) = self.peers.get_mut(at) else { continue };
            peer.handle_timeout(now, &mut self.shared);
            next = next.min(peer.timers.next());
            self.peers.queue(at);
        }
        self.next = next;
    }

    /// The next packet to send; asked only while a transmit slot is free.
    ///
    /// # Panics
    ///
    /// When the buffer is shorter than [`Receiver::TRANSMIT_LEN`].
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        assert!(buffer.len() >= Self::TRANSMIT_LEN, "a transmit buffer holds a NAK list");
        while let Some(at) = self.peers.sending() {
            let peer = self.peers.get_mut(at)?;
            let transmit = peer.transmit(now, buffer, &mut self.shared);
            self.next = self.next.min(peer.timers.next());
            if transmit.is_some() {
                return transmit;
            }
            self.peers.sent(at);
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        let (at, delivery) = loop {
            let at = self.peers.ready()?;
            let Some(peer) = self.peers.get_mut(at) else {
                self.peers.done(at);
                continue;
            };
            if !peer.begun || peer.was_heard_once() {
                // A session that ends before it began is never reported.
                let is_over = peer.end.is_some();
                self.peers.done(at);
                if is_over {
                    self.peers.remove(at);
                }
                continue;
            }
            if !std::mem::replace(&mut peer.announced, true) {
                let (tsi, source, first) = (peer.session.tsi, peer.source, Window::seq(peer.first));
                return Some(Event::Start { tsi, source, first });
            }
            let delivery = match peer.sink {
                Sink::Ordered(_) => peer.deliver_in_order(&mut self.shared),
                Sink::Bulk(_) => peer.deliver_in_bulk(),
            };
            self.next = self.next.min(peer.timers.next());
            match delivery {
                Some(delivery) => break (at, delivery),
                None => self.peers.done(at),
            }
        };
        if let Delivery::End(cause) = delivery {
            let tsi = self.peers.get_mut(at)?.session.tsi;
            self.peers.end(at, cause);
            return Some(Event::End { tsi, cause });
        }
        self.peers.get_mut(at)?.event(delivery)
    }

    /// When to call [`Receiver::handle_timeout`] at the latest; it may turn out that nothing was due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.next != Instant::FAR_FUTURE).then_some(self.next)
    }

    /// Says that the application already has packets of a source (bulk): those from `first` to `last`, both included. Best called
    /// right after [`Event::Start`], or within the time of [`ReceiverConfig::front`]; the range with the very first packet should
    /// come last, since it ends that time.
    ///
    /// # Errors
    ///
    /// The source is not known, is not delivered in bulk, or `last` is before `first`.
    pub fn have(&mut self, now: Instant, tsi: Tsi, first: Seq, last: Seq) -> Result<(), CommandError> {
        let shared = &mut self.shared;
        self.peers.command(tsi, |peer| peer.have(now, first, last, shared))
    }

    /// Takes the packets of the group that [`Event::Need`] asked for, each at a multiple of `stride`, and decodes the missing ones.
    /// The places of packets that were not delivered may hold anything; only the last packet may be shorter than `stride`.
    ///
    /// # Errors
    ///
    /// The source is not known or is not delivered in bulk, the group was not asked for, or the bytes do not hold its packets, which
    /// are then asked for again.
    pub fn supply(
        &mut self,
        now: Instant,
        tsi: Tsi,
        first: Seq,
        stride: usize,
        bytes: &[u8],
    ) -> Result<(), CommandError> {
        let shared = &mut self.shared;
        self.peers.command(tsi, |peer| {
            let first = peer.window.position(first);
            peer.supply(now, first, stride, bytes, shared)
        })
    }

    /// Stops the delivery of a source's data until [`Receiver::resume`], for an application that does not keep up. Data are still
    /// received up to the limits. A source may be paused before its [`Event::Start`], which comes all the same.
    ///
    /// # Errors
    ///
    /// The source is not known, or is not delivered in order.
    pub fn pause(&mut self, tsi: Tsi) -> Result<(), CommandError> {
        self.peers.command(tsi, |peer| peer.set_paused(true))
    }

    /// Continues the delivery of a source's data.
    ///
    /// # Errors
    ///
    /// The source is not known, or is not delivered in order.
    pub fn resume(&mut self, tsi: Tsi) -> Result<(), CommandError> {
        self.peers.command(tsi, |peer| peer.set_paused(false))
    }

    /// Leaves a source: its state is dropped, and its packets are ignored until it has been silent for the configuration's `expiry`,
    /// but at least for a minute. Only the last 4096 sources that were left, or whose sessions ended, are remembered.
    ///
    /// # Errors
    ///
    /// The source is not known.
    pub fn leave(&mut self, tsi: Tsi) -> Result<(), CommandError> {
        let at = self.peers.find(&tsi).ok_or(CommandError::UnknownSource)?;
        self.peers.end(at, EndCause::Fin);
        Ok(())
    }

    /// Accepts a source again after [`Receiver::leave`]: its next packet is handled as that of a new source.
    pub fn rejoin(&mut self, tsi: Tsi) {
        self.peers.reopen(tsi);
    }

    /// The sources that are known at present.
    pub fn sources(&self) -> impl Iterator<Item = Tsi> + '_ {
        self.peers.iter().map(|peer| peer.session.tsi)
    }

    /// The first packet of a source that may still be needed: all before it were delivered, reported lost, or are not wanted. `None`
    /// for a source that is not known.
    #[must_use]
    pub fn needs(&self, tsi: &Tsi) -> Option<Seq> {
        let peer = self.peers.iter().find(|peer| peer.session.tsi == *tsi)?;
        Some(Window::seq(peer.window.floor()))
    }

    /// How many bytes of a source's next data there is room for, if the application takes `taken` bytes before it pauses the source;
    /// `None` for a source that is not known. While a packet is missing, nothing can be delivered, and only the room in the window
    /// counts; in bulk packets are not kept, and the room is `taken`.
    #[must_use]
    pub fn room(&self, tsi: &Tsi, taken: usize) -> Option<usize> {
        let peer = self.peers.iter().find(|peer| peer.session.tsi == *tsi)?;
        Some(peer.room(taken, &self.shared))
    }

    /// The bytes of payload in memory, of all sources.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.peers.iter().map(|peer| peer.held.bytes).sum()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> &ReceiverStats {
        &self.shared.stats
    }

    fn handle_datagram(&mut self, now: Instant, path: &Path, datagram: &[u8]) {
        // The parsed packet is used in place: moving it costs as much as reading its header.
        let parsed = Packet::parse(datagram);
        let packet = match &parsed {
            Ok(packet) => packet,
            Err(rule) => return self.shared.stats.malformed.note(*rule),
        };
        if packet.session.destination_port != self.shared.config.destination_port {
            self.shared.stats.ignored += 1;
            return;
        }
        let Some(at) = self.peer_for(now, path, packet) else { return };
        let Some(peer) = self.peers.get_mut(at) else { return };
        let shared = &mut self.shared;
        match &packet.body {
            Body::Data(data) => peer.handle_data(now, path, data, shared),
            Body::Spm(spm) => peer.handle_spm(now, path, spm, shared),
            Body::Ncf(ncf) => peer.handle_ncf(now, &ncf.request, shared),
            Body::Nak(nak) => peer.handle_nak(now, &nak.request),
            Body::Spmr => peer.spm_was_requested(now, shared),
            Body::Nnak(_) | Body::Poll(_) | Body::Polr(_) | Body::Ack(_) => shared.stats.ignored += 1,
        }
        self.next = self.next.min(peer.timers.next());
        if !(peer.is_ready && peer.is_sending) {
            self.peers.queue(at);
        }
    }

    /// The peer that a packet belongs to; a new one for an SPM or data of an unknown source. `None` if the packet is to be dropped.
    fn peer_for(&mut self, now: Instant, path: &Path, packet: &Packet<'_>) -> Option<usize> {
        if let Some(at) = self.peers.find(&packet.session.tsi) {
            let peer = self.peers.get_mut(at)?;
            if peer.source == path.from {
                if peer.proof.is_missing() {
                    peer.proof.note(&packet.body);
                }
                return Some(at);
            }
            if packet.packet_type().is_upstream() {
                return Some(at);
            }
            return self.heard_stranger(now, at, path, packet);
        }
        self.new_peer(now, path, packet)
    }

    /// Handles a packet with a known TSI from another address. That address takes over when it has proved itself and the known one has
    /// shown nothing, or when the known one falls silent.
    fn heard_stranger(&mut self, now: Instant, at: usize, path: &Path, packet: &Packet<'_>) -> Option<usize> {
        self.shared.stats.strangers += 1;
        let peer = self.peers.get_mut(at)?;
        if peer.proof.is_missing() && Rival::note(&mut peer.rival, path.from, &packet.body) {
            return self.depose(now, at, path, packet);
        }
        peer.stranger_packets = peer.stranger_packets.saturating_add(1);
        if peer.stranger_packets >= STRANGER_PACKETS && now.nanos_since(peer.last_heard) > STRANGER_SILENCE_NS
        {
            peer.end.get_or_insert(EndCause::Expired);
            self.peers.queue(at);
        }
        None
    }

    fn new_peer(&mut self, now: Instant, path: &Path, packet: &Packet<'_>) -> Option<usize> {
        let stats = &mut self.shared.stats;
        let tsi = &packet.session.tsi;
        if self.peers.is_over(*tsi, now) {
            stats.ignored += 1;
            return None;
        }
        // Only a packet that says where the session stands makes a peer.
        let Some(first) = proof::first_of(&packet.body) else {
            stats.ignored += 1;
            return None;
        };
        let mut peer = Peer::new(now, packet.session, path, first, &self.shared);
        peer.proof.note(&packet.body);
        self.add(peer)
    }

    /// Replaces the peer of an address that has shown nothing by one of its rival, which sent the packet and has proved itself. If the
    /// application knows of the session, its end is reported first, and the rival's session begins with the next packet.
    fn depose(&mut self, now: Instant, at: usize, path: &Path, packet: &Packet<'_>) -> Option<usize> {
        let peer = self.peers.get_mut(at)?;
        let rival = peer.rival.take()?;
        if peer.announced {
            peer.end.get_or_insert(EndCause::Expired);
            self.peers.queue(at);
            return None;
        }
        self.peers.remove(at);
        let mut peer = Peer::new(now, packet.session, path, rival.first, &self.shared);
        peer.proof = rival.proof();
        // The rival has shown a run, which is more than a single packet.
        peer.packets_heard = 1;
        if let Some((last, size)) = rival.short_group {
            peer.note_short_group(peer.window.position(last), size);
        }
        self.add(peer)
    }

    fn add(&mut self, peer: Peer) -> Option<usize> {
        let at = self.peers.add(peer);
        if at.is_none() {
            self.shared.stats.sources_refused += 1;
        }
        at
    }
}

impl Peer {
    fn handle_timeout(&mut self, now: Instant, shared: &mut Shared) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Repair => self.expire_repairs(now, shared),
                Timer::Spmr => self.request_spm(now, shared),
                Timer::Begin => self.begun = true,
                Timer::Front => self.detect(now, shared),
                Timer::Expiry => {
                    let expires_at = self.last_heard + shared.config.expiry;
                    if expires_at <= now {
                        self.end.get_or_insert(EndCause::Expired);
                    } else {
                        self.timers.set(Timer::Expiry, expires_at);
                    }
                }
            }
        }
    }

    fn have(&mut self, now: Instant, first: Seq, last: Seq, shared: &mut Shared) -> Result<(), CommandError> {
        let Sink::Bulk(bulk) = &mut self.sink else { return Err(CommandError::NotBulk) };
        let (first, last) = (self.window.position(first), self.window.position(last));
        if first > last {
            return Err(CommandError::Range);
        }
        shared.stats.lost -= bulk.have(&(first..last + 1));
        self.window.have(first..last + 1, &mut |hold| self.held.give_back(hold, &mut shared.pool));
        if first <= self.first {
            self.timers.stop(Timer::Front);
        }
        let (from, to) = (self.window.key(first), self.window.key(last));
        // With these packets there may be enough of a group to decode the rest.
        [from, to].into_iter().for_each(|key| self.complete(key, shared));
        let settled: Vec<u64> = self.active.iter().copied().filter(|key| (from..=to).contains(key)).collect();
        settled.into_iter().for_each(|key| self.end_needless_repair(key));
        self.detect(now, shared);
        Ok(())
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), CommandError> {
        match &mut self.sink {
            Sink::Ordered(ordered) => {
                ordered.set_paused(paused);
                if !paused {
                    self.has_room_again();
                }
                Ok(())
            }
            Sink::Bulk(_) => Err(CommandError::NotOrdered),
        }
    }

    /// The event for what is delivered.
    fn event(&mut self, delivery: Delivery) -> Option<Event<'_>> {
        let tsi = self.session.tsi;
        Some(match (delivery, &mut self.sink) {
            (Delivery::Messages, Sink::Ordered(ordered)) => match ordered.framing() {
                Framing::Stream => Event::Bytes { tsi, bytes: ordered.told()? },
                Framing::Packed | Framing::Apdu => Event::Messages { tsi, messages: ordered.told()? },
            },
            (Delivery::Packets, Sink::Bulk(bulk)) => Event::Packets { tsi, packets: bulk.packets_mut() },
            (Delivery::Need { key }, _) => {
                let count = self.window.block(key)?.size();
                Event::Need { tsi, first: Window::seq(self.window.start(key)), count }
            }
            (Delivery::Lost { first, last }, _) => {
                Event::Lost { tsi, first: Window::seq(first), last: Window::seq(last) }
            }
            (Delivery::TooLong { position, len }, _) => {
                Event::TooLong { tsi, sqn: Window::seq(position), len }
            }
            (Delivery::Unreadable { position }, Sink::Ordered(ordered)) => {
                Event::Unreadable { tsi, sqn: Window::seq(position), payload: ordered.unreadable() }
            }
            (Delivery::Stalled, _) => Event::Stalled { tsi },
            (Delivery::Resumed, _) => Event::Resumed { tsi },
            (Delivery::End(cause), _) => Event::End { tsi, cause },
            (Delivery::Messages | Delivery::Unreadable { .. }, Sink::Bulk(_))
            | (Delivery::Packets, Sink::Ordered(_)) => return None,
        })
    }
}

/// The number of packets from another address, and the silence of the known one, after which the known one is given up.
const STRANGER_PACKETS: u8 = 8;
const STRANGER_SILENCE_NS: u64 = 1_000_000_000;
