//! The connected socket, the train that it sends, and the replies.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use campanile_bench::packet::{self, FLAGS, HEADER, Header};
use campanile_bench::socket::{check, dial, set_option};

use crate::trains::Trains;

/// A socket to the server and trains that are sent repeatedly, each time with a new number in the first datagram.
pub(crate) struct Line {
    socket: UdpSocket,
    trains: Trains,
    size: usize,
    next_seq: u64,
    /// The zero of the client's clock.
    epoch: Instant,
}

/// The result of one receive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    /// How many datagrams.
    pub(crate) datagrams: usize,
    /// The header of the first of them.
    pub(crate) first: Header,
    /// Whether their length and number are what this client sends.
    pub(crate) ours: bool,
}

impl Line {
    pub(crate) fn open(to: SocketAddr, size: usize, segments: usize) -> Result<Self, Box<dyn Error>> {
        let fits = (HEADER..=MOST_BYTES).contains(&size) && (1..=MOST_SEGMENTS).contains(&segments);
        if !fits || size * segments > MOST_BYTES {
            return Err(format!("{segments} datagrams of {size} bytes are no train").into());
        }
        let socket = dial(to)?;
        if segments > 1 {
            set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, size as libc::c_int)?;
        }
        let trains = Trains::new(size, segments)?;
        Ok(Self { socket, trains, size, next_seq: 1, epoch: Instant::now() })
    }

    /// Nanoseconds since the line was opened.
    pub(crate) fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Sends a train with a new number at its head; false if the kernel has no room.
    pub(crate) fn send(&mut self, now_ns: u64) -> io::Result<bool> {
        packet::stamp(self.trains.turn(), Header { seq: self.next_seq, sent_ns: now_ns });
        self.next_seq += 1;
        // Copying a few pages is cheaper than a zero-copy send.
        let (train, socket) = (self.trains.current(), &self.socket);
        let sent = if train.len() < WORTH_LENDING { socket.send(train) } else { self.trains.lend(socket) };
        match sent {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Receives what is there. Copies the first header only, so that the client stays cheaper than any server.
    pub(crate) fn receive(&self) -> io::Result<Option<Reply>> {
        let mut head = [0; HEADER];
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        let (fd, start, len) = (self.socket.as_raw_fd(), head.as_mut_ptr().cast(), head.len());
        // SAFETY: the buffer is a local of the length given; with MSG_TRUNC only the result is larger.
        match check(unsafe { libc::recv(fd, start, len, flags) } as i64) {
            Ok(len) => {
                let first = packet::read(&head);
                let ours = len >= self.size && len % self.size == 0 && first.seq < self.next_seq;
                Ok(Some(Reply { datagrams: len / self.size, first, ours }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The least cost of a receive that finds nothing.
    pub(crate) fn cost_of_nothing(&self) -> io::Result<Duration> {
        let mut least = Duration::MAX;
        for _ in 0..NOTHING_TRIES {
            let start = Instant::now();
            for _ in 0..NOTHING_SAMPLES {
                self.receive()?;
            }
            least = least.min(start.elapsed() / NOTHING_SAMPLES);
        }
        Ok(least)
    }

    /// Waits until the server answers, and then until everything is quiet.
    pub(crate) fn reach(&mut self) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            // A port that is not open yet answers with an error, here or at the receive.
            let _ = self.send(0);
            let sent = Instant::now();
            while sent.elapsed() < PROBE_INTERVAL {
                if let Ok(Some(_)) = self.receive() {
                    self.drain()?;
                    return Ok(());
                }
            }
        }
        Err(format!("the server did not answer for {PATIENCE:?}").into())
    }

    /// Receives until nothing has come for a while; returns how many datagrams came.
    pub(crate) fn drain(&self) -> io::Result<u64> {
        let (mut count, mut last) = (0, Instant::now());
        while last.elapsed() < QUIET {
            if let Some(reply) = self.receive()? {
                count += reply.datagrams as u64;
                last = Instant::now();
            }
        }
        Ok(count)
    }

    /// Sends one train and compares every byte that comes back, except the one that sockperf's server changes.
    pub(crate) fn prove(&mut self) -> Result<(), Box<dyn Error>> {
        self.send(0)?;
        let (start, mut back, mut bytes) = (Instant::now(), Vec::new(), vec![0; 65536]);
        let train = self.trains.current();
        while back.len() < train.len() && start.elapsed() < PATIENCE {
            match self.socket.recv(&mut bytes) {
                Ok(len) => back.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        let differs = |(index, (sent, got)): (usize, (&u8, &u8))| index % self.size != FLAGS && sent != got;
        if back.len() != train.len() || train.iter().zip(&back).enumerate().any(differs) {
            return Err("the server does not send back what it was sent".into());
        }
        Ok(())
    }
}

/// The most payload bytes of a datagram over IPv4, and so of a train.
const MOST_BYTES: usize = 65507;
/// Trains of at least this length are sent without a copy.
const WORTH_LENDING: usize = 16 * 1024;
/// The most datagrams in a train that every kernel with segmentation offload takes.
const MOST_SEGMENTS: usize = 64;
const NOTHING_TRIES: u32 = 10;
const NOTHING_SAMPLES: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(120);
const PROBE_INTERVAL: Duration = Duration::from_millis(5);
/// Longer than any answer takes.
const QUIET: Duration = Duration::from_millis(20);
