//! What a link does to packets besides carrying them.

use std::sync::atomic::Ordering;

use crate::RigError;
use crate::namespace::Namespace;
use crate::network::Node;

/// How much a link loses, in thousandths of its UDP and PGM packets: each one for itself, drawn by the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Of what goes to the node, by multicast.
    pub down: u32,
    /// Of what comes from the node, by unicast as well.
    pub up: u32,
}

/// How many of the packets from a node take the slow way, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disorder {
    /// They come late, behind packets that were sent after them.
    pub late: u32,
    /// They come in time, and once more late.
    pub twice: u32,
}

impl Node {
    /// Sets what the node's link loses from now on.
    ///
    /// # Errors
    /// The kernel refuses the rule.
    pub fn lose(&self, loss: Loss) -> Result<(), RigError> {
        let (port, number) = (self.port(), self.number());
        let down = rule("meta pkttype { multicast, broadcast }", loss.down, "drop");
        // A device that merges shows a whole train to its ingress hook, where one loss would take all of it: there packets are dropped before.
        let merges = self.merges.load(Ordering::Relaxed);
        let (on_the_way, on_arrival) = if merges { (down, String::new()) } else { (String::new(), down) };
        hook(self.hub(), &format!("way{number}"), "egress", &port, &on_the_way)?;
        hook(self.namespace(), "loss", "ingress", "eth0", &on_arrival)?;
        hook(self.hub(), &format!("loss{number}"), "ingress", &port, &rule("", loss.up, "drop"))
    }

    /// Turns merging on or off: the node's device merges datagrams that arrive in a row (GRO), as the driver of nearly every network card
    /// does, and a veth does not by itself. The link loses nothing from now on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn merge(&self, is_merging: bool) -> Result<(), RigError> {
        self.lose(Loss::default())?;
        // A veth takes for a merged one what comes from a device that takes trains of TCP whole.
        let (gro, tso) = if is_merging { ("on", "off") } else { ("off", "on") };
        self.namespace().script(&format!("ethtool -K eth0 gro {gro}"))?;
        self.hub().script(&format!("ethtool -K {} tso {tso}", self.port()))?;
        self.merges.store(is_merging, Ordering::Relaxed);
        Ok(())
    }

    /// Lets no more than `rate_kbit`, in kbit/s, through to the node from now on; a queue holds what 20 milliseconds let through.
    ///
    /// # Errors
    /// The kernel refuses the rate.
    pub fn limit(&self, rate_kbit: u32) -> Result<(), RigError> {
        let port = self.port();
        // In bytes: what a millisecond brings, and four packets at least.
        let burst = (rate_kbit / 8).max(6000);
        self.hub().script(&format!(
            "tc qdisc replace dev {port} root tbf rate {rate_kbit}kbit burst {burst} latency 20ms"
        ))
    }

    /// Sets how many of the packets from the node are delayed by a few milliseconds from now on, or come twice.
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

/// A rule for some of the packets of UDP and PGM; none at all for none of them.
fn rule(matches: &str, thousandths: u32, verdict: &str) -> String {
    let some = match thousandths {
        0 => return String::new(),
        1000.. => String::new(),
        share => format!("numgen random mod 1000 < {share}"),
    };
    format!("meta l4proto {{ 17, 113 }} {matches} {some} counter {verdict}")
}

/// The slow way: a pair of devices with a queue in front of it, and the bridge behind it. The bridge does not learn from what comes
/// that way, or it would send the answers there.
pub(crate) fn slow_way(hub: &Namespace) -> Result<(), RigError> {
    hub.script(
        "ip link add slow type veth peer name late
         ip link set late master bridge up
         ip link set late type bridge_slave learning off flood off mcast_flood off
         ip link set slow up
         tc qdisc add dev slow root tbf rate 4mbit burst 1600 latency 50ms",
    )
}

/// Makes the bridge a mere switch: no firewall rules of the IP layer see what it forwards, and nothing reaches the hub's own IP layer.
pub(crate) fn switch(hub: &Namespace) -> Result<(), RigError> {
    // The files are there where the kernel can apply such rules: switching that off saves time, and changes nothing else.
    hub.script(
        "for file in /proc/sys/net/bridge/bridge-nf-call-*tables; do
             test ! -w $file || echo 0 > $file || true
         done",
    )?;
    hook(hub, "up", "ingress", "bridge", "drop")
}

/// Replaces the rules for what comes in at a device or leaves by it.
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
