//! The command-line reference: what `--help` says of every command, kept in `reference.txt` so that a change of it is seen.

use super::process::{Finished, campanile, run};

const KEPT: &str = include_str!("../reference.txt");
const RENEW: &str = "CAMPANILE_RENEW_REFERENCE";

#[test]
fn the_reference_is_what_the_program_says() {
    let mut said = String::new();
    let commands = [
        "",
        "send ",
        "recv ",
        "echo ",
        "load ",
        "beacon ",
        "beacon send ",
        "beacon listen ",
        "decode ",
        "doctor ",
        "demo ",
    ];
    for command in commands {
        let finished = run(&format!("{command}--help"));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        // Examples, and what follows them, look alike on the narrowest terminal that is usual.
        let narrow = campanile(&format!("{command}--help")).env("COLUMNS", "80").output();
        let narrow = Finished::from(narrow.expect("it runs"));
        assert_eq!(examples(&narrow.stdout), examples(&finished.stdout), "{command}");
        said += &format!("$ campanile {command}--help\n{}\n", finished.stdout);
    }
    if std::env::var_os(RENEW).is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference.txt");
        std::fs::write(path, &said).expect("the source tree can be written");
        return;
    }
    let kept = KEPT.replace("\r\n", "\n");
    let differs = said.lines().zip(kept.lines()).find(|(said, kept)| said != kept);
    assert!(
        said == kept,
        "reference.txt is out of date (said, kept): {differs:?}\n\
         if the change is meant: {RENEW}=1 cargo test -p campanile-cli --test command reference"
    );
}

/// What a page shows from its examples to its exit codes; the options of `--set` behind them are as wide as the terminal is.
fn examples(page: &str) -> Option<&str> {
    let (_, shown) = page.split_once("\nExamples:\n")?;
    Some(shown.split_once("\n\nOptions for").map_or(shown, |(shown, _)| shown))
}
