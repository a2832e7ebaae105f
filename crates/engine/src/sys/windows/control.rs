//! Control messages: what the kernel reports about a datagram, and what it is told about one, besides the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use windows_sys::Win32::Networking::WinSock::{
    CMSGHDR, IP_ECN, IP_HOPLIMIT, IP_PKTINFO, IP_TOS, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IPV6_ECN,
    IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_TCLASS, UDP_SEND_MSG_SIZE,
};

use super::address::take;
use super::cmsg::{self, Area};

const _: () = assert!(cmsg::HEADER == size_of::<CMSGHDR>(), "Windows has headers of this length");

/// Room for what comes with a datagram (both kinds of packet information and of the type of service), and for what is sent with a train
/// (stride, source address, hop limit, type of service).
pub(super) const CONTROL_LEN: usize = 128;

/// What the kernel reported about a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ancillary {
    pub(super) to: Option<IpAddr>,
    pub(super) interface: u32,
    pub(super) tos: u8,
}

impl Ancillary {
    /// Reads the control area of a received message. Malformed and unknown messages are ignored.
    pub(super) fn read(control: &[u8]) -> Self {
        let mut found = Self::default();
        cmsg::messages(control).for_each(|(level, kind, body)| found.note(level, kind, body));
        found
    }

    fn note(&mut self, level: i32, kind: i32, body: &[u8]) {
        let value = take(body, 0).map_or(0, i32::from_ne_bytes) as u8;
        match (level, kind) {
            (IPPROTO_IP, IP_PKTINFO) => {
                let (Some(to), Some(index)) = (take::<4>(body, 0), take(body, 4)) else { return };
                self.to = Some(Ipv4Addr::from(to).into());
                self.interface = u32::from_ne_bytes(index);
            }
            (IPPROTO_IPV6, IPV6_PKTINFO) => {
                let (Some(to), Some(index)) = (take::<16>(body, 0), take(body, 16)) else { return };
                self.to = Some(Ipv6Addr::from(to).to_canonical());
                self.interface = u32::from_ne_bytes(index);
            }
            (IPPROTO_IP, IP_TOS) | (IPPROTO_IPV6, IPV6_TCLASS) => self.tos = value,
            (IPPROTO_IP, IP_ECN) | (IPPROTO_IPV6, IPV6_ECN) => self.tos |= value & ECN,
            _ => {}
        }
    }
}

/// The bits of the type of service that are the congestion mark, ECN (RFC 3168 section 5).
const ECN: u8 = 0b11;

/// What the kernel reports about a datagram, and is told about a train.
pub(super) type Control = Area<CONTROL_LEN>;

impl Control {
    /// The datagram size at which the kernel cuts the train.
    pub(super) fn put_stride(&mut self, stride: usize) {
        let stride = u32::try_from(stride).expect("a segmented train has strides below its own 65,507 bytes");
        self.put(IPPROTO_UDP, UDP_SEND_MSG_SIZE, &stride.to_ne_bytes());
    }

    /// The local address to send from.
    pub(super) fn put_source(&mut self, from: IpAddr) {
        match from {
            IpAddr::V4(from) => {
                let mut info = [0; 8];
                info[..4].copy_from_slice(&from.octets());
                self.put(IPPROTO_IP, IP_PKTINFO, &info);
            }
            IpAddr::V6(from) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&from.octets());
                self.put(IPPROTO_IPV6, IPV6_PKTINFO, &info);
            }
        }
    }

    /// Time to live or hop limit.
    pub(super) fn put_ttl(&mut self, ttl: u8, v6: bool) {
        let (level, kind) = if v6 { (IPPROTO_IPV6, IPV6_HOPLIMIT) } else { (IPPROTO_IP, IP_HOPLIMIT) };
        self.put(level, kind, &i32::from(ttl).to_ne_bytes());
    }

    /// Type of service or traffic class; only its congestion mark where the system takes no more (`whole` is false).
    pub(super) fn put_tos(&mut self, tos: u8, v6: bool, whole: bool) {
        let (level, kind, value) = match (v6, whole) {
            (false, true) => (IPPROTO_IP, IP_TOS, tos),
            (true, true) => (IPPROTO_IPV6, IPV6_TCLASS, tos),
            (false, false) => (IPPROTO_IP, IP_ECN, tos & ECN),
            (true, false) => (IPPROTO_IPV6, IPV6_ECN, tos & ECN),
        };
        self.put(level, kind, &i32::from(value).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Control)) -> Vec<u8> {
        let mut control = Control::EMPTY;
        write(&mut control);
        control.written().to_vec()
    }

    #[test]
    fn each_message_is_found_behind_the_others() {
        let bytes = written(|control| {
            control.put_stride(1400);
            control.put_tos(0xB8, false, true);
            control.put(IPPROTO_IP, IP_PKTINFO, &[10, 0, 0, 1, 3, 0, 0, 0]);
        });
        let to = Some(Ipv4Addr::new(10, 0, 0, 1).into());
        assert_eq!(Ancillary::read(&bytes), Ancillary { to, interface: 3, tos: 0xB8 });
    }

    #[test]
    fn an_ipv4_address_in_ipv6_form_is_shown_as_ipv4() {
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        let found = Ancillary::read(&written(|control| control.put_source(mapped.into())));
        assert_eq!(found.to, Some(Ipv4Addr::new(10, 0, 0, 1).into()));
    }

    #[test]
    fn the_source_is_written_as_it_is_read() {
        for from in ["192.0.2.1", "2001:db8::1"] {
            let from: IpAddr = from.parse().expect("a literal address");
            assert_eq!(Ancillary::read(&written(|control| control.put_source(from))).to, Some(from));
        }
    }

    #[test]
    fn only_the_congestion_mark_leaves_where_the_rest_cannot() {
        for v6 in [false, true] {
            assert_eq!(Ancillary::read(&written(|control| control.put_tos(0xB9, v6, true))).tos, 0xB9);
            assert_eq!(Ancillary::read(&written(|control| control.put_tos(0xB9, v6, false))).tos, 0x01);
        }
    }

    #[test]
    fn the_fullest_control_area_fits() {
        let sent = written(|control| {
            control.put_stride(1400);
            control.put_source(Ipv6Addr::LOCALHOST.into());
            control.put_ttl(1, true);
            control.put_tos(0xB8, true, true);
        });
        let heard = written(|control| {
            control.put_source(Ipv6Addr::LOCALHOST.into());
            control.put_source(Ipv4Addr::LOCALHOST.into());
            control.put_tos(0xB8, true, true);
            control.put_tos(0xB8, false, true);
        });
        assert!(sent.len().max(heard.len()) <= CONTROL_LEN);
    }
}
