//! Ctrl-C, and the system's other requests to end the process.

use std::sync::{Arc, Mutex, PoisonError};

use campanile::{Stopper, hangup};

use crate::command_error::CommandError;
use crate::system_error::shortage;

/// Stops a run at the first Ctrl-C, so that it can still report its results, and ends the process at the second.
pub(crate) fn stops(stopper: Stopper) -> Result<(), CommandError> {
    Interrupt::new()?.stops(stopper);
    Ok(())
}

/// Ctrl-C for a command that polls for it, or that makes several runs. The second Ctrl-C ends the process.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    asked: bool,
    running: Option<Stopper>,
}

impl Interrupt {
    /// Catches Ctrl-C from now on. A process can do that only once. What `nohup` made ignored stays ignored.
    pub(crate) fn new() -> Result<Self, CommandError> {
        let outlives_terminal = hangup::is_ignored();
        let shared = Arc::new(Mutex::new(State::default()));
        let state = Arc::clone(&shared);
        ctrlc::set_handler(move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.asked {
                std::process::exit(130);
            }
            state.asked = true;
            state.running.iter().for_each(Stopper::stop);
        })
        .map_err(uncaught)?;
        if outlives_terminal {
            // It is now caught as all requests to end are.
            hangup::ignore();
        }
        Ok(Self(shared))
    }

    /// Sets what the first Ctrl-C stops; if it has come already, stops that now.
    pub(crate) fn stops(&self, stopper: Stopper) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.asked {
            stopper.stop();
        }
        state.running = Some(stopper);
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_pressed(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asked
    }
}

fn uncaught(error: ctrlc::Error) -> CommandError {
    let hint = if let ctrlc::Error::System(why) = &error { shortage(why) } else { None };
    CommandError::failed(format!("Ctrl-C cannot be caught: {error}")).hint_if(hint)
}
