//! The figures that the protocol has to reach, measured: `cargo run --release -p campanile-sim --example reach`.
//!
//! With an argument, only the cases whose name contains it.

use std::time::Instant;

use campanile_sim::pgm::{Case, Mode};

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    println!(
        "case                        wire/useful  /ideal  time/ideal  NAKs/group (late)   max heap   seconds here"
    );
    for (name, case) in cases().into_iter().filter(|(name, _)| name.contains(&only)) {
        let begin = Instant::now();
        match case.measure() {
            Ok(measured) => println!(
                "{name:28} {:10.3} {:7.3} {:11.3} {:12.2} {:6.2} {:10} {:14.2}",
                measured.wire_per_useful,
                measured.wire_over_ideal,
                measured.time_over_ideal,
                measured.naks_per_group,
                measured.naks_per_late_group,
                measured.summary.memory,
                begin.elapsed().as_secs_f64(),
            ),
            Err(violation) => println!("{name:28} {violation}"),
        }
    }
}

/// What issue after issue asks for: 5 MB each.
fn cases() -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for (k, groups) in [(64, 56), (128, 28)] {
        for mode in [Mode::Both, Mode::OnDemand] {
            cases.push((format!("40-k{k}-{mode:?}"), Case { k, groups, mode, ..Case::default() }));
            let case = Case { receivers: 1000, upstream_loss: 0.2, k, groups, mode, ..Case::default() };
            cases.push((format!("1000-k{k}-{mode:?}"), case));
        }
    }
    let case = Case { receivers: 10_000, upstream_loss: 0.2, ..Case::default() };
    cases.push(("10000-k64-Both".into(), case));
    cases
}
