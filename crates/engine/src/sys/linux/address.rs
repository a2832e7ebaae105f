//! Socket addresses in the kernel's form.

use std::mem::size_of;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes of the larger of the two address structures.
pub(super) const NAME_LEN: usize = size_of::<libc::sockaddr_in6>();

/// Room for one address as the kernel reads and writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub(super) struct Name(pub(super) [u8; NAME_LEN]);

impl Name {
    pub(super) const EMPTY: Self = Self([0; NAME_LEN]);

    /// Writes an address for a socket of the given family, and returns its length. An IPv4 address goes to an IPv6 socket in
    /// its mapped form (RFC 4291 section 2.5.5.2).
    pub(super) fn write(&mut self, address: SocketAddr, v6_socket: bool) -> usize {
        let name = &mut self.0;
        match address {
            SocketAddr::V4(v4) if !v6_socket => {
                name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                name[2..4].copy_from_slice(&v4.port().to_be_bytes());
                name[4..8].copy_from_slice(&v4.ip().octets());
                name[8..16].fill(0);
                size_of::<libc::sockaddr_in>()
            }
            _ => {
                let (ip, flow, scope) = match address {
                    SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0, 0),
                    SocketAddr::V6(v6) => (*v6.ip(), v6.flowinfo(), v6.scope_id()),
                };
                name[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                name[2..4].copy_from_slice(&address.port().to_be_bytes());
                name[4..8].copy_from_slice(&flow.to_ne_bytes());
                name[8..24].copy_from_slice(&ip.octets());
                name[24..28].copy_from_slice(&scope.to_ne_bytes());
                NAME_LEN
            }
        }
    }
}

/// Reads an address that the kernel wrote; an IPv4 address in IPv6 form is shown as IPv4. `None` for any other family.
pub(super) fn read(name: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(take(name, 0)?);
    let port = u16::from_be_bytes(take(name, 2)?);
    if family == libc::AF_INET as u16 {
        return Some(SocketAddr::new(IpAddr::from(take::<4>(name, 4)?), port));
    }
    if family != libc::AF_INET6 as u16 {
        return None;
    }
    let ip = Ipv6Addr::from(take::<16>(name, 8)?);
    Some(match ip.to_ipv4_mapped() {
        Some(v4) => SocketAddr::new(v4.into(), port),
        None => {
            let flow = u32::from_ne_bytes(take(name, 4)?);
            let scope = u32::from_ne_bytes(take(name, 24)?);
            SocketAddrV6::new(ip, port, flow, scope).into()
        }
    })
}

/// `N` bytes at an offset, if they are there.
pub(super) fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str, v6_socket: bool) -> SocketAddr {
        let mut name = Name::EMPTY;
        let len = name.write(text.parse().expect("a literal address"), v6_socket);
        read(&name.0[..len]).expect("what was written is an address")
    }

    #[test]
    fn addresses_survive_the_kernel_form() {
        for text in ["192.0.2.1:65535", "[2001:db8::1]:7", "[fe80::1%3]:9"] {
            assert_eq!(round_trip(text, text.starts_with('[')), text.parse().expect("a literal address"));
        }
    }

    #[test]
    fn ipv4_wears_ipv6_on_a_dual_socket() {
        assert_eq!(round_trip("192.0.2.1:5000", true), "192.0.2.1:5000".parse().expect("a literal address"));
    }

    #[test]
    fn what_is_no_address_is_none() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0; 28]), None);
        assert_eq!(read(&(libc::AF_INET as u16).to_ne_bytes()), None);
    }
}
