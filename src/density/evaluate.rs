//! Bits per byte on held-out data: two sums and one division.
//!
//! Each document is cut into consecutive windows of the model's context and each window is scored on its own, so that
//! the result depends neither on the order of the documents nor on the batch.

use std::time::Instant;

use serde::Serialize;

use crate::data::{Batch, Dataset, END, Item, PAD};
use crate::modality::Modality;
use crate::model::{Megabyte, loss};
use crate::progress::Progress;
use crate::{Error, Result};

/// How much is read, and how.
#[derive(Debug, Clone, Copy)]
pub struct EvalOptions {
    /// Windows scored together.
    pub batch: usize,
    /// Stop after about this many bytes; 0 is all.
    pub limit_bytes: u64,
}

/// What an evaluation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// What the data is.
    pub modality: Modality,
    /// Windows scored.
    pub sequences: u64,
    /// Bytes scored; end-of-sequence symbols and padding are none.
    pub bytes: u64,
    /// Nats of all scored symbols.
    pub nats: f64,
    /// Of these, the nats of end-of-sequence symbols.
    pub end_nats: f64,
    /// nats / (ln 2 · bytes)
    pub bits_per_byte: f64,
    /// Standard error of bits_per_byte over the windows.
    pub std_error: f64,
    /// 2^(bits_per_byte · bytes / words), for text with words as `wc -w` counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word_perplexity: Option<f64>,
    /// Bytes of a window.
    pub context: usize,
    /// How every byte got its context.
    pub inference: &'static str,
    /// How long it took.
    pub seconds: f64,
}

/// The bytes of a data set that an evaluation of about `limit_bytes` reads: whole windows of `context` symbols from
/// the front, 0 for all.
pub fn scored_items(dataset: &Dataset, context: usize, limit_bytes: u64) -> Vec<Item<'_>> {
    let mut left = if limit_bytes == 0 { u64::MAX } else { limit_bytes };
    let mut items = Vec::new();
    for i in 0..dataset.len() {
        if left == 0 {
            break;
        }
        let item = dataset.item(i);
        let windows = left.div_ceil(context as u64).saturating_mul(context as u64);
        if (item.bytes.len() as u64) > windows {
            items.push(Item { bytes: &item.bytes[..windows as usize], ends: false });
            break;
        }
        left = left.saturating_sub(item.bytes.len() as u64);
        items.push(item);
    }
    items
}

/// Scores a data set. Fails on an empty one, and when `progress` says stop.
pub fn evaluate(
    model: &Megabyte,
    dataset: &Dataset,
    options: EvalOptions,
    progress: &dyn Progress,
) -> Result<Evaluation> {
    let started = Instant::now();
    let config = model.config();
    let items = scored_items(dataset, config.context, options.limit_bytes);
    let windows = windows(&items, config.context, config.vocab == 257);
    if windows.is_empty() {
        return Err(Error::Usage("there is nothing to evaluate: the data set is empty".to_owned()));
    }
    progress.start("evaluate", windows.iter().map(|window| window.bytes.len() as u64).sum());

    let _guard = tch::no_grad_guard();
    let mut sums: Vec<(u64, f64)> = Vec::with_capacity(windows.len()); // bytes and nats of each window
    let mut end_nats = 0.0;
    for group in windows.chunks(options.batch.max(1)) {
        if progress.cancelled() {
            return Err(Error::Interrupted);
        }
        let batch = to_batch(group, config.patch_size());
        // float64 sums, so that the order of a batch changes nothing that shows
        let nats = loss::each_nats(model, &loss::to_device(&batch, model.device())?)?.to_kind(tch::Kind::Double);
        let totals = Vec::<f64>::try_from(nats.sum_dim_intlist(-1, false, tch::Kind::Double))?;
        for (row, (window, total)) in group.iter().zip(totals).enumerate() {
            sums.push((window.bytes.len() as u64, total));
            if window.ends {
                end_nats += nats.double_value(&[row as i64, window.bytes.len() as i64]);
            }
        }
        progress.advance(group.iter().map(|window| window.bytes.len() as u64).sum());
    }

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
        context: config.context,
        inference: "plain",
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

/// A stretch of a document that fits the context, and whether the document's end is scored with it.
struct Window<'a> {
    bytes: &'a [u8],
    ends: bool,
}

impl Window<'_> {
    fn symbols(&self) -> usize {
        self.bytes.len() + usize::from(self.ends)
    }
}

fn windows<'a>(items: &[Item<'a>], context: usize, with_end: bool) -> Vec<Window<'a>> {
    let mut windows = Vec::new();
    for item in items {
        let ends = with_end && item.ends;
        for chunk in item.bytes.chunks(context) {
            windows.push(Window { bytes: chunk, ends: false });
        }
        match windows.last_mut() {
            Some(last) if ends && !item.bytes.is_empty() && last.bytes.len() < context => last.ends = true,
            // The end stands alone in a window of its own.
            _ if ends => windows.push(Window { bytes: &[], ends: true }),
            _ => {}
        }
    }
    windows
}

/// Rows padded to the longest, in whole patches.
fn to_batch(windows: &[Window<'_>], patch: usize) -> Batch {
    let longest = windows.iter().map(Window::symbols).max().unwrap_or(0);
    let cols = longest.next_multiple_of(patch);
    let mut symbols = vec![PAD; windows.len() * cols];
    for (row, window) in symbols.chunks_mut(cols).zip(windows) {
        for (place, &byte) in row.iter_mut().zip(window.bytes) {
            *place = i16::from(byte);
        }
        if window.ends {
            row[window.bytes.len()] = END;
        }
    }
    Batch { symbols, rows: windows.len(), cols }
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
