//! A pre-norm transformer block.

use tch::{Kind, Tensor};

use super::attention::{Attention, Pass};
use super::cache::KvCache;
use super::config::{Ffn, ModelConfig};
use super::layers::{Linear, Norm, section};
use super::parameters::Parameters;

/// Attention and feed-forward, each on a normed copy and added to the stream.
#[derive(Debug)]
pub struct Block {
    attn_norm: Norm,
    attn: Attention,
    ffn_norm: Norm,
    ffn: FeedForward,
}

impl Block {
    /// A block of level `l`.
    pub fn new(params: &mut Parameters, name: &str, config: &ModelConfig, l: usize) -> Self {
        let width = config.levels[l].n_embd;
        Block {
            attn_norm: Norm::new(params, &format!("{name}.attn_norm"), width, config),
            attn: Attention::new(params, &format!("{name}.attn"), config, l),
            ffn_norm: Norm::new(params, &format!("{name}.ffn_norm"), width, config),
            ffn: FeedForward::new(params, &format!("{name}.ffn"), config, l),
        }
    }

    /// The stream (S, n, D) in float32, of which the last `goes_on` units come out; matrix work in the pass's type.
    pub fn forward(&self, x: Tensor, goes_on: i64, pass: &Pass<'_>, cache: Option<&mut KvCache>) -> Tensor {
        let normed = self.attn_norm.forward(&x, pass.kind);
        let attended = self.attn.forward(&normed, goes_on, pass, cache);
        let x = section(&x, 1, x.size()[1] - goes_on, goes_on) + drop_out(attended, pass.dropout);
        let fed = self.ffn.forward(&self.ffn_norm.forward(&x, pass.kind));
        x + drop_out(fed, pass.dropout)
    }

    pub(super) fn freeze(&mut self, kind: Kind) {
        self.attn.freeze(kind);
        self.ffn.freeze(kind);
    }
}

fn drop_out(x: Tensor, p: f64) -> Tensor {
    if p > 0.0 { x.dropout(p, true) } else { x }
}

/// Up, a nonlinearity, down.
#[derive(Debug)]
struct FeedForward {
    kind: Ffn,
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    fn new(params: &mut Parameters, name: &str, config: &ModelConfig, l: usize) -> Self {
        let (width, inner) = (config.levels[l].n_embd, config.ffn_dim(l));
        FeedForward {
            kind: config.ffn,
            gate: (config.ffn == Ffn::SwiGlu)
                .then(|| Linear::new(params, &format!("{name}.gate"), width, inner, config)),
            up: Linear::new(params, &format!("{name}.up"), width, inner, config),
            down: Linear::new(params, &format!("{name}.down"), inner, width, config),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let up = self.up.forward(x);
        // Not in place: `up` is a view, whose gradient libtorch would copy three times over.
        let inner = match (self.kind, &self.gate) {
            (Ffn::SwiGlu, Some(gate)) => gate.forward(x).silu() * up,
            (Ffn::Relu2, _) => up.relu().square(),
            (Ffn::Gelu, _) => up.gelu("none"),
            (Ffn::Relu | Ffn::SwiGlu, _) => up.relu(),
        };
        self.down.forward(&inner)
    }

    fn freeze(&mut self, kind: Kind) {
        for linear in [&mut self.up, &mut self.down].into_iter().chain(self.gate.as_mut()) {
            linear.freeze(kind);
        }
    }
}
