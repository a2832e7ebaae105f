//! The hash that names a content.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::meter::Meter;

/// The BLAKE3 hash of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; Digest::LEN]);

impl Digest {
    /// Bytes of a hash.
    pub const LEN: usize = 32;

    /// The hash of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// A hash being computed, of the bytes taken so far.
///
/// BLAKE3 is fast on many chunks of 1024 bytes at once, best on a power of two of them. So it is fed whole strides; since packets end
/// anywhere, the rest of one waits for the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hashing {
    hasher: blake3::Hasher,
    /// The end of what was taken, shorter than a stride.
    rest: Vec<u8>,
    len: u64,
}

impl Hashing {
    /// Bytes that are read at a time: enough for the hash to work on many of its chunks at once.
    pub(crate) const PIECE: usize = 128 * 1024;

    /// How many bytes it is the hash of.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Takes what follows.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if !self.rest.is_empty() {
            let (here, after) = bytes.split_at(bytes.len().min(STRIDE - self.rest.len()));
            self.rest.extend_from_slice(here);
            bytes = after;
            if self.rest.len() < STRIDE {
                return;
            }
            self.hasher.update(&self.rest);
            self.rest.clear();
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % STRIDE);
        self.hasher.update(whole);
        self.rest.extend_from_slice(rest);
    }

    /// Reads and takes everything up to the end of a reader.
    ///
    /// # Errors
    /// The reader's, or the meter was stopped.
    pub(crate) fn read(&mut self, reader: &mut impl Read, meter: &Meter) -> io::Result<()> {
        let mut buffer = vec![0; Self::PIECE];
        loop {
            if meter.is_stopped() {
                return Err(io::Error::other("nobody waits for its hash"));
            }
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.take(&buffer[..count]);
                    meter.add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The hash of what was taken, and its length.
    pub(crate) fn end(&self) -> (Digest, u64) {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.rest);
        (Digest(*hasher.finalize().as_bytes()), self.len)
    }
}

/// Bytes that are hashed together: twice as many chunks as the widest registers take.
const STRIDE: usize = 32 * 1024;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The error for a text that is not a hash, which has 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestError;

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hash is 64 hexadecimal digits")
    }
}

impl std::error::Error for DigestError {}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let text: &[u8; Self::LEN * 2] = text.as_bytes().try_into().map_err(|_| DigestError)?;
        let mut bytes = [0; Self::LEN];
        for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        Ok(Self(bytes))
    }
}

fn digit(c: u8) -> Result<u8, DigestError> {
    match c {
        b'0'..=b'9' => Ok(c - b'0'),
        b'a'..=b'f' => Ok(c - b'a' + 10),
        _ => Err(DigestError),
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of the BLAKE3 specification for no input.
    const OF_NOTHING: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    #[test]
    fn a_hash_is_its_digits() {
        let hash = Digest::of(b"");
        assert_eq!(hash.to_string(), OF_NOTHING);
        assert_eq!(OF_NOTHING.parse(), Ok(hash));
        for text in ["", "af", &OF_NOTHING.to_uppercase(), &OF_NOTHING[1..], &format!("{OF_NOTHING}0")] {
            assert_eq!(text.parse::<Digest>(), Err(DigestError), "{text}");
        }
    }

    #[test]
    fn a_hash_in_pieces_is_the_same() {
        let bytes: Vec<u8> = (0..Hashing::PIECE * 2 + 7).map(|at| (at % 251) as u8).collect();
        let (meter, mut hashing) = (Meter::default(), Hashing::default());
        hashing.take(&bytes[..5]);
        hashing.read(&mut &bytes[5..], &meter).expect("memory is readable");
        assert_eq!(hashing.end(), (Digest::of(&bytes), bytes.len() as u64));
        assert_eq!(meter.bytes(), bytes.len() as u64 - 5);
    }

    #[test]
    fn packets_of_any_length_make_the_same() {
        let bytes: Vec<u8> = (0..STRIDE * 5).map(|at| (at % 251) as u8).collect();
        for len in [1_000, STRIDE - 1, STRIDE, STRIDE + 1, STRIDE * 2, STRIDE * 3 + 5] {
            let mut hashing = Hashing::default();
            bytes.chunks(len).for_each(|packet| hashing.take(packet));
            assert_eq!(hashing.end(), (Digest::of(&bytes), bytes.len() as u64), "{len}");
        }
    }

    #[test]
    fn hashing_ends_when_nobody_waits() {
        let meter = Meter::default();
        meter.stop();
        // A reader without an end.
        assert!(Hashing::default().read(&mut io::repeat(7), &meter).is_err());
    }
}
