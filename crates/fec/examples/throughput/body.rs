//! The measurement itself, shared by the example and by the test that keeps it alive.

use std::hint::black_box;
use std::time::{Duration, Instant};

use campanile_fec::{Code, Decoder, Present};

/// What one code costs; the figures are bytes of data symbols in a group per second of work on that group.
pub(crate) struct Row {
    /// Data symbols in a group.
    pub(crate) k: u8,
    /// Data symbols lost, and parity symbols used in their place.
    pub(crate) lost: u8,
    /// Making the parity for the lost symbols, one by one.
    pub(crate) encode: f64,
    /// Making it in one run.
    pub(crate) encode_run: f64,
    /// Recovering the lost symbols, the plan known.
    pub(crate) decode: f64,
    /// Multiply-accumulate steps of a byte per second while decoding.
    pub(crate) steps: f64,
    /// Making a plan that is not remembered.
    pub(crate) plan: Duration,
}

/// Measures groups of `k` symbols of `symbol` bytes, about a fifth of them lost, for about `budget` a figure.
pub(crate) fn measure(k: u8, symbol: usize, budget: Duration) -> Row {
    let lost = (k / 5).max(1);
    let code = Code::new(k, k + lost).expect("a measured shape is valid");
    let data: Vec<Vec<u8>> = (0..k).map(|index| vec![index.wrapping_mul(89) | 1; symbol]).collect();
    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut parity = vec![vec![0; symbol]; lost as usize];
    let encode = time(budget, || {
        for (index, parity) in (k..).zip(&mut parity) {
            code.encode(index, black_box(&data), black_box(parity));
        }
    });

    let mut run = vec![0; lost as usize * symbol];
    let encode_run = time(budget, || code.encode_run(k, black_box(&data), symbol, black_box(&mut run)));

    let mut decoder = Decoder::new(&code, 1);
    let present: Present = (lost..k + lost).collect();
    let other: Present = (0..k - lost).chain(k..k + lost).collect();
    let plan_twice = time(budget, || {
        black_box(decoder.plan(black_box(&other)));
        black_box(decoder.plan(black_box(&present)));
    });
    let plan = decoder.plan(&present).expect("k symbols are there");
    let all: Vec<&[u8]> = data.iter().copied().chain(parity.iter().map(Vec::as_slice)).collect();
    let symbols: Vec<&[u8]> = plan.sources().iter().map(|&index| all[index as usize]).collect();
    let mut out = vec![0; lost as usize * symbol];
    let decode = time(budget, || plan.recover(black_box(&symbols), black_box(&mut out)));
    assert!(plan.missing().iter().zip(out.chunks(symbol)).all(|(&index, row)| row == data[index as usize]));

    let group = f64::from(k) * symbol as f64;
    Row {
        k,
        lost,
        encode: group / encode.as_secs_f64(),
        encode_run: group / encode_run.as_secs_f64(),
        decode: group / decode.as_secs_f64(),
        steps: group * f64::from(lost) / decode.as_secs_f64(),
        plan: plan_twice / 2,
    }
}

/// Mean time of one call, over as many as fit into the budget, at least one.
fn time(budget: Duration, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    let mut calls = 0;
    loop {
        call();
        calls += 1;
        let elapsed = start.elapsed();
        if elapsed >= budget {
            return elapsed / calls;
        }
    }
}
