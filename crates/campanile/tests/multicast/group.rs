//! A group for each test.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use campanile::multicast::Options;

/// Options for a group of its own on loopback.
pub(crate) fn options() -> Options {
    // Ports that nobody has at this moment tell tests apart. On Windows receivers hold the group's, so NAKs have one of their own.
    let [free, unicast] = [(); 2].map(|()| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    let port = |socket: &UdpSocket| socket.local_addr().expect("it is bound").port();
    let mut options = Options::new(SocketAddr::new(Ipv4Addr::new(239, 192, 7, 1).into(), port(&free)));
    options.set("unicast-port", &port(&unicast).to_string()).expect("an option");
    options.set("interface", "127.0.0.1").expect("an option");
    options.set("rate", "200mbit").expect("an option");
    options.set("linger", "1s").expect("an option");
    options
}
