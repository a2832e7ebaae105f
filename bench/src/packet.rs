//! The datagrams of the client.
//!
//! The first 14 bytes are sockperf's header, because its server answers nothing else; that server does not read the number in it.
//! The number comes first, in little-endian order, as in the classic echo tools, and the rest of the first 16 bytes is constant, so
//! that a server sees a client that counts upwards. Then comes the client's clock.

/// Bytes that the client writes and reads: the shortest datagram.
pub const HEADER: usize = 24;

/// The offset of sockperf's flags; its server clears a bit there, and returns every other byte unchanged.
pub const FLAGS: usize = 9;

/// The header of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Counted by the client.
    pub seq: u64,
    /// The client's clock when it sent, in nanoseconds.
    pub sent_ns: u64,
}

/// Writes what is the same in each datagram: sockperf's flags of a client's request, the length, and a pattern. The number is 0.
pub fn prepare(datagram: &mut [u8]) {
    for (index, byte) in datagram.iter_mut().enumerate() {
        *byte = index as u8;
    }
    datagram[..8].fill(0);
    datagram[8..10].copy_from_slice(&3u16.to_be_bytes());
    let len = datagram.len() as u32;
    datagram[10..14].copy_from_slice(&len.to_be_bytes());
}

/// Writes the header, which differs in each datagram.
pub fn stamp(datagram: &mut [u8], header: Header) {
    datagram[..8].copy_from_slice(&header.seq.to_le_bytes());
    datagram[16..24].copy_from_slice(&header.sent_ns.to_le_bytes());
}

/// Reads what [`stamp`] wrote.
#[must_use]
pub fn read(datagram: &[u8; HEADER]) -> Header {
    let (seq, rest) = datagram.split_first_chunk().expect("eight bytes of 24");
    let (_, sent_ns) = rest.split_last_chunk().expect("eight bytes of 16");
    Header { seq: u64::from_le_bytes(*seq), sent_ns: u64::from_le_bytes(*sent_ns) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_stamped_and_keeps_the_rest() {
        let mut datagram = [0; 30];
        prepare(&mut datagram);
        assert_eq!(read(datagram.first_chunk().expect("30 bytes")).seq, 0);
        let header = Header { seq: 0x0102_0304_0506_0708, sent_ns: 99 };
        stamp(&mut datagram, header);
        assert_eq!(read(datagram.first_chunk().expect("30 bytes")), header);
        assert_eq!(datagram[..16], [8, 7, 6, 5, 4, 3, 2, 1, 0, 3, 0, 0, 0, 30, 14, 15]);
        assert_eq!(datagram[24..], [24, 25, 26, 27, 28, 29]);
    }
}
