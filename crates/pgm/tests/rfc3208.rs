//! `docs/rfc3208.md` names files and tests; each of them must exist and be a test, and each requirement must have an answer.

use std::path::Path;

const PAGE: &str = include_str!("../../../docs/rfc3208.md");

/// The rows of requirements: section, level, requirement, where it is kept, what notices.
fn rows() -> Vec<[&'static str; 5]> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| § |"));
    let cells = rows.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    cells
        .map(|cells| <[&str; 5]>::try_from(cells).unwrap_or_else(|cells| panic!("five cells: {cells:?}")))
        .collect()
}

/// The paths of the tree in backquotes, each with the name that may follow it.
fn references(cell: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|text| text.contains(".rs"));
    paths.map(|text| text.split_once("::").map_or((text, None), |(path, name)| (path, Some(name))))
}

#[test]
fn every_requirement_has_an_answer() {
    assert!(rows().len() > 100, "{} rows", rows().len());
    for [section, level, requirement, kept, noticed] in rows() {
        let row = format!("§{section} {level}: {requirement}");
        assert!(!kept.is_empty(), "{row}");
        let is_tested = references(noticed).next().is_some();
        let says_why = REASONS.iter().any(|reason| kept.contains(reason));
        assert!(is_tested || noticed == "–" && says_why, "neither a test nor a reason: {row}");
    }
}

/// The words with which a row says why it has no test.
const REASONS: [&str; 6] = ["not ours", "not kept", "the driver's", "nothing", "no report", "as §"];

#[test]
fn every_reference_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for (path, name) in PAGE.lines().flat_map(references) {
        let file = if path.starts_with("crates/") { root.join("../..").join(path) } else { root.join(path) };
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
        if let Some(name) = name {
            let (before, _) = text
                .split_once(&format!("fn {name}("))
                .unwrap_or_else(|| panic!("{path} has no function {name}"));
            let attributes = before.rsplit("\n\n").next().unwrap_or_default();
            assert!(attributes.contains("#[test]"), "{name} of {path} is no test");
        }
        checked += 1;
    }
    assert!(checked > 100, "{checked} references");
}
