//! What is measured: the servers, the loads, and the targets.

use std::fmt;

use crate::bound::Bound;

/// A server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    CampanileEpoll,
    CampanileUring,
    Mirror,
    Mmsg,
    MmsgEpoll,
    EpollEcho,
    Sockperf,
    Tokio,
    Compio,
    /// The row's reference again: the deviation of its ratio from 1 shows how accurate the other ratios are.
    Again,
}

use Contestant::{
    Again, CampanileEpoll, CampanileUring, Compio, EpollEcho, Mirror, Mmsg, MmsgEpoll, Sockperf, Tokio,
};

impl Contestant {
    const NAMED: [Self; 9] =
        [CampanileEpoll, CampanileUring, Mirror, Mmsg, MmsgEpoll, EpollEcho, Sockperf, Tokio, Compio];

    /// The name on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            CampanileEpoll => "campanile-epoll",
            CampanileUring => "campanile-uring",
            Mirror => "mirror",
            Mmsg => "mmsg",
            MmsgEpoll => "mmsg-epoll",
            EpollEcho => "epoll-echo",
            Sockperf => "sockperf",
            Tokio => "tokio",
            Compio => "compio",
            Again => "the same again",
        }
    }

    pub(crate) fn find(name: &str) -> Result<Self, String> {
        Self::NAMED.into_iter().find(|contestant| contestant.name() == name).ok_or_else(|| {
            let names = Self::NAMED.map(Self::name).join(", ");
            format!("'{name}' is no server: {names}")
        })
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A row of the plan.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row {
    /// Servers beside each other under one load.
    Load(&'static LoadRow),
    /// The memory of campanile with two cores.
    Memory,
}

impl Row {
    pub(crate) fn load(&self) -> Option<&'static LoadRow> {
        match self {
            Self::Load(row) => Some(row),
            Self::Memory => None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Load(row) => row.name,
            Self::Memory => "memory",
        }
    }
}

/// Servers beside each other under one load.
#[derive(Debug)]
pub(crate) struct LoadRow {
    pub(crate) name: &'static str,
    /// What is measured, in words.
    pub(crate) title: &'static str,
    pub(crate) load: Load,
    pub(crate) metric: Metric,
    /// The reference: all others are shown as ratios to it.
    pub(crate) reference: Contestant,
    pub(crate) contestants: &'static [Contestant],
    pub(crate) targets: &'static [Target],
}

impl LoadRow {
    /// The server that is run for a contestant.
    pub(crate) fn server(&self, contestant: Contestant) -> Contestant {
        if contestant == Again { self.reference } else { contestant }
    }
}

/// What the client does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// A closed loop of trains, with this many datagrams in flight.
    Flood { size: usize, segments: usize, window: usize },
    /// Single datagrams at even intervals, `rate` per second.
    Paced { size: usize, rate: u64 },
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    PacketsPerSecond,
    ServerTimePerPacket,
    RoundTripMedian,
}

impl Metric {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::PacketsPerSecond => "packets/s",
            Self::ServerTimePerPacket => "ns of server CPU a packet",
            Self::RoundTripMedian => "ns p50",
        }
    }
}

/// A target for a ratio.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) ours: Contestant,
    pub(crate) peer: Contestant,
    pub(crate) bound: Bound,
}

/// The most memory that campanile may hold with two cores at the defaults, in MiB.
pub(crate) const MEMORY_BOUND: Bound = Bound::AtMost(32.0);

const fn at_least(ours: Contestant, peer: Contestant, bound: f64) -> Target {
    Target { ours, peer, bound: Bound::AtLeast(bound) }
}

const fn at_most(ours: Contestant, peer: Contestant, bound: f64) -> Target {
    Target { ours, peer, bound: Bound::AtMost(bound) }
}

const TRAIN_TARGETS: &[Target] = &[
    at_least(CampanileEpoll, Mirror, 0.95),
    at_least(CampanileUring, Mirror, 0.95),
    at_least(CampanileEpoll, Sockperf, 10.0),
    at_least(CampanileUring, Sockperf, 10.0),
];

const TRAIN_CONTESTANTS: &[Contestant] =
    &[Mirror, CampanileEpoll, CampanileUring, Again, Sockperf, Mmsg, Tokio, Compio];

pub(crate) const ROWS: [Row; 6] = [
    Row::Load(&LoadRow {
        name: "train-64",
        title: "Echo of trains, 64 datagrams of 64 B",
        load: Load::Flood { size: 64, segments: 64, window: 8 * 64 },
        metric: Metric::PacketsPerSecond,
        reference: Mirror,
        contestants: TRAIN_CONTESTANTS,
        targets: TRAIN_TARGETS,
    }),
    Row::Load(&LoadRow {
        name: "train-1400",
        title: "Echo of trains, 46 datagrams of 1400 B",
        load: Load::Flood { size: 1400, segments: 46, window: 8 * 46 },
        metric: Metric::PacketsPerSecond,
        reference: Mirror,
        contestants: TRAIN_CONTESTANTS,
        targets: TRAIN_TARGETS,
    }),
    Row::Load(&LoadRow {
        name: "single-64",
        title: "Echo of single datagrams of 64 B",
        load: Load::Flood { size: 64, segments: 1, window: 64 },
        metric: Metric::PacketsPerSecond,
        reference: Mmsg,
        contestants: &[Mmsg, CampanileEpoll, CampanileUring, Again, Sockperf, Tokio, Compio, EpollEcho],
        targets: &[
            at_least(CampanileEpoll, Sockperf, 1.0),
            at_least(CampanileEpoll, Tokio, 1.0),
            at_least(CampanileEpoll, Compio, 1.0),
            at_least(CampanileUring, Sockperf, 1.0),
            at_least(CampanileUring, Tokio, 1.0),
            at_least(CampanileUring, Compio, 1.0),
        ],
    }),
    Row::Load(&LoadRow {
        name: "cpu-64",
        title: "Server CPU, single datagrams of 64 B at 50,000 a second",
        load: Load::Paced { size: 64, rate: 50_000 },
        metric: Metric::ServerTimePerPacket,
        reference: Mmsg,
        contestants: &[Mmsg, CampanileEpoll, CampanileUring, Again, MmsgEpoll, Sockperf, Tokio, Compio],
        targets: &[at_most(CampanileEpoll, Mmsg, 1.03), at_most(CampanileUring, Mmsg, 1.08)],
    }),
    Row::Load(&LoadRow {
        name: "ping-64",
        title: "Round trip, single datagrams of 64 B at 1,000 a second",
        load: Load::Paced { size: 64, rate: 1000 },
        metric: Metric::RoundTripMedian,
        reference: EpollEcho,
        contestants: &[EpollEcho, CampanileEpoll, CampanileUring, Again, Mmsg, Tokio, Compio],
        targets: &[at_most(CampanileEpoll, EpollEcho, 1.03), at_most(CampanileUring, EpollEcho, 1.03)],
    }),
    Row::Memory,
];

/// All rows, or the one of this name.
pub(crate) fn select(name: Option<&str>) -> Result<Vec<Row>, String> {
    let Some(name) = name else { return Ok(ROWS.to_vec()) };
    let row = ROWS.iter().find(|row| row.name() == name);
    row.map(|row| vec![*row]).ok_or_else(|| {
        let names = ROWS.map(|row| row.name()).join(", ");
        format!("'{name}' is no row: {names}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_measures_what_its_targets_compare() {
        for row in ROWS.iter().filter_map(Row::load) {
            assert!(row.contestants.contains(&row.reference), "{}", row.name);
            for target in row.targets {
                assert!(row.contestants.contains(&target.ours), "{}", row.name);
                assert!(row.contestants.contains(&target.peer), "{}", row.name);
            }
        }
    }

    #[test]
    fn names_find_what_they_name() {
        for contestant in Contestant::NAMED {
            assert_eq!(Contestant::find(contestant.name()), Ok(contestant));
        }
        assert!(Contestant::find("netcat").is_err());
        assert_eq!(select(None).map(|rows| rows.len()), Ok(ROWS.len()));
        assert_eq!(select(Some("memory")).map(|rows| rows.len()), Ok(1));
        assert!(select(Some("train-65")).is_err());
    }
}
