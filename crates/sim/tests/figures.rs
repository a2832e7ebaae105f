//! The machines still reach the figures of `docs/pgm-figures.md`.

use std::path::Path;

use campanile_sim::Time;
use campanile_sim::pgm::{Case, Fault, Kind, Mode, figures, run};

/// Runs the rows of a table again for these losses.
///
/// Any change of the protocol changes all random draws: cells may differ as much as with another seed, and no more.
fn compare(table: figures::Table, losses: &[u32]) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pgm-figures.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let head = figures::head(table);
    let (_, rows) = page.split_once(&head).unwrap_or_else(|| panic!("no table {head}: cargo reach"));
    for &percent in losses {
        let (row, kept) = figures::row(table, percent);
        assert!(kept, "a promise is broken: {row}");
        let begin = format!("| {percent} %");
        let stored = rows.lines().find(|line| line.starts_with(&begin)).expect("a row for each loss");
        let (is, was) = (cells(&row), cells(stored));
        let same =
            is.len() == figures::MODES.len() && is.iter().zip(&was).all(|(is, was)| is_like(*is, *was));
        assert!(
            same && is.len() == was.len(),
            "{head}\n{row}, but in the page\n{stored}\nto renew it: cargo reach"
        );
    }
}

/// Bytes on the wire over useful bytes, NAKs for each group, time over ideal time.
type Cell = [f64; 3];

fn cells(row: &str) -> Vec<Cell> {
    let cell = |cell: &str| {
        let mut figures = cell.split('·').map(|figure| figure.trim().parse().ok());
        Some([figures.next()??, figures.next()??, figures.next()??])
    };
    row.split('|').filter_map(cell).collect()
}

fn is_like(is: Cell, was: Cell) -> bool {
    let near = |at: usize, share: f64, beside: f64| (is[at] - was[at]).abs() <= share * was[at] + beside;
    near(0, 0.04, 0.0) && near(1, 0.3, 1.5) && near(2, 0.06, 0.0)
}

#[test]
fn one_receiver() {
    compare(figures::TABLES[0], &figures::LOSSES);
}

#[test]
fn ten_receivers() {
    compare(figures::TABLES[1], &[5, 20]);
}

#[test]
fn forty_receivers_come_close_to_the_closed_form() {
    for (k, groups) in [(64, 56), (128, 28)] {
        let measured = Case { k, groups, ..Case::default() }.measure().expect("every promise is kept");
        assert!(
            measured.wire_over_ideal <= 1.05,
            "k = {k}: {} times the ideal bytes",
            measured.wire_over_ideal
        );
        assert!(
            measured.time_over_ideal <= 1.10,
            "k = {k}: {} times the ideal time",
            measured.time_over_ideal
        );
        assert!(
            measured.naks_per_late_group <= 2.0,
            "k = {k}: {} NAKs a group",
            measured.naks_per_late_group
        );
    }
}

#[test]
fn receivers_that_ask_for_single_packets_hear_of_each_other() {
    let case = Case { groups: 8, upstream_loss: 0.2, mode: Mode::Selective, ..Case::default() };
    let measured = case.measure().expect("every promise is kept");
    assert!(measured.naks_per_group <= 120.0, "{} NAKs a group", measured.naks_per_group);
}

#[test]
fn receivers_that_ask_for_parity_know_the_round_trip_time() {
    for seed in [4, 6] {
        let case =
            Case { receivers: 200, groups: 16, loss: 0.1, upstream_loss: 0.1, seed, ..Case::default() };
        let measured = Case { mode: Mode::OnDemand, ..case }.measure().expect("every promise is kept");
        let naks = measured.naks_per_late_group;
        assert!(naks <= 14.0, "seed {seed}: {naks} NAKs a group");
    }
}

#[test]
fn a_receiver_learns_to_wait_for_the_repairs_of_a_source_that_became_slow() {
    let slow =
        Case { receivers: 1, loss: 0.0, groups: 2, k: 16, bytes_per_second: 50_000, ..Case::default() };
    let mut options = Case { mode: Mode::Selective, kind: Kind::Packed, ..slow }.options();
    options.receivers[0].joins = Time(1_000_000_000);
    options.faults = vec![(Time(1_200_000_000), Fault::Rate(0, 10_000))];
    let summary = run(&options, None).expect("every promise is kept");
    assert!(summary.naks <= 150, "{} NAKs for 32 packets", summary.naks);
}

#[test]
fn a_late_receiver_does_not_make_the_others_late() {
    for mode in [Mode::OnDemand, Mode::Both] {
        let (mut late, mut others) = (0.0, 0.0);
        for seed in 1..=8 {
            let mut options = Case { receivers: 10, loss: 0.05, mode, seed, ..Case::default() }.options();
            options.sources[0].config.repair.share_percent = 20;
            options.receivers[0].joins = Time(1_500_000_000);
            let summary = run(&options, None).expect("every promise is kept");
            let mut done = summary.done.iter().flatten().map(|done| done.seconds());
            late += done.next().expect("all are complete");
            others += done.fold(0.0, f64::max);
        }
        assert!(others < 0.9 * late, "{mode:?}: {others} s in all, and {late} s who joined late");
    }
}

#[test]
fn a_cell_that_differs_is_noticed() {
    let stored = cells("| 5 % | 1.51 · 31.8 · 1.02 | 1.15 · 3.9 · 1.02 |");
    assert_eq!(stored, [[1.51, 31.8, 1.02], [1.15, 3.9, 1.02]]);
    assert!(is_like([1.13, 4.5, 1.0], stored[1]));
    assert!(!is_like([1.21, 3.9, 1.02], stored[1]));
    assert!(!is_like([1.15, 7.0, 1.02], stored[1]));
    assert!(!is_like([1.15, 3.9, 1.10], stored[1]));
}
