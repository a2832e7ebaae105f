//! Asks the server for its counters while the load runs.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::run::is_refusal;
use crate::probe::{Account, Probe};
use crate::worker::Stopper;

/// A thread that asks ten times a second, from a socket of its own.
///
/// [`Prober::start`] asks before the load begins, [`Prober::finish`] after it has ended: the difference is what the server did for the
/// load, and for others that used it meanwhile. A load that was given to [`Prober::ends`] is stopped once nothing listens any more.
#[derive(Debug)]
pub(super) struct Prober {
    first: Account,
    latest: Arc<Mutex<Account>>,
    load: Arc<OnceLock<Stopper>>,
    stop: Sender<()>,
    thread: JoinHandle<Watched>,
}

/// Why the thread no longer asks.
#[derive(Debug)]
enum Watched {
    /// It was stopped, and its socket is free.
    Stopped(ProbeSocket),
    /// The server was restarted: it counts from zero again.
    Restarted,
    /// Nothing listens on the port any more.
    Refused,
}

/// What the asking has shown in the end.
#[derive(Debug)]
pub(super) enum Asked {
    /// What the server did.
    Answered(Box<Span>),
    /// The server no longer answers, or was restarted meanwhile.
    Unanswered,
    /// Its host said that nothing listens on the port any more.
    Refused,
}

/// What the answer to a first ask shows of a server.
#[derive(Debug)]
pub(super) enum Found {
    /// It keeps an account.
    Campanile(Box<Prober>),
    /// It sends probes back like everything else.
    Mirror,
    /// It does not answer probes.
    Silent,
    /// Its host says that nothing listens on the port.
    Closed,
}

/// What a server did between two accounts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: Account,
    pub(super) last: Account,
}

/// The socket that asks for the server's account.
#[derive(Debug)]
pub(super) struct ProbeSocket {
    socket: UdpSocket,
    nonce: u64,
    cookie: u64,
}

enum Answer {
    Account(Box<Account>),
    Mirror,
    Silent,
    Refusal,
}

const EVERY: Duration = Duration::from_millis(100);
/// How often to ask before giving up, and how long each may take.
const TRIES: usize = 8;
const PATIENCE: Duration = Duration::from_millis(250);

impl Prober {
    /// Asks for a first account, and if there is one goes on asking.
    ///
    /// # Errors
    /// The socket fails, or the system starts no thread.
    pub(super) fn start(mut socket: ProbeSocket) -> io::Result<Found> {
        let first = match socket.ask_patiently()? {
            Answer::Account(account) => *account,
            Answer::Mirror => return Ok(Found::Mirror),
            Answer::Silent => return Ok(Found::Silent),
            Answer::Refusal => return Ok(Found::Closed),
        };
        let latest = Arc::new(Mutex::new(first));
        let load = Arc::new(OnceLock::new());
        let (stop, stopped) = channel();
        let (told, ends) = (Arc::clone(&latest), Arc::clone(&load));
        let thread = thread::Builder::new().name("probe".to_owned());
        let thread = thread.spawn(move || socket.watch(&told, &ends, &stopped))?;
        Ok(Found::Campanile(Box::new(Self { first, latest, load, stop, thread })))
    }

    /// Sets the load that is stopped once nothing listens any more: a host refuses a few packets a second, and the load's own may be none
    /// of them.
    pub(super) fn ends(&self, load: Stopper) {
        self.load.set(load).expect("a prober is one load's");
    }

    /// What the server has done so far.
    pub(super) fn progress(&self) -> Span {
        let last = *self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        Span { first: self.first, last }
    }

    /// Asks once more and stops.
    pub(super) fn finish(self: Box<Self>) -> Asked {
        let latest = self.progress().last;
        // This fails only if the thread has ended already.
        let _ = self.stop.send(());
        let mut socket = match self.thread.join() {
            Ok(Watched::Stopped(socket)) => socket,
            Ok(Watched::Refused) => return Asked::Refused,
            Ok(Watched::Restarted) | Err(_) => return Asked::Unanswered,
        };
        match socket.ask_patiently() {
            Ok(Answer::Account(last)) if last.uptime_ns >= latest.uptime_ns => {
                Asked::Answered(Box::new(Span { first: self.first, last: *last }))
            }
            _ => Asked::Unanswered,
        }
    }
}

impl ProbeSocket {
    pub(super) fn new(target: SocketAddr) -> io::Result<Self> {
        let every =
            if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let first = UdpSocket::bind(SocketAddr::new(every, 0))?;
        // A careful server does not answer packets from its own port number, which may be another server's.
        let socket = match first.local_addr()?.port() == target.port() {
            true => UdpSocket::bind(SocketAddr::new(every, 0))?,
            false => first,
        };
        socket.connect(target)?;
        Ok(Self { socket, nonce: 0, cookie: 0 })
    }

    /// Asks several times, since the first answers may be lost or be only a cookie.
    fn ask_patiently(&mut self) -> io::Result<Answer> {
        for _ in 0..TRIES {
            match self.ask(PATIENCE)? {
                Answer::Silent => {}
                answer => return Ok(answer),
            }
        }
        Ok(Answer::Silent)
    }

    /// Asks once, and once more if the answer is a cookie.
    fn ask(&mut self, patience: Duration) -> io::Result<Answer> {
        let until = Instant::now() + patience;
        self.send();
        let mut datagram = [0; Probe::LEN + 1];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Answer::Silent);
            }
            self.socket.set_read_timeout(Some(left))?;
            let len = match self.socket.recv(&mut datagram) {
                Ok(len) => len,
                // A host refuses only a few times a second: perhaps none of the load's own packets.
                Err(error) if is_refusal(&error) => return Ok(Answer::Refusal),
                // No answer in time: the load itself will report that better.
                Err(_) => return Ok(Answer::Silent),
            };
            match Probe::read(&datagram[..len]) {
                Some(Probe::Account { nonce, account }) if nonce == self.nonce => {
                    return Ok(Answer::Account(Box::new(account)));
                }
                Some(Probe::Cookie { nonce, cookie }) if nonce == self.nonce => {
                    self.cookie = cookie;
                    self.send();
                }
                Some(Probe::Ask { nonce, .. }) if nonce == self.nonce => return Ok(Answer::Mirror),
                // An answer to an earlier ask, or something else.
                _ => {}
            }
        }
    }

    fn send(&mut self) {
        self.nonce += 1;
        let mut datagram = [0; Probe::LEN];
        let len = Probe::Ask { nonce: self.nonce, cookie: self.cookie }.write(&mut datagram);
        // An ask that cannot be sent is treated like one that is lost.
        let _ = self.socket.send(&datagram[..len]);
    }

    /// Asks until it is stopped, or until there is no use in asking on.
    fn watch(mut self, latest: &Mutex<Account>, load: &OnceLock<Stopper>, stop: &Receiver<()>) -> Watched {
        while stop.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            match (self.ask(EVERY), load.get()) {
                (Ok(Answer::Account(account)), _) => {
                    let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
                    if account.uptime_ns < latest.uptime_ns {
                        return Watched::Restarted;
                    }
                    *latest = *account;
                }
                (Ok(Answer::Refusal), Some(load)) => {
                    load.stop();
                    return Watched::Refused;
                }
                _ => {}
            }
        }
        Watched::Stopped(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cores;
    use crate::echo::{EchoConfig, EchoServer};

    /// Longer than any answer or work takes, however slow the machine.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn our_server_keeps_an_account() {
        let cores = cores::first(1).expect("there is always one");
        let bind = Some(Ipv4Addr::LOCALHOST.into());
        let server = EchoServer::start(&EchoConfig { bind, cores, ..EchoConfig::default() }).expect("starts");
        let Ok(Found::Campanile(prober)) = begin(server.description().address) else {
            panic!("it is one of ours");
        };
        let client = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        client.connect(server.description().address).expect("loopback leads there");
        client.set_read_timeout(Some(LONG)).expect("a timeout above zero");
        // Some systems count processor time in steps of 15 ms: the server works until it shows.
        let until = Instant::now() + LONG;
        let mut sent: u64 = 0;
        while sent == 0 || cpu_ns(&prober) == 0 {
            assert!(Instant::now() < until, "no processor time after {sent} packets");
            sent += 1;
            client.send(&[sent.to_le_bytes(); 12].concat()).expect("sent");
            client.recv(&mut [0; 200]).expect("answered");
        }
        let Asked::Answered(span) = prober.finish() else { panic!("it is still there") };
        let Span { first, last } = *span;
        assert_eq!((first.workers, last.receive_buffer), (1, server.description().receive_buffer as u64));
        let counts = last.counts.since(&first.counts);
        assert_eq!(counts.received.packets - counts.probes.asked, sent);
        assert_eq!(counts.replied.packets - counts.probes.answered, sent);
        assert!(counts.cpu_ns > 0 && last.uptime_ns > first.uptime_ns, "{counts:?}");
    }

    /// It has run longer since than before.
    #[test]
    fn a_server_that_was_restarted_has_no_account() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let target = server.local_addr().expect("it is bound");
        let (told, answers) = channel();
        let thread = thread::spawn(move || {
            for uptime_ns in [5, 6, 1, 9] {
                let mut ask = [0; 300];
                let (len, from) = server.recv_from(&mut ask).expect("an ask comes, or the end");
                let Some(Probe::Ask { nonce, .. }) = Probe::read(&ask[..len]) else { return };
                let account = Account { uptime_ns, workers: 1, ..Account::default() };
                let mut datagram = [0; Probe::LEN];
                let len = Probe::Account { nonce, account }.write(&mut datagram);
                server.send_to(&datagram[..len], from).expect("sent");
                told.send(()).expect("the test waits for it");
            }
        });
        let Ok(Found::Campanile(prober)) = begin(target) else { panic!("it keeps an account") };
        assert_eq!(answers.iter().take(3).count(), 3);
        assert!(matches!(prober.finish(), Asked::Unanswered));
        let end = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        end.send_to(&[], target).expect("sent");
        thread.join().expect("the server does not panic");
    }

    fn begin(target: SocketAddr) -> io::Result<Found> {
        Prober::start(ProbeSocket::new(target)?)
    }

    fn cpu_ns(prober: &Prober) -> u64 {
        let Span { first, last } = prober.progress();
        last.counts.since(&first.counts).cpu_ns
    }

    #[test]
    fn a_mirror_is_told_from_silence() {
        let mirror = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let target = mirror.local_addr().expect("it is bound");
        let thread = thread::spawn(move || {
            let mut datagram = [0; 300];
            let (len, from) = mirror.recv_from(&mut datagram).expect("an ask comes");
            mirror.send_to(&datagram[..len], from).expect("sent");
            mirror
        });
        assert!(matches!(begin(target), Ok(Found::Mirror)));
        let _silent = thread.join().expect("the mirror does not panic");
        assert!(matches!(begin(target), Ok(Found::Silent)));
    }

    #[test]
    fn a_refusal_is_told_from_silence() {
        let target = {
            let gone = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
            gone.local_addr().expect("it is bound")
        };
        let socket = ProbeSocket::new(target).expect("loopback has a free port");
        socket.socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout above zero");
        socket.socket.send(&[0]).expect("sent");
        // Not every system reports what the target's host says.
        if socket.socket.recv(&mut [0]).is_err_and(|error| is_refusal(&error)) {
            assert!(matches!(Prober::start(socket), Ok(Found::Closed)));
        }
    }
}
