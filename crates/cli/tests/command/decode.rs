//! `campanile decode` over captures of ZeroMQ, and over what is none.

use std::time::Duration;

use campanile::multicast::{Gsi, Receipt, ReceiverId, Report, Seq, Session, Standing, Tsi};
use serde_json::Value;

use super::process::{Finished, run, run_with};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../pgm/tests/captures");

pub(super) fn capture() -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/zmq_repair.pcap")).expect("the capture is in the tree")
}

fn piped(arguments: &str, input: &[u8]) -> Finished {
    run_with(arguments, input).into()
}

/// The capture with a wrong checksum in its last ODATA.
fn damaged() -> Vec<u8> {
    let mut file = capture();
    let is_odata = |bytes: &[u8]| bytes[..2] == [0x04, 0x00] && bytes[4..] == [0xde, 0xad, 0xbe, 0xef];
    let odata = file.windows(8).rposition(is_odata).expect("there is ODATA");
    file[odata + 2] ^= 1;
    file
}

#[test]
fn a_capture_is_shown_packet_by_packet() {
    let finished = run(&format!("decode {FOLDER}/zmq_repair.pcap"));
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 31);
    assert_eq!(lines.last(), Some(&"30 PGM packets in 36 frames, 0 broken"));
    for word in [" SPM ", " ODATA ", " RDATA ", " NAK ", " NCF ", "10.77.0.1", "239.192.1.1:5555"] {
        assert!(finished.stdout.contains(word), "{word}: {}", finished.stdout);
    }
    assert_eq!(piped("decode -", &capture()).stdout, finished.stdout);
}

#[test]
fn json_says_the_same() {
    let finished = piped("decode - --json", &damaged());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let lines: Vec<Value> =
        finished.stdout.lines().map(|line| serde_json::from_str(line).expect("one value a line")).collect();
    let (last, packets) = lines.split_last().expect("there are lines");
    assert_eq!((&last["event"], &last["packets"], &last["broken"]), (&"end".into(), &30.into(), &1.into()));
    let (broken, whole): (Vec<&Value>, Vec<&Value>) =
        packets.iter().partition(|packet| packet["broken"].is_object());
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0]["broken"], serde_json::json!({"rule": "wrong checksum", "section": "8"}));
    assert_eq!(broken[0]["packet"], Value::Null);
    for packet in whole {
        assert_eq!(packet["udp"]["to"], 5555);
        assert_eq!(packet["packet"]["destination_port"], 5555);
        let text = packet["packet"]["text"].as_str().expect("text");
        assert!(text.contains(packet["packet"]["type"].as_str().expect("a type")), "{packet}");
    }
}

#[test]
fn what_is_broken_is_named_and_fails() {
    let finished = piped("decode - --broken", &damaged());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.stdout.lines().count(), 2, "{finished:?}");
    assert!(finished.stdout.contains("broken: wrong checksum (RFC 3208 §8)"), "{finished:?}");
    assert_eq!(finished.stderr, "error: broken: 1 of 30 packets\n");
}

#[test]
fn a_port_that_is_named_is_pgm() {
    let mut file = damaged();
    // Only the damaged packet is left: nothing else tells that its port is one of PGM.
    let whole = piped("decode - --json --broken", &file);
    let first: Value = serde_json::from_str(whole.stdout.lines().next().expect("a line")).expect("JSON");
    let frame = first["frame"].as_u64().expect("a number");
    let mut at = 24;
    for _ in 1..frame {
        at += 16 + u32::from_le_bytes(file[at + 8..at + 12].try_into().expect("four bytes")) as usize;
    }
    file.drain(24..at);
    let len = u32::from_le_bytes(file[32..36].try_into().expect("four bytes")) as usize;
    file.truncate(40 + len);
    let unnamed = piped("decode -", &file);
    assert_eq!((unnamed.code, unnamed.stdout.as_str()), (Some(0), "0 PGM packets in 1 frame, 0 broken\n"));
    let named = piped("decode - --port 5555", &file);
    assert_eq!(named.code, Some(1), "{named:?}");
    assert!(named.stdout.contains("wrong checksum"), "{named:?}");
}

/// Every frame cut to 60 bytes, as by `tcpdump -s 60`.
#[test]
fn what_was_not_captured_whole_is_left_out_aloud() {
    let (file, mut cut, mut at) = (capture(), capture()[..24].to_vec(), 24);
    while at < file.len() {
        let len = u32::from_le_bytes(file[at + 8..at + 12].try_into().expect("four bytes"));
        cut.extend(&file[at..at + 8]);
        cut.extend([len.min(60), len].map(u32::to_le_bytes).concat());
        cut.extend(&file[at + 16..at + 16 + len.min(60) as usize]);
        at += 16 + len as usize;
    }
    let finished = piped("decode -", &cut);
    assert_eq!(finished.stdout, "0 PGM packets in 36 frames, 0 broken\n", "{finished:?}");
    let note =
        "note: 30 datagrams left out, of which a frame holds only a part; with --port they are shown\n";
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), note));
    let named = piped("decode - --port 5555", &cut);
    assert!(named.stdout.ends_with("30 PGM packets in 36 frames, 30 broken\n"), "{named:?}");
}

#[test]
fn a_capture_that_ends_early_shows_what_there_was() {
    let file = capture();
    let finished = piped("decode -", &file[..file.len() - 3]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.ends_with("30 PGM packets in 35 frames, 0 broken\n"), "{finished:?}");
    assert_eq!(
        finished.stderr,
        "error: standard input: the file is cut short, in the middle of a header or a frame\n"
    );
}

#[test]
fn what_is_no_capture_is_refused() {
    let finished = piped("decode -", b"hello, this is text");
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""));
    assert!(
        finished.stderr.starts_with("error: standard input: neither pcap nor pcapng; make one"),
        "{finished:?}"
    );
    let missing = run("decode no-such-file.pcap");
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("no-such-file.pcap"), "{missing:?}");
}

/// A pcap file of UDP datagrams to a port, in raw IP.
fn captured(port: u16, datagrams: &[&[u8]]) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    file.extend([0; 8]);
    file.extend([65_535_u32, 101].map(u32::to_le_bytes).concat());
    for datagram in datagrams {
        let (udp, ip) = (8 + datagram.len(), 28 + datagram.len());
        file.extend([0, 0, ip as u32, ip as u32].map(u32::to_le_bytes).concat());
        file.extend([0x45, 0, (ip >> 8) as u8, ip as u8, 0, 0, 0, 0, 1, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        file.extend([port, port, udp as u16, 0].map(u16::to_be_bytes).concat());
        file.extend_from_slice(datagram);
    }
    file
}

/// Of USB, say.
#[test]
fn frames_of_another_link_are_left_out_aloud() {
    let mut file = captured(7500, &[b"a datagram"]);
    file[20] = 189;
    let finished = piped("decode - --port 7500", &file);
    assert_eq!(finished.stdout, "0 PGM packets in 1 frame, 0 broken\n", "{finished:?}");
    let note = "note: 1 frame left out, of a link type that is not read\n";
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), note));
}

#[test]
fn a_train_is_shown_packet_by_packet() {
    let whole = capture();
    let is_odata = |bytes: &[u8]| bytes[..2] == [0x04, 0x00] && bytes[4..] == [0xde, 0xad, 0xbe, 0xef];
    let odata = whole.windows(8).position(is_odata).expect("there is ODATA") - 4;
    let len = 24 + usize::from(u16::from_be_bytes([whole[odata + 14], whole[odata + 15]]));
    let train = whole[odata..odata + len].repeat(5);
    let shown = piped("decode -", &captured(5555, &[&train]));
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.ends_with("5 PGM packets in 1 frame, 0 broken\n"), "{shown:?}");
}

#[test]
fn reports_and_receipts_are_shown_and_counted_apart() {
    let tsi = Tsi { gsi: Gsi([1, 2, 3, 4, 5, 6]), port: 4096 };
    let session = Session { tsi, destination_port: 7500 };
    let (cookie, receiver) = (7, ReceiverId(0xaabb_ccdd << 96));
    let report = Report {
        cookie,
        receiver,
        standing: Standing::Failed,
        had: 70,
        total: 80,
        loss: 13_107,
        headroom: 5000,
        lead: Seq(79),
        heard: 71,
        needs: Seq(70),
        socket: 4 << 20,
    };
    let interval = Duration::from_millis(1500);
    let receipt = Receipt { cookie, receiver, is_final: true, interval, receivers: 40 };
    let (mut report, receipt) = (report.emit(session), receipt.emit(session));
    let file = captured(7500, &[&report, &receipt]);
    let text = piped("decode -", &file);
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""), "{text:?}");
    for words in [
        "4096 to 7500: report of aabbccdd: failed, 70 of 80 packets, loss 20.0 %\n",
        "4096 to 7500: receipt for aabbccdd: it was the last, 40 receivers\n",
        "0 PGM packets, 1 report and 1 receipt in 2 frames, 0 broken\n",
    ] {
        assert!(text.stdout.contains(words), "{words}: {}", text.stdout);
    }
    let json = piped("decode - --json", &file);
    let lines: Vec<Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).expect("one value a line")).collect();
    assert_eq!(
        (&lines[0]["packet"]["type"], &lines[1]["packet"]["type"]),
        (&"report".into(), &"receipt".into())
    );
    let said = |value: &Value, name: &str| value[name].clone();
    assert_eq!(
        (said(&lines[0]["report"], "had"), said(&lines[0]["report"], "standing")),
        (70.into(), "failed".into())
    );
    assert_eq!(
        (said(&lines[1]["receipt"], "next_seconds"), said(&lines[1]["receipt"], "last")),
        (1.5.into(), true.into())
    );
    assert_eq!(
        (said(&lines[2], "reports"), said(&lines[2], "receipts"), said(&lines[2], "broken")),
        (1.into(), 1.into(), 0.into())
    );
    report[30] ^= 1;
    let broken = piped("decode - --port 7500", &captured(7500, &[&report]));
    assert_eq!(broken.code, Some(1), "{broken:?}");
}
