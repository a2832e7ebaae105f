//! The chains in a listing of rules.

use std::collections::BTreeMap;

/// Chains by table and name.
pub(super) type Chains<'t> = BTreeMap<(&'t str, &'t str), Chain<'t>>;

/// A chain of rules.
#[derive(Debug)]
pub(super) struct Chain<'t> {
    /// Family and name.
    pub(super) table: &'t str,
    pub(super) name: &'t str,
    /// Where the system calls it; `None` for a chain that only other chains call.
    pub(super) hook: Option<&'t str>,
    /// The devices whose packets it applies to; empty for all.
    pub(super) devices: Vec<&'t str>,
    pub(super) drops_by_default: bool,
    pub(super) lines: Vec<Line<'t>>,
}

/// A rule, or one entry of the map that it looks its verdict up in.
#[derive(Debug)]
pub(super) struct Line<'t> {
    /// The whole rule.
    pub(super) text: &'t str,
    pub(super) words: Vec<&'t str>,
}

impl<'t> Chain<'t> {
    /// The chains of a listing. Named sets and maps are ignored.
    pub(super) fn read_all(listing: &'t str) -> Chains<'t> {
        let mut chains = BTreeMap::new();
        let (mut table, mut open) = ("", None::<Self>);
        for line in listing.lines().map(str::trim) {
            if let Some(name) = block(line, "table") {
                table = name;
            } else if let Some(name) = block(line, "chain") {
                open = Some(Self {
                    table,
                    name,
                    hook: None,
                    devices: Vec::new(),
                    drops_by_default: false,
                    lines: Vec::new(),
                });
            } else if let Some(mut chain) = open.take() {
                if line == "}" {
                    chains.insert((chain.table, chain.name), chain);
                    continue;
                }
                chain.add(line);
                open = Some(chain);
            }
        }
        chains
    }

    /// The family of its table.
    pub(super) fn family(&self) -> &'t str {
        self.table.split(' ').next().unwrap_or_default()
    }

    fn add(&mut self, line: &'t str) {
        if !line.starts_with("type ") {
            self.lines.extend(Line::read(line));
            return;
        }
        let (devices, rest) = line.split_once(" priority ").unwrap_or((line, ""));
        let mut words = devices.split_whitespace().skip_while(|&word| word != "hook").skip(1);
        self.hook = words.next();
        let names = words.map(|word| word.trim_matches([',', '"']));
        self.devices = names.filter(|name| !["device", "devices", "=", "{", "}"].contains(name)).collect();
        self.drops_by_default = rest.contains("policy drop");
    }
}

impl<'t> Line<'t> {
    /// The words of a rule; a rule with a verdict map is read as one rule for each entry.
    fn read(text: &'t str) -> Vec<Self> {
        let words: Vec<&str> = text.split(" comment ").next().unwrap_or(text).split_whitespace().collect();
        let Some(at) = words.iter().position(|&word| word == "vmap") else {
            return vec![Self { text, words }];
        };
        let (before, entries) = (&words[..at], &words[at + 1..]);
        // A named map is defined elsewhere.
        let ["{", entries @ .., "}"] = entries else { return Vec::new() };
        let entries = entries.split_inclusive(|word| word.ends_with(','));
        entries.map(|entry| Self::of_entry(text, before, entry)).collect()
    }

    /// An entry of a map: a value, a colon, a verdict.
    fn of_entry(text: &'t str, before: &[&'t str], entry: &[&'t str]) -> Self {
        let entry = entry.iter().map(|word| word.trim_end_matches(',')).filter(|&word| word != ":");
        Self { text, words: before.iter().copied().chain(entry).collect() }
    }
}

/// The name of a block that a line opens.
fn block<'t>(line: &'t str, kind: &str) -> Option<&'t str> {
    // A handle or a comment may follow.
    let (name, _) = line.strip_prefix(kind)?.strip_prefix(' ')?.split_once('{')?;
    Some(name.trim())
}
