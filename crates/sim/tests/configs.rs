//! Configurations at their bounds and beyond: whatever they are, machines make progress and deliver nothing wrong.

use std::time::Duration;

use campanile_pgm::receiver::{JoinWish, Limits, NakConfig};
use campanile_sim::pgm::{self, Case, Kind, Mode, Options, Promise};

/// Runs a world. With configurations like these no receiver is promised everything, in time or at all.
fn run(what: &str, options: &Options) {
    let Err(violation) = pgm::run(options, None) else { return };
    let is_excused = matches!(violation.promise, Promise::Convergence { .. } | Promise::Naks { .. });
    assert!(is_excused, "{what}: {violation}");
}

fn worlds() -> impl Iterator<Item = (String, Options)> {
    let kinds = [(Kind::File, Mode::Both), (Kind::Packed, Mode::Both), (Kind::Stream, Mode::Selective)];
    kinds.into_iter().map(|(kind, mode)| {
        let case = Case { receivers: 2, groups: 2, k: 8, kind, mode, ..Case::default() };
        (format!("{kind:?} {mode:?}"), case.options())
    })
}

#[test]
fn intervals() {
    for (world, options) in worlds() {
        for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            for (retries, outstanding) in [(0, 0), (1, 1), (u8::MAX, u16::MAX)] {
                let mut options = options.clone();
                for config in options.receivers.iter_mut().map(|receiver| &mut receiver.config) {
                    config.nak = NakConfig {
                        backoff: interval,
                        repeat: interval,
                        rdata: interval,
                        ncf_retries: retries,
                        data_retries: retries,
                        outstanding,
                        spmr: interval,
                    };
                    config.join = JoinWish::History { wait: interval };
                }
                run(&format!("{world}, {interval:?}, {retries} retries"), &options);
                options.receivers.iter_mut().for_each(|receiver| receiver.config.expiry = interval);
                run(&format!("{world}, {interval:?}, {retries} retries, expiry"), &options);
            }
        }
    }
}

#[test]
fn limits() {
    for (world, options) in worlds() {
        for (packets, bytes, groups) in [(0, 0, 0), (1, 1, 1), (u32::MAX, 1 << 40, 1 << 20)] {
            let mut options = options.clone();
            for config in options.receivers.iter_mut().map(|receiver| &mut receiver.config) {
                config.limits =
                    Limits { sources: 0, heard_once: 0, packets, bytes, groups, message_len: 1 << 16 };
            }
            run(&format!("{world}, {packets} packets, {bytes} bytes, {groups} groups"), &options);
        }
    }
}

#[test]
fn sources() {
    for (world, options) in worlds() {
        for interval in [Duration::from_nanos(1), Duration::MAX] {
            let mut options = options.clone();
            for config in options.sources.iter_mut().map(|source| &mut source.config) {
                (config.spm.ambient, config.spm.heartbeat_min) =
                    (interval.max(MILLISECOND), interval.max(MILLISECOND));
                (config.spm.heartbeat_max, config.spm.linger) = (Duration::ZERO, interval.min(SECOND));
                (config.repair.eliminate, config.pace.burst) = (interval.min(SECOND), Duration::ZERO);
            }
            run(&format!("{world}, {interval:?}"), &options);
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
