//! Addresses of parties and groups.

use std::net::{IpAddr, Ipv4Addr};

use campanile_pgm as pgm;

use crate::{Destination, PartyId, Path, Transmit};

/// The address of a party: 10.0.0.1 for the first.
pub(crate) fn of_party(party: PartyId) -> IpAddr {
    let [_, high, middle, low] = (party.0 + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, high, middle, low))
}

/// The address of the source with a number: sources are the first parties.
pub(crate) fn of_source(number: usize) -> IpAddr {
    of_party(PartyId(number as u32))
}

/// The address of a group: 239.0.0.1 for the first.
pub(crate) fn of_group(group: u32) -> IpAddr {
    let [_, high, middle, low] = (group + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(239, high, middle, low))
}

/// The path of a train, as the machines take it.
pub(crate) fn path(path: Path) -> pgm::Path {
    let to = match path.to {
        Destination::Party(party) => of_party(party),
        Destination::Group(group) => of_group(group),
    };
    pgm::Path { from: of_party(path.from), to, interface: 1, ecn: 0 }
}

/// Converts a train of a machine into one of the world.
pub(crate) fn transmit(transmit: &pgm::Transmit) -> Transmit {
    let (pgm::Destination::Group(ip) | pgm::Destination::Host { nla: ip, .. }) = transmit.to;
    Transmit { to: destination(ip), stride: transmit.stride, len: transmit.len }
}

/// The destination with an address; an unused address gives a party that does not exist.
fn destination(ip: IpAddr) -> Destination {
    let IpAddr::V4(ip) = ip else { return NOWHERE };
    let [first, high, middle, low] = ip.octets();
    let number = u32::from_be_bytes([0, high, middle, low]).wrapping_sub(1);
    match first {
        10 => Destination::Party(PartyId(number)),
        239 => Destination::Group(number),
        _ => NOWHERE,
    }
}

const NOWHERE: Destination = Destination::Party(PartyId(u32::MAX));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_back() {
        for number in [0, 1, 254, 255, 256, 70_000] {
            assert_eq!(destination(of_party(PartyId(number))), Destination::Party(PartyId(number)));
            assert_eq!(destination(of_group(number)), Destination::Group(number));
        }
        assert_eq!(destination("192.0.2.1".parse().unwrap()), NOWHERE);
        assert_eq!(destination("::1".parse().unwrap()), NOWHERE);
    }
}
