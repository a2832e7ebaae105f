//! `campanile beacon send`: numbered datagrams to a group.

use std::net::SocketAddr;
use std::time::Duration;

use campanile::beacon::{Beacon, BeaconConfig, GROUP};
use campanile::{Interface, amount};
use serde::Serialize;

use crate::command_error::CommandError;
use crate::figures::Things;
use crate::{arguments, interrupt, output};

/// Send numbered datagrams to a group.
///
/// Each carries its number and the time it was sent, and then the time in UTC as text, or the text that you give.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Arguments {
    /// Group and port
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = super::group, default_value_t = GROUP)]
    group: SocketAddr,
    /// Interval between datagrams
    #[arg(long, value_name = "TIME", value_parser = amount::time, default_value = "1s")]
    every: Duration,
    /// Datagrams to send [default: until Ctrl-C]
    #[arg(long, value_name = "NUMBER", value_parser = arguments::count)]
    count: Option<u64>,
    /// Bytes of each datagram, 32 of them for its number and times, up to 65507 (65527 over IPv6) [default: as many as it takes]
    #[arg(long, value_name = "BYTES", value_parser = arguments::number)]
    size: Option<usize>,
    /// Text of each datagram [default: the time in UTC]
    #[arg(long)]
    text: Option<String>,
    /// Time to live: 1 stays on the link
    #[arg(long, value_name = "HOPS", value_parser = arguments::hops, default_value_t = 1)]
    ttl: u8,
    /// Interface to send by: its name, number or address [default: the system's choice]
    #[arg(long, value_name = "NAME", value_parser = arguments::interface)]
    interface: Option<Interface>,
    /// Print JSON, one value per line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  campanile beacon send          the time in UTC, once a second
  campanile beacon send --text 'all is well' --every 60
  campanile beacon send --every 0.01 --size 1400 --count 1000 --interface eth0";

/// Sends until everything was sent, or until Ctrl-C; however it ends, it says how many that were.
pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let config = BeaconConfig {
        group: arguments.group,
        every: arguments.every,
        count: arguments.count,
        payload: arguments.text.clone().map(String::into_bytes),
        size: arguments.size,
        ttl: arguments.ttl,
        interface: arguments.interface.clone(),
    };
    let mut beacon = Beacon::open(&config).map_err(super::error)?;
    interrupt::stops(beacon.stopper())?;
    let group = arguments.group;
    let mut count = 0;
    let ended = loop {
        let sent = match beacon.send_next() {
            Ok(Some(sent)) => sent,
            Ok(None) => break Ok(()),
            Err(error) => break Err(super::error(error)),
        };
        count += 1;
        let (sequence, time, bytes) = (sent.sequence, sent.time.to_string(), sent.bytes);
        if arguments.json {
            output::json(&Line::Sent { sequence, time, bytes })?;
        } else {
            output::line(format_args!("{sequence:>6}  {time}  {bytes} bytes to {group}"))?;
        }
    };
    let told = if arguments.json {
        output::json(&Line::Stopped { sent: count })
    } else {
        output::line(format_args!("stopped: {} sent", Things(count, "datagram")))
    };
    ended.and(told)
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line {
    Sent { sequence: u64, time: String, bytes: usize },
    Stopped { sent: u64 },
}
