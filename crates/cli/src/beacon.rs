//! `campanile beacon`: sends plain multicast and listens to it.

mod listen;
mod send;

use std::io;
use std::net::{IpAddr, SocketAddr};

use campanile::beacon::{BeaconError, PORT};
use clap::Subcommand;

use crate::command_error::CommandError;
use crate::system_error::{self, cure, shortage};

/// Send numbered datagrams to a multicast group, or listen to them.
///
/// Nothing is repaired: what the listener hears is what the network does with multicast.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Send(send::Arguments),
    Listen(listen::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  campanile beacon listen        on all interfaces, until Ctrl-C
  campanile beacon send          the time in UTC, once a second
  campanile beacon send --every 0.01 --size 1400 --count 1000 --interface eth0";

pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    match &arguments.command {
        Command::Send(arguments) => send::run(arguments),
        Command::Listen(arguments) => listen::run(arguments),
    }
}

/// A group with or without a port.
fn group(text: &str) -> Result<SocketAddr, &'static str> {
    let group = text.parse().or_else(|_| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        bare.parse().map(|address: IpAddr| SocketAddr::new(address, PORT))
    });
    let group = group.ok().filter(|group| group.ip().is_multicast() && group.port() > 0);
    group.ok_or("give a multicast group and a port, such as 239.192.7.1:7125 or [ff15::7]:7125")
}

/// Describes the failure of a beacon or a listener.
fn error(error: BeaconError) -> CommandError {
    match &error {
        BeaconError::NotAGroup(_) => CommandError::bad_input(error).hint("give one such as 239.192.7.1"),
        BeaconError::Size { least, most, .. } if least > most => {
            CommandError::bad_input(error).hint("shorten --text")
        }
        BeaconError::Size { .. } => {
            CommandError::bad_input(error).hint("give another --size, or leave it out")
        }
        BeaconError::Socket { error: why, .. } if why.kind() == io::ErrorKind::AddrInUse => {
            CommandError::bad_input(error)
                .hint("name each interface once, and a port that no other program has for itself")
        }
        BeaconError::Socket { interface: Some(_), error: why, .. } if cure(why).is_none() => {
            CommandError::bad_input(error).hint("give one of this machine's interfaces")
        }
        BeaconError::Socket { error: why, .. } => {
            system_error::socket(&error, why, "see that an interface is up, or name one with --interface")
        }
        BeaconError::Send { .. } => CommandError::failed(error)
            .hint("name an interface that leads there with --interface, or add a route"),
        BeaconError::Engine(why) => {
            let hint = shortage(why);
            CommandError::failed(error).hint_if(hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use campanile::Interface;

    use super::*;

    #[test]
    fn a_port_that_another_has_is_no_wrong_interface() {
        let group = "239.192.7.1:7125".parse().expect("a literal address");
        for interface in [None, Some(Interface::Name("lo".to_owned()))] {
            let error = io::Error::from(io::ErrorKind::AddrInUse);
            let told = super::error(BeaconError::Socket { group, interface, error }).to_string();
            assert!(
                told.ends_with("; name each interface once, and a port that no other program has for itself"),
                "{told}"
            );
        }
    }

    /// A command line on Windows cannot be that long.
    #[test]
    fn a_text_too_long_for_a_datagram_gets_a_hint() {
        let told = error(BeaconError::Size { asked: 70_032, least: 70_032, most: 65_507 }).to_string();
        assert!(told.contains("takes 70032 bytes, and there is room for 65507"), "{told}");
        assert!(told.ends_with("; shorten --text"), "{told}");
    }

    #[test]
    fn groups_have_a_port_or_take_the_usual_one() {
        for (text, expected) in [
            ("239.1.2.3:99", "239.1.2.3:99"),
            ("239.1.2.3", "239.1.2.3:7125"),
            ("ff15::7", "[ff15::7]:7125"),
            ("[ff15::7]", "[ff15::7]:7125"),
            ("[ff15::7]:99", "[ff15::7]:99"),
        ] {
            assert_eq!(group(text), Ok(expected.parse().expect("a literal address")), "{text}");
        }
        for text in ["10.1.2.3", "239.1.2.3:0", "239.1.2.3:70000", "here", "", "::1"] {
            assert!(group(text).is_err(), "{text}");
        }
    }
}
