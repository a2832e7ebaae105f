//! The backend switch: one folder for each system, the same names in each.

mod address;
mod cmsg;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux::{AF_INET, AF_INET6};
#[cfg(windows)]
use windows::{AF_INET, AF_INET6};

#[cfg(target_os = "linux")]
pub(crate) use linux::{
    Backend, Doorbell, Features, allowed_cpus, bind_alone, bind_group, channels, coalescing, drop_raw,
    dropped, granted, ignore_hangup, ignores_hangup, metered, mode, mtu, offloads, pin, prepare,
    receive_ring, set_mode, shortage, source_membership_v6, spreads_by_port, sync_file_system, thread_time,
    wake_on_time,
};
#[cfg(windows)]
pub(crate) use windows::{
    Backend, Doorbell, Features, allowed_cpus, bind_alone, bind_group, channels, coalescing, drop_raw,
    dropped, granted, ignore_hangup, ignores_hangup, metered, mode, mtu, offloads, pin, prepare,
    receive_ring, set_mode, shortage, source_membership_v6, spreads_by_port, sync_file_system, thread_time,
    wake_on_time,
};
