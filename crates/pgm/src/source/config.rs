//! The configuration of a source, and what follows from it.

use std::fmt;
use std::iter;
use std::net::IpAddr;
use std::time::Duration;

use super::pack::Packer;
use super::window::SPAN_MAX;
use crate::Seq;
use crate::framing::{Framing, OFFSET_LEN};
use crate::wire::{DataHead, Session};

/// The configuration of a [`super::Source`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Who sends, and to whom.
    pub endpoint: Endpoint,
    /// Our addresses on further interfaces, [`SourceConfig::FURTHER_MAX`] at most. On each interface, SPMs and confirmations carry our
    /// address there, to which NAKs are then sent.
    pub further: Vec<IpAddr>,
    /// The sequence number of the first data packet. With parity it must be a multiple of the group size.
    pub first_sqn: Seq,
    /// The seed of random decisions. It need not differ between sources.
    pub seed: u64,
    /// Type of service of all packets; `None` leaves the socket's.
    pub tos: Option<u8>,
    /// The greatest length of a PGM packet, from its header to the end of its payload: the MTU without IP and UDP headers.
    pub packet_len: usize,
    /// How messages are laid out in packets.
    pub framing: Framing,
    /// How fast packets leave.
    pub pace: Pace,
    /// The transmit window.
    pub window: WindowConfig,
    /// When source path messages are sent.
    pub spm: SpmConfig,
    /// How repairs are sent.
    pub repair: RepairConfig,
    /// The parity that the source provides; must be `None` in a group with OpenPGM or ZeroMQ receivers.
    pub parity: Option<ParityConfig>,
}

/// Who sends, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The transport session.
    pub session: Session,
    /// The address of the group.
    pub group: IpAddr,
    /// Our own address, to which receivers send NAKs.
    pub nla: IpAddr,
}

impl SourceConfig {
    /// How many further addresses there may be.
    pub const FURTHER_MAX: usize = 15;

    /// Our addresses.
    pub(super) fn nlas(&self) -> impl Iterator<Item = IpAddr> {
        iter::once(self.endpoint.nla).chain(self.further.iter().copied())
    }

    /// The defaults: 1 MB a second in packets for an MTU of 1500 over IPv4 and UDP, a window of 4096 packets, no parity.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        SourceConfig {
            endpoint,
            further: Vec::new(),
            first_sqn: Seq(0),
            seed: 0,
            tos: None,
            packet_len: 1472,
            framing: Framing::Packed,
            pace: Pace::default(),
            window: WindowConfig::default(),
            spm: SpmConfig::default(),
            repair: RepairConfig::default(),
            parity: None,
        }
    }

    pub(super) fn check(&self) -> Result<Derived, ConfigError> {
        let tsdu_len = self.tsdu_len().ok_or(ConfigError::PacketLen)?;
        let mut nlas = self.nlas();
        if nlas.any(|nla| nla.is_ipv4() != self.endpoint.group.is_ipv4()) {
            return Err(ConfigError::AddressFamilies);
        }
        if !self.endpoint.group.is_multicast() {
            return Err(ConfigError::Group);
        }
        let is_wrong = |nla: IpAddr| nla.is_multicast() || nla.is_unspecified();
        if self.nlas().any(is_wrong) || self.further.len() > Self::FURTHER_MAX {
            return Err(ConfigError::Nla);
        }
        if !(1..=RATE_MAX).contains(&self.pace.bytes_per_second) {
            return Err(ConfigError::Rate);
        }
        if !(1..=100).contains(&self.repair.share_percent) {
            return Err(ConfigError::RepairShare);
        }
        if self.spm.ambient.is_zero() || self.spm.heartbeat_min.is_zero() {
            return Err(ConfigError::SpmInterval);
        }
        if let Some(parity) = &self.parity {
            parity.check()?;
            if !self.first_sqn.0.is_multiple_of(parity.group.into()) {
                return Err(ConfigError::FirstSqn);
            }
        }
        let packets = self.window_packets(tsdu_len).ok_or(ConfigError::Window)?;
        Ok(Derived { tsdu_len, packets, group_len: self.group_len(packets) })
    }

    /// The payload length of a full data packet: what the longest head that any data packet may need leaves of a packet, so that all
    /// full packets of a session have the same payload length, and none grows when it is repaired. OPT_SYN, which is optional, is
    /// only sent where there is room.
    ///
    /// `None` when the packets are too short to hold any payload, or longer than packets can be.
    #[must_use]
    pub fn tsdu_len(&self) -> Option<usize> {
        const OPT_LENGTH: usize = 4;
        const FRAGMENT: usize = 16;
        const JOIN: usize = 8;
        // OPT_CURR_TGSIZE or OPT_PARITY_GRP (RFC 3208 §11.8): a short group has only the first run of parity, which has no number.
        const OF_GROUP: usize = 8;
        // At the end of parity over packets that differ in length (§11.2).
        const ENCODED_LENGTH: usize = 2;
        let framing = match self.framing {
            Framing::Apdu => FRAGMENT,
            _ if self.window.join_in_data => JOIN,
            _ => 0,
        };
        let (of_group, encoded_length) =
            if self.parity.is_some() { (OF_GROUP, ENCODED_LENGTH) } else { (0, 0) };
        let options = match framing + of_group {
            0 => 0,
            options => OPT_LENGTH + options,
        };
        let tsdu_len = self.packet_len.checked_sub(DataHead::LEN_MIN + options + encoded_length)?;
        let fits = (PACKET_LEN_MIN..=PACKET_LEN_MAX).contains(&self.packet_len)
            && tsdu_len >= OFFSET_LEN + TSDU_LEN_MIN;
        fits.then_some(tsdu_len)
    }

    /// The length in bytes of the longest message, or part of one, that a source can publish: what fills the part of the window that
    /// may wait to be sent.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration.
    pub fn message_len_max(&self) -> Result<u64, ConfigError> {
        let Derived { tsdu_len, packets, .. } = self.check()?;
        Ok(Packer::new(self.framing, tsdu_len).capacity(queue_max(packets as u64)))
    }

    fn window_packets(&self, tsdu_len: usize) -> Option<usize> {
        let tsdu_len = tsdu_len as u64;
        let packets = match self.window.size {
            WindowSize::Packets(packets) => packets.into(),
            WindowSize::Bytes(bytes) => bytes / tsdu_len,
            WindowSize::Time(time) => {
                let bytes =
                    u128::from(self.pace.bytes_per_second).checked_mul(time.as_nanos())? / 1_000_000_000;
                u64::try_from(bytes / u128::from(tsdu_len)).ok()?
            }
        };
        let least = 2 * self.parity.as_ref().map_or(1, |parity| u64::from(parity.group));
        let packets = packets.max(least);
        let most = match self.window.kept {
            Kept::Here => KEPT_PACKETS_MAX,
            Kept::Elsewhere { .. } => SPAN_MAX,
        };
        if packets > most || !(1..=100).contains(&self.window.increment_percent) {
            return None;
        }
        if matches!(self.window.kept, Kept::Elsewhere { groups } if !(3..=64).contains(&groups)) {
            return None;
        }
        usize::try_from(packets).ok()
    }

    /// The number of packets in a group: in a transmission group, or in the steps in which a window without parity advances. An
    /// incomplete one stays in the window, so it is no longer than the part of the window in which packets do not wait.
    fn group_len(&self, packets: usize) -> u8 {
        if let Some(parity) = &self.parity {
            return parity.group;
        }
        let packets = packets as u64;
        let increment = (packets * u64::from(self.window.increment_percent) / 100).min(packets / 2);
        let steps: [u8; 7] = [64, 32, 16, 8, 4, 2, 1];
        steps.into_iter().find(|&step| u64::from(step) <= increment).unwrap_or(1)
    }
}

/// How many packets of a window may wait to be sent: half of them, so that the other half can be repaired.
pub(super) fn queue_max(packets: u64) -> u64 {
    packets / 2
}

/// What follows from a valid configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Derived {
    /// The payload length of a full data packet.
    pub(super) tsdu_len: usize,
    /// Packets in the window, including those waiting to be sent.
    pub(super) packets: usize,
    /// Packets in a group, a power of 2 up to 128.
    pub(super) group_len: u8,
}

/// How fast packets leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pace {
    /// The rate of everything sent, in bytes a second.
    pub bytes_per_second: u64,
    /// The bytes that are charged for each packet on top of its own: IP and UDP headers, and those of the link if wished.
    pub overhead: u16,
    /// The longest burst, as a time at the rate. Over any time, at most what the rate allows is sent, plus one burst, or two packets
    /// where that is more. Trains are about half a burst long.
    pub burst: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { bytes_per_second: 1_000_000, overhead: 28, burst: Duration::from_millis(2) }
    }
}

/// The transmit window (RFC 3208 §3.3, §16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowConfig {
    /// How much it holds. Packets that wait to be sent may take up to half of it.
    pub size: WindowSize,
    /// When its trailing edge advances.
    pub advance: Advance,
    /// How far it advances at a time, in percent of its size. With parity this is rounded to whole groups.
    pub increment_percent: u8,
    /// How far back a late joiner may ask for repairs (OPT_JOIN, §9.4).
    pub join: Join,
    /// Whether data packets without OPT_FRAGMENT carry OPT_JOIN, too. OpenPGM's receivers need some option there: after dropping a
    /// duplicate fragment, they take the next packet without options for that fragment, and wait forever for the others.
    pub join_in_data: bool,
    /// Where the data are kept.
    pub kept: Kept,
}

impl Default for WindowConfig {
    fn default() -> Self {
        WindowConfig {
            size: WindowSize::Packets(4096),
            advance: Advance::Data,
            increment_percent: 2,
            join: Join::None,
            join_in_data: false,
            kept: Kept::Here,
        }
    }
}

/// How much a transmit window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowSize {
    /// This many packets (TXW_SQNS).
    Packets(u32),
    /// As many full packets as hold this many bytes of payload (TXW_BYTES).
    Bytes(u64),
    /// As many full packets as the rate allows in this time (TXW_SECS).
    Time(Duration),
}

/// When the trailing edge advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advance {
    /// When new data need the room: as many packets as fit can be repaired, however old they are (§16.2).
    Data,
    /// When data reach this age: until then a full window takes no more data (§16.3).
    Time(Duration),
}

/// How far back a late joiner may ask for repairs (OPT_JOIN, §9.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Join {
    /// Not at all: from the first packet received.
    None,
    /// Through the newest part of the window, in percent of it.
    Share(u8),
    /// Through the whole window.
    All,
}

/// Where the data of the window are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// In the source, in the packets that they were packed into.
    Here,
    /// Elsewhere, as in a file: the source asks for a group of packets at a time ([`super::SourceEvent::Need`]).
    Elsewhere {
        /// How many groups the source holds at a time, from 3 to 64: one to send, one to send next, one to repair.
        groups: u8,
    },
}

/// When source path messages are sent (RFC 3208 §5.1.4, §5.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpmConfig {
    /// How many are sent at the start, before all data; at least one is. Receivers that do not know OPT_JOIN never ask for what was
    /// sent before the first packet that they receive, and a single SPM would be lost on the way to some of them.
    pub opening: u8,
    /// The interval of ambient SPMs, which are sent at all times.
    pub ambient: Duration,
    /// The time from the last data to the first heartbeat (IHB_MIN). A partial transmission group is also closed then.
    pub heartbeat_min: Duration,
    /// The interval of heartbeats doubles up to this after the first four (IHB_MAX).
    pub heartbeat_max: Duration,
    /// How long repair continues after the end. Each NAK restarts the time, and so do repairs that wait when it is over, up to ten
    /// times this long in all.
    pub linger: Duration,
}

impl Default for SpmConfig {
    fn default() -> Self {
        SpmConfig {
            opening: 1,
            ambient: Duration::from_secs(1),
            heartbeat_min: Duration::from_millis(5),
            heartbeat_max: Duration::from_secs(5),
            linger: Duration::from_secs(2),
        }
    }
}

/// How repairs are sent (RFC 3208 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RepairConfig {
    /// The share of what is sent that repairs may take when new data wait as well, in percent.
    pub share_percent: u8,
    /// The elimination interval: a NAK for a packet whose repair was sent this recently is not answered again. About the round trip
    /// time.
    pub eliminate: Duration,
}

impl Default for RepairConfig {
    fn default() -> Self {
        RepairConfig { share_percent: 80, eliminate: Duration::from_millis(5) }
    }
}

/// The parity that a source provides (RFC 3208 §11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParityConfig {
    /// The data packets of a transmission group: a power of 2 from 2 to 128.
    pub group: u8,
    /// The pro-active parity, sent after each group without a request.
    pub pro_active: ProActive,
    /// Whether parity can be asked for.
    pub on_demand: bool,
}

/// The parity that is sent after each group without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProActive {
    /// None.
    Off,
    /// This many packets for a full group, and a proportional share for a short one, up to one run.
    Fixed(u8),
    /// As many as the recent demand for repairs suggests.
    Adaptive {
        /// The share of groups that should need no NAK, in percent, from 1 to 99.
        target_percent: u8,
    },
}

impl ParityConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if !(2..=128).contains(&self.group) || !self.group.is_power_of_two() {
            return Err(ConfigError::ParityGroup);
        }
        match self.pro_active {
            ProActive::Off if !self.on_demand => Err(ConfigError::ParityKinds),
            ProActive::Fixed(count) if count == 0 || count > N_MAX - self.group => {
                Err(ConfigError::ParityKinds)
            }
            ProActive::Adaptive { target_percent } if !(1..=99).contains(&target_percent) => {
                Err(ConfigError::ParityKinds)
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfigError {
    /// Too small for a confirmation or for the headers and some data, or larger than a datagram.
    PacketLen,
    /// The group's address and ours are of different families.
    AddressFamilies,
    /// The group's address is not multicast.
    Group,
    /// NAKs cannot be sent to one of our addresses, or there are too many addresses.
    Nla,
    /// The rate is zero, or beyond 10^14.
    Rate,
    /// The share of repairs is not from 1 to 100 percent.
    RepairShare,
    /// An interval of SPMs is zero.
    SpmInterval,
    /// The window is wider than 2^24 packets, or 2^30 whose data are kept elsewhere; its increment is not from 1 to 100 percent; or it
    /// holds too few or too many groups.
    Window,
    /// The transmission group is no power of 2 from 2 to 128.
    ParityGroup,
    /// Neither pro-active nor on-demand parity, more parity than the code has, or a target that is not from 1 to 99 percent.
    ParityKinds,
    /// The first sequence number does not begin a transmission group.
    FirstSqn,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConfigError::PacketLen => "packet length leaves no room for a confirmation or exceeds a datagram",
            ConfigError::AddressFamilies => "group and own address are of different families",
            ConfigError::Group => "group address is not multicast",
            ConfigError::Nla => "own address is not unicast",
            ConfigError::Rate => "rate is zero or absurd",
            ConfigError::RepairShare => "repair share is not from 1 to 100 percent",
            ConfigError::SpmInterval => "SPM interval is zero",
            ConfigError::Window => {
                "transmit window is longer than 16777216 packets, or its increment or groups are out of range"
            }
            ConfigError::ParityGroup => "transmission group is no power of 2 from 2 to 128",
            ConfigError::ParityKinds => {
                "parity is sent neither ahead nor on demand, or a group would have more than 255 packets with it"
            }
            ConfigError::FirstSqn => "first sequence number does not begin a transmission group",
        })
    }
}

impl std::error::Error for ConfigError {}

/// The most symbols of a group, data and parity: as many as the field of the code has points for.
pub(super) const N_MAX: u8 = 255;

/// The length of the longest urgent packet: the confirmation of a full NAK list with IPv6 addresses, 16 bytes of header, 44 of body,
/// 256 of options.
pub(super) const URGENT_LEN: usize = 16 + 44 + 256;
const PACKET_LEN_MIN: usize = URGENT_LEN;
const PACKET_LEN_MAX: usize = 65_507;
const TSDU_LEN_MIN: usize = 16;
/// The highest rate in bytes a second: more than any link carries.
pub(super) const RATE_MAX: u64 = 100_000_000_000_000;
/// The most packets of a window that keeps their data.
const KEPT_PACKETS_MAX: u64 = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> SourceConfig {
        SourceConfig::new(Endpoint {
            session: Session::default(),
            group: "239.192.0.1".parse().unwrap(),
            nla: "10.0.0.1".parse().unwrap(),
        })
    }

    #[test]
    fn defaults_are_right() {
        let derived = config().check().unwrap();
        assert_eq!((derived.tsdu_len, derived.packets, derived.group_len), (1472 - 24, 4096, 64));
    }

    #[test]
    fn a_window_without_data_may_be_wider() {
        let packets = |count, kept| {
            let window = WindowConfig { size: WindowSize::Packets(count), kept, ..WindowConfig::default() };
            SourceConfig { window, ..config() }.check().map(|derived| derived.packets)
        };
        let elsewhere = Kept::Elsewhere { groups: 8 };
        assert_eq!(packets(1 << 24, Kept::Here), Ok(1 << 24));
        assert_eq!(packets((1 << 24) + 1, Kept::Here), Err(ConfigError::Window));
        assert_eq!(packets(1 << 30, elsewhere), Ok(1 << 30));
        assert_eq!(packets((1 << 30) + 1, elsewhere), Err(ConfigError::Window));
    }

    #[test]
    fn each_mistake_has_its_name() {
        type Mistake = fn(&mut SourceConfig);
        let parity = ParityConfig { group: 8, pro_active: ProActive::Off, on_demand: true };
        assert_eq!(SourceConfig { parity: Some(parity), ..config() }.check().unwrap().group_len, 8);
        let mistakes: [(Mistake, ConfigError); 18] = [
            (|c| c.packet_len = 315, ConfigError::PacketLen),
            (|c| c.packet_len = 65_508, ConfigError::PacketLen),
            (|c| c.endpoint.nla = "fe80::1".parse().unwrap(), ConfigError::AddressFamilies),
            (|c| c.endpoint.group = "10.0.0.2".parse().unwrap(), ConfigError::Group),
            (|c| c.endpoint.nla = "0.0.0.0".parse().unwrap(), ConfigError::Nla),
            (|c| c.further = vec!["fe80::1".parse().unwrap()], ConfigError::AddressFamilies),
            (|c| c.further = vec!["10.0.0.2".parse().unwrap(); 16], ConfigError::Nla),
            (|c| c.pace.bytes_per_second = 0, ConfigError::Rate),
            (|c| c.repair.share_percent = 101, ConfigError::RepairShare),
            (|c| c.spm.heartbeat_min = Duration::ZERO, ConfigError::SpmInterval),
            (
                |c| (c.pace.bytes_per_second, c.window.size) = (RATE_MAX, WindowSize::Time(Duration::MAX)),
                ConfigError::Window,
            ),
            (|c| c.window.increment_percent = 0, ConfigError::Window),
            (|c| c.window.kept = Kept::Elsewhere { groups: 2 }, ConfigError::Window),
            (|c| c.parity.as_mut().unwrap().group = 12, ConfigError::ParityGroup),
            (|c| c.parity.as_mut().unwrap().on_demand = false, ConfigError::ParityKinds),
            (|c| c.parity.as_mut().unwrap().pro_active = ProActive::Fixed(248), ConfigError::ParityKinds),
            (
                |c| c.parity.as_mut().unwrap().pro_active = ProActive::Adaptive { target_percent: 100 },
                ConfigError::ParityKinds,
            ),
            (|c| c.first_sqn = Seq(4), ConfigError::FirstSqn),
        ];
        for (mistake, error) in mistakes {
            let mut config = SourceConfig { parity: Some(parity), ..config() };
            mistake(&mut config);
            assert_eq!(config.check().unwrap_err(), error, "{error}");
        }
    }

    #[test]
    fn a_configuration_knows_the_longest_message_of_its_source() {
        for framing in [Framing::Packed, Framing::Apdu, Framing::Stream] {
            let config = SourceConfig { framing, ..config() };
            let source = crate::source::Source::new(crate::Instant::ZERO, config.clone()).unwrap();
            assert_eq!(config.message_len_max(), Ok(source.message_len_max()));
        }
    }

    #[test]
    fn windows_by_packets_bytes_and_time() {
        let packets = |size| {
            let config =
                SourceConfig { window: WindowConfig { size, ..WindowConfig::default() }, ..config() };
            config.check().unwrap().packets
        };
        assert_eq!(packets(WindowSize::Packets(80)), 80);
        assert_eq!(packets(WindowSize::Packets(0)), 2);
        assert_eq!(packets(WindowSize::Bytes(144_800)), 100);
        assert_eq!(packets(WindowSize::Time(Duration::from_micros(144_800))), 100);
    }

    #[test]
    fn a_small_window_advances_in_small_steps() {
        let steps = |packets, increment_percent| {
            let window = WindowConfig {
                size: WindowSize::Packets(packets),
                increment_percent,
                ..WindowConfig::default()
            };
            SourceConfig { window, ..config() }.check().unwrap().group_len
        };
        assert_eq!(steps(80, 2), 1);
        assert_eq!(steps(80, 25), 16);
        assert_eq!(steps(100_000, 2), 64);
    }
}
