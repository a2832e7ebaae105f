//! Settings and commands that plain worlds do without.

use std::time::Duration;

use campanile_pgm::receiver::{Consumer, JoinWish, OnLoss, ReceiverConfig};

use super::content::Kind;
use super::draw::expire_soon;
use super::options::{Fault, Options, SourceOptions};
use crate::{Rng, Time};

impl Options {
    /// Options drawn from a seed: mostly small worlds with a lot of trouble.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut options = Self::draw_tuned(seed);
        vary(&mut options, &mut Rng::new(seed.rotate_left(32)));
        options
    }

    /// The same, before interfaces, the parts of messages and the rarer commands are drawn.
    #[must_use]
    pub fn draw_tuned(seed: u64) -> Self {
        let mut options = Self::draw_plain(seed);
        tune(&mut options, &mut Rng::new(!seed));
        options
    }
}

/// Draws settings that plain worlds leave as they are, and changes of them in the middle of a session.
fn tune(options: &mut Options, rng: &mut Rng) {
    for source in &mut options.sources {
        tune_source(source, options.kind, rng);
    }
    for receiver in &mut options.receivers {
        tune_receiver(&mut receiver.config, rng);
    }
    for (_, fault) in &mut options.faults {
        if let Fault::Abort(source, false) = *fault {
            *fault = rng.pick(&[*fault, Fault::CutShort(source)]);
        }
    }
    let source = rng.below(options.sources.len() as u64) as u32;
    let receiver = rng.below(options.receivers.len() as u64) as u32;
    if rng.below(3) == 0 {
        draw_rates(options, source, rng);
    }
    let mut for_a_while = |one_in, begins, ends| {
        if rng.below(one_in) == 0 {
            let at = Time(rng.below(1_500_000_000));
            let later = at + Duration::from_millis(rng.between(5, 500));
            options.faults.extend([(at, begins), (later, ends)]);
        }
    };
    for_a_while(6, Fault::Hold(source, 0), Fault::Release(source));
    for_a_while(6, Fault::Leave(receiver), Fault::Rejoin(receiver));
    options.faults.sort_by_key(|&(at, _)| at);
}

fn tune_source(source: &mut SourceOptions, kind: Kind, rng: &mut Rng) {
    let config = &mut source.config;
    let mut millis = |of: &[u64]| Duration::from_millis(rng.pick(of));
    config.pace.burst = millis(&[0, 2, 2, 10]);
    // Where three sources sent SPMs more often, no link would ever be idle, and a burst of loss might last for all of the linger.
    config.spm.ambient = millis(&[500, 1_000]);
    config.spm.heartbeat_min = millis(&[5, 5, 20, 100]);
    config.spm.heartbeat_max = millis(&[1_000, 5_000]);
    config.repair.eliminate = millis(&[1, 5, 50]);
    config.spm.opening = rng.pick(&[1, 1, 3, 8]);
    // With a smaller share, repairs that were confirmed may wait longer than receivers do.
    config.repair.share_percent = rng.pick(&[50, 80, 100]);
    source.attachment.moderation = Duration::from_micros(rng.pick(&[0, 0, 500]));
    source.packs = kind != Kind::File && rng.below(2) == 0;
}

fn tune_receiver(config: &mut ReceiverConfig, rng: &mut Rng) {
    if let JoinWish::History { wait } = &mut config.join {
        *wait = Duration::from_millis(rng.pick(&[20, 250, 1_000]));
    }
    if let Consumer::Ordered { on_loss, .. } = &mut config.consumer {
        *on_loss = rng.pick(&[OnLoss::Continue, OnLoss::Continue, OnLoss::Stop]);
    }
    config.front = Duration::from_millis(rng.pick(&[0, 300]));
    config.nak.outstanding = rng.pick(&[32, 64]);
    config.limits.message_len = rng.pick(&[500, 64 << 10, 64 << 10]);
}

/// Changes of a source's rate. The medium carries the highest of them; at a much lower one than the lowest, confirmed repairs would wait
/// longer than receivers do.
fn draw_rates(options: &mut Options, source: u32, rng: &mut Rng) {
    let rate = options.sources[source as usize].config.pace.bytes_per_second;
    for _ in 0..rng.between(1, 3) {
        let new = rng.pick(&[rate / 4, rate / 2, 2 * rate, 10 * rate]).clamp(50_000, 6_000_000);
        options.faults.push((Time(rng.below(1_500_000_000)), Fault::Rate(source, new)));
    }
}

/// Draws what tuned worlds do without.
fn vary(options: &mut Options, rng: &mut Rng) {
    for source in &mut options.sources {
        source.config.pace.overhead = rng.pick(&[28, 28, 48, 66]);
        let part_len = rng.pick(&[None, None, Some(40), Some(700), Some(3_000)]);
        source.part_len = part_len.filter(|_| options.kind == Kind::Packed);
    }
    // Each interface carries as much as the medium does, and there is only one medium.
    let interfaces = if options.medium.rate.is_none() { rng.pick(&[1, 1, 2, 3]) } else { 1 };
    for receiver in &mut options.receivers {
        receiver.interface = rng.below(interfaces) as u32;
        let nak = &mut receiver.config.nak;
        nak.repeat = Duration::from_millis(rng.pick(&[20, 20, 100]));
        nak.rdata = Duration::from_millis(rng.pick(&[100, 100, 300]));
    }
    let source = rng.below(options.sources.len() as u64) as u32;
    let at = Time(rng.below(1_500_000_000));
    let mut while_ms = |most| at + Duration::from_millis(rng.between(5, most));
    let (soon, later) = (while_ms(500), while_ms(1_000));
    match rng.below(12) {
        0 => options.faults.extend([(at, Fault::Freeze(source)), (soon, Fault::Thaw(source))]),
        1 => draw_steps(options, source, at, rng),
        2 => draw_lingers(options, source, [at, later], rng),
        _ => {}
    }
    for (at, fault) in options.faults.clone() {
        if let Fault::Rate(source, _) = fault
            && rng.below(2) == 0
        {
            options.faults.push((at, Fault::Forget(source)));
        }
    }
    options.faults.sort_by_key(|&(at, _)| at);
}

/// New data may be sent a few packets at a time.
fn draw_steps(options: &mut Options, source: u32, from: Time, rng: &mut Rng) {
    let mut at = from;
    for _ in 0..rng.between(1, 5) {
        options.faults.push((at, Fault::Hold(source, rng.below(100))));
        at = at + Duration::from_millis(rng.between(5, 200));
    }
    options.faults.push((at, Fault::Release(source)));
}

/// Changes of a source's linger, of which some are too short for its receivers.
fn draw_lingers(options: &mut Options, source: u32, times: [Time; 2], rng: &mut Rng) {
    let linger = options.sources[source as usize].config.spm.linger;
    for at in times {
        let new = rng.pick(&[Duration::ZERO, Duration::from_millis(300), linger, 2 * linger]);
        options.faults.push((at, Fault::Linger(source, new)));
    }
    if options.leaves_early(source) {
        expire_soon(options);
    }
}
