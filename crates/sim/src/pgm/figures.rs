//! The grid of transfers behind the tables of `docs/pgm-figures.md`: by loss, receivers and kind of repair.

use super::measure::{Case, Measured, Mode};

/// The kinds of repair, in the order of the columns.
pub const MODES: [Mode; 4] = [Mode::Selective, Mode::OnDemand, Mode::ProActive, Mode::Both];
/// Losses in both directions in percent, in the order of the rows.
pub const LOSSES: [u32; 6] = [0, 1, 5, 10, 20, 30];
/// The tables.
pub const TABLES: [Table; 4] = [
    Table { receivers: 1, groups: 56 },
    Table { receivers: 10, groups: 56 },
    Table { receivers: 40, groups: 56 },
    Table { receivers: 1000, groups: 16 },
];

/// What all transfers of a table have in common.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Receivers.
    pub receivers: u32,
    /// Transmission groups of the transfer.
    pub groups: u32,
}

/// The row of a table for a loss of this many percent, as the page has it, and whether all promises were kept. Where a transfer
/// breaks one, the cell says which.
pub fn row(table: Table, percent: u32) -> (String, bool) {
    let Table { receivers, groups } = table;
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

/// The heading of a table.
pub fn head(Table { receivers, groups }: Table) -> String {
    let name = if receivers == 1 { "1 receiver".into() } else { format!("{receivers} receivers") };
    let mut head = format!("### {name}, {groups} groups\n\n| loss |");
    let mut line = String::from("|---|");
    for mode in MODES {
        head += &format!(" {} |", mode.name());
        line += "---|";
    }
    head + "\n" + &line
}
