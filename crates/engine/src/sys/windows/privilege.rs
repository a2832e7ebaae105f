//! On Windows raw sockets are for administrators, who keep the privilege.

use std::io;

#[allow(clippy::unnecessary_wraps, reason = "other systems may refuse")]
pub(crate) fn drop_raw() -> io::Result<()> {
    Ok(())
}
