//! Wireshark's dissector as judge: what we emit, it reads as we meant it.
//!
//! Each specimen goes into a capture twice, in UDP and as IP protocol 113, and tshark's fields are held against the values that
//! were emitted. Without tshark the tests say that they were skipped, but with `CI=true` they fail.
//!
//! What tshark 4.0 cannot judge:
//!
//! - SPMR: its dissector gives the type up, over UDP and over IP.
//! - The values of OPT_CURR_TGSIZE, OPT_NBR_UNREACH, OPT_PATH_NLA, OPT_SYN, OPT_FIN, OPT_RST, OPT_CR and OPT_CRQST: it prints
//!   their types and lengths, and goes on.
//! - The F bit: it takes it for a third bit of OPX. An encoded OPT_FRAGMENT is printed as if it were a plain one.
//! - OPT_NAK_BO_RNG: it has minimum and maximum the other way around than RFC 3208 §15.4.2; the test turns them back.
//! - The field of a NAK list, which holds the text that it prints; the test reads the text.
//! - The upper half of a PGMCC time stamp: it prints 16 bits of 32.
//! - Rules between fields: order of NAK lists, fragments within their APDU, windows, where an option may stand.

mod expected;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use campanile_pgm::source::{ParityConfig, ProActive};
use campanile_pgm::wire::{Body, NakList, Packet};

use crate::pcap::{Carrier, capture};
use crate::specimens::{bytes, specimen, specimens};
use expected::{FIELDS, emitted, expected};

#[test]
fn fields_are_read_as_they_were_meant() {
    let Some(tshark) = Tshark::find() else { return };
    let judged: Vec<_> = specimens().into_iter().filter(|(name, _)| *name != "spmr").collect();
    for carrier in [Carrier::Udp(UDP_PORT), Carrier::Ip] {
        let packets: Vec<_> = judged.iter().map(|(_, packet)| bytes(packet)).collect();
        let file = tshark.write("specimens", carrier, &packets);
        let rows = tshark.fields(&file);
        let texts = tshark.texts(&file);
        assert_eq!((rows.len(), texts.len()), (judged.len(), judged.len()));
        for (((name, packet), row), text) in judged.iter().zip(rows).zip(texts) {
            assert_eq!(text, Text::expected(packet), "options of {name} over {carrier:?}");
            let expected = expected(packet);
            for (field, value) in row {
                let expected = expected.get(field).map_or("", String::as_str);
                assert_eq!(value, expected, "{field} of {name} over {carrier:?}");
            }
        }
    }
}

#[test]
fn sessions_are_without_fault() {
    let Some(tshark) = Tshark::find() else { return };
    let both = ParityConfig { group: 8, pro_active: ProActive::Fixed(1), on_demand: true };
    for (name, parity) in [("session", None), ("session-parity", Some(both))] {
        let packets = session::packets(parity);
        let kinds: BTreeSet<String> =
            packets.iter().map(|packet| Packet::parse(packet).unwrap().packet_type().to_string()).collect();
        assert!(kinds.iter().eq(["NAK", "NCF", "ODATA", "RDATA", "SPM"]), "{kinds:?}");
        let rows = tshark.fields(&tshark.write(name, Carrier::Udp(UDP_PORT), &packets));
        assert_eq!(rows.len(), packets.len());
        for (row, packet) in rows.iter().zip(&packets) {
            let packet = Packet::parse(packet).unwrap();
            assert_eq!(row["pgm.hdr.cksum.status"], expected::GOOD, "{packet}");
            assert_eq!(row["_ws.expert.message"], "", "{packet}");
        }
    }
}

#[test]
fn the_judge_notices_damage() {
    let Some(tshark) = Tshark::find() else { return };
    let mut damaged = bytes(&specimen("odata"));
    damaged[30] ^= 1;
    let mut short_option = bytes(&specimen("spm-join-fin"));
    short_option[41] = 0;
    crate::seal(&mut short_option);
    let rows = tshark.fields(&tshark.write("damaged", Carrier::Udp(UDP_PORT), &[damaged, short_option]));
    assert_eq!(rows[0]["pgm.hdr.cksum.status"], BAD);
    assert_ne!(rows[0]["_ws.expert.message"], "");
    assert_eq!(rows[1]["pgm.hdr.cksum.status"], expected::GOOD);
    assert_ne!(rows[1]["_ws.expert.message"], "");
}

/// The tshark command and a place for its captures.
struct Tshark {
    directory: PathBuf,
}

impl Tshark {
    /// `None` when tshark is not installed, which CI does not accept.
    fn find() -> Option<Self> {
        match Command::new("tshark").arg("--version").output() {
            Ok(output) if output.status.success() => {
                Some(Tshark { directory: Path::new(env!("CARGO_TARGET_TMPDIR")).to_path_buf() })
            }
            _ => {
                assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "tshark is needed in CI");
                println!("skipped: tshark is not installed");
                None
            }
        }
    }

    fn write(&self, name: &str, carrier: Carrier, packets: &[Vec<u8>]) -> PathBuf {
        let kind = if carrier == Carrier::Ip { "ip" } else { "udp" };
        let path = self.directory.join(format!("{name}-{kind}.pcap"));
        let packets: Vec<_> = packets.iter().map(|packet| (carrier, &packet[..])).collect();
        std::fs::write(&path, capture(&packets)).unwrap();
        path
    }

    fn run(file: &Path, arguments: &[&str]) -> String {
        let port = format!("udp.port=={UDP_PORT},pgm");
        let output =
            Command::new("tshark").arg("-r").arg(file).args(["-d", &port]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The fields of each packet; numbers in decimal, whatever base tshark prints them in.
    fn fields(&self, file: &Path) -> Vec<BTreeMap<&'static str, String>> {
        let mut arguments = vec!["-T", "fields", "-E", "separator=;", "-E", "aggregator=,"];
        FIELDS.iter().for_each(|field| arguments.extend(["-e", field]));
        let output = Self::run(file, &arguments);
        let row = |line: &str| {
            let values = line.split(';').map(str::to_owned);
            FIELDS.iter().zip(values).map(|(field, value)| (*field, plain(field, &value))).collect()
        };
        output.lines().map(row).collect()
    }

    /// What only the text in full says of each packet: the lengths of its options in their order, and the NAK list.
    fn texts(&self, file: &Path) -> Vec<Text> {
        let output = Self::run(file, &["-V", "-O", "pgm"]);
        output.split("\nFrame ").map(Text::read).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Text {
    option_lens: Vec<usize>,
    list: Vec<u32>,
}

impl Text {
    fn read(frame: &str) -> Text {
        let lines = || frame.lines().map(str::trim_start);
        let options = lines().filter(|line| line.starts_with("Option: "));
        let lists = lines().filter(|line| line.starts_with("List"));
        let numbers = lists.flat_map(|line| line.split_once(": ").unwrap().1.split_whitespace());
        Text {
            option_lens: options.map(|line| line.rsplit(": ").next().unwrap().parse().unwrap()).collect(),
            list: numbers.map(|number| u32::from_str_radix(&number[2..], 16).unwrap()).collect(),
        }
    }

    fn expected(packet: &Packet<'_>) -> Text {
        let sqns = match &packet.body {
            Body::Nak(nak) => Some(nak.request.sqns),
            Body::Nnak(request) => Some(request.sqns),
            Body::Ncf(ncf) => Some(ncf.request.sqns),
            _ => None,
        };
        Text {
            option_lens: emitted(packet).iter().map(|option| option.len).collect(),
            list: sqns.iter().flat_map(NakList::iter).skip(1).map(|sqn| sqn.0).collect(),
        }
    }
}

/// A value as it is compared.
fn plain(field: &str, value: &str) -> String {
    match field {
        // tshark gives the checksum's low byte the same name as the status, and prints it first.
        "pgm.hdr.cksum.status" => value.rsplit(',').next().unwrap().to_owned(),
        "data.data" => value.replace(':', ""),
        _ => match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap().to_string(),
            None => value.to_owned(),
        },
    }
}

const UDP_PORT: u16 = 5555;
const BAD: &str = "0";
