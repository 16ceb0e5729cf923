//! A sequence in stretches: below the first level, patches far from each other have nothing to do with each other, and
//! memory need not grow with the length of the sequence.
//!
//! Shapes: B sequences of T symbols, u of them in a coarsest unit, D width, V symbols.

use tch::Tensor;

use super::layers::section;
use super::{Megabyte, ModelConfig};

/// Consecutive coarsest units of every sequence of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// B
    rows: i64,
    /// u
    unit: i64,
    /// Symbols before the first predicted one: 0 but where a pass predicts the last symbols only.
    unpredicted: i64,
    /// The first unit, and how many.
    from: i64,
    units: i64,
    /// Units before these that are computed once more, because their keys and values are attended to.
    halo: i64,
}

/// The stretches of sequences (B, T) of about `symbols` in all rows together, at least a unit each; 0 is all in one.
pub(crate) fn stretches(config: &ModelConfig, (rows, length): (i64, i64), symbols: usize) -> Vec<Stretch> {
    let unit = config.patch_size() as i64;
    let unpredicted = length - config.predicted(length as usize) as i64;
    let all = (length - unpredicted) / unit;
    let at_once = if symbols == 0 { all } else { (symbols as i64 / (rows * unit)).clamp(1, all) };
    let history = if config.levels.len() > 1 { config.history(1) as i64 } else { 0 };
    let begin = |from: i64| {
        let units = at_once.min(all - from);
        Stretch { rows, unit, unpredicted, from, units, halo: history.min(from) }
    };
    (0..all).step_by(at_once as usize).map(begin).collect()
}

impl Stretch {
    /// What the levels below the first read: of symbols (B, T) those of the stretch and of its halo.
    pub fn symbols(&self, symbols: &Tensor) -> Tensor {
        symbols.narrow(1, (self.from - self.halo) * self.unit, (self.halo + self.units) * self.unit)
    }

    /// Of something (B, n, D) for every coarsest unit, that of the stretch and of its halo.
    pub fn units(&self, of_units: &Tensor) -> Tensor {
        of_units.narrow(1, self.from - self.halo, self.halo + self.units)
    }

    /// The symbols (B, m) that the stretch predicts.
    pub fn targets(&self, symbols: &Tensor) -> Tensor {
        symbols.narrow(1, self.unpredicted + self.from * self.unit, self.units * self.unit)
    }

    /// Logits (B, m, V) from the last level's output for the stretch and its halo.
    pub fn logits(&self, model: &Megabyte, out: &Tensor) -> Tensor {
        let (halo, symbols) = (self.halo * self.unit, self.units * self.unit);
        let out = out.reshape([self.rows, halo + symbols, -1]);
        model.logits(&section(&out, 1, halo, symbols))
    }
}
