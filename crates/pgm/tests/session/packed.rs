//! Packets that are packed elsewhere, and those that a source packs itself.

use std::time::Duration;

use campanile_pgm::source::{Packer, ParityConfig, ProActive, Source, SourceConfig};
use campanile_pgm::{Framing, Instant};

use crate::rig::{SourceRig, apdu_source, texts};
use crate::world::MS;

fn with_parity() -> SourceConfig {
    let parity = ParityConfig { group: 4, pro_active: ProActive::Fixed(1), on_demand: true };
    SourceConfig { parity: Some(parity), ..apdu_source() }
}

/// Messages of all lengths up to that of a few packets.
fn messages() -> impl Iterator<Item = Vec<u8>> {
    (0..200).map(|number| (0..number * 97 % 5000).map(|at| (number + at) as u8).collect())
}

/// All that a source sends for a while.
fn sent(source: &mut Source) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let mut all = Vec::new();
    for ms in 0..1000 {
        let now = Instant(START.0 + ms * MS);
        source.handle_timeout(now);
        while let Some(transmit) = source.poll_transmit(now, &mut buffer) {
            all.extend(buffer[..transmit.len].chunks(transmit.stride).map(<[u8]>::to_vec));
        }
    }
    all
}

#[test]
fn what_is_packed_elsewhere_is_sent_as_if_it_were_published_here() {
    for framing in [Framing::Packed, Framing::Apdu, Framing::Stream] {
        let config = SourceConfig { framing, ..with_parity() };
        let mut here = Source::new(START, config.clone()).unwrap();
        let mut elsewhere = Source::new(START, config).unwrap();
        let mut packer = Packer::new(framing, elsewhere.tsdu_len());
        let mut filled = Vec::new();
        for message in messages() {
            here.publish(START, &message).unwrap();
            packer.put(&message, false, &mut filled);
        }
        filled.extend(packer.close());
        filled.iter_mut().for_each(|tsdu| elsewhere.push(START, tsdu).unwrap());
        let (here, elsewhere) = (sent(&mut here), sent(&mut elsewhere));
        assert!(here.len() > 300, "{framing:?}: {} packets", here.len());
        assert_eq!(here, elsewhere, "{framing:?}");
    }
}

#[test]
fn no_group_ends_within_an_apdu() {
    let mut config = with_parity();
    config.spm.heartbeat_min = Duration::from_millis(5);
    let mut rig = SourceRig::new(config);
    let mut packer = Packer::new(Framing::Apdu, rig.source.tsdu_len());
    let mut filled = Vec::new();
    packer.put(&vec![7; 2 * rig.source.tsdu_len()], false, &mut filled);
    let [first, second] = &mut filled[..] else { panic!("two packets") };
    second.end_burst();
    let data = |rig: &mut SourceRig| {
        let sent = rig.run_ms(50);
        texts(&sent)
            .iter()
            .filter(|text| text.starts_with("ODATA"))
            .map(|text| text.to_string())
            .collect::<Vec<_>>()
    };
    rig.source.push(rig.now, first).unwrap();
    assert_eq!(
        data(&mut rig).len(),
        1,
        "no parity: the group goes on, however long the rest of the APDU takes"
    );
    rig.source.push(rig.now, second).unwrap();
    let sent = data(&mut rig);
    assert!(
        sent[0].starts_with("ODATA 1 ") && sent.len() == 2,
        "the rest, and the parity of the burst: {sent:?}"
    );
    rig.publish(1);
    assert!(data(&mut rig)[0].starts_with("ODATA 4 "), "the next one begins a group");
}

#[test]
fn a_burst_ends_with_the_packet_that_is_being_filled() {
    let mut rig = SourceRig::new(SourceConfig { framing: Framing::Packed, ..with_parity() });
    rig.publish(1);
    rig.source.flush(rig.now);
    rig.publish(1);
    let sent = rig.run_ms(1);
    assert_eq!(
        texts(&sent),
        ["ODATA 0 trail 0, curr_tgsize 1, syn, 8 bytes", "ODATA 0 trail 0, parity, curr_tgsize 1, 8 bytes"],
        "both messages are in it"
    );
    rig.publish(1);
    let sent = rig.run_ms(1);
    assert!(sent[0].text.starts_with("ODATA 4 "), "{sent:?}");
}

const START: Instant = Instant(1_000 * MS);
