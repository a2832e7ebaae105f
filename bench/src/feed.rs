//! A feed of messages as every contestant's driver sends and receives it: what is in a message, when it is due, and what is measured
//! of the messages that arrive.
//!
//! A receiver prints `ready` when it listens, and one line of JSON, a [`Tally`], when it has the last message or nothing came for two
//! seconds. Then it stays until it is ended, since others may still need its answers. So does a sender, which prints `ready` before the
//! first message ([`Plan::play`]), and `sent` when it has sent everything.

use std::time::Duration;

/// The length of a message's head: its number, when it was due and when it was sent, eight bytes each.
pub const HEAD: usize = 24;

/// After a silence of this length a receiver counts the rest as lost.
const SILENCE_NS: u64 = 2_000_000_000;

/// The feed that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many messages.
    pub count: u64,
    /// The bytes of each, [`HEAD`] at least.
    pub size: usize,
    /// How many a second; 0 is as many as possible.
    pub rate: u64,
}

impl Plan {
    /// Reads the words `COUNT SIZE RATE`.
    ///
    /// # Errors
    /// The words have another form.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let [count, size, rate] = words else { return Err("COUNT SIZE RATE are missing".to_owned()) };
        let number = |word: &String| word.parse::<u64>().map_err(|_| format!("'{word}' is no number"));
        let plan = Self { count: number(count)?, size: number(size)? as usize, rate: number(rate)? };
        if plan.size < HEAD || plan.count == 0 {
            return Err(format!("a message has {HEAD} bytes at least, and there is one at least"));
        }
        Ok(plan)
    }

    /// Passes every message to `send` when it is due.
    ///
    /// # Errors
    /// The first error of `send`, which ends the feed.
    pub fn send<E>(self, mut send: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.play(|step| match step {
            Step::Wait { due_ns } => {
                sleep_until(due_ns);
                Ok(())
            }
            Step::Send(message) => send(message),
        })
    }

    /// Prints `ready`, and passes the steps of the feed to `take`: to wait until a message is due, and to send it, for every message.
    ///
    /// # Errors
    /// The first error of `take`, which ends the feed.
    pub fn play<E>(self, mut take: impl FnMut(Step<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut message = vec![0; self.size];
        println!("ready");
        let start_ns = now_ns();
        let (mut due_ns, mut sent_ns) = (start_ns, start_ns);
        for number in 0..self.count {
            if self.rate > 0 {
                due_ns = start_ns + (u128::from(number) * 1_000_000_000 / u128::from(self.rate)) as u64;
                take(Step::Wait { due_ns })?;
                sent_ns = now_ns();
            } else if number % 256 == 0 {
                // Reading the clock for each message would be a large part of the cost of sending it.
                due_ns = now_ns();
                sent_ns = due_ns;
            }
            message[..8].copy_from_slice(&number.to_le_bytes());
            message[8..16].copy_from_slice(&due_ns.to_le_bytes());
            message[16..24].copy_from_slice(&sent_ns.to_le_bytes());
            take(Step::Send(&message))?;
        }
        Ok(())
    }
}

/// What a sender does next.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Wait until a message is due, in the machine's time ([`now_ns`]); that may have passed.
    Wait {
        /// When it is due.
        due_ns: u64,
    },
    /// Send it.
    Send(&'a [u8]),
}

/// What a receiver has measured of a feed.
#[derive(Debug)]
pub struct Tally {
    plan: Plan,
    received: u64,
    /// Messages that did not have the next number.
    misplaced: u64,
    next: u64,
    first_due_ns: u64,
    last_ns: u64,
    since_due_ns: Vec<u64>,
    since_sent_ns: Vec<u64>,
}

impl Tally {
    /// An empty tally.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let timed = if plan.rate == 0 { 0 } else { plan.count as usize };
        let times = || Vec::with_capacity(timed);
        Self {
            plan,
            received: 0,
            misplaced: 0,
            next: 0,
            first_due_ns: 0,
            last_ns: 0,
            since_due_ns: times(),
            since_sent_ns: times(),
        }
    }

    /// Counts a message; returns whether it is the last one.
    ///
    /// # Panics
    /// If it does not have the planned length.
    pub fn take(&mut self, message: &[u8]) -> bool {
        assert_eq!(message.len(), self.plan.size, "a message has the size that was agreed");
        let word = |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().expect("eight bytes"));
        let number = word(0);
        self.misplaced += u64::from(number != self.next);
        self.next = number + 1;
        self.received += 1;
        if self.received == 1 {
            self.first_due_ns = word(8);
        }
        let is_last = self.next == self.plan.count;
        // Reading the clock for each message would be a large part of the cost of receiving it.
        if self.plan.rate > 0 || is_last || self.received % 256 == 1 {
            self.last_ns = now_ns();
        }
        if self.plan.rate > 0 {
            self.since_due_ns.push(self.last_ns.saturating_sub(word(8)));
            self.since_sent_ns.push(self.last_ns.saturating_sub(word(16)));
        }
        is_last
    }

    /// Whether something came, followed by a long silence.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.received > 0 && now_ns().saturating_sub(self.last_ns) > SILENCE_NS
    }

    /// The line of JSON.
    #[must_use]
    pub fn line(&mut self) -> String {
        let seconds = Duration::from_nanos(self.last_ns.saturating_sub(self.first_due_ns)).as_secs_f64();
        let (received, misplaced) = (self.received, self.misplaced);
        let due = percentiles(&mut self.since_due_ns);
        let sent = percentiles(&mut self.since_sent_ns);
        format!(
            r#"{{"received":{received},"misplaced":{misplaced},"seconds":{seconds},"since_due_ns":{due:?},"since_sent_ns":{sent:?}}}"#
        )
    }
}

/// The percentiles, as shares, for which [`Tally::line`] gives times.
pub const SHARES: [f64; 6] = [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0];

/// The percentiles at [`SHARES`], by nearest rank; empty if there are no times.
fn percentiles(times_ns: &mut [u64]) -> Vec<u64> {
    times_ns.sort_unstable();
    let rank = |share: f64| ((times_ns.len() as f64 * share).ceil() as usize).max(1) - 1;
    SHARES.iter().filter_map(|&share| times_ns.get(rank(share)).copied()).collect()
}

/// The machine's time, which is the same in all its processes.
#[must_use]
pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is a local; the clock is one that every Linux has.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps, as exactly as the system can, until a time that may have passed.
fn sleep_until(due_ns: u64) {
    if due_ns <= now_ns() {
        return;
    }
    let due =
        libc::timespec { tv_sec: (due_ns / 1_000_000_000) as i64, tv_nsec: (due_ns % 1_000_000_000) as i64 };
    // SAFETY: the time is a local; the remainder is not asked for. A signal ends the sleep early, and the message is early then.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1);
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const due,
            std::ptr::null_mut(),
        );
    }
}

/// Waits until this process is ended.
pub fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_that_arrives_is_reported_as_complete() {
        let words = ["5", "32", "100000"].map(str::to_owned);
        let plan = Plan::parse(&words).expect("a plan");
        let mut tally = Tally::new(plan);
        let mut ends = Vec::new();
        plan.send(|message| {
            ends.push(tally.take(message));
            Ok::<(), ()>(())
        })
        .expect("nothing fails");
        assert_eq!(ends, [false, false, false, false, true]);
        let line = tally.line();
        assert!(line.starts_with(r#"{"received":5,"misplaced":0,"seconds":"#), "{line}");
        assert!(!tally.is_over());
    }

    #[test]
    fn what_is_missing_or_late_is_misplaced() {
        let plan = Plan { count: 4, size: HEAD, rate: 0 };
        let mut tally = Tally::new(plan);
        let message = |number: u64| {
            let mut message = [0; HEAD];
            message[..8].copy_from_slice(&number.to_le_bytes());
            message
        };
        for number in [0, 2, 1, 3] {
            tally.take(&message(number));
        }
        assert_eq!((tally.received, tally.misplaced), (4, 3));
        assert!(Plan::parse(&["0".to_owned(), "32".to_owned(), "0".to_owned()]).is_err());
        assert!(Plan::parse(&["1".to_owned(), "8".to_owned(), "0".to_owned()]).is_err());
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut times: Vec<u64> = (1..=1000).rev().collect();
        assert_eq!(percentiles(&mut times), [500, 900, 990, 999, 1000, 1000]);
        assert_eq!(percentiles(&mut []), []);
    }
}
