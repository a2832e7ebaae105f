//! The session profile: the first bytes of a session, which say what it is.
//!
//! A receiver that does not know its version or cipher reports that instead of guessing. `docs/multicast.md` has the layout.

use std::fmt;

use crate::random;

/// How a session describes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What the session brings.
    pub content: ContentKind,
    /// How the contents of files are verified.
    pub hash: Hash,
    /// How the session is encrypted.
    pub cipher: Cipher,
    /// Which of a series of keys it is encrypted with.
    pub key_epoch: u32,
    /// A number that only receivers of the session know: reports without it are forged.
    pub cookie: u64,
}

/// What a session brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// Files, after a manifest.
    Files,
    /// Messages, packed into packets.
    Messages,
    /// Messages in packets of their own.
    Apdu,
    /// A stream of bytes.
    Stream,
}

/// How contents are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// By the checksums of packets alone.
    None,
    /// BLAKE3.
    Blake3,
}

/// How a session is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// Not at all.
    None,
}

impl Profile {
    /// The bytes that a profile takes.
    pub const LEN: usize = 24;

    /// The profile of a new session, with a cookie of its own.
    #[must_use]
    pub fn new(content: ContentKind) -> Self {
        let hash = if content == ContentKind::Files { Hash::Blake3 } else { Hash::None };
        Profile { content, hash, cipher: Cipher::None, key_epoch: 0, cookie: random::word() }
    }

    /// Reads the profile at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// There is none, or this version does not know its session's kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProfileError> {
        let bytes: &[u8; Self::LEN] = bytes.first_chunk().ok_or(ProfileError::None)?;
        if bytes[..8] != MAGIC {
            let is_packed = bytes[..4] == PACKED && bytes[4..12] == MAGIC;
            return Err(if is_packed { ProfileError::Packed } else { ProfileError::None });
        }
        let [version, content, hash, cipher] = [bytes[8], bytes[9], bytes[10], bytes[11]];
        if version != VERSION {
            return Err(ProfileError::Version(version));
        }
        let content = match content {
            0 => ContentKind::Files,
            1 => ContentKind::Messages,
            2 => ContentKind::Apdu,
            3 => ContentKind::Stream,
            other => return Err(ProfileError::Content(other)),
        };
        let hash = match hash {
            0 => Hash::None,
            1 => Hash::Blake3,
            other => return Err(ProfileError::Hash(other)),
        };
        if cipher != 0 {
            return Err(ProfileError::Cipher(cipher));
        }
        let key_epoch = u32::from_be_bytes(*bytes[12..].first_chunk().expect("four of 24 bytes"));
        let cookie = u64::from_be_bytes(*bytes[16..].first_chunk().expect("eight of 24 bytes"));
        Ok(Profile { content, hash, cipher: Cipher::None, key_epoch, cookie })
    }

    /// The profile as it is sent at the front of a session.
    #[must_use]
    pub fn emit(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = VERSION;
        bytes[9] = match self.content {
            ContentKind::Files => 0,
            ContentKind::Messages => 1,
            ContentKind::Apdu => 2,
            ContentKind::Stream => 3,
        };
        bytes[10] = match self.hash {
            Hash::None => 0,
            Hash::Blake3 => 1,
        };
        bytes[11] = match self.cipher {
            Cipher::None => 0,
        };
        bytes[12..16].copy_from_slice(&self.key_epoch.to_be_bytes());
        bytes[16..].copy_from_slice(&self.cookie.to_be_bytes());
        bytes
    }
}

/// Why no profile was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileError {
    /// The bytes do not begin with a profile.
    None,
    /// The profile is the first of packed messages, which are read as something else here.
    Packed,
    /// Another version of the profile.
    Version(u8),
    /// Content of an unknown kind.
    Content(u8),
    /// An unknown hash.
    Hash(u8),
    /// An unknown cipher.
    Cipher(u8),
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContentKind::Files => "files",
            ContentKind::Messages => "messages",
            ContentKind::Apdu => "messages in packets of their own",
            ContentKind::Stream => "a stream",
        })
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProfileError::None => f.write_str("it brings something else, or is not of campanile"),
            ProfileError::Packed => f.write_str("it brings messages"),
            ProfileError::Version(version) => {
                write!(f, "it is of version {version}; this is version {VERSION}")
            }
            ProfileError::Content(kind) => write!(f, "content of unknown kind {kind}"),
            ProfileError::Hash(kind) => write!(f, "unknown hash {kind}"),
            ProfileError::Cipher(kind) => write!(f, "unknown cipher {kind}"),
        }
    }
}

impl std::error::Error for ProfileError {}

/// No text and no usual file begins with these bytes.
const MAGIC: [u8; 8] = *b"\x93Cmpnle\n";

/// What is before the first of packed messages ([`campanile_pgm::Framing::Packed`]) if that is a profile: the offset of its frame, and the
/// frame's header.
const PACKED: [u8; 4] = [0, 0, Profile::LEN as u8 + 1, 0];

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for content in [ContentKind::Files, ContentKind::Messages, ContentKind::Apdu, ContentKind::Stream] {
            let profile = Profile { key_epoch: 7, ..Profile::new(content) };
            assert_eq!(Profile::parse(&profile.emit()), Ok(profile));
        }
        assert_ne!(Profile::new(ContentKind::Files).cookie, Profile::new(ContentKind::Files).cookie);
    }

    #[test]
    fn strangers_say_what_is_strange() {
        let bytes = Profile::new(ContentKind::Messages).emit();
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes;
            bytes[at] = byte;
            Profile::parse(&bytes)
        };
        assert_eq!(with(0, b'P'), Err(ProfileError::None));
        assert_eq!(with(8, 2), Err(ProfileError::Version(2)));
        assert_eq!(with(9, 4), Err(ProfileError::Content(4)));
        assert_eq!(with(10, 2), Err(ProfileError::Hash(2)));
        assert_eq!(with(11, 1), Err(ProfileError::Cipher(1)));
        assert_eq!(Profile::parse(&bytes[..23]), Err(ProfileError::None));
        let packed = [&[0, 0, 25, 0][..], &bytes].concat();
        assert_eq!(Profile::parse(&packed[..24]), Err(ProfileError::Packed));
    }
}
