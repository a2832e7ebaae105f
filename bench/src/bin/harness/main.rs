//! Measures campanile beside other programs that do the same, in interleaved rounds, and sets the results beside the targets.
//!
//! Each command (`USAGE`) is a comparison, and writes its part of `docs/benchmarks.md`:
//! `cargo run --release --manifest-path bench/Cargo.toml -- udp` measures the echo servers.

mod bound;
mod chart;
mod content;
mod ending;
mod environment;
mod feed;
mod links;
mod live;
mod load;
mod measure;
mod memory;
mod mounts;
mod norm;
mod overview;
mod page;
mod parity;
mod peers;
mod pieces;
mod plan;
mod profile;
mod programs;
mod receivers;
mod rounds;
mod series;
mod server;
mod statistics;
mod table;
mod transfer;
mod turns;
mod unpaced;
mod zmq;

use std::error::Error;
use std::process::ExitCode;

use campanile_bench::arguments::Arguments;
use environment::Environment;
use measure::{Bench, Effort};
use plan::{ROWS, Row};
use programs::Programs;

const USAGE: &str = "\
usage: udp [--quick] [--only ROW] [--rounds N] [--window N] [--campanile PROGRAM] [--print]
       parity [--quick] [--rounds N] [--print]
       transfer [--quick] [--rounds N] [--campanile PROGRAM] [--print]
       norm [--quick] [--rounds N] [PARTS] [--campanile PROGRAM] [--feed PROGRAM] [--print]
       unpaced [--quick] [--rounds N] [PARTS] [--campanile PROGRAM] [--print]
       receivers [--quick] [--rounds N] [PARTS] [--campanile PROGRAM] [--print]
       live [--quick] [--rounds N] [PARTS] [--feed PROGRAM] [--print]
       zmq [--quick] [--rounds N] [PARTS] [--feed PROGRAM] [--print]
       load [--quick] [--rounds N] [PARTS] [--campanile PROGRAM] [--flood PROGRAM] [--print]
       pieces [--quick] [--rounds N] [PARTS] [--pieces PROGRAM] [--print]
       overview
       profile ROW SERVER [--seconds N] [--with COMMAND] [--window N] [--campanile PROGRAM]

udp      measures all rows, or one, in interleaved rounds (11), and prints the table.
         A run of all rows also writes it into docs/benchmarks.md, as the other commands do, unless --print is given.
         --quick runs everything once, for an instant: this shows that all of it works; its figures mean nothing.
parity   measures the erasure code beside others in interleaved rounds (21).
transfer measures a file to many machines beside udpcast and UFTP, in namespaces (7 rounds, then ours alone: 20 minutes).
norm     measures the same beside NORM, with groups of equal size (7 rounds: 6 minutes).
unpaced  measures a gigabyte to two machines, as fast as it goes, beside udpcast, UFTP and NORM (7 rounds: 9 minutes).
receivers measures a file through loss to one machine and to more of them, beside all of these (3 rounds: 6 minutes).
live     measures a live feed through loss beside Aeron, which it builds, and beside plain UDP (7 rounds: 16 minutes).
zmq      measures messages without loss beside ZeroMQ's epgm (7 rounds: 3 minutes).
load     measures how fast the load client sends, beside a raw flood, iperf and sockperf (7 rounds: 2 minutes).
pieces   measures what a train costs the sender, by where its packets are in memory (11 rounds: 2 minutes).
overview writes the summaries of all comparisons in docs/benchmarks.md and README.md; every comparison does this, too.
profile  drives one server with the load of one row (20 s) while you look at it. COMMAND runs beside it, with {pid} as
         the server: --with 'strace -f -c -p {pid}' or --with 'perf record -g -o perf.data -p {pid}'.
PARTS is --gather FILE --minutes N: rounds are kept in FILE, those already there count, and no round begins after N minutes.
         To measure a series in several runs, repeat the command; the page is written once no round is missing.
--window N         datagrams in flight in a closed loop, instead of the row's own number
--campanile PATH   this binary, instead of one built from the workspace
--feed PATH        this driver of live feeds, likewise";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    ending::take_care()?;
    let mut arguments = Arguments::parse(std::env::args().skip(1));
    match arguments.word::<String>("command").as_deref() {
        Ok("udp") => udp(arguments),
        Ok("parity") => parity::run(arguments),
        Ok("transfer") => transfer::run(arguments),
        Ok("norm") => norm::run(arguments),
        Ok("unpaced") => unpaced::run(arguments),
        Ok("receivers") => receivers::run(arguments),
        Ok("live") => live::run(arguments),
        Ok("load") => load::run(arguments),
        Ok("zmq") => zmq::run(arguments),
        Ok("pieces") => pieces::run(arguments),
        Ok("overview") => {
            arguments.end()?;
            page::write_overview()
        }
        Ok("profile") => profile::run(arguments),
        _ => Err(USAGE.into()),
    }
}

fn udp(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let (quick, print) = (arguments.flag("quick")?, arguments.flag("print")?);
    let only = arguments.option::<String>("only")?;
    let rounds = arguments.option("rounds")?;
    let (window, campanile) = (arguments.option("window")?, arguments.option("campanile")?);
    arguments.end()?;
    let rows = plan::select(only.as_deref())?;
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let rounds = rounds.unwrap_or(effort.rounds).max(1);

    let bench = Bench::new(Programs::build(campanile)?, effort, window)?;
    if let Err(error) = bench.programs.check_backends() {
        if !quick {
            return Err(error);
        }
        eprintln!("warning: {error}");
    }
    let environment = Environment::read(&bench)?;
    eprint!("{environment}");
    let mut results = Vec::new();
    for row in rows.iter().filter_map(|row| row.load()) {
        results.push(rounds::run(&bench, row, rounds)?);
    }
    let memory =
        if rows.iter().any(|row| matches!(row, Row::Memory)) { memory::run(&bench)? } else { Vec::new() };

    let text = table::render(&environment, &results, &memory);
    println!("{text}");
    println!("{}", table::figures(&results));
    let whole = rows.len() == ROWS.len() && !quick;
    if whole && !print { page::write("udp", &text) } else { Ok(()) }
}
