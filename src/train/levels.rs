//! What a run shows of each level: the norms of its gradients and weights, and how its gradients are distributed.

use serde::Serialize;
use tch::{Kind, Tensor};

use crate::Result;
use crate::model::Megabyte;
use crate::native;

/// Buckets of a histogram.
const BUCKETS: i64 = 64;

/// The Euclidean norms of a level's tensors, all of a kind together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LevelNorms {
    /// Of the last step's gradients before clipping; 0 where the level has none, being frozen.
    pub grad_norm: f64,
    /// Of the weights after that step.
    pub weight_norm: f64,
}

/// How the elements of a level's gradients are distributed.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The level.
    pub level: usize,
    /// (left, right, count), from the least element to the greatest.
    pub buckets: Vec<[f64; 3]>,
}

/// The norms of each level, coarse first. `total` is the norm of all gradients before clipping. Waits for the device,
/// from which two numbers a level come.
pub fn norms(model: &Megabyte, total: f64) -> Result<Vec<LevelNorms>> {
    let levels = model.config().levels.len();
    let gradients = norms_of(&gradients(model), model)?;
    let weights = norms_of(&by_level(model, |tensor| Some(tensor.detach())), model)?;
    let scale = unclipped(&gradients, total);
    let level = |l: usize| LevelNorms { grad_norm: gradients[l] * scale, weight_norm: weights[l] };
    Ok((0..levels).map(level).collect())
}

/// A histogram of the gradients of each level that has any and whose gradients are finite. `total` is as in [`norms`].
/// Waits for the device, from which the counts come.
pub fn histograms(model: &Megabyte, total: f64) -> Result<Vec<Histogram>> {
    let gradients = gradients(model);
    let scale = unclipped(&norms_of(&gradients, model)?, total);
    let mut histograms = Vec::new();
    for (level, tensors) in gradients.iter().enumerate().filter(|(_, tensors)| !tensors.is_empty()) {
        let counts = Tensor::zeros([BUCKETS], (Kind::Double, model.device()));
        let (low, high) = native::histogram(tensors, &counts)?;
        if !(low.is_finite() && high.is_finite()) {
            continue;
        }
        let edge = |i: usize| (low + (high - low) * i as f64 / BUCKETS as f64) * scale;
        let counts = Vec::<f64>::try_from(counts)?;
        let buckets = counts.iter().enumerate().map(|(i, &count)| [edge(i), edge(i + 1), count]).collect();
        histograms.push(Histogram { level, buckets });
    }
    Ok(histograms)
}

/// By how much gradients were scaled down when they were clipped, which the fused optimizer writes back to them. 1 where
/// they are not finite: then it left them as they were.
fn unclipped(norms: &[f64], total: f64) -> f64 {
    let now = norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt();
    let scale = total / now;
    if scale.is_finite() { scale } else { 1.0 }
}

/// The gradients that are there, by level.
fn gradients(model: &Megabyte) -> Vec<Vec<Tensor>> {
    by_level(model, |tensor| Some(tensor.grad()).filter(Tensor::defined))
}

/// What `of` gives of the parameters named `level.{l}.…`, by `l`; any other belongs to the output, and so to the last level.
fn by_level(model: &Megabyte, of: impl Fn(&Tensor) -> Option<Tensor>) -> Vec<Vec<Tensor>> {
    let mut levels: Vec<Vec<Tensor>> = model.config().levels.iter().map(|_| Vec::new()).collect();
    let last = levels.len() - 1;
    for (name, tensor) in model.parameters().iter() {
        let level = name.strip_prefix("level.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        levels[level.unwrap_or(last)].extend(of(tensor));
    }
    levels
}

/// The norm of each level's tensors, read from the device together.
fn norms_of(levels: &[Vec<Tensor>], model: &Megabyte) -> Result<Vec<f64>> {
    let norms = Tensor::zeros([levels.len() as i64], (Kind::Double, model.device()));
    for (l, tensors) in levels.iter().enumerate().filter(|(_, tensors)| !tensors.is_empty()) {
        native::total_norm(tensors, &norms.get(l as i64))?;
    }
    Ok(Vec::<f64>::try_from(norms)?)
}
