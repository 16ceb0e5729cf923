//! What every byte of a file cost, for the eye: a picture beside its heat map, a sound above its track, a text in
//! colours.

use super::format::{bits, bytes as size, escape};
use super::page::shell;
use super::{heat, marked, track};
use crate::Result;
use crate::density::Scores;
use crate::modality::Layout;

/// A file that shows what the bytes of one item cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its content.
    pub content: Vec<u8>,
    /// What it is: `png` or `html`.
    pub extension: &'static str,
}

/// Shows the scores of `bytes`, which are laid out as `layout` says and come from the file `name`.
pub fn show_scores(layout: &Layout, name: &str, bytes: &[u8], scores: &Scores) -> Result<Shown> {
    let page = |body: String| {
        let html = page(name, scores, &body);
        Shown { content: html.into_bytes(), extension: "html" }
    };
    match layout {
        Layout::Image(layout) => Ok(Shown { content: heat::map(layout, bytes, &scores.bytes)?, extension: "png" }),
        Layout::Audio(_) => Ok(page(track::body(layout, bytes, &scores.bytes)?)),
        Layout::Text(_) | Layout::Bytes(_) => Ok(page(marked::body(bytes, scores))),
    }
}

fn page(name: &str, scores: &Scores, body: &str) -> String {
    let tile = |(value, label): (String, &str)| {
        format!(
            "<div class=\"tile\"><span class=\"big\">{value}</span><span class=\"small muted\">{label}</span></div>"
        )
    };
    let tiles = [
        (bits(scores.bits_per_byte(), None), "bits per byte"),
        (size(scores.bytes.len() as f64), "scored"),
        (size(scores.nats() / (8.0 * std::f64::consts::LN_2)), "an ideal code of these"),
    ];
    let tiles: String = tiles.into_iter().map(tile).collect();
    let header = format!("<h1>{}</h1>", escape(name));
    shell(&escape(name), &header, &format!("<div class=\"tiles facts\">{tiles}</div>{body}"))
}
