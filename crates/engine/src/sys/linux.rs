//! Linux: `epoll` and `uring`, and what both need of sockets.

mod control;
mod cpu;
mod doorbell;
mod epoll;
mod ethtool;
mod hangup;
mod message;
mod mode;
mod options;
mod privilege;
mod provided;
mod shard;
mod shortage;
mod storage;
#[cfg(test)]
mod tests;
mod uring;

use std::io;
use std::time::{Duration, Instant};

use super::{address, cmsg};
use crate::config::{Capabilities, Choice, Config, Fallback};
use crate::core::Core;
use crate::slots::SocketId;
use crate::udp::UdpSocket;

pub(crate) use cpu::{allowed_cpus, pin, thread_time, wake_on_time};
pub(crate) use doorbell::Doorbell;
pub(crate) use ethtool::{channels, coalescing, offloads, receive_ring, spreads_by_port};
pub(crate) use hangup::{ignore_hangup, ignores_hangup};
pub(crate) use mode::{mode, set_mode};
pub(crate) use options::{Features, dropped, granted, metered, mtu, prepare, source_membership_v6};
pub(crate) use privilege::drop_raw;
pub(crate) use shard::{bind_alone, bind_group};
pub(crate) use shortage::shortage;
pub(crate) use storage::sync_file_system;

use epoll::Epoll;
use uring::Uring;

/// The numbers of IPv4 and IPv6 in an address.
pub(super) const AF_INET: u16 = libc::AF_INET as u16;
pub(super) const AF_INET6: u16 = libc::AF_INET6 as u16;

/// Bytes that one poll should receive, as far as the last one lets it guess. Received trains are often sent back next, and doing so
/// while they are still in the processor's cache saves more than the fewer system calls of larger batches would.
const BYTES_PER_POLL: usize = 256 * 1024;

/// The backend at work.
#[derive(Debug)]
pub(crate) enum Backend {
    Epoll(Epoll),
    Uring(Box<Uring>),
}

impl Backend {
    pub(crate) fn new(config: &Config, core: &Core) -> io::Result<(Self, Doorbell, Option<Fallback>)> {
        let doorbell = Doorbell::new()?;
        let refused = match config.backend {
            Choice::Auto | Choice::Epoll => None,
            Choice::Uring => match Uring::new(core, &doorbell) {
                Ok(uring) => return Ok((Self::Uring(Box::new(uring)), doorbell, None)),
                Err(refusal) => Some((Choice::Uring, refusal.to_string())),
            },
            Choice::Iocp => Some((Choice::Iocp, "completion ports are a part of Windows".to_owned())),
        };
        let fallback = refused.map(|(refused, reason)| Fallback { refused, reason });
        Ok((Self::Epoll(Epoll::new(&doorbell)?), doorbell, fallback))
    }

    pub(crate) fn choice(&self) -> Choice {
        match self {
            Self::Epoll(_) => Choice::Epoll,
            Self::Uring(_) => Choice::Uring,
        }
    }

    /// Finds out what this system can do.
    pub(crate) fn capabilities(&self) -> io::Result<Capabilities> {
        let features = options::probe()?;
        Ok(Capabilities {
            receive_trains: features.receive_trains,
            segments: features.segments,
            timestamps: true,
            drop_counter: features.drop_counter,
            send_options: true,
            router_alert: true,
            fine_deadlines: match self {
                Self::Epoll(epoll) => epoll.is_fine(),
                Self::Uring(_) => true,
            },
        })
    }

    pub(crate) fn add(&mut self, core: &mut Core, socket: UdpSocket) -> io::Result<SocketId> {
        match self {
            Self::Epoll(epoll) => epoll.add(socket),
            Self::Uring(uring) => uring.add(core, socket),
        }
    }

    pub(crate) fn close(&mut self, core: &mut Core, socket: SocketId) {
        match self {
            Self::Epoll(epoll) => epoll.close(core, socket),
            Self::Uring(uring) => uring.close(core, socket),
        }
    }

    pub(crate) fn socket(&self, socket: SocketId) -> Option<&UdpSocket> {
        match self {
            Self::Epoll(epoll) => epoll.socket(socket),
            Self::Uring(uring) => uring.socket(socket),
        }
    }

    /// Receive buffers that wait for data.
    pub(crate) fn lent(&self) -> usize {
        match self {
            Self::Epoll(epoll) => epoll.lent(),
            Self::Uring(uring) => uring.lent(),
        }
    }

    /// Sends, waits, collects; returns whether the doorbell rang.
    pub(crate) fn poll(
        &mut self,
        core: &mut Core,
        deadline: Option<Instant>,
        doorbell: &Doorbell,
    ) -> io::Result<bool> {
        match self {
            Self::Epoll(epoll) => epoll.poll(core, deadline),
            Self::Uring(uring) => {
                let rang = uring.poll(core, deadline)?;
                if rang {
                    doorbell.silence();
                }
                Ok(rang)
            }
        }
    }
}

/// How long to wait, as the kernel takes it.
fn timespec(wait: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(wait.subsec_nanos() as i32),
    }
}

/// The number that a system call returned, or the error it left.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
