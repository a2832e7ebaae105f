//! The erasure codes of the comparison, each used as its documentation advises.

use std::hint::black_box;
use std::time::{Duration, Instant};

use campanile_fec::{Code, Decoder, Present};
use raptorq::{
    EncodingPacket, ObjectTransmissionInformation, SourceBlockDecoder, SourceBlockEncoder,
    SourceBlockEncodingPlan,
};
use reed_solomon_erasure::galois_8::ReedSolomon;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use crate::content;

/// Data symbols in a group.
pub(crate) const DATA: usize = 64;
/// Parity symbols made for a group, and data symbols lost from it.
pub(crate) const PARITY: usize = 16;
/// Bytes of a symbol.
pub(crate) const SYMBOL: usize = 1400;

/// One code working on one group. Timing begins with the input symbols in memory and ends with the output symbols in memory. What is
/// the same for every group is made before; what follows from the symbols that were lost is not, since groups hardly ever lose the
/// same ones.
pub(crate) trait Contestant {
    /// Its name, with a note on its figures.
    fn name(&self) -> &'static str;

    /// Makes [`PARITY`] symbols.
    fn encode(&mut self) -> Duration;

    /// Recovers the first [`PARITY`] symbols from the rest and the parity.
    ///
    /// # Panics
    /// If they differ from the originals.
    fn decode(&mut self) -> Duration;
}

/// All contestants, ours first.
pub(crate) fn all() -> Vec<Box<dyn Contestant>> {
    vec![
        Box::new(Ours::new()),
        Box::new(Leopard::new()),
        Box::new(RaptorQ::new()),
        Box::new(Backblaze::new()),
    ]
}

/// The symbols of the group.
fn group() -> Vec<Vec<u8>> {
    let mut bytes = content::bytes(0x9E37_79B9);
    (0..DATA).map(|_| bytes.by_ref().take(SYMBOL).collect()).collect()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let made = work();
    (start.elapsed(), made)
}

/// `campanile-fec`.
struct Ours {
    data: Vec<Vec<u8>>,
    code: Code,
    parity: Vec<u8>,
    recovered: Vec<u8>,
}

impl Ours {
    fn new() -> Self {
        let code = Code::new(DATA as u8, (DATA + PARITY) as u8).expect("the shape is one of PGM's");
        let bytes = vec![0; PARITY * SYMBOL];
        Self { data: group(), code, parity: bytes.clone(), recovered: bytes }
    }
}

impl Contestant for Ours {
    fn name(&self) -> &'static str {
        "campanile-fec"
    }

    fn encode(&mut self) -> Duration {
        let data: Vec<&[u8]> = self.data.iter().map(Vec::as_slice).collect();
        timed(|| self.code.encode_run(DATA as u8, black_box(&data), SYMBOL, black_box(&mut self.parity))).0
    }

    fn decode(&mut self) -> Duration {
        let present: Present = (PARITY as u8..(DATA + PARITY) as u8).collect();
        let parity = self.parity.chunks_exact(SYMBOL);
        let all: Vec<&[u8]> = self.data.iter().map(Vec::as_slice).chain(parity).collect();
        // A new one, since a decoder remembers the plan for what was lost before.
        let mut decoder = Decoder::new(&self.code, 1);
        let (time, ()) = timed(|| {
            let plan = decoder.plan(black_box(&present)).expect("as many symbols are left as are needed");
            let symbols: Vec<&[u8]> = plan.sources().iter().map(|&index| all[usize::from(index)]).collect();
            plan.recover(black_box(&symbols), black_box(&mut self.recovered));
        });
        assert!(
            self.recovered.chunks_exact(SYMBOL).eq(&self.data[..PARITY]),
            "what is recovered is what was lost"
        );
        time
    }
}

/// `reed-solomon-simd`: O(n log n), another code.
struct Leopard {
    data: Vec<Vec<u8>>,
    encoder: ReedSolomonEncoder,
    decoder: ReedSolomonDecoder,
    parity: Vec<Vec<u8>>,
}

impl Leopard {
    fn new() -> Self {
        Self {
            data: group(),
            encoder: ReedSolomonEncoder::new(DATA, PARITY, SYMBOL).expect("the shape is supported"),
            decoder: ReedSolomonDecoder::new(DATA, PARITY, SYMBOL).expect("the shape is supported"),
            parity: vec![vec![0; SYMBOL]; PARITY],
        }
    }
}

impl Contestant for Leopard {
    fn name(&self) -> &'static str {
        "reed-solomon-simd"
    }

    fn encode(&mut self) -> Duration {
        let (time, made) = timed(|| {
            for symbol in &self.data {
                self.encoder.add_original_shard(symbol).expect("there is room");
            }
            self.encoder.encode().expect("all symbols were added")
        });
        for (kept, parity) in self.parity.iter_mut().zip(made.recovery_iter()) {
            kept.copy_from_slice(parity);
        }
        time
    }

    fn decode(&mut self) -> Duration {
        let (time, restored) = timed(|| {
            for (index, symbol) in self.data.iter().enumerate().skip(PARITY) {
                self.decoder.add_original_shard(index, symbol).expect("there is room");
            }
            for (index, parity) in self.parity.iter().enumerate() {
                self.decoder.add_recovery_shard(index, parity).expect("there is room");
            }
            self.decoder.decode().expect("as many symbols are left as are needed")
        });
        assert!(restored.restored_original_iter().all(|(index, symbol)| symbol == self.data[index]));
        time
    }
}

/// `raptorq`: a fountain code, which is another kind of code altogether.
struct RaptorQ {
    data: Vec<u8>,
    config: ObjectTransmissionInformation,
    plan: SourceBlockEncodingPlan,
    /// The first parity symbol: with only as many symbols as there are data symbols, not every choice can be decoded.
    first: u32,
    parity: Vec<EncodingPacket>,
    rest: Vec<EncodingPacket>,
}

impl RaptorQ {
    fn new() -> Self {
        let data = group().concat();
        let config = ObjectTransmissionInformation::new(data.len() as u64, SYMBOL as u16, 1, 1, 8);
        let plan = SourceBlockEncodingPlan::generate(DATA as u16);
        let mut rest = SourceBlockEncoder::with_encoding_plan(0, &config, &data, &plan).source_packets();
        rest.drain(..PARITY);
        let mut code = Self { data, config, plan, first: 0, parity: Vec::new(), rest };
        code.encode();
        while code.decoded().1.is_none() {
            code.first += PARITY as u32;
            code.encode();
        }
        code
    }

    fn decoded(&self) -> (Duration, Option<Vec<u8>>) {
        let packets: Vec<EncodingPacket> = self.rest.iter().chain(&self.parity).cloned().collect();
        timed(|| SourceBlockDecoder::new(0, &self.config, self.data.len() as u64).decode(black_box(packets)))
    }
}

impl Contestant for RaptorQ {
    fn name(&self) -> &'static str {
        "raptorq"
    }

    fn encode(&mut self) -> Duration {
        let (time, parity) = timed(|| {
            let encoder =
                SourceBlockEncoder::with_encoding_plan(0, &self.config, black_box(&self.data), &self.plan);
            encoder.repair_packets(self.first, PARITY as u32)
        });
        self.parity = parity;
        time
    }

    fn decode(&mut self) -> Duration {
        let (time, data) = self.decoded();
        assert!(data.as_ref() == Some(&self.data), "what is recovered is what was lost");
        time
    }
}

/// `reed-solomon-erasure`, with its kernels in C: Backblaze's code.
struct Backblaze {
    symbols: Vec<Vec<u8>>,
    code: ReedSolomon,
}

impl Backblaze {
    fn new() -> Self {
        let mut symbols = group();
        symbols.resize(DATA + PARITY, vec![0; SYMBOL]);
        Self { symbols, code: ReedSolomon::new(DATA, PARITY).expect("the shape is supported") }
    }
}

impl Contestant for Backblaze {
    fn name(&self) -> &'static str {
        "reed-solomon-erasure"
    }

    fn encode(&mut self) -> Duration {
        timed(|| self.code.encode(black_box(&mut self.symbols)).expect("the shape is the code's")).0
    }

    fn decode(&mut self) -> Duration {
        let mut symbols: Vec<Option<Vec<u8>>> = self.symbols.iter().cloned().map(Some).collect();
        symbols[..PARITY].fill(None);
        // A new one, since it remembers the matrix for what was lost before.
        let code = self.code.clone();
        let (time, result) = timed(|| code.reconstruct_data(black_box(&mut symbols)));
        result.expect("as many symbols are left as are needed");
        let is_whole =
            symbols.iter().zip(&self.symbols).all(|(found, symbol)| found.as_ref() == Some(symbol));
        assert!(is_whole, "what is recovered is what was lost");
        time
    }
}
