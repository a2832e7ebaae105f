//! The options of publishers and subscribers: each is defined once, with its name, unit, default and meaning.
//!
//! [`Options`] are filled in by code, from a TOML text ([`Options::from_toml`]), or name by name ([`Options::set`]) as a command line
//! does; [`KEYS`] lists the names. A name that does not exist is refused with the nearest one that does.

mod error;
mod keys;
mod rate;
mod table;
mod values;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use campanile_engine::Interface;
use campanile_pgm::Framing;
use campanile_pgm::receiver::{JoinWish, Limits, NakConfig, OnLoss, Slow};
use campanile_pgm::source::{Advance, Join, ParityConfig, ProActive, WindowSize};

pub use error::OptionError;
pub use keys::{Key, Side};
pub use rate::Rate;
pub use table::KEYS;

/// Every setting, with its default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// What is sent: messages or a stream, and in whose format.
    pub mode: Mode,
    /// Where it is sent, and how it gets there.
    pub network: Network,
    /// What a publisher does.
    pub sending: Sending,
    /// What a subscriber does.
    pub receiving: Receiving,
    /// What is logged about both.
    pub diagnostics: Diagnostics,
}

/// What is sent, and how it is laid out in packets. Publisher and subscribers must have the same mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Messages, packed into packets, after a session profile.
    #[default]
    Messages,
    /// Messages, each in packets of its own, after a session profile.
    Apdu,
    /// A stream of bytes, after a session profile.
    Stream,
    /// Messages as ZeroMQ's `pgm://` and `epgm://` sockets send them: no profile and no parity.
    Zmq,
    /// Messages as OpenPGM sends them: no profile and no parity.
    OpenPgm,
}

impl Mode {
    /// How messages are laid out in packets.
    #[must_use]
    pub fn framing(self) -> Framing {
        match self {
            Mode::Messages | Mode::Zmq => Framing::Packed,
            Mode::Apdu | Mode::OpenPgm => Framing::Apdu,
            Mode::Stream => Framing::Stream,
        }
    }

    /// Whether other programs than Campanile may be in the group.
    #[must_use]
    pub fn is_foreign(self) -> bool {
        matches!(self, Mode::Zmq | Mode::OpenPgm)
    }
}

/// Where a session is, and how its packets get there.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The group's address, and the port: of UDP, and of the session unless `data_port` says another.
    pub group: SocketAddr,
    /// What carries the packets.
    pub carrier: Carrier,
    /// Further groups to receive, on the same port. A publisher sends only to `group`.
    pub groups: Vec<IpAddr>,
    /// The interfaces to use, 8 at most; the system's choice if empty. A publisher sends everything on each of them.
    pub interfaces: Vec<Interface>,
    /// The only sources to receive from (RFC 4607); any if empty.
    pub sources: Vec<IpAddr>,
    /// The UDP port that NAKs and reports go to, where it is not the group's.
    pub unicast_port: Option<u16>,
    /// The data-destination port of the session, where it is not the group's.
    pub data_port: Option<u16>,
    /// Time to live or hop limit of what goes to the group.
    pub ttl: u8,
    /// The largest IP packet, in bytes: no larger than all interfaces take. If `None`: what they take, up to 1500.
    pub mtu: Option<u16>,
    /// Type of service or traffic class of all packets.
    pub tos: Option<u8>,
    /// The receive buffer asked of the system, in bytes.
    pub receive_buffer: usize,
    /// A share of what arrives that is dropped on purpose, for tests and demonstrations.
    pub injected_loss: InjectedLoss,
}

/// What carries PGM packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Carrier {
    /// UDP: needs no privilege.
    #[default]
    Udp,
    /// IP protocol 113: needs CAP_NET_RAW.
    Raw,
    /// As `Raw`, and packets that PGM network elements process carry the IPv4 option Router Alert (RFC 3208 §8).
    RawAlert,
}

impl Carrier {
    /// Whether packets go without UDP.
    #[must_use]
    pub fn is_raw(self) -> bool {
        self != Carrier::Udp
    }

    /// Whether some packets to a group carry Router Alert: in IPv6 there is no value of it for PGM (RFC 2711 §2.1).
    pub(super) fn alerts(self, group: SocketAddr) -> bool {
        self == Carrier::RawAlert && group.is_ipv4()
    }
}

/// Datagrams that a node drops on purpose, drawn from a seed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct InjectedLoss {
    /// The share that is dropped, from 0 to 1.
    pub share: f64,
    /// The seed that the drops are drawn from; 0 for a random one.
    pub seed: u64,
}

/// What a publisher does.
#[derive(Debug, Clone, PartialEq)]
pub struct Sending {
    /// The rate of everything sent.
    pub rate: Rate,
    /// The longest burst, as a time at the rate; packets leave in trains of about half of it. If `None`: 2 ms, and up to 10 ms for
    /// files at a low rate, because each train costs a wake-up.
    pub burst: Option<Duration>,
    /// How much can be repaired. A file is its own window.
    pub window: WindowSize,
    /// When the trailing edge of the window advances.
    pub advance: Advance,
    /// How far back a late joiner may ask for repairs (OPT_JOIN, RFC 3208 §9.4). In a file session, through all of it.
    pub join: Join,
    /// The parity that is sent.
    pub parity: Option<ParityConfig>,
    /// The repairs' share of the rate while new data wait too, in percent.
    pub repair_share_percent: u8,
    /// How long after a repair further NAKs for it are ignored (NAK_ELIM_IVL): about a round trip time. A lost repair is not sent again
    /// sooner.
    pub eliminate: Duration,
    /// How soon after data the first heartbeat SPM says what was sent (RFC 3208 §5.1.5).
    pub heartbeat: Duration,
    /// How often an ambient SPM announces the window, whether data are sent or not (RFC 3208 §5.1.4).
    pub ambient: Duration,
    /// How long repair goes on after the end; a NAK restarts this time.
    pub linger: Duration,
    /// How many messages may wait to be published. When they do, `publish` waits and `try_publish` is refused.
    pub queue: usize,
}

/// What a subscriber does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiving {
    /// Where to start in a session that began earlier.
    pub join: JoinWish,
    /// When and how often repairs are requested.
    pub nak: NakConfig,
    /// How much is kept.
    pub limits: Limits,
    /// What to do when something is lost for good.
    pub on_loss: OnLoss,
    /// What to do when the application does not keep up.
    pub slow: Slow,
    /// How long a source may be silent before it is given up.
    pub expiry: Duration,
    /// How many events may wait for the application.
    pub queue: usize,
}

/// What is logged about a publisher or subscriber while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// Where counters are written, as JSON lines; nowhere if `None`.
    pub directory: Option<PathBuf>,
    /// How often a line is written.
    pub interval: Duration,
    /// The length in bytes at which the next file is begun.
    pub file_len: u64,
    /// How many files are kept; the oldest are removed.
    pub files: usize,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            group: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 7, 1)), 7500),
            carrier: Carrier::default(),
            groups: Vec::new(),
            interfaces: Vec::new(),
            sources: Vec::new(),
            unicast_port: None,
            data_port: None,
            ttl: 16,
            mtu: None,
            tos: None,
            receive_buffer: 4 << 20,
            injected_loss: InjectedLoss::default(),
        }
    }
}

impl Default for Sending {
    fn default() -> Self {
        Sending {
            rate: Rate::Fixed(5_000_000),
            burst: None,
            window: WindowSize::Bytes(32 << 20),
            advance: Advance::Data,
            join: Join::Share(25),
            parity: Some(PARITY),
            repair_share_percent: 50,
            eliminate: Duration::from_millis(5),
            heartbeat: Duration::from_millis(5),
            ambient: Duration::from_secs(1),
            linger: Duration::from_secs(2),
            queue: 1024,
        }
    }
}

impl Default for Receiving {
    fn default() -> Self {
        Receiving {
            join: JoinWish::default(),
            nak: NakConfig::default(),
            limits: Limits::default(),
            on_loss: OnLoss::default(),
            slow: Slow::default(),
            expiry: Duration::from_secs(60),
            queue: 1024,
        }
    }
}

impl Default for Diagnostics {
    fn default() -> Self {
        Diagnostics { directory: None, interval: Duration::from_secs(1), file_len: 16 << 20, files: 4 }
    }
}

impl Options {
    /// The defaults, for a group and port.
    #[must_use]
    pub fn new(group: SocketAddr) -> Self {
        let mut options = Options::default();
        options.network.group = group;
        options
    }

    /// The preset `lan`: a fast network whose round trip is well under a millisecond.
    fn set_lan(&mut self) {
        self.sending.rate = Rate::Fixed(100_000_000);
        self.receiving.nak.backoff = Duration::from_millis(2);
        self.receiving.nak.repeat = Duration::from_millis(10);
        self.receiving.nak.rdata = Duration::from_millis(20);
    }

    /// Bytes in front of a PGM packet of the largest size: the headers of IP and, if it is used, of UDP.
    #[must_use]
    pub fn overhead(&self) -> u16 {
        let ip = if self.network.group.is_ipv4() { 20 } else { 40 };
        match self.network.carrier {
            Carrier::Udp => ip + 8,
            Carrier::RawAlert if self.network.group.is_ipv4() => ip + ROUTER_ALERT_LEN,
            Carrier::Raw | Carrier::RawAlert => ip,
        }
    }

    /// The data-destination port of the session.
    #[must_use]
    pub fn data_port(&self) -> u16 {
        self.network.data_port.unwrap_or(self.network.group.port())
    }
}

/// The default parity: repairs are parity packets, and none are sent unasked.
const PARITY: ParityConfig = ParityConfig { group: 64, pro_active: ProActive::Off, on_demand: true };

/// The length of the IPv4 option (RFC 2113 §2.1).
const ROUTER_ALERT_LEN: u16 = 4;
/// The least `mtu`: room for all headers and options, and some data.
pub(super) const MTU_MIN: u16 = 364;
