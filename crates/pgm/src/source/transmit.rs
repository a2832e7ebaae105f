//! What a source sends, and in which order (RFC 3208 §5.1.3): confirmations first, then SPMs, then data and repairs.

use bytes::Bytes;

use super::cache::Purpose;
use super::config::URGENT_LEN;
use super::repairs::Job;
use super::store::Store;
use super::train::Train;
use super::{Owed, Source, Timer};
use crate::Instant;
use crate::path::{Destination, Transmit};
use crate::wire::{Body, DataKind, Ncf, Packet, Request, Spm};

/// What to send next, of the kinds of packets that share the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Pro-active parity of the group just completed.
    ProActive,
    Repair,
    Data,
}

impl Source {
    pub(super) fn transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<(Transmit, Option<Bytes>)> {
        if self.phase == super::Phase::Over {
            return None;
        }
        // A receiver that never stops asking must not keep the source from answering: work has a turn after some confirmations.
        let is_turn_of_work = self.is_turn_of_work();
        let (mut transmit, mut lent) = (None, None);
        if !is_turn_of_work && self.is_urgent_due(now) {
            transmit = self.transmit_urgent(now, buffer);
        }
        // Work may turn out to be unnecessary, or to need another group of data that are kept elsewhere.
        for _ in 0..TURNS {
            if transmit.is_some() {
                break;
            }
            let Some(work) = self.work(now) else { break };
            let train = Train::new(buffer);
            transmit = match work {
                Work::ProActive => self.transmit_pro_active(now, train),
                Work::Repair => self.transmit_repairs(now, train),
                Work::Data => self.transmit_data(now, train, &mut lent),
            };
            self.urgent_bytes = 0;
        }
        // The rate allowed work, but it waits for data that are kept elsewhere.
        if transmit.is_none() && is_turn_of_work && self.is_urgent_due(now) && self.pacer.is_open(now) {
            transmit = self.transmit_urgent(now, buffer);
        }
        self.schedule_pace(now);
        transmit.map(|transmit| (transmit, lent))
    }

    /// Whether confirmations and SPMs have taken so much of the rate that data or repairs come first. The limit grows with the packet
    /// length: a long packet takes long to leave, and receivers ask again and again while a confirmation waits behind it.
    fn is_turn_of_work(&self) -> bool {
        self.urgent_bytes >= URGENT_BYTES.max(self.config.packet_len / 4) && self.has_work()
    }

    fn is_urgent_due(&self, now: Instant) -> bool {
        self.is_spm_due() || self.confirmations.next_due() <= now
    }

    /// A confirmation or an SPM.
    fn transmit_urgent(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        if !self.pacer.is_open_to_urgent(now, URGENT_LEN) {
            return None;
        }
        let endpoint = self.config.endpoint;
        // Each interface gets a copy with our address there.
        let (mut stride, mut len) = (0, 0);
        if let Some((sqns, parity)) = self.confirmations.take_due(now) {
            for source in self.config.nlas() {
                let request = Request { sqns, parity, source, group: endpoint.group };
                let packet = Packet { session: endpoint.session, body: Body::Ncf(Ncf::new(request)) };
                stride = packet.emit(&mut buffer[len..]);
                len += stride;
            }
            self.stats.ncfs += 1;
        } else if self.is_spm_due() {
            let spm = self.next_spm();
            for path in self.config.nlas() {
                let body = Body::Spm(Spm { path, ..spm });
                stride = Packet { session: endpoint.session, body }.emit(&mut buffer[len..]);
                len += stride;
            }
            self.stats.spms += 1;
            self.last_spm_at = Some(now);
        } else {
            return None;
        }
        self.charge(now, stride);
        // What is sent while nothing waits is not held against it.
        if self.has_work() {
            self.urgent_bytes += stride;
        }
        let apart = !self.config.further.is_empty();
        Some(Transmit { apart, ..self.to_group(true, stride, len) })
    }

    /// What may leave now; `None` when the rate does not allow it or data that are kept elsewhere are missing.
    fn work(&mut self, now: Instant) -> Option<Work> {
        if !self.pacer.is_open(now) {
            return None;
        }
        if let Some(Owed { group, .. }) = self.owed {
            return self.store.want(Purpose::Send, group).then_some(Work::ProActive);
        }
        let has_data = self.is_data_ready();
        let has_repair = self.repairs.len() > 0 && self.is_repair_ready();
        if self.share.is_repairs_turn(has_repair, has_data) {
            return Some(Work::Repair);
        }
        has_data.then_some(Work::Data)
    }

    fn is_data_ready(&mut self) -> bool {
        if self.phase.is_aborted() || self.is_held() {
            return false;
        }
        self.refill();
        let Some(position) = self.window.next_unsent() else { return false };
        let group = self.window.group_of(position);
        let is_here = self.store.want(Purpose::Send, group);
        // Prefetches the next group while this one is sent.
        if let Store::Elsewhere(cache) = &mut self.store
            && (group + 1) * u64::from(self.window.group_len()) < cache.packets()
        {
            cache.want(Purpose::Ahead, group + 1);
        }
        is_here
    }

    /// Whether the job at the front can be done. Jobs that must wait for their group to be sent are moved to the back, a few at most.
    fn is_repair_ready(&mut self) -> bool {
        for _ in 0..self.repairs.len().min(JOBS_TRIED) {
            let (group, is_due) = match self.repairs.front() {
                Some(Job::Data { position, .. }) => (self.window.group_of(position), true),
                // On-demand parity comes after all data of the group (RFC 3208 §11.4).
                Some(Job::Group { group }) => (group, self.window.is_sent(group)),
                None => return false,
            };
            let has_left = self.window.group(group).is_none();
            if is_due || has_left {
                return has_left || self.store.want(Purpose::Repair, group);
            }
            self.repairs.postpone();
        }
        false
    }

    /// New data, up to the end of the group or the limit of the rate.
    fn transmit_data(
        &mut self,
        now: Instant,
        mut train: Train<'_>,
        lent: &mut Option<Bytes>,
    ) -> Option<Transmit> {
        while let Some(position) = self.window.next_unsent() {
            let Some(packet_len) = self.emit_original(position, &mut train) else { break };
            self.charge(now, packet_len);
            self.share.data_sent(packet_len);
            self.stats.odata += 1;
            self.window.mark_sent(now);
            let group = self.window.group_of(position);
            if self.config.parity.is_some() && self.window.is_sent(group) {
                self.group_completed(now);
                break;
            }
            if train.is_closed || self.is_held() || !self.pacer.is_open(now) {
                break;
            }
            self.refill();
        }
        if train.is_lent
            && let Store::Here(slots) = &mut self.store
        {
            *lent = slots.leave(train.len);
        }
        self.stats.payload_bytes += train.payload_len as u64;
        self.restart_heartbeat(now);
        self.schedule_advance();
        self.check_drained(now);
        self.finish_train(&train, false)
    }

    fn transmit_repairs(&mut self, now: Instant, mut train: Train<'_>) -> Option<Transmit> {
        while self.is_repair_ready() {
            let sent = match self.repairs.front() {
                Some(Job::Data { position, .. }) => self.repair_data(now, position, &mut train),
                Some(Job::Group { group }) => self.repair_group(now, group, &mut train),
                None => break,
            };
            match sent {
                Sent::Packet(packet_len) => {
                    self.charge(now, packet_len);
                    self.share.repair_sent(packet_len);
                }
                Sent::Nothing => continue,
                Sent::DoesNotFit => break,
            }
            if train.is_closed || !self.pacer.is_open(now) {
                break;
            }
        }
        self.restart_heartbeat(now);
        self.finish_train(&train, true)
    }

    fn repair_data(&mut self, now: Instant, position: u64, train: &mut Train<'_>) -> Sent {
        // It may have left the window since it was asked for.
        if position < self.window.trail() || self.window.packet(position).is_none() {
            self.repairs.data_sent(now);
            return Sent::Nothing;
        }
        let Some(packet_len) = self.emit_data(DataKind::Repair, position, train) else {
            return Sent::DoesNotFit;
        };
        self.repairs.data_sent(now);
        self.stats.rdata += 1;
        Sent::Packet(packet_len)
    }

    fn repair_group(&mut self, now: Instant, group: u64, train: &mut Train<'_>) -> Sent {
        let group_len = self.window.group_len();
        let Some(state) = self.window.group(group).filter(|state| state.pending > 0) else {
            self.repairs.done();
            return Sent::Nothing;
        };
        let (symbol, pending) = (state.peek_symbol(group_len), state.pending);
        let packet_len = if symbol < group_len {
            let position = self.window.start_of(group) + u64::from(symbol);
            self.emit_data(DataKind::Repair, position, train)
        } else {
            self.emit_parity(DataKind::Repair, group, symbol, pending, train)
        };
        let Some(packet_len) = packet_len else { return Sent::DoesNotFit };
        if symbol < group_len {
            self.stats.rdata += 1;
        } else {
            self.stats.rdata_parity += 1;
        }
        if let Some(state) = self.window.group_mut(group) {
            state.take_symbol(now, group_len, self.eliminate_ns);
        }
        if pending > 1 {
            self.repairs.more_to_send()
        } else {
            self.repairs.done()
        }
        Sent::Packet(packet_len)
    }

    pub(super) fn charge(&mut self, now: Instant, packet_len: usize) {
        self.pacer.charge(now, packet_len);
        self.stats.bytes += packet_len as u64;
    }

    pub(super) fn finish_train(&self, train: &Train<'_>, router_alert: bool) -> Option<Transmit> {
        (train.len > 0).then(|| self.to_group(router_alert, train.stride, train.len))
    }

    fn to_group(&self, router_alert: bool, stride: usize, len: usize) -> Transmit {
        let to = Destination::Group(self.config.endpoint.group);
        Transmit { to, ttl: None, tos: self.config.tos, router_alert, apart: false, stride, len }
    }

    /// Sets the timer for the packets that could not leave now.
    fn schedule_pace(&mut self, now: Instant) {
        let confirm_at = self.confirmations.next_due();
        let urgent_at = if self.is_spm_due() { now } else { confirm_at };
        let mut at = Instant::FAR_FUTURE;
        let has_work = self.has_work();
        if urgent_at != Instant::FAR_FUTURE {
            let opens_at = if self.is_turn_of_work() {
                self.pacer.opens_at()
            } else {
                self.pacer.opens_to_urgent_at(URGENT_LEN)
            };
            at = urgent_at.max(opens_at);
        }
        if has_work && !self.pacer.is_open(now) {
            at = at.min(self.pacer.opens_at());
        }
        self.timers.set(Timer::Pace, at);
    }

    /// Whether new data are held back by [`Source::set_sent_max`].
    fn is_held(&self) -> bool {
        self.window.sent() >= self.sent_max
    }

    pub(super) fn has_work(&self) -> bool {
        let has_data = self.has_unsent() && !self.phase.is_aborted() && !self.is_held();
        has_data || self.owed.is_some() || self.repairs.len() > 0
    }
}

/// The outcome of a repair.
enum Sent {
    /// A packet of this length joined the train.
    Packet(usize),
    /// It was no longer needed.
    Nothing,
    /// It needs a train of its own.
    DoesNotFit,
}

/// The length of eight confirmations of one packet each.
const URGENT_BYTES: usize = 8 * 44;
/// How many jobs are tried for one that can be done.
const JOBS_TRIED: usize = 4;
/// How often work is tried until it gives a train.
const TURNS: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::{Endpoint, ParityConfig, ProActive, SourceConfig};
    use super::*;
    use crate::path::Path;
    use crate::wire::{Nak, NakList, PacketType, Session};
    use crate::{Gsi, Seq, Tsi};

    /// A source of 50 KB a second that has messages to send.
    fn source() -> Source {
        with_parity(None, 20)
    }

    /// The same, with parity or without, and with this many messages.
    fn with_parity(parity: Option<ParityConfig>, messages: usize) -> Source {
        of_packets(1472, parity, messages)
    }

    /// The same, with packets of this length.
    fn of_packets(packet_len: usize, parity: Option<ParityConfig>, messages: usize) -> Source {
        let [nla, group] = ["10.0.0.1", "239.0.0.1"].map(|address| address.parse().unwrap());
        let session = Session { tsi: Tsi { gsi: Gsi([1; 6]), port: 1 }, destination_port: 7500 };
        let mut config = SourceConfig::new(Endpoint { session, group, nla });
        config.pace.bytes_per_second = 50_000;
        config.packet_len = packet_len;
        config.parity = parity;
        let mut source = Source::new(Instant(1), config).unwrap();
        (0..messages).for_each(|_| source.publish(Instant(1), &vec![7; packet_len - 472]).unwrap());
        source
    }

    /// A source that has sent more than 40 groups of eight, with parity on demand.
    fn in_groups() -> Source {
        let parity = ParityConfig { group: 8, pro_active: ProActive::Off, on_demand: true };
        let mut source = with_parity(Some(parity), 512);
        (1..12_000).for_each(|ms| pass(&mut source, ms, false));
        assert!(source.is_drained() && source.stats().odata > 8 * 41);
        source
    }

    /// Asks at this millisecond: for packets, or for parity, the number of packets in the low bits.
    fn ask(source: &mut Source, ms: u64, sqns: NakList<'_>, parity: bool) {
        let Endpoint { session, group, nla } = source.config.endpoint;
        let request = Request { sqns, parity, source: nla, group };
        let mut nak = [0; 400];
        let len = Packet { session, body: Body::Nak(Nak::new(request)) }.emit(&mut nak);
        let path = Path { from: nla, to: nla, interface: 0, ecn: 0 };
        source.handle_train(Instant(ms * 1_000_000), &path, len, &nak[..len]);
    }

    /// Lets a millisecond pass, and returns which packets are repaired in it.
    fn repairs_of(source: &mut Source, ms: u64) -> Vec<Seq> {
        let now = Instant(ms * 1_000_000);
        source.handle_timeout(now);
        let mut buffer = vec![0; 1472];
        let mut repaired = Vec::new();
        while let Some((sent, _)) = source.transmit(now, &mut buffer) {
            for packet in buffer[..sent.len].chunks(sent.stride) {
                if let Ok(Packet { body: Body::Data(data), .. }) = Packet::parse(packet)
                    && data.head.kind == DataKind::Repair
                {
                    repaired.push(data.head.sqn);
                }
            }
        }
        repaired
    }

    /// Lets a millisecond pass in which one of the packets at the trailing edge is asked for, if any is.
    fn pass(source: &mut Source, ms: u64, asks: bool) {
        let now = Instant(ms * 1_000_000);
        if asks {
            let sqns = NakList::one(source.window().trail() + (ms % 14) as u32);
            ask(source, ms, sqns, false);
        }
        source.handle_timeout(now);
        let mut buffer = vec![0; source.config.packet_len];
        while source.transmit(now, &mut buffer).is_some() {}
    }

    #[test]
    fn endless_naks_are_confirmed_and_answered() {
        let mut source = source();
        (1..3000).for_each(|ms| pass(&mut source, ms, ms > 1000));
        let stats = source.stats();
        assert!(stats.ncfs > 100, "{stats:?}");
        assert!(stats.rdata >= 40, "{stats:?}");
    }

    #[test]
    fn a_nak_is_confirmed_before_a_long_packet_that_waits() {
        let mut source = of_packets(8972, None, 40);
        (1..4000).for_each(|ms| pass(&mut source, ms, false));
        let (sent, sqn) = (source.stats().odata, source.window().trail());
        for asked in 0..100 {
            let (from_ms, before) = (4000 + 10 * asked, source.stats().ncfs);
            ask(&mut source, from_ms, NakList::one(sqn + asked as u32 % 20), false);
            (from_ms..from_ms + 10).for_each(|ms| pass(&mut source, ms, false));
            assert_eq!(source.stats().ncfs, before + 1, "{asked}");
        }
        assert!(source.stats().rdata + source.stats().odata >= sent + 4, "one takes 180 ms");
    }

    #[test]
    fn after_a_pause_the_confirmation_comes_before_the_repair() {
        let mut source = source();
        (1..60_000).for_each(|ms| pass(&mut source, ms, false));
        assert!(source.is_drained() && source.stats().spms > 30, "{:?}", source.stats());
        let sqn = source.window().trail();
        ask(&mut source, 60_000, NakList::one(sqn), false);
        let mut buffer = vec![0; 1472];
        let mut send = || {
            let (sent, _) = source.transmit(Instant(60_000_000_000), &mut buffer).unwrap();
            Packet::parse(&buffer[..sent.len]).unwrap().packet_type()
        };
        assert_eq!([send(), send()], [PacketType::Ncf, PacketType::Rdata]);
    }

    /// Asks for two packets of group 40, and returns how many packets were repaired until they were sent.
    fn repaired_until_answered(
        source: &mut Source,
        from_ms: u64,
        mut meanwhile: impl FnMut(&mut Source, u64),
    ) -> u64 {
        let repaired = |source: &Source| source.stats().rdata + source.stats().rdata_parity;
        ask(source, from_ms, NakList::one(Seq(8 * 40 + 1)), true);
        let before = repaired(source);
        for ms in from_ms..from_ms + 10_000 {
            meanwhile(source, ms);
            pass(source, ms, false);
            if source.window.group(40).is_some_and(|group| group.pending == 0) {
                return repaired(source) - before;
            }
        }
        panic!("nothing came of it: {:?}", source.stats())
    }

    #[test]
    fn endless_naks_for_the_same_do_not_keep_other_receivers_waiting() {
        let mut source = in_groups();
        let greedy = |source: &mut Source, ms: u64| {
            if ms.is_multiple_of(5) {
                ask(source, ms, NakList::one(Seq(6)), true);
            }
        };
        (12_000..13_000).for_each(|ms| {
            greedy(&mut source, ms);
            pass(&mut source, ms, false);
        });
        let repaired = repaired_until_answered(&mut source, 13_000, greedy);
        assert!(repaired <= 12, "after {repaired} packets");
    }

    #[test]
    fn a_late_receiver_does_not_keep_others_waiting() {
        let mut source = in_groups();
        let all: Vec<Seq> = (0..32).map(|group| Seq(8 * group + 7)).collect();
        ask(&mut source, 12_000, NakList::new(&all).unwrap(), true);
        let repaired = repaired_until_answered(&mut source, 12_000, |_, _| {});
        assert!(repaired <= 12, "after {repaired} packets");
        (22_000..30_000).for_each(|ms| pass(&mut source, ms, false));
        assert_eq!(source.stats().rdata, 256);
    }

    #[test]
    fn a_late_receiver_does_not_keep_others_waiting_for_single_packets() {
        let mut source = with_parity(None, 512);
        (1..12_000).for_each(|ms| pass(&mut source, ms, false));
        let all: Vec<Seq> = (0..350).map(Seq).collect();
        all.chunks(50).for_each(|some| ask(&mut source, 12_000, NakList::new(some).unwrap(), false));
        ask(&mut source, 12_000, NakList::one(Seq(300)), false);
        let mut repaired = Vec::new();
        (12_000..26_000).for_each(|ms| repaired.extend(repairs_of(&mut source, ms)));
        let before = repaired.iter().position(|&sqn| sqn == Seq(300)).unwrap();
        assert!(before <= 64, "after {before} packets");
        repaired.sort_unstable_by_key(|sqn| sqn.0);
        assert_eq!(repaired, all, "each once");
    }

    #[test]
    fn repairs_have_their_share_whatever_was_repaired_while_nothing_else_was_to_be_sent() {
        let mut source = source();
        (1..11_000).for_each(|ms| pass(&mut source, ms, ms > 1000));
        let (odata, rdata) = (source.stats().odata, source.stats().rdata);
        for ms in 11_000..13_000 {
            while source.publish(Instant(ms * 1_000_000), &[7; 1000]).is_ok() {}
            pass(&mut source, ms, true);
        }
        let (odata, rdata) = (source.stats().odata - odata, source.stats().rdata - rdata);
        assert!(odata >= 5 && rdata >= 20, "{odata} new packets and {rdata} repairs in two seconds");
    }
}
