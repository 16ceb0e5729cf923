//! What every byte of a file costs.

use super::scoring::{Document, Scored, Scorer};
use super::{Inference, Protocol, bits_per_byte};
use crate::Result;
use crate::data::Dataset;
use crate::model::Megabyte;
use crate::progress::Progress;

/// The scores of one item of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Nats of every byte, in stream order.
    pub bytes: Vec<f32>,
    /// Nats of its end, where that is scored.
    pub end: Option<f32>,
}

impl Scores {
    /// The sum of all, which is what an evaluation counts.
    pub fn nats(&self) -> f64 {
        self.bytes.iter().chain(&self.end).map(|&nats| f64::from(nats)).sum()
    }

    /// nats / (ln 2 · bytes)
    pub fn bits_per_byte(&self) -> f64 {
        bits_per_byte(self.nats(), self.bytes.len() as u64)
    }
}

/// Scores every item of a data set, `batch` windows at a time; `progress` is told bytes.
pub fn score(
    model: &Megabyte,
    dataset: &Dataset,
    inference: Inference,
    batch: usize,
    progress: &dyn Progress,
) -> Result<Vec<Scores>> {
    let config = model.config();
    let protocol = Protocol::new(inference, config)?;
    let documents: Vec<_> = (0..dataset.len()).map(|i| Document::new(dataset.item(i), config.vocab)).collect();
    let empty = |document: &Document<'_>| Scores { bytes: vec![0.0; document.bytes.len()], end: None };
    let mut scores: Vec<Scores> = documents.iter().map(empty).collect();
    let scorer = Scorer { model, protocol, batch, progress };
    scorer.score(&documents, None, &mut |Scored { document, place, is_byte, nats, .. }| {
        let scores = &mut scores[document];
        match is_byte {
            true => scores.bytes[place] = nats as f32,
            false => scores.end = Some(nats as f32),
        }
    })?;
    Ok(scores)
}
