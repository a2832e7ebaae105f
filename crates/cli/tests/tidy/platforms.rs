//! Code for one system stands behind the engine's switch.

use super::source::{code, words};
use super::tree::{Violation, hold, is_rust};

/// Words that choose a system inside a `cfg`.
const SYSTEMS: [&str; 7] =
    ["linux", "target_env", "target_family", "target_os", "target_vendor", "unix", "windows"];

/// Modules of the standard library that only one system has.
const MODULES: [&str; 4] = ["fd", "linux", "unix", "windows"];

fn is_portable(path: &str) -> bool {
    let switched = path == "crates/engine/src/sys.rs" || path.starts_with("crates/engine/src/sys/");
    is_rust(path) && path.starts_with("crates/") && !switched
}

fn chooses_no_system(path: &str, text: &str) -> Vec<Violation> {
    let code = code(text);
    let choices = words(&code)
        .filter(|(word, _)| matches!(*word, "cfg" | "cfg_attr"))
        .filter(|(_, after)| words(argument(after)).any(|(word, _)| SYSTEMS.contains(&word)))
        .map(|(word, after)| (after, format!("`{word}` of a system outside crates/engine/src/sys")));
    let modules = words(&code)
        .filter(|(word, after)| {
            *word == "os" && words(after).next().is_some_and(|(next, _)| MODULES.contains(&next))
        })
        .filter(|(_, after)| after.starts_with("::"))
        .map(|(_, after)| {
            (after, "a system's part of the standard library outside crates/engine/src/sys".to_owned())
        });
    choices
        .chain(modules)
        .map(|(after, what)| Violation::new(path, line_before(&code, after), what))
        .collect()
}

/// What stands between the parentheses that `text` begins with, if it does.
fn argument(text: &str) -> &str {
    let opened = text.trim_start_matches('!').trim_start();
    let mut depth = 0;
    for (at, c) in opened.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &opened[..at];
        }
    }
    opened
}

/// The number of the line on which `tail`, an end of `text`, begins.
fn line_before(text: &str, tail: &str) -> usize {
    text[..text.len() - tail.len()].matches('\n').count() + 1
}

#[test]
fn only_the_switch_chooses_a_system() {
    hold(is_portable, chooses_no_system);
}

#[test]
fn a_choice_of_system_is_found() {
    let lines =
        |text: &str| chooses_no_system("a.rs", text).iter().map(|found| found.line).collect::<Vec<_>>();
    assert_eq!(lines("\n#[cfg(windows)]\nmod a;"), [2]);
    assert_eq!(lines("#[cfg(all(test,\n    target_os = \"linux\"))]"), [1]);
    assert_eq!(lines("if cfg!(unix) {}"), [1]);
    assert_eq!(lines("#[cfg_attr(windows, path = \"w.rs\")]"), [1]);
    assert_eq!(lines("use std::io;\nuse std::os::unix::net::UnixStream;"), [2]);
    assert_eq!(lines("fn f(os: fd) {}"), []);
    assert_eq!(lines("#[cfg(test)]\nmod windows { fn unix() {} }\n// #[cfg(unix)]"), []);
}

#[test]
fn the_switch_is_the_only_place() {
    assert!(is_portable("crates/engine/src/pool.rs") && is_portable("crates/cli/tests/echo.rs"));
    assert!(!is_portable("crates/engine/src/sys.rs") && !is_portable("crates/engine/src/sys/linux/uring.rs"));
}
