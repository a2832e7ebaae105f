//! The grid of transfers whose figures stand in `docs/pgm-figures.md`: loss by receivers by the kind of repair.

use super::measure::{Case, Measured, Mode};

/// The kinds of repair, in the order of the columns.
pub const MODES: [Mode; 4] = [Mode::Selective, Mode::OnDemand, Mode::ProActive, Mode::Both];
/// Losses in both directions in percent, in the order of the rows.
pub const LOSSES: [u32; 6] = [0, 1, 5, 10, 20, 30];
/// Receivers, and the transmission groups of the transfer: one table each.
pub const TABLES: [(u32, u32); 4] = [(1, 56), (10, 56), (40, 56), (1000, 16)];

/// A row of the table for so many receivers, as it stands in the page, and whether all promises were kept. Where a transfer breaks one
/// the cell says which.
pub fn row((receivers, groups): (u32, u32), percent: u32) -> (String, bool) {
    let loss = f64::from(percent) / 100.0;
    let mut row = format!("| {percent} % |");
    let mut kept = true;
    for mode in MODES {
        let case = Case { receivers, groups, mode, loss, upstream_loss: loss, ..Case::default() };
        row += &match case.measure() {
            Ok(measured) => {
                let Measured { wire_per_useful, naks_per_group, time_over_ideal, .. } = measured;
                format!(" {wire_per_useful:.2} · {naks_per_group:.1} · {time_over_ideal:.2} |")
            }
            Err(violation) => {
                kept = false;
                format!(" {violation} |")
            }
        };
    }
    (row, kept)
}

/// What stands above the rows of a table.
pub fn head((receivers, groups): (u32, u32)) -> String {
    let name = if receivers == 1 { "1 receiver".into() } else { format!("{receivers} receivers") };
    let mut head = format!("### {name}, {groups} groups\n\n| loss |");
    let mut line = String::from("|---|");
    for mode in MODES {
        head += &format!(" {} |", mode.name());
        line += "---|";
    }
    head + "\n" + &line
}
