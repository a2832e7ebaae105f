//! The command-line reference: what `--help` says of every command, kept in `reference.txt` so that a change of it is seen.

use super::process::run;

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
        let examples = finished.stdout.lines().skip_while(|line| *line != "Examples:").skip(1);
        for line in examples.take_while(|line| !line.is_empty()) {
            let is_whole = line.contains("campanile ") || line.starts_with("            ");
            assert!(is_whole, "an example is wider than help is, and its end stands alone: {line:?}");
        }
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
