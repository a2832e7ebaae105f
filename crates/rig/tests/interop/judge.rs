//! tshark, which judges every packet that passes over the bridge.

use campanile_rig::{Network, Node, Process, has, network};

use crate::peers::{PATIENCE, PORT, UNICAST_PORT, started};

/// Lets a play be acted on a network of so many nodes, while a judge watches all that passes over its bridge: none of it is malformed,
/// and no checksum is wrong. Where there are no networks nothing is played, and where there is no tshark nobody judges.
pub(crate) fn judged(nodes: usize, play: impl FnOnce(&[Node])) -> Verdict {
    let Some(network) = network(nodes) else { return Verdict(None) };
    let judge = Judge::watch(&network);
    play(network.nodes());
    Verdict(judge.map(Judge::verdict))
}

/// The types of the packets that passed, if somebody judged.
#[derive(Debug)]
pub(crate) struct Verdict(Option<Vec<u8>>);

impl Verdict {
    /// There was all that belongs to repair.
    pub(crate) fn with_repair(self) {
        let Self(Some(kinds)) = self else { return };
        for (kind, name) in [(0x00, "SPM"), (0x04, "ODATA"), (0x05, "RDATA"), (0x08, "NAK"), (0x0a, "NCF")] {
            assert!(kinds.contains(&kind), "no {name} among {} packets", kinds.len());
        }
    }
}

/// A judge of all that passes over the bridge.
struct Judge<'n> {
    network: &'n Network,
    tshark: Process,
}

impl<'n> Judge<'n> {
    /// Begins to watch; `None` if there is no tshark.
    fn watch(network: &'n Network) -> Option<Self> {
        if !has("tshark", &["--version"]) {
            return None;
        }
        let mut command = network.command("tshark");
        command.args(["-l", "-i", "bridge", "-f", FILTER]);
        for port in [PORT, UNICAST_PORT] {
            command.args(["-d", &format!("udp.port=={port},pgm")]);
        }
        command.args(["-T", "fields", "-E", "separator=;"]);
        for field in FIELDS {
            command.args(["-e", field]);
        }
        let mut judge = Self { network, tshark: Process::start("tshark", &mut command).expect("it starts") };
        judge.sees(BEGIN);
        Some(judge)
    }

    /// Waits until datagrams to a port are seen. So it is known that it watches, and what it has seen.
    fn sees(&mut self, port: u16) {
        let mut marks = self.network.nodes()[0].command("python3");
        let _marking = started("marks", marks.args(["-c", MARK, &port.to_string()]));
        let seen = self.tshark.line(PATIENCE, |line| line.starts_with(&format!("{port};")));
        assert!(seen.is_some(), "tshark sees nothing");
    }

    /// Judges all packets, and returns their types.
    fn verdict(mut self) -> Vec<u8> {
        self.sees(END);
        // The program that captures for it ends with it only if it is asked to, and until then nobody sees the end of its output.
        self.tshark.signal("INT").expect("it runs");
        let ended = self.tshark.finish(PATIENCE);
        let is_mark = |line: &&String| [BEGIN, END].iter().any(|port| line.starts_with(&format!("{port};")));
        ended.lines.iter().filter(|line| !is_mark(line)).map(|line| kind(line)).collect()
    }
}

/// The type of a packet, in which nothing may be wrong.
fn kind(line: &str) -> u8 {
    let fields: Vec<&str> = line.split(';').collect();
    let [_, kind, status, expert, malformed, payload] = fields[..] else { panic!("other fields: {line}") };
    let hex = |digits: &str| u8::from_str_radix(digits, 16).expect("hexadecimal digits");
    let Some(kind) = kind.strip_prefix("0x") else {
        // In UDP tshark takes what it does not know for anybody's.
        let kind = payload.get(8..10).map(hex);
        return kind.filter(|kind| UNKNOWN.contains(kind)).unwrap_or_else(|| panic!("not of PGM: {line}"));
    };
    // The status comes behind a byte of the checksum of the same name.
    let status = status.rsplit(',').next();
    // A port that the system chose may be one of those that tshark takes for traceroute's.
    let is_whole = expert.is_empty() || expert.starts_with("Possible traceroute");
    assert!(status == Some("1") && is_whole && malformed.is_empty(), "{line}");
    hex(kind)
}

const FIELDS: [&str; 6] = [
    "udp.dstport",
    "pgm.hdr.type",
    "pgm.hdr.cksum.status",
    "_ws.expert.message",
    "_ws.malformed",
    "udp.payload",
];

/// All but the packets over raw IP of types that tshark does not know: of those it tells nothing at all.
const FILTER: &str = "udp or (ip proto 113 and ip[24] != 0x0c and ip[24] != 0x0e and ip[24] != 0x0f)";

/// What tshark does not know: SPMR (RFC 3208 section 13.3), and the receipts and reports of Campanile.
const UNKNOWN: [u8; 3] = [0x0c, 0x0e, 0x0f];

/// Ports that nobody listens on.
const BEGIN: u16 = 9;
const END: u16 = 19;

const MARK: &str = "
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print('ready', flush=True)
while True:
    s.sendto(b'mark', ('239.9.9.9', int(sys.argv[1])))
    time.sleep(0.02)
";
