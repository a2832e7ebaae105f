//! Tests for Linux only: a kernel that refuses io_uring, an interface that disappears, a full link.

mod crowds;

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::check;
use crate::{Choice, Config, Engine, Event, Interface, Transmit, multicast, udp};

/// Nothing on one machine takes this long, however slow it is.
const PATIENCE: Duration = Duration::from_secs(120);

fn config(backend: Choice) -> Config {
    Config { backend, ..Config::default() }
}

/// Makes a system call fail with EPERM for the calling thread from now on, as a container's seccomp profile does.
fn forbid(call: libc::c_long) {
    forbid_with(call, libc::EPERM);
}

fn forbid_with(call: libc::c_long, error: libc::c_int) {
    refuse(&[(NUMBER, call as u32)], error);
}

/// Makes a socket option unknown, as it is on some systems that take the place of a kernel.
fn forbid_option(level: libc::c_int, option: libc::c_int) {
    let call =
        [(NUMBER, libc::SYS_setsockopt as u32), (argument(1), level as u32), (argument(2), option as u32)];
    refuse(&call, libc::ENOPROTOOPT);
}

/// Where a filter finds the number of a system call (seccomp(2)).
const NUMBER: u32 = 0;

/// Where it finds the lower half of an argument, which numbers fit into.
fn argument(index: u32) -> u32 {
    16 + 8 * index + if cfg!(target_endian = "big") { 4 } else { 0 }
}

/// Makes the system calls fail in which there is each of these words at its place.
fn refuse(call: &[(u32, u32)], error: libc::c_int) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let mut program = Vec::new();
    for (index, &(place, word)) in call.iter().enumerate() {
        // The comparisons that follow are two instructions each, and then comes the refusal.
        let to_the_end = 2 * (call.len() - 1 - index) + 1;
        program.push(libc::sock_filter { code: LOAD, jt: 0, jf: 0, k: place });
        program.push(libc::sock_filter { code: IF_EQUAL, jt: 0, jf: to_the_end as u8, k: word });
    }
    let refusal = libc::SECCOMP_RET_ERRNO | error as u32;
    program.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: refusal });
    program.push(libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW });
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers alone.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).expect("allowed to anyone");
    // SAFETY: the filter points at a local program of its length; the kernel copies it during the call.
    check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) })
        .expect("allowed once there are no new privileges");
}

#[test]
fn a_forbidden_io_uring_is_replaced_and_the_reason_given() {
    thread::spawn(|| {
        forbid(libc::SYS_io_uring_setup);
        let mut engine = Engine::new(&config(Choice::Uring)).expect("epoll is there");
        assert_eq!(engine.backend(), Choice::Epoll);
        let reason = engine.fallback().expect("it was refused").to_string();
        assert!(reason.contains("uring is not available here") && reason.contains("seccomp"), "{reason}");
        mirror_one(&mut engine);
    })
    .join()
    .expect("the assertions hold");
}

#[test]
fn a_kernel_without_fine_waits_still_waits_long_enough() {
    // Profiles of some containers forbid whatever call they do not know.
    for error in [libc::ENOSYS, libc::EPERM] {
        thread::spawn(move || {
            forbid_with(libc::SYS_epoll_pwait2, error);
            let mut engine = Engine::new(&config(Choice::Epoll)).expect("epoll is there");
            assert!(!engine.capabilities().fine_deadlines);
            let (start, wait) = (Instant::now(), Duration::from_micros(300));
            engine.poll(Some(start + wait)).expect("polls");
            assert!(start.elapsed() >= wait);
            mirror_one(&mut engine);
        })
        .join()
        .expect("the assertions hold");
    }
}

#[test]
fn a_system_that_counts_no_drops_says_so() {
    for backend in [Choice::Epoll, Choice::Uring] {
        thread::spawn(move || {
            forbid_option(libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
            let mut engine = Engine::new(&config(backend)).expect("a backend works");
            assert!(!engine.capabilities().drop_counter);
            mirror_one(&mut engine);
        })
        .join()
        .expect("the assertions hold");
    }
}

#[test]
fn what_an_engine_can_do_does_not_depend_on_free_handles() {
    thread::spawn(|| {
        let engine = Engine::new(&config(Choice::Epoll)).expect("epoll is there");
        let before = engine.capabilities();
        forbid_with(libc::SYS_socket, libc::EMFILE);
        assert_eq!(engine.capabilities(), before);
    })
    .join()
    .expect("the assertions hold");
}

fn mirror_one(engine: &mut Engine) {
    let socket = udp::bind(&udp::UdpConfig::new("127.0.0.1:0".parse().expect("a literal address")));
    let socket = socket.expect("loopback binds");
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
    peer.set_read_timeout(Some(PATIENCE)).expect("above zero");
    peer.send_to(b"hello", socket.local_addr()).expect("loopback takes it");
    engine.add(socket).expect("a bound socket is accepted");
    engine.poll(Some(Instant::now() + PATIENCE)).expect("polls");
    while let Some(event) = engine.next_event() {
        let Event::Train(train) = event else { panic!("{event:?}") };
        train.reply();
    }
    engine.poll(Some(Instant::now())).expect("polls");
    assert_eq!(peer.recv(&mut [0; 9]).expect("the reply comes"), 5);
}

/// Runs a test in a network namespace of its own. Without the privilege to make one, or without iproute2, which CI must have, it says
/// so and passes.
fn in_a_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = thread::spawn(move || {
        // SAFETY: takes a number alone, and moves only this thread.
        if let Err(error) = check(unsafe { libc::unshare(libc::CLONE_NEWNET) }) {
            println!("skipped: no network namespace ({error})");
            return;
        }
        if let Err(error) = run("ip", "link set lo up") {
            println!("skipped: no iproute2 ({error})");
            assert!(std::env::var_os("CI").is_none(), "CI installs iproute2");
            return;
        }
        test();
    });
    outcome.join().expect("the test in the namespace holds");
}

/// Runs a program in the calling thread's namespace, which its children inherit; returns whether it succeeded.
fn run(program: &str, arguments: &str) -> io::Result<bool> {
    Ok(Command::new(program).args(arguments.split(' ')).status()?.success())
}

/// Changes the calling thread's namespace.
fn ip(arguments: &str) {
    assert!(run("ip", arguments).is_ok_and(|success| success), "ip {arguments}");
}

#[test]
fn an_interface_that_vanishes_takes_nothing_else_with_it() {
    for backend in [Choice::Epoll, Choice::Uring] {
        in_a_namespace(move || {
            // Two ends of a cable, as every kernel has them.
            ip("link add cable0 type veth peer name cable1");
            ip("addr add 10.9.8.1/24 dev cable0");
            ip("link set cable0 up");
            let name = Interface::Name("cable0".to_owned());
            let group = "239.192.7.9".parse().expect("a literal address");
            let membership = multicast::Membership { group, source: None, interface: Some(name) };
            let any = udp::UdpConfig::new("0.0.0.0:0".parse().expect("a literal address"));
            let member = multicast::bind(&membership, 7500, &any).expect("the interface is there");
            let mut engine = Engine::new(&config(backend)).expect("a backend works");
            let id = engine.add(member).expect("a bound socket is accepted");

            ip("link del cable0");
            let again =
                engine.socket(id).expect("open").join(&membership).expect_err("the interface is gone");
            assert!(again.to_string().starts_with("no interface cable0"), "{again}");
            let mut slot = engine.transmit_slot().expect("a new engine has slots");
            slot.bytes_mut()[0] = 1;
            slot.send(id, &Transmit::datagram(Some((group, 7500).into()), 1));
            engine.poll(Some(Instant::now() + PATIENCE)).expect("polls");
            match engine.next_event() {
                Some(Event::Failed(failure)) => {
                    assert_eq!(failure.error().kind(), io::ErrorKind::NetworkUnreachable);
                }
                other => panic!("{other:?} where a failure belongs"),
            }
            mirror_one(&mut engine);
        });
    }
}

/// The kernel does not both cut a train and fragment its datagrams: they leave one by one.
#[test]
fn a_train_of_datagrams_beyond_the_mtu_leaves_in_pieces() {
    for backend in [Choice::Epoll, Choice::Uring] {
        in_a_namespace(move || {
            ip("link add cable0 mtu 1500 type veth peer name cable1");
            ip("addr add 10.9.8.1/24 dev cable0");
            ip("link set cable0 up");
            ip("link set cable1 up");
            ip("neigh add 10.9.8.2 lladdr 02:00:00:00:00:02 dev cable0");
            let any = udp::UdpConfig::new("10.9.8.1:0".parse().expect("a literal address"));
            let mut engine = Engine::new(&config(backend)).expect("a backend works");
            let id = engine.add(udp::bind(&any).expect("the address is there")).expect("accepted");
            let to = Some("10.9.8.2:7500".parse().expect("a literal address"));
            let slot = engine.transmit_slot().expect("a new engine has slots");
            slot.send(id, &Transmit::train(to, 4000, 10_000));
            let limit = Instant::now() + PATIENCE;
            while engine.stats().transmit_buffers_in_use > 0 && Instant::now() < limit {
                engine.poll(Some(Instant::now())).expect("polls");
            }
            let stats = engine.stats();
            assert_eq!((stats.sent.datagrams, stats.split, stats.dropped.send), (3, 1, 0), "{stats:?}");
        });
    }
}

#[test]
fn a_full_socket_buffer_holds_sends_back_and_loses_none() {
    // What the receiving socket holds by default without being read.
    const COUNT: u8 = 60;
    for backend in [Choice::Epoll, Choice::Uring] {
        in_a_namespace(move || {
            // A slow link: what was sent stays on the socket's account until it has left.
            let link = "qdisc add dev lo root tbf rate 1mbit burst 16kb limit 4mb";
            if !run("tc", link).is_ok_and(|success| success) {
                println!("skipped: this kernel has no token bucket (tc qdisc tbf)");
                return;
            }
            let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
            peer.set_read_timeout(Some(PATIENCE)).expect("above zero");
            let local = "127.0.0.1:0".parse().expect("a literal address");
            let small = udp::UdpConfig { send_buffer: Some(4096), ..udp::UdpConfig::new(local) };
            let mut engine = Engine::new(&config(backend)).expect("a backend works");
            let id = engine.add(udp::bind(&small).expect("loopback binds")).expect("accepted");
            let to = Some(peer.local_addr().expect("bound"));
            let mut sent = 0_u8;
            while sent < COUNT {
                if let Some(mut slot) = engine.transmit_slot() {
                    slot.bytes_mut()[0] = sent;
                    slot.send(id, &Transmit::datagram(to, 1000));
                    sent += 1;
                } else {
                    engine.poll(Some(Instant::now() + PATIENCE)).expect("polls");
                }
            }
            // The last one leaves while the engine waits for an event.
            while engine.stats().sent.trains < u64::from(COUNT) {
                engine.poll(Some(Instant::now() + Duration::from_millis(500))).expect("polls");
            }
            assert!(engine.stats().blocked > 0, "{:?}", engine.stats());
            // The engine waits for the socket instead of trying again and again.
            assert!(engine.stats().polls < 2 * u64::from(COUNT), "{:?}", engine.stats());
            let mut bytes = [0; 2000];
            for expected in 0..COUNT {
                assert_eq!(peer.recv(&mut bytes).expect("all arrive"), 1000);
                assert_eq!(bytes[0], expected, "in order");
            }
        });
    }
}

#[test]
fn a_closed_socket_gives_its_port_up_before_its_packets_have_left() {
    for backend in [Choice::Epoll, Choice::Uring] {
        in_a_namespace(move || {
            // Packets of 1000 bytes leave it one a minute.
            let link = "qdisc add dev lo root tbf rate 128bit burst 1100 limit 4mb";
            if !run("tc", link).is_ok_and(|success| success) {
                println!("skipped: this kernel has no token bucket (tc qdisc tbf)");
                return;
            }
            let local = "127.0.0.1:0".parse().expect("a literal address");
            let small = udp::UdpConfig { send_buffer: Some(4096), ..udp::UdpConfig::new(local) };
            for polls in 0..3 {
                let mut engine = Engine::new(&config(backend)).expect("a backend works");
                let socket = udp::bind(&small).expect("loopback binds");
                let own = socket.local_addr();
                let id = engine.add(socket).expect("accepted");
                while let Some(slot) = engine.transmit_slot() {
                    slot.send(id, &Transmit::datagram(Some(own), 1000));
                }
                (0..polls).for_each(|_| engine.poll(Some(Instant::now())).expect("polls"));
                engine.close(id);
                assert!(engine.stats().blocked > 0, "{:?}", engine.stats());
                let again = udp::bind(&udp::UdpConfig { bind: own, ..small.clone() });
                assert!(again.is_ok(), "after {polls} polls: {again:?}");
            }
        });
    }
}

#[test]
fn a_port_is_divided_by_the_processor_that_the_packet_arrives_on() {
    let cpus = crate::cpu::allowed().expect("the system tells");
    let config = udp::UdpConfig::new("127.0.0.1:0".parse().expect("a literal address"));
    let group = udp::bind_group(&config, &cpus, udp::Shard::Cpu).expect("a group binds");
    assert_eq!((group.shard, &group.note), (udp::Shard::Cpu, &None));
    let to = group.sockets[0].local_addr();
    for (place, cpu) in cpus.into_iter().enumerate() {
        thread::spawn(move || {
            // On loopback the sender's processor is the one that the packet arrives on.
            crate::cpu::pin(cpu).expect("an allowed processor");
            let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback binds");
            (0..10).for_each(|_| assert_eq!(peer.send_to(b"x", to).expect("loopback takes it"), 1));
        })
        .join()
        .expect("it only sent");
        // A kernel with other work may deliver them a little later.
        let limit = Instant::now() + PATIENCE;
        let mut arrived = vec![0; group.sockets.len()];
        while arrived.iter().sum::<usize>() < 10 && Instant::now() < limit {
            arrived.iter_mut().zip(&group.sockets).for_each(|(count, socket)| *count += waiting(socket));
        }
        let mut expected = vec![0; group.sockets.len()];
        expected[place] = 10;
        assert_eq!(arrived, expected, "sent from processor {cpu}");
    }
}

#[test]
fn a_request_for_more_than_any_buffer_gets_the_most_there_is() {
    let granted = |bytes| {
        let address = "127.0.0.1:0".parse().expect("a literal address");
        let (receive_buffer, send_buffer) = (Some(bytes), Some(bytes));
        let config = udp::UdpConfig { receive_buffer, send_buffer, ..udp::UdpConfig::new(address) };
        udp::bind(&config).expect("loopback has a free port").granted()
    };
    assert_eq!(granted(1 << 32), granted(1 << 30));
}

/// Takes all datagrams that wait at a socket and counts them.
fn waiting(socket: &udp::UdpSocket) -> usize {
    let fd = socket.inner().as_raw_fd();
    let mut byte = [0_u8; 1];
    std::iter::from_fn(|| {
        // SAFETY: pointer and length are those of `byte`.
        let got = unsafe { libc::recv(fd, byte.as_mut_ptr().cast(), 1, libc::MSG_DONTWAIT) };
        (got >= 0).then_some(())
    })
    .count()
}

#[test]
fn a_meter_shows_drops_of_a_full_buffer_that_nobody_has_read() {
    let config = udp::UdpConfig::new("127.0.0.1:0".parse().expect("a literal address"));
    let full = udp::bind(&config).expect("loopback has a free port");
    let meter = udp::DropMeter::new(&full).expect("there are handles");
    let sender = UdpSocket::bind(config.bind).expect("loopback has a free port");
    assert_eq!(meter.read(), Some(0));
    // The smallest packet takes some hundred bytes of the buffer.
    let count = full.granted().receive / 100;
    (0..count).for_each(|_| assert_eq!(sender.send_to(b"x", full.local_addr()).ok(), Some(1)));
    let dropped = meter.read().expect("Linux counts drops");
    assert!(dropped > 0 && dropped < count as u64, "{dropped} of {count}");
}
