//! Charts as SVG: medians with their ranges at points of the x axis, with a background of their own, so that they suit any page.

use std::fmt::Write;

use crate::statistics::Spread;

/// Lines over the same points of the x axis.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    /// The labels of the points, from left to right.
    pub(crate) places: &'a [String],
    pub(crate) y_label: &'a str,
    pub(crate) scale: Scale,
    pub(crate) lines: Vec<Line<'a>>,
}

/// A contestant, with its values at each point.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) values: Vec<Option<Spread>>,
}

/// The scale of the y axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Linear, from zero on.
    Linear,
    /// Logarithmic.
    Log,
}

impl Chart<'_> {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let axis = Axis::over(self.scale, self.lines.iter().flat_map(|line| line.values.iter().flatten()));
        let mut text = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13" fill="#222">
<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#fff" stroke="#888"/>
"##
        );
        let middle = (LEFT + RIGHT) / 2.0;
        label(&mut text, (middle, 24.0), r#"font-size="15" font-weight="bold""#, self.title);
        label(&mut text, (middle, HEIGHT - 12.0), "", self.x_label);
        let turned = format!(r#"transform="rotate(-90 18 {})""#, (TOP + BOTTOM) / 2.0);
        label(&mut text, (18.0, (TOP + BOTTOM) / 2.0), &turned, self.y_label);
        for tick in axis.ticks() {
            let y = axis.y(tick);
            let _ = writeln!(text, r##"<path d="M{LEFT} {y:.1}H{RIGHT}" stroke="#ddd"/>"##);
            let _ = writeln!(
                text,
                r#"<text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                y + 4.0,
                short(tick)
            );
        }
        for (at, place) in self.places.iter().enumerate() {
            label(&mut text, (self.x(at), BOTTOM + 20.0), "", place);
        }
        for (number, line) in self.lines.iter().enumerate() {
            self.draw(&mut text, &axis, number, line);
        }
        text + "</svg>\n"
    }

    /// Draws a line: its range at each point, its medians, and its name above.
    fn draw(&self, text: &mut String, axis: &Axis, number: usize, line: &Line<'_>) {
        let colour = COLOURS[number % COLOURS.len()];
        let (mut path, mut marks) = (String::new(), String::new());
        // Side by side, so that equal values can be told apart.
        let aside = (number as f64 - (self.lines.len() as f64 - 1.0) / 2.0) * 4.0;
        for (at, spread) in line.values.iter().enumerate().filter_map(|(at, spread)| Some((at, (*spread)?))) {
            let (x, y) = (self.x(at) + aside, axis.y(spread.median));
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
            let _ = write!(
                marks,
                r#"<path d="M{x:.1} {:.1}V{:.1}" stroke="{colour}"/>"#,
                axis.y(spread.max),
                axis.y(spread.min)
            );
            let _ = writeln!(marks, "{}", mark(number, (x, y), colour));
        }
        let _ = writeln!(text, r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#);
        text.push_str(&marks);
        let (x, y) = (LEFT + (number % 2) as f64 * 300.0 + 12.0, 44.0 + (number / 2) as f64 * 18.0);
        let _ = writeln!(
            text,
            r#"{}<text x="{}" y="{}">{}</text>"#,
            mark(number, (x, y), colour),
            x + 10.0,
            y + 4.0,
            escaped(line.name)
        );
    }

    fn x(&self, at: usize) -> f64 {
        LEFT + (RIGHT - LEFT) * (at as f64 + 0.5) / self.places.len() as f64
    }
}

/// The y axis: from the least to the greatest of all values, both rounded outwards.
struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Axis {
    fn over<'s>(scale: Scale, spreads: impl Iterator<Item = &'s Spread>) -> Self {
        let (least, most) = spreads.fold((f64::INFINITY, f64::MIN_POSITIVE), |(least, most), spread| {
            (least.min(spread.min), most.max(spread.max))
        });
        match scale {
            Scale::Linear => Self { scale, from: 0.0, to: most * 1.05 },
            Scale::Log => {
                let least = least.min(most).max(most / 1e9);
                Self { scale, from: round_below(least), to: round_below(most * 0.999) * 2.5 }
            }
        }
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
        };
        BOTTOM - share * (BOTTOM - TOP)
    }

    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        match self.scale {
            Scale::Linear => {
                let step = round_below(self.to / 4.0);
                ticks.extend((0..).map(|count| f64::from(count) * step).take_while(|tick| *tick <= self.to));
            }
            Scale::Log => {
                let mut decade = 10_f64.powf(self.from.log10().floor());
                while decade <= self.to {
                    ticks.extend([1.0, 2.0, 5.0].map(|digit| digit * decade));
                    decade *= 10.0;
                }
                ticks.retain(|tick| (self.from * 0.999..=self.to).contains(tick));
            }
        }
        ticks
    }
}

/// The greatest of 1, 2 and 5 times a power of ten that is not above a value.
fn round_below(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    let digit = [5.0, 2.0].into_iter().find(|digit| digit * decade <= value).unwrap_or(1.0);
    digit * decade
}

/// Each line has a mark as well as a colour.
fn mark(number: usize, (x, y): (f64, f64), colour: &str) -> String {
    match number % 4 {
        0 => format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" fill="{colour}"/>"#),
        1 => format!(r#"<rect x="{:.1}" y="{:.1}" width="8" height="8" fill="{colour}"/>"#, x - 4.0, y - 4.0),
        2 => format!(r#"<path d="M{x:.1} {:.1}l5 9h-10z" fill="{colour}"/>"#, y - 5.0),
        _ => format!(r#"<path d="M{x:.1} {:.1}l5 5l-5 5l-5 -5z" fill="{colour}"/>"#, y - 5.0),
    }
}

fn label(text: &mut String, (x, y): (f64, f64), attributes: &str, words: &str) {
    let _ = writeln!(
        text,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle" {attributes}>{}</text>"#,
        escaped(words)
    );
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;")
}

/// A short label for a value of an axis.
fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{} m", value / 1e6),
        1e4.. => format!("{} k", value / 1e3),
        _ => format!("{}", (value * 1e6).round() / 1e6),
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 98.0;
const BOTTOM: f64 = 360.0;

/// Colours that people who cannot tell red from green can still tell apart.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#a34f86", "#8a6d00", "#555555"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_values() {
        assert_eq!([0.3, 1.0, 4.9, 70.0].map(round_below), [0.2, 1.0, 2.0, 50.0]);
        assert_eq!([0.5, 2000.0, 20_000.0, 2e6].map(short), ["0.5", "2000", "20 k", "2 m"]);
    }

    #[test]
    fn greater_values_are_drawn_higher_and_all_inside_the_chart() {
        for scale in [Scale::Linear, Scale::Log] {
            let spreads = [3.0, 40.0, 7000.0].map(|value| Spread::of([value]).expect("there is one"));
            let axis = Axis::over(scale, spreads.iter());
            let [low, middle, high] = spreads.map(|spread| axis.y(spread.median));
            assert!(BOTTOM >= low && low > middle && middle > high && high >= TOP, "{scale:?}");
            let ticks = axis.ticks();
            assert!(
                ticks.len() >= 4 && ticks.iter().all(|tick| (TOP..=BOTTOM + 0.1).contains(&axis.y(*tick)))
            );
        }
    }

    #[test]
    fn names_are_text() {
        let chart = Chart {
            title: "a < b & c",
            x_label: "x",
            places: &["1 %".to_owned()],
            y_label: "y",
            scale: Scale::Log,
            lines: vec![
                Line { name: "one", values: vec![Spread::of([1.0, 2.0])] },
                Line { name: "none", values: vec![None] },
            ],
        };
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("1 %") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
