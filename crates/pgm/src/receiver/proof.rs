//! Who a session belongs to, when packets under its name come from two addresses.
//!
//! Nothing is authenticated, and whoever is heard first is presumed to be the source. But a source numbers its packets one by one,
//! which a forger of single packets does not, however many they are: so a session goes over to an address that shows a run of
//! numbers from one that shows none. A source on several interfaces is heard at several addresses, each of which shows the same
//! run: the first one stays. A forger of whole sessions, or of the source's own address, is not told apart from it.

use std::net::IpAddr;

use crate::Seq;
use crate::wire::{Body, DataContent, DataKind, Spm, WindowState};

/// What an address has shown of being a source.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Proof {
    data: Run,
    spms: Run,
}

impl Proof {
    /// Takes note of a packet.
    pub(super) fn note(&mut self, body: &Body<'_>) {
        match body {
            Body::Spm(spm) => self.spms.note(spm.sqn),
            Body::Data(data) if data.head.kind == DataKind::Original => self.data.note(data.head.sqn),
            _ => {}
        }
    }

    /// Whether it is enough.
    pub(super) fn is_given(&self) -> bool {
        self.data.steps >= DATA_STEPS || self.spms.steps >= SPM_STEPS
    }

    /// Whether there is none at all, but for what a step or two by chance make.
    pub(super) fn is_missing(&self) -> bool {
        self.data.steps < CHANCE_STEPS && self.spms.steps < CHANCE_STEPS
    }
}

/// Numbers that follow each other, some of them perhaps lost on the way.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    last: Seq,
    steps: u8,
}

impl Run {
    fn note(&mut self, sqn: Seq) {
        let step = sqn.signed_distance_from(self.last);
        if step.unsigned_abs() > STEP_MAX {
            self.steps = 0;
        } else if step > 0 {
            self.steps = self.steps.saturating_add(1);
        } else {
            return;
        }
        self.last = sqn;
    }
}

/// The other address that is heard most under a session's name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    from: IpAddr,
    /// Its packets beyond those of still others.
    votes: u8,
    proof: Proof,
    /// Where the session stood when it was first heard.
    pub(super) first: Seq,
    /// The last packet of a short group, and how long that is, if it was heard of then.
    pub(super) short_group: Option<(Seq, u32)>,
}

impl Rival {
    /// Takes note of a packet of another address than the presumed one; true when the sender has proved itself.
    pub(super) fn note(rival: &mut Option<Self>, from: IpAddr, body: &Body<'_>) -> bool {
        match rival {
            Some(rival) if rival.from == from => {
                rival.votes = rival.votes.saturating_add(1);
                rival.proof.note(body);
                return rival.proof.is_given();
            }
            Some(other) if other.votes > 0 => other.votes -= 1,
            _ => {
                *rival = first_of(body).map(|first| {
                    let mut proof = Proof::default();
                    proof.note(body);
                    Rival { from, votes: 1, proof, first, short_group: short_group_of(body) }
                });
            }
        }
        false
    }

    /// What it has shown.
    pub(super) fn proof(&self) -> Proof {
        self.proof
    }
}

/// Where a session stands by an SPM or new data. Who confirms or asks proves nothing, and repairs and parity do not say it.
pub(super) fn first_of(body: &Body<'_>) -> Option<Seq> {
    match body {
        Body::Data(data)
            if data.head.kind == DataKind::Original
                && matches!(data.head.content, DataContent::Source { .. }) =>
        {
            Some(data.head.sqn)
        }
        Body::Spm(spm) => match spm.window {
            WindowState::Known(edges) => Some(edges.lead().next()),
            WindowState::Unknown | WindowState::Unreachable => None,
        },
        _ => None,
    }
}

/// The last packet of a short group, and how long that is, by the packet itself or an SPM.
fn short_group_of(body: &Body<'_>) -> Option<(Seq, u32)> {
    let (last, tgsize) = match body {
        Body::Data(data) => (data.head.sqn, data.head.options.curr_tgsize),
        Body::Spm(Spm { window: WindowState::Known(edges), options, .. }) => {
            (edges.lead(), options.curr_tgsize)
        }
        _ => return None,
    };
    Some((last, tgsize?.get()))
}

/// Steps of a run that prove a source: of data, and of SPMs, of which there are few.
const DATA_STEPS: u8 = 8;
const SPM_STEPS: u8 = 4;
/// Fewer are none.
const CHANCE_STEPS: u8 = 2;
/// The greatest step in a run, for what is lost.
const STEP_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_bears_loss_and_disorder_but_no_jump() {
        let mut run = Run::default();
        for sqn in
            [u32::MAX - 20, u32::MAX - 18, u32::MAX - 12, u32::MAX - 13, u32::MAX - 12, u32::MAX - 4, 2]
        {
            run.note(Seq(sqn));
        }
        assert_eq!((run.steps, run.last), (4, Seq(2)));
        run.note(Seq(100));
        assert_eq!((run.steps, run.last), (0, Seq(100)));
    }
}
