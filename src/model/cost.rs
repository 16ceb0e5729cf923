//! What a model costs, by formula: parameters, and floating-point operations a byte. Nothing is built to know them.

use super::config::{Embedding, Ffn, LevelConfig, ModelConfig, Norm, Position, Projection};
use super::encoder::FILTERS;

/// Bytes that the convolutions see, each for itself.
fn taps() -> usize {
    FILTERS.iter().sum::<i64>() as usize
}

impl ModelConfig {
    /// Matrix parameters of level `l`'s blocks: 12 L D² for the paper's feed-forward layer.
    pub fn block_parameters(&self, l: usize) -> u64 {
        let LevelConfig { n_embd, n_layer, .. } = self.levels[l];
        (n_layer * (4 * n_embd * n_embd + self.ffn_parameters(l))) as u64
    }

    /// All parameters of level `l`, as a built model has them: tables, matrices, biases and norms. A first level without
    /// blocks has none.
    pub fn parameters(&self, l: usize) -> u64 {
        if l < self.first_level() {
            return 0;
        }
        let LevelConfig { unit, n_embd, n_layer, n_head, .. } = self.levels[l];
        let code = self.code_dim(l);
        let bias = usize::from(self.bias);
        let norm = n_embd * (1 + usize::from(self.bias && self.norm == Norm::LayerNorm));

        let mut all = norm;
        if self.has_blocks(l) || self.tie {
            all += self.vocab * code;
        }
        if self.has_blocks(l) {
            all += n_embd; // the pad
            if self.position == Position::Learned {
                all += self.parent_unit(l) * code;
            }
            if self.embedding == Embedding::Linear && unit > 1 {
                all += n_embd * unit * code;
            }
        }
        if self.has_encoder(l) {
            all += taps() * code * code + bias * FILTERS.len() * code;
        }
        all += self.from_parent_parameters(l) as usize;
        let ups = self.ffn_matrices() - 1;
        let biases = 3 * n_embd + n_embd + ups * self.ffn_dim(l) + n_embd;
        let qk_norms = if self.qk_norm { 2 * (n_embd / n_head) } else { 0 };
        let block = 4 * n_embd * n_embd + self.ffn_parameters(l) + bias * biases + 2 * norm + qk_norms;
        // The block in which latents read the whole context is one more.
        let blocks = n_layer + usize::from(self.latents > 0);
        (all + blocks * block) as u64
    }

    /// Matrix parameters of the block in which latents read the whole context, where there is one.
    pub fn latents_parameters(&self, l: usize) -> u64 {
        let n_embd = self.levels[l].n_embd;
        if self.latents > 0 { (4 * n_embd * n_embd + self.ffn_parameters(l)) as u64 } else { 0 }
    }

    /// Parameters of the matrix from level `l - 1` to level `l`, where there is one.
    pub fn from_parent_parameters(&self, l: usize) -> u64 {
        if l <= self.first_level() {
            return 0;
        }
        let (width, parent) = (self.levels[l].n_embd, self.levels[l - 1].n_embd);
        let all = match self.projection {
            Projection::Slice => width * (parent / self.units(l)),
            Projection::Linear => self.units(l) * width * parent,
        };
        all as u64
    }

    /// Parameters of the output matrix where it is not the finest byte table.
    pub fn output_parameters(&self) -> u64 {
        if self.tie { 0 } else { self.vocab as u64 * self.levels[self.levels.len() - 1].n_embd as u64 }
    }

    /// All parameters.
    pub fn total_parameters(&self) -> u64 {
        (0..self.levels.len()).map(|l| self.parameters(l)).sum::<u64>() + self.output_parameters()
    }

    /// Floating-point operations of a forward pass a byte, at level `l`: two a matrix parameter and unit, and 4 n D a
    /// unit for attention to n units (SpaceByte, appendix A), where n is all that masks let it attend to at most. Of a
    /// byte that is predicted, in a full context, where there are latents. Training takes three times as many.
    pub fn forward_flops_per_byte(&self, l: usize) -> f64 {
        if self.latents > 0 {
            return self.latents_flops(self.context) / self.latents as f64;
        }
        let LevelConfig { unit, n_embd, n_layer, .. } = self.levels[l];
        let mut matrices = (self.block_parameters(l) + self.projection_parameters(l)) as f64;
        if self.has_blocks(l) && self.embedding == Embedding::Linear && unit > 1 {
            matrices += (unit * self.byte_dim * n_embd) as f64;
        }
        if self.has_encoder(l) {
            // At each byte of the unit.
            matrices += (taps() * self.code_dim(l).pow(2) * unit) as f64;
        }
        if l == self.levels.len() - 1 {
            matrices += (self.vocab * n_embd) as f64;
        }
        let attention = 4.0 * (n_layer * self.keys(l)) as f64 * n_embd as f64;
        (2.0 * matrices + attention) / unit as f64
    }

    /// Floating-point operations of a forward pass over `length` bytes that predicts the last ones, where there are
    /// latents.
    fn latents_flops(&self, length: usize) -> f64 {
        let LevelConfig { n_embd, n_layer, .. } = self.levels[0];
        let predicted = self.predicted(length);
        // The first block: queries, what comes out and the feed-forward layer of the latents; keys and values of all
        // bytes; and the latents' attention to all of them.
        let of_latents = self.block_parameters(0) as usize + 2 * n_embd * n_embd + self.ffn_parameters(0);
        let matrices = (of_latents + self.vocab * n_embd) * predicted + 2 * n_embd * n_embd * length;
        let attention = 4 * n_embd * predicted * (n_layer * predicted + length);
        2.0 * matrices as f64 + attention as f64
    }

    /// Bytes that a pass over a sequence predicts in training, on average: the context, but for latents.
    pub fn trained_bytes(&self) -> f64 {
        mean(self.training_lengths().map(|length| self.predicted(length) as f64))
    }

    /// Floating-point operations of a training step a byte that is predicted, all levels: forward and twice that
    /// backward. With latents, the mean over the lengths that training draws.
    pub fn training_flops_per_byte(&self) -> f64 {
        if self.latents > 0 {
            let flops = mean(self.training_lengths().map(|length| self.latents_flops(length)));
            return 3.0 * flops / self.trained_bytes();
        }
        3.0 * (0..self.levels.len()).map(|l| self.forward_flops_per_byte(l)).sum::<f64>()
    }

    /// Units that a unit of level `l` attends to at most.
    fn keys(&self, l: usize) -> usize {
        match self.levels[l].window {
            0 => self.units(l) + self.reach_back(l),
            window => window.min(self.units(l)),
        }
    }

    /// Matrices of a feed-forward layer.
    fn ffn_matrices(&self) -> usize {
        if self.ffn == Ffn::SwiGlu { 3 } else { 2 }
    }

    /// Matrix parameters of one feed-forward layer of level `l`.
    fn ffn_parameters(&self, l: usize) -> usize {
        self.ffn_matrices() * self.levels[l].n_embd * self.ffn_dim(l)
    }

    /// Matrix parameters between level `l - 1` and level `l` that one child uses.
    fn projection_parameters(&self, l: usize) -> u64 {
        if l <= self.first_level() {
            return 0;
        }
        let from = match self.projection {
            Projection::Slice => self.levels[l - 1].n_embd / self.units(l),
            Projection::Linear => self.levels[l - 1].n_embd,
        };
        (from * self.levels[l].n_embd) as u64
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}
