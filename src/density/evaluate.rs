//! Bits per byte on held-out data: two sums and one division.
//!
//! Each document is scored on its own, in windows that the protocol chooses, so that the result depends neither on the
//! order of the documents nor on the batch.

use std::time::Instant;

use serde::Serialize;

use super::curves::{Curve, Curves};
use super::scoring::{self, Document, Scored, scored_items};
use super::{Inference, Protocol};
use crate::data::Dataset;
use crate::modality::Modality;
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
    /// What the data is.
    pub modality: Modality,
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
    evaluate_each(model, dataset, options, progress, &mut |_| {})
}

/// As [`evaluate`], with bits per byte by what the places of bytes mean.
pub fn examine(
    model: &Megabyte,
    dataset: &Dataset,
    options: EvalOptions,
    progress: &dyn Progress,
) -> Result<(Evaluation, Vec<Curve>)> {
    let mut curves = Curves::new(model.config().patch_size());
    let evaluation = evaluate_each(model, dataset, options, progress, &mut |scored| curves.add(scored))?;
    Ok((evaluation, curves.finish()))
}

fn evaluate_each(
    model: &Megabyte,
    dataset: &Dataset,
    options: EvalOptions,
    progress: &dyn Progress,
    each: &mut dyn FnMut(&Scored),
) -> Result<Evaluation> {
    let started = Instant::now();
    let config = model.config();
    let protocol = Protocol::new(options.inference, config)?;
    let items = scored_items(dataset, config.context, options.limit_bytes);
    let documents: Vec<Document<'_>> = items.iter().map(|item| Document::new(*item, config.vocab)).collect();

    // Bytes and nats of each stretch of a context: windows that overlap are no independent samples, stretches nearly.
    let mut sums: Vec<(u64, f64)> = Vec::new();
    let mut first_sums = Vec::with_capacity(documents.len());
    for document in &documents {
        first_sums.push(sums.len());
        sums.resize(sums.len() + document.symbols().div_ceil(config.context), (0, 0.0));
    }
    if sums.is_empty() {
        return Err(Error::Usage("there is nothing to evaluate: the data set is empty".to_owned()));
    }
    progress.start("evaluate", items.iter().map(|item| item.bytes.len() as u64).sum());
    let mut end_nats = 0.0;
    // float64 sums in the order of the windows, so that the batch changes nothing that shows
    let windows = scoring::score(model, &protocol, &documents, options.batch, progress, &mut |scored| {
        let sum = &mut sums[first_sums[scored.document] + scored.place / config.context];
        sum.1 += scored.nats;
        if scored.is_byte {
            sum.0 += 1;
        } else {
            end_nats += scored.nats;
        }
        each(&scored);
    })?;

    let bytes: u64 = sums.iter().map(|(bytes, _)| bytes).sum();
    let nats: f64 = sums.iter().map(|(_, nats)| nats).sum();
    let bits_per_byte = nats / (std::f64::consts::LN_2 * bytes as f64);
    let modality = dataset.layout().modality();
    let words: u64 = match modality {
        Modality::Text => items.iter().map(|item| count_words(item.bytes)).sum(),
        _ => 0,
    };
    Ok(Evaluation {
        modality,
        sequences: sums.len() as u64,
        bytes,
        nats,
        end_nats,
        bits_per_byte,
        std_error: std_error(&sums, nats / bytes as f64) / std::f64::consts::LN_2,
        word_perplexity: (words > 0).then(|| (bits_per_byte * bytes as f64 / words as f64).exp2()),
        protocol,
        windows,
        seconds: started.elapsed().as_secs_f64(),
    })
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
            sum.word_perplexity = None;
        }
        sum.bits_per_byte = sum.nats / (std::f64::consts::LN_2 * sum.bytes as f64);
        Some(sum)
    }
}

/// Standard error of a ratio of sums, in nats a byte (linearised: Cochran, Sampling Techniques, 6.3).
fn std_error(sums: &[(u64, f64)], nats_per_byte: f64) -> f64 {
    let n = sums.len() as f64;
    if n < 2.0 {
        return 0.0;
    }
    let total: u64 = sums.iter().map(|(bytes, _)| bytes).sum();
    let squares: f64 = sums.iter().map(|&(bytes, nats)| (nats - nats_per_byte * bytes as f64).powi(2)).sum();
    (n / (n - 1.0) * squares).sqrt() / total as f64
}

/// Words as `wc -w` counts them: runs of anything but white space.
fn count_words(bytes: &[u8]) -> u64 {
    bytes.split(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).filter(|word| !word.is_empty()).count() as u64
}
