//! The environment of a measurement: the machine and the versions.

use std::error::Error;
use std::fmt;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::measure::Bench;
use crate::programs::{home, product, run};

/// Names and values, in the order of the table.
#[derive(Debug)]
pub(crate) struct Environment(Vec<(&'static str, String)>);

impl Environment {
    /// The environment of a run of servers.
    pub(crate) fn read(bench: &Bench) -> Result<Self, Box<dyn Error>> {
        let lock = fs::read_to_string(home().join("Cargo.lock"))?;
        let cores = bench.cores;
        let siblings = format!("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cores.server);
        let siblings = match text(&siblings) {
            Ok(list) if list == cores.server.to_string() => "no other".to_owned(),
            Ok(list) => list,
            Err(_) => "others or none: the system does not tell".to_owned(),
        };
        let mut entries = machine()?;
        entries.extend([
            (
                "server and client",
                format!(
                    "server on {}, client on {}; core {} shares its hardware with {siblings}",
                    cores.server, cores.client, cores.server
                ),
            ),
            (
                "largest socket buffers",
                format!(
                    "receive {}, send {}",
                    text("/proc/sys/net/core/rmem_max")?,
                    text("/proc/sys/net/core/wmem_max")?
                ),
            ),
            ("campanile", run(Command::new(&bench.programs.campanile).arg("--version"))?.trim().to_owned()),
            ("sockperf", sockperf()?),
            ("tokio", locked(&lock, "tokio").unwrap_or("unknown").to_owned()),
            ("compio", locked(&lock, "compio").unwrap_or("unknown").to_owned()),
        ]);
        Ok(Self(entries))
    }

    /// The environment of a run of erasure codes.
    pub(crate) fn of_parity() -> Result<Self, Box<dyn Error>> {
        let lock = fs::read_to_string(home().join("Cargo.lock"))?;
        let cpuinfo = text("/proc/cpuinfo")?;
        let flags = field(&cpuinfo, "flags").unwrap_or_default();
        let sets = ["ssse3", "avx2", "avx512f", "avx512bw", "gfni"];
        let found: Vec<&str> = flags.split(' ').filter(|flag| sets.contains(flag)).collect();
        let mut entries = machine()?;
        entries.push(("instruction sets", found.join(" ")));
        for peer in ["reed-solomon-simd", "raptorq", "reed-solomon-erasure"] {
            entries.push((peer, locked(&lock, peer).unwrap_or("unknown").to_owned()));
        }
        Ok(Self(entries))
    }

    /// The environment of a run in a network of namespaces, with the versions of the peers.
    pub(crate) fn of_network(
        peers: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut entries = machine()?;
        entries.extend(peers);
        Ok(Self(entries))
    }

    /// As a table in Markdown.
    pub(crate) fn table(&self) -> String {
        let rows = self.0.iter().map(|(name, value)| format!("| {name} | {value} |\n"));
        rows.fold("| what | value |\n|---|---|\n".to_owned(), |table, row| table + &row)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))
    }
}

/// The text of a one-line file.
fn text(path: &str) -> std::io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned())
}

/// The machine and what was built.
fn machine() -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let allowed = campanile_bench::cores::allowed()?.len();
    let cpuinfo = text("/proc/cpuinfo")?;
    let model = field(&cpuinfo, "model name").unwrap_or("unknown");
    let guest = if cpuinfo.contains(" hypervisor") { ", a virtual machine" } else { "" };
    let governor = text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    Ok(vec![
        ("date", date(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())),
        ("commit", commit()?),
        ("kernel", text("/proc/sys/kernel/osrelease")?),
        ("processor", format!("{model}{guest}")),
        ("cores", allowed.to_string()),
        ("governor", governor.unwrap_or_else(|_| "not shown".to_owned())),
        ("rustc", run(Command::new("rustc").arg("--version"))?.trim().to_owned()),
        ("load average at the start", text("/proc/loadavg")?),
    ])
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// The version of a package in a lock file.
pub(crate) fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn commit() -> Result<String, Box<dyn Error>> {
    let git = |arguments: &[&str]| run(Command::new("git").arg("-C").arg(product()).args(arguments));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let suffix = if changed.is_empty() { "" } else { ", with changes" };
    Ok(format!("{}{suffix}", commit.trim()))
}

fn sockperf() -> Result<String, Box<dyn Error>> {
    let text = run(Command::new("sockperf").arg("--version"))?;
    let version = text.lines().next().unwrap_or_default();
    Ok(version.trim_start_matches("sockperf, version ").trim().to_owned())
}

/// A time of day in UTC, from seconds since 1970. Days are counted from the first of March, so that the odd day is the last.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_237_423), "2026-11-21 05:03 UTC");
        assert_eq!(date(1_798_761_599), "2026-12-31 23:59 UTC");
    }

    #[test]
    fn finds_versions_and_fields() {
        let lock = "[[package]]\nname = \"tokio\"\nversion = \"1.2.3\"\n";
        assert_eq!(locked(lock, "tokio"), Some("1.2.3"));
        assert_eq!(locked(lock, "toki"), None);
        assert_eq!(field("a : b\nmodel name\t: X Y\n", "model name"), Some("X Y"));
    }
}
