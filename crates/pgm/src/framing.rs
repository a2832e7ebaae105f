//! How messages are laid out in packets: what source and receiver must agree on beyond RFC 3208.

/// How messages are laid out in packets. Source and receivers must be configured alike; no packet says which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Framing {
    /// Messages are packed into packets, and span packets where they must: ZeroMQ's format, understood by its `pgm://` sockets.
    ///
    /// The TSDUs, without their first two bytes, are one endless stream of frames. The two bytes say where in the packet the first
    /// message begins, so that a receiver that joins late, or lost a packet, finds the next message. A frame is its length, a byte
    /// of flags, and the body; the length counts the flags (ZMTP 1.0).
    #[default]
    Packed,
    /// Each message is an APDU in packets of its own, with OPT_FRAGMENT when it takes more than one (RFC 3208 §9.2), as in
    /// OpenPGM.
    Apdu,
    /// A stream of bytes without messages.
    Stream,
}

/// The length of the offset to the first message, which precedes the frames in a packed packet.
pub(crate) const OFFSET_LEN: usize = 2;

/// The offset when no message begins in the packet.
pub(crate) const NO_MESSAGE: u16 = 0xffff;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// The length of the header itself.
    pub(crate) len: usize,
    /// The length of the body that follows.
    pub(crate) body_len: u64,
    /// Whether the message continues in the next frame.
    pub(crate) more: bool,
}

impl FrameHeader {
    pub(crate) const LEN_MAX: usize = 10;

    /// Writes the header of a frame with a body of `body_len` bytes, and returns the header's length.
    pub(crate) fn emit(body_len: usize, more: bool, out: &mut [u8; Self::LEN_MAX]) -> usize {
        let len = body_len as u64 + 1;
        match u8::try_from(len) {
            Ok(short) if short != LONG => {
                out[..2].copy_from_slice(&[short, u8::from(more)]);
                2
            }
            _ => {
                out[0] = LONG;
                out[1..9].copy_from_slice(&len.to_be_bytes());
                out[9] = u8::from(more);
                10
            }
        }
    }

    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// [`FrameError::Short`] when the header is incomplete, [`FrameError::Empty`] for a length that leaves no room for the flags.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let (&first, rest) = bytes.split_first().ok_or(FrameError::Short)?;
        let (len, counted) = if first == LONG {
            let long = rest.first_chunk().ok_or(FrameError::Short)?;
            (Self::LEN_MAX, u64::from_be_bytes(*long))
        } else {
            (2, u64::from(first))
        };
        let body_len = counted.checked_sub(1).ok_or(FrameError::Empty)?;
        let flags = bytes.get(len - 1).ok_or(FrameError::Short)?;
        Ok(FrameHeader { len, body_len, more: flags & MORE != 0 })
    }
}

/// Why no frame header could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    Short,
    Empty,
}

const LONG: u8 = 0xff;
const MORE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_zeromq() {
        let mut out = [0xee; FrameHeader::LEN_MAX];
        assert_eq!(FrameHeader::emit(5, false, &mut out), 2);
        assert_eq!(out[..2], [6, 0]);
        assert_eq!(FrameHeader::emit(1, true, &mut out), 2);
        assert_eq!(out[..2], [2, 1]);
        assert_eq!(FrameHeader::emit(3000, false, &mut out), 10);
        assert_eq!(out, *b"\xff\0\0\0\0\0\0\x0b\xb9\0");
        assert_eq!(FrameHeader::emit(253, false, &mut out), 2);
        assert_eq!(FrameHeader::emit(254, false, &mut out), 10);
    }

    #[test]
    fn what_is_written_is_read() {
        for body_len in [0, 1, 253, 254, 255, 65_536] {
            for more in [false, true] {
                let mut out = [0xee; FrameHeader::LEN_MAX];
                let len = FrameHeader::emit(body_len, more, &mut out);
                let header = FrameHeader { len, body_len: body_len as u64, more };
                assert_eq!(FrameHeader::parse(&out[..len]), Ok(header));
                for short in 0..len {
                    assert_eq!(FrameHeader::parse(&out[..short]), Err(FrameError::Short));
                }
            }
        }
        assert_eq!(FrameHeader::parse(&[0, 0]), Err(FrameError::Empty));
        assert_eq!(FrameHeader::parse(b"\xff\0\0\0\0\0\0\0\0\0"), Err(FrameError::Empty));
    }
}
