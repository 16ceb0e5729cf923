//! Several data sets in one run, each with its share of the batches.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Batch, Permutation, Sampler};
use crate::{Error, Result};

/// Batches of a block: shares are exact to one part in this many.
const BLOCK: u64 = 4096;

/// Draws batches from several samplers by weight. All rows of a batch are from one of them, so a batch has one layout.
///
/// The order is a pure function of seed and index: batches come in blocks, in each of which every sampler has its share
/// of the places, and a [`Permutation`] of the block shuffles them.
#[derive(Debug)]
pub struct Mixture {
    samplers: Vec<Sampler>,
    /// The places of each sampler in a block, and where they begin before the shuffle.
    shares: Vec<(u64, u64)>,
    seed: u64,
}

impl Mixture {
    /// Samplers and their weights, which are taken relative to each other. Fails where there is no sampler, and where
    /// a weight is no number above 0.
    pub fn new(parts: Vec<(Sampler, f64)>, seed: u64) -> Result<Self> {
        if parts.is_empty() {
            return Err(Error::Usage("there is no data set to draw from".to_owned()));
        }
        let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &parts {
            if weight.is_nan() || *weight <= 0.0 || !total.is_finite() {
                return Err(Error::config("data.weight", format!("is {weight}, expected a number above 0")));
            }
        }
        // Where the sum so far ends, rounded; every sampler gets a place at least.
        let mut shares = Vec::with_capacity(parts.len());
        let (mut sum, mut start) = (0.0, 0);
        for (i, (_, weight)) in parts.iter().enumerate() {
            sum += weight;
            let left = (parts.len() - 1 - i) as u64;
            let end = ((sum / total * BLOCK as f64).round() as u64).clamp(start + 1, BLOCK - left);
            shares.push((end - start, start));
            start = end;
        }
        let samplers = parts.into_iter().map(|(sampler, _)| sampler).collect();
        Ok(Mixture { samplers, shares, seed })
    }

    /// The sampler that batch `index` is from, and the batch's index there.
    pub fn place(&self, index: u64) -> (usize, u64) {
        if let [_] = *self.samplers {
            return (0, index);
        }
        let (block, position) = (index / BLOCK, index % BLOCK);
        // Another stream than the one that orders sequences.
        let key = xxh3_64_with_seed(&block.to_le_bytes(), !self.seed);
        let place = Permutation::new(BLOCK, key).get(position);
        let which = self.shares.partition_point(|&(_, start)| start <= place) - 1;
        let (share, start) = self.shares[which];
        (which, block * share + place - start)
    }

    /// The sampler of a data set, by its number.
    pub fn sampler(&self, which: usize) -> &Sampler {
        &self.samplers[which]
    }

    /// Symbols of a batch.
    pub fn symbols(&self) -> usize {
        self.samplers[0].symbols()
    }

    /// Batch `index` of the run. Fails as [`Sampler::batch`] does.
    pub fn batch(&self, index: u64) -> Result<Batch> {
        let (which, index) = self.place(index);
        self.samplers[which].batch(index)
    }
}
