//! Warm, neither side allocates: plans are made in memory that forgotten plans leave behind.

use campanile_fec::{Code, Decoder, Present};

#[test]
fn warm_coding_allocates_nothing() {
    let (k, n) = (16, 32);
    let code = Code::new(k, n).unwrap();
    let mut decoder = Decoder::new(&code, 2);
    let data = [7; 100];
    let symbols = [&data[..]; 16];
    let mut parity = [0; 100];
    let mut out = [0; 1600];
    let mut group = |first: u8| {
        code.encode(k + first, &symbols, &mut parity);
        code.encode_run(k + first, &symbols, 100, &mut parity);
        let present: Present = (first..first + k).collect();
        let plan = decoder.plan(&present).unwrap();
        plan.recover(&symbols, &mut out[..plan.missing().len() * 100]);
    };
    // The largest plan first, for both remembered ones: then their memory is as large as it ever gets.
    group(16 - 1);
    group(16 - 2);
    group(16 - 1);
    let counted = allocation_counter::measure(|| (0..16 - 1).for_each(&mut group));
    assert_eq!(counted.count_total, 0);
    let cold =
        allocation_counter::measure(|| assert!(Decoder::new(&code, 1).plan(&(1..=k).collect()).is_some()));
    assert!(cold.count_total > 0, "the counter counts");
}
