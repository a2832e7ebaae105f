//! `campanile doctor`: finds why datagrams do not arrive, or are slow.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use campanile::doctor::{self, Finding, Scope, Severity};
use campanile::{Interface, amount, beacon};

use crate::command_error::CommandError;
use crate::figures::Things;
use crate::system_error::shortage;
use crate::{arguments, output};

/// Look for what keeps datagrams away from this machine, or makes them slow.
///
/// Each finding has its evidence, its cost, a command that fixes it, and one that verifies the fix. Nothing is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Arguments {
    /// Interface to look at, by name, address or number [default: the one that leads to the group]
    #[arg(long, value_name = "NAME", value_parser = arguments::interface)]
    interface: Option<Interface>,
    /// The group that is not heard; if it has no port, that of --port or of the beacon
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = group)]
    group: Option<(IpAddr, Option<u16>)>,
    /// The port that is not heard, or is slow
    #[arg(long, value_name = "PORT", value_parser = arguments::port)]
    port: Option<u16>,
    /// Listen to the group first, while another machine or program sends to it
    ///
    /// What was heard, lost and dropped meanwhile is reported.
    #[arg(long, requires = "group")]
    listen: bool,
    /// How long to listen
    #[arg(long, value_name = "TIME", value_parser = amount::time, default_value = "10s", requires = "listen")]
    duration: Duration,
    /// Print the findings as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campanile doctor                                 buffers, processors, drops
  campanile doctor --port 5000                     who has it, what blocks it
  campanile doctor --interface eth0                its card, queues and drops
  campanile doctor --group 239.192.7.1             why nothing is heard of it
  campanile doctor --group 239.192.7.1 --listen    what of it comes, from now on

Exit codes: 0 nothing worse than a notice, 3 a warning, 1 a fault.";

/// Examines the machine and prints the findings, the worst first.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let Arguments { interface, group, port, listen, duration, json } = arguments;
    let group = group.map(|(ip, own)| SocketAddr::new(ip, own.or(*port).unwrap_or(beacon::PORT)));
    let listen = listen.then_some(*duration);
    let interface = interface.as_ref().map(Interface::name).transpose();
    let interface = interface.map_err(|error| unknown(error.to_string(), &error.into()))?;
    if let (Some(group), Some(patience)) = (group, listen) {
        let seconds = patience.as_secs_f64();
        output::note(format_args!(
            "for {seconds} s, elsewhere: campanile beacon send --every 0.1 --group {}",
            doctor::quoted(group)
        ));
    }
    let mut findings = doctor::examine(&Scope { interface, group, port: *port, listen });
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    if *json {
        output::json(&findings)?;
    } else {
        findings.iter().try_for_each(|finding| output::line(Shown(finding)))?;
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    match (count(Severity::Fault), count(Severity::Warning)) {
        (0, 0) => Ok(()),
        (0, warnings) => Err(CommandError::incomplete(Things(warnings, "warning"))),
        (faults, _) => Err(CommandError::failed(Things(faults, "fault"))),
    }
}

/// An interface that cannot be looked up.
fn unknown(message: String, why: &io::Error) -> CommandError {
    match shortage(why) {
        Some(hint) => CommandError::failed(message).hint(hint),
        None => CommandError::bad_input(message).hint("see --interface"),
    }
}

/// A group with an optional port.
fn group(text: &str) -> Result<(IpAddr, Option<u16>), &'static str> {
    let with_port = text.parse().map(|address: SocketAddr| (address.ip(), Some(address.port())));
    let address = with_port.or_else(|_| text.parse().map(|ip| (ip, None)));
    let address = address.ok().filter(|(ip, port)| ip.is_multicast() && *port != Some(0));
    address.ok_or("give a multicast address such as 239.192.7.1, ff15::7 or 239.192.7.1:7125")
}

/// A finding as text.
struct Shown<'a>(&'a Finding);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { check, severity, evidence, cost, fix, verify } = self.0;
        write!(f, "{:8} {check}: {evidence}", severity.name())?;
        if !cost.is_empty() {
            write!(f, "\n           cost    {cost}")?;
        }
        for (what, command) in [("do", fix), ("verify", verify)] {
            if let Some(command) = command {
                write!(f, "\n           {what:7} {command}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_have_a_port() {
        assert_eq!(group("239.192.7.1"), Ok(("239.192.7.1".parse().expect("a literal address"), None)));
        assert_eq!(group("[ff15::7]:9"), Ok(("ff15::7".parse().expect("a literal address"), Some(9))));
        assert!(group("192.0.2.1").is_err() && group("any").is_err() && group("239.192.7.1:0").is_err());
    }
}
