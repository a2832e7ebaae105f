//! Publishers and subscribers without threads: they run in their caller's.
//!
//! A [`Publisher`](super::Publisher) or [`Subscriber`](super::Subscriber) of [`multicast`](super) has a thread, and on each side a
//! message wakes one before the application gets it. For single messages that must arrive soon, this is half of the latency. Those of
//! this module have no thread: the application's own does the work of the node, in every call and while it waits in one. No thread has
//! to be woken.
//!
//! # What the caller must do
//!
//! Nothing happens between calls: no repair is requested or sent, data that had to wait for the rate do not leave, and what arrives
//! waits in the socket's buffer until that is full and datagrams are lost. So an application that has nothing to do should wait only in
//! [`Publisher::run_until`], [`Publisher::next`] or [`Subscriber::next`]. One that is busy should call in between, as often as a repair
//! may be late: once a millisecond is often, but less than once in the time that the window holds loses data that could have been
//! repaired.
//!
//! They belong to the thread that starts them, and have no futures: for an executor, or for several threads, use those with a thread. A
//! publisher shares its address and port with no other, not even in its own process: several on one machine need a `unicast-port` each.
//! Starting one asks the system to wake the thread on time, without timer slack. The thread keeps the privilege for raw sockets until
//! [`drop_raw`](super::drop_raw).
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//!
//! use campanile::multicast::{Options, current_thread};
//!
//! let options = Options::new("239.192.7.1:7500".parse()?);
//! let mut publisher = current_thread::Publisher::start(&options)?;
//! let start = Instant::now();
//! for number in 0..1000_u32 {
//!     publisher.run_until(start + number * Duration::from_millis(1));
//!     publisher.publish(&number.to_be_bytes())?;
//! }
//! publisher.finish();
//! while publisher.next(Duration::MAX).is_some_and(|event| event != campanile::multicast::Published::Finished) {}
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod publisher;
mod subscriber;

pub use self::publisher::Publisher;
pub use self::subscriber::Subscriber;
