//! The arguments that `send` and `recv` have in common: the address of a session, and its options.

use std::fmt::Write;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::{env, fs};

use campanile::Interface;
use campanile::multicast::{self, KEYS, Mode, OptionError, Options, Side, SocketError, StartError};

use crate::arguments;
use crate::command_error::CommandError;
use crate::system_error::{self, shortage};

/// Where a session is, and how it is to be.
#[derive(Debug, clap::Args)]
pub(crate) struct SessionArguments {
    /// Multicast group and port; [ADDRESS]:PORT for IPv6 [default: 239.192.7.1:7500]
    #[arg(long, value_name = "ADDRESS:PORT")]
    group: Option<String>,
    /// Interface to use, by name, address or number; may be given several times [default: the system's choice]
    #[arg(long = "interface", value_name = "NAME", value_parser = arguments::interface)]
    interfaces: Vec<Interface>,
    /// Set another option by name; --help lists them all
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Read options from a TOML file, as lines of NAME = "VALUE"; the command line takes precedence
    #[arg(long, value_name = "FILE", value_parser = arguments::path())]
    config: Option<PathBuf>,
}

impl SessionArguments {
    /// The options of one side that the command line and its file say. `more` are those that the command has words of its own for,
    /// `kind` says what it is that is sent.
    pub(crate) fn options(
        &self,
        side: Side,
        kind: Kind,
        more: &[(&str, Option<&str>)],
    ) -> Result<Options, CommandError> {
        self.settings.iter().try_for_each(|(name, _)| concerns(name, side))?;
        let mut options = Options::default();
        for (name, value) in kind.options() {
            options.set(name, value).map_err(option_error)?;
        }
        if let Some(path) = &self.config {
            let text = fs::read_to_string(path).map_err(|error| {
                let message = format!("{} cannot be read: {error}", path.display());
                match shortage(&error) {
                    Some(hint) => CommandError::failed(message).hint(hint),
                    None => CommandError::bad_input(message).hint("give a file of lines such as ttl = \"4\""),
                }
            })?;
            options.set_toml(&text).map_err(|error| {
                CommandError::bad_input(format!("{}: {error}", path.display())).hint(NAMES)
            })?;
        }
        // A preset is a set of options: it is applied before the single ones.
        let (presets, others): (Vec<_>, Vec<_>) =
            self.settings.iter().partition(|(name, _)| name == "preset");
        let settings =
            presets.into_iter().chain(others).map(|(name, value)| (name.as_str(), Some(value.as_str())));
        let interfaces = (!self.interfaces.is_empty())
            .then(|| self.interfaces.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        let ours = [("group", self.group.as_deref()), ("interface", interfaces.as_deref())];
        for (name, value) in settings.chain(ours).chain(more.iter().copied()) {
            if let Some(value) = value {
                options.set(name, value).map_err(option_error)?;
            }
        }
        let is_kind = match kind {
            Kind::Files | Kind::Lines => matches!(options.mode, Mode::Messages | Mode::Apdu | Mode::OpenPgm),
            Kind::Stream => options.mode == Mode::Stream,
            Kind::Zmq => options.mode == Mode::Zmq,
        };
        if !is_kind || kind == Kind::Files && options.mode != Mode::Messages {
            let error = CommandError::bad_input("the option mode contradicts what is sent");
            return Err(error.hint("leave it out; with --lines it may be apdu or openpgm"));
        }
        Ok(options)
    }
}

/// What is sent and received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Files.
    Files,
    /// Standard input and output, as they are.
    Stream,
    /// Their lines, a message each.
    Lines,
    /// The same, as ZeroMQ sends and takes messages.
    Zmq,
}

/// What is sent and received, if not files.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct KindArguments {
    /// Bytes from standard input to standard output, instead of files
    #[arg(long, conflicts_with_all = ["lines", "zmq"])]
    stream: bool,
    /// Lines from standard input to standard output, each a message, instead of files
    #[arg(long, conflicts_with = "zmq")]
    lines: bool,
    /// Lines as messages of ZeroMQ's pgm:// and epgm:// sockets, instead of files
    #[arg(long)]
    zmq: bool,
}

impl KindArguments {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self { stream: true, .. } => Kind::Stream,
            Self { lines: true, .. } => Kind::Lines,
            Self { zmq: true, .. } => Kind::Zmq,
            _ => Kind::Files,
        }
    }
}

impl Kind {
    /// The options that make it what it is. Of a stream nothing may be missing in the middle. A file has time: large groups with
    /// parity ahead cost the fewest bytes and spare a large group its NAKs.
    fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Files => &[("fec", "128"), ("fec-ahead", "30%")],
            Self::Lines => &[("mode", "messages")],
            Self::Stream => &[("mode", "stream"), ("on-loss", "stop")],
            Self::Zmq => &[("mode", "zmq")],
        }
    }
}

fn option_error(error: OptionError) -> CommandError {
    let is_unknown = matches!(error, OptionError::Unknown { .. });
    let error = CommandError::bad_input(error);
    if is_unknown { error.hint(NAMES) } else { error }
}

/// Refuses an option of the other side, which would have no effect. A file, which may be meant for both sides, may have it.
fn concerns(name: &str, side: Side) -> Result<(), CommandError> {
    let whose = KEYS.iter().find(|key| key.name == name).map_or(Side::Both, |key| key.side);
    if whose == Side::Both || whose == side {
        return Ok(());
    }
    let command = if whose == Side::Sending { "send" } else { "recv" };
    let error = CommandError::bad_input(format!("option '{name}' belongs to campanile {command}"));
    Err(error.hint(format!("give it there, or leave it out; {NAMES} that are for this command")))
}

const NAMES: &str = "--help lists the options";

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let setting = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
    let (name, value) =
        setting.filter(|(name, _)| !name.is_empty()).ok_or("give NAME=VALUE, such as ttl=4")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The last part of the help page: examples, and the options of one side that `--set` takes.
pub(crate) fn reference(examples: &str, side: Side) -> String {
    let mut page = format!("{examples}\n\nOptions for --set and for files of --config:\n");
    let ours = KEYS.iter().filter(|key| key.side == Side::Both || key.side == side);
    for key in ours {
        let (name, unit, doc, default) = (key.name, key.unit, key.doc, key.default());
        let default = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        // Writing to a string does not fail.
        let _ = write!(page, "  {name}={unit}{default}\n      {doc}\n");
    }
    page.truncate(page.trim_end().len());
    page
}

/// Describes why a session could not be started.
pub(crate) fn start_error(error: &StartError) -> CommandError {
    if let Some(hint) = shortage_in(error) {
        return CommandError::failed(error).hint(hint);
    }
    match error {
        StartError::Config(_) => CommandError::bad_input(error).hint(NAMES),
        StartError::NoReports => CommandError::bad_input(error).hint("give a rate, such as --rate 80mbit"),
        StartError::Socket(SocketError::Interface(_)) => {
            CommandError::bad_input(error).hint("see --interface and --group")
        }
        StartError::Socket(SocketError::TooMany) => CommandError::bad_input(error).hint("see --interface"),
        StartError::Socket(SocketError::Mtu { takes, .. }) => CommandError::bad_input(error)
            .hint(format!("give --set mtu={takes}, or leave mtu out: packets are then as long as all interfaces take, up to 1500 bytes")),
        StartError::Socket(SocketError::NotPermitted) => {
            let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("campanile"));
            let grant = format!("setcap cap_net_raw=ep {}", program.display());
            CommandError::failed(error)
                .hint(format!("run `{grant}` as root, or use carrier=udp, which everybody may"))
        }
        StartError::Socket(SocketError::PortTaken { .. }) => {
            CommandError::bad_input(error).hint("see --group and --set unicast-port")
        }
        // The system says the same of much else.
        StartError::Socket(SocketError::Join { error: why, .. })
            if why.kind() == ErrorKind::InvalidInput && why.raw_os_error().is_none() =>
        {
            CommandError::bad_input(error).hint("give senders and groups that are all of IPv4, or all of IPv6")
        }
        StartError::Socket(SocketError::Bind { error: why, .. } | SocketError::Join { error: why, .. }) => {
            system_error::socket(error, why, "see --interface and --group")
        }
        StartError::Diagnostics(..) => {
            CommandError::failed(error).hint("name a directory that can be written to")
        }
        StartError::Engine(_) => CommandError::failed(error),
    }
}

/// What to do if a session does not begin for want of something.
pub(crate) fn shortage_in(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::Engine(why) | StartError::Diagnostics(_, why) => shortage(why),
        StartError::Socket(
            SocketError::Interface(why)
            | SocketError::Bind { error: why, .. }
            | SocketError::Join { error: why, .. },
        ) => shortage(why),
        StartError::Config(_) | StartError::NoReports | StartError::Socket(_) => None,
    }
}

/// Called when all sockets of a session are open: gives up the privilege for raw ones, in this thread and those that it starts.
pub(crate) fn opened() -> Result<(), CommandError> {
    multicast::drop_raw()
        .map_err(|error| CommandError::failed(format!("CAP_NET_RAW cannot be given up: {error}")))
}

#[cfg(test)]
mod tests {
    use campanile::multicast::Rate;

    use super::*;

    #[test]
    fn a_setting_is_a_name_and_a_value() {
        assert_eq!(setting("ttl=4"), Ok(("ttl".to_owned(), "4".to_owned())));
        assert_eq!(setting("a = b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(setting("ttl").is_err() && setting("=4").is_err());
    }

    #[test]
    fn the_nearer_word_counts() {
        let arguments = SessionArguments {
            group: Some("239.1.2.3:4000".to_owned()),
            interfaces: Vec::new(),
            settings: vec![("ttl".to_owned(), "3".to_owned()), ("preset".to_owned(), "lan".to_owned())],
            config: None,
        };
        let options = arguments
            .options(Side::Sending, Kind::Lines, &[("rate", Some("16mbit"))])
            .expect("all of them are options");
        assert_eq!(options.network.group.to_string(), "239.1.2.3:4000");
        assert_eq!((options.network.ttl, options.sending.rate), (3, Rate::Fixed(16_000_000)));
    }

    #[test]
    fn the_mode_follows_from_what_is_sent() {
        let options = |kind: Kind, mode: Option<&str>| {
            let settings = mode.map(|mode| ("mode".to_owned(), mode.to_owned())).into_iter().collect();
            let arguments = SessionArguments { group: None, interfaces: Vec::new(), settings, config: None };
            arguments.options(Side::Sending, kind, &[]).map(|options| options.mode)
        };
        assert_eq!(options(Kind::Stream, None).ok(), Some(Mode::Stream));
        assert_eq!(options(Kind::Lines, Some("apdu")).ok(), Some(Mode::Apdu));
        assert_eq!(options(Kind::Zmq, None).ok(), Some(Mode::Zmq));
        for (kind, mode) in [(Kind::Files, "apdu"), (Kind::Stream, "messages"), (Kind::Zmq, "stream")] {
            assert!(options(kind, Some(mode)).is_err(), "{mode}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let arguments = SessionArguments {
            group: None,
            interfaces: Vec::new(),
            settings: vec![("tl".to_owned(), "3".to_owned())],
            config: None,
        };
        let error = arguments.options(Side::Sending, Kind::Files, &[]).expect_err("it is none").to_string();
        assert!(error.contains("'ttl'") && error.contains("--help"), "{error}");
    }

    #[test]
    fn an_option_of_the_other_side_is_refused_on_the_command_line_alone() {
        let folder = tempfile::tempdir().expect("a new folder");
        let file = folder.path().join("of-both.toml");
        fs::write(&file, "linger = \"2\"\nexpiry = \"9\"\n").expect("there is room");
        let given = |settings: &[&str], side: Side| {
            let settings = settings.iter().map(|text| setting(text).expect("a name and a value")).collect();
            let config = Some(file.clone());
            let arguments = SessionArguments { group: None, interfaces: Vec::new(), settings, config };
            arguments.options(side, Kind::Lines, &[]).map(drop).map_err(|error| error.to_string())
        };
        for side in [Side::Sending, Side::Receiving] {
            assert_eq!(given(&["ttl=3"], side), Ok(()));
        }
        let refused = given(&["expiry=9"], Side::Sending).expect_err("it would change nothing");
        assert!(refused.starts_with("option 'expiry' belongs to campanile recv; give it there"), "{refused}");
        let refused = given(&["ttl=3", "linger=2"], Side::Receiving).expect_err("it would change nothing");
        assert!(refused.starts_with("option 'linger' belongs to campanile send; give it there"), "{refused}");
    }
}
