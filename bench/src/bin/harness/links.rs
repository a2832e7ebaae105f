//! How the links of a network handle trains.

use std::error::Error;

use campanile_rig::Network;

use crate::programs::run;

/// Makes every link cut trains into packets, as a wire does, or carry them whole, as a veth does by default.
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
