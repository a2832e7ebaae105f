//! Measures what the protocol reaches, and checks it against what is promised: `cargo reach` writes `docs/pgm-figures.md` anew.
//!
//! With an argument it only prints the transfers whose name contains it. Exit code 1 when a promise is broken.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use campanile_sim::pgm::{Case, Mode, Violation, figures};

fn main() -> ExitCode {
    let only = std::env::args().nth(1);
    if report(only.as_deref()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs what is asked for; returns whether all promises were kept.
fn report(only: Option<&str>) -> bool {
    let mut kept = true;
    let mut transfers = String::from(HEAD);
    let mut speeds = String::from(SPEED_HEAD);
    println!("{HEAD}");
    for transfer in transfers_of().iter().filter(|it| it.name.contains(only.unwrap_or_default())) {
        let begin = Stopwatch::start();
        let reached = match transfer.run() {
            Ok(reached) => reached,
            Err(violation) => {
                eprintln!("{}: {violation}", transfer.name);
                kept = false;
                continue;
            }
        };
        let seconds = begin.seconds() / f64::from(transfer.seeds);
        let row = reached.row(transfer);
        println!("{row} {seconds:.2} s here");
        transfers += &format!("\n{row}");
        if transfer.case.receivers >= 1000 {
            speeds += &format!("\n{}", reached.speed(transfer, seconds));
        }
        kept &= transfer.keeps(&reached, seconds);
    }
    if only.is_none() {
        let (tables, tables_kept) = tables();
        kept &= tables_kept;
        let page = include_str!("page.md")
            .replace("{transfers}", &transfers)
            .replace("{speeds}", &speeds)
            .replace("{machine}", &machine())
            .replace("{tables}", tables.trim_end());
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pgm-figures.md");
        std::fs::write(&place, page).expect("the page can be written");
    }
    kept
}

/// A transfer, and its promises.
struct Transfer {
    name: &'static str,
    case: Case,
    seeds: u32,
    wire_over_ideal: f64,
    time_over_ideal: f64,
    late_naks: f64,
    seconds: f64,
}

/// The results of a transfer, each the worst of its seeds.
#[derive(Default)]
struct Reached {
    wire: f64,
    wire_over_ideal: f64,
    time_over_ideal: f64,
    early_naks: f64,
    late_naks: f64,
    heap: u64,
}

impl Transfer {
    /// 5 MB for 40 receivers that lose a fifth, with both kinds of parity.
    fn new(name: &'static str, k: u8) -> Self {
        let case = Case { k, groups: 56 * 64 / u32::from(k), ..Case::default() };
        let none = f64::INFINITY;
        Self {
            name,
            case,
            seeds: 8,
            wire_over_ideal: none,
            time_over_ideal: none,
            late_naks: none,
            seconds: none,
        }
    }

    /// The same for this many receivers, with loss in both directions.
    fn crowd(name: &'static str, receivers: u32, k: u8, mode: Mode) -> Self {
        let new = Self::new(name, k);
        let case = Case { receivers, upstream_loss: 0.2, mode, ..new.case };
        Self { case, seeds: 1, ..new }
    }

    fn run(&self) -> Result<Reached, Violation> {
        let mut worst = Reached::default();
        for seed in 1..=u64::from(self.seeds) {
            let measured = Case { seed, ..self.case }.measure()?;
            let early = 2.0 * measured.naks_per_group - measured.naks_per_late_group;
            worst.wire = worst.wire.max(measured.wire_per_useful);
            worst.wire_over_ideal = worst.wire_over_ideal.max(measured.wire_over_ideal);
            worst.time_over_ideal = worst.time_over_ideal.max(measured.time_over_ideal);
            worst.early_naks = worst.early_naks.max(early);
            worst.late_naks = worst.late_naks.max(measured.naks_per_late_group);
            worst.heap = worst.heap.max(measured.summary.memory);
        }
        Ok(worst)
    }

    /// Whether all promises were kept; prints those that were not.
    fn keeps(&self, reached: &Reached, seconds: f64) -> bool {
        let bounds = [
            ("wire over ideal", reached.wire_over_ideal, self.wire_over_ideal),
            ("time over ideal", reached.time_over_ideal, self.time_over_ideal),
            ("NAKs per late group", reached.late_naks, self.late_naks),
            ("seconds", seconds, self.seconds),
        ];
        let broken = bounds.iter().filter(|(_, value, bound)| value > bound);
        broken
            .inspect(|(what, value, bound)| eprintln!("{}: {what} {value:.3}, at most {bound}", self.name))
            .count()
            == 0
    }
}

impl Reached {
    fn row(&self, transfer: &Transfer) -> String {
        let Case { receivers, k, mode, loss, upstream_loss, .. } = transfer.case;
        format!(
            "| {} | {receivers} | {:.0} % / {:.0} % | {k} | {} | {} | {:.3} | {:.3} | {:.3} | {:.1} | {:.1} |",
            transfer.name,
            100.0 * loss,
            100.0 * upstream_loss,
            mode.name(),
            transfer.seeds,
            self.wire,
            self.wire_over_ideal,
            self.time_over_ideal,
            self.early_naks,
            self.late_naks,
        )
    }

    fn speed(&self, transfer: &Transfer, seconds: f64) -> String {
        let resident = match peak_resident() {
            Some(kib) => format!("{} MB", kib / 1000),
            None => "not known on this system".into(),
        };
        format!(
            "| {} | {} | {seconds:.1} s | {} KB | {resident} |",
            transfer.name,
            transfer.case.receivers,
            self.heap / 1000,
        )
    }
}

fn transfers_of() -> Vec<Transfer> {
    let short = Transfer::new("500 KB", 64);
    let short = Transfer { case: Case { groups: 6, ..short.case }, ..short };
    let plain = Transfer::new("5 MB, no parity", 64);
    let plain = Transfer { case: Case { mode: Mode::Selective, ..plain.case }, ..plain };
    let on_demand = Transfer::new("5 MB, on demand", 64);
    let on_demand = Transfer { case: Case { mode: Mode::OnDemand, ..on_demand.case }, ..on_demand };
    let crowd = Transfer::crowd("5 MB, a thousand", 1000, 64, Mode::Both);
    let large = Transfer::crowd("5 MB, a thousand, k = 128", 1000, 128, Mode::Both);
    let multitude = Transfer::crowd("1.3 MB, ten thousand", 10_000, 64, Mode::Both);
    vec![
        Transfer { wire_over_ideal: 1.05, time_over_ideal: 1.10, ..Transfer::new("5 MB", 64) },
        Transfer { wire_over_ideal: 1.05, time_over_ideal: 1.10, ..Transfer::new("5 MB, k = 128", 128) },
        short,
        on_demand,
        plain,
        Transfer { late_naks: 2.0, seconds: 60.0, ..crowd },
        Transfer { late_naks: 2.0, seconds: 60.0, ..large },
        Transfer::crowd("5 MB, a thousand, on demand", 1000, 64, Mode::OnDemand),
        Transfer { case: Case { groups: 14, ..multitude.case }, ..multitude },
    ]
}

/// The tables, and whether all promises were kept in them.
fn tables() -> (String, bool) {
    let mut tables = String::new();
    let mut all_kept = true;
    for table in figures::TABLES {
        writeln!(tables, "{}", figures::head(table)).expect("a string takes it");
        println!("\n{}", figures::head(table));
        for percent in figures::LOSSES {
            let (row, kept) = figures::row(table, percent);
            all_kept &= kept;
            println!("{row}");
            writeln!(tables, "{row}").expect("a string takes it");
        }
        tables.push('\n');
    }
    (tables, all_kept)
}

/// Measures the processor time of this thread, where the system tells it; else the elapsed time.
struct Stopwatch {
    begin: Instant,
    on_core_ns: Option<u64>,
}

impl Stopwatch {
    fn start() -> Self {
        Self { begin: Instant::now(), on_core_ns: Self::on_core_ns() }
    }

    fn seconds(&self) -> f64 {
        match (self.on_core_ns, Self::on_core_ns()) {
            (Some(begin), Some(end)) => (end - begin) as f64 / 1e9,
            _ => self.begin.elapsed().as_secs_f64(),
        }
    }

    fn on_core_ns() -> Option<u64> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
    }
}

/// The system's name for its processor, where it tells.
fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("an unnamed machine".into(), |(_, name)| name.to_string())
}

/// The most memory that this process ever had in use, in KiB, where the system tells.
fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
}

const HEAD: &str = "| transfer | receivers | loss down / up | k | repair | seeds | wire / useful | wire over ideal | last receiver \
                    over ideal | NAKs a group, first half | second half |\n|---|---|---|---|---|---|---|---|---|---|---|";
const SPEED_HEAD: &str = "| transfer | receivers | processor time | most heap of one receiver | peak memory of the process so far |\n\
                          |---|---|---|---|---|";
