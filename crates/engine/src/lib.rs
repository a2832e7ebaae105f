//! Per-core completion I/O for UDP, in trains.
//!
//! A **train** is a run of equal-sized datagrams between one peer and one local address, received or sent in one operation:
//! `(peer, local, stride, bytes)`. One [`Engine`] belongs to one thread. It owns every byte that the kernel may touch; its user
//! borrows them, one event at a time:
//!
//! ```no_run
//! use campanile_engine::{Config, Engine, Event, udp};
//!
//! let socket = udp::bind(&udp::UdpConfig::new("127.0.0.1:0".parse().expect("a literal address")))?;
//! let mut engine = Engine::new(&Config::default())?;
//! engine.add(socket)?;
//! loop {
//!     engine.poll(None)?; // submits, waits, collects: the only call that blocks
//!     while let Some(event) = engine.next_event() {
//!         match event {
//!             Event::Train(train) => train.reply(), // the memory that came in goes out
//!             Event::Stopped => return Ok(()),
//!             _ => {}
//!         }
//!     }
//! }
//! # #[allow(unreachable_code, reason = "the loop gives the example its error type")]
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The order of calls is [`Engine::poll`], then [`Engine::next_event`] until it gives `None`, then
//! [`Engine::transmit_slot`] as long as there is something to send. A [`Waker`] reaches the engine from other threads.
//!
//! Three backends give the same meaning to these calls: `epoll` and `uring` on Linux, `iocp` on Windows. [`Capabilities`] says what
//! each of them can do. The engine knows no protocol above UDP.
//!
//! Other calls that differ from system to system are here too, so that no other crate needs to know which one it runs on:
//! [`cpu`], [`interface`], [`multicast`], [`card`], [`offload`], [`privilege`], [`mode`], [`storage`], [`hangup`].
//!
//! To read the code, begin with `core` (what a backend and its engine share), then `sys/linux/uring.rs`, whose module documentation
//! follows a buffer through the kernel and back. All memory that a kernel may touch is one allocation (`pool`), and the token of a
//! buffer is the right to touch it: the `unsafe` blocks rely on that.

pub mod card;
mod config;
mod core;
pub mod cpu;
mod engine;
mod event;
pub mod hangup;
pub mod interface;
pub mod mode;
pub mod multicast;
pub mod offload;
mod operation;
mod outgoing;
mod pool;
pub mod privilege;
mod shortage;
mod slots;
mod stats;
pub mod storage;
mod sys;
pub mod udp;
mod waker;

pub use config::{Capabilities, Choice, Config, Fallback, UnknownBackend};
pub use engine::{Engine, TransmitSlot};
pub use event::{Cast, Event, Failure, Path, Train};
pub use interface::{Interface, InterfaceError};
pub use operation::Operation;
pub use outgoing::Transmit;
pub use shortage::Shortage;
pub use slots::SocketId;
pub use stats::{Dropped, Stats, Traffic};
pub use waker::Waker;
