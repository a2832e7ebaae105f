//! Network-layer addresses: an address family indicator and an address (RFC 3208 §8, Assigned Numbers).

use std::net::IpAddr;

use super::Malformed;

/// An address family indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afi {
    Ipv4 = 1,
    Ipv6 = 2,
}

impl Afi {
    pub(crate) fn parse(value: u16) -> Result<Afi, Malformed> {
        match value {
            1 => Ok(Afi::Ipv4),
            2 => Ok(Afi::Ipv6),
            _ => Err(Malformed::BadAfi),
        }
    }

    pub(crate) fn of(address: IpAddr) -> Afi {
        if address.is_ipv4() { Afi::Ipv4 } else { Afi::Ipv6 }
    }
}

/// The length of the address itself.
pub(crate) fn len(address: IpAddr) -> usize {
    if address.is_ipv4() { 4 } else { 16 }
}

/// Checks that an address can be one host's.
pub(crate) fn unicast(address: IpAddr) -> Result<IpAddr, Malformed> {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_multicast() || address.is_unspecified() || broadcast {
        return Err(Malformed::NlaNotUnicast);
    }
    Ok(address)
}

/// Checks that an address is a group's.
pub(crate) fn multicast(address: IpAddr) -> Result<IpAddr, Malformed> {
    if address.is_multicast() { Ok(address) } else { Err(Malformed::NlaNotMulticast) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        assert_eq!(Afi::parse(1), Ok(Afi::Ipv4));
        assert_eq!(Afi::parse(2), Ok(Afi::Ipv6));
        assert_eq!(Afi::parse(0), Err(Malformed::BadAfi));
        assert_eq!(Afi::parse(3), Err(Malformed::BadAfi));
        assert_eq!(len("10.0.0.1".parse().unwrap()), 4);
        assert_eq!(len("fe80::1".parse().unwrap()), 16);
    }

    #[test]
    fn unicast_is_what_can_be_sent_to() {
        for good in ["10.0.0.1", "fe80::1", "127.0.0.1", "10.255.255.255"] {
            let good = good.parse().unwrap();
            assert_eq!(unicast(good), Ok(good));
        }
        for bad in ["224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255"] {
            assert_eq!(unicast(bad.parse().unwrap()), Err(Malformed::NlaNotUnicast), "{bad}");
        }
    }

    #[test]
    fn groups_are_multicast() {
        for good in ["224.0.0.1", "ff02::1"] {
            let good = good.parse().unwrap();
            assert_eq!(multicast(good), Ok(good));
        }
        assert_eq!(multicast("10.0.0.1".parse().unwrap()), Err(Malformed::NlaNotMulticast));
    }
}
