//! Causal self-attention.
//!
//! Shapes: S sequences, n units, D width, H heads of E = D / H.

use tch::{Device, Kind, Tensor};

use super::cache::KvCache;
use super::config::{ModelConfig, Position};
use super::layers::{Linear, Norm};
use super::parameters::Parameters;
use crate::native;

/// Multi-head causal attention with one matrix for queries, keys and values.
#[derive(Debug)]
pub struct Attention {
    qkv: Linear,
    out: Linear,
    qk_norm: Option<(Norm, Norm)>,
    n_head: i64,
}

impl Attention {
    /// Level `l`'s attention, named `{name}.qkv` and `{name}.out`.
    pub fn new(params: &mut Parameters, name: &str, config: &ModelConfig, l: usize) -> Self {
        let (width, heads) = (config.levels[l].n_embd, config.levels[l].n_head);
        Attention {
            qkv: Linear::new(params, &format!("{name}.qkv"), width, 3 * width, config),
            out: Linear::new(params, &format!("{name}.out"), width, width, config),
            qk_norm: config.qk_norm.then(|| {
                let query = Norm::rms(params, &format!("{name}.q_norm"), width / heads, config);
                (query, Norm::rms(params, &format!("{name}.k_norm"), width / heads, config))
            }),
            n_head: heads as i64,
        }
    }

    /// (S, n, D) to (S, n, D). With a cache the units follow the `start` ones that it holds.
    pub fn forward(
        &self,
        x: &Tensor,
        rotary: Option<&Rotary>,
        dropout: f64,
        start: i64,
        cache: Option<&mut KvCache>,
    ) -> Tensor {
        let (sequences, n, width) = x.size3().expect("attention input is (S, n, D)");
        // (S, n, 3D) -> three of (S, H, n, E), without a copy
        let qkv = self.qkv.forward(x).view([sequences, n, 3, self.n_head, width / self.n_head]).unbind(2);
        let [mut q, mut k, v] = [0, 1, 2].map(|i| qkv[i].transpose(1, 2));
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            q = q_norm.forward(&q, x.kind());
            k = k_norm.forward(&k, x.kind());
        }
        if let Some(rotary) = rotary {
            q = rotary.apply(&q, start);
            k = rotary.apply(&k, start);
        }
        let attended = match cache {
            None if dropout == 0.0 && native::suits_short_attention(&q) => {
                native::short_attention(&q, &k, &v).expect("queries, keys and values have one shape")
            }
            None => sdpa(&q, &k, &v, None, dropout, n > 1),
            Some(cache) => {
                let (keys, values) = cache.extend(start, &k, &v);
                // A single query sees everything; several after others need the causal mask moved by `start`.
                let mask =
                    (n > 1 && start > 0).then(|| Tensor::ones([n, start + n], (Kind::Bool, x.device())).tril(start));
                let causal = n > 1 && start == 0;
                sdpa(&q, &keys, &values, mask.as_ref(), dropout, causal)
            }
        };
        // (S, H, n, E) -> (S, n, D)
        self.out.forward(&attended.transpose(1, 2).reshape([sequences, n, width]))
    }

    pub(super) fn freeze(&mut self, kind: Kind) {
        self.qkv.freeze(kind);
        self.out.freeze(kind);
    }
}

fn sdpa(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, dropout: f64, causal: bool) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, mask, dropout, causal, None, false)
}

/// Rotary positions (Su et al. 2021): the halves of each head turned by angles that grow with the position.
#[derive(Debug)]
pub struct Rotary {
    /// (N, E / 2) each.
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Angles for the units of a parent of level `l`, where the configuration asks for them.
    pub fn new(config: &ModelConfig, l: usize, kind: Kind, device: Device) -> Option<Self> {
        if config.position != Position::Rotary {
            return None;
        }
        let level = &config.levels[l];
        let width = (level.n_embd / level.n_head) as i64;
        let exponent = Tensor::arange_start_step(0, width, 2, (Kind::Double, Device::Cpu)) / width as f64;
        let frequency = (exponent * -config.rotary_base.ln()).exp();
        let position = Tensor::arange(config.units(l) as i64, (Kind::Double, Device::Cpu));
        let angle = position.outer(&frequency);
        let place = |table: Tensor| table.to_kind(kind).to_device(device);
        Some(Rotary { cos: place(angle.cos()), sin: place(angle.sin()) })
    }

    /// (S, H, n, E) to the same, the first unit at position `start`.
    fn apply(&self, x: &Tensor, start: i64) -> Tensor {
        let n = x.size()[2];
        let (cos, sin) = (self.cos.narrow(0, start, n), self.sin.narrow(0, start, n));
        let halves = x.chunk(2, -1);
        let first = &halves[0] * &cos - &halves[1] * &sin;
        let second = &halves[1] * &cos + &halves[0] * &sin;
        Tensor::cat(&[first, second], -1).to_kind(x.kind())
    }
}
