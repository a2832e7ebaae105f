//! Captures of traffic, and the PGM in them.
//!
//! A [`Capture`] reads the frames of a pcap or pcapng file from any reader, one at a time: [`Capture::next_frame`] until it gives
//! `None`. [`Datagram::of_frame`] finds what may be PGM in a frame: the payload of UDP or of IP protocol 113, and
//! [`Datagram::train`] cuts apart what was captured in one piece. A [`Classifier`] tells which of it is PGM, and what is wrong with it.
//!
//! A file can be as hostile as a network: memory is bounded by [`FRAME_MAX`] and the interfaces of one section, work by the bytes that
//! are read, and what makes no sense is an error.

mod classifier;
mod datagram;
pub mod fuzz;
mod link;
mod pcap;
mod pcapng;
mod source;
mod train;

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

pub use classifier::{Classifier, Flaw, Seen, Verdict};
pub use datagram::{Carrier, Datagram};
pub use link::LinkType;

use source::Source;

/// The largest frame that a capture may hold, in bytes; the usual tools never exceed it.
pub const FRAME_MAX: usize = 256 * 1024;

/// The frames of a capture file, in their order.
#[derive(Debug)]
pub struct Capture<R> {
    source: Source<R>,
    format: Format,
    frames: u64,
}

#[derive(Debug)]
enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number in the file, from 1.
    pub number: u64,
    /// When it was captured, since 1970; `None` where the file does not say.
    pub time: Option<Duration>,
    /// The link layer whose header it begins with.
    pub link: LinkType,
    /// Bytes that it had on the wire: the capture may hold fewer.
    pub len: usize,
    /// The bytes captured.
    pub bytes: &'a [u8],
}

/// What the file says about a frame; its bytes are in the source.
#[derive(Clone, Copy, Debug)]
struct Record {
    time: Option<Duration>,
    link: LinkType,
    len: usize,
}

impl<R: Read> Capture<R> {
    /// Reads the head of a capture file.
    ///
    /// # Errors
    /// It cannot be read, or is neither pcap nor pcapng.
    pub fn open(reader: R) -> Result<Self, CaptureError> {
        let mut source = Source::new(reader);
        let magic = match source.must(4) {
            Err(CaptureError::CutShort) => return Err(CaptureError::NotACapture),
            magic => magic?.try_into().expect("four bytes were read"),
        };
        let format = match pcap::Header::order(magic) {
            Some(order) => Format::Pcap(pcap::Header::read(&mut source, order)?),
            None if magic == pcapng::SECTION_HEADER => Format::Pcapng(pcapng::Section::read(&mut source)?),
            None => return Err(CaptureError::NotACapture),
        };
        Ok(Self { source, format, frames: 0 })
    }

    /// The next frame; `None` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read, ends in the middle, or contradicts itself. What was read until then remains valid.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        let record = match &mut self.format {
            Format::Pcap(header) => header.next_record(&mut self.source)?,
            Format::Pcapng(section) => section.next_record(&mut self.source)?,
        };
        let Some(Record { time, link, len }) = record else { return Ok(None) };
        self.frames += 1;
        Ok(Some(Frame { number: self.frames, time, link, len, bytes: self.source.bytes() }))
    }
}

/// The order of a number's bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Big,
    Little,
}

impl Order {
    /// The number in the two bytes at `at`, which must exist.
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let bytes = [bytes[at], bytes[at + 1]];
        match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        }
    }

    /// The number in the four bytes at `at`, which must exist.
    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let bytes = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }
}

/// Why a capture cannot be read, or not to its end.
#[derive(Debug)]
pub enum CaptureError {
    /// The reader failed.
    Read(io::Error),
    /// It does not begin with a magic number of pcap or pcapng.
    NotACapture,
    /// The file ends in the middle of a header or a frame.
    CutShort,
    /// A frame or block is longer than anything that is captured.
    TooLong {
        /// The length that it states.
        len: u32,
    },
    /// A part of the file contradicts the format.
    Corrupt(Corruption),
}

/// How a file contradicts its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// A version that is not known.
    Version,
    /// The two lengths of a block differ, or are impossible.
    BlockLength,
    /// Bytes that are no byte-order magic.
    ByteOrder,
    /// A block is too short for what it must hold.
    ShortBlock,
    /// A frame of an interface that was not described.
    Interface,
    /// More interfaces than a machine has.
    Interfaces,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::NotACapture => f.write_str("neither pcap nor pcapng"),
            Self::CutShort => f.write_str("the file is cut short, in the middle of a header or a frame"),
            Self::TooLong { len } => write!(f, "a frame of {len} bytes: the file is corrupt"),
            Self::Corrupt(corruption) => write!(f, "{corruption}: the file is corrupt"),
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "unknown version of the format",
            Self::BlockLength => "lengths of a block that cannot be",
            Self::ByteOrder => "no byte order in a section header",
            Self::ShortBlock => "a block shorter than what it must hold",
            Self::Interface => "a frame of an unknown interface",
            Self::Interfaces => "too many interfaces",
        })
    }
}

impl std::error::Error for CaptureError {}

#[cfg(test)]
mod tests;
