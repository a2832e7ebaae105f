//! Peers that are libraries of the system: their drivers are in `bench/peers` and are compiled when they are needed.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::environment::locked;
use crate::feed::Aeron;
use crate::programs::{cargo, executable, home, run};

/// A driver: its source, the library that it is linked with, and the Debian package of that.
pub(crate) struct Driver {
    pub(crate) source: &'static str,
    pub(crate) library: &'static str,
    pub(crate) package: &'static str,
}

pub(crate) const NORM: Driver = Driver { source: "norm.cpp", library: "norm", package: "libnorm-dev" };

pub(crate) const ZMQ: Driver = Driver { source: "zmq.c", library: "zmq", package: "libzmq3-dev" };

impl Driver {
    /// Compiles it into the harness's folder.
    pub(crate) fn build(&self) -> Result<PathBuf, Box<dyn Error>> {
        let harness = std::env::current_exe()?;
        let program = harness.with_file_name(format!("peer-{}", self.library));
        let mut compile = Command::new(if self.source.ends_with(".cpp") { "c++" } else { "cc" });
        compile.args(["-O2", "-o"]).arg(&program).arg(home().join("peers").join(self.source));
        compile.arg(format!("-l{}", self.library));
        let package = self.package;
        run(&mut compile).map_err(|error| format!("{error}: is {package} installed, and a compiler?"))?;
        Ok(program)
    }

    /// The version of its library, from the Debian package.
    pub(crate) fn version(&self) -> (&'static str, String) {
        (self.library, package_version(self.package))
    }
}

/// Builds Aeron's driver, which has a workspace of its own.
pub(crate) fn build_aeron() -> Result<Aeron, Box<dyn Error>> {
    let manifest = home().join("aeron").join("Cargo.toml");
    let mut build = cargo();
    build.args(["build", "--release", "--message-format", "json-render-diagnostics", "--manifest-path"]);
    let messages = run(build.arg(manifest)).map_err(|error| {
        format!("{error}: it needs cmake 3.30 and Debian's g++, libclang-dev, uuid-dev and libbsd-dev")
    })?;
    let program = executable(&messages, AERON).ok_or(format!("cargo built no executable named {AERON}"))?;
    Ok(Aeron { program, libraries: libraries(&messages).join(":") })
}

/// The folders where the crates' build scripts put libraries, from cargo's messages.
fn libraries(messages: &str) -> Vec<String> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let paths = messages.filter_map(|message| message["linked_paths"].as_array().cloned()).flatten();
    let path = |path: serde_json::Value| Some(path.as_str()?.strip_prefix("native=")?.to_owned());
    paths.filter_map(path).collect()
}

/// The version of the crate that contains Aeron.
pub(crate) fn aeron_version() -> Result<String, Box<dyn Error>> {
    let lock = fs::read_to_string(home().join("aeron").join("Cargo.lock"))?;
    Ok(format!("rusteron {}", locked(&lock, "rusteron-media-driver").unwrap_or("unknown")))
}

const AERON: &str = "campanile-bench-aeron";

/// The version of a Debian package.
pub(crate) fn package_version(package: &str) -> String {
    let mut query = Command::new("dpkg-query");
    let version = run(query.args(["--show", "--showformat", "${Version}", package]));
    version.unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_where_libraries_are() {
        let messages = concat!(
            r#"{"reason":"build-script-executed","linked_paths":["native=/x/lib","framework=/y"]}"#,
            "\nno json\n",
            r#"{"reason":"compiler-artifact"}"#,
        );
        assert_eq!(libraries(messages), ["/x/lib"]);
    }
}
