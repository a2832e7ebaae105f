//! What the processors of this machine have done.

use super::text;

/// Times of the processors since they were started, each and all together (proc(5), `/proc/stat`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Processors(Vec<(Option<usize>, Times)>);

/// Times of one processor, or of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    /// At work, interrupts included.
    pub(crate) busy_ns: u64,
    /// In hardware interrupts; 0 if the kernel does not time them.
    pub(crate) irq_ns: u64,
    /// In software interrupts.
    pub(crate) softirq_ns: u64,
    /// Given to other machines by the hypervisor.
    pub(crate) steal_ns: u64,
    /// At work or not.
    pub(crate) all_ns: u64,
}

impl Processors {
    /// Reads them; empty where the system does not report them.
    pub(crate) fn read() -> Self {
        text::read("/proc/stat").map_or_else(Self::default, |stat| Self::parse(&stat))
    }

    pub(crate) fn parse(stat: &str) -> Self {
        let processor = |line: &str| {
            let (name, times) = line.strip_prefix("cpu")?.split_once(' ')?;
            let number = if name.is_empty() { None } else { Some(name.parse().ok()?) };
            Some((number, Times::parse(times)?))
        };
        Self(stat.lines().filter_map(processor).collect())
    }

    /// All of them together.
    pub(crate) fn all(&self) -> Option<Times> {
        self.of(None)
    }

    /// What each of them did since an earlier reading.
    pub(crate) fn each_since(&self, earlier: &Self) -> impl Iterator<Item = (usize, Times)> {
        self.0.iter().filter_map(|(number, times)| {
            let earlier = earlier.of(*number)?;
            Some(((*number)?, times.since(earlier)))
        })
    }

    /// The one of `numbers` that was busiest since an earlier reading, and how busy it was, in percent.
    pub(crate) fn busiest(&self, earlier: &Self, numbers: &[usize]) -> Option<(usize, f64)> {
        let asked = self.each_since(earlier).filter(|(number, _)| numbers.contains(number));
        let busy = asked.map(|(number, times)| (number, times.percent(times.busy_ns)));
        busy.max_by(|one, other| one.1.total_cmp(&other.1))
    }

    fn of(&self, number: Option<usize>) -> Option<Times> {
        self.0.iter().find(|(name, _)| *name == number).map(|(_, times)| *times)
    }
}

impl Times {
    /// User, nice, system, idle, iowait, irq, softirq, steal, in hundredths of a second.
    fn parse(text: &str) -> Option<Self> {
        let ticks: Vec<u64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let &[user, nice, system, idle, iowait, irq, softirq, steal, ..] = &ticks[..] else { return None };
        let ns = |ticks: &[u64]| {
            let sum = ticks.iter().fold(0_u64, |sum, &ticks| sum.saturating_add(ticks));
            sum.saturating_mul(TICK_NS)
        };
        Some(Self {
            busy_ns: ns(&[user, nice, system, irq, softirq]),
            irq_ns: ns(&[irq]),
            softirq_ns: ns(&[softirq]),
            steal_ns: ns(&[steal]),
            all_ns: ns(&[user, nice, system, idle, iowait, irq, softirq, steal]),
        })
    }

    /// A part of these times as a share of all, in percent.
    pub(crate) fn percent(&self, part_ns: u64) -> f64 {
        part_ns as f64 * 100.0 / self.all_ns.max(1) as f64
    }

    /// The time between an earlier reading and this one.
    pub(crate) fn since(&self, earlier: Self) -> Self {
        Self {
            busy_ns: self.busy_ns.saturating_sub(earlier.busy_ns),
            irq_ns: self.irq_ns.saturating_sub(earlier.irq_ns),
            softirq_ns: self.softirq_ns.saturating_sub(earlier.softirq_ns),
            steal_ns: self.steal_ns.saturating_sub(earlier.steal_ns),
            all_ns: self.all_ns.saturating_sub(earlier.all_ns),
        }
    }
}

/// Linux reports these times in hundredths of a second (`USER_HZ`) on every processor family that this is built for.
const TICK_NS: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  2 4 6 2000 10 12 14 16 0 0\ncpu0 1 2 3 1000 5 6 7 8 0 0\ncpu11 1 2 3 1000 5 6 7 8 0 0\nintr 9\n";

    #[test]
    fn each_processor_and_all_have_their_times() {
        let ticks = |count| count * TICK_NS;
        let one = Times {
            busy_ns: ticks(19),
            irq_ns: ticks(6),
            softirq_ns: ticks(7),
            steal_ns: ticks(8),
            all_ns: ticks(1032),
        };
        let processors = Processors::parse(STAT);
        assert_eq!(
            (processors.of(Some(0)), processors.of(Some(11)), processors.of(Some(1))),
            (Some(one), Some(one), None)
        );
        assert_eq!(processors.all().map(|times| times.all_ns), Some(ticks(2064)));
        assert_eq!(Processors::parse("no such line").all(), None);
    }

    #[test]
    fn the_busiest_is_one_of_those_that_are_asked_for() {
        let before = Processors::parse(STAT);
        let after = "cpu0 1 2 93 1010 5 6 7 8 0 0\ncpu11 1 2 33 1070 5 6 7 8 0 0\n";
        let after = Processors::parse(after);
        assert_eq!(after.busiest(&before, &[0, 11]), Some((0, 90.0)));
        assert_eq!(after.busiest(&before, &[11, 4]), Some((11, 30.0)));
        assert_eq!(after.busiest(&before, &[4]), None);
    }
}
