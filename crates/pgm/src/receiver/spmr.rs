//! Asking for an SPM by an SPMR (RFC 3208 §13).

use super::peer::{Peer, Timer};
use super::shared::Shared;
use crate::Instant;
use crate::instant::nanos;
use crate::path::{Destination, Transmit};
use crate::wire::{Body, Packet};

/// The state of asking for an SPM.
#[derive(Debug, Default)]
pub(super) struct SpmRequest {
    /// The copies still to be sent.
    copies: u8,
    tries: u8,
    /// Whether another receiver's request stood for ours since we last sent one.
    has_refrained: bool,
}

impl Peer {
    /// An SPM is wanted: data come from a source, but where NAKs go is not known. A random back-off comes first (§13.5).
    pub(super) fn want_spm(&mut self, now: Instant, shared: &mut Shared) {
        if !self.timers.is_set(Timer::Spmr) {
            let wait_ns = shared.rng.below(nanos(shared.config.nak.spmr));
            self.timers.set(Timer::Spmr, now.plus_nanos(wait_ns));
        }
    }

    /// The back-off before an SPMR has ended.
    pub(super) fn request_spm(&mut self, now: Instant, shared: &mut Shared) {
        if self.path.is_none() {
            self.spm_request.copies = COPIES;
            self.spm_request.has_refrained = false;
            self.await_spm(now, shared);
        }
    }

    /// Another receiver asked for an SPM: as if we had. Once only, so that nobody keeps us from asking for ever.
    pub(super) fn spm_was_requested(&mut self, now: Instant, shared: &mut Shared) {
        let request = &mut self.spm_request;
        if self.timers.is_set(Timer::Spmr) && request.copies == 0 && !request.has_refrained {
            request.has_refrained = true;
            self.await_spm(now, shared);
        }
    }

    /// The wait for the SPM that was asked for, longer each time, and the back-off before the next request: those who wait together
    /// shall not ask together.
    fn await_spm(&mut self, now: Instant, shared: &mut Shared) {
        let interval_ns = nanos(shared.config.nak.spmr);
        self.spm_request.tries = self.spm_request.tries.saturating_add(1);
        let wait_ns = interval_ns.saturating_mul(1 << self.spm_request.tries.min(8));
        let next = now.plus_nanos(wait_ns.saturating_add(shared.rng.below(interval_ns)));
        self.timers.set(Timer::Spmr, next);
    }

    /// An SPM came. Whether it answers ours or was due anyway nobody can tell, so that it tells nothing of the round trip.
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
            // As far as the next hop, so that other receivers need not ask, too.
            shared.stats.spmrs += 1;
            return Some(Transmit { to: Destination::Group(self.group), ttl: Some(1), ..to_source });
        }
        Some(to_source)
    }
}

/// One to the group, one to the source.
const COPIES: u8 = 2;
