//! Bits per byte on held-out data: two sums and one division.
//!
//! Each document is scored on its own, in windows that the protocol chooses, so that the result depends neither on the
//! order of the documents nor on the batch.

use std::time::Instant;

use serde::Serialize;

use super::scoring::{Document, Scored, Scorer, scored_items};
use super::tally::{Tally, std_error, total};
use super::{Inference, Journal, Protocol, bits_per_byte};
use crate::data::Dataset;
use crate::modality::Layout;
use crate::model::Megabyte;
use crate::progress::Progress;
use crate::{Error, Result};

/// How much is read, and how.
#[derive(Debug, Clone, Copy)]
pub struct EvalOptions {
    /// Windows scored together.
    pub batch: usize,
    /// Stop after about this many bytes; 0 is all.
    pub limit_bytes: u64,
    /// How every byte gets its context.
    pub inference: Inference,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// `"modality": …, "layout": {…}`: what the data is, and how files became bytes.
    #[serde(flatten)]
    pub layout: Layout,
    /// Stretches of a context, of which the documents consist.
    pub sequences: u64,
    /// Bytes scored; end-of-sequence symbols and padding are none.
    pub bytes: u64,
    /// Nats of all scored symbols.
    pub nats: f64,
    /// Of these, the nats of end-of-sequence symbols.
    pub end_nats: f64,
    /// nats / (ln 2 · bytes)
    pub bits_per_byte: f64,
    /// Standard error of bits_per_byte over these stretches.
    pub std_error: f64,
    /// Of pictures, whose bytes are their dimensions: bits_per_byte by another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_dimension: Option<f64>,
    /// Of sound: bits_per_byte times the bytes of a sample of one channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_sample: Option<f64>,
    /// 2^(bits_per_byte · bytes / words), for text with words as `wc -w` counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word_perplexity: Option<f64>,
    /// How every byte got its context.
    #[serde(flatten)]
    pub protocol: Protocol,
    /// Windows that the model was shown.
    pub windows: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Scores a data set. Fails on an empty one, and when `progress` says stop.
pub fn evaluate(
    model: &Megabyte,
    dataset: &Dataset,
    options: EvalOptions,
    progress: &dyn Progress,
) -> Result<Evaluation> {
    evaluate_each(model, dataset, options, None, progress, &mut |_| {}).map(|(evaluation, _)| evaluation)
}

/// As [`evaluate`], showing `each` every symbol, and with the sums behind the result.
pub(super) fn evaluate_each(
    model: &Megabyte,
    dataset: &Dataset,
    options: EvalOptions,
    journal: Option<&mut Journal>,
    progress: &dyn Progress,
    each: &mut dyn FnMut(&Scored),
) -> Result<(Evaluation, Tally)> {
    let started = Instant::now();
    let config = model.config();
    let protocol = Protocol::new(options.inference, config)?;
    let items = scored_items(dataset, config.context, options.limit_bytes);
    let documents: Vec<Document<'_>> = items.iter().map(|item| Document::new(*item, config.vocab)).collect();
    let mut tally = Tally::new(&documents, config.context);
    if tally.all().is_empty() {
        return Err(Error::Usage("there is nothing to evaluate: the data set is empty".to_owned()));
    }
    progress.start("evaluate", items.iter().map(|item| item.bytes.len() as u64).sum());
    let scorer = Scorer { model, dataset, protocol, batch: options.batch, progress };
    // float64 sums in the order of the windows, so that the batch changes nothing that shows
    let windows = scorer.score(&documents, journal, &mut |scored| {
        tally.add(&scored);
        each(&scored);
    })?;

    let (bytes, nats) = total(tally.all());
    let bits_per_byte = bits_per_byte(nats, bytes);
    let layout = dataset.layout().clone();
    let words: u64 = match layout {
        Layout::Text(_) => items.iter().map(|item| count_words(item.bytes)).sum(),
        _ => 0,
    };
    dataset.check()?;
    let bits_per_sample = match &layout {
        Layout::Audio(layout) => Some(bits_per_byte * layout.bytes_per_sample() as f64),
        _ => None,
    };
    let evaluation = Evaluation {
        sequences: tally.all().len() as u64,
        bytes,
        nats,
        end_nats: tally.end_nats,
        bits_per_byte,
        std_error: std_error(tally.all()),
        bits_per_dimension: matches!(layout, Layout::Image(_)).then_some(bits_per_byte),
        bits_per_sample,
        word_perplexity: (words > 0).then(|| (bits_per_byte * bytes as f64 / words as f64).exp2()),
        layout,
        protocol,
        windows,
        seconds: started.elapsed().as_secs_f64(),
    };
    Ok((evaluation, tally))
}

impl Evaluation {
    /// Several data sets taken as one; `None` where there is none.
    pub fn sum(parts: &[Evaluation]) -> Option<Evaluation> {
        let (first, rest) = parts.split_first()?;
        let mut sum = first.clone();
        for part in rest {
            // Errors of independent sums, weighted by their bytes.
            let (a, b) = (sum.std_error * sum.bytes as f64, part.std_error * part.bytes as f64);
            sum.sequences += part.sequences;
            sum.windows += part.windows;
            sum.bytes += part.bytes;
            sum.nats += part.nats;
            sum.end_nats += part.end_nats;
            sum.std_error = a.hypot(b) / sum.bytes as f64;
            sum.seconds += part.seconds;
            // The parts may be of several modalities.
            sum.bits_per_dimension = None;
            sum.bits_per_sample = None;
            sum.word_perplexity = None;
        }
        sum.bits_per_byte = bits_per_byte(sum.nats, sum.bytes);
        Some(sum)
    }
}

/// Words as `wc -w` counts them: runs of anything but white space.
fn count_words(bytes: &[u8]) -> u64 {
    bytes.split(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).filter(|word| !word.is_empty()).count() as u64
}
