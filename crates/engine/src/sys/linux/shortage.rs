//! Error numbers that mean a shortage.

use crate::shortage::Shortage;

pub(crate) fn shortage(code: i32) -> Option<Shortage> {
    match code {
        libc::EMFILE | libc::ENFILE => Some(Shortage::OpenFiles),
        // EAGAIN is what pthread_create(3) fails with.
        libc::ENOMEM | libc::EAGAIN => Some(Shortage::Memory),
        // igmp_max_memberships, igmp_max_msf and mld_max_msf (ip(7)).
        libc::ENOBUFS => Some(Shortage::Memberships),
        _ => None,
    }
}
