//! Bodies of the fuzz targets: called by the fuzzer with inputs that it makes up, and by the tests with those in `corpus/`.

use crate::{Code, Decoder, Present};

/// Encodes and decodes a group that is shaped by `input`, and compares the result with what went in.
///
/// The bytes say, in order: k, n, the length of a symbol, how many data symbols exist, a seed that picks which symbols arrive,
/// and the data, repeated as often as needed. Every input has a meaning; one that is too short for the header is ignored.
///
/// # Panics
///
/// When a recovered symbol differs from the sent one, or when the ways of encoding differ.
pub fn code(input: &[u8]) {
    let [k, n, length, filled, seed, data @ ..] = input else { return };
    let k = 2 << (k % 7);
    let n = k + 1 + n % (255 - k);
    let code = Code::new(k, n).expect("the shape was brought into range");
    let length = usize::from(*length) + 1;
    let filled = filled % (k + 1);
    let sent = sent_symbols(&code, filled, length, data);

    let mut state = u32::from(*seed) + 1;
    let mut arrival: Vec<u8> = (0..n).collect();
    for last in (1..arrival.len()).rev() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        arrival.swap(last, (state >> 16) as usize % (last + 1));
    }
    let mut decoder = Decoder::new(&code, 1);
    let few: Present = arrival[..k as usize - 1].iter().copied().collect();
    assert!(decoder.plan(&few).is_none(), "a plan from fewer than k symbols");
    let present: Present = arrival[..k as usize].iter().copied().collect();
    let plan = decoder.plan(&present).expect("k symbols are there");
    let symbols: Vec<&[u8]> = plan.sources().iter().map(|&index| &sent[index as usize][..]).collect();
    let mut out = vec![0xee; plan.missing().len() * length];
    plan.recover(&symbols, &mut out);
    for (row, &index) in out.chunks(length).zip(plan.missing()) {
        let mut expected = sent[index as usize].clone();
        expected.resize(length, 0);
        assert_eq!(row, expected, "symbol {index} of ({k}, {n})");
    }
}

/// All n symbols of a group whose first `filled` data symbols carry `data`, in lengths that differ.
fn sent_symbols(code: &Code, filled: u8, length: usize, data: &[u8]) -> Vec<Vec<u8>> {
    let mut bytes = data.iter().copied().chain(0..=255).cycle();
    let mut symbols = vec![Vec::new(); code.n() as usize];
    for symbol in &mut symbols[..filled as usize] {
        let own = length - bytes.next().map_or(0, |byte| byte as usize % length);
        symbol.extend(bytes.by_ref().take(own));
    }
    let (given, parity) = symbols.split_at_mut(code.k() as usize);
    let given: Vec<&[u8]> = given[..filled as usize].iter().map(Vec::as_slice).collect();
    for (index, symbol) in (code.k()..code.n()).zip(&mut *parity) {
        symbol.resize(length, 0xee);
        code.encode(index, &given, symbol);
    }
    let mut run = vec![0xee; usize::from(code.n() - code.k()) * length];
    code.encode_run(code.k(), &given, length, &mut run);
    assert!(run.chunks(length).eq(parity.iter()), "parity one by one and in a run");
    symbols
}
