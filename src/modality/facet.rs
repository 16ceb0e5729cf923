//! What the place of a byte in its sequence means: the channel and the row of its pixel, which byte of a sample it is.

use super::image::scan;
use super::{AudioChannels, AudioFormat, AudioLayout, ImageLayout, Layout};

/// One thing that the places of bytes mean, for sequences that begin where a document does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facet {
    /// What it is: `channel`, `row`, `sample byte`, `side`.
    pub name: &'static str,
    /// What it can be.
    pub labels: Vec<String>,
    /// The label of each place; behind its end it begins again.
    table: Vec<u16>,
}

impl Facet {
    fn new(name: &'static str, labels: impl IntoIterator<Item = impl ToString>, table: Vec<u16>) -> Self {
        Facet { name, labels: labels.into_iter().map(|label| label.to_string()).collect(), table }
    }

    /// Which of the labels the byte at `place` has.
    pub fn label(&self, place: usize) -> usize {
        usize::from(self.table[place % self.table.len()])
    }
}

impl Layout {
    /// What the places of bytes mean. Nothing for text and plain bytes, and nothing that is the same everywhere.
    pub fn facets(&self) -> Vec<Facet> {
        match self {
            Layout::Text(_) | Layout::Bytes(_) => Vec::new(),
            Layout::Image(layout) => of_pictures(layout),
            Layout::Audio(layout) => of_sound(layout),
        }
    }
}

fn of_pictures(layout: &ImageLayout) -> Vec<Facet> {
    let channels = layout.channels.count();
    // A layout has at most 8192 rows.
    let table = |of: &dyn Fn(usize) -> usize| layout.raster_places().into_iter().map(|at| of(at) as u16).collect();
    let row = Facet::new("row", 0..layout.height, table(&|at| at / (layout.width * channels)));
    match channels {
        3 => vec![Facet::new("channel", ["red", "green", "blue"], table(&|at| at % 3)), row],
        _ => vec![row],
    }
}

fn of_sound(layout: &AudioLayout) -> Vec<Facet> {
    let bytes = match layout.format {
        AudioFormat::Pcm16le => Some(["low", "high"]),
        AudioFormat::Pcm16be => Some(["high", "low"]),
        AudioFormat::Pcm8 | AudioFormat::Mulaw8 => None,
    };
    let mut facets: Vec<Facet> = bytes.map(|bytes| Facet::new("sample byte", bytes, vec![0, 1])).into_iter().collect();
    if layout.channels == AudioChannels::Stereo {
        let table = (0..2).flat_map(|side| vec![side; layout.bytes_per_sample()]).collect();
        facets.push(Facet::new("side", ["left", "right"], table));
    }
    facets
}

impl ImageLayout {
    /// For each byte of the stream its place row by row, the channels of a pixel together: (row * width + column) *
    /// channels + channel.
    pub fn raster_places(&self) -> Vec<usize> {
        scan::places(self)
    }
}
