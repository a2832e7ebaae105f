//! The beacon.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use campanile_engine::multicast::Sending;
use campanile_engine::udp::{self, UdpConfig};
use campanile_engine::{Config, Engine, Event, Interface, Operation, SocketId, Transmit};

use super::packet::Head;
use super::{BeaconError, GROUP};
use crate::utc::Utc;
use crate::worker::Stopper;

/// What a beacon sends, and where to.
#[derive(Clone, Debug)]
pub struct BeaconConfig {
    /// The group and port.
    pub group: SocketAddr,
    /// The time from one datagram to the next.
    pub every: Duration,
    /// Datagrams to send; without end if `None`.
    pub count: Option<u64>,
    /// What each one says; the universal time, as text, if `None`.
    pub payload: Option<Vec<u8>>,
    /// Bytes of each datagram: zeros follow the payload. As few as possible if `None`.
    pub size: Option<usize>,
    /// Time to live or hop limit: 1 stays on the link.
    pub ttl: u8,
    /// The interface it leaves by; the system's choice if `None`.
    pub interface: Option<Interface>,
}

impl Default for BeaconConfig {
    fn default() -> Self {
        Self {
            group: GROUP,
            every: Duration::from_secs(1),
            count: None,
            payload: None,
            size: None,
            ttl: 1,
            interface: None,
        }
    }
}

/// A beacon. [`Beacon::send_next`] waits for the moment of the next datagram and sends it.
#[derive(Debug)]
pub struct Beacon {
    engine: Engine,
    socket: SocketId,
    config: BeaconConfig,
    stopper: Stopper,
    is_stopped: bool,
    /// When the next datagram is due; `None` if that is beyond what a clock can tell.
    due: Option<Instant>,
    started_ns: u64,
    /// The number of the next datagram, and so how many have been sent.
    pub(super) next: u64,
}

/// A datagram that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its number, from 0.
    pub sequence: u64,
    /// When it was sent.
    pub time: Utc,
    /// Its bytes, head included.
    pub bytes: usize,
}

impl Beacon {
    /// Makes the socket and the engine. The first datagram is due at once.
    ///
    /// # Errors
    /// The address is not a group, the size is impossible, or the system has no socket for it.
    pub fn open(config: &BeaconConfig) -> Result<Self, BeaconError> {
        let group = config.group;
        if !group.ip().is_multicast() {
            return Err(BeaconError::NotAGroup(group));
        }
        let payload_len = config.payload.as_ref().map_or(TIME_LEN, Vec::len);
        let (least, most) = (Head::LEN + payload_len, if group.is_ipv4() { 65_507 } else { 65_527 });
        let asked = config.size.unwrap_or(least);
        if !(least..=most).contains(&asked) {
            return Err(BeaconError::Size { asked, least, most });
        }
        let every = if group.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let sending = Sending { ttl: config.ttl, loopback: true, interface: config.interface.clone() };
        let socket = udp::bind(&UdpConfig {
            multicast: sending,
            send_buffer: Some(SEND_BUFFER),
            ..UdpConfig::new(SocketAddr::new(every, 0))
        });
        let interface = config.interface.clone();
        let socket = socket.map_err(|error| BeaconError::Socket { group, interface, error })?;
        let memory = Config { receive_buffers: 2, transmit_buffers: 2, ..Config::default() };
        let mut engine = Engine::new(&memory).map_err(BeaconError::Engine)?;
        let socket = engine.add(socket).map_err(BeaconError::Engine)?;
        let stopper = Stopper::of(engine.waker());
        let (config, due) = (config.clone(), Some(Instant::now()));
        Ok(Self { engine, socket, config, stopper, is_stopped: false, due, started_ns: now_ns(), next: 0 })
    }

    /// Ends [`Beacon::send_next`], from any thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until the next datagram is due, and sends it; `None` when all were sent, or when it was stopped.
    ///
    /// Datagrams are due at fixed times: a late one does not delay those after it.
    ///
    /// # Errors
    /// The system refuses to send.
    pub fn send_next(&mut self) -> Result<Option<Sent>, BeaconError> {
        if self.config.count.is_some_and(|count| self.next >= count) {
            return Ok(None);
        }
        while !self.is_stopped && self.due.is_none_or(|due| Instant::now() < due) {
            self.turn(self.due)?;
        }
        if self.is_stopped {
            return Ok(None);
        }
        let sent = self.send()?;
        self.next += 1;
        self.due = self.due.and_then(|due| due.checked_add(self.config.every));
        // The buffer is free again when the system has taken the datagram or refused it, mostly at once.
        let mut patience = Duration::ZERO;
        while self.engine.stats().transmit_buffers_in_use > 0 {
            self.turn(Instant::now().checked_add(patience))?;
            patience = Duration::from_millis(1);
        }
        Ok(Some(sent))
    }

    fn send(&mut self) -> Result<Sent, BeaconError> {
        let time = SystemTime::now();
        let head = Head { started_ns: self.started_ns, sequence: self.next, sent_ns: ns_since_1970(time) };
        let told = Utc::from(time);
        let text;
        let payload = match &self.config.payload {
            Some(payload) => &payload[..],
            None => {
                text = told.to_string();
                text.as_bytes()
            }
        };
        let end = Head::LEN + payload.len();
        let len = self.config.size.unwrap_or(end);
        let mut slot = self.engine.transmit_slot().expect("all memory is back before the next datagram");
        let bytes = &mut slot.bytes_mut()[..len];
        bytes[..Head::LEN].copy_from_slice(&head.to_bytes());
        bytes[Head::LEN..end].copy_from_slice(payload);
        bytes[end..].fill(0);
        slot.send(self.socket, &Transmit::datagram(Some(self.config.group), len));
        Ok(Sent { sequence: self.next, time: told, bytes: len })
    }

    /// Lets the engine work until something happens, or until `deadline`.
    fn turn(&mut self, deadline: Option<Instant>) -> Result<(), BeaconError> {
        self.engine.poll(deadline).map_err(BeaconError::Engine)?;
        let mut refused = None;
        while let Some(event) = self.engine.next_event() {
            match event {
                Event::Stopped => self.is_stopped = true,
                Event::Failed(failure) if failure.operation == Operation::Send => {
                    refused = refused.or(Some(failure.error()));
                }
                _ => {}
            }
        }
        match refused {
            Some(error) => Err(BeaconError::Send { group: self.config.group, error }),
            None => Ok(()),
        }
    }
}

pub(super) fn ns_since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn now_ns() -> u64 {
    ns_since_1970(SystemTime::now())
}

/// Bytes of the time as text, until the year 9999 ends.
const TIME_LEN: usize = 27;
/// The largest datagram fits.
const SEND_BUFFER: usize = 256 * 1024;
