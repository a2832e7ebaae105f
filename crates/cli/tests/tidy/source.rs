//! Rust source without what is not code, and the words in it.

/// The source with comments and the contents of literals turned into spaces; lines stay where they were.
pub(crate) fn code(text: &str) -> String {
    let mut scanner = Scanner { rest: text, out: String::with_capacity(text.len()) };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    scanner.out
}

/// The words of a line of code, each with what follows it.
pub(crate) fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = &rest[rest.find(is_word)?..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        Some((word, after))
    })
}

/// Whether a line of code has this word.
pub(crate) fn has_word(line: &str, wanted: &str) -> bool {
    words(line).any(|(word, _)| word == wanted)
}

/// The lines of a text, numbered from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

struct Scanner<'a> {
    rest: &'a str,
    out: String,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        let after_word = self.out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if rest.starts_with("//") {
            self.blank(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.blank(block_comment(rest));
        } else if let Some(len) = raw_string(rest).filter(|_| !after_word) {
            self.blank(len);
        } else if rest.starts_with('"') {
            self.blank(quoted(rest, '"'));
        } else if let Some(len) = character(rest) {
            self.blank(len);
        } else {
            self.keep();
        }
    }

    fn keep(&mut self) {
        let c = self.rest.chars().next().expect("a step is only taken while something is left");
        self.out.push(c);
        self.rest = &self.rest[c.len_utf8()..];
    }

    fn blank(&mut self, len: usize) {
        let (gone, rest) = self.rest.split_at(len);
        self.out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

/// The length of the block comment that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the raw string that `text` begins with: `r"…"`, `r#"…"#`, with `b` or `c` before the `r`.
fn raw_string(text: &str) -> Option<usize> {
    let opened = text.strip_prefix(['b', 'c']).unwrap_or(text).strip_prefix('r')?;
    let hashes = opened.len() - opened.trim_start_matches('#').len();
    let body = opened[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let before = text.len() - body.len();
    Some(body.find(&close).map_or(text.len(), |end| before + end + close.len()))
}

/// The length of the literal between `quote`s that `text` begins with.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of the character literal that `text` begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let mut inside = text.strip_prefix('\'')?.chars();
    match (inside.next()?, inside.next()?) {
        ('\\', _) | (_, '\'') => Some(quoted(text, '\'')),
        _ => None,
    }
}

#[test]
fn comments_and_literals_are_blanked() {
    let kept = |text: &str| code(text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(kept("a // unsafe\nb"), "a b");
    assert_eq!(kept("a /* x /* unsafe */ y */ b"), "a b");
    assert_eq!(kept(r#"a "unsafe \" unsafe" b"#), "a b");
    assert_eq!(kept("a r#\"unsafe \" unsafe\"# b"), "a b");
    assert_eq!(kept("a br\"unsafe\\\" b"), "a b");
    assert_eq!(kept("bar\"x\" b"), "bar b");
    assert_eq!(kept("f::<'a>('\\'', '\"', \"unsafe\")"), "f::<'a>( , , )");
}

#[test]
fn code_after_literals_is_kept_on_its_line() {
    let text = "let s = \"\n\n\"; unsafe {}";
    let code = code(text);
    let lines: Vec<_> = numbered(&code).filter(|(_, line)| has_word(line, "unsafe")).collect();
    assert_eq!(lines, [(3, " ; unsafe {}")]);
    assert!(!has_word("forbid(unsafe_code)", "unsafe"));
}
