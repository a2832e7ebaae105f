//! Whatever is valid comes back as it was; whatever is not is refused without a panic.

use crate::arbitrary::owned;
use campanile_pgm::fuzz;
use campanile_pgm::wire::{Malformed, Packet};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_was_emitted_parses_to_the_same(owned in owned()) {
        let packet = owned.packet();
        let len = packet.wire_len();
        let mut buffer = vec![0xee; len + 8];
        prop_assert_eq!(packet.emit(&mut buffer), len);
        prop_assert_eq!(&buffer[len..], [0xee; 8]);
        prop_assert_eq!(Packet::parse(&buffer[..len]), Ok(packet));
        let mut resealed = buffer[..len].to_vec();
        crate::seal(&mut resealed);
        prop_assert_eq!(&resealed, &buffer[..len]);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::wire(&bytes);
    }

    #[test]
    fn almost_valid_bytes_do_no_harm(
        owned in owned(),
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
        cut in option_of_index(),
    ) {
        let mut bytes = owned.bytes();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        fuzz::wire(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_noticed(owned in owned(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = owned.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Flipping the only bit of a checksum says that there is none; what is left is still the packet that was sent.
        match Packet::parse(&bytes) {
            Ok(packet) => {
                prop_assert_eq!(&bytes[6..8], [0, 0]);
                prop_assert_eq!(packet, owned.packet());
            }
            Err(rule) => prop_assert!(
                at == 4 || (at == 6 || at == 7) && rule == Malformed::NoChecksum || rule == Malformed::BadChecksum,
                "byte {} broke {}", at, rule
            ),
        }
    }
}

fn option_of_index() -> impl Strategy<Value = Option<prop::sample::Index>> {
    prop::option::of(any::<prop::sample::Index>())
}
