//! Faults of links: loss, delay and duplication, and rate limits.

use std::sync::atomic::Ordering;

use crate::RigError;
use crate::namespace::Namespace;
use crate::network::Node;

/// How much a link loses, in thousandths of its UDP and PGM packets. The kernel draws for each packet independently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Of the multicast packets to the node.
    pub down: u32,
    /// Of the packets from the node, multicast and unicast.
    pub up: u32,
}

/// How many of the packets from a node take the slow path, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disorder {
    /// They arrive late, after packets that were sent later.
    pub late: u32,
    /// They arrive in time, and a second time late.
    pub twice: u32,
}

impl Node {
    /// Sets the loss of the node's link from now on.
    ///
    /// # Errors
    /// The kernel refuses the rule.
    pub fn lose(&self, loss: Loss) -> Result<(), RigError> {
        let (port, number) = (self.port(), self.number());
        let down = rule("meta pkttype { multicast, broadcast }", loss.down, "drop");
        // The ingress hook of a device that merges sees whole trains, and would drop all of one at once: packets are dropped before.
        let merges = self.merges.load(Ordering::Relaxed);
        let (on_the_way, on_arrival) = if merges { (down, String::new()) } else { (String::new(), down) };
        hook(self.hub(), &format!("way{number}"), "egress", &port, &on_the_way)?;
        hook(self.namespace(), "loss", "ingress", "eth0", &on_arrival)?;
        hook(self.hub(), &format!("loss{number}"), "ingress", &port, &rule("", loss.up, "drop"))
    }

    /// Turns merging on or off: with it, the node's device merges consecutive datagrams (GRO), as the driver of nearly every network
    /// card does and a veth does not by default. Removes the link's loss.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn merge(&self, is_merging: bool) -> Result<(), RigError> {
        self.lose(Loss::default())?;
        // A veth does not merge what comes from a device with TCP segmentation offload: it takes that to be merged already.
        let (gro, tso) = if is_merging { ("on", "off") } else { ("off", "on") };
        self.namespace().script(&format!("ethtool -K eth0 gro {gro}"))?;
        self.hub().script(&format!("ethtool -K {} tso {tso}", self.port()))?;
        self.merges.store(is_merging, Ordering::Relaxed);
        Ok(())
    }

    /// Limits the rate to the node to `rate_kbit`, in kbit/s, from now on; a queue holds what passes in 20 milliseconds.
    ///
    /// # Errors
    /// The kernel refuses the rate.
    pub fn limit(&self, rate_kbit: u32) -> Result<(), RigError> {
        let port = self.port();
        // In bytes: what passes in a millisecond, and at least four packets.
        let burst = (rate_kbit / 8).max(6000);
        self.hub().script(&format!(
            "tc qdisc replace dev {port} root tbf rate {rate_kbit}kbit burst {burst} latency 20ms"
        ))
    }

    /// Sets how many of the packets from the node are delayed by a few milliseconds or duplicated from now on.
    ///
    /// # Errors
    /// The kernel refuses the rules.
    pub fn disorder(&self, disorder: Disorder) -> Result<(), RigError> {
        let (twice, late) =
            (rule("", disorder.twice, "dup to \"slow\""), rule("", disorder.late, "fwd to \"slow\""));
        let rules = format!("{twice}\n{late}");
        hook(self.hub(), &format!("disorder{}", self.number()), "ingress", &self.port(), &rules)
    }
}

/// A rule for a share of the UDP and PGM packets; empty for none of them.
fn rule(matches: &str, thousandths: u32, verdict: &str) -> String {
    let some = match thousandths {
        0 => return String::new(),
        1000.. => String::new(),
        share => format!("numgen random mod 1000 < {share}"),
    };
    format!("meta l4proto {{ 17, 113 }} {matches} {some} counter {verdict}")
}

/// Makes the slow path: a pair of devices with a queue in front, and the bridge behind it. The bridge must not learn addresses from
/// packets that come this way, or it would send the answers there.
pub(crate) fn slow_way(hub: &Namespace) -> Result<(), RigError> {
    hub.script(
        "ip link add slow type veth peer name late
         ip link set late master bridge up
         ip link set late type bridge_slave learning off flood off mcast_flood off
         ip link set slow up
         tc qdisc add dev slow root tbf rate 4mbit burst 1600 latency 50ms",
    )
}

/// Makes the bridge a pure switch: no IP firewall rules apply to what it forwards, and nothing reaches the hub's own IP layer.
pub(crate) fn switch(hub: &Namespace) -> Result<(), RigError> {
    // The files exist where the kernel can apply such rules to bridges: switching that off only saves time.
    hub.script(
        "for file in /proc/sys/net/bridge/bridge-nf-call-*tables; do
             test ! -w $file || echo 0 > $file || true
         done",
    )?;
    hook(hub, "up", "ingress", "bridge", "drop")
}

/// Replaces the rules for packets that enter or leave by a device.
fn hook(
    namespace: &Namespace,
    table: &str,
    direction: &str,
    device: &str,
    rules: &str,
) -> Result<(), RigError> {
    let mut script = format!("table netdev {table}\ndelete table netdev {table}\n");
    if !rules.trim().is_empty() {
        script += &format!(
            "table netdev {table} {{
             chain rules {{
             type filter hook {direction} device \"{device}\" priority 0;
             {rules}
             }}
             }}\n"
        );
    }
    namespace.feed("nft", &["-f", "-"], &script)
}
