//! Values of named groups as inline SVG: bars from zero, or points on a line where the groups have an order.

use super::chart::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, label};
use super::format::{escape, whole};
use super::ticks::Ticks;
use crate::density::Curve;

/// Width of a letter of the axis, in the drawing's units.
const LETTER: f64 = 7.0;

/// Bits per byte of the groups of a curve, with that of all bytes as a reference: a `<figure>`, or nothing where there
/// are no groups. `ordered` groups are points on a line, whose axis need not begin at 0.
pub(super) fn curve(curve: &Curve, title: &str, x_label: &str, all: f64, ordered: bool) -> String {
    let values = || curve.groups.iter().map(|group| group.bits_per_byte).filter(|bits| bits.is_finite());
    if values().next().is_none() || !all.is_finite() {
        return String::new();
    }
    let high = values().fold(all, f64::max);
    let low = if ordered { values().fold(all, f64::min) } else { 0.0 };
    let ticks = Ticks::new(low, high);
    let (y0, y1) = (ticks.first(), ticks.last());
    let y = |value: f64| BOTTOM - (value - y0) / (y1 - y0) * (BOTTOM - TOP);
    let step = (RIGHT - LEFT) / curve.groups.len() as f64;
    let x = |group: usize| LEFT + (group as f64 + 0.5) * step;

    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escape(title));
    for tick in ticks.values() {
        svg += &format!("<path class=\"grid\" d=\"M{LEFT} {:.1}H{RIGHT}\"/>", y(tick));
        svg += &label("tick", LEFT - 6.0, y(tick) + 4.0, "end", &ticks.label(tick));
    }
    svg += &format!("<path class=\"reference\" d=\"M{LEFT} {:.1}H{RIGHT}\"/>", y(all));
    // As many labels as there is room for.
    let longest = curve.groups.iter().map(|group| group.label.chars().count()).max().unwrap_or(0) as f64;
    let every = ((longest + 1.0) * LETTER / step).ceil().max(1.0) as usize;
    for (i, group) in curve.groups.iter().enumerate().filter(|(i, _)| i.is_multiple_of(every)) {
        let half = group.label.chars().count() as f64 * LETTER / 2.0;
        svg += &label("tick", x(i).min(WIDTH - half), BOTTOM + 17.0, "middle", &group.label);
    }
    svg += &format!("<path class=\"axis\" d=\"M{LEFT} {BOTTOM}H{RIGHT}\"/>");
    svg += &label("tick", RIGHT, HEIGHT - 6.0, "end", x_label);
    if ordered && curve.groups.len() > 1 {
        let points = curve.groups.iter().enumerate();
        let points: Vec<String> =
            points.map(|(i, group)| format!("{:.1} {:.1}", x(i), y(group.bits_per_byte))).collect();
        svg += &format!("<path class=\"line c0\" d=\"M{}\"/>", points.join("L"));
    }
    for (i, group) in curve.groups.iter().enumerate() {
        let hover = format!(
            "<title>{}: {:.3} bits per byte, {} bytes</title>",
            escape(&group.label),
            group.bits_per_byte,
            whole(group.bytes)
        );
        let (x, y) = (x(i), y(group.bits_per_byte));
        svg += &match ordered {
            true => {
                let radius = if curve.groups.len() > 40 { 1.5 } else { 3.0 };
                format!("<circle class=\"c0\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\">{hover}</circle>")
            }
            false => {
                let width = (step * 0.8).min(60.0);
                let (left, height) = (x - width / 2.0, BOTTOM - y);
                let place = format!("x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
                format!("<rect class=\"bar c0\" {place}>{hover}</rect>")
            }
        };
    }
    svg += &label("note", RIGHT - 2.0, y(all) - 5.0, "end", &format!("all bytes: {all:.3}"));
    format!(
        "<figure class=\"chart\"><figcaption><b>{}</b> <span class=\"muted\">bits per byte, lower is better</span></figcaption>{svg}</svg></figure>",
        escape(title)
    )
}
