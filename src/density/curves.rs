//! Where the bits go: bits per byte by what a byte's place means.

use serde::Serialize;

use super::bits_per_byte;
use super::scoring::Scored;
use crate::modality::{Facet, Layout};

/// At most this many groups of places in a patch; larger patches are grouped by ranges of places.
const MOST_PLACES: usize = 256;

/// Bits per byte of groups of bytes that together are all bytes that were scored. Ends of documents are in none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// What the bytes are grouped by: `place in patch`, `bytes before` (in its window, by powers of two), or a
    /// [`Facet`] of the layout.
    pub by: &'static str,
    /// The groups that have bytes, in their order.
    pub groups: Vec<Group>,
}

/// Some of the bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// What they have in common.
    pub label: String,
    /// How many they are.
    pub bytes: u64,
    /// nats / (ln 2 · bytes) of them.
    pub bits_per_byte: f64,
}

/// Adds up the curves of an evaluation.
#[derive(Debug)]
pub(super) struct Curves {
    patch: usize,
    context: usize,
    by_place: Sums,
    by_history: Sums,
    facets: Vec<(Facet, Sums)>,
}

impl Curves {
    pub(super) fn new(layout: &Layout, patch: usize, context: usize) -> Self {
        let facets = layout.facets().into_iter().map(|facet| {
            let sums = Sums::new(facet.labels.len());
            (facet, sums)
        });
        Curves {
            patch,
            context,
            by_place: Sums::new(patch.div_ceil(width(patch))),
            by_history: Sums::new(history(context - 1) + 1),
            facets: facets.collect(),
        }
    }

    pub(super) fn add(&mut self, scored: &Scored) {
        if !scored.is_byte {
            return;
        }
        self.by_place.add(scored.seen % self.patch / width(self.patch), scored.nats);
        self.by_history.add(history(scored.seen), scored.nats);
        for (facet, sums) in &mut self.facets {
            sums.add(facet.label(scored.place), scored.nats);
        }
    }

    pub(super) fn finish(&self) -> Vec<Curve> {
        let width = width(self.patch);
        let place = |group: usize| range(group * width, ((group + 1) * width).min(self.patch) - 1);
        let history = |group: usize| match group {
            0 => "0".to_owned(),
            _ => range(1 << (group - 1), ((1 << group) - 1).min(self.context - 1)),
        };
        let mut curves = vec![self.by_place.curve("place in patch", place)];
        curves.push(self.by_history.curve("bytes before", history));
        for (facet, sums) in &self.facets {
            curves.push(sums.curve(facet.name, |group| facet.labels[group].clone()));
        }
        curves
    }
}

/// Places of a patch in one group.
fn width(patch: usize) -> usize {
    patch.div_ceil(MOST_PLACES)
}

/// 0 for 0, 1 for 1, 2 for 2 and 3, 3 for 4 to 7, …
fn history(seen: usize) -> usize {
    seen.checked_ilog2().map_or(0, |log| log as usize + 1)
}

fn range(first: usize, last: usize) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// Bytes and nats of numbered groups.
#[derive(Debug)]
struct Sums(Vec<(u64, f64)>);

impl Sums {
    fn new(groups: usize) -> Self {
        Sums(vec![(0, 0.0); groups])
    }

    fn add(&mut self, group: usize, nats: f64) {
        let sum = &mut self.0[group];
        sum.0 += 1;
        sum.1 += nats;
    }

    fn curve(&self, by: &'static str, label: impl Fn(usize) -> String) -> Curve {
        let groups = self.0.iter().enumerate().filter(|(_, sum)| sum.0 > 0);
        let groups = groups.map(|(group, &(bytes, nats))| Group {
            label: label(group),
            bytes,
            bits_per_byte: bits_per_byte(nats, bytes),
        });
        Curve { by, groups: groups.collect() }
    }
}
