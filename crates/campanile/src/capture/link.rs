//! Link layers: where in a frame the IP packet begins.

/// The number that capture files have for a link layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// Whether frames of this type can be read.
    #[must_use]
    pub fn is_known(self) -> bool {
        matches!(
            self.0,
            NULL | LOOP | ETHERNET | RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 | LINUX_SLL | LINUX_SLL2
        )
    }

    /// The IP packet in a frame, possibly followed by padding; `None` if there is none.
    pub(super) fn ip(self, frame: &[u8]) -> Option<&[u8]> {
        match self.0 {
            NULL | LOOP => frame.get(4..),
            ETHERNET => ethernet(frame),
            RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => Some(frame),
            LINUX_SLL => frame.get(16..).filter(|_| is_ip(ether_type(frame, 14))),
            LINUX_SLL2 => frame.get(20..).filter(|_| is_ip(ether_type(frame, 0))),
            _ => None,
        }
    }
}

/// The IP packet in an Ethernet frame, after any VLAN tags.
fn ethernet(frame: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    for _ in 0..=TAGS_MAX {
        match ether_type(frame, at)? {
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            kind if is_ip(Some(kind)) => return frame.get(at + 2..),
            _ => return None,
        }
    }
    None
}

fn ether_type(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn is_ip(ether_type: Option<u16>) -> bool {
    matches!(ether_type, Some(0x0800 | 0x86dd))
}

/// The most VLAN tags that are read.
const TAGS_MAX: usize = 4;

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const RAW_BSD: u16 = 12;
const RAW_OPENBSD: u16 = 14;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;
