//! Files stay small: a larger one holds a second noun.

use super::tree::{File, Violation, files, report};

/// Lines that a file of source may have.
const SOURCE: usize = 600;

/// Lines that the bird's-eye view may have.
const ARCHITECTURE: usize = 250;

/// A file that is larger than it should be.
struct Allowed {
    path: &'static str,
    /// What it has now: it may shrink, and not grow.
    lines: usize,
    /// Why it is not cut.
    reason: &'static str,
}

const ALLOWED: &[Allowed] = &[];

fn limit(path: &str) -> Option<usize> {
    match path {
        "ARCHITECTURE.md" => Some(ARCHITECTURE),
        _ if path.ends_with(".rs") || path.ends_with(".c") || path.starts_with(".ci/") => Some(SOURCE),
        _ => None,
    }
}

fn fits(path: &str, text: &str, allowed: &[Allowed]) -> Vec<Violation> {
    let Some(limit) = limit(path) else { return Vec::new() };
    let lines = text.lines().count();
    let entry = allowed.iter().find(|entry| entry.path == path);
    let what = match entry {
        None if lines > limit => format!("{lines} lines, {limit} at most: look for the second noun"),
        Some(entry) if lines <= limit => format!("fits now: take it off the list ({})", entry.reason),
        Some(entry) if lines > entry.lines => {
            format!("{lines} lines, it was allowed {} ({})", entry.lines, entry.reason)
        }
        _ => return Vec::new(),
    };
    vec![Violation::new(path, 0, what)]
}

/// Entries of the list whose file is gone, or that say no reason.
fn stale(files: &[File], allowed: &[Allowed]) -> Vec<Violation> {
    let exists = |entry: &Allowed| files.iter().any(|file| file.path == entry.path);
    let stale = allowed.iter().filter(|entry| !exists(entry) || entry.reason.is_empty());
    stale
        .map(|entry| Violation::new(entry.path, 0, "an entry of the list without a file or a reason"))
        .collect()
}

#[test]
fn files_are_small() {
    let files = files();
    let mut violations = stale(&files, ALLOWED);
    violations.extend(files.iter().flat_map(|file| fits(&file.path, &file.text, ALLOWED)));
    report(&violations);
}

#[test]
fn a_large_file_is_found() {
    let allowed = [Allowed { path: "big.rs", lines: 700, reason: "a table" }];
    let found = |path: &str, lines: usize| fits(path, &"x\n".repeat(lines), &allowed).len();
    assert_eq!((found("a.rs", SOURCE), found("a.rs", SOURCE + 1)), (0, 1));
    assert_eq!((found("big.rs", 700), found("big.rs", 701)), (0, 1));
    assert_eq!(found("big.rs", SOURCE), 1, "the entry is not needed any more");
    assert_eq!((found("ARCHITECTURE.md", ARCHITECTURE + 1), found("Cargo.lock", 9999)), (1, 0));
    assert_eq!(stale(&[], &allowed).len(), 1);
}
