//! What `send` and `recv` take alike: where a session is, and every option of one.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use campanile::multicast::{KEYS, OptionError, Options, Side, StartError};

use crate::command_error::CommandError;

/// Where a session is, and how it is to be.
#[derive(Debug, clap::Args)]
pub(crate) struct SessionArguments {
    /// Multicast group and port; [ADDRESS]:PORT for IPv6 [default: 239.192.7.1:7500]
    #[arg(long, value_name = "ADDRESS:PORT")]
    group: Option<String>,
    /// Interface to use, by name, address or number [default: the system's choice]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Set another option by its name; --help lists them all
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Read options from a TOML file, as lines of NAME = "VALUE"; the command line goes before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl SessionArguments {
    /// The options that the command line and its file say. `more` are those that the command has words of its own for.
    pub(crate) fn options(&self, more: &[(&str, Option<&str>)]) -> Result<Options, CommandError> {
        let mut options = match &self.config {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    CommandError::bad_input(format!("{} cannot be read: {error}", path.display()))
                })?;
                Options::from_toml(&text).map_err(|error| {
                    CommandError::bad_input(format!("{}: {error}", path.display())).hint(NAMES)
                })?
            }
            None => Options::default(),
        };
        // A preset is a number of options: it goes before those that stand beside it.
        let (presets, others): (Vec<_>, Vec<_>) =
            self.settings.iter().partition(|(name, _)| name == "preset");
        let settings =
            presets.into_iter().chain(others).map(|(name, value)| (name.as_str(), Some(value.as_str())));
        let ours = [("group", self.group.as_deref()), ("interface", self.interface.as_deref())];
        for (name, value) in settings.chain(ours).chain(more.iter().copied()) {
            if let Some(value) = value {
                options.set(name, value).map_err(option_error)?;
            }
        }
        Ok(options)
    }
}

fn option_error(error: OptionError) -> CommandError {
    let is_unknown = matches!(error, OptionError::Unknown { .. });
    let error = CommandError::bad_input(error);
    if is_unknown { error.hint(NAMES) } else { error }
}

const NAMES: &str = "--help lists the options";

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("give NAME=VALUE, such as ttl=4")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// The page's last part: examples, and the options of one side that `--set` takes.
pub(crate) fn reference(examples: &str, side: Side) -> String {
    let mut page = format!("{examples}\n\nOptions for --set and for files of --config:\n");
    let ours = KEYS.iter().filter(|key| key.side == Side::Both || key.side == side);
    for key in ours {
        let (name, unit, doc, default) = (key.name, key.unit, key.doc, key.default());
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        // Writing into memory does not fail.
        let _ = write!(page, "  {name}={unit}{default}\n      {doc}\n");
    }
    page.truncate(page.trim_end().len());
    page
}

/// What to say when the network does not let a session begin.
pub(crate) fn start_error(error: &StartError) -> CommandError {
    match error {
        StartError::Config(_) => CommandError::bad_input(error).hint(NAMES),
        StartError::Socket(_) => CommandError::failed(error).hint("see --interface and --group"),
        StartError::Diagnostics(_) => {
            CommandError::failed(error).hint("name a directory that can be written to")
        }
        StartError::Engine(_) => CommandError::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_a_name_and_a_value() {
        assert_eq!(setting("ttl=4"), Ok(("ttl".to_owned(), "4".to_owned())));
        assert_eq!(setting("a = b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(setting("ttl").is_err());
    }

    #[test]
    fn the_nearer_word_counts() {
        let arguments = SessionArguments {
            group: Some("239.1.2.3:4000".to_owned()),
            interface: None,
            settings: vec![("ttl".to_owned(), "3".to_owned()), ("preset".to_owned(), "lan".to_owned())],
            config: None,
        };
        let options = arguments.options(&[("rate", Some("16mbit"))]).expect("all of them are options");
        assert_eq!(options.network.group.to_string(), "239.1.2.3:4000");
        assert_eq!((options.network.ttl, options.sending.rate_bps), (3, 16_000_000));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let arguments = SessionArguments {
            group: None,
            interface: None,
            settings: vec![("tl".to_owned(), "3".to_owned())],
            config: None,
        };
        let error = arguments.options(&[]).expect_err("it is none").to_string();
        assert!(error.contains("'ttl'") && error.contains("--help"), "{error}");
    }
}
