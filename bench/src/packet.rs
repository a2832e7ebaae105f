//! The datagrams of the client.
//!
//! The first 14 bytes are sockperf's header, because its server answers nothing else; then comes the client's clock. The sequence
//! number stands first, as in the classic echo tools, so that no two trains of a run begin alike.

/// Bytes that the client writes and reads: the shortest datagram.
pub const HEADER: usize = 22;

/// The byte of sockperf's flags; its server clears a bit there, and every other byte of a reply is as it was sent.
pub const FLAGS: usize = 9;

/// What a datagram says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Counted by the client.
    pub seq: u64,
    /// The client's clock when it sent, in nanoseconds.
    pub sent_ns: u64,
}

/// Writes what stays the same in each datagram: sockperf's "from a client, answer me", the length, and a pattern. Its number is 0.
pub fn prepare(datagram: &mut [u8]) {
    for (index, byte) in datagram.iter_mut().enumerate() {
        *byte = index as u8;
    }
    datagram[..8].fill(0);
    datagram[8..10].copy_from_slice(&3u16.to_be_bytes());
    let len = datagram.len() as u32;
    datagram[10..14].copy_from_slice(&len.to_be_bytes());
}

/// Writes what differs.
pub fn stamp(datagram: &mut [u8], header: Header) {
    datagram[..8].copy_from_slice(&header.seq.to_be_bytes());
    datagram[14..22].copy_from_slice(&header.sent_ns.to_le_bytes());
}

/// Reads what [`stamp`] wrote.
#[must_use]
pub fn read(datagram: &[u8; HEADER]) -> Header {
    let (seq, rest) = datagram.split_first_chunk().expect("eight bytes of 22");
    let (_, sent_ns) = rest.split_last_chunk().expect("eight bytes of 14");
    Header { seq: u64::from_be_bytes(*seq), sent_ns: u64::from_le_bytes(*sent_ns) }
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
        assert_eq!(datagram[..14], [1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 0, 0, 0, 30]);
        assert_eq!(datagram[22..], [22, 23, 24, 25, 26, 27, 28, 29]);
    }
}
