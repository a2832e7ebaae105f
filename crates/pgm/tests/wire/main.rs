//! The wire from outside: any valid packet, captures of others, every rule broken, and tshark as judge.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod allocations;
mod arbitrary;
mod captures;
mod corpus;
mod display;
mod malformed;
mod pcap;
mod round_trip;
mod specimens;
mod tshark;

/// Puts the checksum of a packet right, by RFC 1071 as it is written; the crate's own sum is not used to judge the crate.
fn seal(packet: &mut [u8]) {
    packet[6..8].fill(0);
    let mut sum = 0_u32;
    for pair in packet.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = match !u16::try_from(sum).expect("folded") {
        0 => 0xffff,
        other => other,
    };
    packet[6..8].copy_from_slice(&checksum.to_be_bytes());
}
