//! What a load client measures.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use campanile_engine::Choice;
use serde::Serialize;

use super::account::PacketAccount;
use super::config::{LoadConfig, Pace};
use super::cost::Cost;
use super::latency::{Histograms, Latency};
use super::limit::Limit;
use super::order::Reordered;
use super::server::{ServerKind, ServerShare};
use super::spoiled::Spoiled;
use super::watch::Watched;
use crate::host::{Counters, Environment};

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// The server.
    pub target: SocketAddr,
    /// Bytes of each packet.
    pub payload: usize,
    /// Threads, one per core.
    pub cores: usize,
    /// Sockets of each thread.
    pub sockets: usize,
    /// Packets in flight on each socket at most; `None` in an open loop.
    pub window: Option<usize>,
    /// Packets a second that were asked for; `None` in a closed loop.
    pub rate: Option<u64>,
    /// Packets that leave together.
    pub train: usize,
    /// Workers did not sleep between packets.
    pub spin: bool,
    /// How long a packet may go unanswered before it is lost.
    pub timeout_seconds: f64,
    /// Bytes of receive buffer that each socket asked for.
    pub receive_buffer_asked: usize,
    /// Bytes of receive buffer that the system gave each socket.
    pub receive_buffer: usize,
    /// The engine's backend.
    pub backend: &'static str,
    /// Why it is not the one asked for, if it is not.
    pub fallback: Option<String>,
    /// How long packets were sent before the measurement.
    pub warm_up_seconds: f64,
    /// How long packets were sent and measured. Rates are over this time; its last replies arrive after it.
    pub seconds: f64,
    /// What was sent.
    pub sent: Rates,
    /// The replies that came in time.
    pub received: Rates,
    /// Packets that were not answered in time.
    pub lost: u64,
    /// The share of packets sent that were not answered in time, in percent.
    pub lost_percent: f64,
    /// Replies of every other kind.
    pub odd: OddReplies,
    /// Replies that came after those to later packets.
    pub reordered: Reordered,
    /// The time from sending a packet to its reply: what network and server did.
    pub round_trip: Option<Latency>,
    /// The time from when a packet was due to its reply: what a user would notice. `None` in a closed loop.
    pub from_due: Option<Latency>,
    /// How much later than due packets were sent: what this client did. `None` in a closed loop.
    pub send_lag: Option<Latency>,
    /// Why the run says nothing about the server; empty for a valid run.
    pub spoiled: Vec<Spoiled>,
    /// What kind of server it is.
    pub server_kind: ServerKind,
    /// The server's own account, if it keeps one.
    pub server: Option<ServerShare>,
    /// Where the packets went.
    // Programs read it by this name, which is that of the printed line, too.
    #[serde(rename = "books")]
    pub account: PacketAccount,
    /// Sends that found a socket's send buffer full and waited, warm-up included.
    pub waits: u64,
    /// What it cost this client.
    pub cost: Cost,
    /// What the whole machine counted meanwhile, for this client or others.
    pub system: Counters,
    /// What kept the run from going faster.
    pub limit: Limit,
    /// Where and how it was measured.
    pub environment: Environment,
    /// The histograms behind the latencies.
    #[serde(skip)]
    pub histograms: Histograms,
}

/// What is known after a run besides its counters.
pub(super) struct Findings {
    pub(super) backend: Choice,
    pub(super) fallback: Option<String>,
    pub(super) histograms: Histograms,
    pub(super) receive_buffer: usize,
    pub(super) server_kind: ServerKind,
    pub(super) server: Option<ServerShare>,
    pub(super) system: Counters,
    pub(super) processors: Watched,
    pub(super) environment: Environment,
}

impl LoadReport {
    pub(super) fn new(config: &LoadConfig, counts: &LoadCounts, findings: Findings) -> Self {
        let Findings {
            backend,
            fallback,
            histograms,
            receive_buffer,
            server_kind,
            server,
            system,
            processors,
            environment,
        } = findings;
        let (window, rate) = match config.pace {
            Pace::Window(window) => (Some(window), None),
            Pace::Rate(rate) => (None, Some(rate)),
        };
        let sent = counts.rates(counts.sent, config.payload);
        let timings = &histograms.timings;
        let (round_trip, send_lag) = (timings.from_send.latency(), timings.send_lag.latency());
        let train = counts.rates(config.train as u64, config.payload).packets_per_second;
        let judge = |rate| Spoiled::judge(rate as f64, sent.packets_per_second, train, send_lag, round_trip);
        let active = config.warm_up + histograms.lasted;
        let mut report = Self {
            target: config.target,
            payload: config.payload,
            cores: config.cores.len(),
            sockets: config.sockets,
            window,
            rate,
            train: config.train,
            spin: config.spin,
            timeout_seconds: config.timeout.as_secs_f64(),
            receive_buffer_asked: config.receive_buffer(),
            receive_buffer,
            backend: backend.name(),
            fallback,
            warm_up_seconds: config.warm_up.as_secs_f64(),
            seconds: histograms.lasted.as_secs_f64(),
            sent,
            received: counts.rates(counts.answered, config.payload),
            lost: counts.lost,
            lost_percent: counts.lost as f64 * 100.0 / counts.sent.max(1) as f64,
            odd: counts.odd,
            reordered: counts.reordered,
            round_trip,
            from_due: timings.from_due.latency(),
            send_lag,
            spoiled: rate.map(judge).unwrap_or_default(),
            server_kind,
            server,
            account: PacketAccount::of(counts, config.train as u64, server.as_ref(), &system),
            waits: counts.waits,
            cost: Cost::new(counts, active, &config.cores, &processors),
            system,
            limit: Limit::Nothing,
            environment,
            histograms,
        };
        report.limit = Limit::find(&report);
        report
    }

    /// Bytes that each packet takes on an Ethernet wire: with the headers of UDP and IP, frame, preamble and gap; in fragments if it is
    /// larger than [`LoadReport::mtu`].
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        let (ip, datagram) = (if self.target.is_ipv4() { 20 } else { 40 }, self.payload + 8);
        // An IPv6 fragment has a header of its own (RFC 8200 section 4.5).
        let fragment_header = if self.target.is_ipv4() { 0 } else { 8 };
        match datagram + ip <= self.mtu() {
            true => (datagram + ip).max(FRAMED_MIN) + FRAME,
            false => {
                let room = (self.mtu() - ip - fragment_header) / 8 * 8;
                datagram + datagram.div_ceil(room) * (ip + fragment_header + FRAME)
            }
        }
    }

    /// The largest IP packet that is not fragmented: the interface's MTU, or Ethernet's where there is no wire or it is not known.
    #[must_use]
    pub fn mtu(&self) -> usize {
        let told = self.environment.mtu.filter(|&mtu| !self.environment.loopback && mtu >= MTU_MIN);
        told.unwrap_or(1500)
    }

    /// How busy this machine was with something other than this client, a server on it, and software interrupts, in percent.
    pub(super) fn others_percent(&self) -> f64 {
        let on_it = self.server.filter(|_| self.environment.loopback);
        let server = on_it.map_or(0.0, |server| server.cpu_ns_per_packet * server.received as f64);
        let client = self.cost.cpu_ns_per_packet.unwrap_or(0.0) * self.account.sent as f64;
        let softirq = self.cost.softirq_ns_per_packet.unwrap_or(0.0) * self.account.sent as f64;
        let own_ns = client + server + if self.cost.softirq_in_threads { 0.0 } else { softirq };
        let (busy_ns, busy) = (self.cost.machine_busy_ns, self.cost.machine_busy_percent.unwrap_or(0.0));
        busy * (1.0 - own_ns / busy_ns.max(1) as f64).max(0.0)
    }

    /// How much of the interface's speed was used in the busier direction, in percent; `None` where the speed is not known. A virtual
    /// interface states one, and takes more: that is no speed.
    #[must_use]
    pub fn wire_used_percent(&self) -> Option<f64> {
        let speed_bps = self.environment.speed_mbps.filter(|_| !self.environment.loopback)? as f64 * 1e6;
        let percent = self.sent.packets_per_second * self.wire_bytes() as f64 * 8.0 * 100.0 / speed_bps;
        (percent < USED_MAX).then_some(percent)
    }
}

/// In percent; what frames take on a wire is not known better than to a tenth.
const USED_MAX: f64 = 110.0;
/// The least MTU of a link for IPv4 (RFC 791 section 3.2).
const MTU_MIN: usize = 68;
/// The payload of a frame is padded to 46 bytes (IEEE 802.3).
const FRAMED_MIN: usize = 46;
/// Ethernet: 14 bytes of header, 4 of checksum, 8 of preamble, 12 of gap (IEEE 802.3).
const FRAME: usize = 38;

/// Packets and payload bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Packets.
    pub packets: u64,
    /// Payload bytes in these packets.
    pub bytes: u64,
    /// Packets each second.
    pub packets_per_second: f64,
    /// Payload bits each second.
    pub bits_per_second: f64,
}

/// Replies that are not the first answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OddReplies {
    /// Came after their packet was given up as lost.
    pub late: u64,
    /// Came more than once.
    pub duplicate: u64,
    /// Match no packet that was sent, or differ from it.
    pub foreign: u64,
}

/// What a run has counted so far. The packets of the warm-up are only in those that count since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadCounts {
    /// Packets sent.
    pub sent: u64,
    /// First answers that came in time.
    pub answered: u64,
    /// Packets that were not answered in time.
    pub lost: u64,
    /// Every other reply.
    pub odd: OddReplies,
    /// Answers that came after those to later packets.
    pub reordered: Reordered,
    /// Trains that the system refused to send. Their packets are among the lost.
    pub refused: u64,
    /// The sum of all round trips.
    pub round_trips_ns: u64,
    /// Packets sent since the start.
    pub all_sent: u64,
    /// Datagrams received since the start, of whatever kind.
    pub all_replies: u64,
    /// Those among them that are not the first answer to a packet: duplicates, and foreign ones.
    pub all_surplus: u64,
    /// Replies that the receive buffers of this client's sockets had no room for, where the system reports them. It counts trains; at
    /// the end of a run each is taken for as many packets as came together on average.
    pub dropped_here: u64,
    /// Sends that found a socket's send buffer full, and waited.
    pub waits: u64,
    /// Processor time of the workers.
    pub cpu_ns: u64,
    /// How long packets were sent.
    pub(crate) sending_ns: u64,
    /// The system's error number of the last failure that it reported; 0 for none.
    pub(crate) failure: u64,
}

impl LoadCounts {
    /// Words that carry the counters between threads.
    pub(crate) const WORDS: usize = Self::PLAIN + 2 + Reordered::CLASSES;
    const PLAIN: usize = 16;

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        let mut words = [0; Self::WORDS];
        let (plain, order) = words.split_at_mut(Self::PLAIN);
        plain.copy_from_slice(&[
            self.sent,
            self.answered,
            self.lost,
            self.odd.late,
            self.odd.duplicate,
            self.odd.foreign,
            self.refused,
            self.round_trips_ns,
            self.all_sent,
            self.all_replies,
            self.all_surplus,
            self.dropped_here,
            self.waits,
            self.cpu_ns,
            self.sending_ns,
            self.failure,
        ]);
        order[..2].copy_from_slice(&[self.reordered.replies, self.reordered.distance_max]);
        order[2..].copy_from_slice(&self.reordered.by_distance);
        words
    }

    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [sent, answered, lost, late, duplicate, foreign, refused, round_trips_ns, rest @ ..] = words;
        let [
            all_sent,
            all_replies,
            all_surplus,
            dropped_here,
            waits,
            cpu_ns,
            sending_ns,
            failure,
            replies,
            distance_max,
            by_distance @ ..,
        ] = rest;
        Self {
            sent,
            answered,
            lost,
            odd: OddReplies { late, duplicate, foreign },
            reordered: Reordered { replies, distance_max, by_distance },
            refused,
            round_trips_ns,
            all_sent,
            all_replies,
            all_surplus,
            dropped_here,
            waits,
            cpu_ns,
            sending_ns,
            failure,
        }
    }

    /// Records a failure that the system reported.
    pub(crate) fn note_failure(&mut self, code: i32) {
        self.failure = u64::from(code as u32);
    }

    /// The last failure that the system reported.
    pub(crate) fn last_failure(&self) -> Option<io::Error> {
        (self.failure != 0).then(|| io::Error::from_raw_os_error(self.failure as i32))
    }

    /// Packets that came back, however late, since the start.
    pub(crate) fn all_returned(&self) -> u64 {
        self.all_replies.saturating_sub(self.all_surplus)
    }

    /// The counters of two workers in one.
    pub(crate) fn merge(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            answered: self.answered + other.answered,
            lost: self.lost + other.lost,
            odd: OddReplies {
                late: self.odd.late + other.odd.late,
                duplicate: self.odd.duplicate + other.odd.duplicate,
                foreign: self.odd.foreign + other.odd.foreign,
            },
            reordered: self.reordered.merge(other.reordered),
            refused: self.refused + other.refused,
            round_trips_ns: self.round_trips_ns + other.round_trips_ns,
            all_sent: self.all_sent + other.all_sent,
            all_replies: self.all_replies + other.all_replies,
            all_surplus: self.all_surplus + other.all_surplus,
            dropped_here: self.dropped_here + other.dropped_here,
            waits: self.waits + other.waits,
            cpu_ns: self.cpu_ns + other.cpu_ns,
            sending_ns: self.sending_ns.max(other.sending_ns),
            failure: self.failure.max(other.failure),
        }
    }

    /// The rates of `packets` packets of `payload` bytes over the time of sending.
    pub(crate) fn rates(&self, packets: u64, payload: usize) -> Rates {
        let bytes = packets * payload as u64;
        let seconds = Duration::from_nanos(self.sending_ns.max(1)).as_secs_f64();
        Rates {
            packets,
            bytes,
            packets_per_second: packets as f64 / seconds,
            bits_per_second: bytes as f64 * 8.0 / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_survive_the_way_between_threads() {
        let words = std::array::from_fn(|index| index as u64 + 1);
        assert_eq!(LoadCounts::from_words(words).to_words(), words);
    }

    #[test]
    fn workers_add_up() {
        let words: [u64; LoadCounts::WORDS] = std::array::from_fn(|index| index as u64 + 1);
        let one = LoadCounts::from_words(words);
        let two = one.merge(one);
        assert_eq!((two.sent, two.all_replies, two.reordered.replies), (2, 20, 34));
        assert_eq!((two.sending_ns, two.failure, two.reordered.distance_max), (15, 16, 18), "the greater");
        assert_eq!(one.merge(LoadCounts::default()), one);
    }

    #[test]
    fn rates_are_over_the_time_of_sending() {
        let counts = LoadCounts { sending_ns: 500_000_000, ..LoadCounts::default() };
        let rates = counts.rates(10, 100);
        assert_eq!((rates.bytes, rates.packets_per_second, rates.bits_per_second), (1000, 20.0, 16_000.0));
        assert_eq!(LoadCounts::default().rates(0, 64).packets_per_second, 0.0);
    }
}
