//! An evaluation in parts: by what the places of bytes mean, by source, by file.

use std::collections::BTreeMap;

use serde::Serialize;

use super::curves::{Curve, Curves};
use super::evaluate::evaluate_each;
use super::tally::{Sum, Tally, std_error, total};
use super::{EvalOptions, Evaluation, Journal, bits_per_byte};
use crate::Result;
use crate::data::Dataset;
use crate::model::Megabyte;
use crate::progress::Progress;

/// An evaluation and its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// The whole.
    pub evaluation: Evaluation,
    /// By what the places of bytes mean.
    pub curves: Vec<Curve>,
    /// By [`Dataset::source`], in the order of their names.
    pub sources: Vec<SourceCost>,
    /// By item, in the order of the data set.
    pub files: Vec<FileCost>,
}

/// The items of one source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceCost {
    /// Its name.
    pub source: String,
    /// How many items.
    pub files: u64,
    /// Stretches of a context, of which they consist.
    pub sequences: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Nats of these, and of ends.
    pub nats: f64,
    /// nats / (ln 2 · bytes)
    pub bits_per_byte: f64,
    /// Standard error of bits_per_byte over these stretches.
    pub std_error: f64,
}

/// One item: a file, a document in an archive, or that piece of a long one which is in the split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileCost {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Nats of these, and of its end.
    pub nats: f64,
    /// nats / (ln 2 · bytes)
    pub bits_per_byte: f64,
    /// Stretches of a context, of which it consists.
    pub sequences: u64,
}

/// As [`evaluate`](super::evaluate), in parts. With a journal, it goes on where an earlier call that was interrupted
/// left off.
pub fn examine(
    model: &Megabyte,
    dataset: &Dataset,
    options: EvalOptions,
    journal: Option<&mut Journal>,
    progress: &dyn Progress,
) -> Result<Examined> {
    let config = model.config();
    let mut curves = Curves::new(dataset.layout(), config.patch_size(), config.context);
    let mut each = |scored: &_| curves.add(scored);
    let (evaluation, tally) = evaluate_each(model, dataset, options, journal, progress, &mut each)?;
    Ok(Examined {
        evaluation,
        curves: curves.finish(),
        sources: by_source(dataset, &tally),
        files: files(dataset, &tally),
    })
}

fn by_source(dataset: &Dataset, tally: &Tally) -> Vec<SourceCost> {
    let mut sources: BTreeMap<&str, (u64, Vec<Sum>)> = BTreeMap::new();
    for document in 0..tally.documents() {
        let (files, sums) = sources.entry(dataset.source(document)).or_default();
        *files += 1;
        sums.extend_from_slice(tally.of(document));
    }
    let cost = |(source, (files, sums)): (&str, (u64, Vec<Sum>))| {
        let (bytes, nats) = total(&sums);
        SourceCost {
            source: source.to_owned(),
            files,
            sequences: sums.len() as u64,
            bytes,
            nats,
            bits_per_byte: bits_per_byte(nats, bytes),
            std_error: std_error(&sums),
        }
    };
    sources.into_iter().map(cost).collect()
}

fn files(dataset: &Dataset, tally: &Tally) -> Vec<FileCost> {
    let cost = |document| {
        let sums = tally.of(document);
        let (bytes, nats) = total(sums);
        let name = dataset.name(document).to_owned();
        FileCost { name, bytes, nats, bits_per_byte: bits_per_byte(nats, bytes), sequences: sums.len() as u64 }
    };
    (0..tally.documents()).map(cost).collect()
}
