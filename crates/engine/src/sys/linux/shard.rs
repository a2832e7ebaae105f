//! Several sockets on one port.

use std::io;

use socket2::Socket;

use super::options::set;
use crate::udp::{self, Group, Shard, UdpConfig, UdpSocket};

pub(crate) fn bind_group(config: &UdpConfig, cpus: &[usize], shard: Shard) -> io::Result<Group> {
    let shard = if shard == Shard::Auto { Shard::Cpu } else { shard };
    if shard == Shard::None {
        return shared(config, cpus.len());
    }
    let mut config = config.clone();
    config.bind = vacant(&config)?;
    let mut sockets = Vec::with_capacity(cpus.len());
    for _ in cpus {
        sockets.push(udp::bind_prepared(&config, |socket| socket.set_reuse_port(true))?);
    }
    if shard == Shard::Hash || cpus.len() == 1 {
        return Ok(Group { sockets, shard, note: None });
    }
    match steer(sockets[0].inner(), cpus) {
        Ok(()) => Ok(Group { sockets, shard, note: None }),
        Err(error) => {
            let note = Some(format!("this kernel does not steer by processor ({error}); flows are hashed"));
            Ok(Group { sockets, shard: Shard::Hash, note })
        }
    }
}

/// The address with its port chosen, after making sure that nobody else is on it: the sockets of a group would share the port
/// with a stranger's group without a word.
fn vacant(config: &UdpConfig) -> io::Result<std::net::SocketAddr> {
    Ok(udp::bind(config)?.local_addr())
}

fn shared(config: &UdpConfig, count: usize) -> io::Result<Group> {
    let first = udp::bind(config)?;
    let mut sockets: Vec<UdpSocket> = (1..count).map(|_| first.share()).collect::<io::Result<_>>()?;
    sockets.insert(0, first);
    Ok(Group { sockets, shard: Shard::None, note: None })
}

/// Gives the group a program that picks the socket of the processor the packet arrived on, and spreads the packets of
/// processors without a socket over all.
fn steer(socket: &Socket, cpus: &[usize]) -> io::Result<()> {
    let count = u32::try_from(cpus.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut program = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, CPU)];
    for (index, &cpu) in cpus.iter().enumerate() {
        // If it is not this processor, step over the return.
        let equal = instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, cpu as u32);
        program.push(libc::sock_filter { jf: 1, ..equal });
        program.push(instruction(libc::BPF_RET | libc::BPF_K, index as u32));
    }
    program.push(instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count));
    program.push(instruction(libc::BPF_RET | libc::BPF_A, 0));
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, program)
}

/// The load offset at which classic BPF finds the current processor.
const CPU: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_CPU) as u32;

fn instruction(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}
