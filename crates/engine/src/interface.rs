//! Network interfaces, as people name them and as the system needs them.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use if_addrs::IfOperStatus;

use crate::multicast;

/// An interface by any of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {
    /// The system's number for it.
    Index(u32),
    /// One of its addresses.
    Address(IpAddr),
    /// The system's name for it.
    Name(String),
    /// A link-local address, which several interfaces may have, and its zone: the name or number of the interface (RFC 4007 section 11).
    Zoned(Ipv6Addr, String),
}

impl FromStr for Interface {
    type Err = Infallible;

    /// An address, which may have a zone as in `fe80::1%eth0`, otherwise a number, otherwise a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if let Some((address, zone)) = text.split_once('%')
            && let Ok(address) = address.parse()
        {
            return Ok(Self::Zoned(address, zone.to_owned()));
        }
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Index))
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => index.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::Zoned(address, zone) => write!(f, "{address}%{zone}"),
        }
    }
}

/// What socket options ask for: some want the index, some the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) index: u32,
    pub(crate) v4: Option<Ipv4Addr>,
}

impl Interface {
    /// The interface's number, and its address to send to `group` from: one of the group's family, and not link-local if possible. The
    /// system chooses the interface if `interface` is `None`.
    ///
    /// # Errors
    /// There is no such interface, it has no address of the family, or there is no route to the group.
    pub fn towards(interface: Option<&Interface>, group: IpAddr) -> io::Result<(u32, IpAddr)> {
        let chosen = match interface {
            Some(interface) => interface.resolve()?,
            None if multicast::is_link_local(group) => return Err(InterfaceError::Needed(group).into()),
            None => {
                let any = if group.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = std::net::UdpSocket::bind(any)?;
                // Nothing is sent: the system only says which way it would go.
                socket.connect((group, 9)).map_err(|error| InterfaceError::NoWay(group, error))?;
                let own = socket.local_addr()?.ip();
                if own.is_unspecified() {
                    return Err(InterfaceError::NoSource(group).into());
                }
                Interface::Address(own).resolve()?
            }
        };
        let asked = match interface {
            Some(Interface::Address(address)) => Some(*address),
            Some(Interface::Zoned(address, _)) => Some(IpAddr::from(*address)),
            _ => None,
        };
        if let Some(address) = asked.filter(|address| address.is_ipv4() == group.is_ipv4()) {
            return Ok((chosen.index, address));
        }
        let all = Addressed::all()?.into_iter();
        let of_family =
            |entry: &Addressed| entry.index == chosen.index && entry.address.is_ipv4() == group.is_ipv4();
        let best = all.filter(of_family).min_by_key(Addressed::is_link_local);
        let asked = interface.cloned().unwrap_or(Interface::Index(chosen.index));
        let best = best.ok_or(if group.is_ipv4() {
            InterfaceError::NoIpv4(asked)
        } else {
            InterfaceError::NoIpv6(asked)
        })?;
        Ok((chosen.index, best.address))
    }

    /// The system's name for the interface. An interface given by name is not looked up, and need not exist.
    ///
    /// # Errors
    /// No interface has that number or address now.
    pub fn name(&self) -> Result<String, InterfaceError> {
        match self {
            Self::Name(name) => Ok(name.clone()),
            _ => Ok(self.among(&Addressed::all().map_err(InterfaceError::System)?)?.name.clone()),
        }
    }

    /// Looks the interface up as it is now.
    pub(crate) fn resolve(&self) -> Result<Resolved, InterfaceError> {
        let all = Addressed::all().map_err(InterfaceError::System)?;
        let chosen = self.among(&all)?;
        let v4_of = |entry: &Addressed| match entry.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        };
        // The address asked for, where there is one: an interface may have several.
        let v4 =
            v4_of(chosen).or_else(|| all.iter().filter(|entry| entry.index == chosen.index).find_map(v4_of));
        Ok(Resolved { index: chosen.index, v4 })
    }

    /// The first of these entries that it names.
    fn among<'a>(&self, all: &'a [Addressed]) -> Result<&'a Addressed, InterfaceError> {
        let chosen = all.iter().find(|entry| match self {
            Self::Index(index) => entry.index == *index,
            Self::Address(address) => entry.address == *address,
            Self::Name(name) => entry.name == *name,
            Self::Zoned(address, zone) => {
                entry.address == *address && (entry.name == *zone || entry.index.to_string() == *zone)
            }
        });
        chosen.ok_or_else(|| {
            let mut known: Vec<String> = all.iter().map(|entry| entry.name.clone()).collect();
            known.sort();
            known.dedup();
            InterfaceError::Unknown { asked: self.clone(), known }
        })
    }
}

/// An interface as the system has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The system's number for it.
    pub index: u32,
    /// The system's name for it.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// All interfaces that have an address, in the order of their numbers.
///
/// # Errors
/// The system does not list them.
pub fn list() -> Result<Vec<Listed>, InterfaceError> {
    let mut listed: Vec<Listed> = Vec::new();
    for Addressed { index, name, address } in Addressed::all().map_err(InterfaceError::System)? {
        match listed.iter_mut().find(|known| known.index == index) {
            Some(known) => known.addresses.push(address),
            None => listed.push(Listed { index, name, addresses: vec![address] }),
        }
    }
    listed.sort_by_key(|known| known.index);
    Ok(listed)
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Addressed {
    index: u32,
    name: String,
    address: IpAddr,
}

impl Addressed {
    /// The addresses of all interfaces that have a number.
    fn all() -> io::Result<Vec<Self>> {
        let all = if_addrs::get_if_addrs()?;
        // Windows lists link-local addresses of interfaces that are disconnected.
        let is_of_none =
            |entry: &if_addrs::Interface| entry.is_link_local() && entry.oper_status == IfOperStatus::Down;
        let told = all.into_iter().filter(|entry| !is_of_none(entry));
        let told = told.map(|entry| (entry.index, entry.ip(), entry.name));
        Ok(Self::numbered(told.collect()))
    }

    /// Windows reports an interface's number for each family, and sometimes for one only; it is the same for both.
    fn numbered(told: Vec<(Option<u32>, IpAddr, String)>) -> Vec<Self> {
        let index_of = |name: &str| told.iter().find_map(|(index, _, of)| index.filter(|_| of == name));
        let numbered = told.iter().filter_map(|(index, address, name)| {
            let index = index.or_else(|| index_of(name))?;
            Some(Self { index, name: name.clone(), address: *address })
        });
        numbered.collect()
    }

    fn is_link_local(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        }
    }
}

/// Why an interface cannot be used.
#[derive(Debug)]
pub enum InterfaceError {
    /// No interface has that name, number or address now.
    Unknown {
        /// What was asked for.
        asked: Interface,
        /// The names there are.
        known: Vec<String>,
    },
    /// The system has no route to the group.
    NoWay(IpAddr, io::Error),
    /// The system's route to the group leads over an interface without an address that others could answer, such as loopback.
    NoSource(IpAddr),
    /// The group is link-local, a different one on each link, so an interface must be named.
    Needed(IpAddr),
    /// It has no IPv4 address, and an IPv4 group needs one.
    NoIpv4(Interface),
    /// It has no IPv6 address, and an IPv6 group needs one.
    NoIpv6(Interface),
    /// The system did not list its interfaces.
    System(io::Error),
}

impl fmt::Display for InterfaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // One may be there without an address, as when it is down.
            Self::Unknown { asked, known } if known.is_empty() => {
                write!(f, "no interface {asked} (none has an address)")
            }
            Self::Unknown { asked, known } => {
                write!(f, "no interface {asked} (those with an address: {})", known.join(", "))
            }
            Self::NoWay(group, error) => {
                write!(f, "the system has no route to {group} ({error}): name an interface, or add a route")
            }
            Self::NoSource(group) => {
                write!(f, "the system's route to {group} has no address to send from: name an interface")
            }
            Self::Needed(group) => {
                write!(f, "group {group} is another one on each link: an interface has to be named")
            }
            Self::NoIpv4(asked) => write!(f, "interface {asked} has no IPv4 address"),
            Self::NoIpv6(interface) => write!(f, "interface {interface} has no IPv6 address"),
            Self::System(error) => write!(f, "the system does not list its interfaces: {error}"),
        }
    }
}

impl std::error::Error for InterfaceError {}

impl From<InterfaceError> for io::Error {
    fn from(error: InterfaceError) -> Self {
        match error {
            InterfaceError::System(error) => error,
            other => Self::new(io::ErrorKind::NotFound, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_addresses_are_told_apart() {
        assert_eq!("eth0".parse(), Ok(Interface::Name("eth0".to_owned())));
        assert_eq!("3".parse(), Ok(Interface::Index(3)));
        assert_eq!("127.0.0.1".parse(), Ok(Interface::Address(Ipv4Addr::LOCALHOST.into())));
        assert_eq!("::1".parse(), Ok(Interface::Address("::1".parse().expect("literal"))));
        let zoned = Interface::Zoned("fe80::1".parse().expect("literal"), "eth0".to_owned());
        assert_eq!(zoned.to_string(), "fe80::1%eth0");
        assert_eq!("fe80::1%eth0".parse(), Ok(zoned));
        assert_eq!("a%b".parse(), Ok(Interface::Name("a%b".to_owned())));
    }

    #[test]
    fn loopback_is_found_by_address_index_and_name() {
        let by_address = Interface::Address(Ipv4Addr::LOCALHOST.into());
        let resolved = by_address.resolve().expect("every system has loopback");
        assert_eq!(resolved.v4, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(Interface::Index(resolved.index).resolve().expect("found above").index, resolved.index);
    }

    #[test]
    fn an_address_and_a_number_have_a_name() {
        let loopback = Interface::Address(Ipv4Addr::LOCALHOST.into());
        let name = loopback.name().expect("every system has loopback");
        let index = Interface::Name(name.clone()).resolve().expect("it is its name").index;
        assert_eq!(Interface::Index(index).name().ok(), Some(name));
        assert_eq!(Interface::Name("not there".to_owned()).name().ok().as_deref(), Some("not there"));
        assert!(Interface::Index(u32::MAX).name().is_err());
    }

    #[test]
    fn the_way_to_a_group_has_an_address() {
        let group = "239.192.7.1".parse().expect("literal");
        let loopback = Interface::Address(Ipv4Addr::LOCALHOST.into());
        let (index, address) = Interface::towards(Some(&loopback), group).expect("every system has loopback");
        assert_eq!(address, IpAddr::from(Ipv4Addr::LOCALHOST));
        let by_index = Interface::towards(Some(&Interface::Index(index)), group).expect("found above");
        assert_eq!(by_index, (index, address));
    }

    #[test]
    fn a_zone_is_a_name_or_a_number() {
        let Ok(loopback) = Interface::Address(Ipv6Addr::LOCALHOST.into()).resolve() else {
            eprintln!("skipped: loopback has no IPv6 here");
            return;
        };
        let zoned = |zone: &str| Interface::Zoned(Ipv6Addr::LOCALHOST, zone.to_owned()).resolve();
        let by_number = zoned(&loopback.index.to_string()).expect("it is that of loopback");
        assert_eq!(by_number.index, loopback.index);
        assert!(zoned("nowhere").is_err());
    }

    #[test]
    fn a_group_of_a_link_needs_an_interface() {
        let error = Interface::towards(None, "ff02::7:1".parse().expect("literal")).expect_err("which one?");
        assert!(error.to_string().contains("an interface has to be named"), "{error}");
    }

    #[test]
    fn each_interface_is_listed_once_and_loopback_is_among_them() {
        let listed = list().expect("the system lists its interfaces");
        assert!(listed.windows(2).all(|pair| pair[0].index < pair[1].index), "{listed:?}");
        let loopback = listed.iter().find(|known| known.addresses.contains(&Ipv4Addr::LOCALHOST.into()));
        let loopback = loopback.expect("every system has loopback");
        let by_name = Interface::Name(loopback.name.clone()).resolve().expect("it is listed");
        assert_eq!(by_name.index, loopback.index);
    }

    #[test]
    fn an_index_given_for_one_family_is_that_of_the_other() {
        let v4: IpAddr = Ipv4Addr::LOCALHOST.into();
        let v6: IpAddr = "::1".parse().expect("literal");
        let told = [(None, v6, "lo"), (Some(3), v4, "eth"), (Some(1), v4, "lo"), (None, v4, "numberless")];
        let told = told.map(|(index, address, name)| (index, address, name.to_owned()));
        let numbered = Addressed::numbered(told.to_vec());
        let numbers: Vec<_> = numbered.iter().map(|entry| (entry.index, entry.address)).collect();
        assert_eq!(numbers, [(1, v6), (3, v4), (1, v4)]);
    }

    #[test]
    fn an_unknown_interface_names_the_known_ones() {
        let error = Interface::Name("no-such-interface".to_owned()).resolve().expect_err("no such interface");
        let text = error.to_string();
        assert!(text.starts_with("no interface no-such-interface (those with an address: "), "{text}");
    }
}
