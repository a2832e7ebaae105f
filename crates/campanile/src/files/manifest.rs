//! What a session brings: names, sizes, hashes, modes and times.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::name::{FileName, NameError};

/// The files of a session. A value of this type can always be written as it is, below one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes.
    pub name: FileName,
    /// Its length in bytes.
    pub size: u64,
    /// The hash of its content.
    pub digest: Digest,
    /// Its permissions, the nine bits of Unix, where the sender's system has them.
    pub mode: Option<u32>,
    /// When it was last written, where the sender's system reports that.
    pub modified: Option<SystemTime>,
}

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// It is longer than [`Manifest::LEN_MAX`].
    Long,
    /// It is not JSON, or not that of a manifest.
    Syntax {
        /// The line on which it goes wrong.
        line: usize,
        /// Where on that line.
        column: usize,
    },
    /// It is of another version.
    Version(u32),
    /// It has no file, or more than [`Manifest::FILES_MAX`].
    Count(usize),
    /// A file cannot have this name on every system.
    Name {
        /// The text of the name.
        name: String,
        /// The rule that it breaks.
        rule: NameError,
    },
    /// Two names are equal on some system, or one is a file's and also another's directory.
    Collision(String),
    /// A size is beyond what can be sent, all sizes together are, or one content has two sizes.
    Size(String),
    /// A mode has more than the nine bits.
    Mode(String),
}

impl Manifest {
    /// The most bytes of a manifest.
    pub const LEN_MAX: usize = 16 << 20;

    /// The most files of a manifest.
    pub const FILES_MAX: usize = 1 << 16;

    /// The most bytes of all files together: more than any session can carry.
    pub const SIZE_MAX: u64 = 1 << 46;

    /// A manifest of these files.
    ///
    /// # Errors
    /// The first rule that they break.
    pub fn new(entries: Vec<Entry>) -> Result<Self, ManifestError> {
        if entries.is_empty() || entries.len() > Self::FILES_MAX {
            return Err(ManifestError::Count(entries.len()));
        }
        check_sizes(&entries)?;
        check_collisions(&entries.iter().map(|entry| &entry.name).collect::<Vec<_>>())?;
        let bits = |entry: &&Entry| entry.mode.is_some_and(|mode| mode > MODE_BITS);
        if let Some(entry) = entries.iter().find(bits) {
            return Err(ManifestError::Mode(entry.name.to_string()));
        }
        Ok(Self { entries })
    }

    /// Reads a manifest as [`Manifest::emit`] writes it. The bytes may be hostile.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > Self::LEN_MAX {
            return Err(ManifestError::Long);
        }
        let written: Written = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Syntax { line: error.line(), column: error.column() })?;
        if written.version != VERSION {
            return Err(ManifestError::Version(written.version));
        }
        if written.files.len() > Self::FILES_MAX {
            return Err(ManifestError::Count(written.files.len()));
        }
        Self::new(written.files.into_iter().map(Entry::read).collect::<Result<_, _>>()?)
    }

    /// The manifest as it is sent.
    ///
    /// # Errors
    /// It would be longer than [`Manifest::LEN_MAX`].
    pub fn emit(&self) -> Result<Vec<u8>, ManifestError> {
        let files = self.entries.iter().map(Entry::written).collect();
        let bytes = serde_json::to_vec(&Written { version: VERSION, files }).expect("memory takes it");
        if bytes.len() > Self::LEN_MAX { Err(ManifestError::Long) } else { Ok(bytes) }
    }

    /// The files, in the order in which they were given.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }
}

const VERSION: u32 = 1;

const MODE_BITS: u32 = 0o777;

/// A manifest as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    files: Vec<WrittenEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEntry {
    name: String,
    size: u64,
    blake3: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    /// Nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified_ns: Option<i64>,
}

impl Entry {
    fn read(written: WrittenEntry) -> Result<Self, ManifestError> {
        let WrittenEntry { name, size, blake3, mode, modified_ns } = written;
        match FileName::parse(&name) {
            Ok(name) => Ok(Self { name, size, digest: blake3, mode, modified: modified_ns.and_then(time) }),
            Err(rule) => Err(ManifestError::Name { name, rule }),
        }
    }

    fn written(&self) -> WrittenEntry {
        WrittenEntry {
            name: self.name.to_string(),
            size: self.size,
            blake3: self.digest,
            mode: self.mode,
            modified_ns: self.modified.and_then(nanoseconds),
        }
    }
}

fn time(ns: i64) -> Option<SystemTime> {
    let distance = Duration::from_nanos(ns.unsigned_abs());
    if ns < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

fn nanoseconds(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).ok(),
        Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|ns| -ns),
    }
}

fn check_sizes(entries: &[Entry]) -> Result<(), ManifestError> {
    let mut sizes = HashMap::new();
    let mut total: u64 = 0;
    for entry in entries {
        total = total.saturating_add(entry.size);
        if total > Manifest::SIZE_MAX || *sizes.entry(entry.digest).or_insert(entry.size) != entry.size {
            return Err(ManifestError::Size(entry.name.to_string()));
        }
    }
    Ok(())
}

/// Whether two names are equal on some system, or one is a file's and also another's directory.
pub(super) fn check_collisions(names: &[&FileName]) -> Result<(), ManifestError> {
    let mut files = HashSet::new();
    let folded: Vec<String> = names.iter().map(|name| name.folded()).collect();
    for (name, folded) in names.iter().zip(&folded) {
        if !files.insert(folded.as_str()) {
            return Err(ManifestError::Collision(name.to_string()));
        }
    }
    for (name, folded) in names.iter().zip(&folded) {
        let mut dirs = folded.match_indices('/').map(|(at, _)| &folded[..at]);
        if dirs.any(|dir| files.contains(dir)) {
            return Err(ManifestError::Collision(name.to_string()));
        }
    }
    Ok(())
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long => write!(f, "the manifest is longer than {} MiB", Manifest::LEN_MAX >> 20),
            Self::Syntax { line, column } => {
                write!(f, "the manifest is not what it should be (line {line}, column {column})")
            }
            Self::Version(version) => write!(f, "the manifest is of version {version}, not of {VERSION}"),
            Self::Count(0) => f.write_str("there is no file"),
            // The count may have stopped just above the limit.
            Self::Count(_) => write!(f, "more than {} files", Manifest::FILES_MAX),
            Self::Name { name, rule } => write!(f, "{name:?} is no name for a file that travels: {rule}"),
            Self::Collision(name) => {
                write!(f, "{name:?} collides with another name (capitals make no difference)")
            }
            Self::Size(name) => write!(f, "the size of {name:?} is impossible"),
            Self::Mode(name) => write!(f, "the mode of {name:?} has more than the nine permission bits"),
        }
    }
}

impl std::error::Error for ManifestError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            name: FileName::parse(name).expect(name),
            size: name.len() as u64,
            digest: Digest::of(name.as_bytes()),
            mode: Some(0o640),
            // Windows counts in steps of 100 ns.
            modified: time(1_700_000_000_123_456_700),
        }
    }

    fn parsed(files: &str) -> ManifestError {
        let text = format!(r#"{{"version":1,"files":[{files}]}}"#);
        Manifest::parse(text.as_bytes()).expect_err(files)
    }

    fn file(name: &str, size: u64, more: &str) -> String {
        format!(r#"{{"name":{name:?},"size":{size},"blake3":"{}"{more}}}"#, Digest::of(name.as_bytes()))
    }

    #[test]
    fn what_was_written_is_read() {
        let before_1970 = Entry { modified: time(-5), mode: None, ..entry("dir/old") };
        let timeless = Entry { modified: None, ..entry("timeless") };
        let manifest = Manifest::new(vec![entry("a"), before_1970, timeless]).expect("three files");
        assert_eq!(Manifest::parse(&manifest.emit().expect("short")), Ok(manifest.clone()));
        assert_eq!(manifest.size(), 1 + 7 + 8);
    }

    #[test]
    fn its_form_is_known() {
        let manifest = Manifest::new(vec![Entry { size: 3, digest: Digest::of(b"abc"), ..entry("a.txt") }]);
        let text = String::from_utf8(manifest.and_then(|manifest| manifest.emit()).expect("short"));
        let hash = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        let form = format!(
            r#"{{"version":1,"files":[{{"name":"a.txt","size":3,"blake3":"{hash}","mode":416,"modified_ns":1700000000123456700}}]}}"#
        );
        assert_eq!(text.expect("JSON is text"), form);
    }

    #[test]
    fn names_that_harm_are_refused() {
        let name = |text: &str| match parsed(&file(text, 1, "")) {
            ManifestError::Name { name, rule } => {
                assert_eq!(name, text);
                rule
            }
            other => panic!("{other}"),
        };
        assert_eq!(name("../../etc/cron.d/x"), NameError::Dots);
        assert_eq!(name("/etc/passwd"), NameError::Empty);
        assert_eq!(name("C:\\x"), NameError::Character(':'));
        assert_eq!(name("nul"), NameError::Device);
        assert_eq!(name(".campanile/x"), NameError::Staging);
    }

    #[test]
    fn no_two_files_are_one() {
        let collides = |a: &str, b: &str| {
            let error = parsed(&format!("{},{}", file(a, 1, ""), file(b, 1, "")));
            assert!(matches!(error, ManifestError::Collision(_)), "{a} {b}: {error}");
        };
        collides("a", "a");
        collides("README", "readme");
        collides("straße", "STRAẞE");
        collides("STRAẞE", "STRASSE");
        collides("a", "A/b");
        collides("Dir/x/y", "dir/X");
    }

    #[test]
    fn sizes_and_modes_have_bounds() {
        let sized = |size| parsed(&file("a", size, ""));
        assert_eq!(sized(u64::MAX), ManifestError::Size("a".to_owned()));
        assert_eq!(sized(Manifest::SIZE_MAX + 1), ManifestError::Size("a".to_owned()));
        let both = format!("{},{}", file("a", Manifest::SIZE_MAX, ""), file("b", 1, ""));
        assert_eq!(parsed(&both), ManifestError::Size("b".to_owned()), "together");
        assert_eq!(parsed(&file("a", 1, r#","mode":2541"#)), ManifestError::Mode("a".to_owned()), "set-uid");
        let twice = Entry { size: 9, digest: entry("a").digest, ..entry("b") };
        assert_eq!(Manifest::new(vec![entry("a"), twice]), Err(ManifestError::Size("b".to_owned())));
    }

    #[test]
    fn links_and_other_surprises_are_no_fields() {
        let syntax = |files: &str| matches!(parsed(files), ManifestError::Syntax { .. });
        assert!(syntax(&file("a", 1, r#","link":"/etc/passwd""#)));
        assert!(syntax(r#"{"name":"a","size":-1,"blake3":""}"#));
        assert!(syntax(r#"{"name":"a","size":1e99,"blake3":""}"#));
        assert!(syntax("["));
        assert_eq!(parsed(""), ManifestError::Count(0));
        let newer = Manifest::parse(br#"{"version":2,"files":[]}"#);
        assert_eq!(newer, Err(ManifestError::Version(2)));
        assert!(matches!(Manifest::parse(&[b'['; 1000]), Err(ManifestError::Syntax { .. })));
    }

    #[test]
    fn length_and_count_have_bounds() {
        assert_eq!(Manifest::parse(&vec![b' '; Manifest::LEN_MAX + 1]), Err(ManifestError::Long));
        let files: Vec<String> = (0..=Manifest::FILES_MAX).map(|n| file(&n.to_string(), 1, "")).collect();
        assert_eq!(parsed(&files.join(",")), ManifestError::Count(Manifest::FILES_MAX + 1));
        assert_eq!(ManifestError::Count(Manifest::FILES_MAX + 1).to_string(), "more than 65536 files");
        let long = (0..Manifest::FILES_MAX).map(|n| entry(&format!("{}{n}", "x".repeat(200))));
        let long = Manifest::new(long.collect()).expect("as many as there may be");
        assert_eq!(long.emit(), Err(ManifestError::Long));
    }
}
