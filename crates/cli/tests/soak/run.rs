//! One transfer, from the start of the first receiver to the end of the last.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use campanile_rig::{Ended, Loss, Network, Process, RigError, Transfer};

use crate::scenario::{BYTES, Happening, RATE, Scenario};

/// How a transfer ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    /// Receivers that have the right file and said so.
    pub(crate) complete: usize,
    /// Receivers that ended with an error that says so, and without the file.
    pub(crate) gave_up: usize,
    /// What went wrong, a line each.
    pub(crate) wrong: Vec<String>,
    /// Bytes that left the sender's device for each byte of the file.
    pub(crate) cost: f64,
    /// What programs that ended with an error said.
    told: Vec<String>,
}

impl Outcome {
    pub(crate) fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, complete, gave_up, wrong, cost, told } = self;
        write!(f, "{complete} complete in {seconds:.1} s, {cost:.2} times the file sent")?;
        if *gave_up > 0 {
            write!(f, ", {gave_up} gave up")?;
        }
        told.iter().try_for_each(|story| write!(f, "\n{story}"))?;
        wrong.iter().try_for_each(|line| write!(f, "\n  WRONG: {line}"))
    }
}

/// A transfer under way.
struct Run<'a> {
    scenario: &'a Scenario,
    network: &'a Network,
    transfer: Transfer,
    sender: Option<Process>,
    receivers: Vec<Option<Process>>,
}

pub(crate) fn run(scenario: &Scenario, network: &Network) -> Outcome {
    let program = Path::new(env!("CARGO_BIN_EXE_campanile"));
    let transfer = Transfer::new(program, BYTES, scenario.seed).expect("a file can be written");
    let receivers = scenario.receivers.iter().map(|_| None).collect();
    let mut run = Run { scenario, network, transfer, sender: None, receivers };
    run.prepare().expect("rules for the links");
    let start = Instant::now();
    run.events(start);
    let mut outcome = run.end(start);
    let sent = network.nodes()[0].sent_bytes().expect("the counter is there");
    outcome.cost = sent as f64 / BYTES as f64;
    outcome
}

impl Run<'_> {
    fn prepare(&self) -> Result<(), RigError> {
        self.network.nodes()[0].disorder(self.scenario.disorder)?;
        (0..self.receivers.len()).try_for_each(|receiver| self.hears(receiver, true))
    }

    fn hears(&self, receiver: usize, does: bool) -> Result<(), RigError> {
        let loss = self.scenario.receivers[receiver];
        let deaf = Loss { down: 1000, ..loss };
        self.network.nodes()[receiver + 1].lose(if does { loss } else { deaf })
    }

    /// Lets happen what the seed drew, at its time. Whoever is there at the start is started before the sender.
    fn events(&mut self, start: Instant) {
        for (at, what) in &self.scenario.events {
            if !at.is_zero() && self.sender.is_none() {
                self.start_sender();
            }
            // This is the scenario's own time, and waits for nothing.
            std::thread::sleep((start + *at).saturating_duration_since(Instant::now()));
            self.happens(*what);
        }
        if self.sender.is_none() {
            self.start_sender();
        }
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Start(receiver) => {
                let node = &self.network.nodes()[receiver + 1];
                // One that was not yet killed when it is to start again had come to its end.
                if self.receivers[receiver].is_none() {
                    let process = self.transfer.receive(node, &["--wait", WAIT]).expect("it starts");
                    self.receivers[receiver] = Some(process);
                }
            }
            Happening::Kill(receiver) => {
                if let Some(mut process) = self.receivers[receiver].take() {
                    if process.is_running() {
                        process.kill();
                    } else {
                        self.receivers[receiver] = Some(process);
                    }
                }
            }
            Happening::Deaf(receiver) => self.hears(receiver, false).expect("a rule"),
            Happening::Hearing(receiver) => self.hears(receiver, true).expect("a rule"),
            Happening::Pause => self.signal("STOP"),
            Happening::Resume => self.signal("CONT"),
            Happening::RestartSender => {
                self.sender.take().map(Process::kill);
                self.start_sender();
            }
        }
    }

    fn signal(&self, signal: &str) {
        if let Some(sender) = &self.sender {
            // It may have ended before its time.
            let _ = sender.signal(signal);
        }
    }

    fn start_sender(&mut self) {
        let wanted = self.receivers.len().to_string();
        let options = ["--rate", RATE, "--receivers", &wanted];
        self.sender = Some(self.transfer.send(&self.network.nodes()[0], &options).expect("it starts"));
    }

    /// Waits for the end of all, and looks at what they have.
    fn end(self, start: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        for (number, process) in self.receivers.into_iter().enumerate() {
            let node = &self.network.nodes()[number + 1];
            let ended = process.map(|process| process.finish(PATIENCE.saturating_sub(start.elapsed())));
            let code = ended.as_ref().and_then(|ended| ended.code);
            let file = self.transfer.has_file(node);
            match (code, file) {
                (Some(0), Ok(true)) => outcome.complete += 1,
                (_, Err(_)) => outcome.wrong.push(format!("receiver {number} has a wrong file")),
                (Some(0), Ok(false)) => {
                    outcome
                        .wrong
                        .push(format!("receiver {number} says that it is complete, and has no file"));
                }
                (Some(INCOMPLETE), Ok(_)) => outcome.gave_up += 1,
                (None, _) => outcome.wrong.push(format!("receiver {number} did not end")),
                (Some(code), Ok(_)) => outcome.wrong.push(format!("receiver {number} ended with {code}")),
            }
            outcome.told.extend(ended.filter(|_| code != Some(0)).as_ref().map(Ended::story));
        }
        outcome.seconds = start.elapsed().as_secs_f64();
        if let Some(sender) = self.sender {
            // Receivers that gave up, or were complete before it began again, never report to it: it waits for them until it is told
            // not to.
            let began_again = self.scenario.events.iter().any(|(_, what)| *what == Happening::RestartSender);
            let waits = began_again || outcome.gave_up > 0;
            if waits {
                // It may have ended by itself.
                let _ = sender.signal("INT");
            }
            let ended = sender.finish(PATIENCE);
            if ended.code != Some(0) && !(waits && ended.code == Some(INCOMPLETE)) {
                outcome.wrong.push(format!("the sender ended with {:?}", ended.code));
                outcome.told.push(ended.story());
            }
        }
        outcome
    }
}

/// The exit code of who does not have everything, or of whose receivers some do not.
const INCOMPLETE: i32 = 3;
/// Seconds of silence after which a receiver gives up.
const WAIT: &str = "20";
/// How long the last receiver may take: what is lost is asked for again and again, at half the packets lost.
const PATIENCE: Duration = Duration::from_secs(300);
