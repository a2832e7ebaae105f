//! A peer that forges packets of every type, with what it has heard and with random fields: honest receivers get everything.

use std::time::Duration;

use campanile_sim::pgm::{self, Case, HostileOptions, Kind, Mode};

fn withstand(kind: Kind, mode: Mode, loss: f64) {
    let case = Case {
        receivers: 6,
        groups: 24,
        k: 16,
        bytes_per_second: 500_000,
        kind,
        mode,
        loss,
        ..Case::default()
    };
    let mut options = case.options();
    options.hostile = Some(HostileOptions { packets: 20_000, interval: Duration::from_micros(100) });
    let summary =
        pgm::run(&options, None).unwrap_or_else(|violation| panic!("{kind:?} {mode:?}: {violation}"));
    assert_eq!(summary.complete, 6, "nobody took the forger for the source");
    assert!(summary.forged.iter().filter(|&&count| count > 500).count() >= 10, "{:?}", summary.forged);
}

#[test]
fn receivers_of_a_file() {
    withstand(Kind::File, Mode::Both, 0.1);
    withstand(Kind::File, Mode::Selective, 0.1);
}

#[test]
fn receivers_of_messages() {
    withstand(Kind::Packed, Mode::Both, 0.1);
    withstand(Kind::Apdu, Mode::OnDemand, 0.1);
}

#[test]
fn receivers_that_lose_nothing() {
    withstand(Kind::Stream, Mode::Selective, 0.0);
}
