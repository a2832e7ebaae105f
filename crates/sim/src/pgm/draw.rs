//! Options drawn from a seed.

use std::time::Duration;

use campanile_pgm::receiver::{Consumer, JoinWish, Limits, NakConfig, OnLoss, ReceiverConfig, Slow};
use campanile_pgm::source::{
    Advance, Endpoint, Join, Kept, ParityConfig, ProActive, SourceConfig, WindowConfig, WindowSize,
};
use campanile_pgm::wire::Session;
use campanile_pgm::{Framing, Gsi, Seq, Tsi};

use super::address;
use super::content::Kind;
use super::options::{
    Fault, Feed, HostileOptions, Naps, Options, ROOMY_BYTES, ROOMY_PACKETS, ReceiverOptions, SourceOptions,
    group_len,
};
use crate::{Attachment, Chance, Clock, Link, Loss, Medium, PartyId, Rng, Time};

impl Options {
    /// A world drawn from a seed, with only the settings that no world can do without.
    #[must_use]
    pub fn draw_plain(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let kind = rng.pick(&[Kind::Packed, Kind::Packed, Kind::Apdu, Kind::Stream, Kind::File]);
        let sources = (0..rng.pick(&[1, 1, 1, 2, 3])).map(|number| draw_source(kind, number, rng)).collect();
        let trouble = Trouble::draw(rng);
        let count = rng.pick(&[1, 2, 3, 5, 8, 13]);
        let receivers = (0..count).map(|_| draw_receiver(kind, &trouble, rng)).collect();
        let mut options = Self {
            seed,
            kind,
            medium: draw_medium(rng),
            sources,
            receivers,
            hostile: None,
            faults: Vec::new(),
        };
        if rng.below(3) == 0 {
            draw_faults(&mut options, rng);
        }
        if rng.below(8) == 0 {
            draw_failure(&mut options, rng);
        }
        if rng.below(6) == 0 {
            let interval = Duration::from_micros(rng.between(100, 5_000));
            options.hostile = Some(HostileOptions { packets: 2_000, interval });
        }
        if kind == Kind::File && rng.below(3) == 0 {
            draw_disks(&mut options, rng);
        }
        options
    }
}

/// Files on slow disks, and receivers that have little room for packets that wait for a disk.
fn draw_disks(options: &mut Options, rng: &mut Rng) {
    let mut disk = || Duration::from_micros(rng.pick(&[0, 200, 2_000, 20_000]));
    options.sources.iter_mut().for_each(|source| source.disk = disk());
    options.receivers.iter_mut().for_each(|receiver| receiver.disk = disk());
    for receiver in &mut options.receivers {
        receiver.config.limits.groups = rng.pick(&[1, 2, 5, 64]);
    }
}

/// How bad the links of a world may be.
struct Trouble {
    loss: f64,
    burst: f64,
    delay: Duration,
    jitter: Duration,
    duplicate: f64,
    reorder: f64,
    upstream: bool,
}

impl Trouble {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            loss: rng.pick(&[0.0, 0.0, 0.01, 0.05, 0.1, 0.2, 0.3]),
            burst: rng.pick(&[1.0, 1.0, 3.0, 20.0]),
            delay: Duration::from_micros(rng.pick(&[0, 50, 500, 2_000, 20_000])),
            jitter: Duration::from_micros(rng.pick(&[0, 0, 100, 5_000])),
            duplicate: rng.pick(&[0.0, 0.0, 0.01]),
            reorder: rng.pick(&[0.0, 0.0, 0.02]),
            upstream: rng.below(2) == 0,
        }
    }

    /// A link of this world; about one in four is a good one.
    fn link(&self, rng: &mut Rng) -> Link {
        let good = rng.below(4) == 0;
        let loss = match self.loss {
            _ if good => Loss::None,
            0.0 => Loss::None,
            loss if self.burst > 1.0 => Loss::bursts(loss, self.burst),
            loss => Loss::independent(loss),
        };
        let often = |probability| if good { Chance::NEVER } else { Chance::new(probability) };
        Link {
            loss,
            delay: self.delay,
            jitter: self.jitter,
            duplicate: often(self.duplicate),
            reorder: often(self.reorder),
            held_back: Duration::from_millis(5),
        }
    }
}

fn draw_source(kind: Kind, number: u16, rng: &mut Rng) -> SourceOptions {
    // Sources of a world share their GSI: only their ports differ.
    let tsi = Tsi { gsi: Gsi([2, 0, 0, 0, 0, 1]), port: 1000 + number };
    let session = Session { tsi, destination_port: PORT };
    let (group, nla) = (address::of_group(0), address::of_party(PartyId(number.into()), 0));
    let mut config = SourceConfig::new(Endpoint { session, group, nla });
    config.seed = rng.next_u64();
    config.packet_len = rng.pick(&[320, 576, 1472, 1472, 8972]);
    config.framing = framing(kind);
    config.pace.bytes_per_second = rng.pick(&[50_000, 200_000, 1_000_000, 5_000_000]);
    config.parity = draw_parity(rng);
    // Receivers that join at the very end, or are cut off then, still have a chance.
    config.spm.linger = Duration::from_secs(5);
    let group_len = group_len(&config);
    let first = rng.pick(&[0, 0, u32::MAX - 300, rng.clone().next_u64() as u32]);
    config.first_sqn = Seq(first / group_len * group_len);
    let seconds = rng.pick(&[0.2, 0.5, 1.0, 2.0]);
    let bytes =
        (config.pace.bytes_per_second as f64 * seconds).min(600.0 * config.packet_len as f64) as usize;
    let longest = rng.pick(&[100, 1_000, 5_000]).min(6 * config.packet_len as u32);
    // Messages in packets of their own are mostly headers: fewer bytes of them fill the window that keeps everything, and the time.
    let bytes = if kind == Kind::Apdu { bytes.min(1000 * longest as usize) } else { bytes };
    let keeps_all = rng.below(4) > 0;
    config.window = draw_window(kind, keeps_all, rng);
    let every = Duration::from_millis(rng.pick(&[20, 100]));
    let bursts = Feed::Bursts { bytes: (bytes / 10) as u32 + 1, every };
    let feed = if kind == Kind::File { Feed::AtOnce } else { rng.pick(&[Feed::AtOnce, bursts]) };
    let clock = draw_clock(rng);
    SourceOptions {
        config,
        attachment: Attachment { clock, ..Attachment::default() },
        bytes,
        longest,
        part_len: None,
        feed,
        disk: Duration::ZERO,
        packs: false,
        keeps_all,
    }
}

fn draw_parity(rng: &mut Rng) -> Option<ParityConfig> {
    if rng.below(5) < 2 {
        return None;
    }
    let group = rng.pick(&[2, 4, 8, 16, 32, 64, 128]);
    let fixed = ProActive::Fixed(rng.between(1, u64::from(group / 2)) as u8);
    let adaptive = ProActive::Adaptive { target_percent: rng.pick(&[20, 50, 90]) };
    let pro_active = rng.pick(&[ProActive::Off, fixed, adaptive, adaptive]);
    let on_demand = pro_active == ProActive::Off || rng.below(4) > 0;
    Some(ParityConfig { group, pro_active, on_demand })
}

fn draw_window(kind: Kind, keeps_all: bool, rng: &mut Rng) -> WindowConfig {
    // A short transmission group skips the sequence numbers up to the next group, and each message may close a group.
    let all = WindowSize::Packets(1 << 16);
    let few = rng.pick(&[
        WindowSize::Packets(64),
        WindowSize::Packets(300),
        WindowSize::Bytes(100_000),
        WindowSize::Time(SHORT),
    ]);
    WindowConfig {
        size: if keeps_all { all } else { few },
        advance: if keeps_all { Advance::Data } else { rng.pick(&[Advance::Data, Advance::Time(SHORT)]) },
        increment_percent: rng.pick(&[1, 2, 25]),
        join: rng.pick(&[Join::None, Join::Share(50), Join::All, Join::All]),
        kept: if kind == Kind::File { Kept::Elsewhere { groups: rng.pick(&[3, 8]) } } else { Kept::Here },
        join_in_data: kind == Kind::Apdu && keeps_all,
    }
}

fn draw_receiver(kind: Kind, trouble: &Trouble, rng: &mut Rng) -> ReceiverOptions {
    let mut config = ReceiverConfig::new(PORT);
    config.seed = rng.next_u64();
    config.consumer = consumer(kind);
    config.front = Duration::from_millis(300);
    if kind == Kind::File {
        // As whoever receives files has it: a slow disk makes the source slow, and what it has confirmed comes all the same.
        config.nak.data_retries = NakConfig::WITHOUT_END;
    }
    config.limits =
        Limits { sources: 5, heard_once: 4, bytes: ROOMY_BYTES, message_len: 64 << 10, ..Limits::default() };
    if rng.below(8) == 0 {
        // Nonsensical values that the machine has to cope with.
        (config.nak.backoff, config.nak.spmr) = (Duration::ZERO, Duration::ZERO);
    }
    let naps = if kind != Kind::File && rng.below(6) == 0 { Some(draw_naps(&mut config, rng)) } else { None };
    let late = rng.below(5) == 0;
    config.join = if late && rng.below(3) == 0 { JoinWish::Recent } else { JoinWish::default() };
    let down = trouble.link(rng);
    let up = if trouble.upstream { trouble.link(rng) } else { Link::delay(trouble.delay) };
    let moderation = Duration::from_micros(rng.pick(&[0, 0, 0, 200, 2_000]));
    let attachment = Attachment { up, down, clock: draw_clock(rng), moderation };
    let joins = if late { Time(rng.between(1, 1_000_000_000)) } else { Time::START };
    ReceiverOptions {
        config,
        attachment,
        interface: 0,
        joins,
        has_percent: rng.pick(&[0, 0, 30, 90]),
        disk: Duration::ZERO,
        naps,
    }
}

/// An application that does not keep up, what happens to its data then, and little room for them.
fn draw_naps(config: &mut ReceiverConfig, rng: &mut Rng) -> Naps {
    if let Consumer::Ordered { slow, on_loss, .. } = &mut config.consumer {
        *slow = rng.pick(&[Slow::Stall, Slow::Lose]);
        *on_loss = rng.pick(&[OnLoss::Continue, OnLoss::Continue, OnLoss::Stop]);
    }
    config.limits.packets = rng.pick(&[64, 256, ROOMY_PACKETS]);
    config.limits.bytes = rng.pick(&[100_000, ROOMY_BYTES]);
    let length = Duration::from_millis(rng.between(20, 280));
    Naps { every: Duration::from_millis(300), length, count: 3 }
}

fn draw_clock(rng: &mut Rng) -> Clock {
    let offset = rng.pick(&[0, 1_000_000_000, 1 << 60]);
    let drift = rng.below(200_001) as i32 - 100_000;
    Clock { offset, drift_ppb: rng.pick(&[0, drift]) }
}

fn draw_medium(rng: &mut Rng) -> Medium {
    let rate = rng.pick(&[None, None, Some(20_000_000)]);
    Medium { rate, queue: 1 << 20, overhead: 38 }
}

/// Makes one of the sources end early; receivers expire it soon.
fn draw_failure(options: &mut Options, rng: &mut Rng) {
    expire_soon(options);
    let source = rng.below(options.sources.len() as u64) as u32;
    let fault = rng.pick(&[Fault::Fail(source), Fault::Abort(source, false), Fault::Abort(source, true)]);
    options.faults.push((Time(rng.below(1_500_000_000)), fault));
    options.faults.sort_by_key(|&(at, _)| at);
}

/// Makes receivers expire a silent source soon.
pub(super) fn expire_soon(options: &mut Options) {
    for receiver in &mut options.receivers {
        receiver.config.expiry = Duration::from_secs(10);
    }
}

/// Faults that last up to half a second each, some partitions for seconds, spread over the first two seconds.
fn draw_faults(options: &mut Options, rng: &mut Rng) {
    for _ in 0..rng.between(1, 4) {
        let receiver = rng.below(options.receivers.len() as u64) as u32;
        let begin = Time(rng.below(1_500_000_000));
        let end = begin + Duration::from_millis(rng.between(5, 500));
        match rng.below(3) {
            0 => options.faults.extend([(begin, Fault::Crash(receiver)), (end, Fault::Revive(receiver))]),
            1 => options.faults.extend([(begin, Fault::Pause(receiver)), (end, Fault::Resume(receiver))]),
            _ => {
                let cut = (0..options.receivers.len() as u32).filter(|_| rng.below(2) == 0);
                options.faults.extend(cut.map(|receiver| (begin, Fault::Cut(receiver))));
                let is_long = rng.below(4) == 0;
                options.faults.push((if is_long { end + LONG } else { end }, Fault::Heal));
                if is_long {
                    // Sources that have finished wait that long for receivers that were cut off.
                    options.sources.iter_mut().for_each(|source| source.config.spm.linger = 3 * LONG);
                }
            }
        }
    }
    options.faults.sort_by_key(|&(at, _)| at);
}

/// How a receiver delivers what is published in this form.
pub(crate) fn consumer(kind: Kind) -> Consumer {
    match kind {
        Kind::File => Consumer::Bulk,
        _ => Consumer::Ordered { framing: framing(kind), on_loss: OnLoss::Continue, slow: Slow::Stall },
    }
}

/// How a source puts what is published in this form into packets.
pub(crate) fn framing(kind: Kind) -> Framing {
    match kind {
        Kind::Packed => Framing::Packed,
        Kind::Apdu => Framing::Apdu,
        Kind::Stream | Kind::File => Framing::Stream,
    }
}

/// The data-destination port of every session.
pub(crate) const PORT: u16 = 7500;

/// By how much longer a long partition lasts.
const LONG: Duration = Duration::from_secs(4);

/// How long a small window that advances with time keeps its data.
const SHORT: Duration = Duration::from_millis(300);
