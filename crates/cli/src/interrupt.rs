//! Ctrl-C, and the system's wish that the process ends.

use campanile::Stopper;

use crate::command_error::CommandError;

/// Stops a run at the first Ctrl-C, so that it can say what it did, and ends the process at the second.
pub(crate) fn stops(stopper: Stopper) -> Result<(), CommandError> {
    let mut asked = false;
    ctrlc::set_handler(move || {
        if asked {
            std::process::exit(130);
        }
        asked = true;
        stopper.stop();
    })
    .map_err(|error| CommandError::failed(format!("Ctrl-C cannot be caught: {error}")))
}
