use std::net::IpAddr;
use std::path::Path;

use campanile_pgm::wire::{Malformed, Packet};
use proptest::prelude::*;

use super::*;

/// Captures of ZeroMQ talking over UDP port 5555, with repair.
const CAPTURES: [(&str, usize); 4] =
    [("zmq_2", 18), ("zmq_3", 16), ("zmq_pub_to_sub", 18), ("zmq_repair", 30)];

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn captured(name: &str) -> Vec<u8> {
    let path = repository().join("crates/pgm/tests/captures").join(name).with_extension("pcap");
    std::fs::read(path).expect("the capture is in the tree")
}

/// A frame read, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    time: Option<Duration>,
    link: LinkType,
    len: usize,
    bytes: Vec<u8>,
}

/// All frames up to the end, or up to what ends the reading.
fn frames(file: &[u8]) -> (Vec<Held>, Option<CaptureError>) {
    let mut capture = match Capture::open(file) {
        Ok(capture) => capture,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut held = Vec::new();
    loop {
        match capture.next_frame() {
            Ok(Some(Frame { number, time, link, len, bytes })) => {
                held.push(Held { time, link, len, bytes: bytes.to_vec() });
                assert_eq!(number, held.len() as u64);
            }
            Ok(None) => return (held, None),
            Err(error) => return (held, Some(error)),
        }
    }
}

fn pgm(file: &[u8], ports: &[u16]) -> Vec<Result<String, Flaw>> {
    let (frames, error) = frames(file);
    assert!(error.is_none(), "{error:?}");
    let mut classifier = Classifier::new(ports);
    let classified = frames.iter().filter_map(|Held { time, link, len, bytes }| {
        let datagram = Datagram::of_frame(&Frame { number: 1, time: *time, link: *link, len: *len, bytes })?;
        Some(classifier.classify(&datagram)?.map(|packet| packet.to_string()))
    });
    classified.collect()
}

/// Writes both formats in both byte orders.
struct Writer {
    order: Order,
    file: Vec<u8>,
}

impl Writer {
    fn words(order: Order, words: &[u32]) -> Self {
        let mut writer = Self { order, file: Vec::new() };
        words.iter().for_each(|&word| writer.word(word));
        writer
    }

    fn word(&mut self, word: u32) {
        self.file.extend(match self.order {
            Order::Big => word.to_be_bytes(),
            Order::Little => word.to_le_bytes(),
        });
    }

    fn half(&self, half: u16) -> [u8; 2] {
        match self.order {
            Order::Big => half.to_be_bytes(),
            Order::Little => half.to_le_bytes(),
        }
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let len = body.len().next_multiple_of(4);
        self.word(kind);
        self.word(len as u32 + 12);
        self.file.extend(body);
        self.file.resize(self.file.len() + len - body.len(), 0);
        self.word(len as u32 + 12);
    }

    fn interface(&mut self, link: u16, options: &[u8]) {
        let mut body = self.half(link).to_vec();
        body.extend([0; 6]);
        body.extend(options);
        self.block(1, &body);
    }

    fn enhanced(&mut self, interface: u32, ticks: u64, bytes: &[u8]) {
        let len = bytes.len() as u32;
        let mut body =
            Self::words(self.order, &[interface, (ticks >> 32) as u32, ticks as u32, len, len]).file;
        body.extend(bytes);
        self.block(6, &body);
    }
}

fn as_pcap(order: Order, nanoseconds: bool, link: u32, frames: &[Held]) -> Vec<u8> {
    let magic = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let version = if order == Order::Little { 0x0004_0002 } else { 0x0002_0004 };
    let mut writer = Writer::words(order, &[magic, version, 0, 0, 65_535, link]);
    for frame in frames {
        let time = frame.time.unwrap_or_default();
        let fraction = if nanoseconds { time.subsec_nanos() } else { time.subsec_micros() };
        let head = [time.as_secs() as u32, fraction, frame.bytes.len() as u32, frame.len as u32];
        head.iter().for_each(|&word| writer.word(word));
        writer.file.extend(&frame.bytes);
    }
    writer.file
}

fn section(order: Order) -> Writer {
    let mut writer = Writer { order, file: Vec::new() };
    let mut body = Writer::words(order, &[0x1a2b_3c4d]).file;
    body.extend(writer.half(1));
    body.extend(writer.half(0));
    body.extend([0xff; 8]);
    writer.block(0x0a0d_0d0a, &body);
    writer
}

fn as_pcapng(order: Order, frames: &[Held]) -> Vec<u8> {
    let mut writer = section(order);
    writer.interface(1, &[]);
    // Name resolution, of no interest here.
    writer.block(4, b"names, and their addresses");
    for frame in frames {
        let ticks = frame.time.unwrap_or_default().as_micros() as u64;
        writer.enhanced(0, ticks, &frame.bytes);
    }
    writer.file
}

#[test]
fn real_captures_are_read_and_every_packet_in_them_is_pgm() {
    for (name, count) in CAPTURES {
        let found = pgm(&captured(name), &[]);
        assert_eq!(found.len(), count, "{name}");
        assert!(found.iter().all(Result::is_ok), "{name}: {found:?}");
    }
}

#[test]
fn every_format_and_byte_order_gives_the_same_frames() {
    let (frames_of, error) = frames(&captured("zmq_repair"));
    assert!(error.is_none() && frames_of.len() >= 30);
    for order in [Order::Big, Order::Little] {
        for file in [
            as_pcap(order, false, 1, &frames_of),
            as_pcap(order, true, 1, &frames_of),
            as_pcapng(order, &frames_of),
        ] {
            let (read, error) = frames(&file);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(read, frames_of, "{order:?}");
        }
    }
}

#[test]
fn times_have_the_resolution_of_their_interface() {
    let mut writer = section(Order::Little);
    writer.interface(1, &[9, 0, 1, 0, 9, 0, 0, 0]);
    writer.interface(1, &[9, 0, 1, 0, 0x80 | 10, 0, 0, 0]);
    writer.interface(1, &[14, 0, 8, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    writer.interface(1, &[9, 0, 1, 0, 0x7f, 0, 0, 0]);
    writer.enhanced(0, 3_000_000_007, b"a");
    writer.enhanced(1, 1536, b"b");
    writer.enhanced(2, 1_500_000, b"c");
    writer.enhanced(3, u64::MAX, b"d");
    let (read, error) = frames(&writer.file);
    assert!(error.is_none(), "{error:?}");
    let times: Vec<_> = read.iter().map(|frame| frame.time).collect();
    let expected =
        [Duration::new(3, 7), Duration::new(1, 500_000_000), Duration::new(101, 500_000_000), Duration::ZERO];
    assert_eq!(times, expected.map(Some));
}

#[test]
fn a_simple_packet_has_no_time_and_the_first_interface() {
    let mut writer = section(Order::Big);
    writer.interface(101, &[]);
    writer.block(3, &[0, 0, 0, 3, b'x', b'y', b'z']);
    let (read, error) = frames(&writer.file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(read, [Held { time: None, link: LinkType(101), len: 3, bytes: b"xyz".to_vec() }]);
}

#[test]
fn a_new_section_forgets_the_interfaces_of_the_last() {
    let mut writer = section(Order::Little);
    writer.interface(1, &[]);
    let mut second = section(Order::Big);
    second.enhanced(0, 0, b"x");
    writer.file.extend(second.file);
    let (read, error) = frames(&writer.file);
    assert!(read.is_empty());
    assert!(matches!(error, Some(CaptureError::Corrupt(Corruption::Interface))), "{error:?}");
}

/// A frame's IP packet after a header of each link layer.
#[test]
fn link_layers_are_looked_through() {
    let (frames_of, _) = frames(&captured("zmq_repair"));
    let plain = pgm(&captured("zmq_repair"), &[]);
    let behind = |front: &[u8]| {
        let swap = |frame: &Held| Held {
            bytes: [front, &frame.bytes[14..]].concat(),
            len: frame.len - 14 + front.len(),
            ..frame.clone()
        };
        frames_of.iter().map(swap).collect::<Vec<_>>()
    };
    let cooked = [&[0; 14][..], &[8, 0]].concat();
    let cooked_2 = [&[8, 0][..], &[0; 18]].concat();
    let tagged = [&[0; 12][..], &[0x81, 0, 0, 7, 8, 0]].concat();
    let fronts: [(u32, &[u8]); 7] = [
        (0, &[2, 0, 0, 0]),
        (108, &[0, 0, 0, 2]),
        (101, &[]),
        (228, &[]),
        (113, &cooked),
        (276, &cooked_2),
        (1, &tagged),
    ];
    for (link, front) in fronts {
        let file = as_pcap(Order::Little, false, link, &behind(front));
        assert_eq!(pgm(&file, &[]), plain, "link type {link}");
    }
    assert_eq!(pgm(&as_pcap(Order::Little, false, 147, &behind(&[])), &[5555]), []);
}

/// The first packet of a capture with a change made to its IP packet.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<Held> {
    let (mut read, _) = frames(&captured("zmq_pub_to_sub"));
    let is_pgm = |frame: &Held| frame.bytes.get(23) == Some(&17);
    let mut first = read.remove(read.iter().position(is_pgm).expect("there is UDP in it"));
    change(&mut first.bytes);
    vec![first]
}

fn classified(frames: &[Held], ports: &[u16]) -> Vec<Result<String, Flaw>> {
    pgm(&as_pcap(Order::Little, false, 1, frames), ports)
}

#[test]
fn what_is_expected_to_be_pgm_and_is_not_says_why() {
    let damaged = changed(|bytes| bytes[60] ^= 1);
    assert_eq!(classified(&damaged, &[]), []);
    assert_eq!(classified(&damaged, &[5555]), [Err(Flaw::Malformed(Malformed::BadChecksum))]);
    let cut = changed(|bytes| bytes.truncate(60));
    assert_eq!(classified(&cut, &[]), []);
    assert!(matches!(classified(&cut, &[5555])[..], [Err(Flaw::CutShort { .. })]));
    let fragment = changed(|bytes| bytes[20] |= 0x20);
    assert_eq!(classified(&fragment, &[5555]), [Err(Flaw::Fragment)]);
    let second = changed(|bytes| bytes[21] = 1);
    assert_eq!(classified(&second, &[5555]), []);
}

#[test]
fn a_port_that_carried_pgm_is_expected_to() {
    let good = changed(|_| ());
    let damaged = changed(|bytes| bytes[60] ^= 1);
    let both = classified(&[good, damaged].concat(), &[]);
    assert!(both[0].is_ok());
    assert_eq!(both[1], Err(Flaw::Malformed(Malformed::BadChecksum)));
}

#[test]
fn protocol_113_is_pgm_over_both_families() {
    let (read, _) = frames(&captured("zmq_pub_to_sub"));
    let udp = read.iter().find(|frame| frame.bytes.get(23) == Some(&17)).expect("there is UDP in it");
    let packet = Packet::parse(&udp.bytes[42..]).expect("it is PGM").to_string();
    let mut v4 = udp.bytes[14..34].to_vec();
    v4[9] = 113;
    v4[2..4].copy_from_slice(&(udp.bytes.len() as u16 - 22).to_be_bytes());
    v4.extend(&udp.bytes[42..]);
    let payload_len = (udp.bytes.len() as u16 - 42 + 8).to_be_bytes();
    let mut v6 = vec![0x60, 0, 0, 0, payload_len[0], payload_len[1], 0, 1];
    v6.extend([[0xfe; 16], [0xff; 16]].concat());
    v6.extend([113, 0, 0, 0, 0, 0, 0, 0]);
    v6.extend(&udp.bytes[42..]);
    for (bytes, to) in [(v4, "239.192.1.1"), (v6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")] {
        let frame = Frame { number: 1, time: None, link: LinkType(101), len: bytes.len(), bytes: &bytes };
        let datagram = Datagram::of_frame(&frame).expect("it is protocol 113");
        assert_eq!(datagram.carrier, Carrier::Ip);
        assert_eq!(datagram.to, to.parse::<IpAddr>().expect("a literal address"));
        let verdict = Classifier::new(&[]).classify(&datagram).expect("it is PGM");
        assert_eq!(verdict.map(|packet| packet.to_string()), Ok(packet.clone()));
    }
}

#[test]
fn a_train_is_cut_as_its_receivers_hear_it() {
    let (read, _) = frames(&captured("zmq_repair"));
    let is_data = |frame: &&Held| frame.bytes.get(23) == Some(&17) && frame.bytes.get(46) == Some(&4);
    let data = read.iter().find(is_data).expect("there is ODATA in it");
    let data = &data.bytes[42..];
    let (from, to) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([239, 192, 1, 1]));
    let carrier = Carrier::Udp { from: 5555, to: 5555 };
    let datagram = |payload| Datagram { from, to, carrier, payload, missing: 0, is_fragment: false };
    let train = [data, data, &data[..20]].concat();
    let cut: Vec<_> = datagram(&train).train().map(|datagram| datagram.payload).collect();
    assert_eq!(cut, [data, data, &data[..20]]);
    let mut classifier = Classifier::new(&[]);
    let classified: Vec<_> =
        datagram(&train).train().map(|datagram| classifier.classify(&datagram)).collect();
    assert!(matches!(classified[..], [Some(Ok(_)), Some(Ok(_)), Some(Err(_))]), "{classified:?}");
    // What follows belongs to no session or to another one, so this is not a train.
    let longer = [data, &[0; 20]].concat();
    let mut others = data.repeat(2);
    others[data.len() + 9] ^= 1;
    for payload in [&longer[..], &others, &data[..20], data, b""] {
        let whole: Vec<_> = datagram(payload).train().map(|datagram| datagram.payload.len()).collect();
        assert_eq!(whole, [payload.len()]);
    }
    let on_ip = Datagram { carrier: Carrier::Ip, ..datagram(&train) };
    assert_eq!(on_ip.train().count(), 1);
}

#[test]
fn a_file_that_is_no_capture_or_ends_early_is_an_error() {
    let whole = captured("zmq_3");
    for text in [&b""[..], b"x\n"] {
        assert!(matches!(frames(text).1, Some(CaptureError::NotACapture)));
    }
    assert!(matches!(frames(b"PK\x03\x04 and more").1, Some(CaptureError::NotACapture)));
    assert!(matches!(frames(&whole[..10]).1, Some(CaptureError::CutShort)));
    let (read, error) = frames(&whole[..whole.len() - 1]);
    assert!(matches!(error, Some(CaptureError::CutShort)));
    assert_eq!(read.len(), frames(&whole).0.len() - 1);
    let mut long = whole.clone();
    long[32..36].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    assert!(matches!(frames(&long).1, Some(CaptureError::TooLong { len: 0x7fff_ffff })));
}

#[test]
fn contradictory_blocks_are_errors() {
    let corrupt = |file: &[u8]| match frames(file).1 {
        Some(CaptureError::Corrupt(corruption)) => corruption,
        other => panic!("{other:?}"),
    };
    let mut writer = section(Order::Little);
    let head = writer.file.len();
    writer.interface(1, &[]);
    let with = |at: usize, word: u32| {
        let mut file = writer.file.clone();
        file[at..at + 4].copy_from_slice(&word.to_le_bytes());
        file
    };
    assert_eq!(corrupt(&with(8, 7)), Corruption::ByteOrder);
    assert_eq!(corrupt(&with(12, 9)), Corruption::Version);
    assert_eq!(corrupt(&with(4, 13)), Corruption::BlockLength);
    assert_eq!(corrupt(&with(head - 4, 0)), Corruption::BlockLength);
    assert_eq!(corrupt(&with(head + 4, 8)), Corruption::BlockLength);
    assert_eq!(corrupt(&with(head + 16, 0)), Corruption::BlockLength);
    let mut short = section(Order::Little);
    short.block(1, &[0; 4]);
    assert_eq!(corrupt(&short.file), Corruption::ShortBlock);
    let mut beyond = section(Order::Little);
    beyond.interface(1, &[]);
    beyond.block(6, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(corrupt(&beyond.file), Corruption::ShortBlock);
    let mut many = section(Order::Little);
    (0..=4096).for_each(|_| many.interface(1, &[]));
    assert_eq!(corrupt(&many.file), Corruption::Interfaces);
}

#[test]
fn the_corpus_is_read() {
    let folder = repository().join("fuzz/corpus/capture");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is in the tree") {
        let path = entry.expect("the folder can be read").path();
        fuzz::capture(&std::fs::read(path).expect("a file of the corpus"));
        files += 1;
    }
    assert!(files >= 6, "only {files} files");
}

proptest! {
    /// Any bytes, behind any of the magics.
    #[test]
    fn arbitrary_files_do_no_harm(magic in 0..5_usize, bytes: Vec<u8>) {
        let magics: [&[u8]; 5] =
            [b"", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x0a\x0d\x0d\x0a", b"\x4d\x3c\xb2\xa1"];
        fuzz::capture(&[magics[magic], &bytes].concat());
    }

    /// Real files with bytes changed, inserted and taken away.
    #[test]
    fn damaged_files_do_no_harm(
        which in 0..CAPTURES.len(),
        newer: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..12),
    ) {
        let mut file = captured(CAPTURES[which].0);
        if newer {
            file = as_pcapng(Order::Little, &frames(&file).0);
        }
        for (index, byte, kind) in damage {
            let at = index.index(file.len());
            match kind {
                0 => file[at] = byte,
                1 => file.insert(at, byte),
                _ => file.truncate(at.max(1)),
            }
        }
        fuzz::capture(&file);
    }
}
