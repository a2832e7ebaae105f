//! What a link does to packets besides carrying them.

use crate::RigError;
use crate::network::Node;
use crate::space::Space;

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
        let down = rule("meta pkttype { multicast, broadcast }", loss.down, "drop");
        ingress(self.space(), "loss", "eth0", &down)?;
        ingress(self.hub(), &format!("loss{}", self.number()), &self.port(), &rule("", loss.up, "drop"))
    }

    /// Lets no more than this through to the node from now on, behind a queue of 20 milliseconds.
    ///
    /// # Errors
    /// The kernel refuses the rate.
    pub fn limit(&self, rate_kbit: u32) -> Result<(), RigError> {
        let port = self.port();
        // A bucket of a few packets, or of what a millisecond brings.
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
        ingress(self.hub(), &format!("disorder{}", self.number()), &self.port(), &format!("{twice}\n{late}"))
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
pub(crate) fn slow_way(hub: &Space) -> Result<(), RigError> {
    hub.script(
        "ip link add slow type veth peer name late
         ip link set late master bridge up
         ip link set late type bridge_slave learning off flood off mcast_flood off
         ip link set slow up
         tc qdisc add dev slow root tbf rate 4mbit burst 1600 latency 50ms",
    )
}

/// Replaces the rules for what comes in at a device.
fn ingress(space: &Space, table: &str, device: &str, rules: &str) -> Result<(), RigError> {
    let rules = format!(
        "table netdev {table}
         delete table netdev {table}
         table netdev {table} {{
         chain in {{
         type filter hook ingress device \"{device}\" priority 0;
         {rules}
         }}
         }}\n"
    );
    space.feed("nft", &["-f", "-"], &rules)
}
