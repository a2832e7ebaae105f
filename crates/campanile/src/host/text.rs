//! Small files of the system, as text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The text of a file; `None` if there is none that can be read.
pub(crate) fn read(path: impl AsRef<Path>) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LEN_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// A file that holds one word or number.
pub(crate) fn word(path: impl AsRef<Path>) -> Option<String> {
    read(path).map(|text| text.trim().to_owned()).filter(|word| !word.is_empty())
}

/// What follows `key` and a colon on the first line that begins with it.
pub(crate) fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':').map(str::trim))
}

/// No real file that is read here is nearly so long.
const LEN_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_tells_nothing() {
        assert_eq!((read("no/such/file"), word("no/such/file")), (None, None));
    }

    #[test]
    fn a_value_is_found_after_its_key() {
        let text = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: A fast one\n";
        assert_eq!(value(text, "model name"), Some("A fast one"));
        assert_eq!(value(text, "model"), Some("1"));
        assert_eq!(value(text, "speed"), None);
    }
}
