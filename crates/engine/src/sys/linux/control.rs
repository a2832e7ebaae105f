//! Control messages: what the kernel reports about a datagram, and what it is told about one, besides the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use super::address::take;
use super::cmsg::{self, Area};
use crate::event::Cast;

const _: () = assert!(cmsg::HEADER == size_of::<libc::cmsghdr>(), "Linux has headers of this length");

/// Room for what comes with a received train: stride, both kinds of packet information, type of service, drops, timestamp.
pub(super) const RECEIVE_LEN: usize = 208;
/// Room for what is sent with a train: stride, source address, hop limit, type of service, Router Alert.
pub(super) const SEND_LEN: usize = 128;

/// Options of one datagram (ip(7)).
const IP_RETOPTS: libc::c_int = 7;

/// What the kernel reported about a train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ancillary {
    pub(super) stride: Option<usize>,
    pub(super) to: Option<IpAddr>,
    pub(super) cast: Cast,
    pub(super) interface: u32,
    pub(super) tos: u8,
    pub(super) drops: Option<u32>,
    pub(super) arrived: Option<SystemTime>,
}

impl Ancillary {
    /// Reads the control area of a received message. Malformed and unknown messages are ignored.
    pub(super) fn read(control: &[u8]) -> Self {
        let mut found = Self::default();
        cmsg::messages(control).for_each(|(level, kind, body)| found.note(level, kind, body));
        found
    }

    fn note(&mut self, level: i32, kind: i32, body: &[u8]) {
        match (level, kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => {
                self.stride = word(body).and_then(|stride| usize::try_from(stride).ok());
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => self.note_packet_info(body),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => self.note_packet_info_v6(body),
            (libc::IPPROTO_IP, libc::IP_TOS) => self.tos = body.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => self.tos = word(body).unwrap_or(0) as u8,
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => self.drops = word(body).map(|drops| drops as u32),
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => self.arrived = timestamp(body),
            _ => {}
        }
    }

    /// `struct in_pktinfo`: interface, the local address that answers, the header's destination.
    fn note_packet_info(&mut self, body: &[u8]) {
        let (Some(index), Some(local), Some(to)) = (take(body, 0), take::<4>(body, 4), take::<4>(body, 8))
        else {
            return;
        };
        let (local, to) = (Ipv4Addr::from(local), Ipv4Addr::from(to));
        self.interface = u32::from_ne_bytes(index);
        self.to = Some(to.into());
        self.cast = match to {
            _ if to.is_multicast() => Cast::Multicast,
            // The address that the kernel would reply from differs from the destination only for a broadcast.
            _ if to != local || to.is_broadcast() => Cast::Broadcast,
            _ => Cast::Unicast,
        };
    }

    /// `struct in6_pktinfo`: the header's destination, interface. An IPv4 packet on a dual socket has both kinds.
    fn note_packet_info_v6(&mut self, body: &[u8]) {
        let (Some(to), Some(index)) = (take::<16>(body, 0), take(body, 16)) else { return };
        let to = Ipv6Addr::from(to);
        self.interface = u32::from_ne_bytes(index);
        if to.to_ipv4_mapped().is_none() {
            self.to = Some(to.into());
            self.cast = if to.is_multicast() { Cast::Multicast } else { Cast::Unicast };
        }
    }
}

fn word(body: &[u8]) -> Option<i32> {
    take(body, 0).map(i32::from_ne_bytes)
}

fn timestamp(body: &[u8]) -> Option<SystemTime> {
    let seconds = u64::try_from(i64::from_ne_bytes(take(body, 0)?)).ok()?;
    let nanoseconds = u32::try_from(i64::from_ne_bytes(take(body, 8)?)).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

/// What the kernel is told about a train.
pub(super) type Control = Area<SEND_LEN>;

impl Control {
    /// The datagram size at which the kernel cuts the train.
    pub(super) fn put_stride(&mut self, stride: usize) {
        let stride = u16::try_from(stride).expect("a segmented train has strides below its own 65,507 bytes");
        self.put(libc::SOL_UDP, libc::UDP_SEGMENT, &stride.to_ne_bytes());
    }

    /// The local address to send from, for a socket of the given family.
    pub(super) fn put_source(&mut self, from: IpAddr, v6_socket: bool) {
        match from {
            IpAddr::V4(from) if !v6_socket => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&from.octets());
                self.put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            _ => {
                let from = match from {
                    IpAddr::V4(from) => from.to_ipv6_mapped(),
                    IpAddr::V6(from) => from,
                };
                let mut info = [0; 20];
                info[..16].copy_from_slice(&from.octets());
                self.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    /// Time to live or hop limit.
    pub(super) fn put_ttl(&mut self, ttl: u8, v6: bool) {
        let (level, kind) =
            if v6 { (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) } else { (libc::IPPROTO_IP, libc::IP_TTL) };
        self.put(level, kind, &i32::from(ttl).to_ne_bytes());
    }

    /// Type of service or traffic class.
    pub(super) fn put_tos(&mut self, tos: u8, v6: bool) {
        let (level, kind) =
            if v6 { (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) } else { (libc::IPPROTO_IP, libc::IP_TOS) };
        self.put(level, kind, &i32::from(tos).to_ne_bytes());
    }

    /// The IPv4 option Router Alert (RFC 2113 section 2.1).
    pub(super) fn put_router_alert(&mut self) {
        self.put(libc::IPPROTO_IP, IP_RETOPTS, &[0x94, 4, 0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(control: &Control) -> Ancillary {
        Ancillary::read(control.written())
    }

    #[test]
    fn each_message_is_found_behind_the_others() {
        let mut control = Control::EMPTY;
        control.put(libc::SOL_UDP, libc::UDP_GRO, &1400_i32.to_ne_bytes());
        control.put(libc::IPPROTO_IP, libc::IP_TOS, &[0xB8]);
        control.put(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &7_u32.to_ne_bytes());
        let found = read(&control);
        assert_eq!((found.stride, found.tos, found.drops), (Some(1400), 0xB8, Some(7)));
    }

    #[test]
    fn broadcast_and_multicast_are_told_from_unicast() {
        let info = |local: [u8; 4], to: [u8; 4]| {
            let mut control = Control::EMPTY;
            let body = [[3, 0, 0, 0], local, to].concat();
            control.put(libc::IPPROTO_IP, libc::IP_PKTINFO, &body);
            read(&control).cast
        };
        assert_eq!(info([10, 0, 0, 1], [10, 0, 0, 1]), Cast::Unicast);
        assert_eq!(info([10, 0, 0, 1], [10, 0, 0, 255]), Cast::Broadcast);
        assert_eq!(info([10, 0, 0, 1], [239, 1, 1, 1]), Cast::Multicast);
    }

    #[test]
    fn the_fullest_control_area_fits() {
        let mut control = Control::EMPTY;
        control.put_stride(1400);
        control.put_source(Ipv6Addr::LOCALHOST.into(), true);
        control.put_ttl(1, true);
        control.put_tos(0xB8, true);
        assert!(control.written().len() <= SEND_LEN);
        control.clear();
        control.put_stride(1400);
        control.put_source(Ipv4Addr::LOCALHOST.into(), false);
        control.put_ttl(1, false);
        control.put_tos(0xB8, false);
        control.put_router_alert();
        assert!(control.written().len() <= SEND_LEN);
    }
}
