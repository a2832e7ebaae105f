//! A port for a test.

use std::net::{Ipv4Addr, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A UDP port that nobody has. It is none of those that the system gives out by itself, so it stays free until it is taken.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Processes that run at once begin at places of their own.
        let at = process::id().wrapping_mul(61).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + (at % COUNT) as u16;
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Above what services have, below what Linux (32768) and Windows (49152) give away.
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
