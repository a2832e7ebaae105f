//! Words that the tree does without.

use super::source::{code, numbered, words};
use super::tree::{File, Violation, files, hold, is_rust, report};

/// Marks of work that is not done. In two parts, so that this file may stand in the tree.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// The beginnings of paths that only one person's machine has. In two parts, as above.
const MACHINES: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!(":\\Us", "ers\\"),
];

/// Names of files and folders that say nothing of what is inside.
const NAMELESS: [&str; 6] = ["helper", "helpers", "manager", "misc", "util", "utils"];

fn is_written_by_hand(path: &str) -> bool {
    !path.ends_with("Cargo.lock")
}

fn is_finished(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in numbered(text) {
        for (word, _) in words(line).filter(|(word, _)| UNFINISHED.contains(word)) {
            violations.push(Violation::new(
                path,
                number,
                format!("`{word}`: finish it, or make it an issue"),
            ));
        }
    }
    violations
}

fn names_no_machine(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in numbered(text) {
        for start in MACHINES {
            let inside = |at: usize| {
                line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/'))
            };
            if line.match_indices(start).any(|(at, _)| start.starts_with(':') || !inside(at)) {
                violations.push(Violation::new(path, number, format!("a path of one machine: `{start}`")));
            }
        }
    }
    violations
}

/// Tests that are compiled and never run.
fn ignores_no_test(path: &str, text: &str) -> Vec<Violation> {
    let code = code(text);
    let attributes = numbered(&code).filter(|(_, line)| {
        let mut words = words(line).map(|(word, _)| word);
        line.contains("#[") && words.any(|word| word == "ignore")
    });
    let fences = numbered(text).filter(|(_, line)| {
        let fence = line.trim_start().trim_start_matches(['/', '!']).trim_start().strip_prefix("```");
        fence.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == "ignore"))
    });
    let lines = attributes.chain(fences).map(|(number, _)| number);
    lines.map(|number| Violation::new(path, number, "an ignored test is no test")).collect()
}

fn re_exports_by_name(path: &str, text: &str) -> Vec<Violation> {
    let code = code(text);
    let is_glob = |line: &str| line.trim_start().starts_with("pub use ") && line.contains("::*");
    let globs = numbered(&code).filter(|(_, line)| is_glob(line));
    globs.map(|(number, _)| Violation::new(path, number, "a glob re-export: name what is public")).collect()
}

fn has_telling_name(path: &str) -> Vec<Violation> {
    let says_nothing = path.split(['/', '_', '-', '.']).any(|part| NAMELESS.contains(&part));
    let violation = || Violation::new(path, 0, "a name that says nothing of what is inside");
    says_nothing.then(violation).into_iter().collect()
}

#[test]
fn nothing_is_unfinished() {
    hold(is_written_by_hand, is_finished);
}

#[test]
fn unfinished_work_is_found() {
    for word in UNFINISHED {
        assert_eq!(is_finished("a.md", &format!("ok\n# {word}: later\n"))[0].line, 2);
        assert_eq!(is_finished("a.md", &word.to_lowercase()), []);
    }
}

#[test]
fn no_machine_is_named() {
    hold(is_written_by_hand, names_no_machine);
}

#[test]
fn a_path_of_one_machine_is_found() {
    for start in MACHINES {
        assert_eq!(names_no_machine("a.sh", &format!("\ncd \"{start}me\"\n"))[0].line, 2, "{start}");
    }
    assert_eq!(names_no_machine("a.sh", &format!("target{}x", MACHINES[0])), []);
    assert_eq!(names_no_machine("a.sh", "/usr/bin/env /proc/self"), []);
}

#[test]
fn no_test_is_ignored() {
    hold(is_rust, ignores_no_test);
}

#[test]
fn an_ignored_test_is_found() {
    let lines = |text: &str| ignores_no_test("a.rs", text).iter().map(|found| found.line).collect::<Vec<_>>();
    assert_eq!(lines("#[test]\n#[ignore]\nfn f() {}"), [2]);
    assert_eq!(lines("#[cfg_attr(miri, ignore = \"slow\")]"), [1]);
    assert_eq!(lines("/// ```rust,ignore\n/// x\n/// ```"), [1]);
    assert_eq!(lines("fn ignore() {}\n// #[ignore]\n/// ```no_run\n"), []);
}

#[test]
fn re_exports_are_named() {
    hold(is_rust, re_exports_by_name);
}

#[test]
fn a_glob_re_export_is_found() {
    assert_eq!(re_exports_by_name("a.rs", "use a::*;\n    pub use b::{C, D};\npub use e::*;")[0].line, 3);
}

#[test]
fn files_have_telling_names() {
    let violations: Vec<_> = files().iter().flat_map(|File { path, .. }| has_telling_name(path)).collect();
    report(&violations);
}

#[test]
fn a_name_that_says_nothing_is_found() {
    for name in NAMELESS {
        assert_eq!(has_telling_name(&format!("crates/a/src/{name}.rs")).len(), 1);
        assert_eq!(has_telling_name(&format!("crates/a/tests/socket_{name}/mod.rs")).len(), 1);
    }
    assert_eq!(has_telling_name("crates/a/src/utility.rs"), []);
}
