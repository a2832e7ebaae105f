//! `campanile send` on one node and `campanile recv` on others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Node, Process};

/// A `campanile` program, and a new folder in which its receivers have folders of their own. Dropping it removes the folder.
#[derive(Debug)]
pub struct Transfer {
    program: PathBuf,
    folder: TempDir,
    file: PathBuf,
}

impl Transfer {
    /// Makes a file of this many pseudo-random bytes in the folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(program: &Path, bytes: usize, seed: u64) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("file");
        let mut state = seed;
        let words = std::iter::repeat_with(|| draw(&mut state).to_le_bytes());
        let content: Vec<u8> = words.flatten().take(bytes).collect();
        fs::write(&file, content)?;
        Ok(Self { program: program.to_owned(), folder, file })
    }

    /// The file to send.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The folder of a receiver.
    #[must_use]
    pub fn folder_of(&self, node: &Node) -> PathBuf {
        self.folder.path().join(format!("node{}", node.number()))
    }

    /// Starts to send the file.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn send(&self, node: &Node, options: &[&str]) -> io::Result<Process> {
        let mut command = node.command(&self.program);
        command.args(["send", "--interface", "eth0", "--json"]).args(options).arg(&self.file);
        Process::start("sender", &mut command)
    }

    /// Starts to receive into the node's folder.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn receive(&self, node: &Node, options: &[&str]) -> io::Result<Process> {
        let mut command = node.command(&self.program);
        command
            .args(["recv", "--interface", "eth0", "--json", "--into"])
            .arg(self.folder_of(node))
            .args(options);
        Process::start(&format!("receiver {}", node.number()), &mut command)
    }

    /// Whether a node has received the file, compared byte by byte.
    ///
    /// # Errors
    /// There is a file of that name with other contents.
    pub fn has_file(&self, node: &Node) -> Result<bool, WrongFile> {
        match fs::read(self.folder_of(node).join("file")) {
            Err(_) => Ok(false),
            Ok(held) if fs::read(&self.file).is_ok_and(|sent| sent == held) => Ok(true),
            Ok(_) => Err(WrongFile),
        }
    }
}

/// A receiver accepted a wrong file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongFile;

/// Advances the state and returns the next number: SplitMix64 by Steele, Lea and Flood.
pub fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
