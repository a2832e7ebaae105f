//! The cost of a packet on this machine: `cargo run --release -p campanile-pgm --example cost`.
//!
//! The reference is a copy of the datagram and its checksum, which no implementation can avoid.

use std::process::ExitCode;

use body::{PARTS, measure, quantile};

mod body;

fn main() -> ExitCode {
    let mut is_met = true;
    println!("payload  part                  ns a packet (quartiles)   x copy + checksum (quartiles)");
    for payload in [1400, 64] {
        let report = measure(payload, 5000);
        for (part, cost) in PARTS.iter().zip(&report.costs) {
            let [q1, median, q3] = [0.25, 0.5, 0.75].map(|part| quantile(&cost.ns, part));
            let [r1, ratio, r3] = [0.25, 0.5, 0.75].map(|part| quantile(&cost.ratio, part));
            println!(
                "{:7}  {part:20} {median:8.1} ({q1:5.1} to {q3:5.1}) {ratio:16.2} ({r1:4.2} to {r3:4.2})",
                report.payload
            );
            let is_judged = payload >= FULL || SMALL_JUDGED.contains(part);
            is_met &= !is_judged || ratio <= RATIO_MAX;
        }
    }
    println!(
        "{}, and of full packets every part, within {RATIO_MAX} x copy + checksum: {}",
        SMALL_JUDGED.join(", "),
        if is_met { "yes" } else { "NO" }
    );
    if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a part may cost for a full packet, and these parts for any.
const RATIO_MAX: f64 = 2.5;
const SMALL_JUDGED: [&str; 3] = ["parse + handle", "poll_transmit, one", "poll_transmit, train"];
const FULL: usize = 1400;
