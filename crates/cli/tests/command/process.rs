//! Processes of the program, and what comes of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use campanile_rig::{Process, absent, free_port};
use serde_json::Value;

/// The program with arguments as one types them; nothing of this terminal reaches it.
pub(super) fn campanile(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
    command.args(arguments.split_whitespace()).env_remove("COLUMNS").stdin(Stdio::null());
    command
}

/// What a process left behind.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is text").replace("\r\n", "\n");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs the program to its end.
pub(super) fn run(arguments: &str) -> Finished {
    Running::start(arguments).finish()
}

/// Runs a script, in which `$0` is the program, as root of namespaces of its own, to its end and that of all that it starts; `None` where
/// they, or what prepares them, cannot be had.
pub(super) fn run_in_namespaces(prepare: &str, script: &str) -> Option<Finished> {
    let script = format!("{prepare} && echo prepared && {{ {script}\n}}");
    let mut command = campanile_rig::shell(&script, env!("CARGO_BIN_EXE_campanile"));
    let ended = match Process::start("script", &mut command) {
        Ok(process) => process.finish(PATIENCE),
        Err(error) => {
            absent(&format_args!("no namespaces: {error}"));
            return None;
        }
    };
    let Some((_, lines)) = ended.lines.split_first().filter(|(first, _)| *first == "prepared") else {
        absent(&format_args!("no such namespaces: {}", ended.messages.trim()));
        return None;
    };
    let stdout = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Some(Finished { code: ended.code, stdout, stderr: ended.messages })
}

/// Runs the program to its end with this as its standard input.
pub(super) fn run_with(arguments: &str, input: &[u8]) -> Output {
    let mut command = campanile(arguments);
    let mut running = Running::spawn(command.stdin(Stdio::piped()));
    let mut stdin = running.child().stdin.take().expect("it is piped");
    thread::scope(|scope| {
        // A program that ended before has no use for the rest.
        scope.spawn(move || stdin.write_all(input).is_ok());
        running.output()
    })
}

/// A process that is still running. Dropping it kills it, and so does a time in which all of them should be done.
pub(super) struct Running {
    child: Arc<Mutex<Child>>,
    started: Instant,
    /// Closed with this: the process is watched no more.
    _watched: Sender<()>,
    /// `None` once it is closed.
    stdout: Option<BufReader<ChildStdout>>,
}

impl Running {
    pub(super) fn start(arguments: &str) -> Self {
        Self::spawn(&mut campanile(arguments))
    }

    /// Starts it with an input that goes on until it is dropped.
    pub(super) fn start_with_input(arguments: &str) -> (Self, ChildStdin) {
        let running = Self::spawn(campanile(arguments).stdin(Stdio::piped()));
        let stdin = running.child().stdin.take().expect("it is piped");
        (running, stdin)
    }

    pub(super) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let child = Arc::new(Mutex::new(child));
        let _watched = watch(&child);
        Self { child, started: Instant::now(), _watched, stdout: Some(stdout) }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("nobody panics with it")
    }

    /// The next line of its output, without the end; none is an empty one.
    pub(super) fn line(&mut self) -> String {
        self.next_line().unwrap_or_default()
    }

    /// The next line of its output, without the end, if there is one.
    pub(super) fn next_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("closed only by methods that end it");
        let len = stdout.read_line(&mut line).expect("output is text");
        (len > 0).then(|| line.trim_end().to_owned())
    }

    /// The next line of its output as JSON.
    pub(super) fn json(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Presses Ctrl-C, where a test can do that: with the command `kill`.
    pub(super) fn interrupt(&self) -> bool {
        self.signal("-INT")
    }

    /// Sends it a signal in the same way.
    pub(super) fn signal(&self, signal: &str) -> bool {
        let mut kill = Command::new("kill");
        let kill = kill.args([signal, &self.child().id().to_string()]).stderr(Stdio::null()).status();
        kill.is_ok_and(|status| status.success())
    }

    /// Ends it without asking.
    pub(super) fn kill(&mut self) {
        let mut child = self.child();
        // It may have ended long since.
        let _ = child.kill();
        child.wait().expect("it is a child of this process");
    }

    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child().try_wait().expect("it is a child of this process")
    }

    /// Closes its output, as a reader that has enough does.
    pub(super) fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Closes its output, and waits for its end: its exit code and its messages.
    pub(super) fn look_away(mut self) -> (Option<i32>, String) {
        self.close_output();
        let finished = self.finish();
        (finished.code, finished.stderr)
    }

    /// Waits for its end.
    pub(super) fn finish(mut self) -> Finished {
        self.output().into()
    }

    /// Waits for its end: what is left of its output, and its messages.
    pub(super) fn output(&mut self) -> Output {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut messages = self.child().stderr.take().expect("it is piped");
        thread::scope(|scope| {
            scope.spawn(|| messages.read_to_end(&mut stderr).expect("a pipe can be read"));
            if let Some(mut pipe) = self.stdout.take() {
                pipe.read_to_end(&mut stdout).expect("a pipe can be read");
            }
        });
        let status = self.child().wait().expect("it is a child of this process");
        let output = Output { status, stdout, stderr };
        assert!(self.started.elapsed() < PATIENCE, "it did not end by itself: {:?}", Finished::from(output));
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills a process whose time is over, so that what waits for it goes on, until what this gives is dropped.
fn watch(child: &Arc<Mutex<Child>>) -> Sender<()> {
    let (watched, inlet) = channel();
    let child = Arc::clone(child);
    thread::spawn(move || {
        if inlet.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            // It may have ended just now.
            let _ = child.lock().expect("nobody panics with it").kill();
        }
    });
    watched
}

/// Longer than any of them takes, also where much else goes on.
const PATIENCE: Duration = Duration::from_secs(300);

/// An echo server on loopback that reports in JSON. It ends by itself after a while, should nothing else end it.
pub(super) struct Server {
    pub(super) process: Running,
    pub(super) port: u16,
    pub(super) started: Value,
}

impl Server {
    pub(super) fn start(options: &str) -> Self {
        let port = free_port();
        // The time is for systems without Ctrl-C, where it ends the server.
        let arguments = format!("echo {port} 1 --bind 127.0.0.1 --json --duration 30 {options}");
        let mut process = Running::start(&arguments);
        let started = process.json();
        assert_eq!(started["event"], "started");
        Self { process, port, started }
    }

    /// Ends it, and returns its last report.
    pub(super) fn stop(mut self) -> Value {
        // Without Ctrl-C its own time ends it.
        let _ = self.process.interrupt();
        loop {
            let report = self.process.json();
            if report["event"] == "stopped" {
                assert_eq!(self.process.finish().code, Some(0));
                return report;
            }
        }
    }
}

/// Waits until something is so, at most for a good while.
pub(super) fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it does not come to that");
        thread::yield_now();
    }
}
