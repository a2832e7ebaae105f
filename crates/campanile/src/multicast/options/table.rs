//! Every option: its name, its unit, its meaning, and how it is set and shown.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use campanile_engine::Interface;
use campanile_pgm::receiver::{JoinWish, OnLoss, Slow};
use campanile_pgm::source::{Advance, Join, ProActive};

use super::keys::{Key, PRESET, Side};
use super::values::{
    all, choice, interval, list, number, percent, pro_active, show_choice, show_list, show_pro_active,
    show_switch, show_window, switch, time, window,
};
use super::{Carrier, MTU_MIN, Mode, PARITY, Rate};
use crate::amount::{bytes, show_bytes, show_time};
use crate::multicast::profile::Profile;

/// Every option.
pub const KEYS: &[Key] = &[
    Key {
        name: PRESET,
        unit: "none|lan",
        doc: "Defaults for a kind of network; other options take precedence. lan: short intervals, 100 Mbit/s",
        side: Side::Both,
        set: |options, text| match text {
            "none" => Ok(()),
            "lan" => {
                options.set_lan();
                Ok(())
            }
            _ => Err("give none or lan"),
        },
        show: |_| "none".to_owned(),
    },
    Key {
        name: "group",
        unit: "ADDRESS:PORT",
        doc: "The multicast group and port; [ADDRESS]:PORT for IPv6",
        side: Side::Both,
        set: |options, text| {
            let group: Option<SocketAddr> = text.parse().ok();
            options.network.group = group
                .filter(|group| group.ip().is_multicast() && group.port() > 0)
                .ok_or("give a multicast address and a port, such as 239.192.7.1:7500 or [ff15::7]:7500")?;
            Ok(())
        },
        show: |options| options.network.group.to_string(),
    },
    Key {
        name: "mode",
        unit: "messages|apdu|stream|zmq|openpgm",
        doc: "What is sent, and in which format; the same for publisher and subscribers",
        side: Side::Both,
        set: |options, text| {
            options.mode = choice(text, MODES, "give messages, apdu, stream, zmq or openpgm")?;
            Ok(())
        },
        show: |options| show_choice(options.mode, MODES),
    },
    Key {
        name: "carrier",
        unit: "udp|raw|raw-alert",
        doc: "What carries the packets: UDP, or IP protocol 113, which needs CAP_NET_RAW; raw-alert with Router Alert",
        side: Side::Both,
        set: |options, text| {
            options.network.carrier = choice(text, CARRIERS, "give udp, raw or raw-alert")?;
            Ok(())
        },
        show: |options| show_choice(options.network.carrier, CARRIERS),
    },
    Key {
        name: "groups",
        unit: "ADDRESS,...",
        doc: "More groups to join, on the same port",
        side: Side::Receiving,
        set: |options, text| {
            let groups: Vec<IpAddr> = list(text, GROUPS)?;
            options.network.groups = all(groups, IpAddr::is_multicast, GROUPS)?;
            Ok(())
        },
        show: |options| show_list(&options.network.groups),
    },
    Key {
        name: "interface",
        unit: "NAME|ADDRESS|INDEX,...",
        doc: "The interfaces to use, by name, address or number; a publisher sends at its rate on each",
        side: Side::Both,
        set: |options, text| {
            options.network.interfaces =
                list::<Interface>(text, "give names, addresses or numbers of interfaces")?;
            Ok(())
        },
        show: |options| show_list(&options.network.interfaces),
    },
    Key {
        name: "source",
        unit: "ADDRESS,...",
        doc: "Hear only these sources (source-specific multicast)",
        side: Side::Receiving,
        set: |options, text| {
            let sources: Vec<IpAddr> = list(text, HOSTS)?;
            options.network.sources = all(sources, |ip| !ip.is_multicast(), HOSTS)?;
            Ok(())
        },
        show: |options| show_list(&options.network.sources),
    },
    Key {
        name: "unicast-port",
        unit: "PORT",
        doc: "The UDP port for NAKs and reports, if not the group's",
        side: Side::Both,
        set: |options, text| {
            options.network.unicast_port = Some(number(text, 1, u16::MAX, "give a port from 1 to 65535")?);
            Ok(())
        },
        show: |options| options.network.unicast_port.map_or_else(String::new, |port| port.to_string()),
    },
    Key {
        name: "data-port",
        unit: "PORT",
        doc: "The PGM data-destination port, if not the group's",
        side: Side::Both,
        set: |options, text| {
            options.network.data_port = Some(number(text, 1, u16::MAX, "give a port from 1 to 65535")?);
            Ok(())
        },
        show: |options| options.network.data_port.map_or_else(String::new, |port| port.to_string()),
    },
    Key {
        name: "ttl",
        unit: "HOPS",
        doc: "Time to live of packets to the group; 1 stays on the link",
        side: Side::Both,
        set: |options, text| {
            options.network.ttl = number(text, 0, 255, "give a number from 0 to 255")?;
            Ok(())
        },
        show: |options| options.network.ttl.to_string(),
    },
    Key {
        name: "mtu",
        unit: "BYTES",
        doc: "The largest IP packet; 1500 if not set, or less where an interface takes less",
        side: Side::Sending,
        set: |options, text| {
            let mtu = number(text, MTU_MIN, u16::MAX, "give a number of bytes from 364 to 65535")?;
            options.network.mtu = Some(mtu);
            Ok(())
        },
        show: |options| options.network.mtu.map_or_else(String::new, |mtu| mtu.to_string()),
    },
    Key {
        name: "tos",
        unit: "BYTE",
        doc: "Type of service (IPv6: traffic class) of all packets",
        side: Side::Both,
        set: |options, text| {
            options.network.tos = Some(number(text, 0, 255, "give a number from 0 to 255")?);
            Ok(())
        },
        show: |options| options.network.tos.map_or_else(String::new, |tos| tos.to_string()),
    },
    Key {
        name: "receive-buffer",
        unit: "BYTES",
        doc: "The receive buffer to ask of the system",
        side: Side::Both,
        set: |options, text| {
            let bytes = bytes(text)?.min(i32::MAX as u64);
            options.network.receive_buffer = bytes as usize;
            Ok(())
        },
        show: |options| show_bytes(options.network.receive_buffer as u64),
    },
    Key {
        name: "inject-loss",
        unit: "PERCENT",
        doc: "Drop this share of what arrives, on purpose: for tests and demonstrations",
        side: Side::Both,
        set: |options, text| {
            options.network.injected_loss.share = percent(text)? / 100.0;
            Ok(())
        },
        show: |options| format!("{}%", options.network.injected_loss.share * 100.0),
    },
    Key {
        name: "inject-seed",
        unit: "NUMBER",
        doc: "The random seed of inject-loss; 0 draws one",
        side: Side::Both,
        set: |options, text| {
            options.network.injected_loss.seed = number(text, 0, u64::MAX, "give a whole number")?;
            Ok(())
        },
        show: |options| options.network.injected_loss.seed.to_string(),
    },
    Key {
        name: "rate",
        unit: "BIT/S|auto[:BIT/S..BIT/S]",
        doc: "The rate of everything sent, IP and UDP headers included; auto finds what the receivers can take, within bounds",
        side: Side::Sending,
        set: |options, text| {
            options.sending.rate = Rate::parse(text)?;
            Ok(())
        },
        show: |options| options.sending.rate.show(),
    },
    Key {
        name: "burst",
        unit: "TIME|auto",
        doc: "The longest burst, as time at the rate; packets leave in trains of about half of it; auto is 2ms, and up to 10ms for files at a low rate",
        side: Side::Sending,
        set: |options, text| {
            options.sending.burst = match text.trim() {
                "auto" => None,
                text => Some(time(text).map_err(|_| "give auto, or a time up to 24h, such as 5ms")?),
            };
            Ok(())
        },
        show: |options| options.sending.burst.map_or("auto".to_owned(), show_time),
    },
    Key {
        name: "window",
        unit: "BYTES|TIME|PACKETS",
        doc: "The transmit window, which can be repaired: 32m bytes, 10s at the rate, or 4096packets; a file is its own window",
        side: Side::Sending,
        set: |options, text| {
            options.sending.window = window(text)?;
            Ok(())
        },
        show: |options| show_window(options.sending.window),
    },
    Key {
        name: "advance",
        unit: "data|TIME",
        doc: "When the window advances: when new data need the room, or when data are this old",
        side: Side::Sending,
        set: |options, text| {
            options.sending.advance = match text {
                "data" => Advance::Data,
                text => Advance::Time(time(text).map_err(|_| "give data, or a time up to 24h, such as 10s")?),
            };
            Ok(())
        },
        show: |options| match options.sending.advance {
            Advance::Data => "data".to_owned(),
            Advance::Time(time) => show_time(time),
        },
    },
    Key {
        name: "late-join",
        unit: "PERCENT",
        doc: "How far back into the window a late joiner may ask for repairs; for files, all the way",
        side: Side::Sending,
        set: |options, text| {
            options.sending.join = match percent(text)?.round() as u8 {
                0 => Join::None,
                100 => Join::All,
                share => Join::Share(share),
            };
            Ok(())
        },
        show: |options| match options.sending.join {
            Join::None => "0%".to_owned(),
            Join::Share(share) => format!("{share}%"),
            Join::All => "100%".to_owned(),
        },
    },
    Key {
        name: "fec",
        unit: "off|2..128",
        doc: "Data packets in each parity group, a power of 2 (files: 128); off in groups with ZeroMQ or OpenPGM",
        side: Side::Sending,
        set: |options, text| {
            if text == "off" {
                options.sending.parity = None;
                return Ok(());
            }
            let takes = "give off or a power of 2 from 2 to 128";
            let group: u8 = number(text, 2, 128, takes)?;
            if !group.is_power_of_two() {
                return Err(takes);
            }
            options.sending.parity.get_or_insert(PARITY).group = group;
            Ok(())
        },
        show: |options| {
            options.sending.parity.map_or_else(|| "off".to_owned(), |parity| parity.group.to_string())
        },
    },
    Key {
        name: "fec-ahead",
        unit: "off|PACKETS|PERCENT",
        doc: "Pro-active parity for each group (files: 30%): this many packets, or as many as leave this share of groups without a NAK",
        side: Side::Sending,
        set: |options, text| {
            match (&mut options.sending.parity, pro_active(text)?) {
                (Some(parity), pro_active) => parity.pro_active = pro_active,
                (None, ProActive::Off) => {}
                (None, _) => return Err("give off, since fec is off"),
            }
            Ok(())
        },
        show: |options| show_pro_active(options.sending.parity),
    },
    Key {
        name: "fec-on-demand",
        unit: "yes|no",
        doc: "Whether repairs are sent as parity packets where possible",
        side: Side::Sending,
        set: |options, text| {
            let on_demand = switch(text)?;
            // Without parity, nothing is sent as parity in any case.
            options.sending.parity.iter_mut().for_each(|parity| parity.on_demand = on_demand);
            Ok(())
        },
        show: |options| show_switch(options.sending.parity.is_some_and(|parity| parity.on_demand)),
    },
    Key {
        name: "repair-share",
        unit: "PERCENT",
        doc: "The repairs' share of the rate while new data are waiting as well",
        side: Side::Sending,
        set: |options, text| {
            let takes = "give a share from 1% to 100%";
            options.sending.repair_share_percent = number(text.trim_end_matches('%'), 1, 100, takes)?;
            Ok(())
        },
        show: |options| format!("{}%", options.sending.repair_share_percent),
    },
    Key {
        name: "nak-elimination",
        unit: "TIME",
        doc: "How long after a repair further NAKs for it are ignored (NAK_ELIM_IVL): about a round trip",
        side: Side::Sending,
        set: |options, text| {
            options.sending.eliminate = time(text)?;
            Ok(())
        },
        show: |options| show_time(options.sending.eliminate),
    },
    Key {
        name: "heartbeat",
        unit: "TIME",
        doc: "How soon after data the first heartbeat SPM follows",
        side: Side::Sending,
        set: |options, text| {
            options.sending.heartbeat = interval(text)?;
            Ok(())
        },
        show: |options| show_time(options.sending.heartbeat),
    },
    Key {
        name: "ambient",
        unit: "TIME",
        doc: "The interval of ambient SPMs, which always announce the window",
        side: Side::Sending,
        set: |options, text| {
            options.sending.ambient = interval(text)?;
            Ok(())
        },
        show: |options| show_time(options.sending.ambient),
    },
    Key {
        name: "linger",
        unit: "TIME",
        doc: "How long repair goes on after the end; a NAK restarts it",
        side: Side::Sending,
        set: |options, text| {
            options.sending.linger = time(text)?;
            Ok(())
        },
        show: |options| show_time(options.sending.linger),
    },
    Key {
        name: "send-queue",
        unit: "MESSAGES",
        doc: "How many messages may wait to be published",
        side: Side::Sending,
        set: |options, text| {
            options.sending.queue = number(text, 1, 1 << 20, "give a number from 1 to 1048576")?;
            Ok(())
        },
        show: |options| options.sending.queue.to_string(),
    },
    Key {
        name: "join",
        unit: "history|recent",
        doc: "Whether to ask for what was sent before, as far back as the source allows; files always do",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.join = match text {
                "history" => JoinWish::default(),
                "recent" => JoinWish::Recent,
                _ => return Err("give history or recent"),
            };
            Ok(())
        },
        show: |options| match options.receiving.join {
            JoinWish::History { .. } => "history".to_owned(),
            JoinWish::Recent => "recent".to_owned(),
        },
    },
    Key {
        name: "nak-backoff",
        unit: "TIME",
        doc: "The random back-off before a NAK, at first (NAK_BO_IVL)",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.nak.backoff = time(text)?;
            Ok(())
        },
        show: |options| show_time(options.receiving.nak.backoff),
    },
    Key {
        name: "nak-repeat",
        unit: "TIME",
        doc: "The wait for a NAK's confirmation, at first (NAK_RPT_IVL)",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.nak.repeat = time(text)?;
            Ok(())
        },
        show: |options| show_time(options.receiving.nak.repeat),
    },
    Key {
        name: "nak-data",
        unit: "TIME",
        doc: "The wait for the data after the confirmation, at first (NAK_RDATA_IVL)",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.nak.rdata = time(text)?;
            Ok(())
        },
        show: |options| show_time(options.receiving.nak.rdata),
    },
    Key {
        name: "nak-retries",
        unit: "NUMBER",
        doc: "How often a NAK is repeated before what it asks for counts as lost (files: without limit once confirmed)",
        side: Side::Receiving,
        set: |options, text| {
            let retries = number(text, 1, 255, "give a number from 1 to 255")?;
            (options.receiving.nak.ncf_retries, options.receiving.nak.data_retries) = (retries, retries);
            Ok(())
        },
        show: |options| options.receiving.nak.data_retries.to_string(),
    },
    Key {
        name: "receive-window",
        unit: "PACKETS",
        doc: "How far a source may be ahead of what has been delivered",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.limits.packets =
                number(text, 64, 1 << 24, "give a number from 64 to 16777216")?;
            Ok(())
        },
        show: |options| options.receiving.limits.packets.to_string(),
    },
    Key {
        name: "memory",
        unit: "BYTES",
        doc: "The most payload kept for one source",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.limits.bytes = bytes(text)? as usize;
            Ok(())
        },
        show: |options| show_bytes(options.receiving.limits.bytes as u64),
    },
    Key {
        name: "sources",
        unit: "NUMBER",
        doc: "The most sources heard at a time",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.limits.sources = number(text, 1, 4096, "give a number from 1 to 4096")?;
            Ok(())
        },
        show: |options| options.receiving.limits.sources.to_string(),
    },
    Key {
        name: "message-max",
        unit: "BYTES",
        doc: "The longest message that is accepted",
        side: Side::Receiving,
        set: |options, text| {
            let len = bytes(text)? as usize;
            // A session's profile is its first message.
            options.receiving.limits.message_len =
                Some(len).filter(|&len| len >= Profile::LEN).ok_or("give 24 bytes or more")?;
            Ok(())
        },
        show: |options| show_bytes(options.receiving.limits.message_len as u64),
    },
    Key {
        name: "on-loss",
        unit: "continue|stop",
        doc: "What to do when something is lost for good",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.on_loss = choice(text, ON_LOSS, "give continue or stop")?;
            Ok(())
        },
        show: |options| show_choice(options.receiving.on_loss, ON_LOSS),
    },
    Key {
        name: "slow",
        unit: "stall|lose",
        doc: "What to do when the application does not keep up: accept no new data, or give up the oldest",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.slow = choice(text, SLOW, "give stall or lose")?;
            Ok(())
        },
        show: |options| show_choice(options.receiving.slow, SLOW),
    },
    Key {
        name: "expiry",
        unit: "TIME",
        doc: "How long a source may be silent before it is given up",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.expiry = time(text)?;
            Ok(())
        },
        show: |options| show_time(options.receiving.expiry),
    },
    Key {
        name: "receive-queue",
        unit: "EVENTS",
        doc: "How many events may wait for the application",
        side: Side::Receiving,
        set: |options, text| {
            options.receiving.queue = number(text, 1, 1 << 20, "give a number from 1 to 1048576")?;
            Ok(())
        },
        show: |options| options.receiving.queue.to_string(),
    },
    Key {
        name: "diagnostics",
        unit: "DIRECTORY",
        doc: "The directory to write counters to, as JSON lines",
        side: Side::Both,
        set: |options, text| {
            options.diagnostics.directory =
                Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty());
            Ok(())
        },
        show: |options| {
            options.diagnostics.directory.as_ref().map_or_else(String::new, |path| path.display().to_string())
        },
    },
    Key {
        name: "diagnostics-interval",
        unit: "TIME",
        doc: "How often counters are written",
        side: Side::Both,
        set: |options, text| {
            options.diagnostics.interval = interval(text)?;
            Ok(())
        },
        show: |options| show_time(options.diagnostics.interval),
    },
];

const GROUPS: &str = "give addresses of groups, such as 239.192.7.2";

const HOSTS: &str = "give addresses of hosts, such as 192.0.2.1";

/// The names of the choices.
const MODES: &[(&str, Mode)] = &[
    ("messages", Mode::Messages),
    ("apdu", Mode::Apdu),
    ("stream", Mode::Stream),
    ("zmq", Mode::Zmq),
    ("openpgm", Mode::OpenPgm),
];
const CARRIERS: &[(&str, Carrier)] =
    &[("udp", Carrier::Udp), ("raw", Carrier::Raw), ("raw-alert", Carrier::RawAlert)];
const ON_LOSS: &[(&str, OnLoss)] = &[("continue", OnLoss::Continue), ("stop", OnLoss::Stop)];
const SLOW: &[(&str, Slow)] = &[("stall", Slow::Stall), ("lose", Slow::Lose)];
