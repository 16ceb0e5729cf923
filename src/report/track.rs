//! A sound, its waveform, and under it what its bytes cost.

use super::format::{data_uri, escape};
use super::media::{COLUMNS, LARGEST, samples, waveform};
use crate::modality::{Facet, Layout};
use crate::{Error, Result};

/// Height of the track in its own units.
const HEIGHT: f64 = 120.0;

/// A player, the waveform and the track. Each column of the track is the mean over its bytes.
pub(super) fn body(layout: &Layout, bytes: &[u8], nats: &[f32]) -> Result<String> {
    let wav = layout.adapter().decode(bytes)?;
    let samples = samples(&wav).map_err(|error| Error::Content(format!("can't be shown: {error}")))?;
    let player = match wav.len() <= LARGEST {
        true => format!("<audio controls=\"\" preload=\"metadata\" src=\"{}\"></audio>", data_uri("audio/wav", &wav)),
        false => String::new(),
    };
    let all = columns(nats, |_| true);
    // The bytes of a sample apart: one says much more than the other.
    let facet = layout.facets().into_iter().find(|facet| facet.name == "sample byte");
    let parts: Vec<(String, Vec<Option<f64>>)> = facet.iter().flat_map(|facet| of_labels(facet, nats)).collect();
    let every = || all.iter().chain(parts.iter().flat_map(|(_, values)| values)).flatten();
    let top = every().copied().fold(1.0, f64::max).ceil();

    let mut lines = format!("<path class=\"area c0\" d=\"{}\"/>", area(&all, top));
    let mut keys = "<span class=\"key\"><i class=\"pale c0\"></i>all bytes</span>".to_owned();
    for (i, (label, values)) in parts.iter().enumerate() {
        let color = i + 1;
        lines += &format!("<path class=\"line c{color}\" d=\"{}\"/>", line(values, top));
        keys += &format!(
            "<span class=\"key\"><i class=\"line c{color}\"></i>{} bytes of the samples</span>",
            escape(label)
        );
    }
    let seconds = layout.adapter().bytes_per_second().map_or(0.0, |rate| bytes.len() as f64 / rate);
    Ok(format!(
        "<section><h3>Waveform</h3>{}{player}<h3>What it costs</h3>\
         <p class=\"small muted\">bits per byte, from 0 at the bottom to {top:.0} at the top; {seconds:.2} s from left to right</p>\
         <svg class=\"track\" viewBox=\"0 0 {COLUMNS} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"bits per byte over time\">{}{lines}</svg><span class=\"legend\">{keys}</span></section>",
        waveform(&samples, samples.len()),
        grid(top),
    ))
}

fn of_labels(facet: &Facet, nats: &[f32]) -> Vec<(String, Vec<Option<f64>>)> {
    let labels = facet.labels.iter().enumerate();
    labels.map(|(i, label)| (label.clone(), columns(nats, |place| facet.label(place) == i))).collect()
}

/// Mean bits of the bytes of each column that are wanted.
fn columns(nats: &[f32], wanted: impl Fn(usize) -> bool) -> Vec<Option<f64>> {
    let columns = COLUMNS.min(nats.len());
    let mean = |column: usize| {
        let places = column * nats.len() / columns..(column + 1) * nats.len() / columns;
        let (mut sum, mut count) = (0.0, 0);
        for place in places.filter(|&place| wanted(place)) {
            sum += f64::from(nats[place]) / std::f64::consts::LN_2;
            count += 1;
        }
        (count > 0).then(|| sum / f64::from(count))
    };
    (0..columns).map(mean).collect()
}

/// Places of the values in the drawing, in the middle of their columns.
fn places(values: &[Option<f64>], top: f64) -> impl Iterator<Item = (f64, f64)> {
    let step = COLUMNS as f64 / values.len().max(1) as f64;
    let place = move |(i, value): (usize, &Option<f64>)| {
        value.filter(|value| value.is_finite()).map(|value| ((i as f64 + 0.5) * step, HEIGHT * (1.0 - value / top)))
    };
    values.iter().enumerate().filter_map(place)
}

fn line(values: &[Option<f64>], top: f64) -> String {
    let points: Vec<String> = places(values, top).map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    if points.is_empty() { String::new() } else { format!("M{}", points.join("L")) }
}

fn area(values: &[Option<f64>], top: f64) -> String {
    let ends = places(values, top).next().zip(places(values, top).last());
    ends.map_or(String::new(), |((first, _), (last, _))| {
        format!("{}L{last:.1} {HEIGHT}L{first:.1} {HEIGHT}z", line(values, top))
    })
}

/// A line every two bits.
fn grid(top: f64) -> String {
    let lines = (1..(top / 2.0).ceil() as usize).map(|i| HEIGHT * (1.0 - 2.0 * i as f64 / top));
    lines.map(|y| format!("<path class=\"grid\" d=\"M0 {y:.1}H{COLUMNS}\"/>")).collect()
}
