//! Causal self-attention.
//!
//! Shapes: S parents in rows, n units in each, D width, H heads of E = D / H; m consecutive rows are of one sequence.

use std::cell::OnceCell;

use tch::{Kind, Tensor};

use super::cache::KvCache;
use super::config::ModelConfig;
use super::layers::{Linear, Norm};
use super::parameters::Parameters;
use super::rotary::Rotary;
use crate::native;

/// The units at or before a unit that it attends to.
#[derive(Debug, Clone, Copy)]
enum Reach {
    /// All of its parent's.
    Parent,
    /// Those, and the last `r` of the parent before.
    Before(i64),
    /// The last `w`, itself included.
    Window(i64),
}

/// What one pass through a level's blocks has in common for all of them.
#[derive(Debug)]
pub struct Pass<'a> {
    /// The type of matrix work.
    pub kind: Kind,
    /// How queries and keys are turned.
    pub rotary: Option<&'a Rotary>,
    /// Share that is dropped.
    pub dropout: f64,
    /// Place of the first unit in its parent.
    pub start: i64,
    /// m: consecutive parents of a sequence in the batch. The first of them attends to none before it.
    pub parents: i64,
    /// Made by the first block that needs it.
    mask: OnceCell<Tensor>,
}

impl<'a> Pass<'a> {
    /// A pass over parents from their first unit on.
    pub fn new(kind: Kind, rotary: Option<&'a Rotary>, dropout: f64, start: i64, parents: i64) -> Self {
        Pass { kind, rotary, dropout, start, parents, mask: OnceCell::new() }
    }

    fn mask(&self, make: impl FnOnce() -> Tensor) -> &Tensor {
        self.mask.get_or_init(make)
    }
}

/// Multi-head causal attention with one matrix for queries, keys and values.
#[derive(Debug)]
pub struct Attention {
    qkv: Linear,
    out: Linear,
    qk_norm: Option<(Norm, Norm)>,
    n_head: i64,
    reach: Reach,
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
            reach: match (config.reach_back(l) as i64, config.levels[l].window as i64) {
                (0, 0) => Reach::Parent,
                (0, window) => Reach::Window(window),
                (before, _) => Reach::Before(before),
            },
        }
    }

    /// (S, n, D) to (S, q, D): the last q units ask, all n answer. With a cache they follow those that it holds.
    pub fn forward(&self, x: &Tensor, queries: i64, pass: &Pass<'_>, cache: Option<&mut KvCache>) -> Tensor {
        let (rows, n, width) = x.size3().expect("attention input is (S, n, D)");
        let [mut q, raw_k, v] = self.heads(x, queries);
        let mut k = raw_k.shallow_clone();
        if let Some(rotary) = pass.rotary {
            // The parent before has the first positions.
            let start = pass.start + if let Reach::Before(before) = self.reach { before } else { 0 };
            q = rotary.apply(&q, start + n - queries);
            k = rotary.apply(&k, start);
        }
        let held = cache.and_then(|cache| {
            let seen = cache.seen();
            let held = cache.extend(&k, &v);
            (seen > 0).then_some(held)
        });
        let attended = match (held, self.reach) {
            (Some((keys, values)), _) => self.after(&q, &keys, &values, pass),
            (None, Reach::Before(before)) if pass.parents > 1 => {
                let [tail_k, tail_v] = [&raw_k, &v].map(|x| x.narrow(2, n - before, before));
                let tail_k = pass.rotary.map_or_else(|| tail_k.shallow_clone(), |rotary| rotary.apply(&tail_k, 0));
                if pass.dropout == 0.0 && native::suits_attention(&q, before, None) {
                    let (keys, values) = (behind(&tail_k, &k, pass.parents), behind(&tail_v, &v, pass.parents));
                    native::attention(&q, &keys, &values, pass.parents, None).expect("shapes that suit")
                } else {
                    let mask = pass.mask(|| Tensor::ones([n, before + n], (Kind::Bool, x.device())).tril(before));
                    beside(&q, [&k, &v], [&tail_k, &tail_v], pass.parents, mask, pass.dropout)
                }
            }
            (None, Reach::Window(window)) if n > window => {
                if pass.dropout == 0.0 && native::suits_attention(&q, 0, Some(window)) {
                    native::attention(&q, &k, &v, 1, Some(window)).expect("shapes that suit")
                } else {
                    windowed(&q, &k, &v, window, pass)
                }
            }
            (None, _) if queries < n => {
                let mask = Tensor::ones([queries, n], (Kind::Bool, x.device())).tril(n - queries);
                sdpa(&q, &k, &v, Some(&mask), pass.dropout, false)
            }
            (None, _) if pass.dropout == 0.0 && native::suits_attention(&q, 0, None) => {
                native::attention(&q, &k, &v, 1, None).expect("queries, keys and values have one shape")
            }
            (None, _) => sdpa(&q, &k, &v, None, pass.dropout, n > 1),
        };
        // (S, H, q, E) -> (S, q, D)
        self.out.forward(&attended.transpose(1, 2).reshape([rows, queries, width]))
    }

    /// Queries (S, H, q, E) of the last q units, keys and values (S, H, n, E) of all, without a copy.
    fn heads(&self, x: &Tensor, queries: i64) -> [Tensor; 3] {
        let (rows, n, width) = x.size3().expect("attention input is (S, n, D)");
        let split = |joined: Tensor, units: i64, parts: i64| {
            joined.view([rows, units, parts, self.n_head, width / self.n_head]).unbind(2)
        };
        let parts = if queries == n {
            split(self.qkv.forward(x), n, 3)
        } else {
            let asking = x.narrow(1, n - queries, queries);
            let mut parts = split(self.qkv.forward_part(&asking, 0, width), queries, 1);
            parts.extend(split(self.qkv.forward_part(x, width, 2 * width), n, 2));
            parts
        };
        let [mut q, mut k, v] = [0, 1, 2].map(|i| parts[i].transpose(1, 2));
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            q = q_norm.forward(&q, x.kind());
            k = k_norm.forward(&k, x.kind());
        }
        [q, k, v]
    }

    /// Units that follow others, which keys and values (S, H, seen + n, E) begin with.
    fn after(&self, q: &Tensor, keys: &Tensor, values: &Tensor, pass: &Pass<'_>) -> Tensor {
        let (queries, all) = (q.size()[2], keys.size()[2]);
        let window = if let Reach::Window(window) = self.reach { window } else { all };
        if queries == 1 {
            // A single query sees everything in its reach.
            let reach = window.min(all);
            let last = |held: &Tensor| held.narrow(2, all - reach, reach);
            return sdpa(q, &last(keys), &last(values), None, pass.dropout, false);
        }
        let place = all - queries; // of the first query
        let mask = Tensor::ones([queries, all], (Kind::Bool, q.device())).tril(place).triu(place - window + 1);
        sdpa(q, keys, values, Some(&mask), pass.dropout, false)
    }

    pub(super) fn freeze(&mut self, kind: Kind) {
        self.qkv.freeze(kind);
        self.out.freeze(kind);
    }
}

/// `own` (S, H, n, E) behind the `tail` (S, H, r, E) of the row before it: (S, H, r + n, E). Each first of `parents`
/// rows has none before it, and zeros that nothing may attend to.
fn behind(tail: &Tensor, own: &Tensor, parents: i64) -> Tensor {
    let (rows, heads, r, width) = tail.size4().expect("keys are (S, H, r, E)");
    let tail = tail.reshape([-1, parents, heads, r, width]);
    let moved = Tensor::cat(&[tail.narrow(1, 0, 1).zeros_like(), tail.narrow(1, 0, parents - 1)], 1);
    Tensor::cat(&[moved.view([rows, heads, r, width]), own.shallow_clone()], 2)
}

/// Attention of queries (S, H, n, E) to the own keys and values, alike, and to the tails (S, H, r, E) of the row before,
/// which each first of `parents` rows does without. The `mask` (n, r + n) is that of the others.
fn beside(q: &Tensor, own: [&Tensor; 2], tails: [&Tensor; 2], parents: i64, mask: &Tensor, dropout: f64) -> Tensor {
    let (rows, heads, n, width) = q.size4().expect("queries are (S, H, n, E)");
    let part = |x: &Tensor, from: i64, count: i64| {
        let units = x.size()[2];
        x.reshape([-1, parents, heads, units, width]).narrow(1, from, count).reshape([-1, heads, units, width])
    };
    let [first_k, first_v] = own.map(|own| part(own, 0, 1));
    let first = sdpa(&part(q, 0, 1), &first_k, &first_v, None, dropout, true);
    let joined = |i: usize| Tensor::cat(&[part(tails[i], 0, parents - 1), part(own[i], 1, parents - 1)], 2);
    let others = sdpa(&part(q, 1, parents - 1), &joined(0), &joined(1), Some(mask), dropout, false);
    let [first, others] = [first, others].map(|x| x.reshape([rows / parents, -1, heads, n, width]));
    Tensor::cat(&[first, others], 1).view([rows, heads, n, width])
}

/// Attention to the last `window` units: in stretches of that many, each of which sees itself and the one before, so
/// that time is n times the window.
fn windowed(q: &Tensor, k: &Tensor, v: &Tensor, window: i64, pass: &Pass<'_>) -> Tensor {
    let (rows, heads, n, width) = q.size4().expect("queries are (S, H, n, E)");
    let stretches = (n + window - 1) / window;
    // (S, H, n, E) -> (S s, H, w, E)
    let split = |x: &Tensor| {
        let padded = x.constant_pad_nd([0, 0, 0, stretches * window - n]);
        let parts = padded.view([rows, heads, stretches, window, width]).transpose(1, 2);
        parts.reshape([rows * stretches, heads, window, width])
    };
    let (q, k, v) = (split(q), split(k), split(v));
    // Unit j stands at key w + j and sees the w keys up to there.
    let mask = pass.mask(|| Tensor::ones([window, 2 * window], (Kind::Bool, q.device())).tril(window).triu(1));
    let out = beside(&q, [&k, &v], [&k, &v], stretches, mask, pass.dropout);
    let joined = out.view([rows, stretches, heads, window, width]).transpose(1, 2);
    joined.reshape([rows, heads, stretches * window, width]).narrow(2, 0, n)
}

/// Rows that libtorch's kernels on CUDA take at once: a dimension of their grids has no more.
const CUDA_ROWS: i64 = 65_535;

fn sdpa(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, dropout: f64, causal: bool) -> Tensor {
    let attend = |q: &Tensor, k: &Tensor, v: &Tensor| {
        Tensor::scaled_dot_product_attention(q, k, v, mask, dropout, causal, None, false)
    };
    if !q.device().is_cuda() || q.size()[0] <= CUDA_ROWS {
        return attend(q, k, v);
    }
    let [q, k, v] = [q, k, v].map(|x| x.split(CUDA_ROWS, 0));
    let parts: Vec<Tensor> = q.iter().zip(k.iter().zip(&v)).map(|(q, (k, v))| attend(q, k, v)).collect();
    Tensor::cat(&parts, 0)
}
