//! A summary of the whole page of benchmarks: a line for each comparison, and the few ratios that the README names.

use std::fmt::Write;

use crate::bound::MET;

/// A section of the page.
struct Comparison<'a> {
    title: &'a str,
    /// The day it was measured; empty where the section has no figures.
    date: &'a str,
    targets: Vec<Target<'a>>,
}

/// A ratio and its target: a row of a table.
struct Target<'a> {
    /// The title above the table, if the section has several.
    scene: &'a str,
    /// The names of the columns, and the row's cells.
    cells: Vec<(&'a str, &'a str)>,
}

impl<'a> Target<'a> {
    fn cell(&self, name: &str) -> Option<&'a str> {
        self.cells.iter().find(|(column, _)| *column == name).map(|&(_, cell)| cell)
    }

    fn is_met(&self) -> bool {
        self.cell("result") == Some(MET)
    }
}

/// A table with a line for each comparison: the peers, how many of its targets are met, and when it was measured.
pub(crate) fn comparisons(page: &str) -> String {
    let mut text = String::from("| comparison | beside | targets met | measured |\n|---|---|---|---|\n");
    for Comparison { title, date, targets } in parse(page) {
        if date.is_empty() {
            continue;
        }
        let mut peers = Vec::new();
        for peer in targets.iter().filter_map(|target| target.cell("beside")) {
            if peer != "-" && !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        let beside = if peers.is_empty() { "-".to_owned() } else { peers.join("; ") };
        let met = targets.iter().filter(|target| target.is_met()).count();
        let share =
            if targets.is_empty() { "none set".to_owned() } else { format!("{met} of {}", targets.len()) };
        let _ = writeln!(text, "| [{title}](#{}) | {beside} | {share} | {date} |", anchor(title));
    }
    text
}

/// A table of the ratios that the README names: a line for each figure.
///
/// # Errors
/// The page lacks one of them, because a title or a name on it was changed.
pub(crate) fn headlines(page: &str) -> Result<String, String> {
    let mut text = String::from("| what | campanile's is |\n|---|---|\n");
    let comparisons = parse(page);
    for alike in HEADLINES.chunk_by(|one, next| one.what == next.what) {
        let ratios: Option<Vec<_>> = alike.iter().map(|headline| headline.ratios(&comparisons)).collect();
        let what = alike[0].what;
        let ratios = ratios.ok_or_else(|| format!("the page does not have all of \"{what}\""))?.concat();
        let _ = writeln!(text, "| {what} | {} |", ratios.join(", "));
    }
    Ok(text)
}

/// Ratios that the README names, and where they are on the page.
struct Headline {
    /// The README's description. Consecutive headlines with the same description share a line.
    what: &'static str,
    comparison: &'static str,
    scene: &'static str,
    figure: &'static str,
    ours: &'static str,
    /// The peers, and the README's names for them.
    peers: &'static [(&'static str, &'static str)],
}

impl Headline {
    fn ratios(&self, comparisons: &[Comparison<'_>]) -> Option<Vec<String>> {
        let comparison = comparisons.iter().find(|comparison| comparison.title == self.comparison)?;
        let ratio = |&(peer, theirs): &(&str, &str)| {
            let target = comparison.targets.iter().find(|target| self.is_of(target, peer))?;
            let median: f64 = target.cell("median")?.parse().ok()?;
            let relation = if target.cell("target")?.starts_with('≥') { "times" } else { "of" };
            Some(format!("{median:.*} {relation} {theirs}", if median < 10.0 { 2 } else { 0 }))
        };
        self.peers.iter().map(ratio).collect()
    }

    fn is_of(&self, target: &Target<'_>, peer: &str) -> bool {
        let ours = target.cell("program").or(target.cell("server")).unwrap_or_default();
        let what = target.cell("what").unwrap_or_default();
        (target.scene, what, ours) == (self.scene, self.figure, self.ours)
            && target.cell("beside") == Some(peer)
    }
}

/// Reads the page.
fn parse(page: &str) -> Vec<Comparison<'_>> {
    let (mut comparisons, mut scene, mut columns) = (Vec::new(), "", Vec::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            comparisons.push(Comparison { title, date: "", targets: Vec::new() });
            scene = "";
        } else if let Some(title) = line.strip_prefix("### ") {
            scene = title;
        }
        let Some(comparison) = comparisons.last_mut() else { continue };
        let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            if !line.starts_with('|') {
                columns.clear();
            }
            continue;
        };
        let row: Vec<&str> = row.split(" | ").collect();
        if columns.is_empty() {
            columns = row;
        } else if columns.contains(&"target") && columns.contains(&"result") {
            comparison.targets.push(Target { scene, cells: columns.iter().copied().zip(row).collect() });
        } else if let ["date", date] = row[..] {
            comparison.date = date.split(' ').next().unwrap_or(date);
        }
    }
    comparisons
}

/// The anchor of a title, for links to it.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-'));
    kept.map(|char| if char == ' ' { '-' } else { char.to_ascii_lowercase() }).collect()
}

/// The README's headlines: from each comparison what matters most for choosing a program, good or bad.
const HEADLINES: [Headline; 15] = [
    Headline {
        what: "A file of 5 MB to 40 machines, each of which loses 20 %: time until the last has it",
        comparison: "Files to many machines",
        scene: "5 MB to 40 receivers, 20 % loss, 16 Mbit/s",
        figure: "time to the last receiver",
        ours: "campanile",
        peers: &[("udpcast", "udpcast's"), ("uftp", "UFTP's")],
    },
    Headline {
        what: "A file of 5 MB to 40 machines, each of which loses 20 %: time until the last has it",
        comparison: "Files beside NORM",
        scene: "5 MB to 40 receivers, 20 % loss, 16 Mbit/s",
        figure: "time to the last receiver",
        ours: "campanile fec=128",
        peers: &[("norm, blocks of 128", "NORM's")],
    },
    Headline {
        what: "The same file: bytes on the wire",
        comparison: "Files to many machines",
        scene: "5 MB to 40 receivers, 20 % loss, 16 Mbit/s",
        figure: "wire bytes",
        ours: "campanile",
        peers: &[("udpcast", "udpcast's"), ("uftp", "UFTP's")],
    },
    Headline {
        what: "The same file: bytes on the wire",
        comparison: "Files beside NORM",
        scene: "5 MB to 40 receivers, 20 % loss, 16 Mbit/s",
        figure: "wire bytes",
        ours: "campanile fec=128",
        peers: &[("norm, blocks of 128", "NORM's")],
    },
    Headline {
        what: "A gigabyte from file to file on two machines, nothing lost: goodput",
        comparison: "A gigabyte, as fast as it goes",
        scene: "1000 MB to 2 receivers, no loss, no fixed rate",
        figure: "goodput, Mbit/s",
        ours: "campanile",
        peers: &[("udpcast", "udpcast's"), ("uftp", "UFTP's"), ("norm, blocks of 64", "NORM's")],
    },
    Headline {
        what: "A live feed to two machines, nothing lost: messages a second",
        comparison: "A live feed",
        scene: "As fast as it goes, 0 % loss, each packet by itself",
        figure: "messages a second",
        ours: "campanile",
        peers: &[("aeron", "Aeron's")],
    },
    Headline {
        what: "A live feed to two machines, nothing lost: messages a second",
        comparison: "A live feed",
        scene: "As fast as it goes, 0 % loss, links merge what arrives",
        figure: "messages a second",
        ours: "campanile",
        peers: &[("aeron", "Aeron's where links merge packets")],
    },
    Headline {
        what: "A live feed to two machines, 10 % lost: messages a second",
        comparison: "A live feed",
        scene: "As fast as it goes, 10 % loss, each packet by itself",
        figure: "messages a second",
        ours: "campanile",
        peers: &[("aeron", "Aeron's")],
    },
    Headline {
        what: "A live feed to two machines, 10 % lost: messages a second",
        comparison: "A live feed",
        scene: "As fast as it goes, 10 % loss, links merge what arrives",
        figure: "messages a second",
        ours: "campanile",
        peers: &[("aeron", "Aeron's where links merge packets")],
    },
    Headline {
        what: "Messages of 100 bytes, nothing lost: messages a second",
        comparison: "Messages beside ZeroMQ",
        scene: "Messages of 100 bytes, links that cut trains",
        figure: "messages a second",
        ours: "campanile",
        peers: &[("zmq", "ZeroMQ's (epgm)")],
    },
    Headline {
        what: "Messages of 100 bytes, nothing lost: messages a second",
        comparison: "Messages beside ZeroMQ",
        scene: "Messages of 100 bytes, links that take trains whole",
        figure: "messages a second",
        ours: "campanile",
        peers: &[("zmq", "ZeroMQ's where links take trains whole")],
    },
    Headline {
        what: "Echo of trains of 64 packets: packets a second",
        comparison: "Echo servers",
        scene: "Targets",
        figure: "Echo of trains, 64 datagrams of 64 B: packets a second",
        ours: "campanile-epoll",
        peers: &[("mirror", "a raw mirror's"), ("sockperf", "sockperf's")],
    },
    Headline {
        what: "Echo of single packets: packets a second",
        comparison: "Echo servers",
        scene: "Targets",
        figure: "Echo of single datagrams of 64 B: packets a second",
        ours: "campanile-epoll",
        peers: &[
            ("sockperf", "sockperf's"),
            ("tokio", "an echo's in tokio"),
            ("compio", "an echo's in compio"),
        ],
    },
    Headline {
        what: "Load at a fixed pace: packets a second",
        comparison: "The load client",
        scene: "",
        figure: "packets a second",
        ours: "campanile load --rate",
        peers: &[("iperf -u", "iperf's"), ("sockperf throughput", "sockperf's")],
    },
    Headline {
        what: "Parity of groups of 64 packets, on one core",
        comparison: "The erasure code",
        scene: "",
        figure: "encode",
        ours: "",
        peers: &[
            ("raptorq", "raptorq's"),
            ("the fastest of the three", "that of the fastest of three crates"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# Page\n\n| comparison | beside |\n|---|---|\n\n## First, of two\n\n### Scene\n\n\
| what | program | beside | target | median | result |\n|---|---|---|---|---|---|\n\
| w | a | x | ≥ 2 | 12.7 | met |\n| w | a | y | ≥ 2 | 1.0 | **not met** |\n\n\
| program | what | median |\n|---|---|---|\n| a | w | 5 |\n\n\
| what | value |\n|---|---|\n| date | 2026-11-22 15:36 UTC |\n\n## Words alone\n\n## Second\n\n| what | value |\n|---|---|\n\
| date | 2026-11-23 15:36 UTC |\n";

    #[test]
    fn a_comparison_has_a_line() {
        assert_eq!(
            comparisons(PAGE).lines().skip(2).collect::<Vec<_>>(),
            [
                "| [First, of two](#first-of-two) | x; y | 1 of 2 | 2026-11-22 |",
                "| [Second](#second) | - | none set | 2026-11-23 |",
            ]
        );
    }

    #[test]
    fn ratios_are_found_by_titles_and_cells() {
        let page = parse(PAGE);
        assert_eq!(page[0].targets.iter().map(Target::is_met).collect::<Vec<_>>(), [true, false]);
        let headline = Headline {
            what: "",
            comparison: "First, of two",
            scene: "Scene",
            figure: "w",
            ours: "a",
            peers: &[("y", "y's"), ("x", "x's")],
        };
        assert_eq!(headline.ratios(&page).unwrap_or_default(), ["1.00 times y's", "13 times x's"]);
        assert!(Headline { scene: "other", ..headline }.ratios(&page).is_none());
    }
}
