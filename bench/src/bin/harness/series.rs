//! How often a comparison is repeated, and where its figures go.

use std::cell::Cell;
use std::error::Error;
use std::fmt::Debug;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use campanile_bench::arguments::Arguments;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::page;
use crate::turns::Turns;

/// A series of rounds, as given on the command line.
pub(crate) struct Series {
    pub(crate) rounds: usize,
    /// Whether everything runs only for an instant, to prove that it works.
    pub(crate) is_quick: bool,
    is_printed: bool,
    /// The file in which rounds are kept, so that several runs form one series.
    gathered: Option<PathBuf>,
    /// When to stop beginning new rounds.
    until: Option<Instant>,
    /// Whether rounds are still missing.
    is_short: Cell<bool>,
}

/// A round as it is kept, in one line.
#[derive(Serialize, Deserialize)]
struct Round<S> {
    scene: String,
    samples: Vec<S>,
}

impl Series {
    /// Takes `--quick`, `--print` and `--rounds`, which defaults to `rounds`.
    pub(crate) fn take(arguments: &mut Arguments, rounds: usize) -> Result<Self, Box<dyn Error>> {
        let (is_quick, is_printed) = (arguments.flag("quick")?, arguments.flag("print")?);
        let rounds = arguments.option("rounds")?.unwrap_or(if is_quick { 1 } else { rounds }).max(1);
        let is_short = Cell::new(false);
        Ok(Self { rounds, is_quick, is_printed, gathered: None, until: None, is_short })
    }

    /// Takes `--gather` and `--minutes` as well.
    pub(crate) fn take_in_parts(arguments: &mut Arguments, rounds: usize) -> Result<Self, Box<dyn Error>> {
        let minutes: Option<f64> = arguments.option("minutes")?;
        let time = minutes.map(|minutes| Duration::try_from_secs_f64(minutes * 60.0)).transpose()?;
        let until = time.map(|time| Instant::now() + time);
        Ok(Self { gathered: arguments.option("gather")?, until, ..Self::take(arguments, rounds)? })
    }

    /// The rounds of a scene: those that were gathered, and as many of the missing ones as there is time for.
    pub(crate) fn turns<S: Debug + Serialize + DeserializeOwned>(
        &self,
        scene: &str,
        names: &[&'static str],
        mut measure: impl FnMut(usize) -> Result<S, Box<dyn Error>>,
    ) -> Result<Turns<S>, Box<dyn Error>> {
        let mut turns = Turns::of(names);
        for round in self.gathered(scene)? {
            turns.add(round);
        }
        while turns.rounds() < self.rounds {
            if self.until.is_some_and(|until| until <= Instant::now()) {
                self.is_short.set(true);
                break;
            }
            turns.round(&mut measure)?;
            self.gather(&Round { scene: scene.to_owned(), samples: turns.last() })?;
        }
        Ok(turns)
    }

    /// Whether the figures go into the documentation: if all rounds are there, unless they are only to be printed.
    pub(crate) fn is_recorded(&self) -> bool {
        !self.is_quick && !self.is_printed && !self.is_short.get()
    }

    /// Prints the tables, and puts them into the page under this name if they are recorded.
    pub(crate) fn publish(&self, name: &str, text: &str) -> Result<(), Box<dyn Error>> {
        println!("{text}");
        if self.is_recorded() { page::write(name, text) } else { Ok(()) }
    }

    fn gathered<S: DeserializeOwned>(&self, scene: &str) -> Result<Vec<Vec<S>>, Box<dyn Error>> {
        let Some(path) = &self.gathered else { return Ok(Vec::new()) };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut rounds = Vec::new();
        for line in text.lines() {
            // The file also has rounds of other scenes, with other samples.
            let head: Round<serde::de::IgnoredAny> = serde_json::from_str(line)?;
            if head.scene == scene {
                rounds.push(serde_json::from_str::<Round<S>>(line)?.samples);
            }
        }
        Ok(rounds)
    }

    fn gather<S: Serialize>(&self, round: &Round<S>) -> Result<(), Box<dyn Error>> {
        let Some(path) = &self.gathered else { return Ok(()) };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(writeln!(file, "{}", serde_json::to_string(round)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(words: &[&str]) -> Series {
        let mut arguments = Arguments::parse(words.iter().map(|&word| word.to_owned()));
        Series::take_in_parts(&mut arguments, 3).expect("a series")
    }

    #[test]
    fn what_is_gathered_is_not_measured_again() {
        let folder = tempfile::tempdir().expect("a new directory");
        let path = folder.path().join("rounds");
        let words = ["--gather", path.to_str().expect("a name in letters")];
        let names = ["a", "b"];
        let none = series(&[&words[..], &["--minutes", "0"]].concat());
        let turns: Turns<f64> =
            none.turns("one", &names, |_| Err("no time".into())).expect("nothing is measured");
        assert_eq!((turns.rounds(), none.is_recorded()), (0, false));
        let mut measured = 0;
        let mut measure = |at: usize| {
            measured += 1;
            Ok(at as f64)
        };
        let two = series(&[&words[..], &["--rounds", "2"]].concat());
        two.turns("one", &names, &mut measure).expect("two rounds");
        two.turns("other", &names[..1], &mut measure).expect("two rounds");
        let all = series(&words);
        let turns = all.turns("one", &names, &mut measure).expect("one more");
        assert_eq!((measured, turns.rounds(), all.is_recorded()), (4 + 2 + 2, 3, true));
        assert_eq!(turns.figures("b", |&sample| sample).collect::<Vec<_>>(), [1.0; 3]);
    }
}
