//! The directory that files are received into.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use campanile_engine::{mode, storage};

use super::digest::{Digest, Hashing};
use super::error::{FileAction, FileError};
use super::manifest::Entry;
use super::meter::Meter;
use super::name::STAGING;
use super::partial::PartialPaths;

/// A directory that files are received into, with a subdirectory `.campanile`, where they are kept until they are complete. Only one
/// process at a time can use it.
///
/// Nothing is written outside of the directory, whatever is in it: a link on the way to a name is not followed.
#[derive(Debug)]
pub(crate) struct Inbox {
    dir: PathBuf,
    /// The directories that were made for this: `dir` and those above it, the innermost first.
    made: Vec<PathBuf>,
    /// The subdirectory `.campanile`.
    staging: PathBuf,
    /// Whether a received file may replace one of its name.
    replaces: bool,
    /// Locked while this process receives here.
    lock: Option<File>,
}

impl Inbox {
    /// Opens a directory, and makes it if there is none. `replaces` is whether a received file may replace one of its name.
    pub(crate) fn open(dir: &Path, replaces: bool) -> Result<Self, FileError> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = dir.ancestors().take_while(is_missing).map(Path::to_owned).collect();
        fs::create_dir_all(dir).map_err(FileAction::Create.of(dir))?;
        let staging = dir.join(STAGING);
        make_directory(&staging).map_err(FileAction::Create.of(&staging))?;
        // Only Windows cannot open a directory like a file, and it has no modes.
        if let Ok(directory) = File::open(&staging) {
            mode::set(&directory, PRIVATE).map_err(FileAction::Create.of(&staging))?;
        }
        let path = staging.join(LOCK);
        let lock = File::create(&path).map_err(FileAction::Create.of(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let error = io::Error::new(io::ErrorKind::ResourceBusy, "another process receives into it");
                return Err(FileAction::Open.of(dir)(error));
            }
            Err(TryLockError::Error(error)) => return Err(FileAction::Open.of(&path)(error)),
        }
        let inbox = Self { dir: dir.to_owned(), made, staging, replaces, lock: Some(lock) };
        inbox.sweep()?;
        Ok(inbox)
    }

    /// Gives the directory up before anything was received, and removes the directories that were made.
    pub(crate) fn unmake(mut self) {
        let made = std::mem::take(&mut self.made);
        drop(self);
        // A directory that is not empty stays, and so do those above it.
        let _ = made.iter().try_for_each(fs::remove_dir);
    }

    /// The directory's canonical path, or the path as it was given if the system has none for it.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone())
    }

    /// Where a content is kept until it is complete.
    pub(crate) fn partial(&self, digest: &Digest, size: u64, block_len: usize) -> PartialPaths {
        PartialPaths::new(&self.staging, digest, size, block_len)
    }

    /// Where a file goes.
    pub(crate) fn target(&self, entry: &Entry) -> PathBuf {
        entry.name.below(&self.dir)
    }

    /// The path of a temporary file. The next process removes those that a killed process leaves behind.
    pub(crate) fn temporary(&self, name: &str) -> PathBuf {
        self.staging.join(format!("{name}{TEMPORARY}"))
    }

    /// Whether a file may be there already, judged by its name and size alone. What keeps the system from looking shows when the file
    /// is to get its name.
    pub(crate) fn may_have(&self, entry: &Entry) -> bool {
        let is_such = |metadata: fs::Metadata| metadata.is_file() && metadata.len() == entry.size;
        fs::symlink_metadata(self.target(entry)).is_ok_and(is_such) && !self.way_is_barred(entry)
    }

    /// Whether a file is there already, with the right contents: if the size is right, it is read and hashed. One that may not be read
    /// is not known to be right.
    pub(crate) fn has(&self, entry: &Entry, meter: &Meter) -> Result<bool, FileError> {
        if !self.may_have(entry) {
            return Ok(false);
        }
        let path = self.target(entry);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            opened => opened.map_err(FileAction::Open.of(&path))?,
        };
        let mut hashing = Hashing::default();
        hashing.read(&mut file, meter).map_err(FileAction::Read.of(&path))?;
        Ok(hashing.end() == (entry.digest, entry.size))
    }

    /// Gives complete contents the names of their files, each with its mode and time, once all of them are on the disk, and removes the
    /// partials. A file of that name with the same content counts as placed.
    ///
    /// # Errors
    /// For each file of each content, why it has no name, if so. The partial is kept then.
    pub(crate) fn place(
        &self,
        contents: &[(PartialPaths, Vec<Entry>)],
        meter: &Meter,
    ) -> Vec<Vec<Result<(), FileError>>> {
        let prepare = |(paths, entries): &(PartialPaths, Vec<Entry>)| self.prepare(paths, entries, meter);
        let mut prepared: Vec<Vec<Prepared>> = contents.iter().map(prepare).collect();
        sync(prepared.iter_mut().flatten());
        let name = |((paths, entries), files): (&(PartialPaths, Vec<Entry>), Vec<Prepared>)| {
            let results = self.name(paths, entries, files);
            // If this fails, what remains does no harm, and what is lost is received again.
            let _ = if results.iter().all(Result::is_ok) { paths.remove() } else { paths.keep() };
            results
        };
        contents.iter().zip(prepared).map(name).collect()
    }

    /// Makes empty files.
    pub(crate) fn place_empty(&self, entries: &[&Entry]) -> Vec<Result<(), FileError>> {
        let prepare = |(index, entry): (usize, &&Entry)| {
            if self.may_have(entry) {
                return Ok(None);
            }
            let make = |path: &Path| File::create(path).map(drop);
            self.ready_temporary(&format!("empty-{index}"), entry, make).map(Some)
        };
        let mut prepared: Vec<Prepared> = entries.iter().enumerate().map(prepare).collect();
        sync(prepared.iter_mut());
        prepared.into_iter().map(|file| file?.map_or(Ok(()), |ready| self.claim(ready))).collect()
    }

    /// Prepares the files of a content: the content itself becomes the last of them, the others are copies of it.
    fn prepare(&self, paths: &PartialPaths, entries: &[Entry], meter: &Meter) -> Vec<Prepared> {
        let prepare = |(index, entry): (usize, &Entry)| match self.has(entry, meter)? {
            true => Ok(None),
            false if index + 1 == entries.len() => self.ready(paths.bytes.clone(), entry).map(Some),
            false => self.ready_copy(&paths.bytes, index, entry).map(Some),
        };
        entries.iter().enumerate().map(prepare).collect()
    }

    /// Gives the files of a content their names.
    fn name(
        &self,
        paths: &PartialPaths,
        entries: &[Entry],
        files: Vec<Prepared>,
    ) -> Vec<Result<(), FileError>> {
        let mut results: Vec<Result<(), FileError>> = Vec::with_capacity(files.len());
        for (index, (entry, file)) in entries.iter().zip(files).enumerate() {
            let is_kept = results.iter().any(Result::is_err);
            results.push(file.and_then(|file| match file {
                None => Ok(()),
                // The content itself stays for the names that it did not get.
                Some(ready) if is_kept && ready.from == paths.bytes => {
                    let mut copy = [self.ready_copy(&paths.bytes, index, entry).map(Some)];
                    sync(copy.iter_mut());
                    let [copy] = copy;
                    copy?.map_or(Ok(()), |ready| self.claim(ready))
                }
                Some(ready) => self.claim(ready),
            }));
        }
        results
    }

    /// A copy of a content, ready for a name.
    fn ready_copy(&self, content: &Path, index: usize, entry: &Entry) -> Result<Ready, FileError> {
        let make = |path: &Path| fs::copy(content, path).map(drop);
        self.ready_temporary(&format!("copy-{index}-{}", entry.digest), entry, make)
    }

    /// Makes a temporary file and prepares it; removes it if that fails.
    fn ready_temporary(
        &self,
        name: &str,
        entry: &Entry,
        make: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<Ready, FileError> {
        let path = self.temporary(name);
        let made = make(&path).map_err(FileAction::Write.of(&path));
        made.and_then(|()| self.ready(path.clone(), entry)).inspect_err(|_| _ = fs::remove_file(&path))
    }

    /// Prepares a file: sets its time and mode, and makes the directories on the way to its name.
    fn ready(&self, from: PathBuf, entry: &Entry) -> Result<Ready, FileError> {
        self.make_parents(entry)?;
        let (target, mode) = (self.target(entry), entry.mode);
        let ready = OpenOptions::new().read(true).write(true).open(&from).and_then(|file| {
            if let Some(modified) = entry.modified {
                file.set_modified(not_before_1970(modified))?;
            }
            // Its owner may read and write it until it has its name, so that a failed attempt can be repeated.
            mode.map_or(Ok(()), |mode| mode::set(&file, mode | OWNER_USES))
        });
        ready.map_err(FileAction::Name.of(&target))?;
        Ok(Ready { from, target, mode })
    }

    /// Moves a file to its name.
    fn claim(&self, Ready { from, target, mode }: Ready) -> Result<(), FileError> {
        let claimed = || {
            // Opened before it is moved: afterwards another program may have replaced it.
            let lesser = mode.filter(|mode| mode & OWNER_USES != OWNER_USES);
            let file = lesser.map(|mode| Ok::<_, io::Error>((File::open(&from)?, mode))).transpose()?;
            claim(&from, &target, self.replaces)?;
            file.map_or(Ok(()), |(file, mode)| mode::set(&file, mode))
        };
        claimed().map_err(|error| {
            if is_temporary(&from) {
                let _ = fs::remove_file(&from);
            }
            FileAction::Name.of(&target)(error)
        })
    }

    /// Makes the directories on the way to a file's name.
    fn make_parents(&self, entry: &Entry) -> Result<(), FileError> {
        let mut path = self.dir.clone();
        let parts: Vec<&str> = entry.name.parts().collect();
        for part in &parts[..parts.len() - 1] {
            path.push(part);
            make_directory(&path).map_err(FileAction::Create.of(&path))?;
        }
        Ok(())
    }

    /// Whether something on the way to a name is not a directory: a file, or a link.
    fn way_is_barred(&self, entry: &Entry) -> bool {
        let mut path = self.dir.clone();
        let parts: Vec<&str> = entry.name.parts().collect();
        parts[..parts.len() - 1].iter().any(|part| {
            path.push(part);
            fs::symlink_metadata(&path)
                .map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |metadata| !metadata.is_dir())
        })
    }

    /// Removes what a killed process left behind and nobody can go on with: temporary files, and what is not all of a partial.
    fn sweep(&self) -> Result<(), FileError> {
        for entry in fs::read_dir(&self.staging).map_err(FileAction::Open.of(&self.staging))? {
            let path = entry.map_err(FileAction::Read.of(&self.staging))?.path();
            if is_temporary(&path) || PartialPaths::is_half(&path) {
                fs::remove_file(&path).map_err(FileAction::Remove.of(&path))?;
            }
        }
        Ok(())
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // The subdirectory stays if something in it is not complete.
        let is_empty = fs::read_dir(&self.staging).is_ok_and(|entries| entries.take(2).count() == 1);
        if is_empty {
            // Removed before it is unlocked, so that no other process locks a file that is gone. On Windows it disappears when it is
            // closed.
            let _ = fs::remove_file(self.staging.join(LOCK));
        }
        if let Some(lock) = self.lock.take() {
            // Closing it would not be enough: a child process that was just started shares our open files for a moment, and with them
            // the lock.
            let _ = lock.unlock();
        }
        if is_empty {
            let _ = fs::remove_dir(&self.staging);
        }
    }
}

/// The mode of `.campanile`: incomplete contents are for their owner only.
const PRIVATE: u32 = 0o700;

/// The mode of a file that its owner may read and write.
const OWNER_USES: u32 = 0o600;

const LOCK: &str = "lock";

/// The end of the names of temporary files.
const TEMPORARY: &str = ".passing";

/// A file that is ready to get its name: where it is, where it goes, and its final mode.
#[derive(Debug)]
struct Ready {
    from: PathBuf,
    target: PathBuf,
    mode: Option<u32>,
}

/// A file that is ready; `None` if it has its name already.
type Prepared = Result<Option<Ready>, FileError>;

/// Brings all prepared files to the disk together. A file for which that fails becomes an error.
fn sync<'a>(prepared: impl Iterator<Item = &'a mut Prepared>) {
    let is_ready = |file: &&mut Prepared| matches!(file, Ok(Some(_)));
    let ready: Vec<&mut Prepared> = prepared.filter(is_ready).collect();
    let paths: Vec<PathBuf> =
        ready.iter().filter_map(|file| Some(file.as_ref().ok()?.as_ref()?.from.clone())).collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    for (file, synced) in ready.into_iter().zip(storage::sync(&paths)) {
        if let (Ok(Some(Ready { target, .. })), Err(error)) = (&file, synced) {
            *file = Err(FileAction::Name.of(target)(error));
        }
    }
}

fn is_temporary(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.ends_with(TEMPORARY))
}

/// Makes a directory if it is not there; an error if anything else is there, even a link to a directory.
fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
        made => made,
    }
}

/// Moves a file to a name, in one step. Without `replaces` the name must be free.
fn claim(from: &Path, to: &Path, replaces: bool) -> io::Result<()> {
    if replaces {
        return fs::rename(from, to);
    }
    // Renaming would replace a file of that name; a hard link never does, after which the old name is removed.
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without hard links: another program may still make the file between this check and the rename.
        Err(error) => match fs::symlink_metadata(to) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                fs::rename(from, to).map_err(|_| error)
            }
            _ => Err(io::ErrorKind::AlreadyExists.into()),
        },
    }
}

/// A time that every file system can store: some have none before 1970.
fn not_before_1970(time: SystemTime) -> SystemTime {
    time.max(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::name::FileName;
    use crate::files::partial::Partial;
    use crate::files::scratch::Scratch;
    use std::time::Duration;

    const CONTENT: &[u8] = b"the content of a file";

    fn entry(name: &str) -> Entry {
        Entry {
            name: FileName::parse(name).expect(name),
            size: CONTENT.len() as u64,
            digest: Digest::of(CONTENT),
            mode: Some(0o640),
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)),
        }
    }

    struct Fixture {
        scratch: Scratch,
        inbox: Inbox,
    }

    impl Fixture {
        fn new(replaces: bool) -> Self {
            let scratch = Scratch::new();
            let inbox = Inbox::open(&scratch.path().join("in"), replaces).expect("a directory of our own");
            Self { scratch, inbox }
        }

        /// Places the content under these names; `true` for each that has it.
        fn place(&self, names: &[&str]) -> Vec<Result<(), io::ErrorKind>> {
            let paths = self.inbox.partial(&Digest::of(CONTENT), CONTENT.len() as u64, 4);
            let mut partial = Partial::open(paths.clone()).expect("there is room");
            partial.write(0, CONTENT).expect("there is room");
            partial.save().expect("there is room");
            drop(partial);
            let entries: Vec<Entry> = names.iter().map(|name| entry(name)).collect();
            let placed = self.inbox.place(&[(paths.clone(), entries)], &Meter::default()).remove(0);
            assert_eq!(paths.exist(), placed.iter().any(Result::is_err), "kept as long as it is needed");
            placed.into_iter().map(|placed| placed.map_err(|error| error.error.kind())).collect()
        }

        fn content(&self, name: &str) -> Option<Vec<u8>> {
            fs::read(self.scratch.path().join("in").join(name)).ok()
        }

        /// What is in `.campanile`.
        fn staged(&self) -> Vec<String> {
            let names = fs::read_dir(&self.inbox.staging).expect("it is there");
            names.map(|entry| entry.expect("readable").file_name().display().to_string()).collect()
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            self.scratch.file(&format!("in/{name}"), bytes);
        }
    }

    #[test]
    fn a_file_appears_with_its_mode_and_time() {
        let fixture = Fixture::new(false);
        assert_eq!(fixture.place(&["a/b/c"]), [Ok(())]);
        assert_eq!(fixture.content("a/b/c").as_deref(), Some(CONTENT));
        let metadata = fs::metadata(fixture.inbox.target(&entry("a/b/c"))).expect("it is there");
        assert_eq!(metadata.modified().ok(), entry("a").modified);
        assert!(mode::of(&metadata).is_none_or(|mode| mode == 0o640));
        let staging = fixture.scratch.path().join("in").join(STAGING);
        assert!(staging.exists());
        drop(fixture.inbox);
        assert!(!staging.exists(), "nothing is left to be completed");
    }

    #[test]
    fn a_file_that_may_not_be_used_waits_for_its_name_too() {
        for mode in [0o444, 0o000] {
            let fixture = Fixture::new(false);
            fixture.put("a", b"somebody's");
            let entry = Entry { mode: Some(mode), ..entry("a") };
            let paths = fixture.inbox.partial(&entry.digest, entry.size, 4);
            let place = || {
                let mut partial = Partial::open(paths.clone()).expect("it may be written");
                partial.write(0, CONTENT).expect("there is room");
                let contents = [(paths.clone(), vec![entry.clone()])];
                fixture.inbox.place(&contents, &Meter::default()).remove(0).remove(0)
            };
            assert!(place().is_err());
            let waiting = fs::metadata(&paths.bytes).expect("it is kept");
            // An administrator may use any file.
            assert!(mode::of(&waiting).is_none_or(|mode| mode & 0o600 == 0o600));
            let target = fixture.inbox.target(&entry);
            fs::remove_file(&target).expect("it is there");
            place().expect("the name is free");
            let placed = fs::metadata(&target).expect("it is there");
            assert!(placed.permissions().readonly() && mode::of(&placed).is_none_or(|placed| placed == mode));
        }
    }

    #[test]
    fn equal_files_get_each_its_name() {
        let fixture = Fixture::new(false);
        assert_eq!(fixture.place(&["one", "two/too", "three"]), [Ok(()); 3]);
        for name in ["one", "two/too", "three"] {
            assert_eq!(fixture.content(name).as_deref(), Some(CONTENT), "{name}");
        }
        fixture.put("one", b"changed");
        assert_eq!(fixture.content("three").as_deref(), Some(CONTENT), "copies, not links");
    }

    #[test]
    fn a_taken_name_is_left_alone_and_the_partial_kept() {
        let fixture = Fixture::new(false);
        fixture.put("a", b"somebody's");
        assert_eq!(fixture.place(&["a"]), [Err(io::ErrorKind::AlreadyExists)]);
        assert_eq!(fixture.content("a").as_deref(), Some(&b"somebody's"[..]));
        fs::remove_file(fixture.inbox.target(&entry("a"))).expect("it is there");
        assert_eq!(fixture.place(&["a"]), [Ok(())]);
    }

    #[test]
    fn contents_are_placed_together() {
        let fixture = Fixture::new(false);
        fixture.put("taken", b"somebody's");
        let content = |name: &str, bytes: &[u8]| {
            let entry = Entry { size: bytes.len() as u64, digest: Digest::of(bytes), ..entry(name) };
            let paths = fixture.inbox.partial(&entry.digest, entry.size, 4);
            Partial::open(paths.clone())
                .and_then(|mut partial| partial.write(0, bytes))
                .expect("there is room");
            (paths, vec![entry])
        };
        let contents = [content("one", b"1"), content("taken", b"22"), content("three", b"333")];
        let placed = fixture.inbox.place(&contents, &Meter::default());
        assert_eq!(placed.iter().map(|files| files[0].is_ok()).collect::<Vec<_>>(), [true, false, true]);
        let names = ["one", "taken", "three"].map(|name| fixture.content(name).expect("it is there"));
        assert_eq!(names, [&b"1"[..], b"somebody's", b"333"]);
        assert_eq!(contents.map(|(paths, _)| paths.exist()), [false, true, false]);
    }

    #[test]
    fn one_of_two_names_may_be_taken() {
        for names in [["taken", "free"], ["free", "taken"]] {
            let fixture = Fixture::new(false);
            fixture.put("taken", b"somebody's");
            let placed = fixture.place(&names);
            assert_eq!(placed.iter().filter(|placed| placed.is_ok()).count(), 1, "{placed:?}");
            assert_eq!(fixture.content("free").as_deref(), Some(CONTENT));
            assert_eq!(fixture.content("taken").as_deref(), Some(&b"somebody's"[..]));
        }
    }

    #[test]
    fn the_same_file_is_as_good_as_received() {
        let fixture = Fixture::new(false);
        fixture.put("a", CONTENT);
        let has = |name: &str| fixture.inbox.has(&entry(name), &Meter::default()).expect("readable");
        assert!(has("a") && !has("b"));
        assert_eq!(fixture.place(&["a"]), [Ok(())]);
        fixture.put("a", &[b'x'; CONTENT.len()]);
        for name in ["a", "a/b", "a/b/c", "b/c"] {
            assert!(!has(name), "{name}");
        }
    }

    #[test]
    fn a_file_is_replaced_if_that_is_allowed() {
        let fixture = Fixture::new(true);
        fixture.put("a", b"old");
        assert_eq!(fixture.place(&["a"]), [Ok(())]);
        assert_eq!(fixture.content("a").as_deref(), Some(CONTENT));
        fixture.put("dir/inside", b"");
        assert!(fixture.place(&["dir"])[0].is_err(), "a directory never does");
        assert_eq!(fixture.content("dir/inside").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_file_is_no_directory() {
        let fixture = Fixture::new(true);
        fixture.put("a", b"a file");
        assert_eq!(fixture.place(&["a/b"]), [Err(io::ErrorKind::NotADirectory)]);
        assert_eq!(fixture.content("a").as_deref(), Some(&b"a file"[..]));
    }

    #[test]
    fn empty_files_are_made() {
        let fixture = Fixture::new(false);
        let empty = Entry { size: 0, digest: Digest::of(b""), ..entry("empty/one") };
        let other = Entry { name: FileName::parse("other").expect("a name"), ..empty.clone() };
        fixture.put("taken", b"somebody's");
        let [taken, below] = ["taken", "taken/below"]
            .map(|name| Entry { name: FileName::parse(name).expect("a name"), ..empty.clone() });
        let placed = fixture.inbox.place_empty(&[&empty, &taken, &below, &other]);
        assert_eq!(placed.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(fixture.staged(), ["lock"], "nothing is left of what has no name");
        assert_eq!(fixture.content("empty/one").as_deref(), Some(&b""[..]));
        assert_eq!(fixture.content("other").as_deref(), Some(&b""[..]));
        assert!(fixture.inbox.place_empty(&[&empty])[0].is_ok(), "it is there already");
    }

    #[test]
    fn directories_that_were_made_for_nothing_are_removed() {
        let scratch = Scratch::new();
        let open =
            |name: &str| Inbox::open(&scratch.path().join(name), false).expect("a directory of our own");
        scratch.file("there/somebody's", b"");
        open("there/a/b").unmake();
        assert!(!scratch.path().join("there/a").exists());
        open("there").unmake();
        let inbox = open("there/a/b");
        scratch.file("there/a/somebody's", b"");
        inbox.unmake();
        assert!(scratch.path().join("there/a/somebody's").exists(), "what others put there stays");
        assert!(!scratch.path().join("there/a/b").exists());
        assert!(scratch.path().join("there/somebody's").exists());
    }

    #[test]
    fn one_process_at_a_time() {
        let fixture = Fixture::new(false);
        let error = Inbox::open(&fixture.scratch.path().join("in"), false).expect_err("it is taken");
        assert!(error.to_string().ends_with("another process receives into it"), "{error}");
    }

    #[test]
    fn leftovers_are_removed() {
        let fixture = Fixture::new(false);
        let half = fixture.inbox.partial(&Digest::of(CONTENT), CONTENT.len() as u64, 4).bytes;
        let left = [fixture.inbox.temporary("spool"), half];
        left.iter().for_each(|path| fs::write(path, b"left").expect("there is room"));
        let dir = fixture.inbox.dir.clone();
        drop(fixture.inbox);
        let _inbox = Inbox::open(&dir, false).expect("a directory of our own");
        assert!(left.iter().all(|path| !path.exists()));
    }
}
