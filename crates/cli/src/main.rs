//! The `campanile` command. Each subcommand is a file of its name.
#![forbid(unsafe_code)]

mod arguments;
mod beacon;
mod command_error;
mod decode;
mod demo;
mod doctor;
mod echo;
mod figures;
mod file_error;
mod interrupt;
mod load;
mod output;
mod progress;
mod recv;
mod send;
mod session;
mod system_error;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use command_error::CommandError;

/// Say something once, and many machines hear it.
#[derive(Debug, Parser)]
#[command(name = "campanile", bin_name = "campanile", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Send(send::Arguments),
    Recv(recv::Arguments),
    Echo(echo::Arguments),
    Load(load::Arguments),
    Beacon(beacon::Arguments),
    Decode(decode::Arguments),
    Doctor(doctor::Arguments),
    Demo(demo::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  campanile demo                   all of it, on this machine alone
  campanile recv --into here       receives files, on each of many machines
  campanile send image.iso         sends a file to all of them
  campanile echo 5000              an echo server on UDP port 5000
  campanile load 192.0.2.1 5000    measures that server from another machine
  campanile beacon listen          hears a multicast group, and counts losses
  campanile decode session.pcap    the PGM packets of a capture
  campanile doctor                 what makes datagrams slow, or keeps them away

Exit codes: 0 done, 1 the run failed, 2 bad input, 3 not complete,
130 ended by a second Ctrl-C.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn run() -> Result<(), CommandError> {
    match Cli::try_parse()?.command {
        Command::Send(arguments) => send::run(&arguments),
        Command::Recv(arguments) => recv::run(&arguments),
        Command::Echo(arguments) => echo::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Beacon(arguments) => beacon::run(&arguments),
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    }
}
