//! What a model is: the keys of `[model]`. Their checks are in `check.rs`, what they cost is in `cost.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The norm before each sub-layer and at the end of each level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Mean and variance (the paper's).
    LayerNorm,
    /// Root mean square.
    RmsNorm,
}

/// The feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ffn {
    /// max(x, 0) (the paper's).
    Relu,
    /// max(x, 0) squared.
    Relu2,
    /// x Φ(x).
    Gelu,
    /// silu(gate) · up; the width is two thirds, so that the size stays.
    SwiGlu,
}

/// How a level knows where a unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// A learned table added to the byte codes (equation 1).
    Learned,
    /// Rotation of queries and keys.
    Rotary,
    /// Not at all.
    None,
}

/// How the bytes of a unit become its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Embedding {
    /// Narrow codes side by side (equations 1 and 2).
    Concat,
    /// Codes of `byte_dim` side by side, then one matrix. Units of one byte need no matrix and have none.
    Linear,
}

/// How a unit's output reaches its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// A slice a child, one matrix for all (equation 4).
    Slice,
    /// One matrix from the whole output to all children.
    Linear,
}

/// One level of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LevelConfig {
    /// Bytes of a unit; divides that of the level above and is smaller, and is 1 at the last level.
    pub unit: usize,
    /// Width, 1 to 65536: a multiple of `n_head`, of `unit` (unless `embedding = "linear"`) and of the number of
    /// children of a unit (unless `projection = "linear"`).
    #[schemars(range(min = 1, max = 65_536))]
    pub n_embd: usize,
    /// Transformer blocks, 1 to 1024. 0 at the first level: no global model, patches hear of each other through
    /// `cross_patch` at most; 0 at the last: no local model, the bytes of a patch follow from the patches before alone.
    #[schemars(range(max = 1024))]
    pub n_layer: usize,
    /// Attention heads, 1 or more; divides `n_embd`.
    pub n_head: usize,
    /// Units that a unit attends to, itself included; 0: all before it. For the first level.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub window: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The keys of `[model]`; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Symbols: 256, or 257 for text and bytes, where a document ends with the symbol 256.
    #[serde(default = "defaults::vocab")]
    pub vocab: usize,
    /// Bytes of the longest sequence, at most 2^30: a multiple of the coarsest unit; for pictures the bytes of one, or a
    /// divisor of them, which makes several sequences of a picture.
    pub context: usize,
    /// The norm before each sub-layer and at the end of each level.
    #[serde(default = "defaults::norm")]
    pub norm: Norm,
    /// Added to the variance; above 0.
    #[serde(default = "defaults::norm_eps")]
    pub norm_eps: f64,
    /// The feed-forward layer.
    #[serde(default = "defaults::ffn")]
    pub ffn: Ffn,
    /// Width of the feed-forward layer over the level's width, 0.1 to 64 (two thirds of it for `"swiglu"`, rounded to a
    /// multiple of 8).
    #[serde(default = "defaults::ffn_mult")]
    pub ffn_mult: f64,
    /// Biases in the blocks' matrices and in LayerNorm.
    #[serde(default = "defaults::yes")]
    pub bias: bool,
    /// How a level knows where a unit stands.
    #[serde(default = "defaults::position")]
    pub position: Position,
    /// Wavelength base of rotary positions; above 1.
    #[serde(default = "defaults::rotary_base")]
    pub rotary_base: f64,
    /// How the bytes of a unit become its vector.
    #[serde(default = "defaults::embedding")]
    pub embedding: Embedding,
    /// Width of a byte's code where `embedding = "linear"`, 1 to 65536.
    #[serde(default = "defaults::byte_dim")]
    pub byte_dim: usize,
    /// How a unit's output reaches its children.
    #[serde(default = "defaults::projection")]
    pub projection: Projection,
    /// The output matrix is the finest byte table (equation 6).
    #[serde(default = "defaults::yes")]
    pub tie: bool,
    /// Share of attention weights and sub-layer outputs dropped in training, 0 to below 1; never embeddings. On a CPU
    /// without AVX2, dropped attention weights take memory of the square of a level's units: 0 for long sequences.
    #[serde(default = "defaults::dropout")]
    pub dropout: f64,
    /// RMSNorm of queries and keys, a learned gain a head dimension.
    #[serde(default)]
    pub qk_norm: bool,
    /// Units at the end of the previous parent that the levels below the first attend to as well, at most those of a
    /// parent; they use rotary positions then, whatever `position` says (section 2.3 of the paper, which gives no number).
    #[serde(default)]
    pub cross_patch: usize,
    /// Causal convolutions of 3, 5 and 7 bytes over the bytes' codes, before these become units (section 2.3).
    #[serde(default)]
    pub conv_encoder: bool,
    /// PerceiverAR (Hawthorne et al. 2022): only this many last bytes go through the blocks, after one that lets them
    /// attend to the whole context, and only these are predicted. For one level; even, and half of it divides
    /// `context`. 0: all bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub latents: usize,
    /// Standard deviation of the initial weights, cut at two of them; above 0.
    #[serde(default = "defaults::init_std")]
    pub init_std: f64,
    /// The levels, coarse first; the last has units of one byte.
    #[serde(rename = "level")]
    pub levels: Vec<LevelConfig>,
}

mod defaults {
    use super::{Embedding, Ffn, Norm, Position, Projection};

    pub fn vocab() -> usize {
        256
    }
    pub fn norm() -> Norm {
        Norm::LayerNorm
    }
    pub fn norm_eps() -> f64 {
        1e-5
    }
    pub fn ffn() -> Ffn {
        Ffn::Relu
    }
    pub fn ffn_mult() -> f64 {
        4.0
    }
    pub fn yes() -> bool {
        true
    }
    pub fn position() -> Position {
        Position::Learned
    }
    pub fn rotary_base() -> f64 {
        10_000.0
    }
    pub fn embedding() -> Embedding {
        Embedding::Concat
    }
    pub fn byte_dim() -> usize {
        64
    }
    pub fn projection() -> Projection {
        Projection::Slice
    }
    pub fn dropout() -> f64 {
        0.1
    }
    pub fn init_std() -> f64 {
        0.006
    }
}

impl ModelConfig {
    /// Units of level `l` inside one parent: n_l, and at level 0 the units of a whole context.
    pub fn units(&self, l: usize) -> usize {
        self.parent_unit(l) / self.levels[l].unit
    }

    /// Bytes of a parent of level `l`: span_l, and at level 0 the context.
    pub fn parent_unit(&self, l: usize) -> usize {
        if l == 0 { self.context } else { self.levels[l - 1].unit }
    }

    /// Bytes of the coarsest unit: a sequence is padded to a multiple of it.
    pub fn patch_size(&self) -> usize {
        self.levels[0].unit
    }

    /// The first level with a transformer.
    pub fn first_level(&self) -> usize {
        usize::from(!self.has_blocks(0))
    }

    /// Whether level `l` has a transformer.
    pub fn has_blocks(&self, l: usize) -> bool {
        self.levels[l].n_layer > 0
    }

    /// Units of the previous parent that level `l` attends to.
    pub fn reach_back(&self, l: usize) -> usize {
        if l == 0 { 0 } else { self.cross_patch.min(self.units(l)) }
    }

    /// Parents of level `l` before the current one that its output, and that of the levels below, depends on through
    /// attention to the parent before: one a block.
    pub fn history(&self, l: usize) -> usize {
        let own = if self.reach_back(l) > 0 { self.levels[l].n_layer } else { 0 };
        let below = if l + 1 < self.levels.len() { self.history(l + 1) } else { 0 };
        own + below.div_ceil(self.units(l))
    }

    /// How many symbols of a sequence of `length` a pass predicts: the last of them, all but for [`Self::latents`].
    pub fn predicted(&self, length: usize) -> usize {
        if self.latents == 0 { length } else { length.min(self.latents) }
    }

    /// Place of the first of the symbols that go through all blocks when symbol `t` is predicted: 0 but for
    /// [`Self::latents`], where it moves on by half of them.
    pub fn latents_begin(&self, t: usize) -> usize {
        match self.latents / 2 {
            0 => 0,
            half => (t / half).saturating_sub(1) * half,
        }
    }

    /// How many symbols of a context training passes read, each as often as the others: all, but for
    /// [`Self::latents`], which see beginnings too.
    pub fn training_lengths(&self) -> impl ExactSizeIterator<Item = usize> {
        let least = if self.latents == 0 { self.context } else { self.latents / 2 };
        (0..self.context / least).map(move |halves| (halves + 1) * least)
    }

    /// Ends of the passes that predict a sequence of `length` symbols one after the other, so that the latents begin
    /// where [`Self::latents_begin`] says: the length alone, but for [`Self::latents`].
    pub fn passes(&self, length: usize) -> Vec<usize> {
        let half = self.latents / 2;
        if half == 0 || length <= self.latents {
            return vec![length];
        }
        let further = (self.latents + half..length).step_by(half);
        std::iter::once(self.latents).chain(further).chain([length]).collect()
    }

    /// Whether level `l` turns queries and keys by their positions: always where it attends to the previous parent,
    /// whose units it could not tell from its own otherwise.
    pub fn is_rotary(&self, l: usize) -> bool {
        self.has_blocks(l) && (self.position == Position::Rotary || self.reach_back(l) > 0)
    }

    /// Whether level `l` has a convolutional encoder.
    pub fn has_encoder(&self, l: usize) -> bool {
        self.conv_encoder && self.levels[l].unit > 1 && self.has_blocks(l)
    }

    /// Width of one byte's code at level `l`.
    pub fn code_dim(&self, l: usize) -> usize {
        let level = &self.levels[l];
        match self.embedding {
            Embedding::Linear if level.unit > 1 => self.byte_dim,
            _ => level.n_embd / level.unit,
        }
    }

    /// Width of the feed-forward layer at level `l`.
    pub fn ffn_dim(&self, l: usize) -> usize {
        let width = self.ffn_mult * self.levels[l].n_embd as f64;
        match self.ffn {
            // Three matrices instead of two: two thirds of the width, in steps that suit the hardware.
            Ffn::SwiGlu => ((width * 2.0 / 3.0 / 8.0).round() as usize * 8).max(8),
            _ => width.round() as usize,
        }
    }
}
