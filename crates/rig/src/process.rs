//! Programs on nodes, and their results.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// The lines of output that were already read.
    said: Vec<String>,
    messages: Option<JoinHandle<String>>,
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub lines: Vec<String>,
    /// Its standard error.
    pub messages: String,
}

impl Process {
    /// Starts a program. Its output is read all the time, so that it never blocks on a full pipe.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, command: &mut Command) -> io::Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut stderr = child.stderr.take().expect("it is piped");
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let messages = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok(Self { name: name.to_owned(), child, lines, said: Vec::new(), messages: Some(messages) })
    }

    /// Its name, as the test calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its output that is wanted, and returns it; `None` if the program ends or the time is over.
    pub fn line(&mut self, patience: Duration, is_wanted: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            self.said.push(line.clone());
            if is_wanted(&line) {
                return Some(line);
            }
        }
    }

    /// Sends a signal by name, such as `INT` or `STOP`.
    ///
    /// # Errors
    /// There is no `kill` program, or it fails.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("kill refuses")) }
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(mut self) -> Ended {
        // It may have ended already.
        let _ = self.child.kill();
        let status = self.child.wait().ok();
        self.ended(status)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; kills it when the time is over, so that it has no exit code.
    pub fn finish(mut self, patience: Duration) -> Ended {
        let end = Instant::now() + patience;
        // Its output may end a little before the process.
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return self.kill(),
            }
        }
        let mut pause = Duration::from_micros(200);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return self.ended(Some(status));
            }
            if Instant::now() >= end {
                return self.kill();
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn ended(&mut self, status: Option<ExitStatus>) -> Ended {
        let mut lines = std::mem::take(&mut self.said);
        lines.extend(self.lines.iter());
        let messages = self.messages.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        Ended { code: status.and_then(|status| status.code()), lines, messages }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The last lines of its output and of its errors, for a failure message.
    #[must_use]
    pub fn story(&self) -> String {
        let mut story = format!("exit code {:?}\n", self.code);
        let last = |count: usize| count.saturating_sub(20);
        for line in &self.lines[last(self.lines.len())..] {
            let _ = writeln!(story, "  out: {line}");
        }
        let messages: Vec<&str> = self.messages.lines().collect();
        for line in &messages[last(messages.len())..] {
            let _ = writeln!(story, "  err: {line}");
        }
        story
    }
}
