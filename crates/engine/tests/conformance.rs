//! One body of tests for all backends: what the engine's documentation says, said again as behaviour.
//!
//! Each test runs on every backend that this system has. `CAMPANILE_BACKEND` names the only one to run, which then must be
//! there.

mod conformance {
    pub(crate) mod datagrams;
    pub(crate) mod groups;
    pub(crate) mod lifetime;
    pub(crate) mod rig;
    pub(crate) mod trains;
    pub(crate) mod turns;
    pub(crate) mod waiting;
}
