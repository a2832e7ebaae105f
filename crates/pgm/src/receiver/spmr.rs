//! Requests for SPMs: SPMRs (RFC 3208 §13).

use super::peer::{Peer, Timer};
use super::shared::Shared;
use crate::Instant;
use crate::instant::nanos;
use crate::path::{Destination, Transmit};
use crate::wire::{Body, Packet};

/// The state of the requests for an SPM.
#[derive(Debug, Default)]
pub(super) struct SpmRequest {
    /// The copies of the SPMR that are still to be sent.
    copies: u8,
    tries: u8,
    /// Whether another receiver's request has replaced ours since we last sent one.
    has_refrained: bool,
}

impl Peer {
    /// Starts the random back-off before an SPMR (§13.5): data come from a source, but its address for NAKs is not known.
    pub(super) fn want_spm(&mut self, now: Instant, shared: &mut Shared) {
        if !self.timers.is_set(Timer::Spmr) {
            let wait_ns = shared.rng.below(nanos(shared.config.nak.spmr));
            self.timers.set(Timer::Spmr, now.plus_nanos(wait_ns));
        }
    }

    /// Begins to send an SPMR at the end of its back-off, if no SPM has come.
    pub(super) fn request_spm(&mut self, now: Instant, shared: &mut Shared) {
        if self.path.is_none() {
            self.spm_request.copies = COPIES;
            self.spm_request.has_refrained = false;
            self.await_spm(now, shared);
        }
    }

    /// Handles another receiver's SPMR as if we had sent it, but only once for each of ours, so that nobody can keep us from asking
    /// forever.
    pub(super) fn spm_was_requested(&mut self, now: Instant, shared: &mut Shared) {
        let request = &mut self.spm_request;
        if self.timers.is_set(Timer::Spmr) && request.copies == 0 && !request.has_refrained {
            request.has_refrained = true;
            self.await_spm(now, shared);
        }
    }

    /// Starts the wait for the requested SPM, which doubles each time, and a random back-off before the next request, so that
    /// receivers that wait together do not ask together.
    fn await_spm(&mut self, now: Instant, shared: &mut Shared) {
        let interval_ns = nanos(shared.config.nak.spmr);
        self.spm_request.tries = self.spm_request.tries.saturating_add(1);
        let wait_ns = interval_ns.saturating_mul(1 << self.spm_request.tries.min(8));
        let next = now.plus_nanos(wait_ns.saturating_add(shared.rng.below(interval_ns)));
        self.timers.set(Timer::Spmr, next);
    }

    /// Ends the requests when an SPM came. It may have been due anyway, so it says nothing about the round trip time.
    pub(super) fn spm_answered(&mut self) {
        self.timers.stop(Timer::Spmr);
        self.spm_request.copies = 0;
    }

    /// The next copy of an SPMR: to the group first, then to the source.
    pub(super) fn transmit_spmr(&mut self, buffer: &mut [u8], shared: &mut Shared) -> Option<Transmit> {
        let copies = self.spm_request.copies;
        self.spm_request.copies = copies.checked_sub(1)?;
        let len = Packet { session: self.session, body: Body::Spmr }.emit(buffer);
        let to_source = self.to_host(self.source, len, shared);
        if copies == COPIES {
            // Only to the local network, where it keeps other receivers from asking, too.
            shared.stats.spmrs += 1;
            return Some(Transmit { to: Destination::Group(self.group), ttl: Some(1), ..to_source });
        }
        Some(to_source)
    }
}

/// One copy to the group, one to the source.
const COPIES: u8 = 2;
