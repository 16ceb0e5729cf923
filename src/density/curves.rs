//! Where the bits go: bits per byte by what a byte's place means.

use serde::Serialize;

use super::scoring::Scored;

/// At most this many groups of places in a patch; larger patches are grouped by ranges of places.
const MOST_PLACES: usize = 256;

/// Bits per byte of groups of bytes that together are all bytes that were scored. Ends of documents are in none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// What the bytes are grouped by.
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
    places: Sums,
}

impl Curves {
    pub(super) fn new(patch: usize) -> Self {
        Curves { patch, places: Sums::new(patch.div_ceil(width(patch))) }
    }

    pub(super) fn add(&mut self, scored: &Scored) {
        if scored.is_byte {
            self.places.add(scored.seen % self.patch / width(self.patch), scored.nats);
        }
    }

    pub(super) fn finish(&self) -> Vec<Curve> {
        let width = width(self.patch);
        let label = |group: usize| match width {
            1 => group.to_string(),
            _ => format!("{}-{}", group * width, ((group + 1) * width).min(self.patch) - 1),
        };
        vec![self.places.curve("place in patch", label)]
    }
}

/// Places of a patch in one group.
fn width(patch: usize) -> usize {
    patch.div_ceil(MOST_PLACES)
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
            bits_per_byte: nats / (std::f64::consts::LN_2 * bytes as f64),
        });
        Curve { by, groups: groups.collect() }
    }
}
