//! How often a comparison is repeated, and what becomes of its figures.

use std::error::Error;

use campanile_bench::arguments::Arguments;

use crate::page;

/// A series of rounds, as the command line wants it.
pub(crate) struct Series {
    pub(crate) rounds: usize,
    /// Everything runs for an instant, which proves that it works.
    pub(crate) is_quick: bool,
    /// Whether its figures go into the documentation.
    pub(crate) is_recorded: bool,
}

impl Series {
    /// Takes `--quick`, `--print` and `--rounds`, which are so many if nothing is said.
    pub(crate) fn take(arguments: &mut Arguments, rounds: usize) -> Result<Self, Box<dyn Error>> {
        let (is_quick, is_printed) = (arguments.flag("quick")?, arguments.flag("print")?);
        let rounds = arguments.option("rounds")?.unwrap_or(if is_quick { 1 } else { rounds }).max(1);
        Ok(Self { rounds, is_quick, is_recorded: !is_quick && !is_printed })
    }

    /// Prints the tables, and puts them into the page under this name if they are recorded.
    pub(crate) fn publish(&self, name: &str, text: &str) -> Result<(), Box<dyn Error>> {
        println!("{text}");
        if self.is_recorded { page::write(name, text) } else { Ok(()) }
    }
}
