//! `campanile demo`: the whole of it on one machine.

mod echo;
mod files;

use crate::command_error::CommandError;
use crate::interrupt::Interrupt;
use crate::output;

/// Show an echo server, and files by multicast, at work on this machine alone.
///
/// All of it runs in this process and talks over loopback for a few seconds. It needs no privilege, no network and no configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

/// Runs one part after the other, and suggests what to try next.
pub(crate) fn run(_: &Arguments) -> Result<(), CommandError> {
    let interrupt = Interrupt::new()?;
    echo::run(&interrupt)?;
    if !interrupt.is_pressed() {
        files::run(&interrupt)?;
    }
    output::line(NEXT)
}

const NEXT: &str = "
Next, with two machines or more:
  campanile echo 5000          on the first
  campanile load HOST 5000     on the second, HOST being the first
  campanile recv --into DIR    on each of many
  campanile send FILE          on one of them
  campanile load --help        tells what else can be measured";
