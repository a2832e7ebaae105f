//! What is sent: files and directories, listed and hashed.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, FileType};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use campanile_engine::mode;

use super::digest::Hashing;
use super::error::{FileAction, FileError};
use super::manifest::{Entry, Manifest, ManifestError, check_collisions};
use super::meter::Meter;
use super::name::{FileName, NameError};

/// Files to be sent, and their manifest.
#[derive(Debug)]
pub struct Offering {
    manifest: Manifest,
    /// Where each file of the manifest is.
    sources: Vec<Original>,
    skipped: Vec<PathBuf>,
}

/// A file as it was when it was hashed.
#[derive(Debug)]
struct Original {
    path: PathBuf,
    modified: Option<SystemTime>,
}

/// Why files cannot be sent.
#[derive(Debug)]
pub enum OfferingError {
    /// A file or directory cannot be read.
    File(FileError),
    /// This is neither a file nor a directory.
    Kind(PathBuf),
    /// A file cannot have its name on every system: the file's path, and the rule that the name breaks.
    Name(PathBuf, NameError),
    /// Together they break a rule of manifests.
    Manifest(ManifestError),
}

impl Offering {
    /// Lists files and directories and hashes what is there, at some gigabytes a second; [`super::Collecting`] does it without
    /// blocking. A file is sent under its own name, a directory's files under names that begin with the directory's. Links in
    /// directories, and anything else that is no file, are left out.
    ///
    /// # Errors
    /// The first file that cannot be sent.
    pub fn collect(paths: &[PathBuf]) -> Result<Self, OfferingError> {
        Found::below(paths)?.hashed(&Meter::default())
    }

    /// What is sent.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What was left out of directories: empty directories, and whatever is neither file nor directory.
    #[must_use]
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Opens a file of the manifest, and checks that it is still what was hashed.
    pub(crate) fn open(&self, file: usize) -> Result<File, FileError> {
        let Original { path, modified } = &self.sources[file];
        let opened = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                FileAction::Read.of(path)(io::Error::new(error.kind(), "it was removed while it was sent"))
            }
            _ => FileAction::Open.of(path)(error),
        })?;
        let metadata = opened.metadata().map_err(FileAction::Open.of(path))?;
        if metadata.len() != self.manifest.entries()[file].size || metadata.modified().ok() != *modified {
            return Err(self.changed(file));
        }
        Ok(opened)
    }

    /// The error that a file is no longer what was hashed.
    pub(crate) fn changed(&self, file: usize) -> FileError {
        let error = io::Error::other("it was changed while it was sent");
        FileError { action: FileAction::Read, path: self.sources[file].path.clone(), error }
    }

    pub(crate) fn path(&self, file: usize) -> &Path {
        &self.sources[file].path
    }
}

/// Files found, in the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct Found {
    files: Vec<(PathBuf, FileName)>,
    skipped: Vec<PathBuf>,
}

impl Found {
    /// The files that these paths lead to. Their names are checked here: hashing them may take long.
    pub(super) fn below(paths: &[PathBuf]) -> Result<Self, OfferingError> {
        let mut found = Self::default();
        for path in paths {
            let metadata = fs::metadata(path).map_err(FileAction::Open.of(path))?;
            let name = own_name(path)?;
            found.add(path.clone(), name, metadata.file_type())?;
        }
        let names: Vec<&FileName> = found.files.iter().map(|(_, name)| name).collect();
        check_collisions(&names).map_err(OfferingError::Manifest)?;
        Ok(found)
    }

    /// Bytes of all files that exist now.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|(path, _)| Some(fs::metadata(path).ok()?.len())).sum()
    }

    /// Reads all of them.
    pub(super) fn hashed(self, meter: &Meter) -> Result<Offering, OfferingError> {
        let mut entries = Vec::with_capacity(self.files.len());
        let mut sources = Vec::with_capacity(self.files.len());
        for (path, name) in self.files {
            let (entry, original) = hashed(path, name, meter)?;
            entries.push(entry);
            sources.push(original);
        }
        let manifest = Manifest::new(entries).map_err(OfferingError::Manifest)?;
        Ok(Offering { manifest, sources, skipped: self.skipped })
    }

    /// Adds a file, or what is below a directory.
    fn add(&mut self, path: PathBuf, name: String, kind: FileType) -> Result<(), OfferingError> {
        if !kind.is_file() && !kind.is_dir() {
            return Err(OfferingError::Kind(path));
        }
        // This ends, because links below a directory are not followed; and soon, because names have few parts.
        let mut waiting = vec![(path, name, kind)];
        while let Some((path, name, kind)) = waiting.pop() {
            if kind.is_file() {
                let name = checked(&path, &name)?;
                self.files.push((path, name));
                if self.files.len() > Manifest::FILES_MAX {
                    return Err(OfferingError::Manifest(ManifestError::Count(self.files.len())));
                }
            } else if kind.is_dir() {
                checked(&path, &name)?;
                let mut inside = listed(&path, &name)?;
                if inside.is_empty() {
                    self.skipped.push(path);
                }
                inside.sort_by(|(_, a, _), (_, b, _)| b.cmp(a));
                waiting.append(&mut inside);
            } else {
                self.skipped.push(path);
            }
        }
        Ok(())
    }
}

/// What a directory holds, with the names to send it under.
fn listed(dir: &Path, name: &str) -> Result<Vec<(PathBuf, String, FileType)>, OfferingError> {
    let mut inside = Vec::new();
    for entry in fs::read_dir(dir).map_err(FileAction::Open.of(dir))? {
        let entry = entry.map_err(FileAction::Read.of(dir))?;
        let kind = entry.file_type().map_err(FileAction::Open.of(dir))?;
        let path = entry.path();
        let own = text(&path, &entry.file_name())?;
        inside.push((path, format!("{name}/{own}"), kind));
    }
    Ok(inside)
}

/// The name to send an argument under: its last part, or that of the directory which `.` or `..` means.
fn own_name(path: &Path) -> Result<String, OfferingError> {
    if let Some(name) = path.file_name() {
        return text(path, name);
    }
    let whole = fs::canonicalize(path).map_err(FileAction::Open.of(path))?;
    text(path, whole.file_name().unwrap_or(OsStr::new("")))
}

fn text(path: &Path, name: &OsStr) -> Result<String, OfferingError> {
    let refused = || OfferingError::Name(path.to_owned(), NameError::Character(char::REPLACEMENT_CHARACTER));
    name.to_str().map(str::to_owned).ok_or_else(refused)
}

fn checked(path: &Path, name: &str) -> Result<FileName, OfferingError> {
    FileName::parse(name).map_err(|rule| OfferingError::Name(path.to_owned(), rule))
}

fn hashed(path: PathBuf, name: FileName, meter: &Meter) -> Result<(Entry, Original), OfferingError> {
    let mut file = File::open(&path).map_err(FileAction::Open.of(&path))?;
    // Read before the contents, so that a later change shows in the time.
    let metadata = file.metadata().map_err(FileAction::Open.of(&path))?;
    let modified = metadata.modified().ok();
    let mut hashing = Hashing::default();
    hashing.read(&mut file, meter).map_err(FileAction::Read.of(&path))?;
    let (digest, size) = hashing.end();
    let entry = Entry { name, size, digest, mode: mode::of(&metadata), modified };
    Ok((entry, Original { path, modified }))
}

impl From<FileError> for OfferingError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for OfferingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Kind(path) => write!(f, "{} is neither a file nor a directory", path.display()),
            Self::Name(path, rule) => {
                write!(f, "{} cannot go by this name on every system: {rule}", path.display())
            }
            Self::Manifest(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OfferingError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::digest::Digest;
    use crate::files::scratch::Scratch;

    fn names(offering: &Offering) -> Vec<&str> {
        offering.manifest().entries().iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn files_and_directories_go_by_their_own_names() {
        let scratch = Scratch::new();
        let one = scratch.file("deep/below/one.txt", b"one");
        scratch.file("tree/b", b"b");
        scratch.file("tree/a/x", b"x");
        scratch.file("tree/a.txt", b"");
        let offering = Offering::collect(&[one, scratch.path().join("tree")]).expect("all can be sent");
        assert_eq!(names(&offering), ["one.txt", "tree/a/x", "tree/a.txt", "tree/b"]);
        let first = &offering.manifest().entries()[0];
        assert_eq!((first.size, first.digest), (3, Digest::of(b"one")));
        assert!(first.modified.is_some());
    }

    #[test]
    fn a_directory_may_be_given_by_dots() {
        let scratch = Scratch::new();
        scratch.file("tree/a/x", b"x");
        let offering = Offering::collect(&[scratch.path().join("tree/a/..")]).expect("it can be sent");
        assert_eq!(names(&offering), ["tree/a/x"]);
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let scratch = Scratch::new();
        let refused =
            |paths: &[PathBuf]| Offering::collect(paths).expect_err("it cannot be sent").to_string();
        let missing = refused(&[scratch.path().join("missing")]);
        assert!(missing.contains("missing cannot be opened: "), "{missing}");
        let (a, b) = (scratch.file("1/Same", b"1"), scratch.file("2/same", b"2"));
        assert_eq!(refused(&[a, b]), "\"same\" collides with another name (capitals make no difference)");
        scratch.file(".campanile/lock", b"");
        let ours = refused(&[scratch.path().join(".campanile")]);
        assert!(ours.ends_with("`.campanile` is where incomplete files are kept"), "{ours}");
        fs::create_dir(scratch.path().join("empty")).expect("there is room");
        assert_eq!(refused(&[scratch.path().join("empty")]), "there is no file");
    }

    #[test]
    fn a_directory_with_nothing_in_it_is_left_out() {
        let scratch = Scratch::new();
        scratch.file("tree/x", b"x");
        let empty = scratch.path().join("tree/empty");
        fs::create_dir(&empty).expect("there is room");
        let offering = Offering::collect(&[scratch.path().join("tree")]).expect("it can be sent");
        assert_eq!((names(&offering), offering.skipped()), (vec!["tree/x"], &[empty][..]));
    }

    #[test]
    fn a_changed_file_is_noticed() {
        let scratch = Scratch::new();
        let path = scratch.file("a", b"before");
        let offering = Offering::collect(std::slice::from_ref(&path)).expect("it can be sent");
        assert!(offering.open(0).is_ok());
        fs::write(&path, b"longer than before").expect("there is room");
        let error = offering.open(0).expect_err("it is another file now");
        assert!(error.to_string().ends_with("it was changed while it was sent"), "{error}");
        fs::remove_file(&path).expect("it is there");
        let error = offering.open(0).expect_err("there is none");
        assert!(error.to_string().ends_with("cannot be read: it was removed while it was sent"), "{error}");
    }
}
