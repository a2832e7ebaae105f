//! A port for a test.

use std::net::{Ipv4Addr, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A UDP port that is not in use. It is outside the range of ephemeral ports, so it stays free until the test takes it.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Processes that run at the same time begin at different ports.
        let at = process::id().wrapping_mul(61).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + (at % COUNT) as u16;
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Above the ports of services, below the ephemeral ports of Linux (from 32768) and Windows (from 49152).
const FIRST: u16 = 10_000;
const COUNT: u32 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_not_given_again() {
        let first = free_port();
        let _taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, first)).expect("it is free");
        assert_ne!(first, free_port());
    }
}
