//! The numbers of errors that say what there is too little of.

use crate::shortage::Shortage;

pub(crate) fn shortage(code: i32) -> Option<Shortage> {
    match code {
        libc::EMFILE | libc::ENFILE => Some(Shortage::OpenFiles),
        // A thread that cannot be started is to be tried again (pthread_create(3)).
        libc::ENOMEM | libc::EAGAIN => Some(Shortage::Memory),
        // igmp_max_memberships, igmp_max_msf and mld_max_msf (ip(7)).
        libc::ENOBUFS => Some(Shortage::Memberships),
        _ => None,
    }
}
