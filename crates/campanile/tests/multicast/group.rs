//! A group for each test.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use campanile::multicast::Options;

/// Options for a group of its own on loopback.
pub(crate) fn options() -> Options {
    // A port that nobody has at this moment tells tests apart.
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let free = free.expect("a free port").port();
    let mut options = Options::new(SocketAddr::new(Ipv4Addr::new(239, 192, 7, 1).into(), free));
    options.set("interface", "127.0.0.1").expect("an option");
    options.set("rate", "200mbit").expect("an option");
    options.set("linger", "1s").expect("an option");
    options
}
