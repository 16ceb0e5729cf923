//! Muon: momentum whose matrices are made orthogonal before they are added (Jordan et al. 2024,
//! <https://kellerjordan.github.io/posts/muon>), with updates as large as AdamW's (Liu et al. 2025, arXiv 2502.16982), so
//! that both share a learning rate and weight decay.
//!
//! Shapes: k matrices of one size, r rows and c columns.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::{Param, Scale};
use crate::train::config::TrainConfig;

/// Coefficients of the quintic, whose slope at zero is as steep as it can be (Jordan et al. 2024).
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Times it is applied.
const ITERATIONS: usize = 5;
/// The root mean square of AdamW's updates, about (arXiv 2502.16982, section 2.2).
const UPDATE_RMS: f64 = 0.2;

/// Whether a parameter is a matrix between hidden states.
pub fn suits(param: &Param) -> bool {
    let inside = [".block.", ".cross."].iter().any(|part| param.name.contains(part));
    let hidden = inside || param.name.ends_with(".from_parent");
    hidden && param.tensor.dim() == 2
}

/// Muon for matrices.
#[derive(Debug)]
pub struct Muon {
    params: Vec<Param>,
    momenta: Vec<Tensor>,
    momentum: f64,
    weight_decay: f64,
    /// The type in which matrices are made orthogonal.
    kind: Kind,
}

impl Muon {
    /// Zero momentum for these matrices of a model whose matrix work is in `kind`.
    pub fn new(params: Vec<Param>, config: &TrainConfig, kind: Kind) -> Self {
        let momenta = params.iter().map(|param| param.tensor.detach().zeros_like()).collect();
        let double = params.iter().any(|param| param.tensor.kind() == Kind::Double);
        let kind = if double { Kind::Double } else { config.dtype.kind().unwrap_or(kind) };
        Muon { params, momenta, momentum: config.muon_momentum, weight_decay: config.weight_decay, kind }
    }

    /// One step with the gradients that the parameters hold.
    pub fn step(&mut self, lr: f64, scale: &Scale) {
        let go = 1.0 - &scale.found_inf;
        // Matrices of one size go through the iterations together.
        let mut sizes: BTreeMap<Vec<i64>, Vec<(usize, Tensor)>> = BTreeMap::new();
        for (i, (param, momentum)) in self.params.iter().zip(&mut self.momenta).enumerate() {
            let mut gradient = param.tensor.grad();
            if !gradient.defined() {
                continue;
            }
            // Where nothing may change, nothing is added, which must not be 0 times infinity.
            let gradient = gradient.g_div_(&scale.divisor).nan_to_num(0.0, 0.0, 0.0);
            let weight: Tensor = (1.0 - self.momentum) * &go;
            let _ = momentum.lerp_tensor_(&gradient, &weight.to_kind(momentum.kind()));
            // Nesterov's: a step ahead. Cast before all of a size are joined, which are then half as large.
            let update = split(&param.name, &gradient.lerp(momentum, self.momentum)).to_kind(self.kind);
            sizes.entry(update.size()[1..].to_vec()).or_default().push((i, update));
        }
        for (size, updates) in sizes {
            let together: Vec<&Tensor> = updates.iter().map(|(_, update)| update).collect();
            let orthogonal = orthogonal(&Tensor::cat(&together, 0));
            let step = -lr * UPDATE_RMS * (size[0].max(size[1]) as f64).sqrt();
            let mut from = 0;
            for (i, update) in &updates {
                let (k, param) = (update.size()[0], &self.params[*i].tensor);
                let own = orthogonal.narrow(0, from, k).reshape_as(param).to_kind(param.kind());
                let mut param = param.shallow_clone();
                let _ = param.g_mul_(&(1.0 - lr * self.weight_decay * &go));
                let _ = param.g_add_(&(own * (step * &go)));
                from += k;
            }
        }
    }

    /// The momentum of every matrix.
    pub fn state(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.params.iter().zip(&self.momenta).map(|(param, tensor)| (format!("momentum.{}", param.name), tensor))
    }
}

/// A parameter as (k, r, c): queries, keys and values are matrices of their own that stand in one.
fn split(name: &str, matrix: &Tensor) -> Tensor {
    let k = if name.ends_with("attn.qkv.weight") { 3 } else { 1 };
    matrix.view([k, -1, matrix.size()[1]])
}

/// Matrices (k, r, c) with all their singular values near 1, by a Newton-Schulz iteration.
fn orthogonal(matrices: &Tensor) -> Tensor {
    let tall = matrices.size()[1] > matrices.size()[2];
    let wide = if tall { matrices.transpose(1, 2) } else { matrices.shallow_clone() };
    let norm = wide.norm_scalaropt_dim(2, [1, 2], true).clamp_min(1e-7);
    let [a, b, c] = COEFFICIENTS;
    let mut x = wide / norm;
    for _ in 0..ITERATIONS {
        let gram = x.matmul(&x.transpose(1, 2)); // (k, min, min)
        let polynomial = gram.baddbmm(&gram, &gram, b, c);
        x = x.baddbmm(&polynomial, &x, a, 1.0);
    }
    if tall { x.transpose(1, 2) } else { x }
}
