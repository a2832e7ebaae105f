//! The oracle of joining: delivery begins exactly as far back as the source's OPT_JOIN allows (RFC 3208 §9.4).

use std::time::Duration;

use campanile_pgm::receiver::{Consumer, JoinWish, ReceiverConfig};
use campanile_pgm::source::{Join, SourceConfig, WindowSize};

use super::options::group_len;
use crate::Time;

/// The share of its window that a source lets late joiners ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    join: Join,
    /// How many packets its window holds.
    capacity: u64,
    /// The number of packets in a transmission group, which is asked for as a whole; 1 without parity.
    group: u32,
}

impl Share {
    pub(crate) fn of(config: &SourceConfig) -> Self {
        let group = group_len(config);
        let tsdu_len = config.tsdu_len().unwrap_or(1) as u64;
        let capacity = match config.window.size {
            WindowSize::Packets(packets) => packets.into(),
            WindowSize::Bytes(bytes) => bytes / tsdu_len,
            WindowSize::Time(time) => {
                (u128::from(config.pace.bytes_per_second) * time.as_nanos() / 1_000_000_000) as u64 / tsdu_len
            }
        };
        Self { join: config.window.join, capacity: capacity.max(2 * u64::from(group)), group }
    }

    /// The first packet that may be asked for when the window goes from `trail` to `lead`; `None` when none may.
    fn from(&self, trail: u32, lead: u32) -> Option<u32> {
        let share = match self.join {
            Join::None => return None,
            Join::All => return Some(trail),
            Join::Share(percent) => self.capacity * u64::from(percent.min(100)) / 100,
        };
        let end = lead.wrapping_add(1);
        let begin = end.wrapping_sub(share as u32);
        Some(later(begin / self.group * self.group, trail))
    }
}

/// What a receiver has heard of a session before delivery begins.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    share: Share,
    /// How long it waits for an SPM that says how far back it may begin; `None` when it does not wait.
    wait: Option<Duration>,
    /// How many packets it can go back, where it delivers in order.
    packets_most: Option<u32>,
    heard: Option<Heard>,
    has_begun: bool,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    /// The first sequence number: of data, or the one after an SPM's lead.
    first: u32,
    /// When the first data arrived.
    data_at: Option<Time>,
    /// Whether the packets before `first` were given up before an SPM came.
    is_gone: bool,
    /// Trail and lead of the first SPM, and when it arrived.
    spm: Option<(u32, u32, Time)>,
}

impl Joining {
    pub(crate) fn new(share: Share, config: &ReceiverConfig) -> Self {
        let wait = match config.join {
            JoinWish::History { wait } => Some(wait),
            JoinWish::Recent => None,
        };
        let packets_most =
            matches!(config.consumer, Consumer::Ordered { .. }).then_some(config.limits.packets);
        Self { share, wait, packets_most, heard: None, has_begun: false }
    }

    /// Records a packet of the session.
    pub(crate) fn note(&mut self, now: Time, packet: &[u8]) {
        let &[_, _, _, _, kind, flags, ..] = packet else { return };
        if self.has_begun {
            return;
        }
        let fields =
            [16, 20, 24].map(|at| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?)));
        let (Some(sqn), Some(trail)) = (fields[0], fields[1]) else { return };
        // The trail is in the same place in SPMs and data.
        match (kind, fields[2]) {
            (SPM, Some(lead)) => {
                let heard = self.heard.get_or_insert(Heard::new(lead.wrapping_add(1)));
                heard.spm.get_or_insert((trail, lead, now));
            }
            (ODATA | RDATA, _) => {
                if self.heard.is_none() && kind == ODATA && flags & PARITY == 0 {
                    self.heard = Some(Heard::new(sqn));
                }
                let Some(heard) = &mut self.heard else { return };
                heard.data_at.get_or_insert(now);
                heard.is_gone |= heard.spm.is_none() && is_later(trail, heard.first);
            }
            _ => {}
        }
    }

    /// The session is over: packets from now on belong to a new one.
    pub(crate) fn forget(&mut self) {
        self.heard = None;
        self.has_begun = false;
    }

    /// Whether delivery may begin now, with this packet.
    pub(crate) fn begin(&mut self, now: Time, first: u32) -> bool {
        self.has_begun = true;
        let Some(heard) = self.heard else { return false };
        let Some(wait) = self.wait else { return first == heard.first };
        // An SPM that arrives just when the wait for it ends may be too late or in time.
        let may_be_late = |at: Time| heard.data_at.is_some_and(|data_at| at >= data_at + wait);
        match heard.spm {
            None => may_be_late(now) && first == heard.first,
            Some((trail, lead, at)) => {
                let reached =
                    if heard.is_gone { heard.first } else { self.reaches(heard.first, trail, lead) };
                first == reached || may_be_late(at) && first == heard.first
            }
        }
    }

    /// The packet with which a receiver begins after an SPM with this trail and lead.
    fn reaches(&self, heard_first: u32, trail: u32, lead: u32) -> u32 {
        let Some(mut first) = self.share.from(trail, lead) else { return heard_first };
        let end = lead.wrapping_add(1);
        if let Some(most) = self.packets_most {
            // It begins with a whole group: a number in the middle of one may be one that a short group left out.
            let group = self.share.group;
            let bounded = later(first, end.wrapping_sub(most));
            let begun = bounded / group * group;
            first = if begun == bounded { bounded } else { earlier(begun.wrapping_add(group), end) };
        }
        earlier(first, heard_first)
    }
}

impl Heard {
    fn new(first: u32) -> Self {
        Self { first, data_at: None, is_gone: false, spm: None }
    }
}

fn is_later(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}

fn later(one: u32, other: u32) -> u32 {
    if is_later(one, other) { one } else { other }
}

fn earlier(one: u32, other: u32) -> u32 {
    if is_later(one, other) { other } else { one }
}

/// Types of packets and a flag (RFC 3208 §8), independent of the machines' code.
const SPM: u8 = 0x00;
const ODATA: u8 = 0x04;
const RDATA: u8 = 0x05;
const PARITY: u8 = 0x80;
