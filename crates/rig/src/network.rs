//! The bridge and the nodes on it.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::RigError;
use crate::link::{slow_way, switch};
use crate::namespace::Namespace;

/// Nodes on one bridge. Dropping the network and its nodes' programs removes it.
#[derive(Debug)]
pub struct Network {
    hub: Arc<Namespace>,
    nodes: Vec<Node>,
}

/// A node: a namespace with loopback and one Ethernet device, `eth0`.
#[derive(Debug)]
pub struct Node {
    number: usize,
    namespace: Namespace,
    hub: Arc<Namespace>,
    /// Whether its device merges consecutive datagrams.
    pub(crate) merges: AtomicBool,
}

impl Network {
    /// A bridge that floods multicast, with this many nodes, whose links lose nothing.
    ///
    /// # Errors
    /// The system does not allow one: the error says what is missing.
    ///
    /// # Panics
    /// If there are more than 200 nodes.
    pub fn new(nodes: usize) -> Result<Self, RigError> {
        assert!(nodes <= 200, "the nodes have addresses in one network");
        let hub = Arc::new(Namespace::first()?);
        hub.script(
            "ip link add bridge type bridge mcast_snooping 0
             ip link set bridge up
             ip link set lo up",
        )?;
        switch(&hub)?;
        slow_way(&hub)?;
        let nodes = (0..nodes).map(|number| Node::new(number, &hub)).collect::<Result<_, _>>()?;
        Ok(Self { hub, nodes })
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A program in the bridge's namespace, for instance one that captures what passes through `bridge`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.hub.command(program)
    }
}

impl Node {
    fn new(number: usize, hub: &Arc<Namespace>) -> Result<Self, RigError> {
        let (namespace, merges) = (hub.another()?, AtomicBool::new(false));
        let node = Self { number, namespace, hub: Arc::clone(hub), merges };
        let (port, holder) = (node.port(), node.namespace.id());
        // With that offload a train crosses the bridge as one packet: one loss would drop all of it, which does not happen on a wire.
        node.hub.script(&format!(
            "ip link add {port} type veth peer name eth0 netns {holder}
             ethtool -K {port} tx-udp-segmentation off
             ip link set {port} master bridge up"
        ))?;
        let (v4, v6) = (node.v4(), node.v6());
        node.namespace.script(&format!(
            "ethtool -K eth0 tx-udp-segmentation off
             ip address add {v4}/24 broadcast + dev eth0
             ip address add {v6}/64 dev eth0 nodad
             ip link set lo up
             ip link set eth0 up
             ip route add 224.0.0.0/4 dev eth0"
        ))?;
        Ok(node)
    }

    /// Its number, from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Its address.
    #[must_use]
    pub fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, 0, self.number as u8 + 1)
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, self.number as u16 + 1)
    }

    /// A program on this node.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Bytes that its Ethernet device has sent, with their Ethernet headers.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub fn sent_bytes(&self) -> Result<u64, RigError> {
        let mut command = self.command("cat");
        // `/sys` shows the namespace in which it was mounted; `/proc/net` that of the process that reads it.
        let output = command.arg("/proc/net/dev").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("eth0:"));
        let count = line.and_then(|line| line.split_whitespace().nth(8)?.parse().ok());
        count.ok_or(RigError::Command { what: "the counters of eth0".to_owned(), said: text.into_owned() })
    }

    /// Waits until a program on it is a member of a group.
    ///
    /// # Errors
    /// No program has become a member within two minutes.
    pub fn wait_for_member(&self, group: IpAddr) -> Result<(), RigError> {
        // The kernel shows an IPv4 address as a number in the machine's byte order, and an IPv6 address as its bytes.
        let (file, listed) = match group {
            IpAddr::V4(group) => ("/proc/net/igmp", format!("{:08X}", u32::from_ne_bytes(group.octets()))),
            IpAddr::V6(group) => ("/proc/net/igmp6", format!("{:032x}", group.to_bits())),
        };
        self.wait_for(&format!("a member of {group}"), file, |text| text.contains(&listed))
    }

    /// Waits until a program on it has a UDP socket.
    ///
    /// # Errors
    /// No program has one within two minutes.
    pub fn wait_for_socket(&self) -> Result<(), RigError> {
        // The first line is a heading.
        self.wait_for("a socket of UDP", "/proc/net/udp", |text| text.lines().count() > 1)
    }

    /// Waits until the text of a file in the node's namespace satisfies `is_there`.
    fn wait_for(&self, what: &str, file: &str, is_there: impl Fn(&str) -> bool) -> Result<(), RigError> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let output = self.command("cat").arg(file).output()?;
            if is_there(&String::from_utf8_lossy(&output.stdout)) {
                return Ok(());
            }
        }
        Err(RigError::Command { what: what.to_owned(), said: "there is none".to_owned() })
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn hub(&self) -> &Namespace {
        &self.hub
    }

    /// The other end of its link, at the bridge.
    pub(crate) fn port(&self) -> String {
        format!("port{}", self.number)
    }
}

/// Longer than any program takes to begin.
const PATIENCE: Duration = Duration::from_secs(120);
