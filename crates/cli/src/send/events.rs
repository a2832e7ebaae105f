//! The reports of `campanile send`.

use std::fmt;
use std::net::IpAddr;

use campanile::files::{FileSender, Listener, SendProgress};
use campanile::multicast::{Counter, Counts, Options, Rate, Report, Standing, Tsi};
use serde::Serialize;

use crate::figures::{BitRate, Count, Size, Things};
use crate::progress::{Event, ended};

/// What is sent, and to which group.
#[derive(Serialize)]
pub(super) struct Started {
    session: String,
    group: String,
    /// The rate, unless it adapts.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_bps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// How many receivers must be there before standard input is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    once_there: Option<usize>,
    /// How many receivers must be complete before sending files ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_complete: Option<usize>,
}

impl Event for Started {
    const NAME: &'static str = "started";
}

impl Started {
    pub(super) fn files(sender: &FileSender, options: &Options, until_complete: Option<usize>) -> Self {
        let manifest = sender.manifest();
        let (files, bytes) = (Some(manifest.entries().len()), Some(manifest.size()));
        Self { files, bytes, until_complete, ..Self::input(sender.tsi(), options, None) }
    }

    pub(super) fn input(tsi: Tsi, options: &Options, once_there: Option<usize>) -> Self {
        let group = options.network.group.to_string();
        let rate_bps = match options.sending.rate {
            Rate::Fixed(rate_bps) => Some(rate_bps),
            Rate::Auto { .. } => None,
        };
        Self {
            session: tsi.to_string(),
            group,
            rate_bps,
            files: None,
            bytes: None,
            once_there,
            until_complete: None,
        }
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, group, rate_bps, files, bytes, once_there, until_complete } = self;
        match (files, bytes) {
            (Some(files), Some(bytes)) => {
                write!(f, "sending {}, {},", Things(*files as u64, "file"), Size(*bytes))?;
            }
            _ => f.write_str("sending standard input")?,
        }
        write!(f, " to {group} at ")?;
        match rate_bps {
            Some(rate_bps) => BitRate(*rate_bps as f64).fmt(f)?,
            None => f.write_str("the rate that the receivers take")?,
        }
        write!(f, ", session {session}")?;
        match (once_there, until_complete) {
            (Some(1), _) => f.write_str(", once a receiver has joined"),
            (Some(receivers), _) => write!(f, ", once {receivers} receivers have joined"),
            (_, Some(1)) => f.write_str(", until a receiver has everything"),
            (_, Some(receivers)) => write!(f, ", until {receivers} receivers have everything"),
            (None, None) => Ok(()),
        }
    }
}

/// A receiver, as it last reported.
#[derive(Serialize)]
pub(super) struct Receiver {
    pub(super) receiver: String,
    pub(super) address: String,
    standing: String,
    pub(super) had: u32,
    pub(super) total: u32,
    pub(super) loss_percent: f64,
    #[serde(skip)]
    is_complete: bool,
}

impl Event for Receiver {
    const NAME: &'static str = "receiver";
}

impl Receiver {
    pub(super) fn of(listener: &Listener) -> Self {
        Self::new(listener.address, &listener.report)
    }

    pub(super) fn new(address: IpAddr, report: &Report) -> Self {
        Self {
            receiver: report.receiver.to_string(),
            address: address.to_string(),
            standing: report.standing.to_string(),
            had: report.had,
            total: report.total,
            loss_percent: report.loss_percent(),
            is_complete: report.standing == Standing::Complete,
        }
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receiver, address, standing, had, total, loss_percent, is_complete } = self;
        write!(f, "receiver {receiver} at {address}: {standing}, ")?;
        // For messages, `had` counts only packets received the first time; repairs have filled the rest.
        if !is_complete {
            write!(f, "{} of {} packets, ", Count((*had).into()), Count((*total).into()))?;
        }
        write!(f, "loss {loss_percent:.1} %")
    }
}

/// Everything was sent once.
#[derive(Serialize)]
pub(super) struct Drained {
    pub(super) seconds: f64,
}

impl Event for Drained {
    const NAME: &'static str = "sent_once";
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "everything was sent once after {:.1} s; what is missing is repaired", self.seconds)
    }
}

/// The progress of a session.
#[derive(Serialize)]
pub(super) struct Sending {
    pub(super) seconds: f64,
    pub(super) sent: u64,
    pub(super) total: u64,
    pub(super) complete: usize,
    pub(super) receivers: Vec<Receiver>,
    pub(super) counts: Counts,
}

impl Event for Sending {
    const NAME: &'static str = "progress";
}

impl Sending {
    pub(super) fn new(sender: &FileSender, seconds: f64) -> Self {
        let SendProgress { sent, total } = sender.progress();
        Self {
            seconds,
            sent,
            total,
            complete: sender.complete(),
            receivers: sender.receivers().map(Receiver::of).collect(),
            counts: sender.counts(),
        }
    }
}

impl fmt::Display for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, sent, total, complete, receivers, .. } = self;
        write!(f, "{seconds:8.1} s  {} of {} sent, ", Size(*sent), Size(*total))?;
        write!(f, "{complete} of {} receivers complete", receivers.len())
    }
}

/// The summary of a run.
#[derive(Serialize)]
pub(super) struct Finished {
    /// Whether all receivers that should have everything do.
    pub(super) success: bool,
    pub(super) interrupted: bool,
    /// How many receivers should have everything, if that was given.
    pub(super) wanted: Option<usize>,
    #[serde(flatten)]
    pub(super) end: Sending,
}

impl Event for Finished {
    const NAME: &'static str = "finished";
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sending { seconds, total, complete, receivers, counts, .. } = &self.end;
        let sent = counts.of(Counter::BytesSent);
        let times = sent as f64 / (*total).max(1) as f64;
        let end = ended(self.interrupted);
        writeln!(f, "{end} after {seconds:.1} s: {} sent, {times:.2} times what was offered", Size(sent))?;
        let data = counts.of(Counter::RdataSent);
        let parity = counts.of(Counter::RdataParitySent) + counts.of(Counter::OdataParitySent);
        let naks = counts.of(Counter::NaksReceived);
        writeln!(
            f,
            "  repairs    {} of data, {} of parity, for {}",
            Count(data),
            Count(parity),
            Things(naks, "NAK")
        )?;
        write!(f, "  receivers  {complete} of {} that reported are complete", receivers.len())
    }
}

/// The summary of sending standard input.
#[derive(Serialize)]
pub(super) struct InputFinished {
    /// Whether all receivers that should have everything do.
    pub(super) success: bool,
    pub(super) interrupted: bool,
    pub(super) seconds: f64,
    /// Bytes and lines read; for a stream, lines are not counted.
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) complete: usize,
    pub(super) receivers: Vec<Receiver>,
    pub(super) counts: Counts,
    /// Whether receivers are other programs, which do not report.
    #[serde(skip)]
    pub(super) is_foreign: bool,
}

impl Event for InputFinished {
    const NAME: &'static str = "finished";
}

impl fmt::Display for InputFinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, bytes, lines, complete, receivers, counts, is_foreign, .. } = self;
        let end = ended(self.interrupted);
        write!(f, "{end} after {seconds:.1} s: {} of standard input", Size(*bytes))?;
        if *lines > 0 {
            write!(f, " in {}", Things(*lines, "line"))?;
        }
        write!(f, ", {} sent", Size(counts.of(Counter::BytesSent)))?;
        if *is_foreign {
            return Ok(());
        }
        write!(f, "\n  receivers  {complete} of {} that reported are complete", receivers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campanile::multicast::{ReceiverId, Seq};

    #[test]
    fn a_complete_receiver_lacks_no_packets() {
        let said = |standing| {
            let report = Report {
                cookie: 7,
                receiver: ReceiverId(7),
                standing,
                had: 18_836,
                total: 24_755,
                loss: 13_107,
                headroom: 0,
                lead: Seq(0),
                heard: 0,
                needs: Seq(0),
                socket: 0,
            };
            Receiver::new([192, 0, 2, 7].into(), &report).to_string()
        };
        assert!(
            said(Standing::Complete).ends_with(": complete, loss 20.0 %"),
            "{}",
            said(Standing::Complete)
        );
        assert!(
            said(Standing::Left).ends_with(": left, 18,836 of 24,755 packets, loss 20.0 %"),
            "{}",
            said(Standing::Left)
        );
    }
}
