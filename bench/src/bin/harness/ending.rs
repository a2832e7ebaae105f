//! When this program is told to end, it ends the programs that it has started, and removes its folders.

use std::collections::{HashMap, HashSet};
use std::{fs, io, mem, process, ptr, thread};

use crate::mounts::remove_folders;

/// From now on a signal that ends this program also ends what it has started, and removes its folders. Must be called before any other thread is started:
/// those inherit the blocked signals, which are left to the thread that waits for them. Child processes do not, since the standard
/// library unblocks all signals for them.
pub(crate) fn take_care() -> io::Result<()> {
    let signals = signals();
    // SAFETY: the set is a local that was filled in; what was blocked before is not asked for. The other call takes only numbers: it
    // makes orphaned descendants children of this process, where they are found.
    let failed = unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, ptr::null_mut()) != 0
            || libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong) != 0
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    thread::Builder::new().name("ending".to_owned()).spawn(wait_and_end)?;
    Ok(())
}

/// The signals that ask a program to end. A blocked one arrives here even if the shell that started this program had it ignored.
fn signals() -> libc::sigset_t {
    // SAFETY: the set is a local; these calls fill it in, and fail for numbers that are no signals alone.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

fn wait_and_end() {
    let (signals, mut signal) = (signals(), 0);
    // SAFETY: both are locals, and the set was filled in.
    unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
    let all = end_descendants(process::id());
    remove_folders();
    eprintln!("bench: signal {signal}: ended with {all} programs that were started");
    process::exit(128 + signal);
}

/// Ends all descendants of a process, and returns how many there were. One that is started meanwhile is found by the next call.
fn end_descendants(of: u32) -> usize {
    let mut ended = HashSet::new();
    for _ in 0..LOOKS {
        let found: Vec<u32> = descendants(of).into_iter().filter(|&pid| ended.insert(pid)).collect();
        if found.is_empty() {
            break;
        }
        for pid in found {
            // SAFETY: it takes numbers alone. The process is a descendant that nobody has waited for, so its number is its own.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
        }
    }
    ended.len()
}

const LOOKS: usize = 100;

/// The descendants of a process.
fn descendants(of: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![of];
    while let Some(pid) = next.pop() {
        let own = children.remove(&pid).unwrap_or_default();
        found.extend_from_slice(&own);
        next.extend(own);
    }
    found
}

/// The parent of a process that has not ended, from its stat file: number, name in brackets, state, parent (proc_pid_stat).
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = stat.rsplit_once(')')?.1.split_whitespace();
    let is_there = words.next() != Some("Z");
    words.next()?.parse().ok().filter(|_| is_there)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_child_started_ends_too() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(Stdio::piped());
        let mut shell = shell.spawn().expect("there is a shell");
        let mut line = String::new();
        let stdout = shell.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut line).expect("it tells its child");
        let grandchild: u32 = line.trim().parse().expect("a number");
        assert_eq!(descendants(shell.id()), [grandchild]);
        assert_eq!(end_descendants(shell.id()), 1);
        assert!(shell.wait().expect("it can be waited for").success(), "its child has ended, and it goes on");
        assert_eq!(parent(grandchild), None);
    }
}
