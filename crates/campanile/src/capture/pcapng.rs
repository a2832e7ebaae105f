//! The newer format: blocks of a type and a length, in sections of one byte order, with interfaces described in each.

use std::io::Read;
use std::time::Duration;

use super::source::Source;
use super::{CaptureError, Corruption, FRAME_MAX, LinkType, Order, Record};

/// The type of a section header block, the same in both byte orders.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The section that is being read.
#[derive(Debug)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
}

/// What an interface description says about its frames.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    /// The most bytes of a frame that are captured, 0 for all.
    snap_len: u32,
    /// The resolution of its times: powers of ten, or of two if the high bit is set.
    resolution: u8,
    /// Seconds to add to its times.
    offset: i64,
}

impl Section {
    /// The rest of the file's first block, whose type was read.
    pub(super) fn read(source: &mut Source<impl Read>) -> Result<Self, CaptureError> {
        let head = source.must(8)?;
        let order = byte_order(&head[4..])?;
        let len = order.u32(head, 0);
        let rest = rest_of_block(len, 12)?;
        if rest < 12 {
            return Err(CaptureError::Corrupt(Corruption::ShortBlock));
        }
        let version = order.u16(source.must(2)?, 0);
        if version != 1 {
            return Err(CaptureError::Corrupt(Corruption::Version));
        }
        source.skip(u64::from(rest) - 2)?;
        closing(source, order, len)?;
        Ok(Self { order, interfaces: Vec::new() })
    }

    pub(super) fn next_record(
        &mut self,
        source: &mut Source<impl Read>,
    ) -> Result<Option<Record>, CaptureError> {
        loop {
            let Some(kind) = source.exactly(4)? else { return Ok(None) };
            if kind == SECTION_HEADER {
                *self = Self::read(source)?;
                continue;
            }
            let kind = self.order.u32(kind, 0);
            let len = self.order.u32(source.must(4)?, 0);
            let body = rest_of_block(len, 8)?;
            if !matches!(kind, INTERFACE | PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
                source.skip(body.into())?;
                closing(source, self.order, len)?;
                continue;
            }
            if body as usize > BLOCK_MAX {
                return Err(CaptureError::TooLong { len: body });
            }
            // The length that closes the block is read with it, so that the frame stays in the buffer.
            let block = source.must(body as usize + 4)?;
            if self.order.u32(block, body as usize) != len {
                return Err(CaptureError::Corrupt(Corruption::BlockLength));
            }
            let block = &block[..body as usize];
            if kind == INTERFACE {
                self.describe(block)?;
                continue;
            }
            let (record, frame) = self.packet(kind, block)?;
            source.narrow(frame);
            return Ok(Some(record));
        }
    }

    /// Takes the description of the section's next interface.
    fn describe(&mut self, block: &[u8]) -> Result<(), CaptureError> {
        let corrupt = |corruption| Err(CaptureError::Corrupt(corruption));
        if block.len() < 8 {
            return corrupt(Corruption::ShortBlock);
        }
        if self.interfaces.len() == INTERFACES_MAX {
            return corrupt(Corruption::Interfaces);
        }
        let link = LinkType(self.order.u16(block, 0));
        let snap_len = self.order.u32(block, 4);
        let mut interface = Interface { link, snap_len, resolution: 6, offset: 0 };
        let mut options = &block[8..];
        // Options that do not fit their block are ignored: the frames can be read without them.
        while options.len() >= 4 {
            let (code, len) = (self.order.u16(options, 0), usize::from(self.order.u16(options, 2)));
            let Some(value) = options.get(4..4 + len) else { break };
            match (code, len) {
                (0, _) => break,
                (RESOLUTION, 1) => interface.resolution = value[0],
                (OFFSET, 8) => {
                    let (first, second) = (self.order.u32(value, 0), self.order.u32(value, 4));
                    let (high, low) =
                        if self.order == Order::Big { (first, second) } else { (second, first) };
                    interface.offset = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// What a block says about its frame, and where in the block the frame is.
    fn packet(&self, kind: u32, block: &[u8]) -> Result<(Record, std::ops::Range<usize>), CaptureError> {
        let short = CaptureError::Corrupt(Corruption::ShortBlock);
        let head = if kind == SIMPLE_PACKET { 4 } else { 20 };
        if block.len() < head {
            return Err(short);
        }
        let word = |index: usize| self.order.u32(block, index * 4);
        let index = match kind {
            SIMPLE_PACKET => 0,
            PACKET => self.order.u16(block, 0).into(),
            _ => word(0) as usize,
        };
        let interface = self.interfaces.get(index);
        let interface = interface.ok_or(CaptureError::Corrupt(Corruption::Interface))?;
        let (time, captured, len) = if kind == SIMPLE_PACKET {
            let len = word(0);
            let most = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
            (None, len.min(most), len)
        } else {
            (interface.time(u64::from(word(1)) << 32 | u64::from(word(2))), word(3), word(4))
        };
        let frame = head..head.saturating_add(captured as usize);
        if frame.end > block.len() {
            return Err(short);
        }
        if frame.len() > FRAME_MAX {
            return Err(CaptureError::TooLong { len: captured });
        }
        Ok((Record { time, link: interface.link, len: len as usize }, frame))
    }
}

impl Interface {
    /// The time that a number of ticks stands for; `None` beyond what a clock shows.
    fn time(&self, ticks: u64) -> Option<Duration> {
        let power = u32::from(self.resolution & 0x7f);
        let scaled = u128::from(ticks) * 1_000_000_000;
        let ns = if self.resolution & 0x80 != 0 {
            scaled >> power
        } else {
            10_u128.checked_pow(power).map_or(0, |unit| scaled / unit)
        };
        let seconds = i128::try_from(ns / 1_000_000_000).ok()? + i128::from(self.offset);
        Some(Duration::new(u64::try_from(seconds).ok()?, (ns % 1_000_000_000) as u32))
    }
}

fn byte_order(magic: &[u8]) -> Result<Order, CaptureError> {
    match magic {
        [0x1a, 0x2b, 0x3c, 0x4d] => Ok(Order::Big),
        [0x4d, 0x3c, 0x2b, 0x1a] => Ok(Order::Little),
        _ => Err(CaptureError::Corrupt(Corruption::ByteOrder)),
    }
}

/// Bytes of a block between the `read` ones at its front and the length at its end.
fn rest_of_block(len: u32, read: u32) -> Result<u32, CaptureError> {
    let rest = len.checked_sub(read + 4).filter(|_| len.is_multiple_of(4));
    rest.ok_or(CaptureError::Corrupt(Corruption::BlockLength))
}

/// Checks that the length at the end of a block equals the one at its front.
fn closing(source: &mut Source<impl Read>, order: Order, len: u32) -> Result<(), CaptureError> {
    if order.u32(source.must(4)?, 0) == len {
        Ok(())
    } else {
        Err(CaptureError::Corrupt(Corruption::BlockLength))
    }
}

const INTERFACE: u32 = 1;
/// Obsolete, but still found.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;

/// The most bytes of a block that is read as a whole: a frame and what is said about it.
const BLOCK_MAX: usize = 2 * FRAME_MAX;
/// Interfaces of one section.
const INTERFACES_MAX: usize = 4096;
