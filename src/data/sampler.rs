//! Which bytes a batch holds: a pure function of the seed and the batch's index, so that a run can be continued from a
//! number.

use std::collections::BTreeSet;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Dataset, Permutation};
use crate::modality::Adapter;
use crate::{Error, Result};

/// A symbol that stands for nothing: it fills a row up and is never scored.
pub const PAD: i16 = -1;
/// The symbol that ends a document.
pub const END: i16 = 256;

/// Rows of symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// `rows` x `cols`, row-major: 0..=255 are bytes, [`END`] is the end of a document, [`PAD`] is nothing.
    pub symbols: Vec<i16>,
    /// Sequences.
    pub rows: usize,
    /// Symbols of a sequence: the context.
    pub cols: usize,
}

impl Batch {
    /// The first `cols` symbols of every row.
    pub fn beginning(self, cols: usize) -> Self {
        if cols >= self.cols {
            return self;
        }
        let symbols = self.symbols.chunks(self.cols).flat_map(|row| row[..cols].iter().copied()).collect();
        Batch { symbols, rows: self.rows, cols }
    }

    /// The last `count` symbols of every row.
    pub fn last(&self, count: usize) -> impl Iterator<Item = i16> {
        self.symbols.chunks(self.cols).flat_map(move |row| row[row.len() - count..].iter().copied())
    }
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
    /// Which of the programs that train together this is, from 0.
    pub rank: usize,
    /// How many train together; each draws other sequences.
    pub world: usize,
}

impl LoaderConfig {
    /// One program.
    pub fn new(context: usize, rows: usize, vocab: usize, seed: u64) -> Self {
        LoaderConfig { context, rows, vocab, seed, rank: 0, world: 1 }
    }
}

/// Where a sequence begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// From 0.
    pub epoch: u64,
    /// The item of the data set.
    pub item: u64,
    /// The byte in it.
    pub byte: u64,
}

/// Draws batches from one data set. Sequence `i` of a run is row `i mod rows` of batch `i / rows`, counted over all
/// programs that train together, and every epoch of `n` sequences has an order of its own.
///
/// Where a layout fixes the length of its sequences (pictures), an item is a sequence. Else the items form one stream
/// (with [`END`] after each that ends a document, where the vocabulary has it), read as a ring and cut into windows of
/// the context from a phase that changes each epoch, a whole number of frames where they are sound. n is the stream's
/// length over the context, rounded up: an epoch shows every symbol once, and fewer than a window of them twice. A
/// stream shorter than the context is one padded window.
///
/// Nothing in memory grows with the number of items: the order is a [`Permutation`], and a place in the stream is found
/// in the shards' indexes.
#[derive(Debug)]
pub struct Sampler {
    dataset: Arc<Dataset>,
    config: LoaderConfig,
    /// Turns half of the pictures left to right.
    mirror: Option<Box<dyn Adapter>>,
    /// Sequences of an item where all items have one length: a picture may be several.
    parts: Option<u64>,
    /// Bytes that stay together: windows begin between frames of sound, or high and low bytes would change places.
    unit: u64,
    /// Length of the stream.
    len: u64,
    /// Sequences of an epoch.
    n: u64,
}

impl Sampler {
    /// Fails where there are no items, and where the configuration does not suit them.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self> {
        let LoaderConfig { context, rows, vocab, rank, world, .. } = config;
        if context == 0 || rows == 0 {
            let key = if context == 0 { "model.context" } else { "train.micro_batch" };
            return Err(Error::config(key, "must be above 0"));
        }
        if vocab != 256 && vocab != 257 {
            return Err(Error::config("model.vocab", format!("is {vocab}, allowed is 256 or 257")));
        }
        if rank >= world {
            return Err(Error::Usage(format!("there is no rank {rank} of {world}")));
        }
        if dataset.bytes() == 0 {
            let reason = "the data set has no items: name files for this split, or prepare more data";
            return Err(Error::Usage(reason.to_owned()));
        }
        let layout = dataset.layout();
        layout.check_context(context)?;
        let unit = layout.cut_unit().unwrap_or(1) as u64;
        let sequence_len = layout.adapter().sequence_len();
        let len = dataset.stream_len(vocab == 257);
        // How many sequences an item of fixed length is.
        let parts = sequence_len.map(|len| (len / context) as u64);
        let n = parts.map_or(len.div_ceil(context as u64), |parts| dataset.len() as u64 * parts);
        Ok(Sampler { dataset, config, mirror: None, parts, unit, len, n })
    }

    /// From now on half of the sequences, which ones an epoch and the seed decide, are turned left to right. Fails
    /// where they are no pictures.
    pub fn mirrored(mut self) -> Result<Self> {
        if self.parts.is_none() {
            let modality = self.dataset.layout().modality();
            return Err(Error::config("data.flip", format!("is for pictures, not for {modality}")));
        }
        self.mirror = Some(self.dataset.layout().adapter());
        Ok(self)
    }

    /// Symbols of a batch.
    pub fn symbols(&self) -> usize {
        self.config.rows * self.config.context
    }

    /// Sequences of an epoch.
    pub fn epoch_len(&self) -> u64 {
        self.n
    }

    /// Batch `index` of this program. Fails where the run is longer than 2^64 sequences, and where a shard that it reads is not
    /// what it was.
    pub fn batch(&self, index: u64) -> Result<Batch> {
        let LoaderConfig { context, rows, .. } = self.config;
        let first = self.first_sequence(index)?;
        let mut read = Read { symbols: Vec::with_capacity(rows * context), parts: BTreeSet::new() };
        for row in 0..rows {
            let sequence = first + row as u64;
            self.sequence(sequence / self.n, sequence % self.n, &mut read);
            read.symbols.resize((row + 1) * context, PAD);
        }
        read.parts.iter().try_for_each(|&part| self.dataset.check_part(part))?;
        Ok(Batch { symbols: read.symbols, rows, cols: context })
    }

    /// Where the rows of batch `index` are from. Fails as [`Self::batch`] does.
    pub fn origins(&self, index: u64) -> Result<Vec<Origin>> {
        let first = self.first_sequence(index)?;
        let origin = |row| {
            let (epoch, position) = ((first + row) / self.n, (first + row) % self.n);
            let (item, byte) = match (self.parts, self.start(epoch, position)) {
                (Some(parts), chosen) => (chosen / parts, chosen % parts * self.config.context as u64),
                (None, start) => {
                    let (item, byte) = self.dataset.find(start, self.config.vocab == 257);
                    (item as u64, byte)
                }
            };
            Origin { epoch, item, byte }
        };
        Ok((0..self.config.rows as u64).map(origin).collect())
    }

    /// The data set that is drawn from.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The run's sequence in the first row of batch `index`.
    fn first_sequence(&self, index: u64) -> Result<u64> {
        let LoaderConfig { rows, rank, world, .. } = self.config;
        let overall = index.checked_mul(world as u64).and_then(|index| index.checked_add(rank as u64));
        let first = overall.and_then(|overall| overall.checked_mul(rows as u64));
        let first = first.filter(|first| first.checked_add(rows as u64).is_some());
        first.ok_or_else(|| Error::Usage(format!("there is no batch {index}")))
    }

    fn key(&self, epoch: u64) -> u64 {
        xxh3_64_with_seed(&epoch.to_le_bytes(), self.config.seed)
    }

    /// What stands at a position of an epoch: the number of a sequence where items have one length, else the place in
    /// the stream where a window begins.
    fn start(&self, epoch: u64, position: u64) -> u64 {
        let key = self.key(epoch);
        let chosen = Permutation::new(self.n, key).get(position);
        let context = self.config.context as u64;
        if self.parts.is_some() || self.len <= context {
            return chosen;
        }
        let phase = xxh3_64_with_seed(b"phase", key) % self.len / self.unit * self.unit;
        // chosen · context < len + context and phase < len, so the sum stays far below 2^64.
        (phase + chosen * context) % self.len
    }

    /// Appends the sequence at a position of an epoch.
    fn sequence(&self, epoch: u64, position: u64, to: &mut Read) {
        let start = self.start(epoch, position);
        if let Some(parts) = self.parts {
            let (item, part) = (start / parts, (start % parts) as usize);
            to.parts.insert(self.dataset.part_of(item as usize));
            let bytes = self.dataset.item(item as usize).bytes;
            let context = self.config.context;
            let stretch = part * context..(part + 1) * context;
            if bytes.len() < stretch.end {
                return; // of a shard that was cut short: its part tells
            }
            let turn = |adapter: &dyn Adapter| {
                let odd = xxh3_64_with_seed(&item.to_le_bytes(), self.key(epoch)) & 1 == 1;
                if odd { adapter.mirrored(bytes) } else { None }
            };
            match self.mirror.as_deref().and_then(turn) {
                Some(bytes) => widen(&bytes[stretch], &mut to.symbols),
                None => widen(&bytes[stretch], &mut to.symbols),
            }
            return;
        }
        let context = self.config.context as u64;
        if self.len <= context {
            self.read(0, self.len, to);
            return;
        }
        let until_end = context.min(self.len - start);
        self.read(start, until_end, to);
        self.read(0, context - until_end, to);
    }

    /// Appends `count` symbols of the stream from `start` on, which don't reach beyond its end.
    fn read(&self, start: u64, count: u64, to: &mut Read) {
        if count == 0 {
            return;
        }
        let with_ends = self.config.vocab == 257;
        let mut missing = count as usize;
        let (mut i, behind) = self.dataset.find(start, with_ends);
        let mut skip = behind as usize;
        // There are enough, but of a shard that was cut short: its part tells.
        while missing > 0 && i < self.dataset.len() {
            to.parts.insert(self.dataset.part_of(i));
            let item = self.dataset.item(i);
            let from = skip.min(item.bytes.len());
            let until = (skip + missing).min(item.bytes.len());
            widen(&item.bytes[from..until], &mut to.symbols);
            missing -= until - from;
            if with_ends && item.ends && missing > 0 {
                to.symbols.push(END);
                missing -= 1;
            }
            skip = 0;
            i += 1;
        }
    }
}

/// What was read so far, and the parts of the data set that it came from.
struct Read {
    symbols: Vec<i16>,
    parts: BTreeSet<usize>,
}

/// Appends bytes as symbols.
fn widen(bytes: &[u8], symbols: &mut Vec<i16>) {
    symbols.extend(bytes.iter().map(|&byte| i16::from(byte)));
}
