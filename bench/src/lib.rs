//! Campanile's echo server measured beside its peers.
//!
//! Each peer is a program of its own, so that all of them are started, pinned and measured in the same way: `mirror` and `mmsg`
//! are raw system calls at their best, `epoll_echo`, `tokio_echo` and `compio_echo` are straightforward servers. `client` drives
//! all of them with the same packets, and `harness` runs everything in interleaved rounds.
//!
//! This library is what the programs share. It is for Linux only, as the figures are.

pub mod arguments;
pub mod cores;
pub mod feed;
pub mod packet;
pub mod process;
pub mod report;
pub mod socket;
