//! Diagnostics: a node's counters, written to files at an interval.
//!
//! The node hands snapshots over and never waits for the disk; another thread writes each as a line of JSON. Files are rotated by size,
//! and a limited number is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use async_channel::{Receiver, Sender};
use campanile_engine::privilege;
use serde::Serialize;

use super::counts::Counts;
use super::node::StartError;
use super::options::Options;
use crate::random;
use crate::utc::Utc;

/// A snapshot of a node.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    /// The system's time, in the format of RFC 3339.
    pub(super) time: String,
    /// Nanoseconds since the node began.
    pub(super) since_start_ns: u64,
    pub(super) group: SocketAddr,
    pub(super) counts: Counts,
    pub(super) sources: Vec<SourceEntry>,
    /// Entries before this one that could not be written.
    pub(super) missed: u64,
}

/// What is known of one source: our own, or one that we receive.
#[derive(Debug, Serialize)]
pub(super) struct SourceEntry {
    pub(super) tsi: String,
    pub(super) address: IpAddr,
    /// Original data packets that were sent, or received.
    pub(super) packets: u64,
    /// The share of what was sent that was not received, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss_percent: Option<f64>,
    /// The sending rate, in bits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate_bps: Option<u64>,
}

/// The node's end of its log.
#[derive(Debug)]
pub(super) struct DiagnosticsLog {
    entries: Option<Sender<Entry>>,
    writer: Option<JoinHandle<()>>,
    pub(super) interval: Duration,
    missed: u64,
}

impl DiagnosticsLog {
    /// Opens a log, if the options ask for one.
    ///
    /// # Errors
    ///
    /// The directory cannot be made or written to.
    pub(super) fn open(options: &Options, role: &str) -> Result<Option<Self>, StartError> {
        let Some(directory) = &options.diagnostics.directory else { return Ok(None) };
        let refused = |error| StartError::Diagnostics(directory.clone(), error);
        fs::create_dir_all(directory).map_err(refused)?;
        let port = options.network.group.port();
        let name = format!("{role}-{port}-{}-{:08x}.jsonl", std::process::id(), random::word() as u32);
        let path = directory.join(name);
        let file = RotatingFile::open(path, options.diagnostics.file_len, options.diagnostics.files)
            .map_err(refused)?;
        let (entries, to_write) = async_channel::bounded(WAITING);
        let write = move || {
            // This thread uses no sockets; if the privilege cannot be given up, it is at least not used.
            let _ = privilege::drop_raw();
            file.write_entries(&to_write);
        };
        let writer = thread::Builder::new().name("diagnostics".to_owned()).spawn(write).map_err(refused)?;
        let interval = options.diagnostics.interval.max(INTERVAL_MIN);
        Ok(Some(DiagnosticsLog { entries: Some(entries), writer: Some(writer), interval, missed: 0 }))
    }

    /// Hands an entry over. If there is no room it is dropped, and the next one says so.
    pub(super) fn write(&mut self, mut entry: Entry) {
        entry.missed = self.missed;
        entry.time = Utc::from(SystemTime::now()).to_string();
        let is_missed = self.entries.as_ref().is_none_or(|entries| entries.try_send(entry).is_err());
        self.missed += u64::from(is_missed);
    }
}

/// Waits until everything that was handed over is written.
impl Drop for DiagnosticsLog {
    fn drop(&mut self) {
        self.entries = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has been reported already.
            let _ = writer.join();
        }
    }
}

/// The file being written, and the older ones.
struct RotatingFile {
    path: PathBuf,
    file: Option<File>,
    len: u64,
    len_max: u64,
    /// How many files are kept.
    files: usize,
}

impl RotatingFile {
    fn open(path: PathBuf, len_max: u64, files: usize) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        Ok(RotatingFile { path, file: Some(file), len: 0, len_max, files: files.max(1) })
    }

    fn write_entries(mut self, entries: &Receiver<Entry>) {
        let mut unwritten = 0;
        while let Ok(mut entry) = entries.recv_blocking() {
            entry.missed += unwritten;
            // A full disk may have room again, so each line is tried.
            unwritten += u64::from(self.write(&entry).is_err());
        }
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if self.len > 0 && self.len + line.len() as u64 > self.len_max {
            self.rotate()?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.reopen()?,
        };
        file.write_all(&line)?;
        self.file = Some(file);
        self.len += line.len() as u64;
        Ok(())
    }

    /// Opens the file again, and removes the partial line that a failed write may have left. To make room on a full disk somebody may
    /// have deleted the file, which then begins anew.
    fn reopen(&mut self) -> io::Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.len = self.len.min(file.metadata()?.len());
        file.set_len(self.len)?;
        Ok(file)
    }

    /// Moves each file one number up, over the last one. A single file begins anew.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        let numbered = |number: usize| self.path.with_extension(format!("{number}.jsonl"));
        for number in (1..self.files).rev() {
            let from = if number == 1 { self.path.clone() } else { numbered(number - 1) };
            if from.exists() {
                fs::rename(from, numbered(number))?;
            }
        }
        self.len = 0;
        Ok(())
    }
}

/// The most entries that wait to be written.
const WAITING: usize = 16;
/// The shortest time between two entries.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multicast::counts::Counter;

    fn entry(lost: u64) -> Entry {
        let mut counts = Counts::default();
        counts.set(Counter::Lost, lost);
        Entry {
            time: String::new(),
            since_start_ns: 7,
            group: "239.192.7.1:7500".parse().unwrap(),
            counts,
            sources: vec![SourceEntry {
                tsi: "1.2.3.4.5.6.7".to_owned(),
                address: "10.0.0.1".parse().unwrap(),
                packets: 5,
                loss_percent: Some(2.5),
                rate_bps: None,
            }],
            missed: 0,
        }
    }

    #[test]
    fn entries_are_lines_and_files_are_rotated() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("made");
        let mut options = Options::default();
        options.diagnostics.directory = Some(directory.clone());
        options.diagnostics.file_len = 600;
        options.diagnostics.files = 3;
        let mut log = DiagnosticsLog::open(&options, "test").unwrap().unwrap();
        for lost in 1..=12 {
            log.write(entry(lost));
        }
        drop(log);
        let mut files: Vec<PathBuf> =
            fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 3, "{files:?}");
        let text: String = files.iter().rev().map(|file| fs::read_to_string(file).unwrap()).collect();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().any(|line| line["counts"]["lost"] == 12));
        assert!(lines.len() < 12 && lines.iter().all(|line| line["counts"]["lost"] != 1), "old files go");
        assert_eq!(lines[0]["sources"][0]["loss_percent"], 2.5);
        assert_eq!(lines[0]["missed"], 0);
    }

    #[test]
    fn what_was_written_of_a_line_goes_if_the_rest_fails() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("test.jsonl");
        let mut log = RotatingFile::open(path.clone(), 1 << 20, 1).unwrap();
        log.write(&entry(1)).unwrap();
        // As if the disk became full in the middle of a line.
        log.file.as_mut().unwrap().write_all(b"{\"time\":").unwrap();
        log.file = Some(File::open(&path).unwrap());
        assert!(log.write(&entry(2)).is_err());
        log.write(&entry(3)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lost =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["counts"]["lost"].clone();
        assert_eq!(text.lines().map(lost).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_file_that_was_deleted_begins_anew() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("test.jsonl");
        let mut log = RotatingFile::open(path.clone(), 300, 1).unwrap();
        log.write(&entry(1)).unwrap();
        // As after a write that failed, on a disk that was then cleared.
        log.file = None;
        fs::remove_file(&path).unwrap();
        for lost in 2..=5 {
            log.write(&entry(lost)).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let last: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(last["counts"]["lost"], lost, "a file holds one line");
        }
    }

    #[test]
    fn no_directory_is_no_log_and_a_wrong_one_an_error() {
        assert!(DiagnosticsLog::open(&Options::default(), "test").unwrap().is_none());
        let mut options = Options::default();
        options.diagnostics.directory = Some(std::env::current_exe().unwrap());
        let named = std::env::current_exe().unwrap().display().to_string();
        let told = DiagnosticsLog::open(&options, "test").map(drop).unwrap_err().to_string();
        assert!(told.starts_with(&format!("diagnostics cannot be written to {named}: ")), "{told}");
    }
}
