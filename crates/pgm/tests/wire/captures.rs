//! Captures of ZeroMQ over OpenPGM (Debian 12), decoded completely and encoded again byte for byte.

use std::collections::BTreeMap;

use campanile_pgm::wire::Packet;

use crate::pcap::pgm_packets;

/// Decodes all PGM packets of a capture, encodes them again, and counts them by type.
fn replay(packets: &[Vec<u8>]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for bytes in packets {
        let packet = Packet::parse(bytes).unwrap_or_else(|rule| panic!("{rule}: {bytes:02x?}"));
        let mut again = vec![0; packet.wire_len()];
        packet.emit(&mut again);
        assert_eq!(again, *bytes, "{packet}");
        *counts.entry(packet.packet_type().to_string()).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn a_publisher_over_udp() {
    let packets = pgm_packets(include_bytes!("../captures/zmq_pub_to_sub.pcap"), 5555);
    assert_eq!(replay(&packets), counts([("ODATA", 7), ("SPM", 11)]));
}

#[test]
fn a_publisher_over_ip() {
    let packets = pgm_packets(include_bytes!("../captures/zmq_2.pcap"), 5555);
    assert_eq!(replay(&packets), counts([("ODATA", 7), ("SPM", 11)]));
}

#[test]
fn a_subscriber_that_asks_in_vain() {
    let packets = pgm_packets(include_bytes!("../captures/zmq_3.pcap"), 5555);
    assert_eq!(replay(&packets), counts([("NAK", 9), ("ODATA", 3), ("SPM", 4)]));
}

#[test]
fn a_repair() {
    let packets = pgm_packets(include_bytes!("../captures/zmq_repair.pcap"), 5555);
    let all = [("NAK", 1), ("NCF", 1), ("ODATA", 3), ("RDATA", 1), ("SPM", 24)];
    assert_eq!(replay(&packets), counts(all));
    let lines: Vec<String> =
        packets[6..10].iter().map(|bytes| Packet::parse(bytes).unwrap().to_string()).collect();
    let session = "222.173.190.239.0.1.1234 to 5555";
    assert_eq!(
        lines,
        [
            format!("{session}: SPM 3 1000000..=1000003 path 10.77.0.1"),
            format!("{session}: NAK 1000002 of 10.77.0.1 in 239.192.1.1"),
            format!("{session}: NCF 1000002 of 10.77.0.1 in 239.192.1.1"),
            format!("{session}: RDATA 1000002 trail 1000000, 18 bytes"),
        ]
    );
}
