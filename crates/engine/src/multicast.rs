//! Multicast: how it is sent, and which groups a socket hears.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::interface::{Interface, InterfaceError, Resolved};
use crate::udp::{self, UdpConfig, UdpSocket};

/// How a socket sends to groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Time to live or hop limit: 1 stays on the link. 0 to 255.
    pub ttl: u8,
    /// Whether members on this host hear it too.
    pub loopback: bool,
    /// The interface it leaves by; the system's choice if `None`.
    pub interface: Option<Interface>,
}

impl Default for Sending {
    fn default() -> Self {
        Self { ttl: 1, loopback: true, interface: None }
    }
}

/// A group to hear, from any source or one, on one interface or the system's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group's address.
    pub group: IpAddr,
    /// The only source to hear (RFC 4607), or any.
    pub source: Option<IpAddr>,
    /// The interface to listen on; the system's choice if `None`.
    pub interface: Option<Interface>,
}

impl Membership {
    /// The group from any source on the interface of the system's choice.
    #[must_use]
    pub fn any_source(group: IpAddr) -> Self {
        Self { group, source: None, interface: None }
    }
}

/// Makes a socket that hears one group and port, and nothing that other groups get on that port.
///
/// It is bound to the group's address where the system can do that; the engine drops and counts what arrives for other addresses.
/// Several sockets may be bound to one group and port. The socket joins the group of `membership`.
///
/// # Errors
/// The address is not a group, the interface does not exist, or another program does not share the port.
pub fn bind(membership: &Membership, port: u16, config: &UdpConfig) -> io::Result<UdpSocket> {
    let group = membership.group;
    if !group.is_multicast() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{group} is no multicast group")));
    }
    let mut bind = SocketAddr::new(group, port);
    if let (SocketAddr::V6(bind), true, Some(interface)) =
        (&mut bind, is_link_local(group), &membership.interface)
    {
        bind.set_scope_id(interface.resolve()?.index);
    }
    let mut config = UdpConfig { bind, reuse_address: true, ..config.clone() };
    let mut socket = match udp::bind(&config) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            config.bind.set_ip(unspecified(group));
            udp::bind(&config)?
        }
        bound => bound?,
    };
    // Also if the bind succeeded: with Wine it does, and the socket receives every group on the port.
    socket.hear_only(group);
    socket.join(membership)?;
    Ok(socket)
}

/// Whether a group has the scope of an interface or a link (RFC 4291 section 2.7): the same address is a different group on each link,
/// so the interface's number belongs to it.
#[must_use]
pub fn is_link_local(group: IpAddr) -> bool {
    matches!(group, IpAddr::V6(v6) if v6.is_multicast() && v6.octets()[1] & 0x0f <= 2)
}

/// The longest IP packet, in bytes, that an interface sends to a group without fragmenting it.
///
/// # Errors
/// There is no such interface, it does not have the group's family, or the system does not report it.
pub fn mtu(group: IpAddr, interface: u32) -> io::Result<u32> {
    crate::sys::mtu(group, interface)
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl UdpSocket {
    /// Joins a group. Joining twice is an error.
    ///
    /// # Errors
    /// There is no such interface, the address is not a group, the families differ, or the system's limit on memberships is reached.
    pub fn join(&self, membership: &Membership) -> io::Result<()> {
        self.change(membership, true)
    }

    /// Leaves a group that was joined with the same membership.
    ///
    /// # Errors
    /// It was not joined, or the interface is gone.
    pub fn leave(&self, membership: &Membership) -> io::Result<()> {
        self.change(membership, false)
    }

    fn change(&self, membership: &Membership, join: bool) -> io::Result<()> {
        let Membership { group, source, interface } = membership;
        let resolved = match interface {
            Some(interface) => interface.resolve()?,
            None => Resolved { index: 0, v4: Some(Ipv4Addr::UNSPECIFIED) },
        };
        let v4 = || {
            let asked = interface.clone().unwrap_or(Interface::Index(0));
            resolved.v4.ok_or(InterfaceError::NoIpv4(asked))
        };
        let socket = self.inner();
        match (group, source) {
            (IpAddr::V4(group), None) if join => socket.join_multicast_v4(group, &v4()?),
            (IpAddr::V4(group), None) => socket.leave_multicast_v4(group, &v4()?),
            (IpAddr::V4(group), Some(IpAddr::V4(source))) if join => {
                socket.join_ssm_v4(source, group, &v4()?)
            }
            (IpAddr::V4(group), Some(IpAddr::V4(source))) => socket.leave_ssm_v4(source, group, &v4()?),
            (IpAddr::V6(group), None) if join => socket.join_multicast_v6(group, resolved.index),
            (IpAddr::V6(group), None) => socket.leave_multicast_v6(group, resolved.index),
            (IpAddr::V6(group), Some(IpAddr::V6(source))) => {
                crate::sys::source_membership_v6(socket, *source, *group, resolved.index, join)
            }
            _ => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "group and source are of different families"))
            }
        }?;
        if group.is_ipv6() {
            self.note_v6(resolved.index, join);
        }
        Ok(())
    }
}

pub(crate) fn apply(socket: &socket2::Socket, sending: &Sending, v6: bool) -> io::Result<()> {
    let resolved = sending.interface.as_ref().map(Interface::resolve).transpose()?;
    if v6 {
        socket.set_multicast_hops_v6(u32::from(sending.ttl))?;
        socket.set_multicast_loop_v6(sending.loopback)?;
        if let Some(resolved) = resolved {
            socket.set_multicast_if_v6(resolved.index)?;
        }
        return Ok(());
    }
    socket.set_multicast_ttl_v4(u32::from(sending.ttl))?;
    socket.set_multicast_loop_v4(sending.loopback)?;
    if let (Some(resolved), Some(interface)) = (resolved, &sending.interface) {
        let address = resolved.v4.ok_or_else(|| InterfaceError::NoIpv4(interface.clone()))?;
        socket.set_multicast_if_v4(&address)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_takes_more_than_a_cable() {
        let group: IpAddr = "239.192.7.1".parse().expect("literal");
        let loopback = Interface::Address(Ipv4Addr::LOCALHOST.into()).resolve().expect("every system has it");
        let bytes = mtu(group, loopback.index).expect("the system tells");
        assert!(bytes > 1500, "{bytes}");
        assert!(mtu(group, 999_999).is_err(), "there is no such interface");
    }
}
