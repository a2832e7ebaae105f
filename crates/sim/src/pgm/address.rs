//! Addresses of parties and groups.
//!
//! A party has an address on each of its interfaces. A group has one address, and is a group of its own on each interface: packets do not
//! pass from one to the other.

use std::net::{IpAddr, Ipv4Addr};

use campanile_pgm as pgm;

use crate::{Destination, PartyId, Path, Transmit};

/// The address of a party on an interface: 10.0.0.1 for the first party on the first, 11.0.0.1 on the second.
pub(crate) fn of_party(party: PartyId, interface: u32) -> IpAddr {
    let [_, high, middle, low] = (party.0 + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(FIRST_INTERFACE + interface as u8, high, middle, low))
}

/// The address of the source with a number: sources are the first parties.
pub(crate) fn of_source(number: usize, interface: u32) -> IpAddr {
    of_party(PartyId(number as u32), interface)
}

/// The address of a group: 239.0.0.1 for the first.
pub(crate) fn of_group(group: u32) -> IpAddr {
    let [_, high, middle, low] = (group + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(239, high, middle, low))
}

/// The path of a train that came by an interface, as the machines take it.
pub(crate) fn path(path: Path, interface: u32) -> pgm::Path {
    let to = match path.to {
        Destination::Party(party) => of_party(party, interface),
        Destination::Group(group) => of_group(group - interface),
    };
    pgm::Path { from: of_party(path.from, interface), to, interface: interface + 1, ecn: 0 }
}

/// Converts a train of a machine that leaves by an interface into one of the world.
pub(crate) fn transmit(transmit: &pgm::Transmit, interface: u32) -> Transmit {
    let (pgm::Destination::Group(ip) | pgm::Destination::Host { nla: ip, .. }) = transmit.to;
    Transmit { to: destination(ip, interface), stride: transmit.stride, len: transmit.len }
}

/// The destination with an address on an interface; an unused address, or one on another interface, gives a party that does not exist.
fn destination(ip: IpAddr, interface: u32) -> Destination {
    let IpAddr::V4(ip) = ip else { return NOWHERE };
    let [first, high, middle, low] = ip.octets();
    let number = u32::from_be_bytes([0, high, middle, low]).wrapping_sub(1);
    match first {
        239 => Destination::Group(number + interface),
        _ if u32::from(first) == u32::from(FIRST_INTERFACE) + interface => {
            Destination::Party(PartyId(number))
        }
        _ => NOWHERE,
    }
}

/// The first byte of the addresses on the first interface.
const FIRST_INTERFACE: u8 = 10;

const NOWHERE: Destination = Destination::Party(PartyId(u32::MAX));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_back() {
        for (number, interface) in [(0, 0), (1, 0), (254, 1), (255, 2), (256, 0), (70_000, 1)] {
            let party = PartyId(number);
            assert_eq!(destination(of_party(party, interface), interface), Destination::Party(party));
            assert_eq!(destination(of_party(party, interface), interface + 1), NOWHERE);
            assert_eq!(destination(of_group(number), interface), Destination::Group(number + interface));
        }
        assert_eq!(destination("192.0.2.1".parse().unwrap(), 0), NOWHERE);
        assert_eq!(destination("::1".parse().unwrap(), 0), NOWHERE);
    }
}
