//! One server under the load of one row, for as long as wanted, to be profiled.

use std::error::Error;
use std::process::Command;

use campanile_bench::arguments::Arguments;

use crate::measure::{Bench, Effort, finish};
use crate::plan::{self, Contestant};
use crate::programs::Programs;
use crate::server::Server;

pub(crate) fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let row: String = arguments.word("row")?;
    let contestant = Contestant::find(&arguments.word::<String>("server")?)?;
    let seconds = arguments.option("seconds")?.unwrap_or(20u64);
    let with = arguments.option::<String>("with")?;
    let (window, campanile) = (arguments.option("window")?, arguments.option("campanile")?);
    arguments.end()?;
    let rows = plan::select(Some(&row))?;
    let load = rows.iter().find_map(|row| row.load()).ok_or("this row has no load to look at")?.load;

    let bench = Bench::new(Programs::build(campanile)?, Effort::FULL, window)?;
    let programs = &bench.programs;
    let server = Server::start(&[bench.cores.server], |port| programs.server(contestant, port))?;
    let pid = server.pid().to_string();
    eprintln!("{contestant} is process {pid} on core {}, for {seconds} s", bench.cores.server);
    let client = bench.client(&server, load, seconds * 1000, bench.cores.client)?;
    // The tool is interrupted before the load ends, so that it sees nothing but the load, and then prints its results.
    let tool_seconds = seconds.saturating_sub(2).max(1).to_string();
    if let Some(with) = with {
        let tool = format!("exec {}", with.replace("{pid}", &pid));
        // The tool's exit status does not matter: it was interrupted.
        Command::new("timeout").args(["--signal", "INT", &tool_seconds, "sh", "-c", &tool]).status()?;
    }
    let report = finish(client)?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
