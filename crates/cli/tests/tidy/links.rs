//! Links between pages lead somewhere, and so do the paths that they name.

use std::collections::BTreeSet;

use super::prose::{Line, lines, spans, without_spans};
use super::tree::{Violation, files, hold, is_prose};

/// Folders whose files a page names from the root of the tree.
const ROOTED: [&str; 5] = [".ci/", "bench/", "crates/", "docs/", "fuzz/"];

/// What links may lead to.
struct Targets {
    /// Files, and all folders above them.
    paths: BTreeSet<String>,
    /// `path#heading` of every page.
    headings: BTreeSet<String>,
}

impl Targets {
    fn new<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut targets = Self { paths: BTreeSet::new(), headings: BTreeSet::new() };
        for (path, text) in files {
            let above = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
            targets.paths.extend(above.chain([path.to_owned()]));
            if is_prose(path) {
                targets.headings.extend(anchors(text).map(|anchor| format!("{path}#{anchor}")));
            }
        }
        targets
    }

    /// Whether a link on the page `from` leads somewhere inside the tree.
    fn has(&self, from: &str, link: &str) -> bool {
        let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let path = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) };
        path.is_some_and(|path| match anchor {
            Some(anchor) => self.headings.contains(&format!("{path}#{anchor}")),
            None => self.paths.contains(&path),
        })
    }

    fn lead_somewhere(&self, from: &str, page: &str) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (number, line) in lines(page) {
            let Line::Text(line) = line else { continue };
            for link in links(&without_spans(line)).filter(|link| !is_outside(link) && !self.has(from, link))
            {
                violations.push(Violation::new(from, number, format!("the link `{link}` leads nowhere")));
            }
            for path in
                spans(line).filter(|span| is_path(span) && !self.paths.contains(span.trim_end_matches('/')))
            {
                violations.push(Violation::new(from, number, format!("there is no `{path}`")));
            }
        }
        violations
    }
}

/// The targets of the links in a line: `[text](target)` and `[label]: target`.
fn links(line: &str) -> impl Iterator<Item = String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let label = line
        .trim_start()
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]:"))
        .map(|(_, link)| link.trim());
    let first_word = |link: &str| link.split(' ').next().unwrap_or(link).to_owned();
    inline.chain(label).map(first_word).collect::<Vec<_>>().into_iter()
}

fn is_outside(link: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme))
}

/// Whether a span of code is a path from the root of the tree: nothing but a path, and not a pattern.
fn is_path(span: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    ROOTED.iter().any(|folder| span.starts_with(folder)) && span.chars().all(plain)
}

/// The path from the root that `link` on the page `from` stands for.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => _ = parts.pop()?,
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a page's headings: small letters, hyphens for spaces, no other punctuation.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    lines(page).filter_map(|(_, line)| {
        let Line::Text(line) = line else { return None };
        let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        Some(kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect())
    })
}

#[test]
fn links_lead_somewhere() {
    let files = files();
    let targets = Targets::new(files.iter().map(|file| (file.path.as_str(), file.text.as_str())));
    hold(is_prose, |path, text| targets.lead_somewhere(path, text));
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = "# Read me: first\n[a](docs/a.md) [b](#read-me-first) [c](docs/) [d](https://x.y/z) `crates/e/src`\n\
                [a](docs/b.md)\n[a](docs/a.md#none)\n[a][1] and `[x](y)`\n\n[1]: ../a.md\n`docs/c.md` `docs/*.md`\n";
    let targets =
        Targets::new([("README.md", page), ("docs/a.md", "## A"), ("crates/e/src/f.rs", "")].into_iter());
    let found = targets.lead_somewhere("README.md", page);
    assert_eq!(found.iter().map(|found| found.line).collect::<Vec<_>>(), [3, 4, 7, 8]);
    assert_eq!(targets.lead_somewhere("docs/a.md", "[r](../README.md#read-me-first) [self](a.md#a)"), []);
}
