//! The events of `campanile recv`.

use std::fmt;
use std::path::Path;

use campanile::files::{Manifest, ReceiveProgress};
use campanile::multicast::{Bytes, Counter, Counts, Options, Tsi};
use serde::Serialize;

use crate::figures::{Count, Size, Things};
use crate::output::InLine;
use crate::progress::{Event, ended};

/// Where files are received, and from where.
#[derive(Serialize)]
pub(super) struct Started {
    into: String,
    group: String,
}

impl Event for Started {
    const NAME: &'static str = "started";
}

impl Started {
    pub(super) fn new(into: &Path, options: &Options) -> Self {
        Self { into: into.display().to_string(), group: options.network.group.to_string() }
    }
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "receiving into {} from {}", InLine(&self.into), self.group)
    }
}

/// A session was found.
#[derive(Serialize)]
pub(super) struct Found {
    pub(super) session: String,
    pub(super) source: String,
}

impl Event for Found {
    const NAME: &'static str = "found";
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} from {}", self.session, self.source)
    }
}

/// The contents of a session are known.
#[derive(Serialize)]
pub(super) struct Begun {
    session: String,
    files: usize,
    bytes: u64,
    had: u64,
    total: u64,
    block_len: usize,
}

impl Event for Begun {
    const NAME: &'static str = "begun";
}

impl Begun {
    pub(super) fn new(tsi: Tsi, manifest: &Manifest, progress: ReceiveProgress) -> Self {
        let ReceiveProgress { had, total, block_len } = progress;
        let (files, bytes) = (manifest.entries().len(), manifest.size());
        Self { session: tsi.to_string(), files, bytes, had, total, block_len }
    }
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, files, bytes, had, total, .. } = self;
        let files = Things(*files as u64, "file");
        write!(f, "session {session} brings {files}, {}: ", Size(*bytes))?;
        write!(f, "{} of {} packets are here", Count(*had), Count(*total))
    }
}

/// A file is complete and has its name.
#[derive(Serialize)]
pub(super) struct Placed {
    pub(super) session: String,
    pub(super) name: String,
}

impl Event for Placed {
    const NAME: &'static str = "placed";
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}", self.name)
    }
}

/// A file could not be given its name.
#[derive(Serialize)]
pub(super) struct Failed {
    pub(super) session: String,
    pub(super) name: String,
    pub(super) error: String,
}

impl Event for Failed {
    const NAME: &'static str = "failed";
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {} failed: {}", self.name, InLine(&self.error))
    }
}

/// All files of a session are complete.
#[derive(Serialize)]
pub(super) struct Complete {
    pub(super) session: String,
    /// Seconds since the session was found.
    pub(super) seconds: f64,
}

impl Event for Complete {
    const NAME: &'static str = "complete";
}

impl fmt::Display for Complete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} is complete after {:.1} s", self.session, self.seconds)
    }
}

/// A session is over before all of its files are complete.
#[derive(Serialize)]
pub(super) struct Missed {
    pub(super) session: String,
    pub(super) why: String,
    pub(super) missing: u64,
}

impl Event for Missed {
    const NAME: &'static str = "incomplete";
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, why, missing } = self;
        write!(f, "session {session} is not complete: {why}")?;
        if *missing > 0 { write!(f, "; {} missing", Things(*missing, "packet")) } else { Ok(()) }
    }
}

/// The progress of a session.
#[derive(Serialize)]
pub(super) struct Receiving {
    pub(super) seconds: f64,
    pub(super) session: String,
    pub(super) had: u64,
    pub(super) total: u64,
    pub(super) block_len: usize,
}

impl Event for Receiving {
    const NAME: &'static str = "progress";
}

impl fmt::Display for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, session, had, total, .. } = self;
        write!(f, "{seconds:8.1} s  session {session}: {} of {} packets", Count(*had), Count(*total))
    }
}

/// The summary of a run.
#[derive(Serialize)]
pub(super) struct Finished {
    pub(super) interrupted: bool,
    pub(super) seconds: f64,
    pub(super) counts: Counts,
}

impl Event for Finished {
    const NAME: &'static str = "finished";
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:.1} s: {}", ended(self.interrupted), self.seconds, Packets(&self.counts))
    }
}

/// Messages are listened for.
#[derive(Serialize)]
pub(super) struct Listening {
    group: String,
}

impl Event for Listening {
    const NAME: &'static str = "started";
}

impl Listening {
    pub(super) fn to(options: &Options) -> Self {
        Self { group: options.network.group.to_string() }
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listening to {}", self.group)
    }
}

/// A session's messages follow.
#[derive(Serialize)]
pub(super) struct Joined {
    pub(super) session: String,
    pub(super) source: String,
    /// Packets before the first one that is heard, if the number of the first that was sent is known.
    pub(super) missed: Option<u32>,
}

impl Event for Joined {
    const NAME: &'static str = "found";
}

impl fmt::Display for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, source, missed } = self;
        write!(f, "session {session} from {source} ")?;
        match missed {
            None | Some(0) => f.write_str("begins"),
            Some(missed) => {
                write!(f, "had already begun: {} missing", Things(u64::from(*missed), "packet"))
            }
        }
    }
}

/// Packets of a session cannot be had any more.
#[derive(Serialize)]
pub(super) struct Lost {
    pub(super) session: String,
    pub(super) packets: u64,
}

impl Event for Lost {
    const NAME: &'static str = "lost";
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} lost {} for good", self.session, Things(self.packets, "packet"))
    }
}

/// A message is longer than allowed, and left out.
#[derive(Serialize)]
pub(super) struct TooLong {
    pub(super) session: String,
    pub(super) bytes: u64,
}

impl Event for TooLong {
    const NAME: &'static str = "too_long";
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, bytes } = self;
        let bytes = Things(*bytes, "byte");
        write!(f, "session {session} has a message of {bytes}, which is longer than allowed: see message-max")
    }
}

/// A session brings what this command does not receive.
#[derive(Serialize)]
pub(super) struct Unheard {
    pub(super) session: String,
    pub(super) why: String,
}

impl Event for Unheard {
    const NAME: &'static str = "not_heard";
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} is not heard: {}", self.session, self.why)
    }
}

/// A session is over.
#[derive(Serialize)]
pub(super) struct Ended {
    pub(super) session: String,
    /// Why it ended early, if it did.
    pub(super) why: Option<&'static str>,
}

impl Event for Ended {
    const NAME: &'static str = "ended";
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Some(why) => write!(f, "session {} ended early: {why}", self.session),
            None => write!(f, "session {} ended", self.session),
        }
    }
}

/// A message.
#[derive(Serialize)]
pub(super) struct Message {
    session: String,
    /// Its parts; bytes that are not UTF-8 are replaced.
    parts: Vec<String>,
}

impl Message {
    pub(super) fn new(tsi: Tsi, parts: &[Bytes]) -> Self {
        let text = |part: &Bytes| String::from_utf8_lossy(part).into_owned();
        Self { session: tsi.to_string(), parts: parts.iter().map(text).collect() }
    }
}

/// The summary of receiving messages or a stream.
#[derive(Serialize)]
pub(super) struct Heard {
    pub(super) interrupted: bool,
    pub(super) seconds: f64,
    /// Messages and bytes written; for a stream, messages are not counted.
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) counts: Counts,
}

impl Event for Heard {
    const NAME: &'static str = "finished";
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interrupted, seconds, messages, bytes, counts } = self;
        write!(f, "{} after {seconds:.1} s: {}", ended(*interrupted), Size(*bytes))?;
        if *messages > 0 {
            write!(f, " in {}", Things(*messages, "message"))?;
        }
        write!(f, ", {}", Packets(counts))
    }
}

/// The packets that were needed.
struct Packets<'a>(&'a Counts);

impl fmt::Display for Packets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(counts) = self;
        let data = counts.of(Counter::OdataReceived) + counts.of(Counter::RdataReceived);
        let (recovered, naks) = (counts.of(Counter::Recovered), counts.of(Counter::NaksSent));
        let (data, recovered, naks) = (Things(data, "packet"), Count(recovered), Things(naks, "NAK"));
        write!(f, "{data} received, {recovered} recovered from parity, {naks} sent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stays_in_its_line() {
        let said = Started::new(Path::new("a\nb\u{1b}[31m"), &Options::default()).to_string();
        assert_eq!(said, "receiving into a\\nb\\u{1b}[31m from 239.192.7.1:7500");
        let (session, name, error) = (String::new(), "c".to_owned(), "a\nb/c cannot be opened".to_owned());
        assert_eq!(Failed { session, name, error }.to_string(), "  c failed: a\\nb/c cannot be opened");
    }
}
