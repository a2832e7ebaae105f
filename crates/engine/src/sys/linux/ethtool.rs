//! The features of an interface and the settings of its card, read as ethtool reads them.

use std::io;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

use crate::card::{Channels, Coalescing, Setting};
use crate::offload::Offload;

/// The features that have names and are known to this interface's driver.
pub(crate) fn offloads(interface: &str) -> io::Result<Vec<Offload>> {
    let device = Device::named(interface)?;
    // How many features there are: a mask of one set in, its length out.
    let mut count = [ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0, 0];
    device.ask(&mut count)?;
    let count = count[4] as usize;
    if count > FEATURES_MAX {
        return Err(io::Error::other("more features than a system has"));
    }
    let mut names = vec![0; 3 + count * WORDS_A_NAME];
    names[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count as u32]);
    device.ask(&mut names)?;
    let blocks = count.div_ceil(32);
    let mut states = vec![0; 2 + blocks * WORDS_A_BLOCK];
    states[..2].copy_from_slice(&[ETHTOOL_GFEATURES, blocks as u32]);
    device.ask(&mut states)?;
    let named = names[3..].chunks_exact(WORDS_A_NAME).map(name).enumerate();
    let offloads = named.filter(|(_, name)| !name.is_empty()).map(|(number, name)| {
        // A block holds the bits of 32 features: which are available, requested, on, and never changed.
        let of_block = |word: usize| states[2 + number / 32 * WORDS_A_BLOCK + word] >> (number % 32) & 1 == 1;
        Offload { name, is_on: of_block(2), can_change: of_block(0) && !of_block(3) }
    });
    Ok(offloads.collect())
}

pub(crate) fn receive_ring(interface: &str) -> io::Result<Setting> {
    // The maxima (receive, small, jumbo, send), then the current values.
    let mut ring = [0; 9];
    ring[0] = ETHTOOL_GRINGPARAM;
    Device::named(interface)?.ask(&mut ring)?;
    Ok(Setting { now: ring[5], max: ring[1] })
}

pub(crate) fn channels(interface: &str) -> io::Result<Channels> {
    // The maxima (receive, send, other, combined), then the current values.
    let mut channels = [0; 9];
    channels[0] = ETHTOOL_GCHANNELS;
    Device::named(interface)?.ask(&mut channels)?;
    let setting = |at: usize| Setting { now: channels[at + 4], max: channels[at] };
    Ok(Channels { receive: setting(1), combined: setting(4) })
}

pub(crate) fn coalescing(interface: &str) -> io::Result<Coalescing> {
    // Time and packets for receiving, six values for other cases, an interval, and whether receiving is adaptive.
    let mut coalescing = [0; 23];
    coalescing[0] = ETHTOOL_GCOALESCE;
    Device::named(interface)?.ask(&mut coalescing)?;
    let [_, receive_us, receive_packets, _, _, _, _, _, _, _, adaptive, ..] = coalescing;
    Ok(Coalescing { receive_us, receive_packets, is_adaptive: adaptive != 0 })
}

pub(crate) fn spreads_by_port(interface: &str) -> io::Result<bool> {
    // The kind of packets, and a mask of 64 bits of what is hashed of them.
    let mut hash = [ETHTOOL_GRXFH, UDP_V4_FLOW, 0, 0];
    Device::named(interface)?.ask(&mut hash)?;
    // Which half is the lower depends on the byte order; the other is zero.
    match hash[2] | hash[3] {
        // The driver hashes nothing itself; what is behind it does, such as the host of a virtual machine.
        0 => Err(io::ErrorKind::Unsupported.into()),
        fields => Ok(fields & RXH_PORTS != 0),
    }
}

/// An interface, and a socket to ask through.
struct Device {
    socket: Socket,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Device {
    fn named(interface: &str) -> io::Result<Self> {
        let mut name = [0; libc::IFNAMSIZ];
        // The last byte stays zero.
        if interface.is_empty() || interface.len() >= name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (place, byte) in name.iter_mut().zip(interface.bytes()) {
            *place = byte as libc::c_char;
        }
        // It is bound to nothing: loopback may be down.
        Ok(Self { socket: Socket::new(Domain::IPV4, Type::DGRAM, None)?, name })
    }

    /// Sends a command to the driver, whose answer overwrites it. Its first words say what it is and how long the answer may be.
    fn ask(&self, command: &mut [u32]) -> io::Result<()> {
        let data = libc::__c_anonymous_ifr_ifru { ifru_data: command.as_mut_ptr().cast() };
        let mut request = libc::ifreq { ifr_name: self.name, ifr_ifru: data };
        // SAFETY: the request is a local. The kernel writes no more to the slice than the command's own words allow, for which the
        // caller has made room, and the slice is borrowed for the whole call.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A name from its words, up to the first zero.
fn name(words: &[u32]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|&byte| byte != 0);
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}

// From linux/sockios.h and linux/ethtool.h, whose numbers never change.
const SIOCETHTOOL: u32 = 0x8946;
const ETHTOOL_GCOALESCE: u32 = 0x0e;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GRXFH: u32 = 0x29;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETH_SS_FEATURES: u32 = 4;
const UDP_V4_FLOW: u32 = 2;
/// The first four bytes of a UDP header, its ports, in two halves.
const RXH_PORTS: u32 = 1 << 6 | 1 << 7;
const WORDS_A_NAME: usize = 8;
const WORDS_A_BLOCK: usize = 4;
/// Far more than any kernel has.
const FEATURES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_takes_trains_whole_and_an_unknown_interface_is_an_error() {
        let all = offloads("lo").expect("there is loopback");
        let find = |name: &str| all.iter().find(|offload| offload.name == name);
        // The system does not let this one be turned off.
        assert!(find("loopback").is_some_and(|offload| offload.is_on && !offload.can_change), "{all:?}");
        assert!(find("tx-udp-segmentation").is_some());
        assert!(find("rx-gro").is_some_and(|offload| offload.can_change), "{all:?}");
        assert!(all.len() < 256 && all.iter().all(|offload| !offload.name.is_empty()));
        assert!(offloads("no-such-one").is_err());
        assert!(offloads("a name that is longer than that of any").is_err());
    }

    #[test]
    fn what_a_card_has_is_no_more_than_it_may_have() {
        for name in ["lo", "no-such-one"] {
            assert!(receive_ring(name).is_err() && channels(name).is_err());
            assert!(coalescing(name).is_err() && spreads_by_port(name).is_err());
        }
        let fits = |setting: Setting| setting.now <= setting.max;
        let all = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let names: Vec<String> = all.filter_map(|one| one.file_name().into_string().ok()).collect();
        for name in &names {
            assert!(
                receive_ring(name).is_ok_and(|ring| ring.now > 0 && fits(ring))
                    || receive_ring(name).is_err()
            );
            if let Ok(Channels { receive, combined }) = channels(name) {
                assert!(receive.now + combined.now > 0 && fits(receive) && fits(combined), "{name}");
            }
        }
        if !names.iter().any(|name| receive_ring(name).is_ok()) {
            eprintln!("skipped: no interface here has a card that tells of its ring");
        }
    }
}
