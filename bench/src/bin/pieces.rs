//! The cost of trains between the application's bytes and the kernel, by where their packets are in memory.
//!
//! `pieces FROM TO WAY SECONDS` sends trains to a group whose members do not matter, and prints the bytes of payload per second, first
//! for all the work, then for sending alone. Each message is copied into a packet of a window of 64 MiB; the rest depends on WAY:
//!
//! - `summed-late`: copied into a train, computing the sum, and sent from there.
//! - `summed-early`: summed by the first copy; copied into a train and sent from there.
//! - `apart`: summed by the first copy; sent in place, with its head from the train's buffer.
//! - `in-front`: the same with room for the head in front of the payload, so that a packet is one piece.
//! - `in-a-row`: the same with the packets of a train contiguous in memory, so that a train is one piece.

use std::error::Error;
use std::mem;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use campanile_bench::arguments::Arguments;
use campanile_bench::socket::{check, enlarge, set_option};

/// Packets in a train.
const TRAIN: usize = 44;
/// The length of the head of a PGM data packet without options, and of what follows it.
const HEAD: usize = 24;
const PAYLOAD: usize = 1376;
const STRIDE: usize = HEAD + PAYLOAD;
/// Trains that a window of 64 MiB has room for.
const WINDOW: usize = (64 << 20) / (TRAIN * STRIDE);

fn main() -> ExitCode {
    match run(Arguments::parse(std::env::args().skip(1))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pieces: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let (from, to) = (arguments.word::<Ipv4Addr>("from")?, arguments.word::<Ipv4Addr>("to")?);
    let (way, seconds) = (arguments.word("way")?, arguments.word("seconds")?);
    arguments.end()?;
    let mut sender = Sender::new(way, socket(from, to)?);
    // The first use of memory is slower, since the kernel has to clear it.
    (0..WINDOW).try_for_each(|_| sender.turn().map(drop))?;
    let (length, start) = (Duration::from_secs_f64(seconds), Instant::now());
    let (mut trains, mut sending) = (0, Duration::ZERO);
    while trains == 0 || start.elapsed() < length {
        sending += sender.turn()?;
        trains += 1;
    }
    let bytes = (trains * TRAIN * PAYLOAD) as f64;
    println!("{} {}", bytes / start.elapsed().as_secs_f64(), bytes / sending.as_secs_f64());
    Ok(())
}

/// A socket that sends trains to a group, without a loop back.
fn socket(from: Ipv4Addr, to: Ipv4Addr) -> Result<UdpSocket, Box<dyn Error>> {
    if !to.is_multicast() {
        return Err(format!("{to} is no group").into());
    }
    let socket = UdpSocket::bind((from, 0))?;
    enlarge(&socket)?;
    socket.set_multicast_loop_v4(false)?;
    set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, STRIDE as libc::c_int)?;
    socket.connect((to, 7500))?;
    Ok(socket)
}

/// Where packets are in memory, and from where they are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    SummedLate,
    SummedEarly,
    Apart,
    InFront,
    InARow,
}

impl FromStr for Way {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "summed-late" => Ok(Self::SummedLate),
            "summed-early" => Ok(Self::SummedEarly),
            "apart" => Ok(Self::Apart),
            "in-front" => Ok(Self::InFront),
            "in-a-row" => Ok(Self::InARow),
            _ => Err(()),
        }
    }
}

/// A ring of packets that are filled and sent, with room for the head in front of every payload.
struct Window {
    /// One block per train if its packets are contiguous, otherwise one per packet.
    blocks: Vec<Box<[u8]>>,
    packets_per_block: usize,
    /// The train that is filled or sent.
    current: usize,
}

impl Window {
    fn new(packets_per_block: usize) -> Self {
        let count = WINDOW * TRAIN / packets_per_block;
        let block = || vec![0; packets_per_block * STRIDE].into_boxed_slice();
        Self { blocks: (0..count).map(|_| block()).collect(), packets_per_block, current: 0 }
    }

    fn packet_mut(&mut self, at: usize) -> &mut [u8] {
        let (block, start) = self.place(at);
        &mut self.blocks[block][start..start + STRIDE]
    }

    /// The memory from a packet of the train on.
    fn from(&self, at: usize) -> &[u8] {
        let (block, start) = self.place(at);
        &self.blocks[block][start..]
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let number = self.current * TRAIN + at;
        (number / self.packets_per_block, number % self.packets_per_block * STRIDE)
    }

    fn go_on(&mut self) {
        self.current = (self.current + 1) % WINDOW;
    }
}

/// Fills the window and sends it.
struct Sender {
    way: Way,
    socket: UdpSocket,
    /// The messages in a train.
    messages: Vec<[u8; PAYLOAD]>,
    window: Window,
    sums: [u64; TRAIN],
    /// The buffer in which trains are built.
    train: Box<[u8]>,
    pieces: Vec<libc::iovec>,
}

impl Sender {
    fn new(way: Way, socket: UdpSocket) -> Self {
        Self {
            way,
            socket,
            messages: (0..TRAIN).map(|number| [number as u8; PAYLOAD]).collect(),
            window: Window::new(if way == Way::InARow { TRAIN } else { 1 }),
            sums: [0; TRAIN],
            train: vec![0; TRAIN * STRIDE].into_boxed_slice(),
            pieces: Vec::with_capacity(2 * TRAIN),
        }
    }

    /// Fills a train of packets and sends it; returns how long the sending took.
    fn turn(&mut self) -> Result<Duration, Box<dyn Error>> {
        (0..TRAIN).for_each(|at| self.fill(at));
        let start = Instant::now();
        self.pieces.clear();
        (0..TRAIN).for_each(|at| self.address(at));
        match self.way {
            Way::SummedLate | Way::SummedEarly => self.pieces.push(piece(&self.train)),
            Way::Apart | Way::InFront => {}
            Way::InARow => self.pieces.push(piece(self.window.from(0))),
        }
        self.send()?;
        self.window.go_on();
        Ok(start.elapsed())
    }

    /// Copies a message into a packet, as the application does.
    fn fill(&mut self, at: usize) {
        let (message, payload) = (&self.messages[at], &mut self.window.packet_mut(at)[HEAD..]);
        match self.way {
            Way::SummedLate => payload.copy_from_slice(message),
            _ => self.sums[at] = copy_and_sum(message, payload),
        }
    }

    /// Writes a packet's head, and records where the packet is sent from.
    fn address(&mut self, at: usize) {
        let packet = self.window.packet_mut(at);
        let in_train = &mut self.train[at * STRIDE..(at + 1) * STRIDE];
        match self.way {
            Way::SummedLate => {
                self.sums[at] = copy_and_sum(&packet[HEAD..], &mut in_train[HEAD..]);
                put_head(self.sums[at], in_train);
            }
            Way::SummedEarly => {
                in_train[HEAD..].copy_from_slice(&packet[HEAD..]);
                put_head(self.sums[at], in_train);
            }
            Way::Apart => {
                let head = &mut self.train[at * HEAD..(at + 1) * HEAD];
                put_head(self.sums[at], head);
                self.pieces.extend([piece(head), piece(&packet[HEAD..])]);
            }
            Way::InFront => {
                put_head(self.sums[at], packet);
                self.pieces.push(piece(packet));
            }
            Way::InARow => put_head(self.sums[at], packet),
        }
    }

    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        // SAFETY: a message header is numbers and pointers, and zero is a value of each.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = self.pieces.as_mut_ptr();
        header.msg_iovlen = self.pieces.len() as _;
        // SAFETY: the pieces lie in `train` and `window`, which stand still, and nothing writes there during the call.
        let sent = check(unsafe { libc::sendmsg(self.socket.as_raw_fd(), &raw const header, 0) } as i64)?;
        if sent == TRAIN * STRIDE { Ok(()) } else { Err("a train was sent in part".into()) }
    }
}

fn piece(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Writes as many bytes as a head has, with the sum in them.
fn put_head(sum: u64, packet: &mut [u8]) {
    packet[..8].copy_from_slice(&sum.to_ne_bytes());
    packet[8..HEAD].fill(7);
}

/// Copies a payload and adds up its 16-bit words, in lanes that no payload overflows.
fn copy_and_sum(from: &[u8], to: &mut [u8]) -> u64 {
    let (mut lanes, words) = ([0_u32; 32], from.chunks_exact(64));
    let rest = words.remainder();
    let (to, to_rest) = to.split_at_mut(from.len() - rest.len());
    for (block, copy) in words.zip(to.chunks_exact_mut(64)) {
        copy.copy_from_slice(block);
        for (lane, word) in lanes.iter_mut().zip(copy.chunks_exact(2)) {
            *lane += u32::from(u16::from_ne_bytes([word[0], word[1]]));
        }
    }
    to_rest.copy_from_slice(rest);
    let rest = rest.chunks(2).map(|word| u16::from_ne_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
    rest.map(u64::from).sum::<u64>() + lanes.map(u64::from).iter().sum::<u64>()
}
