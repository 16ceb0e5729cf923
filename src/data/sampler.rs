//! Which bytes a batch holds: a pure function of the seed and the batch's index, so that a run can be continued from a
//! number.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Dataset, Permutation};
use crate::{Error, Result};

/// A symbol that stands for nothing: it fills a row up and is never scored.
pub const PAD: i16 = -1;
/// The symbol that ends a document.
const END: i16 = 256;

/// Rows of symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// `rows` x `cols`, row-major: 0..=255 are bytes, 256 is the end of a sequence, [`PAD`] is nothing.
    pub symbols: Vec<i16>,
    /// Sequences.
    pub rows: usize,
    /// Symbols of a sequence: the context.
    pub cols: usize,
}

/// How batches are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Symbols of a sequence.
    pub context: usize,
    /// Sequences of a batch.
    pub rows: usize,
    /// 256, or 257 where documents end with a symbol.
    pub vocab: usize,
    /// Another seed, another order.
    pub seed: u64,
}

/// Draws batches. Sequence `i` of a run is row `i mod rows` of batch `i / rows`, and every epoch of `n` sequences has
/// an order of its own.
///
/// Where a layout fixes the length of its sequences (pictures), an item is a sequence. Else the items form one stream
/// (with the symbol 256 after each that ends a document, where the vocabulary has it), read as a ring and cut into
/// windows of the context from a phase that changes each epoch. n is the stream's length over the context, rounded
/// up: an epoch shows every symbol once, and fewer than a window of them twice. A stream shorter than the context is
/// one padded window.
#[derive(Debug)]
pub struct Sampler {
    dataset: Arc<Dataset>,
    config: LoaderConfig,
    /// Where each item starts in the stream, and last the stream's length; empty where an item is a sequence.
    starts: Vec<u64>,
    /// Sequences of an epoch.
    n: u64,
}

impl Sampler {
    /// Fails where there are no items, and where the configuration does not suit them.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self> {
        let LoaderConfig { context, rows, vocab, .. } = config;
        if context == 0 || rows == 0 {
            let key = if context == 0 { "model.context" } else { "train.micro_batch" };
            return Err(Error::config(key, "must be above 0"));
        }
        if vocab != 256 && vocab != 257 {
            return Err(Error::config("model.vocab", format!("is {vocab}, allowed is 256 or 257")));
        }
        if dataset.bytes() == 0 {
            let reason = "the data set has no items: name files for this split, or prepare more data";
            return Err(Error::Usage(reason.to_owned()));
        }
        let mut starts = Vec::new();
        let n = match dataset.layout().adapter().sequence_len() {
            Some(len) if len != context => {
                let reason = format!("is {context}, but one item of the data set is {len} bytes");
                return Err(Error::config("model.context", reason));
            }
            Some(_) => dataset.len() as u64,
            None => {
                let mut end = 0;
                for i in 0..dataset.len() {
                    starts.push(end);
                    let item = dataset.item(i);
                    end += item.bytes.len() as u64 + u64::from(item.ends && vocab == 257);
                }
                starts.push(end);
                end.div_ceil(context as u64)
            }
        };
        Ok(Sampler { dataset, config, starts, n })
    }

    /// Sequences of an epoch.
    pub fn epoch_len(&self) -> u64 {
        self.n
    }

    /// Batch `index` of the run. Fails where the run is longer than 2^64 sequences.
    pub fn batch(&self, index: u64) -> Result<Batch> {
        let LoaderConfig { context, rows, .. } = self.config;
        let first = index.checked_mul(rows as u64).filter(|first| first.checked_add(rows as u64).is_some());
        let first = first.ok_or_else(|| Error::Usage(format!("there is no batch {index}")))?;
        let mut symbols = Vec::with_capacity(rows * context);
        for row in 0..rows {
            let sequence = first + row as u64;
            self.sequence(sequence / self.n, sequence % self.n, &mut symbols);
            symbols.resize((row + 1) * context, PAD);
        }
        Ok(Batch { symbols, rows, cols: context })
    }

    /// Appends the sequence at a position of an epoch.
    fn sequence(&self, epoch: u64, position: u64, symbols: &mut Vec<i16>) {
        let key = xxh3_64_with_seed(&epoch.to_le_bytes(), self.config.seed);
        let chosen = Permutation::new(self.n, key).get(position);
        let Some(&len) = self.starts.last() else {
            let bytes = self.dataset.item(chosen as usize).bytes;
            symbols.extend(bytes.iter().map(|&byte| i16::from(byte)));
            return;
        };
        let context = self.config.context as u64;
        if len <= context {
            self.read(0, len, symbols);
            return;
        }
        let phase = xxh3_64_with_seed(b"phase", key) % len;
        // chosen · context < len + context and phase < len, so the sum stays far below 2^64.
        let start = (phase + chosen * context) % len;
        let until_end = context.min(len - start);
        self.read(start, until_end, symbols);
        self.read(0, context - until_end, symbols);
    }

    /// Appends `count` symbols of the stream from `start` on, which don't reach beyond its end.
    fn read(&self, start: u64, count: u64, symbols: &mut Vec<i16>) {
        let mut missing = count as usize;
        // The last item that starts at or before; items without symbols share their start with the next.
        let mut i = self.starts.partition_point(|&first| first <= start).saturating_sub(1);
        let mut skip = (start - self.starts[i]) as usize;
        while missing > 0 {
            let bytes = self.dataset.item(i).bytes;
            let symbols_of_item = (self.starts[i + 1] - self.starts[i]) as usize;
            let from = skip.min(bytes.len());
            let to = (skip + missing).min(bytes.len());
            symbols.extend(bytes[from..to].iter().map(|&byte| i16::from(byte)));
            missing -= to - from;
            if symbols_of_item > bytes.len() && missing > 0 {
                symbols.push(END);
                missing -= 1;
            }
            skip = 0;
            i += 1;
        }
    }
}
