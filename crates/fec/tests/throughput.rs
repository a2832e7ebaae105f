//! The throughput example, run tiny.

use std::time::Duration;

#[path = "../examples/throughput/body.rs"]
mod body;

#[test]
fn the_measurement_measures() {
    let row = body::measure(8, 33, Duration::ZERO);
    assert_eq!((row.k, row.lost), (8, 1));
    assert!(
        row.encode > 0.0
            && row.encode_run > 0.0
            && row.decode > 0.0
            && row.steps > 0.0
            && row.plan > Duration::ZERO
    );
}
