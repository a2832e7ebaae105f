//! What a seed draws.

use std::fmt;
use std::time::Duration;

use campanile_rig::{Disorder, Loss, draw};

/// A transfer, and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// What each receiver's link loses.
    pub(crate) receivers: Vec<Loss>,
    /// What happens to the order of the sender's packets.
    pub(crate) disorder: Disorder,
    /// What happens, in the order of time.
    pub(crate) events: Vec<(Duration, Happening)>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A receiver starts, for the first time or again.
    Start(usize),
    /// A receiver is killed, as by `kill -9`.
    Kill(usize),
    /// A receiver hears nothing from now on.
    Deaf(usize),
    /// A receiver hears again what its link lets through.
    Hearing(usize),
    /// The sender is stopped.
    Pause,
    /// The sender goes on.
    Resume,
    /// The sender is killed, and started again at once.
    RestartSender,
}

/// Bytes of the file: 5 MB.
pub(crate) const BYTES: usize = 5_000_000;
/// The rate: the file alone takes a second at it.
pub(crate) const RATE: &str = "40mbit";

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut state = seed ^ 0xca3b_a211_e000_0000;
        let mut below = |bound: u64| draw(&mut state) % bound;
        let count = 3 + below(8) as usize;
        // Some seeds lose little, some half.
        let worst = [0, 50, 200, 500][below(4) as usize];
        let loss = |down: u64, up: u64| Loss { down: down as u32, up: up as u32 };
        let receivers: Vec<Loss> = (0..count).map(|_| loss(below(worst + 1), below(worst / 2 + 1))).collect();
        let disorder = match below(3) {
            0 => Disorder::default(),
            _ => Disorder { late: below(40) as u32, twice: below(40) as u32 },
        };
        let mut events = Vec::new();
        let mut at = |from: u64, span: u64| Duration::from_millis(from + below(span));
        for receiver in 0..count {
            // One in four comes when much has been sent.
            let is_late = at(0, 4).as_millis() == 0;
            let starts = if is_late { at(300, 1500) } else { Duration::ZERO };
            events.push((starts, Happening::Start(receiver)));
            match at(0, 6).as_millis() {
                0 => {
                    let killed = starts + at(100, 1200);
                    events.push((killed, Happening::Kill(receiver)));
                    events.push((killed + at(0, 1000), Happening::Start(receiver)));
                }
                1 | 2 => {
                    let deaf = starts + at(50, 1000);
                    events.push((deaf, Happening::Deaf(receiver)));
                    events.push((deaf + at(20, 500), Happening::Hearing(receiver)));
                }
                _ => {}
            }
        }
        match at(0, 5).as_millis() {
            0 => {
                let paused = at(300, 700);
                events.push((paused, Happening::Pause));
                events.push((paused + at(100, 2000), Happening::Resume));
            }
            1 => events.push((at(300, 700), Happening::RestartSender)),
            _ => {}
        }
        events.sort_by_key(|(at, _)| *at);
        Self { seed, receivers, disorder, events }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worst = self.receivers.iter().map(|loss| loss.down).max().unwrap_or(0);
        let count = |is: fn(&Happening) -> bool| self.events.iter().filter(|(_, what)| is(what)).count();
        let late = self
            .events
            .iter()
            .filter(|(at, what)| !at.is_zero() && matches!(what, Happening::Start(_)))
            .count();
        let killed = count(|what| matches!(what, Happening::Kill(_)));
        write!(f, "seed {}: {} receivers", self.seed, self.receivers.len())?;
        write!(f, ", loss up to {}.{} %", worst / 10, worst % 10)?;
        for (count, what) in [
            (late - killed, "starting late"),
            (killed, "killed and restarted"),
            (count(|what| matches!(what, Happening::Deaf(_))), "deaf for a while"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        let Disorder { late, twice } = self.disorder;
        if late + twice > 0 {
            write!(f, ", {late} of 1000 packets delayed and {twice} duplicated")?;
        }
        if count(|what| *what == Happening::Pause) > 0 {
            f.write_str(", the sender pauses")?;
        }
        if count(|what| *what == Happening::RestartSender) > 0 {
            f.write_str(", the sender restarts")?;
        }
        Ok(())
    }
}
