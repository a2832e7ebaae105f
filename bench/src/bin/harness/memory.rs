//! The memory of campanile with two cores at its defaults, while trains flood both.

use std::error::Error;

use campanile_bench::process::Memory;

use crate::measure::{Bench, TRIES, finish};
use crate::plan::{Load, ROWS, Row};
use crate::server::Server;

/// The memory that one backend held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemoryResult {
    pub(crate) backend: &'static str,
    pub(crate) memory: Memory,
}

pub(crate) fn run(bench: &Bench) -> Result<Vec<MemoryResult>, Box<dyn Error>> {
    eprintln!("memory: campanile with two cores");
    ["epoll", "uring"].into_iter().map(|backend| measure(bench, backend)).collect()
}

fn measure(bench: &Bench, backend: &'static str) -> Result<MemoryResult, Box<dyn Error>> {
    let programs = &bench.programs;
    let mut cores = vec![bench.cores.server, bench.cores.client];
    cores.dedup();
    let server = Server::start(&cores, |port| programs.campanile(&port.to_string(), cores.len(), backend))?;
    let load = largest_trains();
    let milliseconds = 2 * bench.effort.measure_ms(load);
    let mut packets_per_second = 0.0;
    for _ in 0..TRIES {
        // A client on each core: packets are steered to the worker of the core that sends them.
        let clients: Vec<_> =
            cores.iter().map(|core| bench.client(&server, load, milliseconds, *core)).collect();
        for client in clients {
            packets_per_second += finish(client?)?.packets_per_second();
        }
        if packets_per_second > 0.0 {
            break;
        }
    }
    if packets_per_second == 0.0 {
        return Err(format!("{backend}: nothing came back, {TRIES} times").into());
    }
    let memory = Memory::of(server.pid())?;
    let Memory { peak_kib, now_kib } = memory;
    eprintln!("  {backend}: peak {peak_kib} KiB, now {now_kib} KiB, at {packets_per_second:.0} packets/s");
    Ok(MemoryResult { backend, memory })
}

/// The load that fills buffers most.
fn largest_trains() -> Load {
    let loads = ROWS.iter().filter_map(Row::load).map(|row| row.load);
    let bytes = |load: &Load| match *load {
        Load::Flood { size, segments, .. } => size * segments,
        Load::Paced { size, .. } => size,
    };
    loads.max_by_key(bytes).expect("the plan has loads")
}
