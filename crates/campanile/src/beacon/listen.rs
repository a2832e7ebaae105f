//! The listener.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use campanile_engine::interface::{self, Listed};
use campanile_engine::multicast::{self, Membership};
use campanile_engine::udp::{UdpConfig, UdpSocket};
use campanile_engine::{Config, Engine, Event, Interface};

use super::arrivals::{Arrival, Arrivals};
use super::packet::Head;
use super::send::ns_since_1970;
use super::{BeaconError, GROUP};
use crate::utc::Utc;
use crate::worker::Stopper;

/// What a listener listens to.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// The group and port.
    pub group: SocketAddr,
    /// The interfaces to listen on; if empty, every one that can join the group.
    pub interfaces: Vec<Interface>,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self { group: GROUP, interfaces: Vec::new() }
    }
}

/// A listener. Everything that arrives after [`Listener::open`] returned is heard, the first datagram too.
#[derive(Debug)]
pub struct Listener {
    engine: Engine,
    stopper: Stopper,
    is_stopped: bool,
    listed: Vec<Listed>,
    joined: Vec<String>,
    unheard: Vec<Unheard>,
    sources: HashMap<(SocketAddr, u64), Arrivals>,
    /// What the last poll brought and has not been taken yet: at most what the engine's buffers hold.
    waiting: VecDeque<Heard>,
    foreign: u64,
}

/// An interface on which the group cannot be heard.
#[derive(Debug)]
pub struct Unheard {
    /// Its name.
    pub interface: String,
    /// The system's answer.
    pub error: io::Error,
}

/// A datagram that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The sender.
    pub from: SocketAddr,
    /// The name of the interface it arrived on, where the system says that.
    pub interface: Option<String>,
    /// When it was taken.
    pub time: Utc,
    /// Its bytes, head included.
    pub bytes: usize,
    /// What its head says; `None` if no beacon sent it, or if there are more sources than are tracked.
    pub number: Option<Number>,
    /// Its bytes after the head; all of them if it has none.
    pub payload: Vec<u8>,
}

/// What the head of a datagram says, and what it shows about earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Its number, from 0.
    pub sequence: u64,
    /// When it was sent, by the sender's clock.
    pub sent: Utc,
    /// Nanoseconds from then until it was taken, by the two clocks.
    pub age_ns: i64,
    /// What the number shows.
    pub arrival: Arrival,
}

/// What was heard of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceSummary {
    /// The sender.
    pub from: SocketAddr,
    /// Its numbers.
    pub arrivals: Arrivals,
}

impl Listener {
    /// Joins the group on the chosen interfaces, or else on every interface that can; [`Listener::unheard`] lists those that cannot.
    ///
    /// # Errors
    /// The address is not a group, a chosen interface cannot join it, or none can.
    pub fn open(config: &ListenerConfig) -> Result<Self, BeaconError> {
        let group = config.group;
        if !group.ip().is_multicast() {
            return Err(BeaconError::NotAGroup(group));
        }
        let listed = interface::list().map_err(io::Error::from);
        let listed = listed.map_err(|error| BeaconError::Socket { group, interface: None, error })?;
        let Joined { sockets, joined, unheard } = if config.interfaces.is_empty() {
            join_all(group, &listed)?
        } else {
            join_each(group, &config.interfaces)?
        };
        let mut engine = Engine::new(&Config::default()).map_err(BeaconError::Engine)?;
        for socket in sockets {
            engine.add(socket).map_err(BeaconError::Engine)?;
        }
        let stopper = Stopper::of(engine.waker());
        Ok(Self {
            engine,
            stopper,
            is_stopped: false,
            listed,
            joined,
            unheard,
            sources: HashMap::new(),
            waiting: VecDeque::new(),
            foreign: 0,
        })
    }

    /// The interfaces that it listens on.
    #[must_use]
    pub fn interfaces(&self) -> &[String] {
        &self.joined
    }

    /// The interfaces that it could not listen on.
    #[must_use]
    pub fn unheard(&self) -> &[Unheard] {
        &self.unheard
    }

    /// Ends [`Listener::hear`], from any thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The next datagram; `None` when the listener was stopped, or at `deadline`.
    ///
    /// # Errors
    /// The engine cannot go on.
    pub fn hear(&mut self, deadline: Option<Instant>) -> Result<Option<Heard>, BeaconError> {
        loop {
            if let Some(heard) = self.waiting.pop_front() {
                return Ok(Some(heard));
            }
            if self.is_stopped || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(None);
            }
            self.turn(deadline)?;
        }
    }

    /// What has been heard so far of each source, in no particular order.
    pub fn summary(&self) -> impl Iterator<Item = SourceSummary> {
        self.sources.iter().map(|(&(from, _), &arrivals)| SourceSummary { from, arrivals })
    }

    /// Datagrams that no beacon sent, or of more sources than are tracked.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Datagrams that the kernel dropped because they came faster than they were taken, where it reports that.
    #[must_use]
    pub fn dropped_by_kernel(&self) -> u64 {
        self.engine.stats().dropped.kernel
    }

    fn turn(&mut self, deadline: Option<Instant>) -> Result<(), BeaconError> {
        self.engine.poll(deadline).map_err(BeaconError::Engine)?;
        let now = SystemTime::now();
        while let Some(event) = self.engine.next_event() {
            match event {
                Event::Stopped => self.is_stopped = true,
                Event::Train(train) => {
                    for datagram in train.datagrams() {
                        let number = number(&mut self.sources, train.path().from, datagram, now);
                        self.foreign += u64::from(number.is_none());
                        let interface = name(&self.listed, train.path().interface);
                        self.waiting.push_back(Heard {
                            from: train.path().from,
                            interface,
                            time: now.into(),
                            bytes: datagram.len(),
                            number,
                            payload: Head::read(datagram).map_or(datagram, |(_, payload)| payload).to_vec(),
                        });
                    }
                }
                Event::Failed(_) | Event::Truncated { .. } | Event::Woken => {}
            }
        }
        Ok(())
    }
}

fn name(listed: &[Listed], index: u32) -> Option<String> {
    listed.iter().find(|known| known.index == index).map(|known| known.name.clone())
}

/// What the head of a datagram tells. The number of sources that are tracked is bounded; beyond it, new ones count as foreign.
fn number(
    sources: &mut HashMap<(SocketAddr, u64), Arrivals>,
    from: SocketAddr,
    datagram: &[u8],
    now: SystemTime,
) -> Option<Number> {
    let (head, _) = Head::read(datagram)?;
    let key = (from, head.started_ns);
    let has_room = sources.len() < SOURCES_MAX;
    let arrival = match sources.entry(key) {
        Entry::Occupied(known) => known.into_mut().take(head.sequence),
        Entry::Vacant(unknown) if has_room => {
            unknown.insert(Arrivals::new(head.sequence));
            Arrival::Next { missing: 0 }
        }
        Entry::Vacant(_) => return None,
    };
    let age = i128::from(ns_since_1970(now)) - i128::from(head.sent_ns);
    let age_ns = i64::try_from(age).unwrap_or(if age < 0 { i64::MIN } else { i64::MAX });
    let sent = Utc::since_1970(Duration::from_nanos(head.sent_ns));
    Some(Number { sequence: head.sequence, sent, age_ns, arrival })
}

/// Sockets that are in the group, and where.
struct Joined {
    sockets: Vec<UdpSocket>,
    joined: Vec<String>,
    unheard: Vec<Unheard>,
}

/// Joins on every interface that has an address of the group's family.
fn join_all(group: SocketAddr, listed: &[Listed]) -> Result<Joined, BeaconError> {
    let same_family = |address: &IpAddr| address.is_ipv4() == group.is_ipv4();
    let (mut sockets, mut joined, mut unheard) = (Vec::new(), Vec::new(), Vec::new());
    for known in listed.iter().filter(|known| known.addresses.iter().any(same_family)) {
        match join(&mut sockets, group, &Interface::Index(known.index)) {
            Ok(()) => joined.push(known.name.clone()),
            Err(error) => unheard.push(Unheard { interface: known.name.clone(), error }),
        }
    }
    if !sockets.is_empty() {
        return Ok(Joined { sockets, joined, unheard });
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, "no interface has an address of its family");
    let error = unheard.pop().map_or_else(none, |unheard| unheard.error);
    Err(BeaconError::Socket { group, interface: None, error })
}

fn join_each(group: SocketAddr, interfaces: &[Interface]) -> Result<Joined, BeaconError> {
    let mut sockets = Vec::new();
    for interface in interfaces {
        join(&mut sockets, group, interface).map_err(|error| BeaconError::Socket {
            group,
            interface: Some(interface.clone()),
            error,
        })?;
    }
    Ok(Joined { sockets, joined: interfaces.iter().map(ToString::to_string).collect(), unheard: Vec::new() })
}

/// Joins on one more interface, with the socket of the first. A link-local group is a different one on each interface and has a socket
/// for each.
fn join(sockets: &mut Vec<UdpSocket>, group: SocketAddr, interface: &Interface) -> io::Result<()> {
    let membership = Membership { interface: Some(interface.clone()), ..Membership::any_source(group.ip()) };
    match sockets.last() {
        Some(socket) if !multicast::is_link_local(group.ip()) => socket.join(&membership),
        _ => {
            let config = UdpConfig { receive_buffer: Some(RECEIVE_BUFFER), ..UdpConfig::new(group) };
            sockets.push(multicast::bind(&membership, group.port(), &config)?);
            Ok(())
        }
    }
}

/// The most sources that are tracked.
const SOURCES_MAX: usize = 4096;
/// Bytes of receive buffer to ask for: many datagrams of the largest size.
const RECEIVE_BUFFER: usize = 4 << 20;
