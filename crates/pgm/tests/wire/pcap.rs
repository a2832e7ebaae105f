//! Reading and writing of pcap files, as far as the tests need it: Ethernet, IPv4 and IPv6, UDP and raw PGM.

use std::net::Ipv4Addr;

/// How PGM is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// IP protocol 113.
    Ip,
    /// UDP, both ports the given one.
    Udp(u16),
}

/// The PGM packets of a capture: over IPv4, raw or in UDP to `udp_port`; other traffic is passed over.
pub(crate) fn pgm_packets(file: &[u8], udp_port: u16) -> Vec<Vec<u8>> {
    let read32 = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((read32(0), read32(20)), (MAGIC, ETHERNET), "a little-endian pcap of Ethernet frames");
    let mut packets = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let len = read32(at + 8) as usize;
        assert_eq!(len, read32(at + 12) as usize, "a frame that was captured whole");
        let frame = &file[at + 16..at + 16 + len];
        packets.extend(pgm_of_frame(frame, udp_port).map(<[u8]>::to_vec));
        at += 16 + len;
    }
    packets
}

fn pgm_of_frame(frame: &[u8], udp_port: u16) -> Option<&[u8]> {
    let (ethernet, ip) = frame.split_at(14);
    if ethernet[12..] != [0x08, 0x00] {
        return None;
    }
    let ip = &ip[..usize::from(u16::from_be_bytes([ip[2], ip[3]]))];
    let payload = &ip[usize::from(ip[0] & 0x0f) * 4..];
    match ip[9] {
        IP_PGM => Some(payload),
        IP_UDP if payload[2..4] == udp_port.to_be_bytes() => Some(&payload[8..]),
        _ => None,
    }
}

/// A capture of PGM packets, each in a frame of its own.
pub(crate) fn capture(packets: &[(Carrier, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [MAGIC, 0x0004_0002, 0, 0, 65_535, ETHERNET] {
        file.extend(word.to_le_bytes());
    }
    for (seconds, (carrier, packet)) in (1_u32..).zip(packets) {
        let frame = frame(*carrier, packet);
        let len = u32::try_from(frame.len()).unwrap();
        for word in [seconds, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

fn frame(carrier: Carrier, packet: &[u8]) -> Vec<u8> {
    let (protocol, payload) = match carrier {
        Carrier::Ip => (IP_PGM, packet.to_vec()),
        Carrier::Udp(port) => {
            let len = u16::try_from(8 + packet.len()).unwrap();
            // A UDP checksum of zero says that there is none.
            let mut datagram: Vec<u8> =
                [port, port, len, 0].iter().flat_map(|field| field.to_be_bytes()).collect();
            datagram.extend(packet);
            (IP_UDP, datagram)
        }
    };
    let mut frame = vec![0x01, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x08, 0x00];
    let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    frame.extend([0x45, 0, total[0], total[1], 0, 0, 0, 0, 1, protocol, 0, 0]);
    frame.extend(Ipv4Addr::new(10, 77, 0, 1).octets());
    frame.extend(Ipv4Addr::new(239, 192, 1, 1).octets());
    frame.extend(payload);
    frame
}

const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;
const IP_UDP: u8 = 17;
const IP_PGM: u8 = 113;
