//! A tiny run of the example that measures the cost of a packet.

use body::{PARTS, measure, quantile};

#[path = "../examples/cost/body.rs"]
mod body;

#[test]
fn the_measurement_measures() {
    let report = measure(64, 3);
    assert_eq!(report.payload, 64);
    for (part, cost) in PARTS.iter().zip(&report.costs) {
        assert_eq!((cost.ns.len(), cost.ratio.len()), (3, 3), "{part}");
        assert!(quantile(&cost.ns, 0.5) > 0.0 && quantile(&cost.ratio, 0.0) > 0.0, "{part}");
    }
}
