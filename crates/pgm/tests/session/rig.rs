//! A single machine for scripted tests: packets go in, and its packets and events are read, step by step.

use std::net::IpAddr;
use std::time::Duration;

use campanile_pgm::receiver::{Consumer, OnLoss, Receiver, ReceiverConfig, Slow};
use campanile_pgm::source::{Source, SourceConfig, SourceEvent};
use campanile_pgm::wire::{
    Body, Data, DataHead, DataKind, Nak, NakList, Ncf, Packet, Request, Session, Spm, SpmOptions, Window,
    WindowState,
};
use campanile_pgm::{Framing, Instant, Path, Seq, Transmit, Tsi};

use crate::world::{MS, Told, address, endpoint, read, tsi};

/// A packet that was sent: when and where to, and its text without the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Milliseconds since the rig was made.
    pub(crate) at_ms: u64,
    pub(crate) transmit: Transmit,
    pub(crate) text: String,
}

/// The text of what was sent.
pub(crate) fn texts(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(|sent| sent.text.as_str()).collect()
}

/// A receiver, with the parties that send to it.
pub(crate) struct ReceiverRig {
    pub(crate) now: Instant,
    pub(crate) receiver: Receiver,
    next_spm: u32,
}

/// Messages that are packets of their own.
pub(crate) fn apdus() -> ReceiverConfig {
    let consumer = Consumer::Ordered { framing: Framing::Apdu, on_loss: OnLoss::Continue, slow: Slow::Stall };
    ReceiverConfig { consumer, ..ReceiverConfig::new(7500) }
}

impl ReceiverRig {
    /// A receiver that knows nothing.
    pub(crate) fn new(config: ReceiverConfig) -> Self {
        ReceiverRig { now: START, receiver: Receiver::new(config), next_spm: 1 }
    }

    /// A receiver that knows a source which has sent nothing yet: its first packet will be 0.
    pub(crate) fn synchronised(config: ReceiverConfig) -> Self {
        let mut rig = ReceiverRig::new(config);
        rig.spm(0, u32::MAX);
        rig.spm(0, u32::MAX);
        assert_eq!(rig.told(), [Told::Start(0)]);
        rig
    }

    /// A receiver that was given the packets 0 and 2, and waits to ask for 1.
    pub(crate) fn lacking_one(config: ReceiverConfig) -> Self {
        let mut rig = ReceiverRig::synchronised(config);
        rig.odata(0, b"0");
        rig.odata(2, b"2");
        assert_eq!(rig.told(), [Told::Message(b"0".to_vec())]);
        rig
    }

    pub(crate) fn spm(&mut self, trail: u32, lead: u32) {
        self.spm_with(trail, lead, SpmOptions::default());
    }

    pub(crate) fn spm_with(&mut self, trail: u32, lead: u32, options: SpmOptions) {
        let window = WindowState::Known(Window::new(Seq(trail), Seq(lead)).unwrap());
        let sqn = Seq(self.next_spm);
        self.next_spm += 1;
        self.hear(Body::Spm(Spm { sqn, window, path: endpoint().nla, options }));
    }

    pub(crate) fn odata(&mut self, sqn: u32, payload: &[u8]) {
        self.data(DataKind::Original, sqn, 0, payload);
    }

    pub(crate) fn data(&mut self, kind: DataKind, sqn: u32, trail: u32, payload: &[u8]) {
        let head = DataHead::new(kind, Seq(sqn), Seq(trail));
        self.hear(Body::Data(Data { head, payload }));
    }

    pub(crate) fn ncf(&mut self, sqns: &[u32]) {
        self.request(sqns, |request| Body::Ncf(Ncf::new(request)));
    }

    /// Hears another receiver's NAK.
    pub(crate) fn nak(&mut self, sqns: &[u32]) {
        self.request(sqns, |request| Body::Nak(Nak::new(request)));
    }

    /// Hears a packet of the session from its source.
    pub(crate) fn hear(&mut self, body: Body<'_>) {
        self.hear_from(tsi(), endpoint().nla, body);
    }

    pub(crate) fn hear_from(&mut self, tsi: Tsi, from: IpAddr, body: Body<'_>) {
        let session = Session { tsi, ..endpoint().session };
        let path = Path { from, to: endpoint().group, interface: 1, ecn: 0 };
        let bytes = bytes(&Packet { session, body });
        self.receiver.handle_train(self.now, &path, bytes.len(), &bytes);
    }

    /// Lets time pass, and returns what is sent meanwhile.
    pub(crate) fn run_ms(&mut self, ms: u64) -> Vec<Sent> {
        let end = self.now.plus_nanos(ms * MS);
        let mut sent = self.sent();
        while let Some(at) = self.receiver.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.receiver.handle_timeout(self.now);
            sent.extend(self.sent());
        }
        self.now = end;
        sent
    }

    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.receiver.poll_event().map(|event| read(&event))).flatten().collect()
    }

    fn sent(&mut self) -> Vec<Sent> {
        let mut buffer = [0; Receiver::TRANSMIT_LEN];
        let mut all = Vec::new();
        while let Some(transmit) = self.receiver.poll_transmit(self.now, &mut buffer) {
            record(self.now, &transmit, &buffer, &mut all);
        }
        all
    }

    fn request(&mut self, sqns: &[u32], body: impl FnOnce(Request<'_>) -> Body<'_>) {
        let sqns: Vec<Seq> = sqns.iter().copied().map(Seq).collect();
        self.hear(body(request(&sqns, false)));
    }
}

/// A source, with the receivers that send to it.
pub(crate) struct SourceRig {
    pub(crate) now: Instant,
    pub(crate) source: Source,
    pub(crate) events: Vec<SourceEvent>,
    packet_len: usize,
}

/// A source of messages that are packets of their own, whose heartbeats are far apart.
pub(crate) fn apdu_source() -> SourceConfig {
    let mut config = SourceConfig { framing: Framing::Apdu, ..SourceConfig::new(endpoint()) };
    (config.spm.heartbeat_min, config.spm.heartbeat_max) = (Duration::from_secs(10), Duration::from_secs(10));
    config.spm.ambient = Duration::from_secs(100);
    config
}

impl SourceRig {
    /// A source that has sent its first SPM on each interface.
    pub(crate) fn new(config: SourceConfig) -> Self {
        let (interfaces, packet_len) = (1 + config.further.len(), config.packet_len);
        let source = Source::new(START, config).unwrap();
        let mut rig = SourceRig { now: START, source, events: Vec::new(), packet_len };
        assert_eq!(texts(&rig.run_ms(1)).len(), interfaces);
        rig
    }

    /// A source that has sent this many packets, and then sends nothing by itself for a while.
    pub(crate) fn having_sent(config: SourceConfig, packets: u32) -> Self {
        let mut rig = SourceRig::new(config);
        rig.publish(packets);
        let sent = rig.run_ms(100);
        assert_eq!(sent.iter().filter(|sent| sent.text.starts_with("ODATA")).count(), packets as usize);
        rig
    }

    pub(crate) fn publish(&mut self, messages: u32) {
        (0..messages).for_each(|i| self.source.publish(self.now, &[i as u8]).unwrap());
    }

    pub(crate) fn nak(&mut self, sqns: &[u32]) {
        let sqns: Vec<Seq> = sqns.iter().copied().map(Seq).collect();
        self.hear(Body::Nak(Nak::new(request(&sqns, false))));
    }

    pub(crate) fn hear(&mut self, body: Body<'_>) {
        let path = Path { from: address("10.1.0.1"), to: endpoint().nla, interface: 1, ecn: 0 };
        let bytes = bytes(&Packet { session: endpoint().session, body });
        self.source.handle_train(self.now, &path, bytes.len(), &bytes);
    }

    /// Lets time pass, and returns what is sent meanwhile.
    pub(crate) fn run_ms(&mut self, ms: u64) -> Vec<Sent> {
        let end = self.now.plus_nanos(ms * MS);
        let mut sent = self.sent();
        while let Some(at) = self.source.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.source.handle_timeout(self.now);
            sent.extend(self.sent());
        }
        self.now = end;
        sent
    }

    fn sent(&mut self) -> Vec<Sent> {
        let mut buffer = vec![0; 65_536];
        let mut all = Vec::new();
        while let Some(transmit) = self.source.poll_transmit(self.now, &mut buffer) {
            assert!(transmit.stride <= self.packet_len, "{transmit:?}");
            record(self.now, &transmit, &buffer, &mut all);
        }
        self.events.extend(std::iter::from_fn(|| self.source.poll_event()));
        all
    }
}

/// A request for these packets of the session.
pub(crate) fn request(sqns: &[Seq], parity: bool) -> Request<'_> {
    let sqns = NakList::new(sqns).unwrap();
    Request { sqns, parity, source: endpoint().nla, group: endpoint().group }
}

fn record(now: Instant, transmit: &Transmit, buffer: &[u8], all: &mut Vec<Sent>) {
    for datagram in buffer[..transmit.len].chunks(transmit.stride) {
        let text = Packet::parse(datagram).unwrap().to_string();
        let text = text.split_once(": ").unwrap().1.to_string();
        all.push(Sent { at_ms: now.nanos_since(START) / MS, transmit: *transmit, text });
    }
}

fn bytes(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = vec![0; packet.wire_len()];
    packet.emit(&mut bytes);
    bytes
}

const START: Instant = Instant(1_000 * MS);
