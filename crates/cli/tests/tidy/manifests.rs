//! One place for every dependency's version, and a reason beside it.

use std::collections::BTreeSet;

use super::source::numbered;
use super::tree::{Violation, files, hold, report, text};

/// What a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// The product, or building it.
    Product,
    /// Tests, examples and benches.
    Tests,
    /// The workspace's list of versions.
    Versions,
}

/// A dependency of a manifest, as it is written.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) line: usize,
    pub(crate) table: Table,
    pub(crate) name: String,
    /// What stands after the name: `.workspace = true`, ` = "1.0"`, and the rest of the line. Empty for a table of its own.
    pub(crate) value: String,
}

/// The dependencies of a manifest. Values that go over several lines are known by their first one.
pub(crate) fn dependencies(manifest: &str) -> impl Iterator<Item = Dependency> {
    let mut table = None;
    numbered(manifest).filter_map(move |(line, text)| {
        if let Some(header) = text.trim().strip_prefix('[') {
            let header = header.split_once(']').map_or(header, |(header, _)| header);
            let (kind, own) = dependency_table(header);
            table = kind.filter(|_| own.is_none());
            return Some(Dependency { line, table: kind?, name: own?.to_owned(), value: String::new() });
        }
        // A key stands at the beginning of its line: inner lines of a list are indented.
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))?;
        let (name, value) = text.split_at(end);
        let table = table.filter(|_| end > 0)?;
        Some(Dependency { line, table, name: name.to_owned(), value: value.to_owned() })
    })
}

/// The name of a manifest's package.
pub(crate) fn package_name(manifest: &str) -> Option<String> {
    let (_, package) = manifest.split_once("[package]")?;
    let value = package.lines().find_map(|line| line.trim().strip_prefix("name"))?;
    Some(value.trim_start_matches([' ', '=']).trim_matches('"').to_owned())
}

/// Which dependencies a table of this header holds, and the name in it where it is one dependency's own table.
fn dependency_table(header: &str) -> (Option<Table>, Option<&str>) {
    let (before, own) = match header.rsplit_once("dependencies") {
        Some((before, "")) => (before, None),
        Some((before, own)) => (before, own.strip_prefix('.')),
        None => return (None, None),
    };
    let table = match before {
        "workspace." => Table::Versions,
        _ if before.ends_with("dev-") => Table::Tests,
        _ => Table::Product,
    };
    (Some(table), own)
}

fn is_crate_manifest(path: &str) -> bool {
    path.starts_with("crates/") && path.ends_with("/Cargo.toml")
}

/// A crate's manifest takes every version, and the lints, from the workspace.
fn takes_from_workspace(path: &str, manifest: &str) -> Vec<Violation> {
    let taken =
        |value: &str| value.starts_with(".workspace = true") || value.starts_with(" = { workspace = true");
    let mut violations: Vec<_> = dependencies(manifest)
        .filter(|dependency| !taken(&dependency.value))
        .map(|found| {
            (found.line, format!("`{}` does not take its version from the root Cargo.toml", found.name))
        })
        .map(|(line, what)| Violation::new(path, line, what))
        .collect();
    if !manifest.contains("[lints]\nworkspace = true") {
        violations.push(Violation::new(path, 0, "the lints of the workspace are not taken"));
    }
    violations
}

/// A dependency of the root manifest has a reason, at the end of its line or on the line above, and a crate that uses it.
fn has_reason_and_user(path: &str, manifest: &str, used: &BTreeSet<String>) -> Vec<Violation> {
    let lines: Vec<&str> = manifest.lines().collect();
    let mut violations = Vec::new();
    for found in dependencies(manifest).filter(|found| found.table == Table::Versions) {
        let ours = found.value.contains("path = ");
        let above = found.line.checked_sub(2).is_some_and(|above| lines[above].starts_with('#'));
        if !ours && !above && !found.value.contains(" # ") {
            violations.push(Violation::new(path, found.line, format!("no reason beside `{}`", found.name)));
        }
        if !ours && !used.contains(&found.name) {
            violations.push(Violation::new(path, found.line, format!("no crate uses `{}`", found.name)));
        }
    }
    violations
}

#[test]
fn crates_take_from_the_workspace() {
    hold(is_crate_manifest, takes_from_workspace);
}

#[test]
fn a_version_in_a_crate_is_found() {
    let held = |body: &str| {
        let manifest = format!("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n\n{body}\n");
        takes_from_workspace("crates/a/Cargo.toml", &manifest)
            .iter()
            .map(|found| found.line)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        held(
            "[dependencies]\nlibc.workspace = true\nserde = { workspace = true, features = [\n    \"x\",\n] }"
        ),
        []
    );
    assert_eq!(held("[dependencies]\nlibc = \"0.2\""), [8]);
    assert_eq!(held("[dev-dependencies]\nlibc.workspace = true\na = { path = \"../a\" }"), [9]);
    assert_eq!(held("[target.'cfg(windows)'.build-dependencies]\nlibc = { version = \"0.2\" }"), [8]);
    assert_eq!(held("[dependencies.libc]\nversion = \"0.2\""), [7]);
    assert_eq!(held("[features]\nlibc = []"), []);
    assert_eq!(takes_from_workspace("crates/a/Cargo.toml", "[dependencies]\n").len(), 1);
}

#[test]
fn versions_have_reasons_and_users() {
    let used = |path: &str, text: &str| {
        is_crate_manifest(path).then(|| dependencies(text).map(|found| found.name).collect())
    };
    let used: Vec<Vec<String>> = files().iter().filter_map(|file| used(&file.path, &file.text)).collect();
    let used = used.into_iter().flatten().collect();
    report(&has_reason_and_user("Cargo.toml", &text("Cargo.toml"), &used));
}

#[test]
fn a_version_without_reason_or_user_is_found() {
    let used = ["libc".to_owned(), "serde".to_owned()].into();
    let manifest = "[workspace.dependencies]\nours = { path = \"x\" }\nlibc = \"0.2\" # calls\n\nserde = \"1\"\nidle = \"1\" # why\n";
    let found = has_reason_and_user("Cargo.toml", manifest, &used);
    assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn a_package_is_known_by_name() {
    assert_eq!(package_name("[package]\nname = \"campanile-cli\"\n").as_deref(), Some("campanile-cli"));
    assert_eq!(package_name("[workspace]\n"), None);
}
