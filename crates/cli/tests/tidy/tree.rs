//! The tree: its files, and how a rule is held against them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the tree.
#[derive(Debug)]
pub(crate) struct File {
    /// From the root of the tree, with forward slashes.
    pub(crate) path: String,
    /// Empty where the file is not UTF-8: rules are about text.
    pub(crate) text: String,
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) path: String,
    /// From 1; 0 where it is the whole file that breaks the rule.
    pub(crate) line: usize,
    /// What is wrong, and what to do where that is not plain.
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// The root of the tree.
pub(crate) fn root() -> PathBuf {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    cli.ancestors().nth(2).expect("this crate stands two folders below the root").to_owned()
}

/// Every file that is part of the tree or about to be: tracked, or neither tracked nor ignored. Where there is no git, every file
/// outside the folders that hold what is built.
pub(crate) fn files() -> Vec<File> {
    let root = root();
    let mut paths = tracked(&root).unwrap_or_else(|| walked(&root));
    paths.sort();
    paths.dedup();
    // A path may be in git's index and gone from the folder: there is nothing to check then.
    let read = |path: String| Some((std::fs::read(root.join(&path)).ok()?, path));
    paths
        .into_iter()
        .filter_map(read)
        .map(|(bytes, path)| File { path, text: String::from_utf8(bytes).unwrap_or_default() })
        .collect()
}

/// The text of one file that must be there.
pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Holds a rule against every file whose path is chosen; panics with all violations, or when no file was chosen at all.
pub(crate) fn hold(chosen: impl Fn(&str) -> bool, rule: impl Fn(&str, &str) -> Vec<Violation>) {
    let mut held = 0;
    let mut violations = Vec::new();
    for file in files().iter().filter(|file| chosen(&file.path)) {
        held += 1;
        violations.extend(rule(&file.path, &file.text));
    }
    assert!(held > 0, "the rule was held against no file: its choice of files is wrong");
    report(&violations);
}

/// Panics with all violations, one a line.
pub(crate) fn report(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} violation(s):\n{}", lines.len(), lines.join("\n"));
}

/// Whether a path is Rust source.
pub(crate) fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// Whether a path is prose for people.
pub(crate) fn is_prose(path: &str) -> bool {
    path.ends_with(".md")
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let out = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|out| out.status.success())?;
    let names = String::from_utf8(out.stdout).ok()?;
    Some(names.split_terminator('\0').map(str::to_owned).collect())
}

fn walked(root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the tree can be read") {
            let entry = entry.expect("an entry of the tree can be read");
            let kind = entry.file_type().expect("an entry of the tree has a type");
            // In a second working tree of a repository `.git` is a file.
            if matches!(entry.file_name().to_str(), Some(".git" | "target")) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let below = entry.path().strip_prefix(root).expect("the walk began at the root").to_owned();
                paths.push(below.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    paths
}

#[test]
fn both_ways_of_listing_find_this_file() {
    let this = "crates/cli/tests/tidy/tree.rs".to_owned();
    assert!(walked(&root()).contains(&this));
    assert!(files().iter().any(|file| file.path == this && file.text.contains("fn walked")));
}

#[test]
#[should_panic(expected = "2 violation(s):\na.rs:1: bad\na.rs:7: worse")]
fn all_violations_are_reported() {
    report(&[Violation::new("a.rs", 1, "bad"), Violation::new("a.rs", 7, "worse")]);
}

#[test]
#[should_panic(expected = "held against no file")]
fn a_rule_that_chooses_no_file_fails() {
    hold(|_| false, |_, _| Vec::new());
}
