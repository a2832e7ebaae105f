//! The state of a session's receivers, for a terminal, and who has fallen silent, for other output.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use campanile::files::Listener;
use campanile::multicast::{ReceiverId, Standing};

use super::LONG;

/// The receivers, one line each while there is room, those with the most still missing first; the rest share one line.
pub(super) struct Group<'a> {
    /// The receivers, the worst first.
    listeners: Vec<&'a Listener>,
    /// How many receivers are expected; if more have come, all of them count.
    wanted: usize,
    /// How many lines there may be besides the summary line.
    room: usize,
    /// How long a receiver that is not done may be silent before its line says so.
    patience: Duration,
}

impl<'a> Group<'a> {
    pub(super) fn new(listeners: impl Iterator<Item = &'a Listener>, wanted: usize, room: usize) -> Self {
        let mut listeners: Vec<&Listener> = listeners.collect();
        listeners.sort_by_key(|listener| {
            let rank = match listener.report.standing {
                Standing::Failed | Standing::Left => 0,
                Standing::Joined => 1,
                Standing::Complete => 2,
            };
            // Whole percents, so that the order does not change with every packet.
            (rank, percent(listener), listener.report.receiver)
        });
        let patience = patience(listeners.len());
        Self { listeners, wanted, room: room.max(1), patience }
    }
}

/// The receivers that have fallen silent, for output that does not show the group.
#[derive(Default)]
pub(super) struct Silent {
    told: HashSet<ReceiverId>,
}

impl Silent {
    /// A note of those that fell silent since the last one, if any did.
    pub(super) fn note<'a>(&mut self, listeners: impl Iterator<Item = &'a Listener>) -> Option<String> {
        let listeners: Vec<&Listener> = listeners.collect();
        let patience = LONG.max(patience(listeners.len()));
        let is_silent = |listener: &&&Listener| {
            listener.report.standing == Standing::Joined && listener.heard_at.elapsed() > patience
        };
        let mut new =
            listeners.iter().filter(is_silent).filter(|listener| self.told.insert(listener.report.receiver));
        let first @ Listener { address, report, .. } = new.next()?;
        let (seconds, percent) = (patience.as_secs(), percent(first));
        let others = match new.count() {
            0 => String::new(),
            others => format!(", and {others} more"),
        };
        Some(format!(
            "no word for {seconds} s from receiver {} at {address}, which has {percent} %{others}; one that was ended goes on where it \
             was when it is started again",
            report.receiver
        ))
    }
}

/// How long a receiver that is not done may be silent: in a large group reports are rare.
fn patience(receivers: usize) -> Duration {
    PATIENCE + Duration::from_millis(250) * u32::try_from(receivers).unwrap_or(u32::MAX)
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listeners, wanted, room, patience } = self;
        let (known, all) = (listeners.len(), Others(listeners));
        write!(f, "  {} of {} receivers complete{all}", complete(listeners), known.max(*wanted))?;
        if known < *wanted {
            write!(f, ", {} not here yet", wanted - known)?;
        }
        let shown = if listeners.len() > *room { room - 1 } else { listeners.len() };
        for listener in &listeners[..shown] {
            write!(f, "\n  {}", Line(listener, *patience))?;
        }
        match &listeners[shown..] {
            [] => Ok(()),
            rest => write!(f, "\n  and {} more: {} complete{}", rest.len(), complete(rest), Others(rest)),
        }
    }
}

/// One receiver, and how long it may be silent.
struct Line<'a>(&'a Listener, Duration);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(listener @ Listener { address, report, heard_at }, patience) = self;
        let silence = heard_at.elapsed();
        let address = address.to_string();
        write!(f, "{:8}  {address:15} {:>3} %  loss ", report.receiver.to_string(), percent(listener))?;
        write!(f, "{:4.1} %", report.loss_percent())?;
        match report.standing {
            Standing::Joined if silence > *patience => write!(f, "  silent for {} s", silence.as_secs()),
            Standing::Joined => Ok(()),
            standing => write!(f, "  {standing}"),
        }
    }
}

/// A summary of the incomplete receivers, and of the loss of all.
struct Others<'a>(&'a [&'a Listener]);

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(listeners) = self;
        let (mut gone, mut loss_percent, mut least) = (0, 0.0_f64, None);
        for listener in *listeners {
            loss_percent = loss_percent.max(listener.report.loss_percent());
            match listener.report.standing {
                Standing::Complete => {}
                Standing::Failed | Standing::Left => gone += 1,
                Standing::Joined => {
                    least = least.into_iter().chain([percent(listener)]).min();
                }
            }
        }
        if gone > 0 {
            write!(f, ", {gone} failed or left")?;
        }
        if let Some(least) = least {
            write!(f, ", the slowest has {least} %")?;
        }
        if loss_percent > 0.0 {
            write!(f, ", loss up to {loss_percent:.1} %")?;
        }
        Ok(())
    }
}

/// Several times the interval between a receiver's reports in a small group.
const PATIENCE: Duration = Duration::from_secs(5);

fn complete(listeners: &[&Listener]) -> usize {
    let is_complete = |listener: &&&Listener| listener.report.standing == Standing::Complete;
    listeners.iter().filter(is_complete).count()
}

fn percent(listener: &Listener) -> u64 {
    100 * u64::from(listener.report.had) / u64::from(listener.report.total.max(1))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use campanile::multicast::{Report, Seq};

    use super::*;

    fn listener(number: u128, standing: Standing, had: u32, loss: u16) -> Listener {
        let (cookie, receiver, lead) = (1, ReceiverId(number << 96), Seq(0));
        let report = Report {
            cookie,
            receiver,
            standing,
            had,
            total: 200,
            loss,
            headroom: 0,
            lead,
            heard: 0,
            needs: lead,
            socket: 0,
        };
        Listener { address: Ipv4Addr::LOCALHOST.into(), report, heard_at: Instant::now() }
    }

    fn told(listeners: &[Listener], room: usize) -> String {
        Group::new(listeners.iter(), 0, room).to_string()
    }

    #[test]
    fn each_has_a_line() {
        assert_eq!(told(&[], 3), "  0 of 0 receivers complete");
        let all = [
            listener(1, Standing::Complete, 200, 0),
            listener(2, Standing::Joined, 150, 13_107),
            listener(3, Standing::Joined, 9, 655),
            listener(4, Standing::Left, 3, 0),
        ];
        let lines = "  1 of 4 receivers complete, 1 failed or left, the slowest has 4 %, loss up to 20.0 %
  00000004  127.0.0.1         1 %  loss  0.0 %  left
  00000003  127.0.0.1         4 %  loss  1.0 %
  00000002  127.0.0.1        75 %  loss 20.0 %
  00000001  127.0.0.1       100 %  loss  0.0 %  complete";
        assert_eq!(told(&all, 4), lines);
        assert_eq!(told(&all, 400), lines);
    }

    #[test]
    fn receivers_that_have_not_come_are_counted() {
        let all = [listener(1, Standing::Complete, 200, 0)];
        let told = |wanted: usize| Group::new(all.iter(), wanted, 3).to_string();
        assert!(told(3).starts_with("  1 of 3 receivers complete, 2 not here yet\n"), "{}", told(3));
        assert!(told(1).starts_with("  1 of 1 receivers complete\n"), "{}", told(1));
    }

    #[test]
    fn receivers_that_fall_silent_are_marked() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(30)).expect("it runs for longer");
        let [silent, complete] = [Standing::Joined, Standing::Complete]
            .map(|standing| Listener { heard_at: long_ago, ..listener(1, standing, 9, 0) });
        let text = told(&[silent], 3);
        assert!(text.contains("loss  0.0 %  silent for 3"), "{text}");
        assert!(!told(&[complete], 3).contains("silent"));
        let many = vec![silent; 200];
        assert!(!told(&many, 3).contains("silent"), "they report more seldom");
    }

    #[test]
    fn receivers_that_fall_silent_are_told_of_once() {
        let heard_at = Instant::now().checked_sub(Duration::from_secs(30)).expect("it runs for longer");
        let silent = |number| Listener { heard_at, ..listener(number, Standing::Joined, 68, 0) };
        let complete = Listener { heard_at, ..listener(4, Standing::Complete, 200, 0) };
        let mut all = vec![listener(1, Standing::Joined, 9, 0), silent(2), complete];
        let mut notes = Silent::default();
        let note = notes.note(all.iter()).expect("one is silent");
        let begin = "no word for 15 s from receiver 00000002 at 127.0.0.1, which has 34 %; ";
        assert!(note.starts_with(begin), "{note}");
        assert_eq!(notes.note(all.iter()), None);
        all.extend([silent(5), silent(6)]);
        let note = notes.note(all.iter()).expect("two more are silent");
        assert!(note.contains("00000005 at 127.0.0.1, which has 34 %, and 1 more; "), "{note}");
    }

    #[test]
    fn what_has_no_room_is_summed_up() {
        let many: Vec<Listener> = (1..=40)
            .map(|number| listener(number, Standing::Joined, 4 * number as u32, 65 * number as u16))
            .collect();
        let lines = "  0 of 40 receivers complete, the slowest has 2 %, loss up to 4.0 %
  00000001  127.0.0.1         2 %  loss  0.1 %
  00000002  127.0.0.1         4 %  loss  0.2 %
  and 38 more: 0 complete, the slowest has 6 %, loss up to 4.0 %";
        assert_eq!(told(&many, 3), lines);
        for room in [0, 1] {
            assert_eq!(told(&many, room).lines().count(), 2);
        }
    }
}
