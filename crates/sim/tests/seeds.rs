//! One seed makes one run.

use campanile_sim::pgm::{self, Options};

#[test]
fn one_seed_one_trace() {
    let trace = |seed| pgm::run(&Options::draw(seed), None).map(|summary| summary.trace_hash);
    assert_eq!(trace(4), trace(4));
    assert_ne!(trace(4), trace(5));
}
