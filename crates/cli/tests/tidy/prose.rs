//! Markdown, as far as the rules read it.

use super::source::numbered;

/// A line of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line of text, headings and tables included.
    Text(&'a str),
    /// A line of a fenced block, with the block's tag.
    Fenced(&'a str, &'a str),
}

/// The lines of a page, numbered; the fences themselves are left out.
pub(crate) fn lines(page: &str) -> impl Iterator<Item = (usize, Line<'_>)> {
    let mut fence: Option<&str> = None;
    numbered(page).filter_map(move |(number, line)| {
        match (line.trim_start().strip_prefix("```"), fence) {
            (Some(_), Some(_)) => fence = None,
            (Some(tag), None) => fence = Some(tag.trim()),
            (None, Some(tag)) => return Some((number, Line::Fenced(tag, line))),
            (None, None) => return Some((number, Line::Text(line))),
        }
        None
    })
}

/// The spans of code in a line of text.
pub(crate) fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A line of text without its spans of code.
pub(crate) fn without_spans(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

#[test]
fn fences_and_spans_are_told_from_text() {
    let page = "a `b c` d `e`\n```sh\nf\n```\ng";
    let lines: Vec<_> = lines(page).collect();
    assert_eq!(lines, [(1, Line::Text("a `b c` d `e`")), (3, Line::Fenced("sh", "f")), (5, Line::Text("g"))]);
    assert_eq!(spans("a `b c` d `e`").collect::<Vec<_>>(), ["b c", "e"]);
    assert_eq!(without_spans("a `b c` d `e`"), "a  d ");
}
