//! What the server says it did for a load.

use std::time::Duration;

use serde::Serialize;

use super::prober::Span;
use super::report::LoadCounts;
use crate::echo::{Cause, Drops};

/// What kind of server answered the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerKind {
    /// A Campanile server, which keeps an account.
    Campanile,
    /// A mirror that does not know probes.
    Mirror,
    /// Nothing answered them.
    Silent,
    /// It was not asked.
    NotAsked,
}

/// The server's account of the time of a load, warm-up and last replies included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerShare {
    /// Its threads, one per core.
    pub workers: u64,
    /// Bytes of receive buffer of each of its sockets.
    pub receive_buffer: u64,
    /// Packets that found the receive buffer of a socket full. The system counts a train as one; each is taken for as many packets as
    /// arrived together on average.
    pub found_full: u64,
    /// How busy its threads were on average, in percent of a core each.
    pub busy_percent: f64,
    /// How busy the busiest of them was, as far as that is known.
    pub busiest_percent: f64,
    /// Its processor time for each packet that it received, in nanoseconds.
    pub cpu_ns_per_packet: f64,
    /// Packets that it received, probes left out.
    pub received: u64,
    /// Packets that it sent back.
    pub replied: u64,
    /// Packets that it did not send back, by cause.
    pub dropped: Drops,
    /// Packets that were sent and not received; `None` if others used the server meanwhile.
    pub lost_up: Option<u64>,
    /// Replies that were sent and not received; `None` as above.
    pub lost_down: Option<u64>,
}

impl ServerShare {
    /// `active` is the time of sending: what comes after it is little.
    pub(super) fn new(span: &Span, counts: &LoadCounts, active: Duration) -> Self {
        let server = span.last.counts.since(&span.first.counts);
        let received = server.received.packets.saturating_sub(server.probes.asked);
        let trains = server.received.trains.saturating_sub(server.probes.asked);
        // A packet that the network duplicated on the way arrives twice, and is answered once.
        let arrived = received.saturating_sub(server.dropped.of(Cause::Repeated));
        let returned = counts.all_returned();
        // A worker publishes the replies of a turn in its next turn, which does not come if nothing else arrives, and may come after
        // the first account. So the count is corrected: what came back was sent, and no more was sent than the server had to answer.
        let replied = server.replied.packets.saturating_sub(server.probes.answered);
        let replied = replied.min(received.saturating_sub(unanswered(&server.dropped)));
        let replied = replied.max(returned.min(arrived));
        let percent = |ns: u64, threads: u64| {
            (ns as f64 * 100.0 / (active.as_nanos() as f64 * threads as f64).max(1.0)).min(100.0)
        };
        let busy_percent = percent(server.cpu_ns, span.last.workers);
        // Another thread may have been the busiest before; then it is not known how much this one did.
        let busiest = percent(span.last.busiest_ns.saturating_sub(span.first.busiest_ns), 1);
        let alone = arrived <= counts.all_sent;
        Self {
            workers: span.last.workers,
            receive_buffer: span.last.receive_buffer,
            found_full: server.dropped.of(Cause::Kernel).saturating_mul(received) / trains.max(1),
            busy_percent,
            busiest_percent: busiest.max(busy_percent),
            cpu_ns_per_packet: server.cpu_ns as f64 / received.max(1) as f64,
            received,
            replied,
            dropped: server.dropped,
            lost_up: alone.then(|| counts.all_sent - arrived),
            lost_down: alone.then(|| replied.saturating_sub(returned)),
        }
    }

    /// Packets that arrived, each once, and that the server does not answer by its own rules.
    pub(super) fn refused(&self) -> u64 {
        unanswered(&self.dropped) - self.dropped.of(Cause::Repeated)
    }
}

/// Packets that arrived and are not answered, by the server's rules.
fn unanswered(dropped: &Drops) -> u64 {
    dropped.total() - dropped.of(Cause::Kernel) - dropped.of(Cause::Send)
}

/// How busy the threads of a server have been so far, in percent of a core each.
pub(super) fn busy_percent(span: &Span) -> f64 {
    let Span { first, last } = span;
    let time_ns = last.uptime_ns.saturating_sub(first.uptime_ns).saturating_mul(last.workers);
    last.counts.cpu_ns.saturating_sub(first.counts.cpu_ns) as f64 * 100.0 / time_ns.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::EchoCounts;
    use crate::probe::Account;

    fn account(uptime_ns: u64, received: u64, replied: u64) -> Account {
        let mut counts = EchoCounts { cpu_ns: uptime_ns / 2, ..EchoCounts::default() };
        (counts.received.packets, counts.replied.packets) = (received, replied);
        counts.probes.asked = uptime_ns / 1000;
        Account { uptime_ns, workers: 2, receive_buffer: 4096, busiest_ns: uptime_ns * 3 / 8, counts }
    }

    #[test]
    fn loss_is_split_at_the_server() {
        let span = Span { first: account(1000, 11, 10), last: account(3000, 103, 90) };
        let counts = LoadCounts { all_sent: 100, all_replies: 70, ..LoadCounts::default() };
        let share = ServerShare::new(&span, &counts, Duration::from_nanos(2000));
        assert_eq!((share.received, share.replied), (90, 80));
        assert_eq!((share.lost_up, share.lost_down), (Some(10), Some(10)));
        assert!((share.busy_percent - 25.0).abs() < 1e-9, "{share:?}");
        assert!((share.busiest_percent - 37.5).abs() < 1e-9, "{share:?}");
        let hurried = ServerShare::new(&span, &LoadCounts { all_replies: 85, ..counts }, Duration::ZERO);
        assert_eq!(
            (hurried.replied, hurried.lost_down),
            (85, Some(0)),
            "five more came back than were told of"
        );
        let mut last = account(3000, 103, 90);
        (last.counts.received.trains, last.counts.probes.asked) = (32, 2);
        last.counts.dropped.set(Cause::Kernel, 5);
        let in_trains = ServerShare::new(&Span { last, ..span }, &counts, Duration::ZERO);
        assert_eq!((in_trains.received, in_trains.found_full), (91, 14), "31 trains of three");
        let mut last = account(3000, 109, 90);
        last.counts.dropped.set(Cause::Repeated, 6);
        let doubled = ServerShare::new(&Span { last, ..span }, &counts, Duration::ZERO);
        assert_eq!((doubled.received, doubled.lost_up), (96, Some(10)), "six of them came twice");
        let stale = Span { first: account(1000, 11, 0), last: account(3000, 103, 97) };
        let twice = LoadCounts { all_replies: 95, all_surplus: 5, ..counts };
        let share = ServerShare::new(&stale, &twice, Duration::ZERO);
        assert_eq!((share.replied, share.lost_down), (90, Some(0)), "some replies are of the time before");
        let crowded = ServerShare::new(&span, &LoadCounts { all_sent: 80, ..counts }, Duration::ZERO);
        assert_eq!((crowded.lost_up, crowded.lost_down), (None, None), "others were there too");
    }
}
