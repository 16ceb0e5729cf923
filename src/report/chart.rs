//! Line charts as inline SVG: axes with units, ticks at round numbers, a legend. Colours come from the page's style.

use super::format::{escape, si};

/// Size of the drawing in its own units, near the pixels of a phone's width so that labels stay readable there.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
/// Left, top, right and bottom of the plot.
const LEFT: f64 = 44.0;
const TOP: f64 = 14.0;
const RIGHT: f64 = WIDTH - 14.0;
const BOTTOM: f64 = HEIGHT - 40.0;
/// The part of the x axis whose points may lie above the top.
const BEGINNING: f64 = 0.04;
/// More points than this are averaged.
const MAX_POINTS: usize = 240;

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A thin, pale line: noisy measurements.
    Pale,
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

/// A line chart.
#[derive(Debug, Clone, Default)]
pub(super) struct Chart {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub series: Vec<Series>,
    pub references: Vec<Reference>,
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
        for tick in y_ticks.values() {
            let y = frame.y(tick);
            svg.push_str(&format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>"));
            svg.push_str(&format!(
                "<text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                y_ticks.label(tick)
            ));
        }
        for tick in x_ticks.values().filter(|&tick| tick <= x_max) {
            let x = frame.x(tick);
            svg.push_str(&format!("<path class=\"axis\" d=\"M{x:.1} {BOTTOM}v4\"/>"));
            svg.push_str(&format!(
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 17.0,
                si(tick)
            ));
        }
        svg.push_str(&format!("<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>"));
        svg.push_str(&format!(
            "<text class=\"label\" x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            HEIGHT - 6.0,
            escape(&self.x_label)
        ));
        for reference in &self.references {
            let y = frame.y(reference.y);
            svg.push_str(&format!("<path class=\"reference\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>"));
            svg.push_str(&format!(
                "<text class=\"note\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                RIGHT - 2.0,
                y - 4.0,
                escape(&reference.name)
            ));
        }
        // A drawing inside the drawing clips what lies outside the plot; a margin keeps dots at its edges whole.
        let (x, y, width, height) = (LEFT - 4.0, TOP - 4.0, RIGHT - LEFT + 8.0, BOTTOM - TOP + 8.0);
        svg.push_str(&format!(
            "<svg x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" viewBox=\"{x} {y} {width} {height}\">"
        ));
        for series in &self.series {
            svg.push_str(&draw(series, &frame));
        }
        svg.push_str("</svg></svg>");

        let keys: String = self.series.iter().filter(|series| !series.points.is_empty()).map(legend).collect();
        format!(
            "<figure class=\"chart\"><figcaption><b>{}</b> <span class=\"muted\">{}</span><span class=\"legend\">{keys}</span></figcaption>{svg}</figure>",
            escape(&self.title),
            escape(&self.y_label),
        )
    }
}

/// One entry of the legend: the mark, the name, the last value.
fn legend(series: &Series) -> String {
    let class = if series.style == Style::Pale { "pale" } else { "line" };
    let last = series.points.last().map(|point| format!(" {:.3}", point.1)).unwrap_or_default();
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
                "<circle class=\"c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{}: {y:.3} at {}</title></circle>",
                series.color,
                frame.x(x),
                frame.y(y),
                escape(&series.name),
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

/// Round numbers, 1, 2 or 5 times a power of ten apart, that enclose a range.
struct Ticks {
    step: f64,
    from: i64,
    to: i64,
}

impl Ticks {
    /// About five steps from `low` to `high`.
    fn new(low: f64, high: f64) -> Ticks {
        let range = if high > low { high - low } else { high.abs().max(1.0) };
        let power = 10f64.powf((range / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| range / step <= 6.0);
        let step = step.unwrap_or(10.0 * power);
        let from = (low / step + 1e-9).floor() as i64;
        let to = ((high / step - 1e-9).ceil() as i64).max(from + 1);
        Ticks { step, from, to }
    }

    fn first(&self) -> f64 {
        self.from as f64 * self.step
    }

    fn last(&self) -> f64 {
        self.to as f64 * self.step
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        (self.from..=self.to).map(|index| index as f64 * self.step)
    }

    fn label(&self, tick: f64) -> String {
        let digits = (-self.step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize;
        format!("{tick:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_range() {
        for (low, high, expected) in [
            (1.93, 8.01, vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
            (0.0, 30.0, vec![0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]),
        ] {
            assert_eq!(Ticks::new(low, high).values().collect::<Vec<_>>(), expected);
        }
        let flat = Ticks::new(3.0, 3.0);
        assert!(flat.first() <= 3.0 && flat.last() >= 3.0 && flat.last() > flat.first());
        assert_eq!(Ticks::new(2.1, 2.4).label(2.15), "2.15");
    }

    #[test]
    fn many_points_are_averaged_and_few_are_not() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|x| (x as f64, 1.0 + (x % 2) as f64)).collect();
        let thinned = thin(&points);
        assert!(thinned.len() <= MAX_POINTS && thinned.len() > MAX_POINTS / 2);
        assert!(thinned.iter().all(|point| (point.1 - 1.5).abs() < 0.02));
        assert_eq!(thin(&points[..50]), &points[..50]);
    }
}
