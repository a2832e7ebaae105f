//! The report as text.

use std::fmt;

use campanile::load::{
    Latency, LoadReport, OddReplies, PacketAccount, Place, Rates, Reordered, ServerKind, Spoiled,
};

use super::verdict::payload_percent;
use crate::figures::{BitRate, Count, Span, Things};

/// What one run measured.
pub(crate) struct Summary<'a>(pub(crate) &'a LoadReport);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadReport { sent, received, lost, lost_percent, odd, reordered, .. } = self.0;
        writeln!(f, "sent        {}", Direction(sent))?;
        writeln!(f, "received    {}", Direction(received))?;
        write!(f, "lost        {}, {lost_percent:.3} %", Things(*lost, "packet"))?;
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
        write!(f, "\nserver      {}", Server(self.0))?;
        write!(f, "\n{}", Costs(self.0))?;
        write!(f, "\n{}", Account(&self.0.account))?;
        for reason in &self.0.spoiled {
            write!(f, "\nINVALID     {}", Reason(reason))?;
        }
        Ok(())
    }
}

impl Summary<'_> {
    /// How to judge figures that were measured with trains.
    fn of_trains(&self) -> &'static str {
        if self.0.environment.loopback {
            "loopback never cuts them, so these figures are no promise about a wire"
        } else {
            "do not compare these figures with those of single packets"
        }
    }
}

/// What is known of the server.
struct Server<'a>(&'a LoadReport);

impl fmt::Display for Server<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(server) = &self.0.server else {
            return f.write_str(match self.0.server_kind {
                ServerKind::Campanile => "gave no account at the end",
                ServerKind::Mirror => "keeps no account: a mirror of another kind",
                ServerKind::Silent => "does not answer questions for its account",
                ServerKind::NotAsked => "was not asked for its account",
            });
        };
        let (busy, each) = (server.busy_percent, Count::rounded(server.cpu_ns_per_packet));
        let threads = Things(server.workers, "thread");
        write!(f, "{threads}, {busy:.0} % busy, {each} ns a packet; ")?;
        match (server.lost_up, server.lost_down) {
            (Some(up), Some(down)) => write!(f, "lost on the way there {}, back {}", Count(up), Count(down)),
            _ => f.write_str("others used it too, so the loss cannot be split"),
        }
    }
}

/// The client's processor time, and the share of the headers.
struct Costs<'a>(&'a LoadReport);

impl fmt::Display for Costs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = &self.0.cost;
        match (cost.cpu_ns_per_packet, cost.busy_percent) {
            (Some(each), Some(busy)) => {
                write!(f, "cost        {} ns a packet here, threads {busy:.0} % busy", Count::rounded(each))?;
            }
            _ => write!(f, "cost        not known on this system")?,
        }
        if let Some(softirq) = cost.softirq_ns_per_packet {
            let part = if cost.softirq_in_threads { ", within its threads' time" } else { "" };
            write!(f, "; {} ns in this machine's software interrupts{part}", Count::rounded(softirq))?;
        }
        let headers = 100.0 - payload_percent(self.0);
        write!(f, "\nheaders     {headers:.0} % of what a packet of this size takes on an Ethernet wire")
    }
}

/// Where packets were lost.
struct Account<'a>(&'a PacketAccount);

impl fmt::Display for Account<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PacketAccount { sent, received, entries, unexplained, surplus } = self.0;
        let gone: u64 = entries.iter().map(|entry| entry.packets).sum();
        let (sent, received) = (Count(*sent), Count(*received));
        write!(
            f,
            "books       {sent} sent = {received} came back + {} lost + {}",
            Count(gone),
            Count(*unexplained)
        )?;
        write!(f, " unexplained")?;
        if *surplus > 0 {
            write!(f, " - {} too many", Count(*surplus))?;
        }
        for entry in entries {
            write!(f, "\n{:>11} {}", Count(entry.packets), told(entry.place))?;
        }
        Ok(())
    }
}

/// What became of packets at a place, to be read after their number.
pub(super) fn told(place: Place) -> &'static str {
    match place {
        Place::OwnSend => "this system refused to send",
        Place::OwnQueue => "found the queue of the interface here full",
        Place::OwnInterfaceOut => "the interface here dropped on the way out",
        Place::WayUp => "sent, and never seen by the server's socket",
        Place::ServerSocket => "found the receive buffer of the server's socket full",
        Place::ServerRules => "the server does not answer, by its own rules",
        Place::ServerSend => "the server could not send back",
        Place::WayDown => "sent back, and never seen by a socket here",
        Place::OwnBacklog => "found a processor's backlog here full",
        Place::OwnInterfaceIn => "the interface here dropped on arrival",
        Place::OwnSocket => "found the receive buffer of a socket here full",
    }
}

/// Why a run says nothing about the server.
pub(super) struct Reason<'a>(pub(super) &'a Spoiled);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.0 {
            Spoiled::Rate { asked, achieved } => {
                let (asked, achieved) = (Count::rounded(asked), Count::rounded(achieved));
                write!(f, "this client sent {achieved} packets/s of the {asked} asked for")
            }
            Spoiled::Lag { lag_p99_ns, from_send_p99_ns } => {
                let (lag, from_send) = (Span::from_ns(lag_p99_ns), Span::from_ns(from_send_p99_ns));
                write!(f, "this client was {lag} late itself (p99), and measures {from_send}")
            }
        }
    }
}

struct Direction<'a>(&'a Rates);

impl fmt::Display for Direction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rates { packets, packets_per_second, bits_per_second, .. } = *self.0;
        let (rate, bits) = (Count::rounded(packets_per_second), BitRate(bits_per_second));
        write!(f, "{}, {rate} packets/s, {bits}", Things(packets, "packet"))
    }
}

struct Percentiles(Latency);

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { min_ns, mean_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns } = self.0;
        let named = [
            ("min", min_ns),
            ("mean", mean_ns),
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

    #[test]
    fn percentiles_are_shown_in_order() {
        let latency = Latency {
            min_ns: 10_000,
            mean_ns: 20_000,
            p50_ns: 19_000,
            p90_ns: 30_000,
            p99_ns: 400_000,
            p99_9_ns: 1_500_000,
            max_ns: 3_000_000,
        };
        let expected =
            "min 10.0 µs, mean 20.0 µs, p50 19.0 µs, p90 30.0 µs, p99 400.0 µs, p99.9 1.5 ms, max 3.0 ms";
        assert_eq!(Percentiles(latency).to_string(), expected);
    }

    #[test]
    fn reordering_is_shown_by_classes_of_distance() {
        let reordered = Reordered { replies: 9, distance_max: 300, by_distance: [4, 3, 0, 0, 0, 0, 0, 2] };
        let expected = "9 replies, by distance: 1: 4, 2-3: 3, 128 and more: 2 (at most 300)";
        assert_eq!(Order(&reordered).to_string(), expected);
    }

    #[test]
    fn reasons_are_sentences() {
        let text = |reason: &Spoiled| Reason(reason).to_string();
        let rate = Spoiled::Rate { asked: 2000.0, achieved: 1234.5 };
        assert_eq!(text(&rate), "this client sent 1,235 packets/s of the 2,000 asked for");
        let lag = Spoiled::Lag { lag_p99_ns: 600_000, from_send_p99_ns: 1_900_000 };
        assert_eq!(text(&lag), "this client was 600.0 µs late itself (p99), and measures 1.9 ms");
    }
}
