//! One level of the hierarchy: its way in from bytes and from the level above, and its transformer.
//!
//! Shapes: S parents, n units inside each, u bytes a unit, D width of this level, C width of a byte's code.

use tch::{Device, Kind, Tensor};

use super::attention::Rotary;
use super::block::Block;
use super::cache::LevelCache;
use super::config::{Embedding, ModelConfig, Position, Projection};
use super::layers::Norm;
use super::parameters::{Init, Parameters};

/// A causal transformer over the units of each parent.
#[derive(Debug)]
pub struct Level {
    /// (V, C)
    byte_embedding: Tensor,
    /// (span, C)
    position: Option<Tensor>,
    /// (D, u C)
    embed: Option<Tensor>,
    /// (D)
    pad: Tensor,
    /// (D, slice) or (n D, parent's D)
    from_parent: Option<Tensor>,
    blocks: Vec<Block>,
    norm: Norm,
    rotary: Option<Rotary>,
    unit: i64,
    children: i64,
    projection: Projection,
}

impl Level {
    /// Level `l`, its parameters named `level.{l}.…`.
    pub fn new(params: &mut Parameters, config: &ModelConfig, l: usize, kind: Kind, device: Device) -> Self {
        let level = &config.levels[l];
        let name = format!("level.{l}");
        let [width, unit, code, units] =
            [level.n_embd, level.unit, config.code_dim(l), config.units(l)].map(|n| n as i64);
        let normal = Init::TruncatedNormal(config.init_std);
        let mut table = |name: String, shape: &[i64]| params.add(name, shape, normal);

        let byte_embedding = table(format!("{name}.byte_embedding"), &[config.vocab as i64, code]);
        let position = (config.position == Position::Learned)
            .then(|| table(format!("{name}.position"), &[config.parent_unit(l) as i64, code]));
        let embed = (config.embedding == Embedding::Linear && unit > 1)
            .then(|| table(format!("{name}.embed"), &[width, unit * code]));
        let pad = table(format!("{name}.pad"), &[width]);
        let from_parent = (l > 0).then(|| {
            let parent = config.levels[l - 1].n_embd as i64;
            let shape = match config.projection {
                Projection::Slice => [width, parent / units],
                Projection::Linear => [units * width, parent],
            };
            table(format!("{name}.from_parent"), &shape)
        });
        let blocks = (0..level.n_layer).map(|i| Block::new(params, &format!("{name}.block.{i}"), config, l)).collect();
        Level {
            byte_embedding,
            position,
            embed,
            pad,
            from_parent,
            blocks,
            norm: Norm::new(params, &format!("{name}.norm"), level.n_embd, config),
            rotary: Rotary::new(config, l, kind, device),
            unit,
            children: units,
            projection: config.projection,
        }
    }

    /// The vectors of m units: symbols (S, m u) to (S, m, D), the first unit at place `first` of its parent.
    fn units(&self, symbols: &Tensor, first: i64, kind: Kind) -> Tensor {
        let (sequences, bytes) = symbols.size2().expect("symbols are (S, m u)");
        let mut codes = Tensor::embedding(&self.byte_embedding, symbols, -1, false, false); // (S, m u, C)
        if let Some(position) = &self.position {
            codes += position.narrow(0, first * self.unit, bytes);
        }
        let units = codes.reshape([sequences, bytes / self.unit, -1]);
        match &self.embed {
            Some(embed) => units.to_kind(kind).linear(&embed.to_kind(kind), None::<&Tensor>).to_kind(embed.kind()),
            None => units,
        }
    }

    /// What the level above says to each child: the parents' outputs (S, parent's D) to (S, n, D).
    pub fn children(&self, parents: &Tensor) -> Tensor {
        let from_parent = self.from_parent.as_ref().expect("level 0 has no parents");
        let sequences = parents.size()[0];
        let weight = from_parent.to_kind(parents.kind());
        let parents = match self.projection {
            Projection::Slice => parents.reshape([sequences, self.children, -1]),
            Projection::Linear => parents.shallow_clone(),
        };
        parents.linear(&weight, None::<&Tensor>).view([sequences, self.children, -1])
    }

    /// The inputs of units `first` to `first + n`: each unit's predecessor, or the pad where there is none, and what
    /// the parent says. `before` holds the symbols of the predecessors: (S, n u), or (S, (n - 1) u) from place 0 on.
    pub fn inputs(&self, before: &Tensor, from_parent: Option<&Tensor>, first: i64, kind: Kind) -> Tensor {
        let (sequences, bytes) = before.size2().expect("symbols are (S, m u)");
        let shifted = if first > 0 {
            self.units(before, first - 1, kind)
        } else {
            let pad = self.pad.view([1, 1, -1]).expand([sequences, 1, -1], false);
            if bytes == 0 { pad } else { Tensor::cat(&[pad, self.units(before, 0, kind)], 1) }
        };
        match from_parent {
            Some(from_parent) => shifted + from_parent,
            None => shifted,
        }
    }

    /// (S, n, D) to (S, n, D) as `kind`, after the final norm. With a cache, the units follow those that it holds.
    pub fn forward(&self, inputs: Tensor, kind: Kind, dropout: f64, mut cache: Option<&mut LevelCache>) -> Tensor {
        let n = inputs.size()[1];
        let start = cache.as_ref().map_or(0, |cache| cache.len);
        let mut x = inputs;
        for (i, block) in self.blocks.iter().enumerate() {
            let block_cache = cache.as_mut().map(|cache| &mut cache.blocks[i]);
            x = block.forward(x, kind, self.rotary.as_ref(), dropout, start, block_cache);
        }
        if let Some(cache) = cache {
            cache.len += n;
        }
        self.norm.forward(&x, kind)
    }

    /// The byte table (V, D) of a level of single bytes, which is the output matrix where it is tied.
    pub fn byte_table(&self) -> &Tensor {
        &self.byte_embedding
    }

    pub(super) fn freeze(&mut self, kind: Kind) {
        for block in &mut self.blocks {
            block.freeze(kind);
        }
    }
}
