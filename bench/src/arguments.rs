//! Command lines of the form `WORD... --flag --name value`.

use std::collections::BTreeMap;
use std::str::FromStr;

/// A command line that is split into parts, which are then taken one by one: anything left at the end is an error.
#[derive(Debug)]
pub struct Arguments {
    words: Vec<String>,
    options: BTreeMap<String, Option<String>>,
}

impl Arguments {
    /// Splits a command line. An option's value is the next argument, unless that begins with two dashes.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut arguments = arguments.into_iter().peekable();
        let (mut words, mut options) = (Vec::new(), BTreeMap::new());
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix("--") {
                Some(name) => {
                    let value = arguments.next_if(|next| !next.starts_with("--"));
                    options.insert(name.to_owned(), value);
                }
                None => words.push(argument),
            }
        }
        words.reverse();
        Self { words, options }
    }

    /// The next word.
    ///
    /// # Errors
    /// There is none, or it is not a `T`; `name` says what was expected.
    pub fn word<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        let word = self.words.pop().ok_or_else(|| format!("{name} is missing"))?;
        word.parse().map_err(|_| format!("'{word}' is no {name}"))
    }

    /// The value of an option, if it is given.
    ///
    /// # Errors
    /// It has no value, or one that is not a `T`.
    pub fn option<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.options.remove(name) else { return Ok(None) };
        let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
        value.parse().map(Some).map_err(|_| format!("'{value}' is no value for --{name}"))
    }

    /// The value of a required option.
    ///
    /// # Errors
    /// As [`Self::option`], and when it is missing.
    pub fn required<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        self.option(name)?.ok_or_else(|| format!("--{name} is missing"))
    }

    /// Whether a flag is given.
    ///
    /// # Errors
    /// It was given a value.
    pub fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.options.remove(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => Err(format!("--{name} takes no value, '{value}' was given")),
        }
    }

    /// Ends the parse.
    ///
    /// # Errors
    /// There are arguments that were not taken.
    pub fn end(mut self) -> Result<(), String> {
        if let Some(word) = self.words.pop() {
            return Err(format!("'{word}' was not expected"));
        }
        match self.options.pop_first() {
            Some((name, _)) => Err(format!("--{name} is no option here")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_and_options() {
        let mut arguments = parse("udp --quick --rounds 3 last");
        assert_eq!(arguments.word::<String>("mode"), Ok("udp".to_owned()));
        assert_eq!(arguments.flag("quick"), Ok(true));
        assert_eq!(arguments.flag("slow"), Ok(false));
        assert_eq!(arguments.option("rounds"), Ok(Some(3)));
        assert_eq!(arguments.option::<u32>("rounds"), Ok(None));
        assert_eq!(arguments.word::<String>("mode"), Ok("last".to_owned()));
        assert_eq!(arguments.end(), Ok(()));
    }

    #[test]
    fn mistakes_name_the_value() {
        assert_eq!(parse("x").word::<u16>("port"), Err("'x' is no port".to_owned()));
        assert_eq!(parse("").word::<u16>("port"), Err("port is missing".to_owned()));
        assert_eq!(parse("--rate x").option::<u64>("rate"), Err("'x' is no value for --rate".to_owned()));
        assert_eq!(parse("--rate").required::<u64>("rate"), Err("--rate needs a value".to_owned()));
        assert_eq!(parse("").required::<u64>("rate"), Err("--rate is missing".to_owned()));
        assert!(parse("--quick yes").flag("quick").is_err());
        assert_eq!(parse("x").end(), Err("'x' was not expected".to_owned()));
        assert_eq!(parse("--x 1").end(), Err("--x is no option here".to_owned()));
    }
}
