//! What an echo server counts.

use campanile_engine::udp::DropMeter;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Counters since the start: of one core, or the sum of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct EchoCounts {
    /// What arrived whole.
    pub received: Flow,
    /// What the system accepted to send back.
    pub replied: Flow,
    /// What arrived and was not answered, or did not arrive, by cause.
    pub dropped: Drops,
    /// Questions for these counters, and answers to them. They are received and replied too.
    pub probes: Probes,
    /// Processor time of the workers, in user and in kernel mode; a busy worker updates it every 50 ms. 0 where the system does not
    /// report it.
    pub cpu_ns: u64,
}

/// How often a server was asked for its counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Probes {
    /// Questions, also those that the rules leave without an answer.
    pub asked: u64,
    /// Answers.
    pub answered: u64,
}

/// Traffic in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Flow {
    /// Runs of equal packets that the system handed over in one piece.
    pub trains: u64,
    /// Datagrams.
    pub packets: u64,
    /// Payload bytes of those datagrams.
    pub bytes: u64,
}

/// Packets that went without an answer, by cause. Serialised as a map from the causes' names, without the zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; Cause::ALL.len()]);

/// Why a packet was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// From port 0, where nothing can be sent.
    PortZero,
    /// From a port below 1024: a service's, not a client's.
    LowPort,
    /// From a port that this server listens on, or was told that other echo servers listen on.
    OwnPort,
    /// Sent to a broadcast or multicast address.
    ToMany,
    /// The source address is a group, the broadcast address or no address.
    FromMany,
    /// The same first 16 bytes were sent to the same source less than a second ago.
    Repeated,
    /// Under 16 bytes, and beyond the cap for these.
    Small,
    /// Beyond the limit for its source.
    SourceLimit,
    /// Another server's answer to a probe: nothing is answered twice.
    ProbeAnswer,
    /// The socket's buffer was full; counted where the system reports it.
    Kernel,
    /// Longer than a receive buffer.
    Truncated,
    /// The system refused to send the reply; counted in trains.
    Send,
    /// Arrived while the server was stopping.
    Stopping,
}

impl Cause {
    /// Every cause, in the order of the reports.
    pub const ALL: [Self; 13] = [
        Self::PortZero,
        Self::LowPort,
        Self::OwnPort,
        Self::ToMany,
        Self::FromMany,
        Self::Repeated,
        Self::Small,
        Self::SourceLimit,
        Self::ProbeAnswer,
        Self::Kernel,
        Self::Truncated,
        Self::Send,
        Self::Stopping,
    ];

    /// The name in reports and in the documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PortZero => "port_zero",
            Self::LowPort => "low_port",
            Self::OwnPort => "own_port",
            Self::ToMany => "to_many",
            Self::FromMany => "from_many",
            Self::Repeated => "repeated",
            Self::Small => "small",
            Self::SourceLimit => "source_limit",
            Self::ProbeAnswer => "probe_answer",
            Self::Kernel => "kernel",
            Self::Truncated => "truncated",
            Self::Send => "send",
            Self::Stopping => "stopping",
        }
    }
}

impl EchoCounts {
    /// Words that carry the counters between threads.
    pub(crate) const WORDS: usize = 9 + Cause::ALL.len();

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        let mut words = [0; Self::WORDS];
        let (flows, drops) = words.split_at_mut(9);
        let (received, replied) = (self.received, self.replied);
        flows.copy_from_slice(&[
            received.trains,
            received.packets,
            received.bytes,
            replied.trains,
            replied.packets,
            replied.bytes,
            self.probes.asked,
            self.probes.answered,
            self.cpu_ns,
        ]);
        drops.copy_from_slice(&self.dropped.0);
        words
    }

    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let flow = |at: usize| Flow { trains: words[at], packets: words[at + 1], bytes: words[at + 2] };
        let dropped = Drops(std::array::from_fn(|index| words[9 + index]));
        let probes = Probes { asked: words[6], answered: words[7] };
        Self { received: flow(0), replied: flow(3), dropped, probes, cpu_ns: words[8] }
    }

    /// What was counted between an earlier reading of the same counters and this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let (now, then) = (self.to_words(), earlier.to_words());
        Self::from_words(std::array::from_fn(|index| now[index].saturating_sub(then[index])))
    }

    /// These counters, the sum of all workers', with what the sockets have dropped by now: a worker reads that only when something
    /// arrives, and a worker that shares its socket may never receive again.
    pub(super) fn metered(mut self, meters: &[DropMeter]) -> Self {
        let metered = meters.iter().filter_map(DropMeter::read).sum();
        self.dropped.set(Cause::Kernel, self.dropped.of(Cause::Kernel).max(metered));
        self
    }
}

impl std::iter::Sum for EchoCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        let mut total = [0; Self::WORDS];
        for count in counts {
            total.iter_mut().zip(count.to_words()).for_each(|(sum, word)| *sum += word);
        }
        Self::from_words(total)
    }
}

impl Drops {
    /// The packets dropped for one cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// The packets dropped for any cause.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The causes that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.0).filter(|&(_, count)| count > 0)
    }

    pub(crate) fn add(&mut self, cause: Cause, packets: u64) {
        self.0[cause as usize] += packets;
    }

    pub(crate) fn set(&mut self, cause: Cause, packets: u64) {
        self.0[cause as usize] = packets;
    }
}

impl Serialize for Drops {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (cause, count) in self.iter() {
            map.serialize_entry(cause.name(), &count)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> EchoCounts {
        EchoCounts::from_words(std::array::from_fn(|index| index as u64 + 1))
    }

    #[test]
    fn each_cause_has_its_own_place() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index, "{}", cause.name());
        }
    }

    #[test]
    fn counters_survive_the_way_between_threads() {
        assert_eq!(EchoCounts::from_words(some().to_words()), some());
        assert_eq!(some().replied, Flow { trains: 4, packets: 5, bytes: 6 });
        assert_eq!(some().dropped.of(Cause::PortZero), 10);
        assert_eq!(some().dropped.of(Cause::Stopping), 22);
        assert_eq!((some().probes, some().cpu_ns), (Probes { asked: 7, answered: 8 }, 9));
    }

    #[test]
    fn counters_add_up_and_subtract() {
        let double: EchoCounts = [some(), some()].into_iter().sum();
        assert_eq!(double.since(&some()), some());
        assert_eq!(double.received.packets, 4);
        assert_eq!(some().since(&double), EchoCounts::default());
    }

    #[test]
    fn only_causes_that_occurred_are_listed() {
        let mut drops = Drops::default();
        drops.add(Cause::Repeated, 3);
        drops.add(Cause::Small, 1);
        assert_eq!(drops.iter().collect::<Vec<_>>(), [(Cause::Repeated, 3), (Cause::Small, 1)]);
        assert_eq!(drops.total(), 4);
    }
}
