//! `campanile send FILE`.

use std::time::{Duration, Instant};

use campanile::files::{FileSender, Listener, Offering, OfferingError, SendError, SendEvent, SendStartError};
use campanile::multicast::{Counter, Options, Standing};

use super::Arguments;
use super::said::{Drained, Finished, Receiver, Sending, Started};
use crate::command_error::CommandError;
use crate::figures::Count;
use crate::interrupt::Interrupt;
use crate::progress::{Every, Teller};
use crate::{file_error, output, session};

/// Sends files, and tells how it goes.
pub(super) fn run(arguments: &Arguments, options: &Options) -> Result<(), CommandError> {
    let offering = Offering::collect(&arguments.files).map_err(offering_error)?;
    for path in offering.skipped() {
        output::note(format_args!("{} is left out: it is neither a file nor a directory", path.display()));
    }
    let sender = FileSender::start(options, offering, arguments.receivers).map_err(start_error)?;
    session::opened()?;
    let interrupt = Interrupt::new()?;
    let run = Run { sender, teller: Teller::new(arguments.json), started: Instant::now() };
    run.serve(options, arguments.receivers, &interrupt)
}

struct Run {
    sender: FileSender,
    teller: Teller,
    started: Instant,
}

impl Run {
    fn serve(
        mut self,
        options: &Options,
        wanted: Option<usize>,
        interrupt: &Interrupt,
    ) -> Result<(), CommandError> {
        self.teller.tell(&Started::files(&self.sender, options))?;
        self.teller.begin(0, self.sender.progress().total);
        let mut second = Every::new(Duration::from_secs(1));
        let mut is_interrupted = false;
        loop {
            let event = self.sender.next(TICK).map_err(send_error)?;
            match event {
                Some(SendEvent::Receiver(listener)) => self.teller.tell(&Receiver::of(&listener))?,
                Some(SendEvent::Drained) => self.teller.tell(&Drained { seconds: self.seconds() })?,
                Some(SendEvent::Finished) => break,
                None => {}
            }
            self.teller.show(self.sender.progress().sent, || self.message());
            if self.teller.is_json() && second.is_due() {
                self.teller.tell(&Sending::new(&self.sender, self.seconds()))?;
            }
            if interrupt.is_pressed() && !is_interrupted {
                is_interrupted = true;
                if self.sender.is_drained() {
                    self.teller.note("what was sent is still repaired; Ctrl-C again ends it at once");
                    self.sender.finish();
                } else {
                    self.sender.abort();
                }
            }
        }
        self.teller.end();
        let end = Sending::new(&self.sender, self.seconds());
        let needed = wanted.unwrap_or(end.receivers.len());
        let complete = end.complete >= needed && (wanted.is_some() || self.sender.is_drained());
        self.teller.tell(&Finished { success: complete, interrupted: is_interrupted, wanted, end })?;
        if complete {
            return Ok(());
        }
        if is_interrupted && !self.sender.is_drained() {
            return Err(CommandError::incomplete("interrupted before all was sent").hint(AGAIN));
        }
        let mut message =
            format!("{} of {needed} receivers are known to have everything", self.sender.complete());
        match self.sender.failed() {
            0 => {}
            1 => message.push_str(", 1 has failed or left"),
            failed => message.push_str(&format!(", {failed} have failed or left")),
        }
        Err(CommandError::incomplete(message).hint(AGAIN))
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    fn message(&self) -> String {
        let counts = self.sender.counts();
        let repaired = counts.of(Counter::RdataSent) + counts.of(Counter::RdataParitySent);
        format!(", {}, {} repairs", standing(self.sender.receivers()), Count(repaired))
    }
}

/// How far the receivers are, in a few words.
fn standing<'a>(receivers: impl Iterator<Item = &'a Listener>) -> String {
    let (mut known, mut complete, mut loss, mut slowest) = (0, 0, 0, None);
    for Listener { report, .. } in receivers {
        known += 1;
        complete += usize::from(report.standing == Standing::Complete);
        loss = loss.max(report.loss);
        if report.standing == Standing::Joined {
            let percent = 100 * u64::from(report.had) / u64::from(report.total.max(1));
            slowest = Some(slowest.map_or(percent, |least: u64| least.min(percent)));
        }
    }
    let slowest = slowest.map_or(String::new(), |percent| format!(", the slowest has {percent} %"));
    let loss =
        if loss > 0 { format!(", loss up to {:.1} %", f64::from(loss) / 655.36) } else { String::new() };
    format!("{complete} of {known} receivers complete{slowest}{loss}")
}

const AGAIN: &str = "send it again: each receiver keeps what it has";

/// How often Ctrl-C and the bar are looked after.
const TICK: Duration = Duration::from_millis(100);

fn offering_error(error: OfferingError) -> CommandError {
    match &error {
        OfferingError::File(error) => {
            CommandError::bad_input(error).hint("see that it is there and may be read")
        }
        OfferingError::Kind(_) => CommandError::bad_input(error).hint("give files and directories"),
        OfferingError::Name(..) => CommandError::bad_input(error).hint("rename it, or send an archive"),
        OfferingError::Manifest(_) => CommandError::bad_input(error).hint("send an archive of them"),
    }
}

fn start_error(error: SendStartError) -> CommandError {
    match &error {
        SendStartError::Manifest(_) => CommandError::bad_input(error).hint("send an archive of them"),
        SendStartError::TooLarge(_) => {
            CommandError::bad_input(error).hint("send parts of it one after the other")
        }
        SendStartError::Network(error) => session::start_error(error),
    }
}

fn send_error(error: SendError) -> CommandError {
    match error {
        SendError::File(error) => file_error::told(&error).hint("send it again once it stays as it is"),
        SendError::Network(_) => CommandError::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use campanile::multicast::{ReceiverId, Report, Seq};

    use super::*;

    #[test]
    fn the_slowest_and_the_worst_are_told() {
        let listener = |standing, had, loss| {
            let (cookie, receiver, lead) = (1, ReceiverId(u128::from(had)), Seq(0));
            let report =
                Report { cookie, receiver, standing, had, total: 200, loss, headroom: 0, lead, heard: 0 };
            Listener { address: Ipv4Addr::LOCALHOST.into(), report }
        };
        let told = |all: &[Listener]| standing(all.iter());
        assert_eq!(told(&[]), "0 of 0 receivers complete");
        let complete = listener(Standing::Complete, 200, 0);
        assert_eq!(told(&[complete]), "1 of 1 receivers complete");
        let all = [
            complete,
            listener(Standing::Joined, 150, 13_107),
            listener(Standing::Joined, 91, 655),
            listener(Standing::Left, 3, 0),
        ];
        assert_eq!(told(&all), "1 of 4 receivers complete, the slowest has 45 %, loss up to 20.0 %");
    }
}
