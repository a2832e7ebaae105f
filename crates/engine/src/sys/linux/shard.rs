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

pub(crate) fn bind_alone(config: &UdpConfig) -> io::Result<UdpSocket> {
    match udp::bind(config) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let socket = udp::bind_prepared(config, |socket| socket.set_reuse_port(true))?;
            // From now on no other socket can share its address.
            socket.inner().set_reuse_port(false)?;
            Ok(socket)
        }
        bound => bound,
    }
}

/// The address with its port chosen, which no other socket has: the sockets of a group would silently share the port with another
/// program's group.
fn vacant(config: &UdpConfig) -> io::Result<std::net::SocketAddr> {
    Ok(udp::bind(config)?.local_addr())
}

fn shared(config: &UdpConfig, count: usize) -> io::Result<Group> {
    let first = udp::bind(config)?;
    let mut sockets: Vec<UdpSocket> = (1..count).map(|_| first.share()).collect::<io::Result<_>>()?;
    sockets.insert(0, first);
    Ok(Group { sockets, shard: Shard::None, note: None })
}

/// Attaches a filter program that picks the socket of the processor that a packet arrived on; packets of processors without a socket
/// are spread over all sockets.
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket as Peer};

    use socket2::{Domain, Type};

    use super::*;

    /// A program that shares its port with others has it on all addresses.
    fn shared_port() -> (Peer, u16) {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).unwrap();
        let socket = Peer::from(socket);
        socket.set_nonblocking(true).unwrap();
        let port = socket.local_addr().unwrap().port();
        (socket, port)
    }

    #[test]
    fn an_address_of_its_own_beside_a_shared_port() {
        let (shared, port) = shared_port();
        let config = UdpConfig::new((Ipv4Addr::LOCALHOST, port).into());
        let alone = bind_alone(&config).unwrap();
        assert_eq!(bind_alone(&config).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let peer = Peer::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        peer.send_to(b"one", (Ipv4Addr::LOCALHOST, port)).unwrap();
        let alone: Peer = alone.inner().try_clone().unwrap().into();
        assert_eq!(alone.recv(&mut [0; 10]).unwrap(), 3);
        assert_eq!(shared.recv(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn members_of_a_group_share_its_port_by_either_option() {
        let (_shared, port) = shared_port();
        let group =
            UdpConfig { reuse_address: true, ..UdpConfig::new((Ipv4Addr::new(239, 1, 2, 3), port).into()) };
        let _members = [udp::bind(&group).unwrap(), udp::bind(&group).unwrap()];
    }
}
