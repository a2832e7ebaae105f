//! The table of counts.

use std::fmt::Write;
use std::fs;
use std::io;
use std::process::Command;

/// Instructions a packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// Of the source, and of the receiver.
    pub(crate) sides: Option<(f64, f64)>,
    pub(crate) both: f64,
}

impl Row {
    fn cells(&self) -> [Option<f64>; 3] {
        let (source, receiver) = self.sides.unzip();
        [source, receiver, Some(self.both)]
    }

    fn text(&self) -> String {
        let cell = |cell: Option<f64>| cell.map_or("-".to_owned(), |count| format!("{count:.0}"));
        self.cells().map(cell).join(" | ")
    }
}

/// Where counts stray from the table: a line for each row.
pub(crate) fn strays(rows: &[Row; WORKS.len()]) -> Vec<String> {
    let page = fs::read_to_string(PAGE).unwrap_or_default();
    let stray = |((_, name), row): (&(&str, &str), &Row)| {
        let stored = page.lines().find_map(|line| line.strip_prefix(&format!("| {name} | ")));
        println!("{name}: {}", row.text());
        (!stored.is_some_and(|stored| is_like(row, stored)))
            .then(|| format!("{name}: {}, but in the table {}", row.text(), stored.unwrap_or("nothing")))
    };
    WORKS.iter().zip(rows).filter_map(stray).collect()
}

/// Whether counts are within a twentieth of those that a row of the table says.
fn is_like(row: &Row, stored: &str) -> bool {
    let stored: Vec<Option<f64>> =
        stored.trim_end_matches(" |").split(" | ").map(|cell| cell.parse().ok()).collect();
    let near = |(is, was): (Option<f64>, &Option<f64>)| match (is, was) {
        (Some(is), Some(was)) => (is - was).abs() <= was / 20.0,
        (None, None) => true,
        _ => false,
    };
    stored.len() == row.cells().len() && row.cells().into_iter().zip(&stored).all(near)
}

/// Writes `docs/instructions.md`.
pub(crate) fn write(rows: &[Row; WORKS.len()]) -> io::Result<()> {
    let mut page = HEAD.to_owned();
    for ((_, name), row) in WORKS.iter().zip(rows) {
        writeln!(page, "| {name} | {} |", row.text()).expect("a text grows");
    }
    write!(page, "\nCounted for {ARCH}, compiled by {}.\n", compiler()?).expect("a text grows");
    fs::write(PAGE, page)
}

/// The compiler, if it is not the one that the table is of.
pub(crate) fn other_compiler() -> Option<String> {
    let compiler = compiler().ok()?;
    let page = fs::read_to_string(PAGE).unwrap_or_default();
    (!page.contains(&format!("compiled by {compiler}."))).then_some(compiler)
}

fn compiler() -> io::Result<String> {
    let version = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8_lossy(&version.stdout).trim().to_owned())
}

/// The arguments of what is counted, and how the table names it.
pub(crate) const WORKS: [(&str, &str); 6] = [
    ("large", "messages of 1344 bytes"),
    ("small", "messages of 100 bytes"),
    ("grouped", "messages of 1344 bytes, with parity on demand"),
    ("grouped-small", "messages of 100 bytes, with parity on demand"),
    ("file", "a file"),
    ("lossy", "a file, with every twentieth packet lost and repaired"),
];

/// The processors that the table is of.
pub(crate) const ARCH: &str = "x86_64";

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/instructions.md");

const HEAD: &str = "\
# What a packet costs, in instructions

The instructions that the state machines execute for one data packet, as Callgrind counts them, for publishing, sending, receiving and
delivering it, without system calls. Packets are full ones, for an MTU of 1500; 14 messages of 100 bytes share one. No parity is sent:
the cost of its code depends on the processor ([benchmarks](benchmarks.md)). `cargo instructions` writes this page; `cargo test` fails
if a count differs from it by more than 5 %.

| what is sent | source | receiver | together |
|---|---|---|---|
";
