//! tshark, which judges every packet that passes over the bridge.

use campanile_rig::{Network, Process, has};

use crate::peers::{PATIENCE, PORT, started};

/// A judge of all that passes over the bridge.
pub(crate) struct Judge<'n> {
    network: &'n Network,
    tshark: Process,
}

impl<'n> Judge<'n> {
    /// Begins to watch; `None` if there is no tshark.
    pub(crate) fn watch(network: &'n Network) -> Option<Self> {
        if !has("tshark", &["--version"]) {
            return None;
        }
        let mut command = network.command("tshark");
        command.args(["-l", "-i", "bridge", "-f", "udp or ip proto 113"]);
        command.args(["-d", &format!("udp.port=={PORT},pgm"), "-T", "fields", "-E", "separator=;"]);
        for field in
            ["udp.dstport", "pgm.hdr.type", "pgm.hdr.cksum.status", "_ws.expert.message", "_ws.malformed"]
        {
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

    /// Judges all packets: none is malformed, and no checksum is wrong. Returns their types.
    pub(crate) fn verdict(mut self) -> Vec<u8> {
        self.sees(END);
        let ended = self.tshark.kill();
        let kinds = ended.lines.iter().filter_map(|line| {
            let fields: Vec<&str> = line.split(';').collect();
            let kind = fields[1].strip_prefix("0x")?;
            // The status comes behind a byte of the checksum of the same name.
            let status = fields[2].rsplit(',').next();
            assert!(status == Some("1") && fields[3].is_empty() && fields[4].is_empty(), "{line}");
            Some(u8::from_str_radix(kind, 16).expect("a type"))
        });
        kinds.collect()
    }

    /// As [`Judge::verdict`], and there was all that belongs to repair.
    pub(crate) fn saw_repair(self) {
        let kinds = self.verdict();
        for (kind, name) in [(0x00, "SPM"), (0x04, "ODATA"), (0x05, "RDATA"), (0x08, "NAK"), (0x0a, "NCF")] {
            assert!(kinds.contains(&kind), "no {name} among {} packets", kinds.len());
        }
    }
}

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
