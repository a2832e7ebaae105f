//! The node's side of a publisher's queues.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use async_channel::Receiver;
use campanile_pgm::Instant;
use campanile_pgm::source::{PublishError, Source, SourceEvent};
use campanile_pgm::wire::Reset;

use super::Published;
use super::outbox::{End, Next, OutboxReceiver};
use crate::multicast::node::source::Feed;
use crate::multicast::queue::EventSender;
use crate::multicast::report::Report;

/// An order of the application, which overtakes what it has published.
#[derive(Debug)]
pub(super) enum Order {
    Rate(u64),
    Linger(Duration),
    Abort(Reset),
}

/// Passes the packets that the application fills to a source.
#[derive(Debug)]
pub(super) struct MessageFeed {
    events: EventSender<Published>,
    outbox: OutboxReceiver,
    orders: Receiver<Order>,
    /// The source has no room.
    is_full: bool,
    /// When a packet that is still being filled may leave as it is.
    open_until: Option<Instant>,
}

impl MessageFeed {
    pub(super) fn new(
        events: EventSender<Published>,
        outbox: OutboxReceiver,
        orders: Receiver<Order>,
    ) -> Self {
        MessageFeed { events, outbox, orders, is_full: false, open_until: None }
    }

    /// Hands packets to the machine, as far as it has room.
    fn feed(&mut self, now: Instant, machine: &mut Source) {
        self.open_until = None;
        while !self.is_full {
            // As long as the rate holds it back, a packet that is being filled may become fuller.
            let opens_at = machine.opens_at(now);
            let (is_drained, is_held) = (machine.is_drained(), opens_at > now);
            let Some(next) = self.outbox.next(!is_drained || is_held) else {
                self.open_until = (is_drained && is_held && self.outbox.is_open()).then_some(opens_at);
                return;
            };
            match next {
                Next::Packets(packed) => match machine.push(now, packed) {
                    Ok(()) => {}
                    Err(PublishError::Full) => self.is_full = true,
                    // After an abort packets are dropped.
                    Err(_) => packed.clear(),
                },
                Next::Flush => machine.flush(now),
                Next::End(End::Whole) => machine.finish(now),
                Next::End(End::Cut(reset)) => machine.cut(now, reset),
            }
        }
    }
}

impl Feed for MessageFeed {
    fn handle_commands(&mut self, now: Instant, machine: &mut Source) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Rate(rate_bps) => machine.set_rate(now, rate_bps / 8),
                Order::Linger(linger) => machine.set_linger(now, linger),
                Order::Abort(reset) => machine.reset(now, reset),
            }
        }
        self.feed(now, machine);
    }

    fn exchange(&mut self, now: Instant, machine: &mut Source) {
        self.events.hand_over();
        // Does not wait for the application to take events: only the last of these is for it.
        while let Some(event) = machine.poll_event() {
            match event {
                SourceEvent::Writable => self.is_full = false,
                SourceEvent::Finished => self.events.put_last(Published::Finished),
                SourceEvent::Drained | SourceEvent::Need(_) => {}
            }
        }
        self.feed(now, machine);
    }

    /// The application can do without a report that is not final, and while it takes none, receivers are to report all the same.
    fn is_ready(&mut self, report: &Report) -> bool {
        !report.standing.is_final() || self.events.is_ready()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.open_until
    }

    fn tell(&mut self, from: IpAddr, report: Report) {
        // Half of the queue is kept for those that are final.
        if report.standing.is_final() || !self.events.is_half_full() {
            self.events.put(Published::Report { from, report });
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.events.end_with(Published::Failed(error.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use campanile_engine::{Config, Engine};
    use campanile_pgm::source::{Endpoint, Packer, SourceConfig};
    use campanile_pgm::wire::Session;
    use campanile_pgm::{Framing, Seq, Tsi};

    use super::*;
    use crate::multicast::publisher::outbox::outbox;
    use crate::multicast::queue;
    use crate::multicast::report::{ReceiverId, Standing};

    #[test]
    fn a_final_report_is_acknowledged_only_if_the_application_gets_it() {
        let node = Engine::new(&Config::default()).expect("some backend works").waker();
        let (events, taken) = queue::events(2, 1);
        let (_orders, ordered) = async_channel::bounded(1);
        let (_sender, receiver) = outbox(Packer::new(Framing::Packed, 1000), 1, None);
        let mut feed = MessageFeed::new(events, receiver, ordered);
        let from = IpAddr::from([10, 0, 0, 1]);
        let [joined, complete] = [Standing::Joined, Standing::Complete].map(|standing| Report {
            cookie: 1,
            receiver: ReceiverId(1),
            standing,
            had: 0,
            total: 0,
            loss: 0,
            headroom: 0,
            lead: Seq(0),
            heard: 0,
            needs: Seq(0),
            socket: 0,
        });
        for _ in 0..3 {
            assert!(feed.is_ready(&joined));
            feed.tell(from, joined);
        }
        assert!(feed.is_ready(&complete), "room is kept for it");
        feed.tell(from, complete);
        assert!(!feed.is_ready(&complete), "its receiver repeats it");
        for report in [joined, complete] {
            assert_eq!(taken.next(Duration::ZERO, &node), Some(Published::Report { from, report }));
        }
        assert!(feed.is_ready(&complete));
    }

    #[test]
    fn a_packet_is_filled_until_the_rate_lets_it_leave() {
        let node = Engine::new(&Config::default()).expect("some backend works").waker();
        let [group, nla] = ["239.192.0.1", "10.0.0.1"].map(|it| it.parse().expect("a literal address"));
        let session = Session { tsi: Tsi::default(), destination_port: 7500 };
        let mut config = SourceConfig::new(Endpoint { session, group, nla });
        (config.framing, config.pace.bytes_per_second) = (Framing::Stream, 10_000);
        let packer = Packer::new(config.framing, config.tsdu_len().expect("packets hold some"));
        let mut now = Instant(1_000_000_000);
        let mut machine = Source::new(now, config).expect("it is right");
        let (events, _taken) = queue::events(1, 1);
        let (_orders, ordered) = async_channel::bounded(1);
        let (sender, receiver) = outbox(packer, 1000, None);
        let mut feed = MessageFeed::new(events, receiver, ordered);
        let mut buffer = vec![0; 65_536];

        // The first ones leave one by one, until the rate is used up.
        let mut sent = 0;
        while feed.poll_timeout().is_none() {
            sender.try_send(&[7; 500], false, &node).expect("room");
            feed.exchange(now, &mut machine);
            sent += 1;
            while machine.poll_transmit(now, &mut buffer).is_some() {}
        }
        let packets = machine.stats().odata;
        assert_eq!(packets, sent - 1, "the last one stays");
        sender.try_send(&[7; 500], false, &node).expect("room");
        feed.exchange(now, &mut machine);
        assert!(machine.is_drained());
        now = feed.poll_timeout().expect("the packet waits for its time");
        feed.exchange(now, &mut machine);
        assert_eq!(feed.poll_timeout(), None);
        while machine.poll_transmit(now, &mut buffer).is_some() {}
        let stats = machine.stats();
        assert_eq!((stats.odata, stats.payload_bytes), (packets + 1, 500 * (sent + 1)), "both in one packet");
    }
}
