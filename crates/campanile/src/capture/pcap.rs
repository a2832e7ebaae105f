//! The classic format: a file header, then a header and the bytes of each frame.

use std::io::Read;
use std::time::Duration;

use super::source::Source;
use super::{CaptureError, Corruption, FRAME_MAX, LinkType, Order, Record};

/// What the head of the file says about its frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    order: Order,
    /// Nanoseconds per unit of the fraction in a time.
    unit_ns: u32,
    link: LinkType,
}

/// The byte order and the unit that a magic number stands for.
pub(super) type Magic = (Order, u32);

impl Header {
    /// What the first four bytes of a file say, if it is of this format.
    pub(super) fn order(magic: [u8; 4]) -> Option<Magic> {
        let of = |order, number| match number {
            0xa1b2_c3d4 => Some((order, 1000)),
            0xa1b2_3c4d => Some((order, 1)),
            _ => None,
        };
        of(Order::Little, u32::from_le_bytes(magic)).or_else(|| of(Order::Big, u32::from_be_bytes(magic)))
    }

    /// The rest of the file's head.
    pub(super) fn read(source: &mut Source<impl Read>, magic: Magic) -> Result<Self, CaptureError> {
        let (order, unit_ns) = magic;
        let rest = source.must(20)?;
        if order.u16(rest, 0) != 2 {
            return Err(CaptureError::Corrupt(Corruption::Version));
        }
        // The upper half of the field is about checksums after the frames.
        let link = LinkType(order.u32(rest, 16) as u16);
        Ok(Self { order, unit_ns, link })
    }

    pub(super) fn next_record(&self, source: &mut Source<impl Read>) -> Result<Option<Record>, CaptureError> {
        let Some(head) = source.exactly(16)? else { return Ok(None) };
        let word = |index: usize| self.order.u32(head, index * 4);
        let (seconds, fraction, captured, len) = (word(0), word(1), word(2), word(3));
        if captured as usize > FRAME_MAX {
            return Err(CaptureError::TooLong { len: captured });
        }
        source.must(captured as usize)?;
        let fraction = Duration::from_nanos(u64::from(fraction) * u64::from(self.unit_ns));
        let time = Some(Duration::from_secs(seconds.into()) + fraction);
        Ok(Some(Record { time, link: self.link, len: len as usize }))
    }
}
