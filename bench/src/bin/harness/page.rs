//! The page of results in the documentation, and its headlines in the README.

use std::error::Error;
use std::fs;

use crate::chart::Chart;
use crate::overview;
use crate::programs::product;

/// Writes the text between the markers of this name in `docs/benchmarks.md`, and updates the summaries of the page.
pub(crate) fn write(name: &str, text: &str) -> Result<(), Box<dyn Error>> {
    Pages::read()?.with(name, text)?.write()
}

/// Updates the summaries of the page.
pub(crate) fn write_overview() -> Result<(), Box<dyn Error>> {
    Pages::read()?.with_overview()?.write()
}

/// The pages with results, as they are in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pages {
    benchmarks: String,
    readme: String,
}

impl Pages {
    fn read() -> Result<Self, Box<dyn Error>> {
        let read =
            |name: &str| fs::read_to_string(product().join(name)).map_err(|error| format!("{name}: {error}"));
        Ok(Self { benchmarks: read(BENCHMARKS)?, readme: read(README)? })
    }

    /// The pages with a new text for one comparison.
    fn with(self, name: &str, text: &str) -> Result<Self, Box<dyn Error>> {
        let benchmarks = replace(&self.benchmarks, name, text)
            .ok_or_else(|| format!("{BENCHMARKS} has no markers for {name}"))?;
        Self { benchmarks, ..self }.with_overview()
    }

    fn with_overview(self) -> Result<Self, Box<dyn Error>> {
        let readme = replace(&self.readme, "headlines", &overview::headlines(&self.benchmarks)?)
            .ok_or_else(|| format!("{README} has no markers for headlines"))?;
        let benchmarks = replace(&self.benchmarks, "overview", &overview::comparisons(&self.benchmarks))
            .ok_or_else(|| format!("{BENCHMARKS} has no markers for overview"))?;
        Ok(Self { benchmarks, readme })
    }

    fn write(&self) -> Result<(), Box<dyn Error>> {
        for (name, text) in [(BENCHMARKS, &self.benchmarks), (README, &self.readme)] {
            fs::write(product().join(name), text).map_err(|error| format!("{name}: {error}"))?;
            eprintln!("{name} is written");
        }
        Ok(())
    }
}

const BENCHMARKS: &str = "docs/benchmarks.md";
const README: &str = "README.md";

/// Writes a chart next to the page.
pub(crate) fn draw(name: &str, chart: &Chart<'_>) -> Result<(), Box<dyn Error>> {
    let path = product().join("docs").join(format!("{name}.svg"));
    fs::write(&path, chart.svg()).map_err(|error| format!("docs/{name}.svg: {error}"))?;
    eprintln!("docs/{name}.svg is drawn");
    Ok(())
}

/// The page with the text between its markers replaced, if it has them.
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

    #[test]
    fn the_summaries_match_the_results() {
        let pages = Pages::read().expect("the repository has them");
        let anew = pages.clone().with_overview().expect("they have markers");
        assert!(anew == pages, "to be written by `cargo run --manifest-path bench/Cargo.toml -- overview`");
    }
}
