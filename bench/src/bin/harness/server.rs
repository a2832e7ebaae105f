//! A running server. It ends when it is dropped.

use std::error::Error;
use std::process::{Child, Command, Stdio};

use campanile_bench::cores;
use campanile_rig::free_port;

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts the server that `command` makes for a free port, on these cores.
    pub(crate) fn start(on: &[usize], command: impl FnOnce(u16) -> Command) -> Result<Self, Box<dyn Error>> {
        let port = free_port();
        let mut command = command(port);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self { child: spawn_on(on, &mut command)?, port })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program on these cores: it inherits them from the thread that starts it.
pub(crate) fn spawn_on(on: &[usize], command: &mut Command) -> Result<Child, Box<dyn Error>> {
    let own = cores::allowed()?;
    cores::pin(on)?;
    let child = command.spawn();
    cores::pin(&own)?;
    child.map_err(|error| format!("{:?} does not start: {error}", command.get_program()).into())
}
