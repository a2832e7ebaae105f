//! Socket addresses as the kernels lay them out. Windows and Linux differ only in the number of the IPv6 family.
//!
//! ```text
//!          0        2      4                 8                        16     24      28
//!  IPv4    | family | port | address         | zero                   |
//!  IPv6    | family | port | flow            | address                       | scope |
//! ```
//!
//! The port is in network byte order, the other numbers in the processor's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::{AF_INET, AF_INET6};

/// Bytes of an IPv4 address.
const NAME_LEN_V4: usize = 16;
/// Bytes of an IPv6 address, the longer of the two.
pub(super) const NAME_LEN: usize = 28;

/// Room for one address as the kernel reads and writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub(super) struct Name(pub(super) [u8; NAME_LEN]);

impl Name {
    pub(super) const EMPTY: Self = Self([0; NAME_LEN]);

    /// Writes an address for a socket of the given family, and returns its length. An IPv4 address goes to an IPv6 socket in
    /// its mapped form (RFC 4291 section 2.5.5.2).
    pub(super) fn write(&mut self, address: SocketAddr, v6_socket: bool) -> usize {
        self.0.fill(0);
        let (family, len) = match address {
            SocketAddr::V4(v4) if !v6_socket => {
                self.put(4, &v4.ip().octets());
                (AF_INET, NAME_LEN_V4)
            }
            SocketAddr::V4(v4) => {
                self.put(8, &v4.ip().to_ipv6_mapped().octets());
                (AF_INET6, NAME_LEN)
            }
            SocketAddr::V6(v6) => {
                self.put(4, &v6.flowinfo().to_ne_bytes());
                self.put(8, &v6.ip().octets());
                self.put(24, &v6.scope_id().to_ne_bytes());
                (AF_INET6, NAME_LEN)
            }
        };
        self.put(0, &family.to_ne_bytes());
        self.put(2, &address.port().to_be_bytes());
        len
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Reads an address that the kernel wrote; an IPv4 address in IPv6 form is shown as IPv4. `None` for any other family.
pub(super) fn read(name: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(take(name, 0)?);
    let port = u16::from_be_bytes(take(name, 2)?);
    match family {
        AF_INET => Some(SocketAddr::new(IpAddr::from(take::<4>(name, 4)?), port)),
        AF_INET6 => {
            let ip = Ipv6Addr::from(take::<16>(name, 8)?);
            let flow = u32::from_ne_bytes(take(name, 4)?);
            let scope = u32::from_ne_bytes(take(name, 24)?);
            let v6 = || SocketAddrV6::new(ip, port, flow, scope).into();
            Some(ip.to_ipv4_mapped().map_or_else(v6, |v4| SocketAddr::new(v4.into(), port)))
        }
        _ => None,
    }
}

/// `N` bytes at an offset, if they are there.
pub(super) fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str, v6_socket: bool) -> SocketAddr {
        let mut name = Name([0xFF; NAME_LEN]);
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
    fn ipv4_addresses_are_mapped_on_a_dual_stack_socket() {
        assert_eq!(round_trip("192.0.2.1:5000", true), "192.0.2.1:5000".parse().expect("a literal address"));
    }

    #[test]
    fn the_form_is_the_one_that_others_use() {
        for address in ["192.0.2.1:65535", "[fe80::1%3]:9"] {
            let address: SocketAddr = address.parse().expect("a literal address");
            let mut name = Name::EMPTY;
            let len = name.write(address, address.is_ipv6());
            let theirs = socket2::SockAddr::from(address);
            assert_eq!(len, theirs.len() as usize);
            // SAFETY: the address lives through the comparison and is as long as it says.
            let bytes = unsafe { std::slice::from_raw_parts(theirs.as_ptr().cast::<u8>(), len) };
            assert_eq!(name.0[..len], *bytes);
        }
    }

    #[test]
    fn other_bytes_are_no_address() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0; NAME_LEN]), None);
        assert_eq!(read(&AF_INET.to_ne_bytes()), None);
        assert_eq!(read(&[23, 0, 0, 7, 0, 0, 0, 0]), None);
    }
}
