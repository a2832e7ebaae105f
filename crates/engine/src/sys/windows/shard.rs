//! Several sockets on one port.

use std::io;

use socket2::{Domain, Protocol, Socket, Type};
use windows_sys::Win32::Networking::WinSock::SIO_CPU_AFFINITY;

use super::options::{control, exclusive};
use crate::udp::{self, Group, Shard, UdpConfig, UdpSocket};

pub(crate) fn bind_group(config: &UdpConfig, cpus: &[usize], shard: Shard) -> io::Result<Group> {
    if cpus.len() == 1 {
        return one(config, if shard == Shard::Auto { Shard::None } else { shard }, None);
    }
    let refusal = match shard {
        Shard::None => "on Windows only one engine can take a socket".to_owned(),
        Shard::Hash => "Windows does not divide a port by a hash of the addresses".to_owned(),
        Shard::Auto | Shard::Cpu if config.reuse_address => {
            "Windows does not divide a port that other programs may share".to_owned()
        }
        Shard::Auto | Shard::Cpu => match try_steering() {
            Ok(()) => return steered(config, cpus),
            Err(error) => format!("this system does not divide a port among processors ({error})"),
        },
    };
    one(config, Shard::None, Some(format!("{refusal}: one socket, served by one thread")))
}

pub(crate) fn bind_alone(config: &UdpConfig) -> io::Result<UdpSocket> {
    udp::bind(config)
}

fn one(config: &UdpConfig, shard: Shard, note: Option<String>) -> io::Result<Group> {
    Ok(Group { sockets: vec![udp::bind(config)?], shard, note })
}

fn try_steering() -> io::Result<()> {
    steer(&Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?, 0)
}

fn steered(config: &UdpConfig, cpus: &[usize]) -> io::Result<Group> {
    let mut config = config.clone();
    // The port is chosen, and no other socket has it: the sockets of a group, which share, cannot find that out.
    config.bind = udp::bind(&config)?.local_addr();
    let bind = |&cpu| {
        udp::bind_prepared(&config, |socket| {
            // The sockets of the group share the port.
            exclusive(socket, false)?;
            steer(socket, cpu)
        })
    };
    let sockets = cpus.iter().map(bind).collect::<io::Result<_>>()?;
    Ok(Group { sockets, shard: Shard::Cpu, note: None })
}

/// Makes the socket receive what arrives on one processor, once it is bound together with those for the others.
fn steer(socket: &Socket, cpu: usize) -> io::Result<()> {
    let cpu = u16::try_from(cpu).map_err(|_| io::ErrorKind::InvalidInput)?;
    control::<_, ()>(socket, SIO_CPU_AFFINITY, &cpu, None)
}
