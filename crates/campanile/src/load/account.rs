//! Where the packets of a load went, as an account that balances.

use serde::Serialize;

use super::report::LoadCounts;
use super::server::ServerShare;
use crate::echo::Cause;
use crate::host::Counters;

/// Every packet of a run, warm-up included: `sent + surplus = received + the entries + unexplained`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PacketAccount {
    /// Packets that were to be sent.
    pub sent: u64,
    /// Datagrams that came back, of whatever kind and however late.
    pub received: u64,
    /// Where the packets went that did not come back; places without any are left out.
    pub entries: Vec<Entry>,
    /// Packets that did not come back and that no counter accounts for.
    pub unexplained: u64,
    /// Received datagrams that are not the first answer to a packet: duplicates, and what others sent.
    pub surplus: u64,
}

/// Packets that ended at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// How many. A socket counts a train that it drops as one; each is taken for as many packets as arrive together on average.
    pub packets: u64,
}

/// Where a packet can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// This system refused to send it (its send buffer, a route, a filter).
    OwnSend,
    /// The queue of the interface here was full.
    OwnQueue,
    /// The interface here dropped it on its way out.
    OwnInterfaceOut,
    /// On the way to the server: this machine sent it, and the server's socket has not seen it.
    WayUp,
    /// The receive buffer of the server's socket was full.
    ServerSocket,
    /// The server does not answer it, by its own rules.
    ServerRules,
    /// The server could not send the reply.
    ServerSend,
    /// On the way back: the server sent the reply, and no counter here has seen it.
    WayDown,
    /// A processor's backlog here was full.
    OwnBacklog,
    /// The interface here dropped it on arrival.
    OwnInterfaceIn,
    /// The receive buffer of a socket here was full.
    OwnSocket,
}

impl PacketAccount {
    /// The account of a run that sent trains of `train` packets each. System-wide counters include other programs, so they explain no
    /// more packets than are missing at their place.
    pub(super) fn of(
        counts: &LoadCounts,
        train: u64,
        server: Option<&ServerShare>,
        system: &Counters,
    ) -> Self {
        let mut account = Self {
            sent: counts.all_sent,
            received: counts.all_replies,
            entries: Vec::new(),
            unexplained: 0,
            surplus: 0,
        };
        let known = server.and_then(|server| Some((server, server.lost_up?, server.lost_down?)));
        let Some((server, lost_up, lost_down)) = known else {
            let mut missing = counts.all_sent.saturating_sub(counts.all_returned());
            account.explain_out(&mut missing, counts.refused, train, system);
            account.explain_own(&mut missing, counts.dropped_here, system);
            account.unexplained = missing;
            return account.balanced();
        };
        let mut up = lost_up;
        account.explain_out(&mut up, counts.refused, train, system);
        account.explain(&mut up, Place::ServerSocket, Some(server.found_full));
        account.enter(Place::WayUp, up);
        // What the server received and did not send back.
        let mut inside = counts.all_sent.saturating_sub(lost_up).saturating_sub(server.replied);
        let sends = server.dropped.of(Cause::Send).saturating_mul(train);
        account.explain(&mut inside, Place::ServerRules, Some(server.refused()));
        account.explain(&mut inside, Place::ServerSend, Some(sends));
        account.unexplained = inside;
        let mut down = lost_down;
        account.explain_own(&mut down, counts.dropped_here, system);
        account.enter(Place::WayDown, down);
        account.balanced()
    }

    /// The packets that ended at a place.
    #[must_use]
    pub fn at(&self, place: Place) -> u64 {
        self.entries.iter().filter(|entry| entry.place == place).map(|entry| entry.packets).sum()
    }

    /// Explains `missing` packets by what this machine dropped on the way out. `refused` is the number of trains that the system
    /// refused to send.
    fn explain_out(&mut self, missing: &mut u64, refused: u64, train: u64, system: &Counters) {
        // A full queue raises both counters, waiting for room only the errors, and a filter only the discards.
        let counters = system.send_discarded.zip(system.send_buffer_errors);
        let queue = counters.map(|(discarded, errors)| discarded.min(errors));
        self.explain(missing, Place::OwnSend, Some(refused.saturating_mul(train)));
        self.explain(missing, Place::OwnQueue, queue.map(|trains| trains.saturating_mul(train)));
        self.explain(missing, Place::OwnInterfaceOut, system.interface_send_dropped);
    }

    /// Explains `missing` packets by what this machine dropped of what came back.
    fn explain_own(&mut self, missing: &mut u64, at_sockets: u64, system: &Counters) {
        self.explain(missing, Place::OwnSocket, Some(at_sockets));
        self.explain(missing, Place::OwnBacklog, system.backlog_dropped);
        self.explain(missing, Place::OwnInterfaceIn, system.interface_receive_dropped);
    }

    /// Enters as many of the missing packets at a place as were counted there.
    fn explain(&mut self, missing: &mut u64, place: Place, counted: Option<u64>) {
        let packets = counted.unwrap_or(0).min(*missing);
        *missing -= packets;
        self.enter(place, packets);
    }

    fn enter(&mut self, place: Place, packets: u64) {
        if packets > 0 {
            self.entries.push(Entry { place, packets });
        }
    }

    /// Balances the account: replies beyond what was sent are surplus, and packets that are still missing are unexplained.
    fn balanced(mut self) -> Self {
        let entered: u64 = self.entries.iter().map(|entry| entry.packets).sum();
        let gone = self.received.saturating_add(entered).saturating_add(self.unexplained);
        self.surplus = gone.saturating_sub(self.sent);
        self.unexplained += self.sent.saturating_sub(gone);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echo::Drops;
    use proptest::prelude::*;

    fn share(received: u64, replied: u64, kernel: u64, counts: &LoadCounts) -> ServerShare {
        let mut dropped = Drops::default();
        dropped.set(Cause::Kernel, kernel);
        ServerShare {
            workers: 1,
            receive_buffer: 0,
            found_full: kernel,
            busy_percent: 0.0,
            busiest_percent: 0.0,
            cpu_ns_per_packet: 0.0,
            received,
            replied,
            dropped,
            lost_up: counts.all_sent.checked_sub(received),
            lost_down: Some(replied.saturating_sub(counts.all_returned())),
        }
    }

    fn counts(all_sent: u64, all_replies: u64, refused: u64, dropped_here: u64) -> LoadCounts {
        LoadCounts { all_sent, all_replies, refused, dropped_here, ..LoadCounts::default() }
    }

    const SINGLE: u64 = 1;

    fn is_balanced(account: &PacketAccount) -> bool {
        let entered: u64 = account.entries.iter().map(|entry| entry.packets).sum();
        account.sent + account.surplus == account.received + entered + account.unexplained
    }

    #[test]
    fn each_loss_is_listed_where_it_was_counted() {
        let counts = counts(1000, 700, 1, 40);
        let server = share(880, 800, 100, &counts);
        let system = Counters { interface_receive_dropped: Some(9), ..Counters::default() };
        let account = PacketAccount::of(&counts, 2, Some(&server), &system);
        let at = |place| account.at(place);
        assert_eq!([at(Place::OwnSend), at(Place::ServerSocket), at(Place::WayUp)], [2, 100, 18]);
        assert_eq!([at(Place::OwnSocket), at(Place::OwnInterfaceIn), at(Place::WayDown)], [40, 9, 51]);
        assert_eq!((account.unexplained, account.surplus), (80, 0));
        assert!(is_balanced(&account), "{account:?}");
    }

    #[test]
    fn without_an_account_the_rest_is_unexplained() {
        let account = PacketAccount::of(&counts(100, 80, 0, 5), SINGLE, None, &Counters::default());
        assert_eq!((account.at(Place::OwnSocket), account.unexplained), (5, 15));
        assert_eq!(PacketAccount::of(&counts(100, 103, 0, 0), SINGLE, None, &Counters::default()).surplus, 3);
    }

    #[test]
    fn losses_in_full_queues_are_counted_here() {
        let system = Counters {
            send_discarded: Some(30),
            send_buffer_errors: Some(25),
            interface_send_dropped: Some(9),
            ..Counters::default()
        };
        let account = PacketAccount::of(&counts(100, 20, 5, 0), 2, None, &system);
        let at = [Place::OwnSend, Place::OwnQueue, Place::OwnInterfaceOut].map(|place| account.at(place));
        assert_eq!((at, account.unexplained), ([10, 50, 9], 11));
    }

    #[test]
    fn what_came_twice_makes_up_for_no_loss() {
        let counts = LoadCounts { all_surplus: 92, ..counts(2000, 1972, 0, 0) };
        let account = PacketAccount::of(&counts, SINGLE, None, &Counters::default());
        assert_eq!((account.received, account.unexplained, account.surplus), (1972, 120, 92));
        let server = share(2000, 2000, 0, &counts);
        let account = PacketAccount::of(&counts, SINGLE, Some(&server), &Counters::default());
        assert_eq!((account.at(Place::WayDown), account.unexplained, account.surplus), (120, 0, 92));
    }

    proptest! {
        #[test]
        fn the_account_always_balances(
            sent in 0..2000_u64, received in 0..2000_u64, replied in 0..2000_u64, replies in 0..2000_u64,
            kernel in 0..500_u64, refused in 0..50_u64, here in 0..500_u64, backlog in 0..500_u64,
            twice in 0..500_u64, known: bool,
        ) {
            let counts = LoadCounts { all_surplus: twice.min(replies), ..counts(sent, replies, refused, here) };
            let server = share(received, replied, kernel, &counts);
            let system = Counters { backlog_dropped: Some(backlog), ..Counters::default() };
            let account = PacketAccount::of(&counts, SINGLE, known.then_some(&server), &system);
            prop_assert!(is_balanced(&account), "{:?}", account);
        }
    }
}
