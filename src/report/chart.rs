//! Line charts as inline SVG: axes with units, ticks at round numbers, a legend. Colours come from the page's style.

use super::format::{escape, short, si, si_exact};
use super::ticks::Ticks;

/// Size of the drawing in its own units, near the pixels of a phone's width so that labels stay readable there.
pub(super) const WIDTH: f64 = 460.0;
pub(super) const HEIGHT: f64 = 270.0;
/// Left, top, right and bottom of the plot.
pub(super) const LEFT: f64 = 44.0;
pub(super) const TOP: f64 = 14.0;
pub(super) const RIGHT: f64 = WIDTH - 14.0;
pub(super) const BOTTOM: f64 = HEIGHT - 40.0;
/// The part of the x axis whose points may lie above the top.
const BEGINNING: f64 = 0.04;
/// More points than this are averaged.
const MAX_POINTS: usize = 240;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A thin, pale line: noisy measurements.
    Pale,
    /// A plain line.
    Line,
    /// A line with a dot at every point.
    Dots,
}

/// Points of one quantity.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub name: String,
    pub style: Style,
    /// Which of the page's colours.
    pub color: usize,
    /// (x, y), x rising, all finite.
    pub points: Vec<(f64, f64)>,
}

/// A horizontal line to compare with.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub name: String,
    pub y: f64,
}

/// A place on the x axis.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub x: f64,
    pub name: String,
}

/// A line chart.
#[derive(Debug, Clone, Default)]
pub(super) struct Chart {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub series: Vec<Series>,
    pub references: Vec<Reference>,
    pub marks: Vec<Mark>,
}

impl Chart {
    /// A `<figure>`, or nothing where there are no points.
    pub fn html(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x_max = points().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
        if !x_max.is_finite() {
            return String::new();
        }
        // The steep beginning would squash all that follows, so the top is left to what comes after it.
        let later = points().filter(|point| point.0 >= BEGINNING * x_max).map(|point| point.1);
        let high = later.chain(self.references.iter().map(|reference| reference.y)).fold(f64::NEG_INFINITY, f64::max);
        let all = points().map(|point| point.1).chain(self.references.iter().map(|reference| reference.y));
        let low = all.fold(f64::INFINITY, f64::min);
        let x_ticks = Ticks::new(0.0, x_max);
        let y_ticks = Ticks::new(low, high);
        let frame = Frame { x1: x_max.max(f64::MIN_POSITIVE), y0: y_ticks.first(), y1: y_ticks.last() };

        let mut svg =
            format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escape(&self.title));
        svg += &self.axes(&frame, &x_ticks, &y_ticks);
        for reference in &self.references {
            svg += &format!("<path class=\"reference\" d=\"M{LEFT} {:.1}H{RIGHT}\"/>", frame.y(reference.y));
        }
        for mark in &self.marks {
            let (x, name) = (frame.x(mark.x), escape(&mark.name));
            svg += &format!("<path class=\"mark\" d=\"M{x:.1} {BOTTOM}l-4 8h8z\"><title>{name}</title></path>");
        }
        // A drawing inside the drawing clips what lies outside the plot; a margin keeps dots at its edges whole.
        let (x, y, width, height) = (LEFT - 4.0, TOP - 4.0, RIGHT - LEFT + 8.0, BOTTOM - TOP + 8.0);
        let place = format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
        let curves: String = self.series.iter().map(|series| draw(series, &frame)).collect();
        svg += &format!("<svg {place} viewBox=\"{x} {y} {width} {height}\">{curves}</svg>");
        svg += &self.notes(&frame);
        svg += "</svg>";

        let keys: String = self.series.iter().filter(|series| !series.points.is_empty()).map(legend).collect();
        format!(
            "<figure class=\"chart\"><figcaption><b>{}</b> <span class=\"muted\">{}</span><span class=\"legend\">{keys}</span></figcaption>{svg}</figure>",
            escape(&self.title),
            escape(&self.y_label),
        )
    }

    /// Grid, ticks with their numbers, and the x axis with its label.
    fn axes(&self, frame: &Frame, x_ticks: &Ticks, y_ticks: &Ticks) -> String {
        let mut svg = String::new();
        for tick in y_ticks.values() {
            let y = frame.y(tick);
            svg += &format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>");
            svg += &label("tick", LEFT - 6.0, y + 4.0, "end", &y_ticks.label(tick));
        }
        for tick in x_ticks.values().filter(|&tick| tick <= frame.x1) {
            let x = frame.x(tick);
            svg += &format!("<path class=\"axis\" d=\"M{x:.1} {BOTTOM}v4\"/>");
            svg += &label("tick", x, BOTTOM + 17.0, "middle", &si_exact(tick));
        }
        svg += &format!("<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>");
        svg + &label("tick", RIGHT, HEIGHT - 6.0, "end", &self.x_label)
    }

    /// The names of the references, on that side of their lines where the last curve doesn't end.
    fn notes(&self, frame: &Frame) -> String {
        let end = self.series.iter().filter_map(|series| series.points.last()).next_back().map(|point| point.1);
        let note = |reference: &Reference| {
            let offset = if end.is_some_and(|end| end > reference.y) { 14.0 } else { -5.0 };
            label("note", RIGHT - 2.0, frame.y(reference.y) + offset, "end", &reference.name)
        };
        self.references.iter().map(note).collect()
    }
}

pub(super) fn label(class: &str, x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(text))
}

/// One entry of the legend: the mark, the name, the last value.
fn legend(series: &Series) -> String {
    let class = if series.style == Style::Pale { "pale" } else { "line" };
    let last = series.points.last().map(|point| format!(" {}", short(point.1))).unwrap_or_default();
    format!(
        "<span class=\"key\"><i class=\"{class} c{}\"></i>{}<b>{last}</b></span>",
        series.color,
        escape(&series.name)
    )
}

fn draw(series: &Series, frame: &Frame) -> String {
    let points = thin(&series.points);
    let place = |&(x, y): &(f64, f64)| format!("{:.1} {:.1}", frame.x(x), frame.y(y));
    let path: Vec<String> = points.iter().map(place).collect();
    let class = if series.style == Style::Pale { "pale" } else { "line" };
    let mut svg = format!("<path class=\"{class} c{}\" d=\"M{}\"/>", series.color, path.join("L"));
    if series.style == Style::Dots {
        let radius = if points.len() > 40 { 1.5 } else { 3.0 };
        for &(x, y) in &points {
            svg.push_str(&format!(
                "<circle class=\"c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{}: {} at {}</title></circle>",
                series.color,
                frame.x(x),
                frame.y(y),
                escape(&series.name),
                short(y),
                si(x)
            ));
        }
    }
    if points.is_empty() { String::new() } else { svg }
}

/// At most [`MAX_POINTS`] points: means of neighbours where there are more, and the last as it is.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let mean = |chunk: &[(f64, f64)]| {
        let n = chunk.len() as f64;
        (chunk.iter().map(|point| point.0).sum::<f64>() / n, chunk.iter().map(|point| point.1).sum::<f64>() / n)
    };
    points.chunks(points.len().div_ceil(MAX_POINTS)).map(mean).collect()
}

/// From values to places in the drawing; x begins at 0.
struct Frame {
    x1: f64,
    y0: f64,
    y1: f64,
}

impl Frame {
    fn x(&self, x: f64) -> f64 {
        LEFT + x / self.x1 * (RIGHT - LEFT)
    }

    fn y(&self, y: f64) -> f64 {
        BOTTOM - (y - self.y0) / (self.y1 - self.y0) * (BOTTOM - TOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_points_are_averaged_and_few_are_not() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|x| (x as f64, 1.0 + (x % 2) as f64)).collect();
        let thinned = thin(&points);
        assert!(thinned.len() <= MAX_POINTS && thinned.len() > MAX_POINTS / 2);
        assert!(thinned.iter().all(|point| (point.1 - 1.5).abs() < 0.02));
        assert_eq!(thin(&points[..50]), &points[..50]);
    }
}
