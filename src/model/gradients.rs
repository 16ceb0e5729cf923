//! The way back, in as little memory as is asked for.
//!
//! Levels are taken one at a time: the graph of each ends at its input and its output, and gradients are handed from one
//! to the next. So a stretch of patches goes forward and back below the first level before the next one begins, and a
//! level can keep no more than what goes into its blocks and compute the rest again. Without dropout the numbers are
//! those of one graph over everything; with it, other masks are drawn. Where a level attends across patches, a stretch
//! computes the patches before it once more, one a block.
//!
//! Shapes: B sequences of T symbols; a level has S parents of n units and width D.

use tch::{Device, Kind, Tensor};

use super::stretch::{Stretch, stretches};
use super::{Megabyte, loss};
use crate::native::profile::{Span, span};
use crate::{Result, native};

/// What is kept of a forward pass for the way back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Symbols of a micro-batch that go forward and back together below the first level; 0 is all.
    pub stretch: usize,
    /// Levels that keep the inputs of their blocks alone.
    pub checkpoint: Vec<usize>,
}

/// Adds to every parameter's gradient that of `scale` times the nats of the symbols (B, T) that a pass predicts and that
/// are not padding. Gives these nats, a scalar in float32 or wider.
pub fn accumulate(model: &Megabyte, symbols: &Tensor, dropout: f64, scale: f64, memory: &Memory) -> Result<Tensor> {
    let _model = span(Span::Model);
    model.check(symbols)?;
    let input = symbols.clamp_min(0);
    let levels = model.config().levels.len();
    let mut way = Way { model, dropout, memory, seeds: Seeds::draw() };

    let first = if model.config().first_level() == 0 { Some(way.forward(0, &input, None)?) } else { None };
    // What the stretches say to the first level, (B, n, D), where it wants to know: in the type of the parameters, since
    // stretches that overlap add up.
    let mut to_first = first
        .as_ref()
        .filter(|first| first.out.requires_grad())
        .map(|first| Tensor::zeros(first.out.size(), (model.parameters().kind(), model.device())));
    let mut total = Tensor::zeros([], (Kind::Double, model.device()));
    for stretch in stretches(model.config(), symbols.size2()?, memory.stretch) {
        let inside = stretch.symbols(&input);
        let coarse = first.as_ref().map(|first| leaf(&stretch.units(&first.out), first.out.requires_grad()));
        let mut segments: Vec<Segment> = Vec::new();
        for l in 1..levels {
            let above = segments.last().map_or(coarse.as_ref(), |segment| Some(&segment.out));
            let segment = way.forward(l, &inside, above)?;
            segments.push(segment);
        }
        let out = segments.last().map_or(coarse.as_ref(), |segment| Some(&segment.out)).expect("a level has blocks");
        let nats = way.nats(&stretch, out, symbols);
        (&nats * scale).f_backward()?;
        while let Some(segment) = segments.pop() {
            way.back(segment, None)?;
        }
        if let (Some(to_first), Some(coarse)) = (&to_first, &coarse) {
            let _ = stretch.units(to_first).g_add_(&coarse.grad());
        }
        total += nats.detach();
    }
    if let (Some(first), Some(to_first)) = (first, to_first.take()) {
        let gradient = to_first.to_kind(first.out.kind());
        way.back(first, Some(gradient))?;
    }
    way.seeds.end();
    Ok(total)
}

/// One pass of one level over some parents.
struct Segment {
    level: usize,
    /// A leaf (S, n, D): what the level says; finer levels leave their gradient there, where it has use for one.
    out: Tensor,
    kept: Kept,
}

/// What is kept of it.
enum Kept {
    /// The output, with all that it was computed from.
    Graph(Tensor),
    /// The first block's input with its graph, the inputs of all blocks and of the final norm, the number of parents a
    /// sequence, and what the draws of the blocks began from.
    Inputs { stem: Tensor, inputs: Vec<Tensor>, parents: i64, seeds: Seeds },
}

struct Way<'m> {
    model: &'m Megabyte,
    dropout: f64,
    memory: &'m Memory,
    seeds: Seeds,
}

impl Way<'_> {
    fn forward(&mut self, l: usize, symbols: &Tensor, above: Option<&Tensor>) -> Result<Segment> {
        let (stem, parents) = self.model.inputs(l, symbols, above);
        let level = self.model.level(l);
        let pass = level.pass(self.model.kind(), self.dropout, 0, parents);
        // Without weights that are trained, here and above, there is no graph.
        let wanted = stem.requires_grad();
        if !wanted || !self.memory.checkpoint.contains(&l) {
            let out = level.forward(stem, &pass);
            return Ok(Segment { level: l, out: leaf(&out, wanted), kept: Kept::Graph(out) });
        }
        let mut inputs = vec![stem.detach()];
        let seeds = self.seeds.fork();
        let out = tch::no_grad(|| {
            for i in 0..level.depth() {
                seeds.begin(i);
                inputs.push(level.block(i, inputs[i].shallow_clone(), &pass));
            }
            level.finish(&inputs[level.depth()], pass.kind)
        });
        self.seeds.go_on();
        Ok(Segment { level: l, out: leaf(&out, true), kept: Kept::Inputs { stem, inputs, parents, seeds } })
    }

    /// Carries back what finer levels left at a segment's output, or the gradient that is given.
    fn back(&mut self, segment: Segment, gradient: Option<Tensor>) -> Result<()> {
        if !segment.out.requires_grad() {
            return Ok(());
        }
        let gradient = gradient.unwrap_or_else(|| segment.out.grad());
        match segment.kept {
            Kept::Graph(out) => native::backward(&out, &gradient),
            Kept::Inputs { stem, mut inputs, parents, seeds } => {
                let level = self.model.level(segment.level);
                let pass = level.pass(self.model.kind(), self.dropout, 0, parents);
                let last = leaf(&inputs.pop().expect("there is an input of the final norm"), true);
                native::backward(&level.finish(&last, pass.kind), &gradient)?;
                let mut gradient = last.grad();
                while let Some(input) = inputs.pop() {
                    let input = leaf(&input, true);
                    seeds.begin(inputs.len());
                    native::backward(&level.block(inputs.len(), input.shallow_clone(), &pass), &gradient)?;
                    gradient = input.grad();
                }
                self.seeds.go_on();
                native::backward(&stem, &gradient)
            }
        }
    }

    fn nats(&self, stretch: &Stretch, out: &Tensor, symbols: &Tensor) -> Tensor {
        let nats = loss::nats(&stretch.logits(self.model, out), &stretch.targets(symbols));
        nats.sum(nats.kind())
    }
}

/// The same numbers, where a graph begins if one is wanted.
fn leaf(x: &Tensor, wanted: bool) -> Tensor {
    x.detach().set_requires_grad(wanted)
}

/// Where dropout draws from, so that a block that is computed twice drops the same: libtorch's generator is set anew
/// before each such block, and afterwards.
struct Seeds {
    base: u64,
    drawn: u64,
}

impl Seeds {
    /// From libtorch's generator, which decides all draws of a step.
    fn draw() -> Self {
        let drawn = Tensor::randint(i64::MAX, [1], (Kind::Int64, Device::Cpu));
        Seeds { base: drawn.int64_value(&[0]) as u64, drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        mixed(self.base, self.drawn)
    }

    /// For the blocks of one segment.
    fn fork(&mut self) -> Self {
        Seeds { base: self.next(), drawn: 0 }
    }

    fn begin(&self, block: usize) {
        tch::manual_seed(mixed(self.base, block as u64) as i64);
    }

    /// What is not computed twice draws on from here.
    fn go_on(&mut self) {
        let seed = self.next();
        tch::manual_seed(seed as i64);
    }

    fn end(mut self) {
        self.go_on();
    }
}

/// Two numbers to one that looks like neither (SplitMix64, Steele et al. 2014).
fn mixed(base: u64, index: u64) -> u64 {
    let mut z = base.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
