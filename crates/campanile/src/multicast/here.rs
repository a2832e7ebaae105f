//! Publishers and subscribers without threads: whoever calls them runs them.
//!
//! A [`Publisher`](super::Publisher) and a [`Subscriber`](super::Subscriber) of [`multicast`](super) are threads, and a message wakes one
//! on each side before the application has it. For messages that come one by one and have to be there soon that is half of the time.
//! The ones of this module have no thread: what a node does is done by the application's own, in every call and while it waits in one.
//! Nobody is woken.
//!
//! # What the caller owes
//!
//! Nothing happens between calls: no repair is asked for and none is given, nothing leaves that had to wait for the rate, and what
//! comes waits in the socket's buffer until that is full and datagrams are lost. So an application that has nothing to do waits in
//! [`Publisher::run_until`], [`Publisher::next`] or [`Subscriber::next`], and nowhere else. One that works on something calls in between,
//! as often as a repair may be late: once a millisecond is often, and less than once in the time that the window holds loses what could
//! be repaired.
//!
//! They belong to the thread that starts them, and have no futures: an executor, or an application of several threads, takes those
//! with a thread. A publisher shares its address and port with no other, not even of its process: several on one machine each have
//! a `unicast-port`. Starting one has the system wake the thread on time, without the slack that it gives timers otherwise, and
//! leaves it the privilege for raw sockets, until [`drop_raw`](super::drop_raw).
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//!
//! use campanile::multicast::{Options, here};
//!
//! let options = Options::new("239.192.7.1:7500".parse()?);
//! let mut publisher = here::Publisher::start(&options)?;
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
