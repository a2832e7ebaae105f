//! Answers to probes: the server's counters, for clients that have shown that their address is their own.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use campanile_engine::udp::DropMeter;
use campanile_engine::{Engine, Path, SocketId, Transmit};

use super::EchoBoard;
use super::counts::EchoCounts;
use crate::clock::{Clock, Instant};
use crate::probe::{Account, Probe};

/// Answers probes for one worker. The counters are those of all workers.
#[derive(Clone, Debug)]
pub(crate) struct ProbeResponder {
    /// What cookies are made with: the standard library's keyed hash (SipHash), with a random key.
    secret: RandomState,
    /// The clock of all workers.
    clock: Clock,
    receive_buffer: usize,
    boards: Arc<[Arc<EchoBoard>]>,
    /// The drop meters of all sockets.
    meters: Arc<[DropMeter]>,
}

/// A probe that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) socket: SocketId,
    pub(crate) path: Path,
    pub(crate) nonce: u64,
    pub(crate) cookie: u64,
}

impl ProbeResponder {
    pub(crate) fn new(
        clock: Clock,
        receive_buffer: usize,
        boards: Arc<[Arc<EchoBoard>]>,
        meters: Arc<[DropMeter]>,
    ) -> Self {
        Self { secret: RandomState::new(), clock, receive_buffer, boards, meters }
    }

    /// Answers if there is memory to send from, and returns whether it did; a client that gets no answer asks again.
    pub(crate) fn answer(&self, engine: &mut Engine, asked: &Asked) -> bool {
        let Some(mut slot) = engine.transmit_slot() else { return false };
        let probe = self.probe(asked, self.clock.now());
        let Some(datagram) = slot.bytes_mut().first_chunk_mut() else { return false };
        let len = probe.write(datagram);
        let from = (!asked.path.to.is_unspecified()).then_some(asked.path.to);
        slot.send(asked.socket, &Transmit { from, ..Transmit::datagram(Some(asked.path.from), len) });
        true
    }

    /// The account for a client that returns the cookie of this or the last minute, and the cookie of this minute for all others.
    fn probe(&self, asked: &Asked, now: Instant) -> Probe {
        let Asked { path, nonce, cookie, .. } = *asked;
        let minute = now.as_ns() / MINUTE_NS;
        let known = [minute, minute.saturating_sub(1)].map(|minute| self.cookie(path.from, minute));
        if !known.contains(&cookie) {
            return Probe::Cookie { nonce, cookie: known[0] };
        }
        let mut busiest_ns = 0;
        let each = self.boards.iter().map(|board| EchoCounts::from_words(board.read()));
        let counts: EchoCounts = each.inspect(|own| busiest_ns = own.cpu_ns.max(busiest_ns)).sum();
        let account = Account {
            uptime_ns: now.as_ns(),
            workers: self.boards.len() as u64,
            receive_buffer: self.receive_buffer as u64,
            busiest_ns,
            counts: counts.metered(&self.meters),
        };
        Probe::Account { nonce, account }
    }

    fn cookie(&self, from: SocketAddr, minute: u64) -> u64 {
        self.secret.hash_one((from.ip(), from.port(), minute))
    }
}

const MINUTE_NS: u64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use campanile_engine::Cast;

    fn responder() -> ProbeResponder {
        ProbeResponder::new(Clock::start(), 4096, Arc::new([Arc::new(EchoBoard::new())]), Arc::new([]))
    }

    fn asked(socket: SocketId, from: &str, cookie: u64) -> Asked {
        let from: SocketAddr = from.parse().expect("a literal address");
        let path = Path { from, to: from.ip(), cast: Cast::Unicast, interface: 0, tos: 0 };
        Asked { socket, path, nonce: 3, cookie }
    }

    /// Only an engine makes socket ids.
    fn socket() -> SocketId {
        let bind = "127.0.0.1:0".parse().expect("a literal address");
        let socket = campanile_engine::udp::bind(&campanile_engine::udp::UdpConfig::new(bind)).expect("free");
        let mut engine = Engine::new(&campanile_engine::Config::default()).expect("there is a backend");
        engine.add(socket).expect("an engine has room for one")
    }

    #[test]
    fn only_the_holder_of_the_cookie_gets_the_account() {
        let (responder, socket) = (responder(), socket());
        let at = |minute: u64| Instant::from_ns(minute * MINUTE_NS + 1);
        let Probe::Cookie { nonce: 3, cookie } = responder.probe(&asked(socket, "192.0.2.1:4000", 0), at(7))
        else {
            panic!("no cookie, no account");
        };
        let told = |from, minute| {
            matches!(responder.probe(&asked(socket, from, cookie), at(minute)), Probe::Account { .. })
        };
        assert!(told("192.0.2.1:4000", 7) && told("192.0.2.1:4000", 8));
        assert!(!told("192.0.2.1:4000", 9), "too old");
        assert!(!told("192.0.2.1:4001", 7) && !told("192.0.2.2:4000", 7), "another's");
    }
}
