//! One level of the hierarchy: its way in from bytes and from the level above, and its transformer.
//!
//! Shapes: S parents, n units inside each, u bytes a unit, D width of this level.

use tch::{Device, Kind, Tensor};

use super::attention::Pass;
use super::block::Block;
use super::cache::LevelCache;
use super::config::{ModelConfig, Projection};
use super::encoder::Encoder;
use super::layers::Norm;
use super::parameters::{Init, Parameters};
use super::rotary::Rotary;

/// A causal transformer over the units of each parent.
#[derive(Debug)]
pub struct Level {
    /// (V, C), where bytes are read or it is the output matrix.
    byte_embedding: Option<Tensor>,
    /// None where the level has no transformer: it then passes on what its parent says.
    encoder: Option<Encoder>,
    /// (D, slice) or (n D, parent's D)
    from_parent: Option<Tensor>,
    blocks: Vec<Block>,
    norm: Norm,
    rotary: Option<Rotary>,
    children: i64,
    projection: Projection,
    /// Units that go on after the first block, or 0: all do.
    latents: i64,
}

impl Level {
    /// Level `l`, its parameters named `level.{l}.…`.
    pub fn new(params: &mut Parameters, config: &ModelConfig, l: usize, kind: Kind, device: Device) -> Self {
        let level = &config.levels[l];
        let name = format!("level.{l}");
        let [width, code, units] = [level.n_embd, config.code_dim(l), config.units(l)].map(|n| n as i64);
        let normal = Init::TruncatedNormal(config.init_std);

        let byte_embedding = (config.has_blocks(l) || config.tie)
            .then(|| params.add(format!("{name}.byte_embedding"), &[config.vocab as i64, code], normal));
        let read = byte_embedding.as_ref().filter(|_| config.has_blocks(l));
        let encoder = read.map(|table| Encoder::new(params, &name, config, l, table));
        let from_parent = (l > config.first_level()).then(|| {
            let parent = config.levels[l - 1].n_embd as i64;
            let shape = match config.projection {
                Projection::Slice => [width, parent / units],
                Projection::Linear => [units * width, parent],
            };
            params.add(format!("{name}.from_parent"), &shape, normal)
        });
        let cross = (config.latents > 0).then(|| format!("{name}.cross"));
        let names = cross.into_iter().chain((0..level.n_layer).map(|i| format!("{name}.block.{i}")));
        let blocks = names.map(|name| Block::new(params, &name, config, l)).collect();
        Level {
            byte_embedding,
            encoder,
            from_parent,
            blocks,
            norm: Norm::new(params, &format!("{name}.norm"), level.n_embd, config),
            rotary: Rotary::new(config, l, kind, device),
            children: units,
            projection: config.projection,
            latents: config.latents as i64,
        }
    }

    /// What the level above says to each child: the parents' outputs (S, parent's D) to (S, n, D).
    pub fn children(&self, parents: &Tensor) -> Option<Tensor> {
        let from_parent = self.from_parent.as_ref()?;
        let sequences = parents.size()[0];
        let weight = from_parent.to_kind(parents.kind());
        let parents = match self.projection {
            Projection::Slice => parents.reshape([sequences, self.children, -1]),
            Projection::Linear => parents.shallow_clone(),
        };
        Some(parents.linear(&weight, None::<&Tensor>).view([sequences, self.children, -1]))
    }

    /// How many symbols before those of the unit at place `first` its vector depends on.
    pub fn halo(&self, first: i64) -> i64 {
        self.encoder.as_ref().map_or(0, |encoder| encoder.halo(first))
    }

    /// The inputs of units `first` to `first + n`: each unit's predecessor, or the pad where there is none, and what
    /// the parent says. `before` holds the symbols of the predecessors behind the halo of the first of them:
    /// (S, halo + n u), or (S, (n - 1) u) from place 0 on.
    pub fn inputs(&self, before: &Tensor, from_parent: Option<&Tensor>, first: i64, kind: Kind) -> Tensor {
        let shifted = self.encoder.as_ref().map(|encoder| encoder.shifted(before, first, kind));
        match (shifted, from_parent) {
            (Some(shifted), Some(from_parent)) => shifted + from_parent,
            (Some(shifted), None) => shifted,
            (None, from_parent) => from_parent.expect("a level reads bytes or its parents").shallow_clone(),
        }
    }

    /// What a pass over units from place `start` on shares between blocks; `parents` as in [`Pass`].
    pub fn pass(&self, kind: Kind, dropout: f64, start: i64, parents: i64) -> Pass<'_> {
        Pass::new(kind, self.rotary.as_ref(), dropout, start, parents)
    }

    /// How many blocks there are.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Block `i`: the stream (S, n, D) to (S, n, D), or to the last units alone where these are latents.
    pub fn block(&self, i: usize, x: Tensor, pass: &Pass<'_>) -> Tensor {
        let n = x.size()[1];
        let goes_on = if i == 0 && self.latents > 0 { self.latents.min(n) } else { n };
        self.blocks[i].forward(x, goes_on, pass, None)
    }

    /// The final norm of the stream, in the type of matrix work.
    pub fn finish(&self, x: &Tensor, kind: Kind) -> Tensor {
        self.norm.forward(x, kind)
    }

    /// (S, n, D) to (S, n, D) after the final norm, or to the last units alone where these are latents.
    pub fn forward(&self, inputs: Tensor, pass: &Pass<'_>) -> Tensor {
        let stream = (0..self.depth()).fold(inputs, |x, i| self.block(i, x, pass));
        self.finish(&stream, pass.kind)
    }

    /// The same for one parent a sequence, whose units follow those that the cache holds. Where there are latents, the
    /// last `latents` units of the inputs are.
    pub fn forward_cached(&self, inputs: Tensor, kind: Kind, latents: i64, cache: &mut LevelCache) -> Tensor {
        let (start, n) = (cache.place(), inputs.size()[1]);
        let mut x = inputs;
        for (block, cache) in self.blocks.iter().zip(&mut cache.blocks) {
            let units = x.size()[1];
            let pass = self.pass(kind, 0.0, start + n - units, 1);
            x = block.forward(x, if self.latents > 0 { latents } else { units }, &pass, Some(cache));
        }
        cache.len += n;
        self.finish(&x, kind)
    }

    /// The byte table (V, D) of a level of single bytes, which is the output matrix where it is tied.
    pub fn byte_table(&self) -> Option<&Tensor> {
        self.byte_embedding.as_ref()
    }

    pub(super) fn freeze(&mut self, kind: Kind) {
        if let Some(from_parent) = &mut self.from_parent {
            *from_parent = from_parent.detach().to_kind(kind);
        }
        if let Some(encoder) = &mut self.encoder {
            encoder.freeze(kind);
        }
        for block in &mut self.blocks {
            block.freeze(kind);
        }
    }
}
