//! Where and how something was measured.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use campanile_engine::{Interface, offload};
use serde::Serialize;

use super::device::has_files;
use super::text;
use crate::utc::Utc;

/// The circumstances that figures depend on.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// This program's version.
    pub version: &'static str,
    /// The arguments it was started with.
    pub arguments: Vec<String>,
    /// When.
    pub time: String,
    /// Operating system and processor family.
    pub system: String,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The processor's name.
    pub processor: Option<String>,
    /// Processors that this process may use.
    pub processors: Option<usize>,
    /// The policy that sets the processor's speed.
    pub governor: Option<String>,
    /// The address that packets to the target leave from.
    pub source: Option<IpAddr>,
    /// The interface of that address.
    pub interface: Option<String>,
    /// That interface's speed in Mbit/s.
    pub speed_mbps: Option<u64>,
    /// The largest IP packet that it takes whole, in bytes.
    pub mtu: Option<usize>,
    /// The offloads of that interface that concern datagrams: their names in the system, and whether each is on.
    pub offloads: Option<BTreeMap<String, bool>>,
    /// Whether the target is this machine. Loopback never cuts a train into packets and has no wire: such figures are about the machine
    /// alone.
    pub loopback: bool,
}

impl Environment {
    /// The circumstances of measuring `target` from here.
    #[must_use]
    pub fn read(target: SocketAddr) -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let source = source(target);
        let processors = text::read("/proc/cpuinfo");
        let interface = source.and_then(interface_of);
        let source = source.map(|source| source.ip());
        let own = interface.as_ref().filter(|name| has_files(name, |path| text::read(format!("/{path}"))));
        let told = |what: &str| text::word(format!("/sys/class/net/{}/{what}", own?));
        let (speed, mtu) = (told("speed"), told("mtu"));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            arguments: std::env::args_os().skip(1).map(|one| one.to_string_lossy().into_owned()).collect(),
            time: Utc::since_1970(since_1970).to_string(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            kernel: text::word("/proc/sys/kernel/osrelease"),
            processor: processors
                .as_deref()
                .and_then(|text| text::value(text, "model name"))
                .map(str::to_owned),
            processors: crate::cores::allowed().ok().map(|cores| cores.len()),
            governor: text::word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            source,
            offloads: interface.as_deref().and_then(offloads),
            interface,
            mtu: mtu.and_then(|mtu| mtu.parse().ok()),
            // An interface without a speed says -1.
            speed_mbps: speed.and_then(|speed| speed.parse().ok()),
            // What is sent to no address in particular comes to this machine.
            loopback: target.ip().is_loopback()
                || target.ip().is_unspecified()
                || source == Some(target.ip()),
        }
    }
}

/// The address that packets to `target` leave from. Only the system is asked; nothing is sent.
fn source(target: SocketAddr) -> Option<SocketAddr> {
    let every = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(every).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok()
}

/// The interface of such an address. Several interfaces may have the same link-local one, as a card and its VLANs do.
fn interface_of(source: SocketAddr) -> Option<String> {
    let interface = match source {
        SocketAddr::V6(source) if source.scope_id() != 0 => Interface::Index(source.scope_id()),
        _ => Interface::Address(source.ip()),
    };
    interface.name().ok()
}

/// The offloads of an interface that concern datagrams.
fn offloads(interface: &str) -> Option<BTreeMap<String, bool>> {
    let mut all = offload::of(interface).ok()?;
    all.retain(|offload| OFFLOADS.contains(&offload.name.as_str()));
    Some(all.into_iter().map(|offload| (offload.name, offload.is_on)).collect())
}

const OFFLOADS: [&str; 8] = [
    "rx-checksum",
    "rx-gro",
    "rx-udp-gro-forwarding",
    "tx-checksum-ip-generic",
    "tx-checksum-ipv4",
    "tx-checksum-ipv6",
    "tx-generic-segmentation",
    "tx-udp-segmentation",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_as_such() {
        let read = |target: &str| Environment::read(target.parse().expect("a literal address"));
        assert!(read("0.0.0.0:9").loopback && read("[::]:9").loopback && !read("192.0.2.1:9").loopback);
        let environment = read("127.0.0.1:9");
        assert!(environment.loopback);
        assert_eq!(environment.source, Some("127.0.0.1".parse().expect("a literal address")));
        let offloads = environment.offloads.as_ref();
        assert!(offloads.is_none_or(|offloads| offloads.contains_key("tx-udp-segmentation")));
        assert!(environment.interface.is_some() && environment.processors > Some(0), "{environment:?}");
    }
}
