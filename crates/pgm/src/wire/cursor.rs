//! Reading and writing big-endian fields one after the other.

use std::net::IpAddr;

use super::Malformed;
use super::nla::{self, Afi};
use crate::Seq;

/// The unread rest of a packet's fixed part or of an option's value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// The rule that is broken when there are too few bytes.
    short: Malformed,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8], short: Malformed) -> Self {
        Reader { rest, short }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(self.short)?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub(crate) fn seq(&mut self) -> Result<Seq, Malformed> {
        self.u32().map(Seq)
    }

    /// An AFI, the two bytes after it, and the address that follows them.
    pub(crate) fn nla(&mut self) -> Result<(IpAddr, u16), Malformed> {
        let afi = Afi::parse(self.u16()?)?;
        let between = self.u16()?;
        let address = match afi {
            Afi::Ipv4 => IpAddr::from(*self.array::<4>()?),
            Afi::Ipv6 => IpAddr::from(*self.array::<16>()?),
        };
        Ok((address, between))
    }

    pub(crate) fn unicast_nla(&mut self) -> Result<IpAddr, Malformed> {
        nla::unicast(self.nla()?.0)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}

/// A write position in the caller's buffer.
///
/// Writing past the end of the buffer panics: the length of a packet is known before it is written.
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
}

impl<'b> Writer<'b> {
    pub(crate) fn new(buffer: &'b mut [u8], at: usize) -> Self {
        Writer { buffer, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn seq(&mut self, value: Seq) {
        self.u32(value.0);
    }

    /// An address after its AFI, with two bytes between them.
    pub(crate) fn nla(&mut self, address: IpAddr, between: u16) {
        self.u16(Afi::of(address) as u16);
        self.u16(between);
        self.nla_bytes(address);
    }

    pub(crate) fn nla_bytes(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.bytes(&address.octets()),
            IpAddr::V6(address) => self.bytes(&address.octets()),
        }
    }

    /// Overwrites bytes that were written before.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.buffer[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn set_bits(&mut self, at: usize, bits: u8) {
        self.buffer[at] |= bits;
    }
}
