//! The part of the demo with an echo server and its client.

use std::net::Ipv4Addr;
use std::time::Duration;

use campanile::cores;
use campanile::echo::{EchoConfig, EchoError, EchoServer};
use campanile::load::{Latency, Load, LoadConfig, LoadReport, Pace};

use crate::command_error::CommandError;
use crate::figures::{self, BitRate, Count, Span, Things};
use crate::interrupt::Interrupt;
use crate::{load, output, system_error};

/// Runs server and client, and explains the result.
pub(super) fn run(interrupt: &Interrupt) -> Result<(), CommandError> {
    let (server_cores, client_cores) = halves(cores::allowed().map_err(CommandError::failed)?);
    let server = EchoServer::start(&EchoConfig {
        bind: Some(Ipv4Addr::LOCALHOST.into()),
        cores: server_cores,
        ..EchoConfig::default()
    })
    .map_err(start_error)?;
    let pace = Pace::Window(WINDOW);
    let target = server.description().address;
    let config = LoadConfig { cores: client_cores, duration: SECONDS, pace, ..LoadConfig::new(target) };
    let client = Load::start(&config).map_err(load::error)?;
    interrupt.stops(client.stopper());
    introduce(&server, &client)?;

    let report = client.join().map_err(load::error)?;
    server.stop();
    let answered = server.join().map_err(|error| system_error::worker(&error))?.total.replied.packets;
    if answered < report.received.packets {
        let message = format!("{} replies came, and {answered} were sent", report.received.packets);
        return Err(CommandError::failed(message));
    }
    explain(&report)
}

fn start_error(error: EchoError) -> CommandError {
    match &error {
        EchoError::Worker(worker) => system_error::worker(worker),
        EchoError::Bind { error: why, .. } => {
            let missing = "see that loopback is up and has that address (Linux: ip address show lo)";
            let hint = system_error::shortage(why).unwrap_or(missing);
            CommandError::failed(error).hint(hint)
        }
        EchoError::Cores(why) => {
            let hint = system_error::shortage(why);
            CommandError::failed(error).hint_if(hint)
        }
    }
}

/// Introduces the server and the client.
fn introduce(server: &EchoServer, client: &Load) -> Result<(), CommandError> {
    output::line("An echo server sends every UDP packet back; a client counts what comes home.")?;
    let served = server.description();
    let server_on = figures::cores(&served.cores);
    output::line(format_args!("  server      {}, {server_on}, backend {}", served.address, served.backend))?;
    let LoadConfig { payload, sockets, cores, .. } = client.config();
    let (client_on, sockets) = (figures::cores(cores), cores.len() * sockets);
    output::line(format_args!("  client      {client_on}, {sockets} sockets, backend {}", client.backend()))?;
    output::line(format_args!("  packets     {payload} bytes, {WINDOW} in flight on each socket, 3 seconds"))
}

/// Explains what the client measured.
fn explain(report: &LoadReport) -> Result<(), CommandError> {
    let (home, rate) = (Count(report.received.packets), Count::rounded(report.received.packets_per_second));
    let bits = BitRate(report.received.bits_per_second);
    output::line("")?;
    output::line(format_args!("{home} packets went there and back: {rate} each second, {bits} each way."))?;
    if let Some(Latency { min_ns, mean_ns, max_ns, .. }) = report.round_trip {
        let (min, mean, max) = (Span::from_ns(min_ns), Span::from_ns(mean_ns), Span::from_ns(max_ns));
        output::line(format_args!("  round trip  {min} at best, {mean} on average, {max} at worst"))?;
    }
    output::line(format_args!(
        "  lost        {} ({:.3} %)",
        Things(report.lost, "packet"),
        report.lost_percent
    ))?;
    output::line(
        "The round trip is the time in the queues too: each socket keeps its packets in flight all the time.",
    )
}

const SECONDS: Duration = Duration::from_secs(3);
const WINDOW: usize = 32;

/// Cores for the server and cores for the client: different ones, if there is more than one.
fn halves(mut cores: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
    match cores.len() {
        0 | 1 => (cores.clone(), cores),
        count => {
            let client = cores.split_off(count / 2);
            (cores, client)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_core_serves_both() {
        assert_eq!(halves(vec![3]), (vec![3], vec![3]));
        assert_eq!(halves(vec![0, 1]), (vec![0], vec![1]));
        assert_eq!(halves(vec![0, 1, 2]), (vec![0], vec![1, 2]));
    }
}
