//! The deadline for complete delivery, computed from what a world lets its sources send and makes its receivers miss.

use std::time::Duration;

use campanile_pgm::source::{ParityConfig, ProActive, SourceConfig};
use campanile_pgm::wire::DataHead;

use super::content::{Content, Kind};
use super::options::{Fault, Feed, Options, SourceOptions};
use crate::{Loss, Rng, Time, model};

/// When each receiver that must get everything has to have it: when everything was sent, including what receivers missed, and no
/// more faults happen; plus some time for the last repairs.
pub(crate) fn due<'a>(options: &Options, contents: impl Iterator<Item = &'a Content>) -> Time {
    let sources = options.sources.iter().zip(contents);
    let said = sources.map(|(source, content)| said(options, source, content)).max().unwrap_or_default();
    let groups = options.sources.iter().map(SourceOptions::groups).max().unwrap_or(0);
    let disk = options.receivers.iter().map(|receiver| receiver.disk).max().unwrap_or_default();
    let said_again = missed(options).mul_f64(1.0 / (1.0 - loss(options)));
    let waits = options.receivers.iter().map(|receiver| receiver.config.nak.rdata);
    let last_repairs = LAST_REPAIRS * waits.max().unwrap_or_default().clamp(WAIT_LEAST, WAIT_MOST);
    options.calm_from().max(Time::START + said) + said_again + disk * groups + last_repairs
}

/// How long a source needs to send everything, repairs included, with its kind of feed.
fn said(options: &Options, source: &SourceOptions, content: &Content) -> Duration {
    let fed = match source.feed {
        Feed::AtOnce => Duration::ZERO,
        Feed::Bursts { bytes, every } => every * (source.bytes as u32 / bytes + 1),
    };
    let seconds = sent_bytes(options, &source.config, content) / slowest(options, source) as f64;
    fed + 2 * source.disk * source.groups() + Duration::from_secs_f64(BEYOND_IDEAL * seconds)
}

/// The lowest rate of a source, in bytes a second.
fn slowest(options: &Options, source: &SourceOptions) -> u64 {
    let of = |number: u32| std::ptr::eq(&options.sources[number as usize], source);
    let changed = options.faults.iter().filter_map(|(_, fault)| match *fault {
        Fault::Rate(number, rate) if of(number) => Some(rate),
        _ => None,
    });
    changed.fold(source.config.pace.bytes_per_second, u64::min)
}

/// The bytes that an ideal source sends until all receivers have everything, lower layers included. With short packets heads weigh
/// more, and repairs are preceded by confirmations.
fn sent_bytes(options: &Options, config: &SourceConfig, content: &Content) -> f64 {
    let tsdu_len = config.tsdu_len().unwrap_or(1);
    let packets = content.packets(tsdu_len) as f64;
    let head = HEAD + f64::from(config.pace.overhead);
    let packet = content.stream_len() as f64 / packets + head;
    // Where each message is a packet, parity is as long as the longest packet of a group.
    let parity = match content.kind() {
        Kind::Apdu => content.longest().min(tsdu_len) as f64 + head,
        Kind::Packed | Kind::Stream | Kind::File => packet,
    };
    let (k, repair, unasked) = match config.parity {
        None => (1, packet, 0.0),
        Some(of) if of.on_demand => (of.group.into(), parity, unasked(options, &of)),
        Some(of) => (1, parity, unasked(options, &of)),
    };
    let repairs = transmissions(options, k, packets as usize) - 1.0;
    let confirmation = CONFIRMATION + f64::from(config.pace.overhead);
    // Receivers that do not keep up have no room for what is sent meanwhile: for each of them, everything is sent again once.
    let again = options.receivers.iter().filter(|receiver| !receiver.keeps_up()).count() as f64;
    packets * (packet * (1.0 + again) + unasked * parity + repairs * (repair + confirmation))
}

/// Parity packets for each data packet when nothing is lost.
fn unasked(options: &Options, parity: &ParityConfig) -> f64 {
    let asks_for_more_than_was_lost = !missed(options).is_zero()
        || options.hostile.is_some()
        || options.receivers.iter().any(|receiver| !receiver.keeps_up());
    match parity.pro_active {
        ProActive::Fixed(count) => f64::from(count) / f64::from(parity.group),
        // Adaptive parity follows all requests, whatever their cause.
        ProActive::Adaptive { .. } if asks_for_more_than_was_lost => ADAPTIVE_MOST,
        ProActive::Off | ProActive::Adaptive { .. } => 0.0,
    }
}

/// How long receivers were away in all: what was sent meanwhile is sent again. Receivers that leave and return together miss the same.
/// And how long sources were held or frozen.
fn missed(options: &Options) -> Duration {
    let joined_late = options.receivers.iter().map(|receiver| receiver.joins - Time::START);
    let mut away: Vec<(Time, Time)> = Vec::new();
    for (at, &(from, fault)) in options.faults.iter().enumerate() {
        let is_end = |later: &Fault| match fault {
            Fault::Cut(_) => *later == Fault::Heal,
            Fault::Pause(receiver) => *later == Fault::Resume(receiver),
            Fault::Crash(receiver) => *later == Fault::Revive(receiver),
            Fault::Leave(receiver) => *later == Fault::Rejoin(receiver),
            Fault::Hold(source, _) => *later == Fault::Release(source),
            Fault::Freeze(source) => *later == Fault::Thaw(source),
            _ => false,
        };
        let end = options.faults[at..].iter().find(|(_, later)| is_end(later));
        // A receiver that starts again has lost what it had.
        let from = if matches!(fault, Fault::Crash(_) | Fault::Leave(_)) { Time::START } else { from };
        away.extend(end.map(|&(to, _)| (from, to)));
    }
    away.sort();
    away.dedup();
    joined_late.sum::<Duration>() + away.into_iter().map(|(from, to)| to - from).sum::<Duration>()
}

/// How often an ideal source sends each packet, in groups of `k`.
fn transmissions(options: &Options, k: u32, packets: usize) -> f64 {
    let losses: Vec<Loss> = options.receivers.iter().map(|receiver| receiver.attachment.down.loss).collect();
    if losses.iter().any(|loss| matches!(loss, Loss::Bursts { .. })) {
        let groups = packets.div_ceil(k as usize).max(1);
        return model::transmissions_drawn(groups, k, &losses, &mut Rng::new(options.seed));
    }
    model::transmissions(k, losses.len() as u32, loss(options))
}

/// The share of packets lost on the worst path.
fn loss(options: &Options) -> f64 {
    let shares = options.receivers.iter().map(|receiver| receiver.attachment.down.loss.share());
    shares.fold(0.0, f64::max)
}

/// How much more than an ideal source a real protocol sends: for NAKs that cross, duplicates, parity that was not needed.
const BEYOND_IDEAL: f64 = 1.5;
/// The most adaptive parity for each packet of a group.
const ADAPTIVE_MOST: f64 = 2.0;
/// The length of a head with options.
const HEAD: f64 = DataHead::LEN_MIN as f64 + 20.0;
/// The length of a confirmation of one packet.
const CONFIRMATION: f64 = 36.0;
/// How many times the first wait for a repair the waits for the last ones may take in all, which double while repairs or requests for
/// them are lost.
const LAST_REPAIRS: u32 = 50;
/// The first waits for which that holds.
const WAIT_LEAST: Duration = Duration::from_millis(100);
const WAIT_MOST: Duration = Duration::from_secs(1);
