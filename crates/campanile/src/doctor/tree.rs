//! The system's files, or for tests a tree of files in their place.

use std::path::PathBuf;

use crate::host::text;

/// Where `/proc` and `/sys` are.
#[derive(Clone, Debug)]
pub(super) struct Tree(PathBuf);

impl Tree {
    /// Those of this system.
    pub(super) fn system() -> Self {
        Self(PathBuf::from("/"))
    }

    /// The text of a file, by its path without the first slash.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        text::read(self.0.join(path))
    }

    /// A file that holds one word.
    pub(super) fn word(&self, path: &str) -> Option<String> {
        text::word(self.0.join(path))
    }

    /// A file that holds one number.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.word(path)?.parse().ok()
    }

    /// Whether a file has write permission for anyone.
    pub(super) fn can_be_written(&self, path: &str) -> bool {
        std::fs::metadata(self.0.join(path)).is_ok_and(|about| !about.permissions().readonly())
    }

    /// Whether something is mounted there read-only.
    pub(super) fn is_mounted_read_only(&self, folder: &str) -> bool {
        let mounts = self.text("proc/self/mounts").unwrap_or_default();
        // Device, folder, file system, options; the last mount is on top.
        let last = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some(folder));
        last.and_then(|line| line.split(' ').nth(3))
            .is_some_and(|options| options.split(',').any(|one| one == "ro"))
    }

    /// The flags of an interface (if.h).
    pub(super) fn flags(&self, interface: &str) -> Option<u64> {
        let word = self.word(&format!("sys/class/net/{interface}/flags"))?;
        u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
    }

    /// The target of a symbolic link, on Linux. Wine would open and close the file that the link leads to, and thereby drop locks that
    /// a process has on it, such as those of Wine's own server.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        if std::env::consts::OS != "linux" {
            return None;
        }
        std::fs::read_link(self.0.join(path)).ok()?.into_os_string().into_string().ok()
    }

    /// The names in a folder, in order; none if there is no such folder.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).take(NAMES_MAX).collect();
        names.sort();
        names
    }
}

/// Bits of an interface's flags (if.h).
pub(super) const UP: u64 = 0x1;
pub(super) const LOOPBACK: u64 = 0x8;
pub(super) const MULTICAST: u64 = 0x1000;

/// The most names that are read of a folder: processors, queues or programs.
const NAMES_MAX: usize = 4096;

/// A tree of files in the system's folder for such things, gone when dropped.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Planted {
    tree: Tree,
    _folder: tempfile::TempDir,
}

#[cfg(test)]
impl Planted {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a new folder among the temporary ones");
        let root = folder.path().to_owned();
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("a new folder");
            std::fs::write(path, text).expect("a new file");
        }
        Self { tree: Tree(root), _folder: folder }
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Nobody may write to a file from now on.
    pub(super) fn protect(&self, path: &str) {
        let path = self.tree.0.join(path);
        let mut permissions = std::fs::metadata(&path).expect("it was planted").permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(path, permissions).expect("the folder is of this test");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_decides_whether_it_can_be_written() {
        let is_read_only = |mounts: &str| {
            Planted::new(&[("proc/self/mounts", mounts)]).tree().is_mounted_read_only("/proc/sys")
        };
        let (writable, not) =
            ("proc /proc/sys proc rw,relatime 0 0\n", "proc /proc/sys proc ro,relatime 0 0\n");
        assert!(is_read_only(not) && is_read_only(&format!("{writable}{not}")));
        assert!(!is_read_only(writable) && !is_read_only(&format!("{not}{writable}")));
        assert!(!is_read_only("proc /proc proc ro 0 0\n"));
    }
}
