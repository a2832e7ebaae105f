//! Files in memory, which no disk slows down.

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io, process};

use tempfile::TempDir;

/// A new folder of this process: in memory where possible, so that no disk is the limit.
pub(crate) fn folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(&prefix()).tempdir_in(place())
}

/// Removes the folders of this process, when a signal ends it before it drops them.
pub(crate) fn remove_folders() {
    for entry in fs::read_dir(place()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix()) {
            // Whoever holds it may be removing it, too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn prefix() -> String {
    format!("campanile-bench-{}-", process::id())
}

fn place() -> PathBuf {
    if Path::new(MEMORY).is_dir() { MEMORY.into() } else { env::temp_dir() }
}

/// The folder for files in memory.
const MEMORY: &str = "/dev/shm";

/// Restarts this program in a mount namespace where files in memory use huge pages, as files on a disk use large folios. Only this
/// program and its children see that mount, which ends with them. Where this is not possible, nothing changes.
pub(crate) fn take_huge_pages() -> Result<(), Box<dyn Error>> {
    if env::var_os(TAKEN).is_some() {
        return Ok(());
    }
    let found =
        [&["--mount"][..], &["--user", "--map-root-user", "--mount"]].into_iter().find(|namespaces| {
            let mut trial = Command::new("unshare");
            let trial = trial.args(*namespaces).args(["sh", "-c", MOUNT]).stderr(Stdio::null());
            trial.status().is_ok_and(|status| status.success())
        });
    let Some(namespaces) = found else { return Ok(()) };
    let script = format!("{MOUNT} && exec \"$0\" \"$@\"");
    let mut anew = Command::new("unshare");
    anew.args(namespaces).args(["sh", "-c", &script]).arg(env::current_exe()?).args(env::args_os().skip(1));
    Err(anew.env(TAKEN, "1").exec().into())
}

/// The pages of files in memory, for the table of the environment.
pub(crate) fn pages() -> (&'static str, String) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of_memory = |line: &&str| line.split(' ').nth(1) == Some(MEMORY);
    // The last mount hides earlier ones.
    let is_huge = mounts.lines().rfind(of_memory).is_some_and(|line| line.contains("huge=always"));
    ("files in memory", if is_huge { "huge pages" } else { "as the system makes them" }.to_owned())
}

const TAKEN: &str = "CAMPANILE_BENCH_HUGE_PAGES";
const MOUNT: &str = "mount -t tmpfs -o huge=always tmpfs /dev/shm";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_removed_with_what_is_in_it() {
        let folder = folder().expect("a new folder");
        fs::write(folder.path().join("file"), "text").expect("there is room");
        remove_folders();
        assert!(!folder.path().exists());
    }
}
