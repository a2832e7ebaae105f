//! Neither reading nor writing allocates.

use std::hint::black_box;

use campanile_pgm::wire::{Data, Packet};

use crate::specimens::{bytes, specimens};

#[test]
fn reading_and_writing_allocate_nothing() {
    for (name, packet) in specimens() {
        let datagram = bytes(&packet);
        let mut buffer = vec![0; datagram.len()];
        let used = allocation_counter::measure(|| {
            let packet = Packet::parse(black_box(&datagram)).expect("a specimen");
            black_box(packet.emit(&mut buffer));
        });
        assert_eq!(used.count_total, 0, "{name}");
        assert_eq!(buffer, datagram, "{name}");
    }
}

#[test]
fn a_payload_in_place_is_left_in_place() {
    for (name, packet) in specimens() {
        let campanile_pgm::wire::Body::Data(Data { head, payload }) = packet.body else { continue };
        let mut buffer = vec![0xee; packet.wire_len() + 4];
        buffer[head.wire_len()..][..payload.len()].copy_from_slice(payload);
        let len = head.emit_around(packet.session, &mut buffer, payload.len());
        assert_eq!(buffer[..len], bytes(&packet), "{name}");
        assert_eq!(buffer[len..], [0xee; 4], "{name}");
    }
}
