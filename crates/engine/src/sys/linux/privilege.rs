//! Capabilities of a thread.

use std::io;

use super::check;

/// Clears CAP_NET_RAW in every set of the calling thread; the ambient set follows the others (capabilities(7)).
pub(crate) fn drop_raw() -> io::Result<()> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        return Ok(());
    }
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: version 3 has two structures of sets (capget(2)), and both pointers are to locals.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) } as libc::c_int)?;
    let [low, _] = &mut sets;
    if low.permitted & NET_RAW == 0 {
        return Ok(());
    }
    low.effective &= !NET_RAW;
    low.permitted &= !NET_RAW;
    low.inheritable &= !NET_RAW;
    // SAFETY: as above; the kernel reads the sets and may write the header's version.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) } as libc::c_int).map(drop)
}

/// `struct __user_cap_header_struct` of linux/capability.h; process 0 is the calling thread.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct` of linux/capability.h: 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;
const NET_RAW: u32 = 1 << 13;
