//! Deadlines, wake-ups, and several engines at once.

use std::thread;
use std::time::{Duration, Instant};

use campanile_engine::{Choice, Config, Engine, Event, udp};

use super::rig::{Host, PATIENCE, Said, local, on_each_backend, peer};

#[test]
fn a_poll_waits_until_its_deadline_and_not_much_longer() {
    on_each_backend(|backend| {
        let mut host = Host::new(backend);
        let wait = Duration::from_micros(200);
        let limit = Duration::from_millis(if host.engine.capabilities().fine_deadlines { 1 } else { 50 });
        // A machine with other work may be late again and again, but not a thousand times, or its own sleep is as late.
        let (mut polled, mut slept) = (Duration::MAX, Duration::MAX);
        for _ in 0..1000 {
            let start = Instant::now();
            host.engine.poll(Some(start + wait)).expect("polls");
            polled = polled.min(start.elapsed());
            assert!(polled >= wait, "{polled:?}");
            if polled < limit {
                return;
            }
            let start = Instant::now();
            thread::sleep(wait);
            slept = slept.min(start.elapsed());
        }
        assert!(
            polled < slept * 4,
            "never within {limit:?}: at best {polled:?}, where a sleep takes {slept:?}"
        );
    });
}

#[test]
fn a_deadline_that_has_passed_still_collects_what_is_there() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        peer.send_to(b"here", host.address).expect("loopback takes it");
        let limit = Instant::now() + PATIENCE;
        let past = Instant::now();
        while host.engine.stats().received.trains == 0 {
            assert!(Instant::now() < limit, "never collected");
            host.engine.poll(Some(past)).expect("polls");
        }
    });
}

/// A backend may look at its sockets in another way while nobody waits.
#[test]
fn polls_that_never_waited_do_not_spoil_those_that_do() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        for round in 0..3 {
            let past = Instant::now();
            (0..200).for_each(|_| host.engine.poll(Some(past)).expect("polls"));
            // There before the wait begins, while it lasts, and while nobody waits again.
            peer.send_to(b"before", host.address).expect("loopback takes it");
            assert_eq!(host.datagrams(1), [b"before"], "round {round}");
            let (from, to) = (peer.try_clone().expect("a socket has a copy"), host.address);
            let other = thread::spawn(move || from.send_to(b"during", to));
            let deadline = Instant::now() + PATIENCE;
            while host.engine.stats().received.trains < 3 * round + 2 && Instant::now() < deadline {
                host.engine.poll(Some(deadline)).expect("polls");
            }
            other.join().expect("no panic").expect("loopback takes it");
            peer.send_to(b"after", host.address).expect("loopback takes it");
            while host.engine.stats().received.trains < 3 * round + 3 && Instant::now() < deadline {
                host.engine.poll(Some(past)).expect("polls");
            }
            let trains = host.said().into_iter().filter_map(|said| match said {
                Said::Train { bytes, .. } => Some(bytes),
                _ => None,
            });
            assert_eq!(trains.collect::<Vec<_>>(), [b"during".to_vec(), b"after".to_vec()], "round {round}");
            host.engine.poll(Some(past)).expect("polls");
            host.said();
        }
    });
}

#[test]
fn events_left_over_keep_the_next_poll_from_waiting() {
    on_each_backend(|backend| {
        let (mut host, peer) = (Host::new(backend), peer());
        peer.send_to(b"one", host.address).expect("loopback takes it");
        host.engine.poll(Some(Instant::now() + PATIENCE)).expect("polls");
        let start = Instant::now();
        host.engine.poll(Some(start + PATIENCE)).expect("polls");
        assert!(start.elapsed() < PATIENCE / 2);
        assert_eq!(host.datagrams(1), [b"one"]);
    });
}

#[test]
fn requests_left_over_keep_the_next_poll_from_waiting() {
    on_each_backend(|backend| {
        let mut host = Host::new(backend);
        let waker = host.engine.waker();
        waker.wake();
        waker.stop();
        host.engine.poll(Some(Instant::now() + PATIENCE)).expect("polls");
        assert!(matches!(host.engine.next_event(), Some(Event::Woken)));
        let start = Instant::now();
        host.engine.poll(Some(start + PATIENCE)).expect("polls");
        assert!(start.elapsed() < PATIENCE / 2);
        assert_eq!(host.said(), [Said::Stopped]);
    });
}

#[test]
fn other_threads_wake_and_stop_an_engine() {
    on_each_backend(|backend| {
        let mut host = Host::new(backend);
        let waker = host.engine.waker();
        for round in 0..50 {
            let waker = waker.clone();
            let other = thread::spawn(move || if round % 2 == 0 { waker.wake() } else { waker.stop() });
            let expected = if round % 2 == 0 { Said::Woken } else { Said::Stopped };
            assert_eq!(host.listen(), [expected]);
            other.join().expect("it only rang");
        }
    });
}

#[test]
fn requests_before_a_poll_are_one_and_none_is_lost() {
    on_each_backend(|backend| {
        let mut host = Host::new(backend);
        let waker = host.engine.waker();
        (0..1000).for_each(|_| waker.wake());
        waker.stop();
        assert_eq!(host.listen(), [Said::Woken, Said::Stopped]);
        host.engine.poll(Some(Instant::now())).expect("polls");
        assert_eq!(host.said(), []);
        waker.wake();
        assert_eq!(host.listen(), [Said::Woken]);
    });
}

#[test]
fn a_waker_may_outlive_its_engine() {
    on_each_backend(|backend| {
        let waker = Host::new(backend).engine.waker();
        waker.wake();
        waker.stop();
    });
}

#[test]
fn several_engines_pass_datagrams_around_in_one_process() {
    on_each_backend(|backend| {
        const ENGINES: usize = 4;
        const LAPS: usize = 50;
        let sockets: Vec<_> =
            (0..ENGINES).map(|_| udp::bind(&udp::UdpConfig::new(local())).expect("loopback binds")).collect();
        let addresses: Vec<_> = sockets.iter().map(udp::UdpSocket::local_addr).collect();
        let threads: Vec<_> = sockets
            .into_iter()
            .enumerate()
            .map(|(place, socket)| {
                let next = addresses[(place + 1) % ENGINES];
                thread::spawn(move || relay(backend, socket, next, LAPS))
            })
            .collect();
        peer().send_to(b"baton", addresses[0]).expect("loopback takes it");
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), LAPS);
        }
    });
}

/// Passes the baton on until it has come by often enough; returns how often it came.
fn relay(backend: Choice, socket: udp::UdpSocket, next: std::net::SocketAddr, laps: usize) -> usize {
    let mut engine = Engine::new(&Config { backend, ..Config::default() }).expect("the backend was probed");
    let id = engine.add(socket).expect("a bound socket is accepted");
    let deadline = Instant::now() + PATIENCE;
    let mut seen = 0;
    while seen < laps && Instant::now() < deadline {
        engine.poll(Some(deadline)).expect("polls");
        while let Some(event) = engine.next_event() {
            seen += usize::from(matches!(event, Event::Train(_)));
        }
        let mut slot = engine.transmit_slot().expect("one datagram at a time");
        slot.bytes_mut()[..5].copy_from_slice(b"baton");
        slot.send(id, &campanile_engine::Transmit::datagram(Some(next), 5));
    }
    engine.poll(Some(Instant::now())).expect("the last baton leaves");
    seen
}
