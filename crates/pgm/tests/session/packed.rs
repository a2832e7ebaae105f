//! Packets that are packed elsewhere, and those that a source packs itself.

use std::num::NonZeroU32;
use std::time::Duration;

use campanile_pgm::source::{
    Pace, Packed, Packer, ParityConfig, ProActive, PublishError, Source, SourceConfig, WindowSize,
};
use campanile_pgm::wire::{Body, Packet, Reset};
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
        for message in messages() {
            here.publish(START, &message).unwrap();
            packer.put(&message, false);
        }
        packer.close();
        let mut packed = Packed::default();
        packer.give(&mut packed);
        elsewhere.push(START, &mut packed).unwrap();
        assert!(packed.is_empty());
        let (here, elsewhere) = (sent(&mut here), sent(&mut elsewhere));
        assert!(here.len() > 300, "{framing:?}: {} packets", here.len());
        assert_eq!(here, elsewhere, "{framing:?}");
    }
}

#[test]
fn a_session_that_is_cut_within_an_apdu_says_how_short_its_last_group_is() {
    let mut config = with_parity();
    // Six packets may wait.
    config.window.size = WindowSize::Packets(12);
    let mut source = Source::new(START, config).unwrap();
    let mut packer = Packer::new(Framing::Apdu, source.tsdu_len());
    packer.put(&vec![7; 9 * source.tsdu_len()], false);
    let mut packed = Packed::default();
    packer.give(&mut packed);
    assert_eq!(source.push(START, &mut packed), Err(PublishError::Full));
    source.cut(START, Reset::new(false, 1).unwrap());
    let sent = sent(&mut source);
    let Body::Spm(last) = Packet::parse(sent.last().unwrap()).unwrap().body else { panic!("no SPM") };
    assert!(last.options.fin && last.options.reset.is_some());
    assert_eq!(last.options.curr_tgsize, NonZeroU32::new(2));
}

/// The trains in which full packets leave that were packed at a time: their lengths in packets, and whether they are lent.
fn trains(config: SourceConfig, packets: usize) -> Vec<(usize, bool)> {
    let framing = config.framing;
    let mut source = Source::new(START, config).unwrap();
    let mut packer = Packer::new(framing, source.tsdu_len());
    packer.put(&vec![7; packets * source.tsdu_len()], false);
    let mut packed = Packed::default();
    packer.give(&mut packed);
    source.push(START, &mut packed).unwrap();
    let mut buffer = vec![0; 65_536];
    let mut trains = Vec::new();
    while let Some((transmit, lent)) = source.poll_train(START, &mut buffer) {
        let is_data = transmit.stride > source.tsdu_len();
        assert!(lent.as_ref().is_none_or(|bytes| is_data && bytes.len() == transmit.len));
        if is_data {
            trains.push((transmit.len.div_ceil(transmit.stride), lent.is_some()));
        }
    }
    trains
}

/// A rate at which everything leaves at once.
fn unpaced(framing: Framing) -> SourceConfig {
    let config = SourceConfig::new(apdu_source().endpoint);
    let pace = Pace { bytes_per_second: 10_000_000_000, ..config.pace };
    SourceConfig { framing, pace, ..config }
}

#[test]
fn packets_in_a_row_are_sent_from_where_they_are() {
    for framing in [Framing::Stream, Framing::Apdu] {
        let trains = trains(unpaced(framing), 100);
        let [first, rest @ ..] = &trains[..] else { panic!("trains") };
        assert!(!first.1, "the first packet of a session, which may bear an option, is copied");
        assert!(rest.iter().all(|(_, is_lent)| *is_lent));
        assert_eq!(rest.iter().map(|(count, _)| count).sum::<usize>(), 99);
        assert!(rest.len() <= 3, "they are long: {rest:?}");
    }
}

#[test]
fn packets_with_options_are_copied() {
    let mut config = unpaced(Framing::Stream);
    config.window.join_in_data = true;
    let trains = trains(config, 30);
    assert!(!trains.is_empty() && trains.iter().all(|(_, is_lent)| !is_lent));
}

#[test]
fn no_group_ends_within_an_apdu() {
    let mut config = with_parity();
    config.spm.heartbeat_min = Duration::from_millis(5);
    config.window.size = WindowSize::Packets(12);
    let mut rig = SourceRig::new(config);
    let mut packer = Packer::new(Framing::Apdu, rig.source.tsdu_len());
    packer.put(&vec![7; 7 * rig.source.tsdu_len()], false);
    assert!(packer.end_burst());
    let mut packed = Packed::default();
    packer.give(&mut packed);
    let data = |rig: &mut SourceRig| {
        let sent = rig.run_ms(50);
        texts(&sent)
            .iter()
            .filter(|text| text.starts_with("ODATA"))
            .map(|text| text.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(rig.source.push(rig.now, &mut packed), Err(PublishError::Full));
    assert_eq!(
        packed.payloads().map(<[u8]>::len).collect::<Vec<_>>(),
        [rig.source.tsdu_len()],
        "half the window waits"
    );
    assert_eq!(
        data(&mut rig).len(),
        4 + 1 + 2,
        "no parity of the second group: it goes on, however long the rest of the APDU takes"
    );
    rig.source.push(rig.now, &mut packed).unwrap();
    let sent = data(&mut rig);
    assert!(
        sent[0].starts_with("ODATA 6 ") && sent.len() == 2,
        "the rest, and the parity of the burst: {sent:?}"
    );
    rig.publish(1);
    assert!(data(&mut rig)[0].starts_with("ODATA 8 "), "the next one begins a group");
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
