//! Every rule broken once, by changing a valid packet.

use std::collections::BTreeSet;

use campanile_pgm::wire::{Malformed, Packet};

use crate::specimens::{bytes, specimen};

/// A specimen, what is done to its bytes, and the rule that is broken by it. The checksum is put right afterwards.
type Case = (Malformed, &'static str, fn(&mut Vec<u8>));

const CASES: &[Case] = &[
    (Malformed::ShortHeader, "spmr", |packet| packet.truncate(15)),
    (Malformed::ShortHeader, "spmr", Vec::clear),
    (Malformed::Version, "odata", |packet| packet[TYPE] |= 0x40),
    (Malformed::ReservedTypeBits, "odata", |packet| packet[TYPE] |= 0x10),
    (Malformed::UnknownType, "odata", |packet| packet[TYPE] = 0x0b),
    (Malformed::VarPktlenWithoutParity, "odata", |packet| packet[FLAGS] |= 0x40),
    (Malformed::ParityMisplaced, "spm", |packet| packet[FLAGS] |= 0x80),
    (Malformed::ParityMisplaced, "spmr", |packet| packet[FLAGS] |= 0x80),
    (Malformed::ShortBody, "odata-empty", |packet| packet.truncate(23)),
    (Malformed::ShortBody, "spm-v6", |packet| packet.truncate(47)),
    (Malformed::ShortBody, "spm", |packet| packet[29] = 2),
    (Malformed::ShortBody, "nak", |packet| packet.truncate(35)),
    (Malformed::ShortBody, "poll", |packet| packet.truncate(43)),
    (Malformed::ShortBody, "polr", |packet| packet.truncate(23)),
    (Malformed::ShortBody, "ack", |packet| packet.truncate(23)),
    (Malformed::BadAfi, "spm", |packet| packet[29] = 0),
    (Malformed::BadAfi, "nak", |packet| packet[29] = 3),
    (Malformed::BadAfi, "polr-redirect", |packet| packet[32] = 1),
    (Malformed::NlaNotUnicast, "spm", |packet| packet[32] = 224),
    (Malformed::NlaNotUnicast, "nak", |packet| packet[24..28].fill(0xff)),
    (Malformed::NlaNotUnicast, "poll", |packet| packet[28..32].fill(0)),
    (Malformed::NlaNotUnicast, "polr-redirect", |packet| packet[36] = 239),
    (Malformed::NlaNotMulticast, "nak", |packet| packet[32] = 10),
    (Malformed::WindowTooWide, "spm", |packet| packet[20..24].copy_from_slice(&2001_u32.to_be_bytes())),
    (Malformed::WindowTooWide, "spm", |packet| packet[24] = 0x80),
    (Malformed::DataBeforeTrail, "odata", |packet| packet[20..24].copy_from_slice(&2000_u32.to_be_bytes())),
    (Malformed::DataBeforeTrail, "rdata", |packet| packet[16] = 0x80),
    (Malformed::NoOptLength, "spm", |packet| packet[FLAGS] |= 1),
    (Malformed::NoOptLength, "spm-join-fin", |packet| packet[36] = 0x0d),
    (Malformed::NoOptLength, "spm-join-fin", |packet| packet[37] = 8),
    (Malformed::OptionsLength, "spm-join-fin", |packet| packet[39] = 3),
    (Malformed::OptionsLength, "spm-join-fin", |packet| packet[39] = 17),
    (Malformed::OptionsLength, "odata-fragment", |packet| packet[26] = 1),
    (Malformed::ShortOption, "spm-join-fin", |packet| packet[41] = 0),
    (Malformed::ShortOption, "spm-join-fin", |packet| packet[41] = 3),
    (Malformed::OptionPastEnd, "spm-join-fin", |packet| packet[49] = 5),
    (Malformed::OptionPastEnd, "odata-fragment", |packet| packet[29] = 17),
    (Malformed::TooManyOptions, "odata-empty", |packet| {
        packet[FLAGS] |= 1;
        packet.extend([0, 4, 0, 4 + 17 * 4]);
        packet.extend([0x0d, 4, 0, 0].repeat(16));
        packet.extend([0x8d, 4, 0, 0]);
    }),
    (Malformed::NoOptEnd, "spm-join-fin", |packet| packet[48] &= 0x7f),
    (Malformed::OptEndEarly, "spm-join-fin", |packet| packet[40] |= 0x80),
    (Malformed::OptionLength, "spm-full", |packet| packet[40] = 0x04),
    (Malformed::OptionLength, "odata-fragment", |packet| packet[28] = 0x83),
    (Malformed::OptionLength, "nak-list", |packet| {
        packet.truncate(50);
        (packet[39], packet[41]) = (14, 10);
    }),
    (Malformed::OptionMisplaced, "odata-fragment", |packet| packet[28] = 0x82),
    (Malformed::OptionMisplaced, "spm-join-fin", |packet| packet[48] = 0x8d),
    (Malformed::OptionMisplaced, "ack-feedback", |packet| packet[28] = 0x92),
    (Malformed::OptionMisplaced, "odata-full", |packet| packet[28] = 0x09),
    (Malformed::OptionMisplaced, "spmr", |packet| {
        packet[FLAGS] |= 1;
        packet.extend([0, 4, 0, 8, 0x8e, 4, 0, 0]);
    }),
    (Malformed::OptionEncoded, "spm-join-fin", |packet| packet[42] = 4),
    (Malformed::OptionEncoded, "odata-fragment", |packet| packet[30] = 4),
    (Malformed::FragmentNotEncoded, "rdata-parity-full", |packet| packet[38] = 0),
    (Malformed::FragmentBeyondApdu, "odata-fragment", |packet| packet[43] = 9),
    (Malformed::FragmentBeyondApdu, "odata-fragment", |packet| packet[36] = 1),
    (Malformed::FragmentOrder, "odata-fragment", |packet| packet[35] += 1),
    (Malformed::FragmentOrder, "odata-fragment", |packet| packet[39] = 0),
    (Malformed::FragmentOrder, "odata-fragment", |packet| packet[35] += 2),
    (Malformed::NakListOrder, "nak-list", |packet| packet[46] = 0),
    (Malformed::NakListOrder, "nak-list", |packet| packet.copy_within(44..48, 16)),
    (Malformed::NakListOrder, "nak-list", |packet| packet.copy_within(44..48, 48)),
    (Malformed::ParityPrmEmpty, "spm-full", |packet| packet[43] = 0),
    (Malformed::TgsizeNotPowerOfTwo, "spm-full", |packet| packet[47] = 65),
    (Malformed::CurrTgsizeZero, "spm-full", |packet| packet[55] = 0),
    (Malformed::ParityGrpZero, "rdata-parity-full", |packet| packet[59] = 0),
    (Malformed::NakBoRange, "spm-full", |packet| packet[76..80].fill(0)),
    (Malformed::NbrUnreachWithoutPath, "ncf-full", |packet| packet[76] = 0x86),
    (Malformed::TsduLength, "odata", |packet| packet.push(0)),
    (Malformed::TsduLength, "odata", |packet| packet.truncate(32)),
    (Malformed::TsduLength, "odata-full", |packet| packet[15] += 1),
    (Malformed::TsduLength, "spm", |packet| packet.push(0)),
    (Malformed::TsduLength, "nak-list", |packet| packet.extend([0; 4])),
    (Malformed::TsduLength, "spmr", |packet| packet.push(0)),
    (Malformed::TsduMisplaced, "spm", |packet| packet[15] = 1),
    (Malformed::ShortParity, "odata-parity", |packet| {
        packet[FLAGS] |= 0x40;
        packet[15] = 1;
        packet.truncate(25);
    }),
];

#[test]
fn every_rule_has_its_name() {
    let mut broken = BTreeSet::new();
    for (rule, name, damage) in CASES {
        let mut packet = bytes(&specimen(name));
        assert!(Packet::parse(&packet).is_ok(), "{name} is valid before");
        damage(&mut packet);
        if packet.len() >= 8 {
            crate::seal(&mut packet);
        }
        assert_eq!(Packet::parse(&packet), Err(*rule), "{name} became {packet:02x?}");
        broken.insert(*rule);
    }

    let mut packet = bytes(&specimen("odata"));
    packet[24] ^= 1;
    assert_eq!(Packet::parse(&packet), Err(Malformed::BadChecksum));
    packet[6..8].fill(0);
    assert_eq!(Packet::parse(&packet), Err(Malformed::NoChecksum));
    broken.extend([Malformed::BadChecksum, Malformed::NoChecksum]);

    assert_eq!(broken.len(), Malformed::COUNT, "a case for each rule");
    let sentences: BTreeSet<String> = broken.iter().map(Malformed::to_string).collect();
    assert_eq!(sentences.len(), Malformed::COUNT, "a sentence for each rule");
    assert_eq!(broken.iter().map(|rule| rule.index()).max(), Some(Malformed::COUNT - 1));
}

#[test]
fn only_data_need_a_checksum() {
    for (name, expected) in [("spm", true), ("nak", true), ("spmr", true), ("odata", false), ("rdata", false)]
    {
        let mut packet = bytes(&specimen(name));
        packet[6..8].fill(0);
        assert_eq!(Packet::parse(&packet).is_ok(), expected, "{name}");
    }
}

#[test]
fn what_means_nothing_is_passed_over() {
    let valid = specimen("spm-full");
    let mut packet = bytes(&valid);
    packet[30..32].fill(0xff); // reserved, beside the AFI
    packet[42] |= 0xf8; // reserved bits of an option
    packet[42] |= 0x03; // OPX, for network elements
    packet.extend([0x86, 8, 0, 0, 1, 2, 3, 4]); // an option that nobody knows
    packet[96] &= 0x7f;
    packet[39] += 8;
    crate::seal(&mut packet);
    assert_eq!(Packet::parse(&packet), Ok(valid));
}

#[test]
fn the_first_of_two_options_counts() {
    let valid = specimen("spm-join-fin");
    let mut packet = bytes(&valid);
    packet.truncate(48);
    packet.extend([0x03, 8, 0, 0, 9, 9, 9, 9, 0x8e, 4, 0, 0]);
    packet[39] += 8;
    crate::seal(&mut packet);
    assert_eq!(Packet::parse(&packet), Ok(valid));
}

const TYPE: usize = 4;
const FLAGS: usize = 5;
