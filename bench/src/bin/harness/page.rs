//! The page of results in the documentation.

use std::error::Error;
use std::fs;

use crate::chart::Chart;
use crate::programs::product;

/// Puts the text between the markers of `docs/benchmarks.md` that bear the name.
pub(crate) fn write(name: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let path = product().join("docs").join("benchmarks.md");
    let page = fs::read_to_string(&path).map_err(|error| format!("docs/benchmarks.md: {error}"))?;
    let page = replace(&page, name, text).ok_or(format!("docs/benchmarks.md has no markers for {name}"))?;
    fs::write(&path, page)?;
    eprintln!("docs/benchmarks.md is written");
    Ok(())
}

/// Writes a picture beside the page.
pub(crate) fn draw(name: &str, chart: &Chart<'_>) -> Result<(), Box<dyn Error>> {
    let path = product().join("docs").join(format!("{name}.svg"));
    fs::write(&path, chart.svg()).map_err(|error| format!("docs/{name}.svg: {error}"))?;
    eprintln!("docs/{name}.svg is drawn");
    Ok(())
}

/// The page with `text` in place of what is between the markers, if it has them.
fn replace(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- bench {name}: begin -->"), format!("<!-- bench {name}: end -->"));
    let (head, rest) = page.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}\n\n{}\n\n{end}{tail}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_only_what_is_between_the_markers() {
        let page = "head\n<!-- bench x: begin -->\nold\n<!-- bench x: end -->\ntail\n";
        let new = replace(page, "x", "new\n").expect("the page has markers");
        assert_eq!(new, "head\n<!-- bench x: begin -->\n\nnew\n\n<!-- bench x: end -->\ntail\n");
        assert_eq!(replace(&new, "x", "new").as_deref(), Some(new.as_str()));
        assert_eq!(replace(page, "y", "new"), None);
    }
}
