//! The smallest program that sends datagrams of 64 bytes as fast as it can, each stamped with its number and the time, and a sink for
//! them.
//!
//! `flood sink PORT` answers the first datagram, so that a client that measures it knows that it is there, and then reads nothing more
//! from its socket: the system drops what arrives. `flood send PORT SECONDS` sends 64 datagrams per `sendmmsg` to such a sink on
//! loopback, and prints how many left per second.

use std::error::Error;
use std::mem;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::ptr;
use std::time::{Duration, Instant};

use campanile_bench::feed::{now_ns, stay};
use campanile_bench::socket::{check, dial, serve};

/// Datagrams in a call, and the length of each.
const BATCH: usize = 64;
const SIZE: usize = 64;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["sink", port] => sink(port),
        ["send", port, seconds] => send(port, seconds),
        _ => Err("usage: sink PORT | send PORT SECONDS".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::from(2)
        }
    }
}

fn sink(port: &str) -> Result<(), Box<dyn Error>> {
    let socket = serve(port.parse()?)?;
    println!("ready");
    let mut first = [0; 65_536];
    let (len, from) = socket.recv_from(&mut first)?;
    socket.send_to(&first[..len], from)?;
    stay()
}

fn send(port: &str, seconds: &str) -> Result<(), Box<dyn Error>> {
    let socket = dial((Ipv4Addr::LOCALHOST, port.parse()?).into())?;
    let length = Duration::from_secs_f64(seconds.parse()?);
    let (mut batch, start, mut number) = (Batch::new(), Instant::now(), 0_u64);
    let mut sent = 0;
    while start.elapsed() < length {
        number = batch.stamp(number);
        sent += batch.send(&socket)?;
    }
    println!("{}", sent as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// Datagrams and the headers that point at them. Both stay where they are for as long as the process lives.
struct Batch {
    bytes: &'static mut [[u8; SIZE]; BATCH],
    headers: Box<[libc::mmsghdr]>,
}

impl Batch {
    fn new() -> Self {
        let bytes = Box::leak(Box::new([[0; SIZE]; BATCH]));
        let header = |datagram: &mut [u8; SIZE]| {
            let slice = libc::iovec { iov_base: datagram.as_mut_ptr().cast(), iov_len: SIZE };
            // SAFETY: a message header is numbers and pointers, and zero is a value of each.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = ptr::from_mut(Box::leak(Box::new(slice)));
            header.msg_hdr.msg_iovlen = 1;
            header
        };
        let headers = bytes.iter_mut().map(header).collect();
        Self { bytes, headers }
    }

    /// Numbers the datagrams from `first` on and stamps each with its own time; returns the next number.
    fn stamp(&mut self, first: u64) -> u64 {
        for (number, datagram) in (first..).zip(self.bytes.iter_mut()) {
            datagram[..8].copy_from_slice(&number.to_be_bytes());
            datagram[8..16].copy_from_slice(&now_ns().to_be_bytes());
        }
        first + BATCH as u64
    }

    /// Sends them, and returns how many were sent.
    fn send(&mut self, socket: &UdpSocket) -> Result<usize, Box<dyn Error>> {
        let mut sent = 0;
        while sent < BATCH {
            let rest = &mut self.headers[sent..];
            let (headers, count) = (rest.as_mut_ptr(), rest.len() as u32);
            // SAFETY: there are as many headers as it says, and what they point at is never freed.
            match check(unsafe { libc::sendmmsg(socket.as_raw_fd(), headers, count, 0) }) {
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(BATCH)
    }
}
