//! Bodies of the fuzz targets: called by the fuzzer with its inputs, and by the tests with those of `fuzz/corpus/`.

mod choices;
mod receiver;
mod source;

pub use receiver::receiver;
pub use source::source;

use crate::wire::{HeaderView, Packet};

/// Parses `input` as a datagram, as it is and with its checksum corrected, and checks that accepted packets survive a round trip.
///
/// # Panics
///
/// When parsing panics, or when an accepted packet, emitted and parsed again, differs.
pub fn wire(input: &[u8]) {
    round_trip(input);
    let mut sealed = input.to_vec();
    if sealed.len() >= 8 {
        sealed[6..8].fill(0);
        let sum = sealed.chunks(2).fold(0_u64, |sum, pair| {
            sum + u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
        });
        // A one's complement sum of 16-bit words is the plain sum modulo 2^16 - 1.
        let checksum = 0xffff - u16::try_from(sum % 0xffff).expect("a remainder below 2^16");
        sealed[6..8].copy_from_slice(&checksum.to_be_bytes());
        round_trip(&sealed);
    }
}

fn round_trip(datagram: &[u8]) {
    let Ok(packet) = Packet::parse(datagram) else { return };
    assert_eq!(HeaderView::new(datagram).and_then(HeaderView::session), Some(packet.session));
    assert_ne!(packet.to_string(), "");
    let len = packet.wire_len();
    assert!(len <= datagram.len(), "what has a meaning takes no more room than it had");
    let mut buffer = vec![GUARD; len + 8];
    assert_eq!(packet.emit(&mut buffer), len);
    assert_eq!(buffer[len..], [GUARD; 8], "nothing is written behind the packet");
    assert_eq!(Packet::parse(&buffer[..len]), Ok(packet));
}

const GUARD: u8 = 0xee;
