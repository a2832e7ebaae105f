//! Ctrl-C, and the system's wish that the process ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use campanile::Stopper;

use crate::command_error::CommandError;

/// Stops a run at the first Ctrl-C, so that it can say what it did, and ends the process at the second.
pub(crate) fn stops(stopper: Stopper) -> Result<(), CommandError> {
    caught(move || stopper.stop())
}

/// Says that Ctrl-C was pressed, for runs that look now and then. The second one ends the process.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn new() -> Result<Self, CommandError> {
        let interrupt = Self(Arc::new(AtomicBool::new(false)));
        let told = interrupt.clone();
        caught(move || told.0.store(true, Ordering::Relaxed))?;
        Ok(interrupt)
    }

    pub(crate) fn is_pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn caught(first: impl Fn() + Send + 'static) -> Result<(), CommandError> {
    let mut asked = false;
    ctrlc::set_handler(move || {
        if asked {
            std::process::exit(130);
        }
        asked = true;
        first();
    })
    .map_err(|error| CommandError::failed(format!("Ctrl-C cannot be caught: {error}")))
}
