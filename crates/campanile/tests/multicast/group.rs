//! A group for each test.

use std::net::{Ipv4Addr, SocketAddr};

use campanile::multicast::Options;
use campanile_rig::free_port;

/// Options for a group of its own on loopback.
pub(crate) fn options() -> Options {
    // Ports tell tests apart. On Windows receivers hold the group's, so NAKs have one of their own.
    let mut options = Options::new(SocketAddr::new(Ipv4Addr::new(239, 192, 7, 1).into(), free_port()));
    options.set("unicast-port", &free_port().to_string()).expect("an option");
    options.set("interface", "127.0.0.1").expect("an option");
    options.set("rate", "200mbit").expect("an option");
    // What is lost on purpose is the same in each run, and none of the first packets: a receiver that hears nothing of the beginning
    // of a session for as long as it waits for its history begins behind it.
    options.set("inject-seed", SEEDS[0]).expect("an option");
    // Repair goes on until all was heard, however long that takes here.
    options.set("linger", "600s").expect("an option");
    options
}

/// A group in which a tenth is lost, and sent again.
pub(crate) fn lossy() -> Options {
    let mut options = options();
    options.set("inject-loss", "10%").expect("an option");
    options.set("fec", "off").expect("an option");
    options
}

/// With these, 20 % or less lost on purpose leave the first eight packets alone.
const SEEDS: [&str; 3] = ["1", "2", "4"];

/// The options of one of a few receivers, which lose different packets on purpose.
pub(crate) fn apart(options: &Options, number: usize) -> Options {
    let mut options = options.clone();
    options.set("inject-seed", SEEDS[number % SEEDS.len()]).expect("an option");
    options
}
