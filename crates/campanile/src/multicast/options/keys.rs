//! The names of the options.

use super::values::Taken;
use super::{KEYS, OptionError, Options};

/// An option by its name.
#[derive(Debug)]
pub struct Key {
    /// Its name in TOML, on command lines and in the documentation.
    pub name: &'static str,
    /// What its value is: a unit, or the choices.
    pub unit: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// Which side it is for.
    pub side: Side,
    pub(super) set: fn(&mut Options, &str) -> Taken<()>,
    pub(super) show: fn(&Options) -> String,
}

/// Which side an option is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Publishers and subscribers.
    Both,
    /// Publishers.
    Sending,
    /// Subscribers.
    Receiving,
}

impl Key {
    /// The value of the option in `options`, in the form in which it is given.
    #[must_use]
    pub fn value(&self, options: &Options) -> String {
        (self.show)(options)
    }

    /// The default value; empty for none.
    #[must_use]
    pub fn default(&self) -> String {
        self.value(&Options::default())
    }
}

impl Options {
    /// Sets one option by its name.
    ///
    /// # Errors
    ///
    /// There is no such option, or it does not take this value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        let key = KEYS.iter().find(|key| key.name == name).ok_or_else(|| unknown(name))?;
        (key.set)(self, value).map_err(|takes| OptionError::Value {
            name: key.name,
            value: value.to_owned(),
            takes,
        })
    }

    /// The defaults, changed by a TOML text of `name = value` lines. Values are strings as on a command line, numbers, booleans, or
    /// lists of these. A `preset` is applied before everything else.
    ///
    /// # Errors
    ///
    /// The text is not TOML, a name is not an option, or a value is not accepted.
    pub fn from_toml(text: &str) -> Result<Self, OptionError> {
        let mut options = Options::default();
        options.set_toml(text)?;
        Ok(options)
    }

    /// Sets all options that a TOML text names, as [`Options::from_toml`] does.
    ///
    /// # Errors
    ///
    /// The same; the options before the one that is at fault are set.
    pub fn set_toml(&mut self, text: &str) -> Result<(), OptionError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
            OptionError::Toml { line, message: error.message().to_owned() }
        })?;
        let (presets, others): (Vec<_>, Vec<_>) = table.iter().partition(|(name, _)| *name == PRESET);
        for (name, value) in presets.into_iter().chain(others) {
            self.set(name, &plain(value))?;
        }
        Ok(())
    }
}

/// A TOML value as it is written on a command line.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(members) => members.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn unknown(name: &str) -> OptionError {
    let nearest = KEYS.iter().min_by_key(|key| distance(name, key.name)).map_or("", |key| key.name);
    OptionError::Unknown { name: name.to_owned(), nearest }
}

/// How many letters must be inserted, removed or replaced to turn one name into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().take(NAME_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Longer names are not typing errors.
const NAME_MAX: usize = 64;

/// The option that sets several others.
pub(super) const PRESET: &str = "preset";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::multicast::options::Rate;

    #[test]
    fn what_is_shown_can_be_set() {
        let mut options = Options::default();
        for key in KEYS {
            let shown = key.default();
            if !shown.is_empty() {
                assert_eq!(options.set(key.name, &shown), Ok(()), "{}", key.name);
            }
        }
        assert_eq!(options, Options::default());
    }

    #[test]
    fn the_page_has_every_option() {
        let page = include_str!("../../../../../docs/multicast.md");
        for key in KEYS {
            let Key { name, unit, doc, .. } = key;
            let unit = unit.replace('|', "\\|");
            let default = key.default();
            let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
            let row = format!("| `{name}` | {unit} | {default} | {doc} |");
            assert!(page.contains(&row), "docs/multicast.md lacks\n{row}");
        }
        let (_, options) = page.split_once("\n## Options\n").expect("a section of options");
        let rows = options.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(rows.count(), KEYS.len(), "docs/multicast.md has options that are none");
    }

    #[test]
    fn names_are_unique_and_lower_case() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(key.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", key.name);
            assert!(KEYS[..at].iter().all(|other| other.name != key.name), "{}", key.name);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let refused = |name: &str| Options::default().set(name, "1").unwrap_err();
        assert_eq!(refused("lingr"), OptionError::Unknown { name: "lingr".to_owned(), nearest: "linger" });
        assert_eq!(
            refused("reciev-window").to_string(),
            "no option 'reciev-window'; the nearest one is 'receive-window'"
        );
    }

    #[test]
    fn a_refusal_lists_everything_that_is_accepted() {
        let refused = |name: &str, value: &str| Options::default().set(name, value).unwrap_err().to_string();
        for (name, value, takes) in [
            ("groups", "239.192.7.2,192.0.2.1", "give addresses of groups"),
            ("source", "239.192.7.2", "give addresses of hosts"),
            ("burst", "0", "give auto, or a time"),
            ("advance", "never", "give data, or a time"),
            ("late-join", "101%", "give a share up to 100%"),
            ("message-max", "23", "give 24 bytes or more"),
        ] {
            let told = refused(name, value);
            assert!(told.starts_with(&format!("'{value}' for {name}: {takes}")), "{told}");
        }
        assert!(Options::default().set("groups", "239.192.7.2,ff15::7").is_ok());
    }

    #[test]
    fn parity_that_is_off_stays_off() {
        let off = Options::from_toml("fec = \"off\"\nfec-ahead = \"off\"\nfec-on-demand = true\n").unwrap();
        assert_eq!(off.sending.parity, None);
        let told = Options::from_toml("fec = \"off\"\nfec-ahead = 3\n").unwrap_err().to_string();
        assert_eq!(told, "'3' for fec-ahead: give off, since fec is off");
    }

    #[test]
    fn toml_says_the_same_as_a_command_line() {
        let text = "rate = \"16mbit\"\ngroup = \"239.1.2.3:7000\"\nttl = 3\nfec = 32\nfec-on-demand = true\n\
                    source = [\"10.0.0.1\", \"10.0.0.2\"]\npreset = \"lan\"\nwindow = \"10s\"\n";
        let read = Options::from_toml(text).unwrap();
        let mut told = Options::default();
        let words = [
            ("preset", "lan"),
            ("rate", "16mbit"),
            ("group", "239.1.2.3:7000"),
            ("ttl", "3"),
            ("fec", "32"),
            ("fec-on-demand", "yes"),
            ("source", "10.0.0.1,10.0.0.2"),
            ("window", "10s"),
        ];
        words.into_iter().for_each(|(name, value)| told.set(name, value).unwrap());
        assert_eq!(read, told);
        assert_eq!(read.sending.rate, Rate::Fixed(16_000_000));
        assert_eq!(read.receiving.nak.backoff, Duration::from_millis(2));
    }

    #[test]
    fn wrong_toml_names_its_place() {
        let refused = |text: &str| Options::from_toml(text).unwrap_err();
        assert!(matches!(refused("ttl = 3\nrate = \n"), OptionError::Toml { line: 2, .. }));
        assert!(matches!(refused("rte = 5\n"), OptionError::Unknown { nearest: "rate", .. }));
        assert!(matches!(refused("ttl = 256\n"), OptionError::Value { name: "ttl", .. }));
        assert!(matches!(refused("[group]\naddress = 1\n"), OptionError::Value { name: "group", .. }));
    }
}
