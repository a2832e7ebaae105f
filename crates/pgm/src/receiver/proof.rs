//! To which address a session belongs when packets with its TSI come from several.
//!
//! Nothing is authenticated, and the first address that is heard is presumed to be the source's. But a source numbers its packets one
//! by one, which a forger of unrelated packets does not, however many it sends. So an address that has shown no run of numbers loses
//! the session to one that has shown one. A source on several interfaces is heard at several addresses, all with the same run, and
//! keeps the first one. A forger of whole sessions, or of the source's own address, cannot be told from the source.

use std::net::IpAddr;

use crate::Seq;
use crate::wire::{Body, DataContent, DataKind, Spm, WindowState};

/// The evidence that an address is a source's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Proof {
    data: Run,
    spms: Run,
}

impl Proof {
    /// Records a packet.
    pub(super) fn note(&mut self, body: &Body<'_>) {
        match body {
            Body::Spm(spm) => self.spms.note(spm.sqn),
            Body::Data(data) if data.head.kind == DataKind::Original => self.data.note(data.head.sqn),
            _ => {}
        }
    }

    /// Whether the evidence suffices.
    pub(super) fn is_given(&self) -> bool {
        self.data.steps >= DATA_STEPS || self.spms.steps >= SPM_STEPS
    }

    /// Whether there is no evidence: fewer steps than chance may bring.
    pub(super) fn is_missing(&self) -> bool {
        self.data.steps < CHANCE_STEPS && self.spms.steps < CHANCE_STEPS
    }
}

/// A run of increasing numbers; some may be lost on the way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    last: Seq,
    steps: u8,
}

impl Run {
    pub(super) fn steps(&self) -> u8 {
        self.steps
    }

    pub(super) fn note(&mut self, sqn: Seq) {
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

/// The other address from which most packets with a session's TSI come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rival {
    from: IpAddr,
    /// The number of its packets, less those from further addresses.
    votes: u8,
    proof: Proof,
    /// Where its session stood when it was first heard.
    pub(super) first: Seq,
    /// The last packet of a short group and the group's length, if its first packet gave them.
    pub(super) short_group: Option<(Seq, u32)>,
}

impl Rival {
    /// Records a packet from another address than the presumed one; true when the sender has proved itself.
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

    /// The evidence that it has shown.
    pub(super) fn proof(&self) -> Proof {
        self.proof
    }
}

/// Where a session stands, according to an SPM or new data; `None` for other packets. Repairs and parity do not show it, and NAKs and
/// confirmations are no evidence of a source.
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

/// The last packet of a short group and the group's length, from that packet or an SPM.
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

/// Steps of a run that prove a source: of data, and of SPMs, which are fewer.
const DATA_STEPS: u8 = 8;
const SPM_STEPS: u8 = 4;
/// Fewer steps than this may be chance.
const CHANCE_STEPS: u8 = 2;
/// The greatest step in a run, so that it may have losses.
const STEP_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_tolerates_loss_and_reordering_but_no_jump() {
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
