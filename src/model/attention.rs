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
use crate::native::attention::{Dropout, Sight};

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
    /// Place of the first unit: in its parent, or in its sequence where parents attend to the ones before them.
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
        let [q, k, v] = self.heads(x, queries, pass).map(|part| part.transpose(1, 2));
        let held = cache.and_then(|cache| {
            let seen = cache.seen();
            let held = cache.extend(&k, &v);
            (seen > 0).then_some(held)
        });
        let attended = match (held, self.reach) {
            (Some((keys, values)), _) => self.after(&q, &keys, &values, pass),
            (None, Reach::Before(before)) if pass.parents > 1 => {
                let sight = Sight { before, parents: pass.parents, window: None };
                attend([&q, &k, &v], sight, pass, || across([&q, &k, &v], before, pass))
            }
            (None, Reach::Window(window)) if n > window => {
                let sight = Sight { window: Some(window), ..Sight::OWN };
                attend([&q, &k, &v], sight, pass, || windowed([&q, &k, &v], window, pass))
            }
            (None, _) if queries < n => {
                let mask = Tensor::ones([queries, n], (Kind::Bool, x.device())).tril(n - queries);
                sdpa(&q, &k, &v, Some(&mask), pass.dropout, false)
            }
            (None, _) => attend([&q, &k, &v], Sight::OWN, pass, || sdpa(&q, &k, &v, None, pass.dropout, n > 1)),
        };
        // (S, H, q, E) -> (S, q, D)
        self.out.forward(&attended.transpose(1, 2).reshape([rows, queries, width]))
    }

    /// Queries (S, q, H, E) of the last q units, keys and values (S, n, H, E) of all, normed and turned to their places.
    fn heads(&self, x: &Tensor, queries: i64, pass: &Pass<'_>) -> [Tensor; 3] {
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
        let [mut q, mut k, v] = [0, 1, 2].map(|i| parts[i].shallow_clone());
        if let Some((q_norm, k_norm)) = &self.qk_norm {
            q = q_norm.forward(&q, x.kind());
            k = k_norm.forward(&k, x.kind());
        }
        if let Some(rotary) = pass.rotary {
            // Who attends to the parent before needs places that go on from there: one turn then serves both.
            let parents = if let Reach::Before(_) = self.reach { pass.parents } else { 1 };
            q = rotary.apply(&q, pass.start + n - queries, parents);
            k = rotary.apply(&k, pass.start, parents);
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

/// Attention of queries to keys and values, all (S, H, n, E), by this project's kernel where it suits, else by `others`.
fn attend([q, k, v]: [&Tensor; 3], sight: Sight, pass: &Pass<'_>, others: impl FnOnce() -> Tensor) -> Tensor {
    if !native::attention::suits(q, sight, pass.dropout) {
        return others();
    }
    let dropout = Dropout::draw(pass.dropout).expect("libtorch's generator gives numbers");
    native::attention::attend(q, k, v, sight, dropout).expect("shapes that suit")
}

/// Attention, all (S, H, n, E), to the own parent and the last `before` units of the one before it: of one sequence the
/// parents are one row of units, each of which sees from its parent's first unit less `before` up to itself.
fn across(qkv: [&Tensor; 3], before: i64, pass: &Pass<'_>) -> Tensor {
    let (rows, heads, n, width) = qkv[0].size4().expect("queries are (S, H, n, E)");
    // (S, H, n, E) -> (B, H, m n, E), where they stand
    let [q, k, v] = qkv.map(|x| x.transpose(1, 2).reshape([-1, pass.parents * n, heads, width]).transpose(1, 2));
    // A CUDA kernel takes a tile of queries for as long as one; a CPU computes what the mask hides.
    let together = if q.device().is_cuda() { (CUDA_TILE / n).clamp(1, pass.parents) } else { 1 };
    let length = together * n;
    let mask = pass.mask(|| {
        let options = (Kind::Int64, q.device());
        let first = Tensor::arange(length, options).divide_scalar_mode(n, "floor") * n; // of the query's parent
        let inside = Tensor::arange(before + length, options).ge_tensor(&first.unsqueeze(1));
        inside.logical_and(&Tensor::ones([length, before + length], (Kind::Bool, q.device())).tril(before))
    });
    let out = in_stretches([&q, &k, &v], [length, before], mask, pass.dropout);
    out.transpose(1, 2).reshape([rows, n, heads, width]).transpose(1, 2)
}

/// Attention to the last `window` units: in stretches of that many, each of which sees itself and the one before, so
/// that time is n times the window.
fn windowed(qkv: [&Tensor; 3], window: i64, pass: &Pass<'_>) -> Tensor {
    // Unit j stands at key w + j and sees the w keys up to there.
    let mask = pass.mask(|| Tensor::ones([window, 2 * window], (Kind::Bool, qkv[0].device())).tril(window).triu(1));
    in_stretches(qkv, [window, window], mask, pass.dropout)
}

/// Attention of queries to keys and values, all (S, H, n, E), in stretches of `length` units, each of which sees itself
/// and the last `tail` units of the one before as the `mask` (length, tail + length) says.
fn in_stretches(qkv: [&Tensor; 3], [length, tail]: [i64; 2], mask: &Tensor, dropout: f64) -> Tensor {
    let (rows, heads, n, width) = qkv[0].size4().expect("queries are (S, H, n, E)");
    let stretches = (n + length - 1) / length;
    let missing = stretches * length - n;
    // (S, H, n, E) -> (S, s, H, length, E)
    let [q, k, v] = qkv.map(|x| {
        let whole = if missing > 0 { x.constant_pad_nd([0, 0, 0, missing]) } else { x.shallow_clone() };
        whole.reshape([rows, heads, stretches, length, width]).transpose(1, 2)
    });
    let part = |x: &Tensor, from: i64, count: i64| {
        let x = x.narrow(1, from, count);
        x.reshape([-1, heads, x.size()[3], width])
    };
    // The first sees no other.
    let [first_k, first_v] = [&k, &v].map(|x| part(x, 0, 1));
    let first = sdpa(&part(&q, 0, 1), &first_k, &first_v, Some(&mask.narrow(1, tail, length)), dropout, false);
    let mut parts = vec![first.reshape([rows, 1, heads, length, width])];
    if stretches > 1 {
        let joined = |x: &Tensor| {
            let tails = part(&x.narrow(3, length - tail, tail), 0, stretches - 1);
            Tensor::cat(&[tails, part(x, 1, stretches - 1)], 2)
        };
        let others = sdpa(&part(&q, 1, stretches - 1), &joined(&k), &joined(&v), Some(mask), dropout, false);
        parts.push(others.reshape([rows, stretches - 1, heads, length, width]));
    }
    let joined = Tensor::cat(&parts, 1).transpose(1, 2);
    joined.reshape([rows, heads, stretches * length, width]).narrow(2, 0, n)
}

/// Queries that libtorch's kernels on CUDA take together.
const CUDA_TILE: i64 = 128;

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
