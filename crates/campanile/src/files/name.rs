//! The name of a file that is sent.

use std::fmt;
use std::path::{Path, PathBuf};

/// The name that a received file gets below its directory: parts with `/` between them.
///
/// A name must be valid on all systems: it cannot leave the directory, has nothing that Windows reserves or cannot write, and nothing
/// that a terminal would interpret. So the sender finds out about a bad name, and not one of forty receivers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(String);

/// Why a text is no [`FileName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It or one of its parts is empty; so are parts of absolute names.
    Empty,
    /// More than 1024 bytes, or more than 240 in one part, or more than 32 parts.
    Long,
    /// A part is `.` or `..`.
    Dots,
    /// Some system does not allow this character in names, or a terminal would interpret it.
    Character(char),
    /// A part ends with a dot or a space, which Windows drops.
    End,
    /// Windows has a device of that name.
    Device,
    /// The first part is `.campanile`, where Campanile keeps what is not complete.
    Staging,
}

impl FileName {
    /// Reads a name.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > LEN_MAX || text.split('/').count() > PARTS_MAX {
            return Err(NameError::Long);
        }
        text.split('/').try_for_each(check_part)?;
        let first = text.split('/').next().unwrap_or(text);
        if fold(first) == STAGING {
            return Err(NameError::Staging);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts: directories, then the file.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Where it is below a directory.
    #[must_use]
    pub fn below(&self, dir: &Path) -> PathBuf {
        self.parts().fold(dir.to_owned(), |path, part| path.join(part))
    }

    /// The name with its case folded, to find names that are equal on a case-insensitive file system. More names are equal by this than
    /// on any such file system, except where one takes two spellings of a character in Unicode for the same.
    pub(crate) fn folded(&self) -> String {
        fold(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a part of it is empty"),
            Self::Long => {
                write!(f, "it is longer than {LEN_MAX} bytes, {PART_MAX} in a part or {PARTS_MAX} parts")
            }
            Self::Dots => f.write_str("`.` and `..` are no names"),
            Self::Character(c) => write!(f, "{c:?} does not stand in names on every system"),
            Self::End => f.write_str("a part ends with a dot or a space, which Windows drops"),
            Self::Device => f.write_str("Windows has a device of that name"),
            Self::Staging => write!(f, "`{STAGING}` is where incomplete files are kept"),
        }
    }
}

impl std::error::Error for NameError {}

/// The subdirectory for incomplete contents, in the directory that files are received into.
pub(crate) const STAGING: &str = ".campanile";

const LEN_MAX: usize = 1024;

/// Leaves room for suffixes of temporary names, up to the 255 bytes that file systems allow.
const PART_MAX: usize = 240;

const PARTS_MAX: usize = 32;

fn check_part(part: &str) -> Result<(), NameError> {
    if part.is_empty() {
        return Err(NameError::Empty);
    }
    if part.len() > PART_MAX {
        return Err(NameError::Long);
    }
    if part == "." || part == ".." {
        return Err(NameError::Dots);
    }
    if let Some(c) = part.chars().find(|&c| is_refused(c)) {
        return Err(NameError::Character(c));
    }
    if part.ends_with(['.', ' ']) {
        return Err(NameError::End);
    }
    if is_device(part) { Err(NameError::Device) } else { Ok(()) }
}

/// Separators and wildcards of Windows, control characters, and those that change the direction of text.
fn is_refused(c: char) -> bool {
    matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows takes a part for a device: it looks at what is before the first dot, without trailing spaces.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end_matches(' ').to_ascii_lowercase();
    if DEVICES.contains(&stem.as_str()) {
        return true;
    }
    let port = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    let mut digits = port.unwrap_or("").chars();
    matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
}

const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

fn fold(name: &str) -> String {
    // Only in lower case a capital sharp s has the same capitals as the small one.
    let lower = name.chars().flat_map(char::to_lowercase);
    lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Component;

    fn refused(text: &str) -> NameError {
        FileName::parse(text).expect_err(text)
    }

    #[test]
    fn plain_names_are_names() {
        for text in
            ["a", "a.txt", "dir/a", "ä ö.tar.gz", ".hidden", "a..b", "console", "com10", "nul1", "日本/語"]
        {
            assert_eq!(FileName::parse(text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn paths_out_of_the_directory_are_no_names() {
        for text in ["", "/", "/etc/passwd", "a//b", "a/", "//server/share"] {
            assert_eq!(refused(text), NameError::Empty, "{text:?}");
        }
        for text in [".", "..", "../a", "a/../b", "a/.."] {
            assert_eq!(refused(text), NameError::Dots, "{text:?}");
        }
        assert_eq!(refused("..\\a"), NameError::Character('\\'));
        assert_eq!(refused("C:a"), NameError::Character(':'));
        assert_eq!(refused("a:stream"), NameError::Character(':'));
        for text in [".campanile", ".Campanile/x", ".CAMPANILE/a"] {
            assert_eq!(refused(text), NameError::Staging, "{text:?}");
        }
        assert!(FileName::parse("a/.campanile").is_ok());
    }

    #[test]
    fn what_windows_or_a_terminal_reads_differently_is_no_name() {
        for text in ["nul", "NUL.txt", "a/con", "aux .x", "COM1", "lpt9.log", "com¹", "CONIN$", "prn.tar.gz"]
        {
            assert_eq!(refused(text), NameError::Device, "{text:?}");
        }
        for text in ["a.", "a ", "a./b", "..."] {
            assert_eq!(refused(text), NameError::End, "{text:?}");
        }
        for c in ['\0', '\n', '\x1b', '\x7f', '\u{9b}', '*', '?', '"', '<', '>', '|', '\u{202e}'] {
            assert_eq!(refused(&format!("a{c}b")), NameError::Character(c));
        }
    }

    #[test]
    fn names_have_an_end() {
        assert!(FileName::parse(&"a".repeat(PART_MAX)).is_ok());
        assert_eq!(refused(&"a".repeat(PART_MAX + 1)), NameError::Long);
        assert!(FileName::parse(&vec!["a"; PARTS_MAX].join("/")).is_ok());
        assert_eq!(refused(&vec!["a"; PARTS_MAX + 1].join("/")), NameError::Long);
        assert_eq!(refused(&vec!["a".repeat(200); 6].join("/")), NameError::Long);
    }

    #[test]
    fn capitals_make_no_difference_once_folded() {
        let folded = |text: &str| FileName::parse(text).expect(text).folded();
        assert_eq!(folded("A/b"), folded("a/B"));
        assert_eq!(folded("ÄRGER"), folded("ärger"));
        assert_eq!(folded("\u{212a}"), folded("k"), "the sign for kelvin");
        assert_ne!(folded("a"), folded("b"));
    }

    proptest! {
        /// Every accepted name is below the directory.
        #[test]
        fn a_name_stays_below(text in "(\\.|/|\\\\|:|[a-z ]|\\PC|[\u{0}-\u{20}]|com|nul){0,12}") {
            if let Ok(name) = FileName::parse(&text) {
                let path = name.below(Path::new("dir"));
                let rest = path.strip_prefix("dir").expect("below the directory");
                prop_assert!(rest.components().all(|part| matches!(part, Component::Normal(_))), "{rest:?}");
                prop_assert_eq!(rest.components().count(), name.parts().count());
                prop_assert!(rest.components().next().is_some_and(|part| part.as_os_str() != STAGING));
            }
        }
    }
}
