//! The arrows between the crates are those of `ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};

use super::manifests::{Table, dependencies, package_name};
use super::tree::{File, Violation, files, report, text};

/// From the room that depends to the room it depends on.
type Arrows = BTreeSet<(String, String)>;

/// The arrows of the first fenced drawing in a page. `a ──► b` is an arrow; one that begins at a branch (`├` or `└`) comes
/// from the name above that branch.
fn drawn(page: &str) -> Arrows {
    let drawing = page.split("```").find(|part| part.contains('►')).unwrap_or("");
    let mut arrows = Arrows::new();
    let mut above: Vec<(usize, String)> = Vec::new();
    for line in drawing.lines() {
        let mut names: Vec<(usize, String)> = Vec::new();
        let mut from = None;
        let cells: Vec<char> = line.chars().collect();
        let mut at = 0;
        while at < cells.len() {
            let c = cells[at];
            if matches!(c, '├' | '└') {
                from = above
                    .iter()
                    .rev()
                    .find(|(start, name)| (*start..start + name.len()).contains(&at))
                    .cloned();
            } else if c.is_ascii_alphanumeric() {
                let end = (at..cells.len()).find(|&i| !is_name(cells[i])).unwrap_or(cells.len());
                let name: String = cells[at..end].iter().collect();
                let arrow = cells[..at].iter().rev().find(|c| **c != ' ') == Some(&'►');
                match from.take() {
                    Some((_, from)) if arrow => _ = arrows.insert((from, name.clone())),
                    // Words after the last name of a line explain it.
                    _ if !names.is_empty() || !line.contains('►') => break,
                    _ => {}
                }
                names.push((at, name.clone()));
                from = cells[end..].iter().find(|c| **c != ' ').filter(|c| **c == '─').map(|_| (at, name));
                at = end;
            }
            at += 1;
        }
        above.extend(names);
    }
    arrows
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// The crates' manifests by room.
fn manifests(files: &[File]) -> BTreeMap<String, &File> {
    let room = |path: &str| Some(path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?.to_owned());
    files.iter().filter_map(|file| Some((room(&file.path)?, file))).collect()
}

/// Every dependency that ends up in a program has its arrow, and every arrow between crates that exist is a dependency. What only
/// tests use needs no arrow.
fn arrows_hold(page: &str, files: &[File]) -> Vec<Violation> {
    let drawn = drawn(page);
    let manifests = manifests(files);
    let rooms: BTreeMap<String, &String> =
        manifests.iter().filter_map(|(room, file)| Some((package_name(&file.text)?, room))).collect();
    let mut violations = Vec::new();
    let mut real = Arrows::new();
    for (room, file) in &manifests {
        for dependency in dependencies(&file.text).filter(|dependency| dependency.table != Table::Tests) {
            let Some(to) = rooms.get(&dependency.name) else { continue };
            let arrow = (room.clone(), (*to).clone());
            if !drawn.contains(&arrow) {
                let what = format!("`{room}` depends on `{to}`: ARCHITECTURE.md has no such arrow");
                violations.push(Violation::new(&file.path, dependency.line, what));
            }
            real.insert(arrow);
        }
    }
    for (from, to) in drawn
        .difference(&real)
        .filter(|(from, to)| manifests.contains_key(from) && manifests.contains_key(to))
    {
        let what = format!("the arrow from `{from}` to `{to}` is no dependency");
        violations.push(Violation::new("ARCHITECTURE.md", 0, what));
    }
    violations
}

#[test]
fn the_arrows_are_the_dependencies() {
    let page = text("ARCHITECTURE.md");
    assert!(drawn(&page).len() >= 2, "the drawing of the rooms was not understood: {:?}", drawn(&page));
    report(&arrows_hold(&page, &files()));
}

#[test]
fn a_drawing_is_understood() {
    let page = "# A\n```\n\
                cli ──► lib ──► pgm ──► fec      the last ones are pure\n\
                \u{20}        ├────► broker (later)\n\
                \u{20}        └────► engine ──► x-y\n\
                fuzz/ and cli are more\n```\n";
    let drawn = drawn(page);
    let arrows: Vec<_> = drawn.iter().map(|(from, to)| format!("{from} {to}")).collect();
    assert_eq!(arrows, ["cli lib", "engine x-y", "lib broker", "lib engine", "lib pgm", "pgm fec"]);
}

#[test]
fn a_wrong_arrow_is_found() {
    let page = "```\na ──► b ──► later\n```\n";
    let manifest = |room: &str, text: &str| File {
        path: format!("crates/{room}/Cargo.toml"),
        text: format!("[package]\nname = \"x-{room}\"\n{text}"),
    };
    let held = |a: &str, b: &str| {
        let found = arrows_hold(page, &[manifest("a", a), manifest("b", b)]);
        found.iter().map(|found| (found.path.clone(), found.line)).collect::<Vec<_>>()
    };
    let to_a = "[dependencies]\nx-a.workspace = true\n";
    let to_b = "[target.'cfg(x)'.dependencies]\nserde.workspace = true\nx-b = { workspace = true }\n";
    assert_eq!(held(to_b, ""), []);
    assert_eq!(held("", ""), [("ARCHITECTURE.md".to_owned(), 0)]);
    assert_eq!(held(to_b, to_a), [("crates/b/Cargo.toml".to_owned(), 4)]);
    assert_eq!(held(to_b, &to_a.replace("[", "[dev-")), []);
}
