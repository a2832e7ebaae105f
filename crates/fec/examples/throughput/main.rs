//! Throughput of the code on this machine: `cargo run --release -p campanile-fec --example throughput`.

use std::time::Duration;

mod body;

fn main() {
    println!("  k  lost   encode MB/s   run MB/s   decode MB/s   steps GB/s   plan µs   (1400-byte symbols)");
    for k in [2, 4, 8, 16, 32, 64, 128] {
        let row = body::measure(k, 1400, Duration::from_millis(200));
        let [encode, run, decode] = [row.encode, row.encode_run, row.decode].map(|rate| rate / 1e6);
        let (steps, plan) = (row.steps / 1e9, row.plan.as_secs_f64() * 1e6);
        println!("{:3} {:5} {encode:13.0} {run:10.0} {decode:13.0} {steps:12.2} {plan:9.2}", row.k, row.lost);
    }
}
