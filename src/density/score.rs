//! What every byte of a file costs.

use std::sync::atomic::{AtomicU64, Ordering};

use super::scoring::{Document, Scored, Scorer};
use super::{Inference, Protocol, bits_per_byte};
use crate::data::{Dataset, Files, Skipped};
use crate::model::Megabyte;
use crate::progress::Progress;
use crate::{Error, Result};

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
    let scorer = Scorer { model, dataset, protocol, batch, progress };
    scorer.score(&documents, None, &mut |Scored { document, place, is_byte, nats, .. }| {
        let scores = &mut scores[document];
        match is_byte {
            true => scores.bytes[place] = nats as f32,
            false => scores.end = Some(nats as f32),
        }
    })?;
    Ok(scores)
}

/// What takes a document's name, its bytes and their scores.
pub type OfDocument<'a, E> = dyn FnMut(&str, &[u8], Scores) -> Result<(), E> + 'a;

/// Scores files, a few at a time, and hands each document to `each` with its name and bytes. `progress` is told bytes on
/// the disk; what can't be used is noted, and listed in [`Files::skipped`].
pub fn score_files<E: From<Error>>(
    model: &Megabyte,
    files: &mut Files,
    inference: Inference,
    batch: usize,
    progress: &dyn Progress,
    each: &mut OfDocument<'_, E>,
) -> Result<(), E> {
    progress.start("score", files.bytes());
    let note = |skipped: &Skipped| progress.note(&format!("skipped {skipped}"));
    files.skipped.iter().for_each(note);
    let mut noted = files.skipped.len();
    while let Some((dataset, on_disk)) = files.read() {
        files.skipped[noted..].iter().for_each(note);
        noted = files.skipped.len();
        dataset.file_warnings().iter().for_each(|warning| progress.note(&format!("warning: {warning}")));
        let share = Share { progress, each: on_disk as f64 / dataset.bytes().max(1) as f64, done: AtomicU64::new(0) };
        for (i, scores) in score(model, &dataset, inference, batch, &share)?.into_iter().enumerate() {
            each(dataset.name(i), dataset.item(i).bytes, scores)?;
        }
        progress.advance(on_disk.saturating_sub(share.told()));
    }
    Ok(())
}

/// Progress in bytes on the disk, of work that counts the bytes of a layout.
struct Share<'a> {
    progress: &'a dyn Progress,
    /// Bytes on the disk for a byte of the layout.
    each: f64,
    done: AtomicU64,
}

impl Share<'_> {
    fn told(&self) -> u64 {
        (self.done.load(Ordering::Relaxed) as f64 * self.each) as u64
    }
}

impl Progress for Share<'_> {
    fn start(&self, _stage: &str, _total: u64) {}
    fn advance(&self, done: u64) {
        let before = self.told();
        self.done.fetch_add(done, Ordering::Relaxed);
        self.progress.advance(self.told() - before);
    }
    fn note(&self, message: &str) {
        self.progress.note(message);
    }
    fn cancelled(&self) -> bool {
        self.progress.cancelled()
    }
}
