//! Commands that the pages show exist.

use std::collections::BTreeSet;
use std::process::Command;

use super::prose::{Line, lines, spans};
use super::tree::{Violation, files, hold, is_prose, report, text};

/// Commands of cargo itself, and of the two extensions whose installation a page shows beside them: deny and fuzz.
const CARGO: [&str; 12] =
    ["bench", "build", "check", "clippy", "deny", "doc", "fmt", "fuzz", "install", "run", "test", "update"];

/// What can be called.
struct Known {
    /// Subcommands of `campanile`.
    campanile: BTreeSet<String>,
    /// Subcommands of `cargo`, the aliases included.
    cargo: BTreeSet<String>,
}

impl Known {
    fn shown_exist(&self, path: &str, page: &str) -> Vec<Violation> {
        let all: Vec<_> = lines(page).collect();
        let mut violations = Vec::new();
        for (index, (number, line)) in all.iter().enumerate() {
            let commands: Vec<&str> = match line {
                Line::Text(line) => spans(line).collect(),
                Line::Fenced("text" | "json" | "toml" | "rust", _) => Vec::new(),
                Line::Fenced(_, line) if has_prompt(&all, index) => {
                    line.strip_prefix("$ ").into_iter().collect()
                }
                Line::Fenced(_, line) => vec![line],
            };
            let unknown = commands.into_iter().filter_map(|command| self.unknown(command));
            violations.extend(unknown.map(|what| Violation::new(path, *number, what)));
        }
        violations
    }

    /// What is wrong with a command line, if something is.
    fn unknown(&self, line: &str) -> Option<String> {
        let is_variable =
            |word: &&str| word.contains('=') && word.starts_with(|c: char| c.is_ascii_uppercase());
        let mut words = line.split_whitespace().skip_while(is_variable);
        let program = words.next()?;
        match program.rsplit('/').next()? {
            "campanile" | "campanile.exe" => self.unknown_subcommand(words),
            "cargo" => {
                let name = words.find(|word| !word.starts_with(['+', '-']))?;
                if is_word(name) && !self.cargo.contains(name) {
                    return Some(format!(
                        "no command `cargo {name}`: neither cargo's own nor in .cargo/config.toml"
                    ));
                }
                let arguments: Vec<&str> = words.collect();
                let other = |word: &&str| {
                    matches!(*word, "--bin" | "--example" | "--manifest-path" | "--package" | "-p")
                };
                let after = arguments.iter().position(|word| *word == "--")? + 1;
                let ours = name == "run" && !arguments[..after].iter().any(other);
                ours.then(|| self.unknown_subcommand(arguments[after..].iter().copied()))?
            }
            _ => None,
        }
    }

    fn unknown_subcommand<'a>(&self, mut words: impl Iterator<Item = &'a str>) -> Option<String> {
        let name = words.next().filter(|word| is_word(word))?;
        let what = format!("no subcommand `campanile {name}`");
        (!self.campanile.contains(name)).then_some(what)
    }
}

/// Whether a word is the name of a command, and not a placeholder, an option or punctuation.
fn is_word(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Whether the fenced block around a line shows commands by a prompt; its other lines are what they print.
fn has_prompt(lines: &[(usize, Line<'_>)], at: usize) -> bool {
    let prompt =
        |(_, line): &(usize, Line<'_>)| matches!(line, Line::Fenced(_, line) if line.starts_with("$ "));
    // Lines of one block are numbered without a gap: the fences between blocks are left out.
    let together = |pair: &[(usize, Line<'_>)]| pair[0].0 + 1 == pair[1].0;
    let start = (1..=at).rev().find(|&i| !together(&lines[i - 1..=i])).unwrap_or(0);
    let end = (at + 1..lines.len()).find(|&i| !together(&lines[i - 1..=i])).unwrap_or(lines.len());
    lines[start..end].iter().any(prompt)
}

/// The subcommands in the help text of the program.
fn subcommands(help: &str) -> BTreeSet<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let entry = |line: &str| {
        line.strip_prefix("  ").filter(|line| line.starts_with(|c: char| c != ' ')).map(first_word)
    };
    listed.take_while(|line| !line.is_empty()).filter_map(entry).collect()
}

fn first_word(line: &str) -> String {
    line.split_whitespace().next().unwrap_or(line).to_owned()
}

/// The aliases in cargo's configuration.
fn aliases(config: &str) -> impl Iterator<Item = String> {
    let listed = config.lines().skip_while(|line| *line != "[alias]").skip(1);
    listed.take_while(|line| !line.starts_with('[')).filter(|line| line.contains(" = ")).map(first_word)
}

/// Commands without a file of their own: the path of the command is the path of the file.
fn homeless(commands: &BTreeSet<String>, paths: &BTreeSet<String>) -> Vec<Violation> {
    let file = |command: &String| format!("crates/cli/src/{}.rs", command.replace('-', "_"));
    let homeless =
        commands.iter().filter(|command| *command != "help").map(file).filter(|file| !paths.contains(file));
    homeless.map(|file| Violation::new(&file, 0, "a command without a file of its own")).collect()
}

fn real_subcommands() -> BTreeSet<String> {
    let out = Command::new(env!("CARGO_BIN_EXE_campanile"))
        .arg("--help")
        .output()
        .expect("the program can be started");
    subcommands(&String::from_utf8(out.stdout).expect("help is text"))
}

#[test]
fn shown_commands_exist() {
    let cargo = CARGO.map(str::to_owned).into_iter().chain(aliases(&text(".cargo/config.toml"))).collect();
    let known = Known { campanile: real_subcommands(), cargo };
    hold(is_prose, |path, text| known.shown_exist(path, text));
}

#[test]
fn a_shown_command_that_does_not_exist_is_found() {
    let known =
        Known { campanile: ["echo".to_owned()].into(), cargo: ["run".to_owned(), "lint".to_owned()].into() };
    let page = "`campanile echo PORT`, `campanile`, `campanile --help`, `cargo lint`\n\
                `campanile ecco`\n\
                ```sh\ncargo run --release -- echo 7\ncargo run -- ecco\nA=b cargo lint\ncargo lnt\n./campanile ecco\n```\n\
                ```\n$ campanile echo 7\ncampanile is running\n$ campanile ecco\n```\n\
                ```text\ncampanile is fine\n```\n`cargo run --example x -- y`\n";
    let found = known.shown_exist("README.md", page);
    assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [2, 5, 7, 8, 13]);
}

#[test]
fn every_command_has_its_file() {
    let commands = real_subcommands();
    assert!(!commands.is_empty(), "the help of campanile lists no commands");
    report(&homeless(&commands, &files().into_iter().map(|file| file.path).collect()));
}

/// Among several programs `cargo run` knows what is meant by this alone, and the first command of README.md is one.
#[test]
fn cargo_run_means_campanile() {
    let manifests: Vec<String> = files().into_iter().map(|file| file.path).collect();
    let manifests =
        manifests.iter().filter(|path| path.starts_with("crates/") && path.ends_with("/Cargo.toml"));
    let named: Vec<&str> =
        manifests.filter(|path| text(path).contains("\ndefault-run = ")).map(String::as_str).collect();
    assert_eq!(named, ["crates/cli/Cargo.toml"]);
    assert!(text(named[0]).contains("\ndefault-run = \"campanile\""));
}

#[test]
fn a_command_without_a_file_is_found() {
    let commands = subcommands(
        "A\n\nCommands:\n  echo   Send back\n         what came\n  a-b    C\n  help   D\n\nOptions:\n  -h\n",
    );
    assert_eq!(commands.iter().collect::<Vec<_>>(), ["a-b", "echo", "help"]);
    let paths = ["crates/cli/src/a_b.rs".to_owned()].into();
    assert_eq!(homeless(&commands, &paths)[0].path, "crates/cli/src/echo.rs");
}

#[test]
fn aliases_are_read() {
    assert_eq!(aliases("[build]\nx = 1\n[alias]\nlint = \"clippy\"\n").collect::<Vec<_>>(), ["lint"]);
}
