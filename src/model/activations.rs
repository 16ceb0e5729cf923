//! The memory of a pass beside weights and what each of them has, by formula: what autograd keeps for the way back, and what
//! is there for a moment on top. Upper estimates of tensors alone, so that what does not fit is known before anything is taken.
//!
//! Dimensions: S parents of n units in each, D width, H heads, F width of the feed-forward layer, V symbols; a number of
//! matrix work has m bytes, one of the residual stream 4. All sums are in float64: sizes may be beyond any integer.

use tch::{Device, Kind, Tensor};

use super::cache::LevelCache;
use super::config::{Embedding, Ffn, ModelConfig, Norm};
use super::encoder::FILTERS;
use super::gradients::Memory;
use super::loss::STRETCH;
use crate::native::attention::{self, Sight};

/// What decides the memory of a pass beside the model.
#[derive(Debug, Clone, Copy)]
pub struct Activations<'a> {
    /// The model.
    pub config: &'a ModelConfig,
    /// Sequences that go through it together, of the whole context.
    pub rows: usize,
    /// The type of matrix work.
    pub kind: Kind,
    /// Where.
    pub device: Device,
}

/// Bytes of one block, or of one level.
#[derive(Debug, Clone, Copy, Default)]
struct Bytes {
    /// Kept for the way back.
    kept: f64,
    /// There for a moment on the way there.
    forward: f64,
    /// There for a moment on the way back.
    backward: f64,
}

impl Activations<'_> {
    /// Bytes of a way there and back, as [`gradients::accumulate`](super::gradients::accumulate) takes it, with dropout as
    /// the model has it.
    pub fn training(&self, memory: &Memory) -> u64 {
        let config = self.config;
        let (rows, context) = (self.rows as f64, config.context as f64);
        // The symbols as int64, and once more without padding.
        let symbols = 2.0 * 8.0 * rows * context;
        let first = match config.first_level() {
            0 => self.level(0, rows * context, config.dropout, memory.checkpoint.contains(&0)),
            _ => Bytes::default(),
        };
        let at_once = self.at_once(memory.stretch);
        let history = if config.levels.len() > 1 { config.history(1) as f64 } else { 0.0 };
        let patch = config.patch_size() as f64;
        // The patches before a stretch are computed once more.
        let read = rows * patch * (at_once + history).min(context / patch);
        let mut fine = Bytes::default();
        for l in 1..config.levels.len() {
            let level = self.level(l, read, config.dropout, memory.checkpoint.contains(&l));
            fine.forward = fine.forward.max(fine.kept + level.forward);
            fine.kept += level.kept;
            fine.backward = fine.backward.max(level.backward);
        }
        let predicted = rows * (patch * at_once).min(config.predicted(config.context) as f64);
        let width = self.width(config.levels.len() - 1);
        // Logits, their softmax and its gradient in float32, and what the last level says, cut out.
        let head = predicted * (12.0 * config.vocab as f64 + self.m() * width + 8.0);
        let fine = (fine.kept + head.max(fine.backward)).max(fine.forward);
        // What finer levels say to the first one, in the type of the parameters, then in that of its output; and of a stretch
        // alone.
        let between = (4.0 + 2.0 * self.m()) * self.width(0) * rows * context / patch;
        let casts: f64 = (config.first_level()..config.levels.len())
            .map(|l| self.cast_copies(l, memory.checkpoint.contains(&l)))
            .sum();
        let first_peak = fine.max(first.forward).max(first.backward);
        (symbols + first.kept + between + first_peak + casts + self.matrix_gradient()) as u64
    }

    /// Bytes of scoring, as [`loss::each_nats`](super::loss::each_nats) does it, and of drawing a few sequences; without the
    /// weights.
    pub fn scoring(&self) -> u64 {
        let config = self.config;
        let (rows, context) = (self.rows as f64, config.context as f64);
        let patch = config.patch_size() as f64;
        let once = |l: usize, symbols: f64| {
            let units = symbols / config.levels[l].unit as f64;
            let asking = if config.latents > 0 { rows * config.predicted(config.context) as f64 } else { units };
            self.stem(l, units).forward.max(self.block_once(l, asking, units))
        };
        let first = if config.first_level() == 0 { once(0, rows * context) } else { 0.0 };
        let at_once = self.at_once(STRETCH);
        let history = if config.levels.len() > 1 { config.history(1) as f64 } else { 0.0 };
        let read = rows * patch * (at_once + history).min(context / patch);
        let fine = (1..config.levels.len()).map(|l| once(l, read)).fold(0.0, f64::max);
        let predicted = rows * (patch * at_once).min(config.predicted(config.context) as f64);
        let head = predicted * (8.0 * config.vocab as f64 + self.m() * self.width(config.levels.len() - 1) + 8.0);
        let said = self.m() * self.width(0) * rows * context / patch;
        (first.max(said + fine.max(head)) + 3.0 * 8.0 * rows * context).max(2.0 * self.cache()) as u64
    }

    /// Bytes of drawing so many sequences: their keys and values, and for the byte that comes the logits in float32, their
    /// softmax and its sums; without the weights.
    pub fn generation(&self) -> u64 {
        (self.rows as f64 * (self.cache() + 12.0 * self.config.vocab as f64)) as u64
    }

    /// Bytes of the keys and values of one sequence.
    fn cache(&self) -> f64 {
        let config = self.config;
        let levels = config.first_level()..config.levels.len();
        levels.map(|l| LevelCache::bytes(config, l, self.kind) as f64).sum()
    }

    /// Bytes of the copy of the matrices in the type of matrix work, which a model that no longer trains has.
    pub fn frozen(&self) -> u64 {
        let config = self.config;
        let matrices: f64 = (config.first_level()..config.levels.len()).map(|l| self.cast_copies(l, false)).sum();
        (matrices
            + if self.casts() {
                self.m() * (config.vocab * config.levels[config.levels.len() - 1].n_embd) as f64
            } else {
                0.0
            }) as u64
    }

    /// Bytes of a number in the type of matrix work.
    fn m(&self) -> f64 {
        self.kind.elt_size_in_bytes() as f64
    }

    /// Whether weights are cast for matrix work.
    fn casts(&self) -> bool {
        self.kind != Kind::Float
    }

    fn width(&self, l: usize) -> f64 {
        self.config.levels[l].n_embd as f64
    }

    /// Coarsest units of a sequence that go through the finer levels together.
    fn at_once(&self, stretch: usize) -> f64 {
        let patch = self.config.patch_size();
        let all = self.config.predicted(self.config.context) / patch;
        (if stretch == 0 { all } else { (stretch / (self.rows * patch)).clamp(1, all.max(1)) }) as f64
    }

    /// Level `l`, which reads so many symbols; with `checkpointed` it keeps the inputs of its blocks alone.
    fn level(&self, l: usize, symbols: f64, dropout: f64, checkpointed: bool) -> Bytes {
        let (config, width, m) = (self.config, self.width(l), self.m());
        let units = symbols / config.levels[l].unit as f64;
        let blocks = config.levels[l].n_layer as f64;
        let latents = if config.latents > 0 { (self.rows * config.predicted(config.context)) as f64 } else { units };
        let stem = self.stem(l, units);
        let block = self.block(l, latents, latents, dropout);
        // The one in which latents read the whole context.
        let cross = if config.latents > 0 { self.block(l, latents, units, dropout) } else { Bytes::default() };
        let largest = |of: fn(&Bytes) -> f64| of(&block).max(of(&cross));
        let norm = self.norm(width) * latents;
        let out = m * width * latents;
        let (forward, backward) = (largest(|block| block.forward), largest(|block| block.backward));
        let finish = 8.0 * width * latents + norm;
        if checkpointed {
            // Once there, a block at a time; and back, each once more with what it keeps.
            let kept = stem.kept + 4.0 * width * latents * (blocks + 1.0) + out;
            let again = largest(|block| block.kept);
            let forward = stem.forward.max(again + forward).max(finish);
            return Bytes {
                kept,
                forward,
                backward: again + forward.max(backward).max(finish) + 8.0 * width * latents,
            };
        }
        Bytes {
            kept: stem.kept + block.kept * blocks + cross.kept + norm + out,
            forward: stem.forward.max(forward).max(finish),
            backward: backward.max(finish).max(stem.backward) + out,
        }
    }

    /// The way from bytes and from the level above to the inputs of the first block.
    fn stem(&self, l: usize, units: f64) -> Bytes {
        let (config, width, m) = (self.config, self.width(l), self.m());
        let stream = 4.0 * width * units;
        if !config.has_blocks(l) {
            return Bytes { kept: stream + m * width * units, forward: 2.0 * stream, backward: 2.0 * stream };
        }
        let codes = (config.code_dim(l) * config.levels[l].unit) as f64 * units;
        let mut kept = stream;
        if config.embedding == Embedding::Linear && config.levels[l].unit > 1 {
            kept += m * codes;
        }
        if config.has_encoder(l) {
            // Of each convolution its padded input and what comes out.
            kept += FILTERS.len() as f64 * 2.0 * m * codes;
        }
        let moment = 12.0 * codes.max(width * units) + m * width * units + 8.0 * units * config.levels[l].unit as f64;
        Bytes { kept, forward: moment, backward: moment }
    }

    /// What a norm keeps of a unit beside its input and its output: the moments, and where it is made of smaller
    /// operations, the normed input.
    fn norm(&self, width: f64) -> f64 {
        match self.config.norm {
            Norm::LayerNorm => 8.0,
            Norm::RmsNorm => 8.0 + 4.0 * width,
        }
    }

    /// One block over so many units, in which `asking` of them go on and all answer.
    fn block(&self, l: usize, asking: f64, all: f64, dropout: f64) -> Bytes {
        let (config, width, m) = (self.config, self.width(l), self.m());
        let (inner, heads) = (config.ffn_dim(l) as f64, config.levels[l].n_head as f64);
        // The stream behind each half of the block; the normed inputs of both.
        let mut kept = 8.0 * width * asking + (self.norm(width) + m * width) * (all + asking);
        // Queries, keys, values.
        let asked = width * (asking + 2.0 * all);
        kept += m * asked;
        if asking < all {
            kept += m * width * asking;
        }
        if config.qk_norm {
            let copy = if self.casts() { 4.0 } else { 0.0 };
            kept += (copy + 4.0 + m) * width * (asking + all);
        }
        if config.is_rotary(l) {
            kept += m * width * (asking + all);
        }
        let attention = self.attention(l, asking, all, dropout);
        kept += attention.kept;
        // What the nonlinearity was computed from, and what came out.
        let tensors = match config.ffn {
            Ffn::Relu => 1.0,
            Ffn::Gelu | Ffn::Relu2 => 2.0,
            Ffn::SwiGlu => 4.0,
        };
        kept += tensors * m * inner * asking;
        if dropout > 0.0 {
            kept += 2.0 * m * width * asking;
        }
        let projected = m * (4.0 * width * all).max(inner * asking);
        let gradients = m * (8.0 * width * all).max(2.0 * tensors.max(1.0) * inner * asking);
        // The kernels for attention order keys, values and gradients anew, a head a thread.
        let head = width / heads * self.units_together(l) * 4.0;
        let threads = if self.device == Device::Cpu { f64::from(tch::get_num_threads()) } else { 0.0 };
        Bytes {
            kept,
            forward: 4.0 * width * (all + asking) + projected + attention.forward + 2.0 * head * threads,
            backward: 8.0 * width * (all + asking) + gradients + attention.backward + 8.0 * head * threads,
        }
    }

    /// Bytes of one block where nothing is kept for a way back.
    fn block_once(&self, l: usize, asking: f64, all: f64) -> f64 {
        let (config, width, m) = (self.config, self.width(l), self.m());
        let asked = m * width * (asking + 2.0 * all);
        let turned = if config.is_rotary(l) || config.qk_norm { 2.0 } else { 1.0 };
        let attention = self.attention(l, asking, all, 0.0);
        // The stream, as it is normed, in both types; queries, keys and values; what comes out, and through its matrix.
        let attended =
            (8.0 + m) * width * all + turned * asked + attention.kept + attention.forward + m * width * asking;
        // The stream before and behind attention, and behind all; both as they were normed; what is between the matrices.
        let inner = if config.ffn == Ffn::SwiGlu { 4.0 } else { 3.0 } * m * config.ffn_dim(l) as f64;
        let fed = (4.0 * width + m * width) * all + (8.0 * width + m * width + inner) * asking;
        attended.max(fed)
    }

    /// Attention from queries, keys and values to what it gives.
    fn attention(&self, l: usize, asking: f64, all: f64, dropout: f64) -> Bytes {
        let (config, width, m) = (self.config, self.width(l), self.m());
        let (heads, together) = (config.levels[l].n_head as f64, self.units_together(l));
        let (before, window) = (config.reach_back(l) as f64, config.levels[l].window as f64);
        let mut kept = (m * width + 4.0 * heads) * asking;
        // Keys that stand beside a query, and how often each unit is a key.
        let (mut keys, mut copies) = (together, 1.0);
        let plain = self.keeps_weights(l, asking < all, dropout);
        let mut moment = 0.0;
        if before > 0.0 {
            (keys, copies) = (together + before, 1.0 + before / together);
            // Keys and values behind those of the parent before; queries and outputs where the first parents go alone.
            kept += m * width * (2.0 * copies * all + 4.0 * all);
            moment += 2.0 * m * width * copies * all;
        } else if window > 0.0 && window < together {
            (keys, copies) = (2.0 * window, 2.0);
            kept += m * width * 2.0 * all;
            // Not every CPU has a kernel for windows of other types than float32.
            if plain || self.device != Device::Cpu || self.kind != Kind::Float {
                kept += m * width * 8.0 * all;
            }
            moment += m * width * 6.0 * all;
        }
        if asking < all || before > 0.0 || copies > 1.0 {
            // The mask, as it is and as numbers.
            kept += (1.0 + m) * keys * (asking / self.rows as f64).min(together);
        }
        if !plain {
            return Bytes { kept, forward: moment, backward: moment };
        }
        // Queries, keys and values in float32; the softmax, what is dropped of it, and what is left.
        let (numbers, weights) = (width * (2.0 * asking + 3.0 * copies * all), heads * keys * asking);
        Bytes {
            kept: kept + 4.0 * numbers + 12.0 * weights,
            forward: moment + 8.0 * weights,
            backward: moment + 12.0 * weights + 4.0 * numbers,
        }
    }

    /// Whether attention keeps its weights, the square of the units: on a CPU, where some of them are dropped and no kernel of
    /// this project does it. `some` ask only, or all units do.
    fn keeps_weights(&self, l: usize, some: bool, dropout: f64) -> bool {
        if self.device != Device::Cpu || dropout == 0.0 {
            return false;
        }
        let level = &self.config.levels[l];
        let (heads, features) = (level.n_head as i64, (level.n_embd / level.n_head) as i64);
        // Of this shape, of one sequence, and without its numbers.
        let queries = Tensor::zeros([1], (self.kind, Device::Cpu))
            .expand([1, heads, self.units_together(l) as i64, features], false);
        let window =
            (level.window > 0 && (level.window as f64) < self.units_together(l)).then_some(level.window as i64);
        let sight = Sight { before: self.config.reach_back(l) as i64, parents: 1, window };
        some || !attention::suits(&queries, sight, dropout)
    }

    /// Units of a parent that are in one pass.
    fn units_together(&self, l: usize) -> f64 {
        self.config.units(l) as f64
    }

    /// Bytes of the matrices of a level as they are cast for a pass, and kept for the way back.
    fn cast_copies(&self, l: usize, checkpointed: bool) -> f64 {
        let config = self.config;
        if !self.casts() {
            return 0.0;
        }
        let blocks = (config.block_parameters(l) + config.latents_parameters(l)) as f64;
        let blocks = if checkpointed { blocks / (config.levels[l].n_layer.max(1) as f64) } else { blocks };
        self.m() * (blocks + self.between(l))
    }

    /// Parameters of the matrices between the bytes, the level above, and level `l`.
    fn between(&self, l: usize) -> f64 {
        let config = self.config;
        let code = config.code_dim(l) as f64;
        let unit = config.levels[l].unit;
        let mut all = config.from_parent_parameters(l) as f64;
        if config.has_blocks(l) && config.embedding == Embedding::Linear && unit > 1 {
            all += self.width(l) * unit as f64 * code;
        }
        if config.has_encoder(l) {
            all += FILTERS.iter().sum::<i64>() as f64 * code * code;
        }
        all
    }

    /// Bytes of the gradient of the largest matrix before it is added to its place, and as it was computed.
    fn matrix_gradient(&self) -> f64 {
        let config = self.config;
        let largest = |l: usize| {
            let width = self.width(l);
            (width * (3.0 * width).max(config.ffn_dim(l) as f64)).max(self.between(l))
        };
        let table = (config.vocab * config.levels[config.levels.len() - 1].n_embd) as f64;
        let levels = (config.first_level()..config.levels.len()).map(largest).fold(table, f64::max);
        levels * if self.casts() { 4.0 + self.m() } else { 4.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Megabyte, gradients, loss};
    use super::*;
    use crate::native::memory::TensorCount;

    fn config(text: &str) -> ModelConfig {
        toml::from_str(text).unwrap()
    }

    /// Two levels, wide enough that what a pass keeps is more than its symbols.
    fn two(keys: &str) -> ModelConfig {
        config(&format!(
            "context = 256\ndropout = 0.0\n{keys}\n\
             [[level]]\nunit = 8\nn_embd = 96\nn_layer = 3\nn_head = 4\n\
             [[level]]\nunit = 1\nn_embd = 64\nn_layer = 2\nn_head = 2\n"
        ))
    }

    fn one(keys: &str, of_level: &str) -> ModelConfig {
        config(&format!(
            "context = 256\ndropout = 0.0\n{keys}\n[[level]]\nunit = 1\nn_embd = 64\nn_layer = 3\nn_head = 4\n{of_level}\n"
        ))
    }

    fn three() -> ModelConfig {
        config(
            "context = 480\ndropout = 0.0\n\
             [[level]]\nunit = 48\nn_embd = 192\nn_layer = 2\nn_head = 4\n\
             [[level]]\nunit = 3\nn_embd = 96\nn_layer = 2\nn_head = 4\n\
             [[level]]\nunit = 1\nn_embd = 48\nn_layer = 2\nn_head = 2\n",
        )
    }

    fn symbols(rows: i64, context: usize) -> Tensor {
        Tensor::randint(256, [rows, context as i64], (Kind::Int64, Device::Cpu))
    }

    /// The most bytes of tensors in a second pass there and back, and in scoring, beside weights and gradients: counted.
    fn counted(config: &ModelConfig, rows: i64, kind: Kind, memory: &Memory) -> [u64; 2] {
        let count = TensorCount::begin().unwrap();
        let model = Megabyte::new(config, kind, Device::Cpu, 1).unwrap();
        let model_itself = 4 * model.parameters().count();
        let symbols = symbols(rows, config.context);
        let step = || drop(gradients::accumulate(&model, &symbols, config.dropout, 1.0, memory).unwrap());
        step();
        count.take_peak();
        step();
        let training = count.take_peak() - 2 * model_itself;
        let _guard = tch::no_grad_guard();
        let frozen = model.twin().unwrap();
        drop(loss::each_nats(&frozen, &symbols).unwrap());
        [training, count.take_peak() - 2 * model_itself]
    }

    /// Holds formula and counts beside each other: above, and by no more than a factor of two.
    fn compare(name: &str, config: &ModelConfig, kinds: &[Kind], memory: &Memory) {
        config.validate().unwrap();
        let rows = 4;
        for &kind in kinds {
            let formula = Activations { config, rows, kind, device: Device::Cpu };
            let counted = counted(config, rows as i64, kind, memory);
            let formulas = [formula.training(memory), formula.frozen() + formula.scoring()];
            for ((what, counted), formula) in ["a step", "scoring"].into_iter().zip(counted).zip(formulas) {
                let factor = formula as f64 / counted as f64;
                assert!(factor >= 1.0, "{name}, {kind:?}: {what} takes {counted}, and {formula} by formula");
                // Dropped attention weights may be kept or computed again.
                assert!(factor <= 2.0 || config.dropout > 0.0, "{name}, {kind:?}: {what}, {factor} times");
            }
        }
    }

    const BOTH: &[Kind] = &[Kind::Float, Kind::BFloat16];

    #[test]
    fn the_formula_is_above_what_is_counted_and_not_far() {
        let all = Memory::default();
        compare("two levels", &two(""), BOTH, &all);
        compare("three levels", &three(), &[Kind::Float], &all);
        compare("one level", &one("", ""), BOTH, &all);
        // Those whose tensors depend on the type, and others.
        for keys in ["norm = \"rmsnorm\"", "position = \"rotary\"\nqk_norm = true", "cross_patch = 4"] {
            compare(keys, &two(keys), BOTH, &all);
        }
        for keys in [
            "ffn = \"swiglu\"",
            "ffn = \"gelu\"",
            "ffn = \"relu2\"",
            "bias = false\ntie = false",
            "conv_encoder = true",
            "embedding = \"linear\"\nbyte_dim = 32\nprojection = \"linear\"",
        ] {
            compare(keys, &two(keys), &[Kind::Float], &all);
        }
        compare("window", &one("", "window = 64"), BOTH, &all);
        compare("latents", &one("latents = 64", ""), &[Kind::Float], &all);
        compare("dropout", &two("").with_dropout(0.1), BOTH, &all);
    }

    #[test]
    fn stretches_and_checkpoints_are_in_the_formula() {
        let memory = |stretch, checkpoint: &[usize]| Memory { stretch, checkpoint: checkpoint.to_vec() };
        compare("stretches", &two(""), BOTH, &memory(256, &[]));
        compare("stretches, patches", &two("cross_patch = 4"), &[Kind::Float], &memory(256, &[]));
        compare("a level", &two(""), &[Kind::Float], &memory(0, &[1]));
        compare("all levels", &two(""), BOTH, &memory(0, &[0, 1]));
        compare("both", &three(), &[Kind::Float], &memory(768, &[0, 1, 2]));
        compare("one level again", &one("", ""), &[Kind::Float], &memory(0, &[0]));
    }

    #[test]
    fn more_of_anything_needs_more_and_nothing_overflows() {
        let small = two("");
        let of = |config: &ModelConfig, rows, memory: &Memory| {
            Activations { config, rows, kind: Kind::Float, device: Device::Cpu }.training(memory)
        };
        let all = Memory::default();
        assert!(of(&small, 4, &all) < of(&small, 8, &all));
        assert!(of(&small, 8, &Memory { stretch: 512, ..all.clone() }) < of(&small, 8, &all));
        assert!(of(&small, 8, &Memory { checkpoint: vec![0, 1], ..all.clone() }) < of(&small, 8, &all));
        let mut huge = small.with_dropout(0.5);
        huge.context = 1 << 30;
        for level in &mut huge.levels {
            (level.n_embd, level.n_layer) = (65_536, 1024);
        }
        assert_eq!(of(&huge, 1 << 32, &all), u64::MAX);
    }

    impl ModelConfig {
        fn with_dropout(mut self, dropout: f64) -> Self {
            self.dropout = dropout;
            self
        }
    }
}
