//! The privilege that raw sockets need, and giving it up once they are there.

use std::io;

/// Takes the privilege to make raw sockets (CAP_NET_RAW) from the calling thread, and from the threads that it starts from now on.
///
/// A capability from the program's file or the ambient set is needed only to make the sockets; a program that kept it would be worth
/// more to an attacker. The superuser keeps it, and could regain it at any time. On systems without such a privilege nothing happens.
///
/// # Errors
/// The system does not let the thread change its capabilities.
pub fn drop_raw() -> io::Result<()> {
    crate::sys::drop_raw()
}
