//! What the links of a network do to trains.

use std::error::Error;

use campanile_rig::Network;

use crate::programs::run;

/// Has every link cut trains into packets, as a wire does, or take them whole, as a veth comes.
pub(crate) fn cut_trains(network: &Network, is_cut: bool) -> Result<(), Box<dyn Error>> {
    let whole = if is_cut { "off" } else { "on" };
    for node in network.nodes() {
        let port = format!("port{}", node.number());
        for (mut command, device) in
            [(node.command("ethtool"), "eth0"), (network.command("ethtool"), port.as_str())]
        {
            run(command.args(["-K", device, "tx-udp-segmentation", whole]))?;
        }
    }
    Ok(())
}
