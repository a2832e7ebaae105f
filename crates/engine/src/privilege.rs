//! The privilege that raw sockets need, and giving it up once they are there.

use std::io;

/// Takes the privilege to make raw sockets (CAP_NET_RAW) from the calling thread, and from the threads that it starts from now on.
///
/// A file's or an ambient capability is for the sockets alone: a program that goes on with it is worth more to whoever takes it over.
/// The superuser keeps it, and could have it back at any time. Nothing happens where systems know no such privilege.
///
/// # Errors
/// The system does not let the thread change its capabilities.
pub fn drop_raw() -> io::Result<()> {
    crate::sys::drop_raw()
}
