//! The report as people read it.

use std::fmt;

use campanile::load::{Latency, LoadReport, OddReplies, Rates, Reordered};

use crate::figures::{BitRate, Count, Span};

/// What one run measured.
pub(crate) struct Summary<'a>(pub(crate) &'a LoadReport);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadReport { sent, received, lost, lost_percent, odd, reordered, .. } = self.0;
        writeln!(f, "sent        {}", Direction(sent))?;
        writeln!(f, "received    {}", Direction(received))?;
        write!(f, "lost        {} packets, {lost_percent:.3} %", Count(*lost))?;
        let latencies =
            [("from due", self.0.from_due), ("round trip", self.0.round_trip), ("send lag", self.0.send_lag)];
        for (name, latency) in latencies.into_iter().filter_map(|(name, latency)| Some((name, latency?))) {
            write!(f, "\n{name:<11} {}", Percentiles(latency))?;
        }
        let OddReplies { late, duplicate, foreign } = *odd;
        if *odd != OddReplies::default() {
            let (late, duplicate, foreign) = (Count(late), Count(duplicate), Count(foreign));
            write!(f, "\nother       {late} late, {duplicate} duplicate, {foreign} foreign replies")?;
        }
        if reordered.replies > 0 {
            write!(f, "\nreordered   {}", Order(reordered))?;
        }
        if self.0.train > 1 {
            write!(f, "\ntrains      of {} packets; {}", self.0.train, self.of_trains())?;
        }
        for reason in &self.0.spoiled {
            write!(f, "\nINVALID     {reason}")?;
        }
        Ok(())
    }
}

impl Summary<'_> {
    /// What is to be thought of figures got with trains.
    fn of_trains(&self) -> &'static str {
        if self.0.environment.loopback {
            "loopback never cuts them, so these figures are no promise about a wire"
        } else {
            "do not compare these figures with those of single packets"
        }
    }
}

struct Direction<'a>(&'a Rates);

impl fmt::Display for Direction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rates { packets, packets_per_second, bits_per_second, .. } = *self.0;
        let (rate, bits) = (Count::rounded(packets_per_second), BitRate(bits_per_second));
        write!(f, "{} packets, {rate} packets/s, {bits}", Count(packets))
    }
}

struct Percentiles(Latency);

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { min_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns, .. } = self.0;
        let named = [
            ("min", min_ns),
            ("p50", p50_ns),
            ("p90", p90_ns),
            ("p99", p99_ns),
            ("p99.9", p99_9_ns),
            ("max", max_ns),
        ];
        let texts = named.map(|(name, ns)| format!("{name} {}", Span::from_ns(ns)));
        f.write_str(&texts.join(", "))
    }
}

struct Order<'a>(&'a Reordered);

impl fmt::Display for Order<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reordered { replies, distance_max, by_distance } = self.0;
        write!(f, "{} replies, by distance:", Count(*replies))?;
        let mut separator = "";
        for (class, count) in by_distance.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let (low, high) = (1_u64 << class, (2_u64 << class) - 1);
            match class + 1 {
                1 => write!(f, "{separator} 1: {}", Count(*count))?,
                Reordered::CLASSES => write!(f, "{separator} {low} and more: {}", Count(*count))?,
                _ => write!(f, "{separator} {low}-{high}: {}", Count(*count))?,
            }
            separator = ",";
        }
        write!(f, " (at most {})", Count(*distance_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile::load::Spoiled;

    #[test]
    fn percentiles_stand_in_their_order() {
        let latency = Latency {
            min_ns: 10_000,
            mean_ns: 20_000,
            p50_ns: 19_000,
            p90_ns: 30_000,
            p99_ns: 400_000,
            p99_9_ns: 1_500_000,
            max_ns: 3_000_000,
        };
        let expected = "min 10.0 µs, p50 19.0 µs, p90 30.0 µs, p99 400.0 µs, p99.9 1.5 ms, max 3.0 ms";
        assert_eq!(Percentiles(latency).to_string(), expected);
    }

    #[test]
    fn order_is_told_by_classes_of_distance() {
        let reordered = Reordered { replies: 9, distance_max: 300, by_distance: [4, 3, 0, 0, 0, 0, 0, 2] };
        let expected = "9 replies, by distance: 1: 4, 2-3: 3, 128 and more: 2 (at most 300)";
        assert_eq!(Order(&reordered).to_string(), expected);
    }

    #[test]
    fn reasons_are_sentences() {
        let text = Spoiled::Rate { asked: 2000.0, achieved: 10.0 }.to_string();
        assert_eq!(text, "this client sent 10 packets/s of the 2000 asked for");
    }
}
